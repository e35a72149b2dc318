"""Layers of the transformers: GELU and sums in one operation with the product before them, and no states of padding.

Padding is masked for all: no query attends to it, and nobody reads its own states. On the CPU these are not computed,
which saves the padded share of a batch; elsewhere, to wait for the number of tokens costs more than it saves.
"""

from typing import cast

import torch
from torch import Tensor

from lamp.models.layers import ConditionedEncoder, EncoderLayer, PredictionHead, read_condition, visible_tokens
from lamp.models.t2m.residual import ResidualTransformer

WORTH = 0.15
"""Share of a batch's tokens that no other looks at from which on it is faster to leave them out."""


class FastEncoderLayer(EncoderLayer):
    """`EncoderLayer` that can be applied to some tokens only."""

    def update(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """The layer's result (..., D) for tokens (..., D) whose heads found `attended` (..., D)."""
        if self.training:
            return super().update(tokens, attended)
        tokens = self.norm1(self.out(attended, plus=tokens))
        return self.norm2(self.linear2(self.linear1(tokens, "none", reader=self.linear2), plus=tokens))

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


class FastConditionedEncoder(ConditionedEncoder):
    """`ConditionedEncoder` that makes numbers of a boolean mask once, on the CPU, not anew in each layer."""

    def encode(self, tokens: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """As in `ConditionedEncoder`."""
        usable = tokens.is_cpu and not self.training and not torch.is_autocast_enabled("cpu")
        if usable and mask is not None and mask.dtype == torch.bool:
            numbers = torch.zeros_like(mask, dtype=self.input_projection.weight.dtype)
            mask = numbers.masked_fill_(~mask, float("-inf"))
        return super().encode(tokens, mask, causal=causal)


class FastPredictionHead(PredictionHead):
    """`PredictionHead` with GELU as part of the product."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., output_width)."""
        return self.output(self.norm(self.dense(hidden, "none")))


class FastResidualTransformer(ResidualTransformer):
    """`ResidualTransformer` that generates without hidden states of padding, on the CPU."""

    def level_vectors(self, codes: Tensor, conditions: Tensor, level: int, padding: Tensor | None) -> Tensor:
        """Predicted code vectors (G * B, n, code_dim) of one level in `generate`; those at padding mean nothing."""
        conditions = read_condition(conditions, self.config.condition)
        visible = None
        if not self.training and codes.is_cpu:
            visible = some_visible(conditions, codes.shape[1], padding, extra=1)
        if visible is None:
            return super().level_vectors(codes, conditions, level, padding)
        levels = torch.full(codes.shape[:1], level)
        extra = self.level_embedding(levels).unsqueeze(1)
        tokens = self.encoder.tokens(self.history(codes, levels), conditions, extra)
        return self.head(encode_visible(self.encoder, tokens, visible)[:, -codes.shape[1] :])


def some_visible(condition: Tensor, tokens: int, padding: Tensor | None, extra: int = 0) -> Tensor | None:
    """`visible_tokens`, where it pays to compute no others; otherwise None."""
    visible = visible_tokens(condition, tokens, padding, extra)
    if visible is None or padding is not None:
        return visible
    # Without padding there are still words: those of shorter sentences, and all where there is no condition.
    return visible if visible.float().mean() < 1 - WORTH else None


def encode_visible(encoder: ConditionedEncoder, tokens: Tensor, visible: Tensor) -> Tensor:
    """Hidden states (B, N, D) of the tokens that are visible to all; zero elsewhere. Without dropout and gradients.

    Args:
        encoder: of fast layers.
        tokens: (B, N, D), see `ConditionedEncoder.tokens`.
        visible: (B, N) boolean.
    """
    rows = visible.flatten().nonzero()[:, 0]
    some, states = tokens.flatten(0, 1).index_select(0, rows), torch.zeros_like(tokens)
    qkv = tokens.new_zeros(*tokens.shape[:2], 3 * tokens.shape[2])
    for layer in cast("list[FastEncoderLayer]", encoder.layers):
        some = layer.forward_rows(some, rows, qkv, visible[:, None, None, :])
    states.flatten(0, 1).index_copy_(0, rows, some.to(states.dtype))
    return states
