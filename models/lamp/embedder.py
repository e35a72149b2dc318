"""LaMP with its frozen tokenizer as one thing: motions and sentences to comparable embeddings and match scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from lamp.models.lamp.model import LaMP
from lamp.models.lamp.text import TextBatch
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError
from lamp.utils.threads.yielding import mind_others

TEXTS_AT_ONCE = 64
MOTIONS_AT_ONCE = 256
PAIRS_AT_ONCE = 64


@dataclass
class MotionChunk:
    """Features (B, n, W) of motions, padded, and their lengths (B,) in tokens: what LaMP reads of them."""

    features: Tensor
    tokens: Tensor


@dataclass
class EmbeddedPairs:
    """N motions with a caption each, embedded.

    Attributes:
        sentences: the U distinct captions; each was embedded once, so equal captions have equal embeddings.
        lemmas: `word/POS` tokens of each.
        sentence_embeddings: (U, E).
        rows: (N,) which sentence is whose caption.
        motions: (N, nq, E).
        names: N clip ids.
        chunks: all motions in order, ready for `LaMPEmbedder.match_probabilities`; empty unless asked for.
    """

    sentences: list[str]
    lemmas: list[list[str]]
    sentence_embeddings: Tensor
    rows: Tensor
    motions: Tensor
    names: list[str]
    chunks: list[MotionChunk]

    @property
    def texts(self) -> Tensor:
        """Embedding (N, E) of each motion's caption."""
        return self.sentence_embeddings[self.rows]


def require_fit(lamp: LaMP, tokenizer: RVQVAE) -> None:
    """Make sure that LaMP can read a tokenizer's features.

    Raises:
        UserError: it was trained on another kind.
    """
    if lamp.config.motion_width != tokenizer.config.code_dim:
        raise UserError(
            f"LaMP reads motion features of width {lamp.config.motion_width}, the tokenizer gives "
            f"{tokenizer.config.code_dim}; use the tokenizer that it was trained on"
        )


def pooled(queries: Tensor) -> Tensor:
    """(N, E) of length 1: the mean of a motion's query embeddings (N, nq, E)."""
    return F.normalize(queries.mean(1), dim=-1)


class LaMPEmbedder:
    """Embeds motions, as the tokenizer's normalised features, and sentences.

    Raises:
        UserError: the tokenizer is not of the kind that LaMP was trained on.
    """

    def __init__(self, lamp: LaMP, tokenizer: RVQVAE) -> None:
        require_fit(lamp, tokenizer)
        self.lamp, self.tokenizer = lamp, tokenizer

    def motions(self, motion: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, nq, E) of normalised motions (B, T, D) of `lengths` (B,) frames."""
        mind_others()
        return self._embed(self._chunk(motion, lengths))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, E) of sentences, however many."""
        mind_others()
        text = self.lamp.tokenize(texts)
        lengths = text.attention_mask.sum(1).cpu()
        # Hardly any padding then, which costs as much as words.
        by_length = lengths.argsort(stable=True)
        parts = []
        for rows in by_length.split(TEXTS_AT_ONCE):
            words = _cut(text.select(rows.to(self.lamp.device)), int(lengths[rows[-1]]))
            parts.append(self.lamp.encode_text(words).embedding)
        return torch.cat(parts)[by_length.argsort().to(self.lamp.device)]

    def pairs(self, batches: Iterable[Any], keep_features: bool = False) -> EmbeddedPairs:
        """Embed every motion of some batches with its caption.

        Args:
            batches: with `motion`, `lengths`, `names`, `captions` and `tokens`.
            keep_features: keep what `match_probabilities` needs of the motions.
        """
        motions, names, captions, chunks = [], [], [], []
        lemmas: dict[str, list[str]] = {}
        for batch in batches:
            chunk = self._chunk(batch.motion.to(self.lamp.device), batch.lengths.to(self.lamp.device))
            motions.append(self._embed(chunk))
            chunks += [chunk] if keep_features else []
            names += batch.names
            captions += batch.captions
            lemmas |= {text: tokens for text, tokens in zip(batch.captions, batch.tokens) if text not in lemmas}
        sentences = list(lemmas)
        place = {sentence: row for row, sentence in enumerate(sentences)}
        return EmbeddedPairs(
            sentences=sentences,
            lemmas=list(lemmas.values()),
            sentence_embeddings=self.texts(sentences),
            rows=torch.tensor([place[caption] for caption in captions], device=self.lamp.device),
            motions=torch.cat(motions),
            names=names,
            chunks=chunks,
        )

    def similarity(self, texts: Tensor, motions: Tensor) -> Tensor:
        """Similarity (texts, motions): the best of a motion's queries."""
        return torch.cat([self.lamp.similarity(texts, part) for part in motions.split(MOTIONS_AT_ONCE)], dim=1)

    @torch.inference_mode()
    def match_probabilities(self, pairs: EmbeddedPairs, wanted: Tensor, batch_size: int = PAIRS_AT_ONCE) -> Tensor:
        """The match head's probability that a sentence describes a motion.

        Args:
            pairs: embedded with `keep_features`.
            wanted: (U, N) bool, sentences against motions; each wanted pair is computed once.
            batch_size: pairs at a time; of no influence on the result.

        Returns:
            (U, N), nan where not wanted.
        """
        text = self.lamp.tokenize(pairs.sentences)
        lengths = text.attention_mask.sum(1).cpu()
        by_length = lengths.argsort(stable=True)
        wanted = wanted.cpu()[by_length]
        result = torch.full(wanted.shape, torch.nan, device=self.lamp.device)
        columns = torch.arange(wanted.shape[1]).split([len(chunk.tokens) for chunk in pairs.chunks])
        with tqdm(total=int(wanted.sum()), desc="match head", unit="pair", leave=False, disable=None) as progress:
            for chunk, column in zip(pairs.chunks, columns, strict=True):
                places = wanted[:, column].nonzero()
                if not len(places):
                    continue
                context = self.lamp.motion_context(chunk.features, chunk.tokens)
                for place in places.split(batch_size):
                    rows, motions = by_length[place[:, 0]], place[:, 1].to(result.device)
                    words = _cut(text.select(rows.to(result.device)), int(lengths[rows[-1]]))
                    logits = self.lamp.match_logits(context.select(motions), words)
                    result[rows.to(result.device), motions + int(column[0])] = logits.float().softmax(-1)[:, 1]
                    progress.update(len(place))
        return result

    @torch.inference_mode()
    def _chunk(self, motion: Tensor, lengths: Tensor) -> MotionChunk:
        features = self.tokenizer.encode_features(motion, lengths)
        return MotionChunk(features, lengths // self.tokenizer.config.frames_per_token)

    @torch.inference_mode()
    def _embed(self, chunk: MotionChunk) -> Tensor:
        return self.lamp.encode_motion(chunk.features, chunk.tokens).embeddings


def _cut(text: TextBatch, length: int) -> TextBatch:
    """The first `length` tokens of each caption."""
    return TextBatch(text.input_ids[:, :length], text.attention_mask[:, :length])
