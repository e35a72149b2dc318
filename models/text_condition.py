"""Frozen text encoders of the generators: LaMP (the default) or CLIP ViT-B/32 (the paper's baseline)."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.utils.errors import UserError

CLIP_SOURCE = "openai/clip-vit-base-patch32"
SHEET = 64
"""Sentences that are encoded together."""


class TextCondition(Protocol):
    """What the generators need of a text encoder."""

    dim: int
    words: bool

    @property
    def identity(self) -> str:
        """Its name and what tells its weights from others, `name@digest`."""
        ...

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Condition vectors (B, dim) of sentences, or of words (B, L, dim), without gradients."""
        ...


class LaMPCondition:
    """LaMP's text condition: its queries after attending to the text, averaged (LaMP, section 3.3).

    Args:
        lamp: the model.
        words: instead, the states (B, L, dim) of the words in the text-only pass, the sentence's own ([CLS]) first,
            zeros beyond its end. They tell what comes first and what goes with what.
        bfloat16: compute in bfloat16 where that is safe (autocast), as training with `--mixed_precision bf16` does.
    """

    def __init__(self, lamp: LaMP, words: bool = False, bfloat16: bool = False) -> None:
        self.lamp, self.words = speed_up(lamp.eval().requires_grad_(False)), words
        self.bfloat16 = bfloat16
        self.dim = lamp.config.hidden_size

    @property
    def identity(self) -> str:
        """That of LaMP."""
        return self.lamp.identity

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        condition = self.lamp.word_states if self.words else self.lamp.text_condition
        with torch.autocast(self.lamp.device.type, torch.bfloat16, enabled=self.bfloat16):
            return condition(list(texts)).float()


class ClipCondition:
    """CLIP's projected text embedding, by the transformers library.

    Args:
        source: hub id or folder of a CLIP model.
        device: where to compute.

    Raises:
        UserError: transformers is not installed or the model cannot be had.
    """

    def __init__(self, source: str = CLIP_SOURCE, device: torch.device | str = "cpu") -> None:
        try:
            from transformers import AutoTokenizer, CLIPTextModelWithProjection
        except ImportError as error:
            raise UserError("CLIP needs transformers: pip install 'lamp-motion[train]'") from error
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source)
            model = CLIPTextModelWithProjection.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UserError(f"--text_encoder clip: {source} cannot be loaded ({str(error).splitlines()[0]})") from error
        self.dim = model.text_projection.out_features
        self.model: nn.Module = model.eval().requires_grad_(False)
        self.model.to(device)
        self.device = torch.device(device)
        self.identity, self.words = f"CLIP@{source}", False

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        batch = self.tokenizer(list(texts), padding=True, truncation=True, max_length=77, return_tensors="pt")
        return self.model(**batch.to(self.device)).text_embeds.float()


class CachedCondition:
    """Remembers the condition of each sentence: training sees the same captions every epoch.

    What is encoded together depends on the captions of the data alone, not on which of them were seen before: in
    other company a sentence's condition differs in the last bits, and a resumed run would not be the same.
    """

    def __init__(self, encoder: TextCondition, texts: Iterable[str] = ()) -> None:
        """Remember conditions of `encoder`, see `expect` for `texts`."""
        self.encoder, self.dim, self.words = encoder, encoder.dim, encoder.words
        self._known: dict[str, Tensor] = {}
        self._sheets: dict[str, list[str]] = {}
        self.expect(texts)

    @property
    def identity(self) -> str:
        """That of the encoder."""
        return self.encoder.identity

    def expect(self, texts: Iterable[str]) -> None:
        """Say which sentences will be asked for; all others are encoded by themselves, which is slower.

        They are encoded in sheets of similar length, each when the first of its sentences is needed.
        """
        new = sorted({*texts} - self._sheets.keys(), key=lambda text: (len(text), text))
        for start in range(0, len(new), SHEET):
            sheet = new[start : start + SHEET]
            self._sheets.update(dict.fromkeys(sheet, sheet))

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Condition vectors (B, dim), or of words (B, L, dim)."""
        for text in texts:
            if text not in self._known:
                sheet = self._sheets.get(text, [text])
                self._known.update(zip(sheet, self.encoder(sheet).clone()))
        known = [self._known[text] for text in texts]
        return torch.stack(known) if known[0].dim() == 1 else pad_sequence(known, batch_first=True)


def lamp_of(encoder: TextCondition) -> LaMP | None:
    """The LaMP of a text encoder; None if it is another."""
    encoder = encoder.encoder if isinstance(encoder, CachedCondition) else encoder
    return encoder.lamp if isinstance(encoder, LaMPCondition) else None
