"""Dropout that does not dominate training on the CPU, and attention with it.

PyTorch draws a Bernoulli number for each element there, which takes longer than the matrix products around it on some
processors. Four elements to a 64-bit random integer are five times faster; probabilities are exact to 2**-16.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.models.layers import Attention

LEVELS = 2**16


class FastDropout(nn.Dropout):
    """`nn.Dropout`, drawn faster on the CPU (from the same global generator, but other numbers)."""

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements of `x` with probability p and scale the others by 1 / (1 - p), in training."""
        return dropout(x, self.p) if self.training else x


class FastAttention(Attention):
    """`Attention` whose weights are dropped by `dropout`, where that is the faster one."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """As `Attention`; a query that may attend to nothing gets a finite result."""
        if not self.training or self.dropout == 0 or not _drawn_here(query):
            return super().forward(query, key, value, mask, causal=causal)
        if causal:
            mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
        scores = query * query.shape[-1] ** -0.5 @ key.mT
        if mask is not None:
            # Finite, so that a row that sees nothing gives no NaN.
            lowest = torch.finfo(scores.dtype).min
            if mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask, lowest)
            else:
                scores = (scores + mask).clamp_min(lowest)
        return dropout(scores.softmax(-1), self.dropout) @ value


def dropout(x: Tensor, p: float) -> Tensor:
    """`x` with elements zeroed with probability `p` and the others scaled by 1 / (1 - p)."""
    if p == 0:
        return x
    if not _drawn_here(x) or p >= 1:
        return F.dropout(x, p)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    # In the memory order of `x`, which for convolutions is not that of its dimensions.
    factors = torch.empty_like(x)
    flat = factors.as_strided((x.numel(),), (1,))
    torch.ge(bits[: x.numel()], round(p * LEVELS) - LEVELS // 2, out=flat).mul_(1 / (1 - p))
    return x * factors


def _drawn_here(x: Tensor) -> bool:
    """Whether this module's own drawing is the fastest; a compiler fuses PyTorch's into what surrounds it."""
    return x.is_cpu and not torch.compiler.is_compiling()
