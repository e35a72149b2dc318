"""`speed_up` and its switch."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from torch import nn

from lamp.models.fast.causal_states import FastMaskedTransformer
from lamp.models.fast.convolution import FastConv1d, FastDecoder, FastRVQVAE, FastUpsampleConv
from lamp.models.fast.dropout import FastAttention, FastDropout
from lamp.models.fast.gpt_steps import FastCaptioner
from lamp.models.fast.linear import FastLinear, PackableLayer
from lamp.models.fast.loading import WithoutDraws
from lamp.models.fast.pretraining import FastFeedForward, FastLaMP, FastLanguageHead
from lamp.models.fast.transformer import (
    FastConditionedEncoder,
    FastEncoderLayer,
    FastPredictionHead,
    FastResidualTransformer,
)
from lamp.models.lamp.model import LaMP
from lamp.models.lamp.qformer import FeedForward, LanguageHead
from lamp.models.layers import Attention, ConditionedEncoder, EncoderLayer, PredictionHead
from lamp.models.m2t.captioner import Captioner
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.vq.encdec import Decoder, UpsampleConv
from lamp.models.vq.model import RVQVAE

VARIABLE = "LAMP_FAST"
Module = TypeVar("Module", bound=nn.Module)
Classes = dict[type[nn.Module], type[nn.Module]]

_COMMON: Classes = {nn.Linear: FastLinear, nn.Dropout: FastDropout, Attention: FastAttention}
_ENCODER: Classes = _COMMON | {
    ConditionedEncoder: FastConditionedEncoder,
    EncoderLayer: FastEncoderLayer,
    PredictionHead: FastPredictionHead,
}
FAST_CLASSES: dict[type[nn.Module], Classes] = {
    RVQVAE: _COMMON | {RVQVAE: FastRVQVAE, nn.Conv1d: FastConv1d, UpsampleConv: FastUpsampleConv, Decoder: FastDecoder},
    MaskedTransformer: _ENCODER | {MaskedTransformer: FastMaskedTransformer},
    ResidualTransformer: _ENCODER | {ResidualTransformer: FastResidualTransformer},
    LaMP: _COMMON | {LaMP: FastLaMP, FeedForward: FastFeedForward, LanguageHead: FastLanguageHead},
    # Not its language model, whose dropout would draw other numbers.
    Captioner: {Captioner: FastCaptioner},
}
"""By network: each plain class in it and its fast subclass, which differs in methods only. Others gain nothing."""

_disabled = 0


def speed_up(model: Module, frozen: bool = False) -> Module:
    """Give the parts of a model their fast classes, and the model back.

    Args:
        model: a network, or a module that contains some; others stay as they are.
        frozen: the weights change no more; outside of training, layers then use packed ones.
    """
    if not _is_on():
        return model
    for network in list(model.modules()):
        for plain, classes in FAST_CLASSES.items():
            if isinstance(network, plain):
                _replace_classes(network, classes)
    for module in model.modules() if frozen else ():
        if isinstance(module, PackableLayer):
            module.packs = True
    return model


def _replace_classes(network: nn.Module, classes: Classes) -> None:
    for module in network.modules():
        if type(module) in classes:
            module.__class__ = classes[type(module)]


@contextmanager
def disabled() -> Iterator[None]:
    """Context in which models are made and loaded as plain networks."""
    global _disabled
    _disabled += 1
    try:
        yield
    finally:
        _disabled -= 1


def without_draws() -> AbstractContextManager[object]:
    """Context to build a network in whose weights a file will replace: they are not drawn."""
    return WithoutDraws() if _is_on() else nullcontext()


def _is_on() -> bool:
    return not _disabled and os.environ.get(VARIABLE, "1") != "0"
