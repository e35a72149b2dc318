"""Writing captions with a causal language model: greedy, nucleus and beam search, always with a key-value cache.

The prefixes of a batch are equally long, so nothing is padded: but for rounding, a caption is the same alone or among
others. The prefix goes through the model once, however many beams or captions follow it.
"""

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Ending(TypedDict):
    """Where captions end: the token that ends one, what follows it, and the most tokens, the end included."""

    end_id: int
    pad_id: int
    max_length: int


@dataclass
class Written:
    """Captions as ids (B, n, L), padded after their end, and their log-probabilities (B, n), divided by length."""

    ids: Tensor
    scores: Tensor


class Writer(Protocol):
    """A language model that writes R captions at once, a token at a time.

    Attributes:
        logits: (R, V) of the next token.
    """

    logits: Tensor

    def repeat(self, times: int) -> None:
        """Let each row become `times` equal neighbours."""

    def select(self, rows: Tensor) -> None:
        """Let row i continue what `rows[i]` was; all rows of a prefix stay together, or are left out together."""

    def append(self, tokens: Tensor) -> None:
        """Next token (R,) of each row; `logits` then are those of the token after it."""


class CachedWriter:
    """A language model of the transformers library with its key-value cache.

    Args:
        language: causal language model.
        prefix: (B, P, W) embeddings that stand in front of the captions.
    """

    def __init__(self, language: "PreTrainedModel", prefix: Tensor) -> None:
        self.language, self.length = language, prefix.shape[1]
        # The library's name of the cache before its release 5, and since.
        names = inspect.signature(language.forward).parameters
        self._cache_name = "cache" if "cache" in names else "past_key_values"
        self.cache: Any = None  # of a class that depends on the library's release
        self.logits = self._call(len(prefix), inputs_embeds=prefix)

    def repeat(self, times: int) -> None:
        """Let each row become `times` equal neighbours."""
        if times > 1:
            rows = torch.arange(len(self.logits), device=self.logits.device).repeat_interleave(times)
            self.select(rows)
            self.logits = self.logits[rows]

    def select(self, rows: Tensor) -> None:
        """Let row i continue what `rows[i]` was."""
        if isinstance(self.cache, tuple):  # of releases before 4.50
            self.cache = tuple(tuple(part.index_select(0, rows) for part in layer) for layer in self.cache)
        else:
            self.cache.reorder_cache(rows)

    def append(self, tokens: Tensor) -> None:
        """Next token (R,) of each row; `logits` then are those of the token after it."""
        self.length += 1
        self.logits = self._call(len(tokens), input_ids=tokens[:, None], **{self._cache_name: self.cache})

    def _call(self, rows: int, **inputs: Any) -> Tensor:
        some = next(iter(inputs.values()))
        mask = torch.ones(rows, self.length, dtype=torch.long, device=some.device)
        output = self.language(**inputs, attention_mask=mask, use_cache=True)
        self.cache = output.past_key_values
        return output.logits[:, -1].float()


def write_greedy(writer: Writer, *, end_id: int, pad_id: int, max_length: int) -> Written:
    """The most likely token each time.

    Args:
        writer: a language model after the prefixes of B captions.
        end_id: token that ends a caption.
        pad_id: what follows it.
        max_length: tokens of a caption, its end included.
    """
    return _write_rows(writer, torch.Tensor.clone, (end_id, pad_id), max_length, captions=1)


def write_nucleus(
    writer: Writer,
    *,
    seeds: Sequence[int],
    captions: int,
    top_p: float,
    temperature: float,
    end_id: int,
    pad_id: int,
    max_length: int,
) -> Written:
    """Sample from the fewest tokens that together have probability `top_p` (Holtzman et al. 2020).

    Args:
        writer, end_id, pad_id, max_length: as in `write_greedy`.
        seeds: (B,) one for each prefix; its captions depend on it and on nothing else of the batch.
        captions: of each prefix.
        top_p: in 0 < p <= 1.
        temperature: divides the logits before the choice, above 0.
    """
    writer.repeat(captions)
    generators = [_generator(seed, number) for seed in seeds for number in range(captions)]

    def choose(logits: Tensor) -> Tensor:
        # The best of logits with Gumbel noise is a draw from their softmax.
        noise = torch.stack([torch.rand(logits.shape[-1], generator=generator) for generator in generators])
        gumbel = -torch.log(-torch.log(noise.to(logits.device)))
        return nucleus(logits / temperature, top_p) + gumbel

    return _write_rows(writer, choose, (end_id, pad_id), max_length, captions)


def nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Logits (..., V) with -inf for all but the fewest tokens that together reach `top_p`, always one at least."""
    ordered, order = logits.sort(dim=-1, descending=True)
    before = F.pad(ordered.softmax(-1).cumsum(-1)[..., :-1], (1, 0))
    ordered = ordered.masked_fill(before >= top_p, -torch.inf)
    return torch.empty_like(logits).scatter_(-1, order, ordered)


def _write_rows(writer: Writer, choose: Any, special: tuple[int, int], max_length: int, captions: int) -> Written:
    """Write all rows, each time with the token for which `choose(logits)` is largest."""
    end_id, pad_id = special
    finished = torch.zeros(len(writer.logits), dtype=torch.bool, device=writer.logits.device)
    score, count, tokens = torch.zeros_like(writer.logits[:, 0]), torch.zeros_like(writer.logits[:, 0]), []
    for step in range(max_length):
        token = choose(writer.logits).argmax(-1)
        likely = writer.logits.log_softmax(-1).gather(-1, token[:, None])[:, 0]
        score, count = score + likely.masked_fill(finished, 0), count + ~finished
        tokens.append(token.masked_fill(finished, pad_id))
        finished = finished | (token == end_id)
        if step + 1 == max_length or finished.all():
            break
        writer.append(tokens[-1])
    ids = torch.stack(tokens, dim=-1).unflatten(0, (-1, captions))
    return Written(ids, (score / count).unflatten(0, (-1, captions)))


@dataclass
class _Beams:
    """Captions (B, K, L) and their scores (B, K), best first; a score of -inf marks a place not taken."""

    ids: Tensor
    scores: Tensor

    @classmethod
    def none(cls, like: Tensor) -> "_Beams":
        return cls(like, torch.full(like.shape[:2], -torch.inf, device=like.device))

    def best(self, count: int) -> "_Beams":
        scores, order = self.scores.topk(count, dim=1)
        return _Beams(self.ids.gather(1, order[..., None].expand(-1, -1, self.ids.shape[-1])), scores)

    def select(self, searches: Tensor) -> "_Beams":
        return _Beams(self.ids[searches], self.scores[searches])

    def merge(self, other: "_Beams") -> "_Beams":
        return _Beams(torch.cat((self.ids, other.ids), 1), torch.cat((self.scores, other.scores), 1))


def write_beams(
    writer: Writer,
    *,
    num_beams: int,
    captions: int,
    length_penalty: float,
    end_id: int,
    pad_id: int,
    max_length: int,
) -> Written:
    """Beam search; a finished caption scores its log-probability / length ** `length_penalty`.

    A search ends when no running beam can, at its present length, beat the worst of `num_beams` finished captions.

    Args:
        writer, end_id, pad_id, max_length: as in `write_greedy`.
        num_beams: K, captions under way at a time.
        captions: best ones returned, K at most.
    """
    batch, device = len(writer.logits), writer.logits.device
    writer.repeat(num_beams)
    ids = torch.full((batch, num_beams, max_length), pad_id, device=device)
    done = _Beams.none(ids)
    # All beams are equal at first: only one of them counts.
    running = _Beams(ids, torch.full((batch, num_beams), -torch.inf, device=device))
    running.scores[:, 0] = 0.0
    places = torch.arange(batch, device=device)  # of the searches that go on, whose rows alone the writer has
    ended = _Beams.none(ids)
    for step in range(max_length):
        tried, origins = _extend(running, writer.logits, step)
        last = step + 1 == max_length
        ends = (tried.ids[..., step] == end_id) | last
        rank = torch.arange(2 * num_beams, device=device)
        complete = tried.scores / (step + 1) ** length_penalty
        complete = complete.masked_fill(~(ends & (rank < num_beams)), -torch.inf)
        done = done.merge(_Beams(tried.ids, complete)).best(num_beams)
        tried.scores = tried.scores.masked_fill(ends, -torch.inf)
        scores, order = tried.scores.topk(num_beams, dim=1)
        running = _Beams(tried.ids.gather(1, order[..., None].expand(-1, -1, max_length)), scores)
        searching = done.scores[:, -1] < running.scores[:, 0] / (step + 1) ** length_penalty
        ended.ids[places], ended.scores[places] = done.ids, done.scores
        if last or not searching.any():
            break
        rows = origins.gather(1, order) + torch.arange(len(places), device=device)[:, None] * num_beams
        places, rows = places[searching], rows[searching]
        running, done = running.select(searching), done.select(searching)
        writer.select(rows.flatten())
        writer.append(running.ids[..., step].flatten())
    best = ended.best(captions)
    return Written(best.ids[..., : step + 1], best.scores)


def _extend(running: _Beams, logits: Tensor, step: int) -> tuple[_Beams, Tensor]:
    """The 2K best continuations of each search, with one more token, and the beam (B, 2K) that each comes from."""
    batch, beams = running.scores.shape
    total = running.scores[..., None] + logits.log_softmax(-1).unflatten(0, (batch, beams))
    scores, place = total.flatten(1).topk(2 * beams, dim=1)
    origins, tokens = place // logits.shape[-1], place % logits.shape[-1]
    ids = running.ids.gather(1, origins[..., None].expand(-1, -1, running.ids.shape[-1]))
    ids[..., step] = tokens
    return _Beams(ids, scores), origins


def _generator(seed: int, number: int) -> torch.Generator:
    """Random numbers of caption `number` of a seed, drawn on the CPU so that every device sees the same ones."""
    # Consecutive seeds of torch's generator start alike.
    digest = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))
