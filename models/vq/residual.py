"""Residual vector quantization: each level quantizes what the levels before left over (MoMask, section 3.1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.models.idle import with_zero_gradient
from lamp.models.vq.quantizer import Codebook
from lamp.utils.run.processes import world_size


@dataclass
class QuantizerOutput:
    """Result of the residual quantizer.

    Attributes:
        quantized: sum of the levels' codes (B, n, D), with the gradient passed straight through in training.
        codes: indices (B, n, Q); -1 at padded tokens and at levels that this batch did not use.
        commit_loss: mean over the levels used.
        perplexity: of each level's codes (Q,); NaN at levels that this batch did not use (average with `nanmean`).
    """

    quantized: Tensor
    codes: Tensor
    commit_loss: Tensor
    perplexity: Tensor


class ResidualQuantizer(nn.Module):
    """A stack of Q codebooks, or one codebook used Q times.

    Args:
        codebooks: Q codebooks, or a single one shared by all levels.
        num_quantizers: Q.
        dropout_prob: probability that a training batch uses only the levels 0..k, k uniform in 0..Q-1.
    """

    def __init__(self, codebooks: Iterable[Codebook], *, num_quantizers: int, dropout_prob: float) -> None:
        super().__init__()
        self.levels = nn.ModuleList(codebooks)
        self.num_quantizers = num_quantizers
        self.dropout_prob = dropout_prob

    def level(self, q: int) -> Codebook:
        """Codebook of level `q`."""
        return cast(Codebook, self.levels[q if len(self.levels) > 1 else 0])

    @property
    def codebooks(self) -> Tensor:
        """All codes (Q, nb_code, D)."""
        return torch.stack([self.level(q).codebook for q in range(self.num_quantizers)])

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> QuantizerOutput:
        """Quantize latents (B, n, D); `lengths` (B,) counts valid tokens."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            used = self._levels_used(x.device)
            valid = valid_tokens(x, lengths)
            rows = None if valid is None else valid.flatten()
            residual, outputs = x.flatten(0, 1), []
            for q in range(used):
                outputs.append(self.level(q)(residual, rows))
                residual = residual - outputs[-1].quantized.detach()

            total = (x.flatten(0, 1) - residual).detach().view_as(x)
            if valid is not None:
                total = total * valid[..., None]
            # The gradient passes once, not once per level.
            quantized = x + (total - x).detach() if self.training else total
            perplexity = torch.stack([output.perplexity for output in outputs])
            commit_loss = torch.stack([output.loss for output in outputs]).mean()
            if self.training:
                # Codes learnt by gradient, of levels that this batch leaves out.
                idle = [parameter for level in list(self.levels)[used:] for parameter in level.parameters()]
                commit_loss = with_zero_gradient(commit_loss, idle)
            return QuantizerOutput(
                quantized=quantized,
                codes=self._stack_codes([output.codes for output in outputs], valid, x.shape[:2]),
                commit_loss=commit_loss,
                perplexity=F.pad(perplexity, (0, self.num_quantizers - used), value=float("nan")),
            )

    @torch.no_grad()
    def encode(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Nearest codes (B, n, Q) of latents (B, n, D); -1 at padded tokens."""
        with torch.autocast(x.device.type, enabled=False):
            residual, codes = x.float().flatten(0, 1), []
            for q in range(self.num_quantizers):
                codes.append(self.level(q).assign(residual))
                residual = residual - F.embedding(codes[-1], self.level(q).codebook)
            return self._stack_codes(codes, valid_tokens(x, lengths), x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """Sum (B, n, D) of the codes (B, n, Q') of the first Q' <= Q levels; -1 contributes nothing."""
        if codes.shape[-1] > self.num_quantizers:
            raise ValueError(f"codes have {codes.shape[-1]} levels, the tokenizer has {self.num_quantizers}")
        total = self.codebooks.new_zeros(())
        for q, index in enumerate(codes.unbind(-1)):
            total = total + F.embedding(index.clamp(min=0), self.level(q).codebook) * (index >= 0)[..., None]
        return total

    def _levels_used(self, device: torch.device) -> int:
        """Number of levels that this batch uses, the same in all processes."""
        if not self.training or self.dropout_prob == 0:
            return self.num_quantizers
        draw = torch.rand(2)
        if world_size() > 1:
            draw = draw.to(device)
            dist.broadcast(draw, src=0)
        dropped, last = draw.tolist()
        return int(last * self.num_quantizers) + 1 if dropped < self.dropout_prob else self.num_quantizers

    def _stack_codes(self, codes: list[Tensor], valid: Tensor | None, shape: torch.Size) -> Tensor:
        """Codes of the levels used, each (B * n,), as (B, n, Q) with -1 where there is none."""
        stacked = torch.stack(codes, dim=-1).view(*shape, -1)
        stacked = F.pad(stacked, (0, self.num_quantizers - len(codes)), value=-1)
        return stacked if valid is None else stacked.masked_fill(~valid[..., None], -1)


def valid_tokens(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """True (B, n) at the tokens of `x` (B, n, D) before each item's length; None if there are no lengths."""
    return None if lengths is None else torch.arange(x.shape[1], device=x.device) < lengths[:, None]
