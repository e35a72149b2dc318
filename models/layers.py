"""Transformer layers shared by the masked and the residual transformer.

Post-norm encoder layers (Vaswani et al. 2017, sections 3.1-3.5, with an exact GELU) on top of
`scaled_dot_product_attention`, so that every device picks its fused kernel where there is one.
"""

import math

import torch
from torch import Tensor, nn

from lamp.models.fast.dropout import Dropout, attention
from lamp.models.fast.linear import Linear


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Sinusoidal positions (Vaswani et al. 2017, section 3.5): sine on even columns, cosine on odd ones.

    Args:
        length: number of positions.
        width: columns, even.

    Returns:
        Table (length, width).
    """
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(length).unsqueeze(1) * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


class SinusoidalPositions(nn.Module):
    """Position table of `length` rows; longer sequences get the rows they need computed on the fly."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("table", sinusoidal_table(length, width), persistent=False)

    def forward(self, length: int) -> Tensor:
        """First `length` positions (length, width)."""
        if length <= self.table.shape[0]:
            return self.table[:length]
        return sinusoidal_table(length, self.width).to(self.table)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual, dropout and LayerNorm (post-norm)."""

    def __init__(self, width: int, num_heads: int, *, ff_size: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(width, 3 * width)
        self.out = Linear(width, width)
        self.linear1 = Linear(width, ff_size)
        self.linear2 = Linear(ff_size, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Apply the layer.

        Args:
            tokens: (B, N, D).
            mask: boolean (True = may attend) or additive, broadcastable to (B, heads, N, N).
            causal: a token attends to itself and those before it; excludes `mask`.

        Returns:
            (B, N, D).
        """
        return self.combine(tokens, self.mix(self.qkv(tokens), mask, causal=causal))

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
        return self.combine(tokens, self.mix(qkv, mask, causal=causal).flatten(0, 1).index_select(0, rows))

    def mix(self, qkv: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """What the heads find (B, N, D) in queries, keys and values (B, N, 3 D); the rest as in `forward`."""
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.dropout.p if self.training else 0.0
        return attention(query, key, value, mask, p=dropout, causal=causal).transpose(1, 2).flatten(2)

    def combine(self, tokens: Tensor, mixed: Tensor) -> Tensor:
        """The layer's result (..., D) for tokens (..., D) whose heads found `mixed` (..., D)."""
        tokens = self.norm1(tokens + self.dropout(self.out(mixed)))
        hidden = self.dropout(self.linear1(tokens, "none"))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


class PredictionHead(nn.Module):
    """BERT's output head: linear, GELU, LayerNorm, linear."""

    def __init__(self, width: int, output_width: int) -> None:
        super().__init__()
        self.dense = Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.output = Linear(width, output_width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., output_width)."""
        return self.output(self.norm(self.dense(hidden, "none")))


class ConditionedEncoder(nn.Module):
    """Encoder over [condition, extra tokens, motion tokens]; only motion tokens carry positions.

    A condition of zeros stands for "no condition"; the projection's bias remains.
    """

    def __init__(
        self,
        width: int,
        *,
        code_dim: int,
        cond_dim: int,
        num_layers: int,
        num_heads: int,
        ff_size: int,
        dropout: float,
        max_length: int,
    ) -> None:
        super().__init__()
        if width % num_heads or width % 2:
            raise ValueError(f"latent_dim {width} must be even and a multiple of num_heads {num_heads}")
        self.input_projection = Linear(code_dim, width)
        self.condition_projection = Linear(cond_dim, width)
        self.positions = SinusoidalPositions(max_length, width)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(width, num_heads, ff_size=ff_size, dropout=dropout) for _ in range(num_layers)
        )

    def forward(
        self,
        embedded: Tensor,
        condition: Tensor,
        *,
        extra: Tensor | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Encode motion tokens under a condition.

        Args:
            embedded: token embeddings (B, n, code_dim).
            condition: (G * B, cond_dim): G variants of the condition (guidance) for the same tokens.
            extra: further tokens without position (B, m, D).
            mask: see `EncoderLayer`, over 1 + m + n tokens and G * B (or 1) samples.
            causal: see `EncoderLayer`; the condition, being first, then sees itself only.
            rows: places among all G * B * (1 + m + n) that are computed, all that they attend to included; the other
                hidden states are zero. None: all. Without dropout and gradients only.

        Returns:
            Hidden states of the motion tokens (G * B, n, D).
        """
        tokens = self.tokens(embedded, condition, extra)
        if rows is None:
            for layer in self.layers:
                tokens = layer(tokens, mask, causal=causal)
        else:
            some, tokens = tokens.flatten(0, 1).index_select(0, rows), torch.zeros_like(tokens)
            qkv = tokens.new_zeros(*tokens.shape[:2], 3 * tokens.shape[2])
            for layer in self.layers:
                some = layer.forward_rows(some, rows, qkv, mask, causal=causal)
            tokens.flatten(0, 1).index_copy_(0, rows, some.to(tokens.dtype))
        return tokens[:, -embedded.shape[1] :]

    def tokens(self, embedded: Tensor, condition: Tensor, extra: Tensor | None = None) -> Tensor:
        """What the first layer reads, (G * B, 1 + m + n, D); see `forward`."""
        tokens = self.dropout(self.input_projection(embedded) + self.positions(embedded.shape[1]))
        if extra is not None:
            tokens = torch.cat((extra, tokens), dim=1)
        head = self.condition_projection(condition.to(tokens.dtype)).unsqueeze(1)
        return torch.cat((head, tokens.repeat(len(condition) // len(embedded), 1, 1)), dim=1)


def init_weights(module: nn.Module) -> None:
    """BERT-style start for `nn.Module.apply`: N(0, 0.02) matrices, zero biases; Xavier for packed q, k, v."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, EncoderLayer):
        nn.init.xavier_uniform_(module.qkv.weight)
