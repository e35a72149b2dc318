"""Weights of the public evaluators and movement auto-encoders (Guo et al. 2022) under our names, which are theirs."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from lamp.models.evaluator import CONTACTS, EvaluatorConfig
from lamp.prepare.public.state import TrackedState

LACKS = "the public weights lack"
_ENCODER = ("main.0", "main.3", "out_net")
_DECODER = ("main.0", "main.2", "out_net")
_RECURRENT = ("input_emb", "output_net.0", "output_net.1", "output_net.3")
_GRU = [f"gru.{part}_l0{way}" for way in ("", "_reverse") for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def convert_evaluator(state: Mapping[str, Tensor]) -> tuple[EvaluatorConfig, dict[str, Tensor]]:
    """Evaluators from `movement_encoder.*`, `text_encoder.*` and `motion_encoder.*`.

    Statistics and word vectors are in other files.

    Raises:
        UserError: tensors are lacking or unknown, which are listed.
    """
    state = TrackedState(state)
    keys = _parts("movement_encoder", _ENCODER)
    for module, layers in (("text_encoder", (*_RECURRENT, "pos_emb")), ("motion_encoder", _RECURRENT)):
        keys += [*_parts(module, layers), f"{module}.hidden", *(f"{module}.{name}" for name in _GRU)]
    tensors = {key: state[key] for key in keys}
    state.finish(LACKS)
    return (
        replace(
            _movement_config(tensors, "movement_encoder"),
            text_hidden=tensors["text_encoder.hidden"].shape[-1],
            motion_hidden=tensors["motion_encoder.hidden"].shape[-1],
            embed_dim=tensors["motion_encoder.output_net.3.weight"].shape[0],
        ),
        tensors,
    )


def convert_movement(state: Mapping[str, Tensor]) -> tuple[EvaluatorConfig, dict[str, Tensor]]:
    """Movement auto-encoder from `movement_enc.*` and `movement_dec.*`.

    Raises:
        UserError: tensors are lacking or unknown, which are listed.
    """
    state = TrackedState(state)
    names = {
        f"{ours}.{key}": f"{public}.{key}"
        for ours, public, layers in (("encoder", "movement_enc", _ENCODER), ("decoder", "movement_dec", _DECODER))
        for layer in layers
        for key in (f"{layer}.weight", f"{layer}.bias")
    }
    tensors = {ours: state[public] for ours, public in names.items()}
    state.finish(LACKS)
    return _movement_config(tensors, "encoder"), tensors


def _parts(module: str, layers: tuple[str, ...]) -> list[str]:
    return [f"{module}.{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def _movement_config(tensors: Mapping[str, Tensor], encoder: str) -> EvaluatorConfig:
    first, second = tensors[f"{encoder}.main.0.weight"], tensors[f"{encoder}.main.3.weight"]
    return EvaluatorConfig(
        input_width=first.shape[1] + CONTACTS, movement_hidden=first.shape[0], movement_latent=second.shape[0]
    )
