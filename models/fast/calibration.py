"""Which numbers transformers compute with, and how those of 8 bits are found."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lamp.models.fast.int8 import Levels, is_exact
from lamp.models.fast.linear import FastLinear
from lamp.utils.errors import UserError

Precision = Literal["float32", "bfloat16", "int8"]
TYPICAL = (
    "a person walks forward", "someone runs in a circle", "a man waves with his left hand", "she kicks with her leg",
    "a person jumps up and down", "someone sits down on a chair", "he turns around quickly", "he bows and stands still",
)  # fmt: skip
TYPICAL_FRAMES = 100
"""What networks are observed with."""


def set_precision(networks: Sequence[nn.Module], precision: str, use: Callable[[Sequence[str], int], object]) -> None:
    """Let networks compute in a precision from now on, outside of training.

    Args:
        networks: transformers.
        precision: one of `Precision`. bfloat16 rounds the weights for good.
        use: makes motions of sentences and a number of frames with the networks; for int8.

    Raises:
        UserError: int8 is not possible here.
    """
    if precision not in get_args(Precision):
        raise UserError(f"precision {precision!r}: choose one of {', '.join(get_args(Precision))}")
    layers = [module for network in networks for module in network.modules() if isinstance(module, FastLinear)]
    if precision == "int8":
        _check_int8(layers)
    for layer in layers:
        layer.levels = None
    with torch.inference_mode(False):  # else they would be tensors that nobody can pack
        for network in networks:
            network.to(torch.bfloat16 if precision == "bfloat16" else torch.float32)
    if precision != "int8":
        return
    ranges: dict[FastLinear, tuple[float, float]] = {}
    with observed(layers, ranges):
        use(TYPICAL, TYPICAL_FRAMES)
    for layer, span in ranges.items():
        layer.levels = Levels.of(*span)


def _check_int8(layers: Sequence[FastLinear]) -> None:
    """Refuse what cannot be computed in 8 bits here."""
    if not layers or any(not layer.packs for layer in layers):
        raise UserError("--precision int8 needs the fast layers; leave LAMP_FAST=0 out")
    if any(not layer.weight.is_cpu for layer in layers):
        raise UserError("--precision int8 is for the CPU; give --gpu_id -1")
    if not is_exact():
        raise UserError("--precision int8 needs a processor with VNNI or AMX, and PyTorch with oneDNN; use float32")


@contextmanager
def observed(layers: Sequence[FastLinear], ranges: dict[FastLinear, tuple[float, float]]) -> Iterator[None]:
    """Write down the least and the greatest number that each layer reads."""

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, FastLinear)
        if given[0].numel():
            low, high = torch.aminmax(given[0])
            before = ranges.get(layer, (0.0, 0.0))
            ranges[layer] = min(before[0], float(low)), max(before[1], float(high))

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_pre_hook(look).remove)
        yield
