"""The optimiser of all training scripts."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for `adamw`: matrices and tables with weight decay; biases, norms and single vectors without."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def adamw(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    lr: float,
    *,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) that updates all parameters in one pass over memory.

    That is several times faster than PyTorch's default on the CPU, and one launch instead of a dozen on a GPU.

    Args:
        parameters: of the model, or groups of them.
        lr: learning rate.
        betas: decay of the two moments; (0.9, 0.99) as MoMask trains.
        weight_decay: of groups that do not say otherwise; at 0 this is Adam.
    """
    # Not every supported PyTorch has the fused update for MPS.
    fused = not torch.backends.mps.is_available()
    return torch.optim.AdamW(parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=fused or None)
