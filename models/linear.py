"""A linear layer that is faster without gradients on the CPU: its weights are laid out once, as oneDNN reads them best.

PyTorch's own `F.linear` in float32 reads the plain layout at every call, which for a single motion costs up to a third
of the time. The operators used here are those that PyTorch's compiler emits for frozen weights; where a build lacks
them, whenever gradients are wanted, and until `pack_weights` is called, this is an ordinary linear layer.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class _Packed:
    """Weights in oneDNN's layout, and which weights they were."""

    weight: Tensor
    source: tuple[int, int, torch.dtype]


# Beside the modules, so that copies and state dicts of these stay free of them.
_PACKED: "WeakKeyDictionary[nn.Module, _Packed]" = WeakKeyDictionary()


class Linear(nn.Linear):
    """`nn.Linear` with the same parameters and, up to rounding, the same results; `pack_weights` makes it fast."""

    packs = False

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        packed = self._packed_for(x)
        if packed is None:
            return F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, packed, self.bias, "none", [], "")

    def gelu(self, x: Tensor) -> Tensor:
        """The exact GELU of the layer's output, computed with it: (..., in) -> (..., out)."""
        packed = self._packed_for(x)
        if packed is None:
            return F.gelu(F.linear(x, self.weight, self.bias))
        return torch.ops.mkldnn._linear_pointwise(x, packed, self.bias, "gelu", [], "none")

    def _packed_for(self, x: Tensor) -> Tensor | None:
        """Weights to multiply `x` with; None where the plain layer has to do it."""
        weight = self.weight
        if not self.packs or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return None
        usable = x.is_cpu and weight.is_cpu and x.dtype == weight.dtype and x.dtype in DTYPES and x.numel() > 0
        if not usable or weight.is_inference() or not _can_pack(x.dtype):
            return None
        source = (weight.data_ptr(), weight._version, weight.dtype)
        found = _PACKED.get(self)
        if found is None or found.source != source:
            rows = x.numel() // x.shape[-1]
            found = _Packed(torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows), source)
            _PACKED[self] = found
        return found.weight


def pack_weights(model: nn.Module) -> None:
    """Let the `Linear` layers of a model that is trained no more use packed weights, which they make on first use.

    Weights that change through PyTorch's own means (optimizers, loading, conversion) are packed again; values written
    behind its back, through `parameter.data`, are not noticed.
    """
    for module in model.modules():
        if isinstance(module, Linear):
            module.packs = True


def _can_pack(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
