"""LaMP with its frozen tokenizer as one thing: motions and sentences to comparable embeddings."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.lamp.model import LaMP
from models.vq.model import RVQVAE
from utils.errors import UserError


@dataclass
class EmbeddedPairs:
    """Embeddings of texts (N, E) and motions (N, nq, E), and the clips' names."""

    texts: Tensor
    motions: Tensor
    names: list[str]


class LaMPEmbedder:
    """Embeds motions, as the tokenizer's normalised features, and sentences.

    Raises:
        UserError: the tokenizer is not of the kind that LaMP was trained on.
    """

    def __init__(self, lamp: LaMP, tokenizer: RVQVAE) -> None:
        if lamp.config.motion_width != tokenizer.config.code_dim:
            raise UserError(
                f"LaMP reads motion features of width {lamp.config.motion_width}, the tokenizer gives "
                f"{tokenizer.config.code_dim}; use the tokenizer that it was trained on"
            )
        self.lamp, self.tokenizer = lamp, tokenizer

    @torch.inference_mode()
    def motions(self, motion: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, nq, E) of normalised motions (B, T, D) of `lengths` (B,) frames."""
        features = self.tokenizer.encode_features(motion, lengths)
        tokens = lengths // self.tokenizer.config.frames_per_token
        return self.lamp.encode_motion(features, tokens).embeddings

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, E) of sentences."""
        return self.lamp.encode_text(list(texts)).embedding

    def pairs(self, batches: Iterable[Any], captions: Callable[[list[str]], list[str]] | None = None) -> EmbeddedPairs:
        """Embed every motion of a loader with its caption.

        Args:
            batches: with `motion`, `lengths`, `names` and `captions`.
            captions: gives the captions of clips by name; None takes the batches' own.
        """
        texts, motions, names = [], [], []
        for batch in batches:
            motions.append(self.motions(batch.motion.to(self.lamp.device), batch.lengths.to(self.lamp.device)))
            texts.append(self.texts(batch.captions if captions is None else captions(batch.names)))
            names += batch.names
        return EmbeddedPairs(torch.cat(texts), torch.cat(motions), names)

    def similarity(self, texts: Tensor, motions: Tensor) -> Tensor:
        """Similarity (texts, motions): the best of a motion's queries."""
        return self.lamp.similarity(texts, motions)
