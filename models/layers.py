"""Transformer layers shared by the masked and the residual transformer.

Post-norm encoder layers (Vaswani et al. 2017, sections 3.1-3.5, with an exact GELU) on top of
`scaled_dot_product_attention`, so that every device picks its fused kernel where there is one.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoidal_table(length: int, width: int) -> Tensor:
    """Sinusoidal positions (Vaswani et al. 2017, section 3.5): sine on even columns, cosine on odd ones.

    Args:
        length: number of positions.
        width: columns, even.

    Returns:
        Table (length, width).
    """
    if torch.empty(0).is_meta:  # shapes only are asked for; to compute there, PyTorch would import its compiler (2 s)
        return torch.empty(length, 2 * -(-width // 2))
    frequencies = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = torch.arange(length).unsqueeze(1) * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


class SinusoidalPositions(nn.Module):
    """Position table of `length` rows; longer sequences get the rows they need computed on the fly."""

    table: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("table", sinusoidal_table(length, width), persistent=False)

    def forward(self, length: int) -> Tensor:
        """First `length` positions (length, width)."""
        if length <= self.table.shape[0]:
            return self.table[:length]
        return sinusoidal_table(length, self.width).to(self.table)


class Attention(nn.Module):
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1), in training with dropout on its weights."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        """Weighted sums of the values.

        Args:
            query: (B, heads, N, D).
            key, value: (B, heads, M, D).
            mask: boolean (True = may attend) or additive, broadcastable to (B, heads, N, M).
            causal: a query attends to keys up to its own place; excludes `mask`.

        Returns:
            (B, heads, N, D).
        """
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, is_causal=causal)


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each followed by residual, dropout and LayerNorm (post-norm)."""

    def __init__(self, width: int, num_heads: int, *, ff_size: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.attention = Attention(dropout)
        self.out = nn.Linear(width, width)
        self.linear1 = nn.Linear(width, ff_size)
        self.linear2 = nn.Linear(ff_size, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Apply the layer.

        Args:
            tokens: (B, N, D).
            mask: boolean (True = may attend) or additive, broadcastable to (B, heads, N, N).
            causal: a token attends to itself and those before it; excludes `mask`.

        Returns:
            (B, N, D).
        """
        return self.update(tokens, self.attend(self.qkv(tokens), mask, causal=causal))

    def attend(self, qkv: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """What the heads find (B, N, D) in queries, keys and values (B, N, 3 D); the rest as in `forward`."""
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.attention(query, key, value, mask, causal=causal).transpose(1, 2).flatten(2)

    def update(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """The layer's result (..., D) for tokens (..., D) whose heads found `attended` (..., D)."""
        tokens = self.norm1(tokens + self.dropout(self.out(attended)))
        return self.norm2(tokens + self.dropout(self.feed_forward(tokens)))

    def feed_forward(self, tokens: Tensor) -> Tensor:
        """Linear, GELU, dropout, linear: (..., D) -> (..., D)."""
        return self.linear2(self.dropout(F.gelu(self.linear1(tokens))))


class PredictionHead(nn.Module):
    """BERT's output head: linear, GELU, LayerNorm, linear."""

    def __init__(self, width: int, output_width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.output = nn.Linear(width, output_width)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., output_width)."""
        return self.output(self.norm(F.gelu(self.dense(hidden))))


class ConditionedEncoder(nn.Module):
    """Encoder over [condition, extra tokens, motion tokens]; only motion tokens carry positions.

    A condition of zeros stands for "no condition"; the projection's bias remains. The condition is one token (LaMP,
    MoMask), or one for each word, the sentence's own first: then a further row of zeros is no word, and nobody looks at
    it.
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
        self.input_projection = nn.Linear(code_dim, width)
        self.condition_projection = nn.Linear(cond_dim, width)
        self.positions = SinusoidalPositions(max_length, width)
        self.dropout = nn.Dropout(dropout)
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
    ) -> Tensor:
        """Encode motion tokens under a condition.

        Args:
            embedded: token embeddings (B, n, code_dim).
            condition: (G * B, cond_dim), or of words (G * B, L, cond_dim): G variants of the condition
                (guidance) for the same tokens.
            extra: further tokens without position (B, m, D).
            mask: see `EncoderLayer`, over 1 (or L) + m + n tokens and G * B (or 1) samples.
            causal: see `EncoderLayer`; the condition, being first, then sees itself only. Not with words.

        Returns:
            Hidden states of the motion tokens (G * B, n, D).
        """
        tokens = self.encode(self.tokens(embedded, condition, extra), mask, causal=causal)
        return tokens[:, -embedded.shape[1] :]

    def encode(self, tokens: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """All layers, (G * B, N, D) -> (G * B, N, D); see `forward`."""
        for layer in self.layers:
            tokens = layer(tokens, mask, causal=causal)
        return tokens

    def tokens(self, embedded: Tensor, condition: Tensor, extra: Tensor | None = None) -> Tensor:
        """What the first layer reads, (G * B, 1 (or L) + m + n, D); see `forward`."""
        tokens = self.dropout(self.input_projection(embedded) + self.positions(embedded.shape[1]))
        if extra is not None:
            tokens = torch.cat((extra, tokens), dim=1)
        head = self.condition_projection(condition.to(tokens.dtype))
        head = head.unsqueeze(1) if condition.dim() == 2 else head
        return torch.cat((head, tokens.repeat(len(condition) // len(embedded), 1, 1)), dim=1)


Condition = Literal["sentence", "words"]
"""What a generator reads of a text: one vector (the published systems), or one for each word."""


def read_condition(condition: Tensor, kind: Condition) -> Tensor:
    """A condition, made sure to be what a network reads: (B, C) for "sentence", (B, L, C) for "words".

    Raises:
        ValueError: it is not.
    """
    if condition.dim() != (3 if kind == "words" else 2):
        raise ValueError(f"a condition of shape {tuple(condition.shape)} is not what reads {kind!r}")
    return condition


def visible_tokens(condition: Tensor, tokens: int, padding: Tensor | None, extra: int = 0) -> Tensor | None:
    """Which of [condition, extra tokens, motion tokens] others may look at.

    Args:
        condition: (G * B, C) or (G * B, L, C); see `ConditionedEncoder`.
        tokens: motion tokens, n.
        padding: (B, n), True at padding; None: no padding.
        extra: further tokens.

    Returns:
        (G * B, N) boolean; None where all are visible.
    """
    samples = len(condition)
    if padding is None:
        motion = condition.new_ones(samples, tokens, dtype=torch.bool)
    else:
        motion = (~padding).repeat(samples // len(padding), 1)
    if condition.dim() == 2:
        return None if padding is None else F.pad(motion, (1 + extra, 0), value=True)
    words = (condition[:, 1:] != 0).any(-1)
    return torch.cat((F.pad(words, (1, extra), value=True), motion), dim=1)


def init_weights(module: nn.Module) -> None:
    """BERT-style start for `nn.Module.apply`: N(0, 0.02) matrices, zero biases; Xavier for packed q, k, v."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, EncoderLayer):
        nn.init.xavier_uniform_(module.qkv.weight)
