"""Products of 8-bit integers on the CPU, for transformers whose weights no longer change: `--precision int8`.

Weights are rounded once, by a step for each row, and what a layer reads by a step and a zero point for each layer
(Jacob et al. 2018, sections 2.1 and 3), which come of the range that it had in a few motions made with float32: see
`calibration`. Neither depends on what is computed beside, and sums of integers are exact. But what layers read differs
in its last bit by the length to which a batch is padded, and where that crosses a border between two steps, another
code may be drawn: so a motion depends on longer ones beside it. The operators used here are those that PyTorch's
compiler emits.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

MOST = 255
"""Greatest number of what is read; weights are between -127 and 127."""
FEW_ROWS = 16
"""Fewer are filled up: with AMX their products scale in another order, and the last bit would depend on company."""


@dataclass(frozen=True)
class Levels:
    """How numbers are rounded to 8 bits: x is about step * (n - zero), n from 0 to 255; others become the nearest."""

    step: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> "Levels":
        """Of numbers in a range, into which 0 is taken."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = (high - low) / MOST or 1.0
        return cls(step, round(-low / step))

    def read(self, x: Tensor) -> Tensor:
        """Numbers (uint8) of a float32 tensor."""
        return x.mul(1 / self.step).add_(self.zero).round_().clamp_(0, MOST).to(torch.uint8)


class Int8Linear:
    """x -> gelu(x W^T + b) with weights that do not change; without gradients.

    Args:
        weight: (out, in), float32.
        bias: (out,), or None.
        gelu: no activation (""), the exact GELU ("none") or its approximation ("tanh").
        levels: of what is read.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: str, levels: Levels) -> None:
        weight = weight.detach()
        self.bias = None if bias is None else bias.detach()
        self.gelu, self.levels = gelu, levels
        self._steps = (weight.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        numbers = (weight / self._steps[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(numbers, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)

    def __call__(self, x: Tensor, plus: Tensor | None = None, reader: Levels | None = None) -> Tensor:
        """(..., in) -> (..., out), with `plus` (..., out) added.

        Args:
            x: float32, or numbers of `levels`.
            plus: not with `reader`.
            reader: give the numbers of these, of the only layer that reads the result, instead of float32.
        """
        numbers = x if x.dtype == torch.uint8 else self.levels.read(x)
        shape = numbers.shape[:-1]
        if few := 0 < shape.numel() < FEW_ROWS:
            numbers = F.pad(numbers.reshape(shape.numel(), -1), (0, 0, 0, FEW_ROWS - shape.numel()))
        scale, kind = (Levels(1.0, 0), torch.float32) if reader is None else (reader, torch.uint8)
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            *(numbers, self.levels.step, self.levels.zero),
            *(self._packed, self._steps, self._zeros, self.bias),
            *(scale.step, scale.zero, kind),
            *("gelu" if self.gelu else "none", [], self.gelu or "none"),
        )
        if few:
            y = y[: shape.numel()].reshape(*shape, -1)
        return y if plus is None else y.add_(plus)


@functools.cache
def is_exact() -> bool:
    """Whether processor and build of PyTorch multiply 8-bit integers without an overflow, as VNNI and AMX do."""
    if not torch.backends.mkldnn.is_available():
        return False
    width, rows = 512, 4
    with torch.inference_mode():
        try:
            layer = Int8Linear(torch.ones(rows, width), None, "", Levels(1.0, 0))
            found = layer(torch.full((rows, width), float(MOST)))
        except (AttributeError, RuntimeError, NotImplementedError):  # other builds lack the operators, or this type
            return False
        # Sums of two products are kept in 16 bits by processors without such units, and are cut there.
        return torch.allclose(found, torch.full_like(found, float(MOST * width)))
