"""Configuration of LaMP, what it is given in training, and its named results."""

from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.models.lamp.text import TextBatch
from lamp.utils.errors import UserError


@dataclass(frozen=True)
class LaMPConfig:
    """Sizes and behaviour of `LaMP`.

    Attributes:
        vocab_size: words of the tokenizer, [DEC] included as the last.
        hidden_size: width H of queries and text.
        num_layers: Q-Former layers.
        num_heads: attention heads.
        intermediate_size: width inside the feed-forwards.
        max_positions: longest text the position table allows.
        num_query_tokens: learnt queries nq; also the longest motion in tokens that text-to-motion prediction covers.
        cross_attention_freq: layers 0, freq, 2 freq, ... let the queries attend to the motion or text.
        cross_attention_width: width W of what the queries attend to.
        motion_width: width of the motion features (the tokenizer's code size).
        motion_norm: layer-normalise motion features before their projection, as BLIP-2 does with image features;
            public weights were trained without.
        embed_dim: width E of the joint embedding.
        nb_code: codes of the tokenizer's base level.
        max_text_length: longest caption in tokens, [CLS] and [SEP] included.
        dropout: after embeddings, attention and feed-forwards.
        attention_dropout: on attention weights.
        label_smoothing: of the contrastive, captioning and generation losses.
        temperature: similarities are multiplied by exp(parameter), or, as in public weights, by the "raw" parameter.
        text_condition: text that the queries attend to when they predict motion codes: "contextual" states through the
            projection the text condition uses, or, as in public weights, the "embedding" layer through its own one.
        condition_length: 0 masks padding in the text condition; otherwise texts are padded to this length and the
            queries attend to the padding too, as in public weights (49).
        has_motion: the weights contain the motion side and the heads; false for public text-to-motion files.
        has_condition: the weights contain the projection of the text condition; false for public pretraining files.
        contrastive_weight: weight of the contrastive loss; a loss of weight 0 is not computed.
        matching_weight: weight of the matching loss.
        captioning_weight: weight of the motion-grounded caption loss.
        generation_weight: weight of the text-grounded motion-code loss.
        matching_rows: how many pairs of a batch the matching loss takes (each makes three rows); None takes all.
    """

    vocab_size: int = 30523
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_positions: int = 512
    num_query_tokens: int = 49
    cross_attention_freq: int = 2
    cross_attention_width: int = 1408
    motion_width: int = 512
    motion_norm: bool = True
    embed_dim: int = 512
    nb_code: int = 512
    max_text_length: int = 32
    dropout: float = 0.1
    attention_dropout: float = 0.1
    label_smoothing: float = 0.1
    temperature: Literal["exp", "raw"] = "exp"
    text_condition: Literal["contextual", "embedding"] = "contextual"
    condition_length: int = 0
    has_motion: bool = True
    has_condition: bool = True
    contrastive_weight: float = 1.0
    matching_weight: float = 1.0
    captioning_weight: float = 1.0
    generation_weight: float = 1.0
    matching_rows: int | None = None

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise UserError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        if max(self.max_text_length, self.condition_length) > self.max_positions:
            raise UserError(f"max_text_length and condition_length may not exceed max_positions {self.max_positions}")
        if self.matching_rows is not None and self.matching_rows < 1:
            raise UserError("matching_rows must be at least 1; set matching_weight to 0 to leave matching out")


@dataclass(frozen=True)
class MotionFeatures:
    """What the queries make of motions: hidden states (B, nq, H) and unit-length joint embeddings (B, nq, E)."""

    queries: Tensor
    embeddings: Tensor


@dataclass(frozen=True)
class TextFeatures:
    """Last hidden states (B, L, H), unit-length joint embedding (B, E), and the text condition (B, H) or None."""

    hidden: Tensor
    embedding: Tensor
    condition: Tensor | None


@dataclass(frozen=True)
class LaMPBatch:
    """Pairs of motions and captions.

    Attributes:
        motion_features: (B, N, motion_width) of the frozen encoder; padding after each motion's end may hold anything.
        motion_lengths: (B,) int64 tokens.
        codes: (B, N) int64 base-level codes of the motion tokens.
        text: the captions.
        motion_ids: (B,) int64; rows with equal ids are never negatives of each other.
        keys: (B,) int64, from which hard negatives are drawn (see `keyed_uniform`); None draws them at random.
    """

    motion_features: Tensor
    motion_lengths: Tensor
    codes: Tensor
    text: TextBatch
    motion_ids: Tensor
    keys: Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "LaMPBatch":
        """The same batch on another device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        held = {name: value for name, value in values.items() if value is not None}
        return LaMPBatch(**{name: value.to(device, non_blocking=non_blocking) for name, value in held.items()})

    def pad_to(self, tokens: int, words: int) -> "LaMPBatch":
        """The batch with motions and captions padded to a common size; longer ones stay as they are."""
        missing = max(0, tokens - self.motion_features.shape[1])
        padded = F.pad(self.motion_features, (0, 0, 0, missing))
        return replace(self, motion_features=padded, text=self.text.pad_to(words))


@dataclass(frozen=True)
class LaMPOutput:
    """Weighted sum of the losses, each loss (zero when its weight is), and accuracies of the batch; all scalars."""

    loss: Tensor
    contrastive: Tensor
    matching: Tensor
    captioning: Tensor
    generation: Tensor
    text_to_motion_accuracy: Tensor
    motion_to_text_accuracy: Tensor
    matching_accuracy: Tensor
