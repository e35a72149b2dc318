"""Layers of the transformers: GELU in one operation with the product before it, and no states of padding.

Padding is masked for all: no query attends to it, and nobody reads its own states. On the CPU these are not computed,
which saves the padded share of a batch; elsewhere, to wait for the number of tokens costs more than it saves.
"""

from typing import cast

import torch
from torch import Tensor

from lamp.models.layers import ConditionedEncoder, EncoderLayer, PredictionHead


class FastEncoderLayer(EncoderLayer):
    """`EncoderLayer` that can be applied to some tokens only."""

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Linear, GELU, dropout, linear: (..., D) -> (..., D)."""
        return self.linear2(self.dropout(self.linear1(tokens, "none")))

    def forward_rows(
        self, tokens: Tensor, rows: Tensor, qkv: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Apply the layer to some tokens only; without dropout and gradients.

        Args:
            tokens: (R, D).
            rows: (R,) their places among the B * N of the batch.
            qkv: (B, N, 3 D) queries, keys and values, finite everywhere and right wherever these tokens attend to and
                `rows` does not name; theirs are written.
            mask, causal: as in `forward`.

        Returns:
            (R, D).
        """
        # Autocast gives another type.
        qkv.flatten(0, 1).index_copy_(0, rows, self.qkv(tokens).to(qkv.dtype))
        return self.update(tokens, self.attend(qkv, mask, causal=causal).flatten(0, 1).index_select(0, rows))


class FastPredictionHead(PredictionHead):
    """`PredictionHead` with GELU as part of the product."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., output_width)."""
        return self.output(self.norm(self.dense(hidden, "none")))


class FastConditionedEncoder(ConditionedEncoder):
    """`ConditionedEncoder` that leaves out what a padding mask hides, on the CPU and outside of training."""

    def encode(self, tokens: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """All layers, (G * B, N, D) to the same shape; zero where tokens are skipped."""
        if mask is None or not self._skips(tokens, mask):
            return super().encode(tokens, mask, causal=causal)
        rows = mask.flatten().nonzero()[:, 0]
        some, states = tokens.flatten(0, 1).index_select(0, rows), torch.zeros_like(tokens)
        qkv = tokens.new_zeros(*tokens.shape[:2], 3 * tokens.shape[2])
        for layer in cast("list[FastEncoderLayer]", self.layers):
            some = layer.forward_rows(some, rows, qkv, mask, causal=causal)
        states.flatten(0, 1).index_copy_(0, rows, some.to(states.dtype))
        return states

    def _skips(self, tokens: Tensor, mask: Tensor) -> bool:
        unused = self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        hides_keys = mask.dtype == torch.bool and mask.shape == (len(tokens), 1, 1, tokens.shape[1])
        return tokens.is_cpu and hides_keys and not unused
