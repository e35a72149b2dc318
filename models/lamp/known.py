"""Whether a sentence is like the captions that LaMP learnt: far from all of them the models can only guess."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from lamp.models.hub import optional_file
from lamp.models.lamp.model import LaMP
from lamp.utils.errors import UserError

KNOWN_FILE = "known.safetensors"
"""In LaMP's folder: `captions` (N, H) int8, directions of captions' embeddings, and the threshold in its header."""


@torch.inference_mode()
def text_means(lamp: LaMP, texts: list[str]) -> Tensor:
    """Embeddings (N, H) of length 1: the mean of LaMP's embeddings of a sentence's words, in no order.

    These tell unknown words better than the joint embedding does, which puts any sentence near some motion.
    """
    parts = []
    for start in range(0, len(texts), 256):
        text = lamp.tokenize(texts[start : start + 256])
        mask = text.attention_mask[..., None].float()
        words = lamp.former.word_embedding(text.input_ids).float()
        parts.append((words * mask).sum(1) / mask.sum(1))
    return F.normalize(torch.cat(parts), dim=-1).cpu()


@dataclass(frozen=True)
class KnownTexts:
    """Captions of LaMP's training.

    Attributes:
        captions: (N, H) float32 of length 1.
        threshold: greatest similarity with any of them, below which a sentence is outside what LaMP knows.
    """

    captions: Tensor
    threshold: float

    @classmethod
    def load(cls, source: str | Path, lamp: LaMP) -> "KnownTexts | None":
        """Those beside a LaMP, or None where there are none or they are of other weights.

        Args:
            source: folder or hub id with the model folder lamp.
            lamp: the model.

        Raises:
            UserError: the file is damaged.
        """
        path = optional_file(source, f"lamp/{KNOWN_FILE}")
        if path is None:
            return None
        try:
            with safe_open(path, "pt") as file:
                facts, captions = file.metadata() or {}, file.get_tensor("captions")
            threshold = float(facts["threshold"])
            if not (math.isfinite(threshold) and captions.dim() == 2 and len(captions)):
                raise ValueError
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise UserError(f"{path} cannot be read; fetch it again or remove it") from error
        if facts.get("lamp") != lamp.meta.get("digest"):
            return None
        if captions.shape[1] != lamp.config.hidden_size or not captions.float().isfinite().all():
            raise UserError(f"{path} does not fit {lamp.folder}; fetch it again or remove it")
        return cls(F.normalize(captions.float(), dim=-1), threshold)

    def closeness(self, lamp: LaMP, texts: list[str]) -> list[float]:
        """Similarity of each sentence with the caption that is most like it, 1 at most."""
        return (text_means(lamp, texts) @ self.captions.T).max(1).values.tolist()
