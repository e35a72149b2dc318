"""The Q-Former: learnt queries and text through one BERT whose queries also attend to a context (motion or text).

Li et al. 2023, "BLIP-2: Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language
Models", section 3.1. Queries and text share the self-attention, each has a feed-forward of its own; every
`cross_attention_freq`-th layer lets the queries attend to the context. Layers are post-norm, as in BERT.
What sees what is decided by the masks; see `padding_mask`, `joint_mask` and `causal_mask`.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamp.models.layers import Attention

LAYER_NORM_EPS = 1e-12


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one attention, (B, heads, S, head size) each."""

    keys: Tensor
    values: Tensor

    def select(self, rows: Tensor | slice) -> "KeyValue":
        """Keys and values of the given batch rows."""
        return KeyValue(self.keys[rows], self.values[rows])

    def followed_by(self, other: "KeyValue") -> "KeyValue":
        """These positions, then those of `other`; a single row here serves every row of `other`."""
        rows = (len(other.keys), -1, -1, -1)
        keys = torch.cat([self.keys.expand(rows), other.keys], dim=2)
        return KeyValue(keys, torch.cat([self.values.expand(rows), other.values], dim=2))


@dataclass(frozen=True)
class Context:
    """What the queries cross-attend to, already projected to every layer's keys and values.

    Attributes:
        layers: keys and values by layer, None where a layer has no cross-attention.
        mask: (B, 1, 1, S) bool, True where attention is allowed; None allows everything.
    """

    layers: tuple[KeyValue | None, ...]
    mask: Tensor | None

    def select(self, rows: Tensor | slice) -> "Context":
        """Context of the given batch rows, so that one motion serves several texts."""
        layers = tuple(layer and layer.select(rows) for layer in self.layers)
        return Context(layers, None if self.mask is None else self.mask[rows])

    def with_rows(self, other: "Context") -> "Context":
        """These batch rows, then those of `other`, of the same size and with a mask as well."""
        layers = tuple(
            mine and theirs and KeyValue(torch.cat([mine.keys, theirs.keys]), torch.cat([mine.values, theirs.values]))
            for mine, theirs in zip(self.layers, other.layers, strict=True)
        )
        masks = [mask for mask in (self.mask, other.mask) if mask is not None]
        return Context(layers, torch.cat(masks) if masks else None)


@dataclass(frozen=True)
class QFormerOutput:
    """Hidden states of one pass.

    Attributes:
        queries: (B, nq, H); nq = 0 in a pass without queries.
        text: (B, L, H); L = 0 in a pass without text.
        cache: by layer, the self-attention's keys and values, those of the prefix included.
    """

    queries: Tensor
    text: Tensor
    cache: tuple[KeyValue, ...]


def padding_mask(attention_mask: Tensor) -> Tensor:
    """(B, L) bool -> (B, 1, 1, L): every position sees all that is not padding."""
    return attention_mask[:, None, None, :]


def joint_mask(num_queries: int, attention_mask: Tensor) -> Tensor:
    """(B, L) bool -> (B, 1, 1, nq + L): queries and text see each other, nobody sees padding."""
    return padding_mask(F.pad(attention_mask, (num_queries, 0), value=True))


def causal_mask(num_queries: int, attention_mask: Tensor) -> Tensor:
    """(B, L) bool -> (B, 1, L, nq + L): each text position sees the prefixed queries and the text up to itself."""
    length = attention_mask.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device).tril()
    return F.pad(past & attention_mask[:, None, :], (num_queries, 0), value=True)[:, None]


class _Residual(nn.Module):
    """Linear, dropout, residual, LayerNorm: how every block of a post-norm layer ends."""

    def __init__(self, in_size: int, hidden_size: int, dropout: float):
        super().__init__()
        self.linear = nn.Linear(in_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)

    def forward(self, update: Tensor, residual: Tensor) -> Tensor:
        return self.norm(self.dropout(self.linear(update)) + residual)


class FeedForward(nn.Module):
    """Linear, GELU, linear; then dropout, residual, LayerNorm."""

    def __init__(self, hidden_size: int, intermediate_size: int, dropout: float):
        super().__init__()
        self.linear = nn.Linear(hidden_size, intermediate_size)
        self.output = _Residual(intermediate_size, hidden_size, dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.output(F.gelu(self.linear(hidden)), hidden)


class _Attention(nn.Module):
    """What self- and cross-attention share: heads, the weighted sum, the output block."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float, attention_dropout: float):
        super().__init__()
        self.num_heads = num_heads
        self.attention = Attention(attention_dropout)
        self.output = _Residual(hidden_size, hidden_size, dropout)

    def split_heads(self, packed: Tensor, count: int) -> tuple[Tensor, ...]:
        """(B, S, count * H) -> `count` tensors (B, heads, S, head size)."""
        return packed.unflatten(-1, (count, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(self, query: Tensor, key_value: KeyValue, mask: Tensor | None, residual: Tensor) -> Tensor:
        """Attention, output projection and residual; (B, S, H)."""
        attended = self.attention(query, key_value.keys, key_value.values, mask)
        return self.output(attended.transpose(1, 2).flatten(2), residual)


class SelfAttention(_Attention):
    """Self-attention over [queries, text], with an optional prefix of keys and values from another pass."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float, attention_dropout: float):
        super().__init__(hidden_size, num_heads, dropout, attention_dropout)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None, prefix: KeyValue | None) -> tuple[Tensor, KeyValue]:
        """(B, S, H) -> (B, S, H) and the keys and values attended to."""
        query, keys, values = self.split_heads(self.query_key_value(hidden), 3)
        key_value = KeyValue(keys, values)
        if prefix is not None:
            key_value = prefix.followed_by(key_value)
        return self.attend(query, key_value, mask, hidden), key_value


class CrossAttention(_Attention):
    """Attention of the queries to the context."""

    def __init__(self, hidden_size: int, context_width: int, num_heads: int, dropout: float, attention_dropout: float):
        super().__init__(hidden_size, num_heads, dropout, attention_dropout)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key_value = nn.Linear(context_width, 2 * hidden_size)

    def project(self, states: Tensor) -> KeyValue:
        """Context states (B, S, W) -> keys and values."""
        return KeyValue(*self.split_heads(self.key_value(states), 2))

    def forward(self, queries: Tensor, context: KeyValue, mask: Tensor | None) -> Tensor:
        """(B, nq, H), or one row that all B contexts share -> (B, nq, H)."""
        rows = len(context.keys)
        (query,) = self.split_heads(self.query(queries), 1)
        return self.attend(query.expand(rows, -1, -1, -1), context, mask, queries.expand(rows, -1, -1))


class QFormerLayer(nn.Module):
    """Shared self-attention, cross-attention of the queries (if `context_width` is given), two feed-forwards."""

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        *,
        intermediate_size: int,
        context_width: int | None,
        dropout: float,
        attention_dropout: float,
    ):
        super().__init__()
        self.self_attention = SelfAttention(hidden_size, num_heads, dropout, attention_dropout)
        self.cross_attention: CrossAttention | None = None
        if context_width is not None:
            self.cross_attention = CrossAttention(hidden_size, context_width, num_heads, dropout, attention_dropout)
        self.query_feed_forward = FeedForward(hidden_size, intermediate_size, dropout)
        self.text_feed_forward = FeedForward(hidden_size, intermediate_size, dropout)

    def forward(
        self,
        hidden: Tensor,
        num_queries: int,
        *,
        mask: Tensor | None,
        prefix: KeyValue | None,
        context: KeyValue | None,
        context_mask: Tensor | None,
    ) -> tuple[Tensor, KeyValue]:
        """(B, nq + L, H), queries first -> the same shape, and the self-attention's keys and values."""
        hidden, key_value = self.self_attention(hidden, mask, prefix)
        if num_queries == 0:
            return self.text_feed_forward(hidden), key_value
        queries, text = hidden.split([num_queries, hidden.shape[1] - num_queries], dim=1)
        if self.cross_attention is not None and context is not None:
            queries = self.cross_attention(queries, context, context_mask)
        queries = self.query_feed_forward(queries)
        if text.shape[1] == 0:
            return queries, key_value
        return torch.cat([queries, self.text_feed_forward(text)], dim=1), key_value


class QFormer(nn.Module):
    """Embeddings, query tokens and layers.

    Args:
        hidden_size: width H.
        num_layers: number of layers.
        num_heads: attention heads.
        intermediate_size: width inside the feed-forwards.
        vocab_size: rows of the word embedding.
        max_positions: rows of the position embedding.
        num_query_tokens: number nq of learnt queries.
        cross_attention_freq: layers 0, freq, 2 freq, ... have cross-attention.
        context_width: width W of the context.
        dropout: after embeddings, attention and feed-forwards.
        attention_dropout: on attention weights.
    """

    def __init__(
        self,
        *,
        hidden_size: int,
        num_layers: int,
        num_heads: int,
        intermediate_size: int,
        vocab_size: int,
        max_positions: int,
        num_query_tokens: int,
        cross_attention_freq: int,
        context_width: int,
        dropout: float,
        attention_dropout: float,
    ):
        super().__init__()
        self.num_query_tokens = num_query_tokens
        self.word_embedding = nn.Embedding(vocab_size, hidden_size)
        self.position_embedding = nn.Embedding(max_positions, hidden_size)
        self.query_tokens = nn.Parameter(torch.zeros(1, num_query_tokens, hidden_size))
        self.embedding_norm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            QFormerLayer(
                hidden_size,
                num_heads,
                intermediate_size=intermediate_size,
                context_width=context_width if index % cross_attention_freq == 0 else None,
                dropout=dropout,
                attention_dropout=attention_dropout,
            )
            for index in range(num_layers)
        )

    def embed_text(self, input_ids: Tensor, start: int = 0) -> Tensor:
        """Ids (B, L) at positions `start`, `start` + 1, ... -> (B, L, H); words, positions, LayerNorm."""
        positions = self.position_embedding.weight[start : start + input_ids.shape[1]]
        return self.dropout(self.embedding_norm(self.word_embedding(input_ids) + positions))

    def embed_queries(self, rows: int = 1) -> Tensor:
        """The query tokens (rows, nq, H); they have no positions.

        Without text all rows are alike until the first cross-attention, so a pass of queries alone takes one row.
        """
        return self.dropout(self.embedding_norm(self.query_tokens).expand(rows, -1, -1))

    def context(self, states: Tensor, attention_mask: Tensor | None = None) -> Context:
        """Project context states (B, S, W), valid where `attention_mask` (B, S) is True, for all layers."""
        layers = tuple(
            None if layer.cross_attention is None else layer.cross_attention.project(states)
            for layer in cast("list[QFormerLayer]", self.layers)
        )
        return Context(layers, None if attention_mask is None else padding_mask(attention_mask))

    def forward(
        self,
        *,
        queries: Tensor | None = None,
        text: Tensor | None = None,
        context: Context | None = None,
        mask: Tensor | None = None,
        prefix: tuple[KeyValue, ...] | None = None,
    ) -> QFormerOutput:
        """Run all layers over [queries, text].

        Args:
            queries: embedded queries (B, nq, H), one row when alone over a context, or None for text alone.
            text: embedded text (B, L, H), or None for queries alone.
            context: what the queries cross-attend to; None skips cross-attention.
            mask: self-attention mask, True where allowed, broadcast to (B, heads, nq + L, prefix + nq + L).
            prefix: keys and values by layer that stand before the input's own.
        """
        num_queries = 0 if queries is None else queries.shape[1]
        hidden = torch.cat([part for part in (queries, text) if part is not None], dim=1)
        cache = []
        for index, layer in enumerate(self.layers):
            hidden, key_value = layer(
                hidden,
                num_queries,
                mask=mask,
                prefix=None if prefix is None else prefix[index],
                context=None if context is None else context.layers[index],
                context_mask=None if context is None else context.mask,
            )
            cache.append(key_value)
        return QFormerOutput(queries=hidden[:, :num_queries], text=hidden[:, num_queries:], cache=tuple(cache))


class LanguageHead(nn.Module):
    """BERT's head over the vocabulary: linear, GELU, LayerNorm, then the word embedding transposed, plus a bias."""

    def __init__(self, hidden_size: int, vocab_size: int):
        super().__init__()
        self.linear = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, hidden: Tensor, word_embedding: Tensor) -> Tensor:
        """Hidden states (..., H) -> logits (..., V), with the tied table (V, H)."""
        return F.linear(self.norm(F.gelu(self.linear(hidden))), word_embedding, self.bias)
