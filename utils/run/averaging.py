"""Exponential moving average of a model's weights."""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class AveragedWeights(Generic[Model]):
    """A copy of a model whose parameters follow the trained ones slowly; buffers (codebooks, statistics) are copied."""

    def __init__(self, model: Model, decay: float) -> None:
        """Start from a copy of `model`, in eval mode and without gradients."""
        self.model, self.decay = copy.deepcopy(model).eval().requires_grad_(False), decay

    @torch.no_grad()
    def update(self, model: nn.Module, iteration: int) -> None:
        """Move towards `model`; early on faster than `decay` says, so that the initial weights are forgotten."""
        weight = 1 - min(self.decay, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), weight)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Values to save."""
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved values."""
        self.model.load_state_dict(state)
