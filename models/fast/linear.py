"""Linear layers on the CPU: products by oneDNN, and packed weights where they no longer change.

PyTorch's own `F.linear` multiplies float32 by MKL, which on processors that are not Intel's is up to a seventh slower,
and reads the plain layout at every call, which for a single motion costs up to a third of the time, and for a handful
of rows and a large vocabulary most of it. The operators used here are those that PyTorch's compiler emits; where a
build lacks them, the plain ones do the work.
"""

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.optim.optimizer import register_optimizer_step_post_hook

from lamp.models.fast.int8 import Int8Linear, Levels

DTYPES = (torch.float32, torch.bfloat16)
FEW_ROWS = 16
"""Fewer rows than these are multiplied faster by `F.linear`, unless the weights are packed; a layout for fewer is slow
for more, and no faster for them."""
Packed = TypeVar("Packed")
Gelu = Literal["", "none", "tanh"]
"""No activation, the exact GELU, or its approximation by tanh."""
State = tuple[tuple[int, int, torch.dtype], ...]
"""Of a module's parameters: address, version, type."""


class PackedLinear:
    """x -> activation(x W^T + b) with weights that do not change; without gradients.

    Args:
        weight: (out, in).
        bias: (out,), or None.
        gelu: what follows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: Gelu = "") -> None:
        self.weight, self.bias, self.gelu = weight.detach(), None if bias is None else bias.detach(), gelu
        self._packed: Tensor | None = None

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """(..., in) -> (..., out), with `plus` (..., out) added."""
        usable = x.is_cpu and self.weight.is_cpu and x.dtype == self.weight.dtype and x.numel() > 0
        if not usable or not has_onednn(x.dtype):
            y = _activated(F.linear(x, self.weight, self.bias), self.gelu)
            return y if plus is None else plus + y
        if self._packed is None:
            rows = max(x.numel() // x.shape[-1], FEW_ROWS)
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), rows)
        if plus is None:
            return _multiply(x, self._packed, self.bias, self.gelu)
        # In bfloat16 the sum would be rounded once, where the plain network rounds twice.
        if self.gelu or plus.dtype != torch.float32 or x.dtype != torch.float32 or not plus.is_contiguous():
            return plus + _multiply(x, self._packed, self.bias, self.gelu)
        return torch.ops.mkldnn._linear_pointwise.binary(x, plus, self._packed, self.bias, "add")


class PackableLayer(nn.Module):
    """A layer with a weight that may be packed: base of the fast linear and convolutional layers."""

    packs: bool = False
    """Whether to use packed weights outside of training; they are made on first use.

    Weights that change through PyTorch's own means (optimizers, loading, conversion) are packed again; values written
    behind its back, through `parameter.data`, are not noticed.
    """
    weight: Tensor

    def is_packed(self) -> bool:
        """Whether the layer uses packed weights now."""
        unused = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
        return self.packs and not unused and self.weight.is_cpu and not self.weight.is_inference()

    def packed(self, make: Callable[[], Packed], kind: Hashable = "") -> Packed:
        """What `make` made of the weights, made anew when these have changed or another `kind` is asked for."""
        state = _state(self._parameters.values()), kind
        found = _PACKED.get(self)
        if found is None or found[0] != state:
            found = _PACKED[self] = (state, make())
        return found[1]


class FastLinear(PackableLayer, nn.Linear):
    """`nn.Linear` with the same parameters and, up to rounding, the same results."""

    levels: Levels | None = None
    """Of what is read, where packed weights are to be those of 8 bits."""

    def forward(
        self, x: Tensor, gelu: Gelu = "", plus: Tensor | None = None, reader: "FastLinear | None" = None
    ) -> Tensor:
        """(..., in) -> (..., out), through a GELU or with `plus` (..., out) added, free where weights are packed.

        Args:
            reader: the only layer that reads the result; both may agree on another type of it.
        """
        if not self.is_packed():
            y = _activated(linear(x, self.weight, self.bias), gelu)
            return y if plus is None else plus + y
        readable = x.dtype in (torch.float32, torch.uint8) and self.weight.dtype == torch.float32
        if (levels := self.levels) is not None and readable and x.numel():
            short = self.packed(lambda: Int8Linear(self.weight, self.bias, gelu, levels), (gelu, levels))
            return short(x, plus, None if reader is None else reader.levels)
        return self.packed(lambda: PackedLinear(self.weight, self.bias, gelu), gelu)(x, plus)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, with gradients: (..., in) times (out, in) -> (..., out); in float32 on the CPU oneDNN multiplies."""
    usable = x.is_cpu and x.dtype == weight.dtype == torch.float32 and x.numel() >= FEW_ROWS * x.shape[-1]
    if not usable or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or not has_onednn(x.dtype):
        return F.linear(x, weight, bias)
    # oneDNN reads a weight or its transpose; any other strides take its reference code, a thousand times slower.
    plain = weight.is_contiguous() or weight.mT.is_contiguous()
    return _Linear.apply(x, weight if plain else weight.contiguous(), bias)


class _Linear(torch.autograd.Function):
    """oneDNN's product with its gradients; that of the weights, whose sum is the long one, is faster by MKL."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        # PyTorch's type of the context lacks what it saves for this function.
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            _multiply(rows, weight.mT, None).view(x.shape) if needs_x else None,
            rows.mT @ x.reshape(-1, x.shape[-1]) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )


# Beside the modules, so that copies and state dicts of these stay free of them.
_PACKED: "WeakKeyDictionary[nn.Module, tuple[tuple[State, Hashable], Any]]" = WeakKeyDictionary()


def _mark_changed(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Count what a fused optimizer did to its parameters as a change of them, which PyTorch leaves out."""
    for group in optimizer.param_groups:
        if group.get("fused"):
            for parameter in group["params"]:
                torch.autograd.graph.increment_version(parameter)


# Of all optimizers, since any of them may train what is packed here.
register_optimizer_step_post_hook(_mark_changed)


def weights_state(module: nn.Module) -> State:
    """Changes whenever parameters of a module are written to, replaced, moved or converted by PyTorch's own means."""
    return _state(module.parameters())


def _state(parameters: Iterable[Tensor | None]) -> State:
    # Asked for at each product of a layer: looking for parameters below it would take longer than a small product.
    return tuple([(p.data_ptr(), p._version, p.dtype) for p in parameters if p is not None])


def has_onednn(dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch multiplies `dtype` by oneDNN, with packed weights too."""
    return bool(torch.backends.mkldnn.enabled) and _builds_onednn(dtype)


@functools.cache
def _builds_onednn(dtype: torch.dtype) -> bool:
    if dtype not in DTYPES or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")


def _activated(x: Tensor, gelu: Gelu) -> Tensor:
    """`x` through the GELU that is named, if any."""
    return F.gelu(x, approximate=gelu) if gelu else x


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: Gelu = "") -> Tensor:
    """oneDNN's product of (..., in) and plain or packed weights (out, in), through a GELU if wanted."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu" if gelu else "none", [], gelu)
