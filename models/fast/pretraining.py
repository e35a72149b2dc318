"""LaMP's Q-Former: GELU in one operation with the product before it, and the vocabulary's head only where it counts."""

from torch import Tensor

from lamp.models.fast.linear import linear
from lamp.models.lamp import losses
from lamp.models.lamp.model import LaMP
from lamp.models.lamp.qformer import FeedForward, LanguageHead, QFormerOutput
from lamp.models.lamp.text import TextBatch


class FastFeedForward(FeedForward):
    """`FeedForward` with GELU as part of the product."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (..., H)."""
        return self.output(self.linear(hidden, "none"), hidden)


class FastLanguageHead(LanguageHead):
    """`LanguageHead` whose products oneDNN computes."""

    def forward(self, hidden: Tensor, word_embedding: Tensor) -> Tensor:
        """Hidden states (..., H) -> logits (..., V), with the tied table (V, H)."""
        return linear(self.norm(self.linear(hidden, "none")), word_embedding, self.bias)


class FastLaMP(LaMP):
    """`LaMP` that spares the vocabulary's head, as costly as several layers, the places without a next word."""

    def captioning(self, motion: QFormerOutput, text: TextBatch) -> Tensor:
        """Loss of the captions' next words, given a query pass; a scalar."""
        if not text.attention_mask.is_cpu:
            # A GPU would have to be waited for, to know how many places are left.
            return super().captioning(motion, text)
        follows, words = text.attention_mask[:, 1:], text.input_ids[:, 1:]
        states = self.caption_states(motion, text)[:, :-1][follows]
        logits = self.language_head(states, self.former.word_embedding.weight)
        return losses.captioning_loss(logits, words[follows], self.config.label_smoothing)
