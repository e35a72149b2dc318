"""Retrieval protocols: which motions and texts compete with each other, which count as hits, and re-ranking.

Protocols as in Petrovich et al. 2023, "TMR: Text-to-Motion Retrieval Using Contrastive 3D Human Motion Synthesis",
section 4: `small_batches` are pools of 32 (`label_pools`), `all` is one pool of everything, `all_with_threshold` is
the same with hits by `text_hits`.
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.scores.cautions import POOL, pool_cautions, warn_once
from lamp.utils.scores.metrics import recall_at, retrieval_ranks
from lamp.utils.sentence_model import SentenceModel

VALIDATION_DRAWS = 20
ARTICLES = frozenset({"a", "an", "the"})
# Far more than similarities and match scores span: nothing outside the shortlist may overtake what is in it.
_BELOW_SHORTLIST = 1e3


def by_label(labels: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Indices of the samples of each label."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        members[label].append(index)
    return members


def sample_per_label(labels: Sequence[Any], count: int, seed: int) -> list[int]:
    """Indices of `count` samples of each label, drawn without replacement; of all where a label has fewer."""
    rng = random.Random(seed)
    return [i for _, rows in sorted(by_label(labels).items()) for i in rng.sample(rows, min(count, len(rows)))]


def label_pools(labels: Sequence[Hashable], draws: int, seed: int, pool: int = POOL) -> Iterator[list[int]]:
    """Pools of samples with different labels: in each draw one sample a label, in random order.

    Args:
        labels: of each sample.
        draws: how often to draw one sample a label.
        seed: of the draws.
        pool: samples in a pool; with fewer labels than that all of them, otherwise the last incomplete pool of a draw
            is left out, as the field's protocol does with batches.

    Yields:
        Indices of the samples of a pool.
    """
    members = by_label(labels)
    names = sorted(members, key=str)
    rng = random.Random(seed)
    for _ in range(draws):
        order = [rng.choice(members[name]) for name in rng.sample(names, len(names))]
        size = min(pool, len(order))
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]


def nearest_names(motions_to_texts: Tensor, text_labels: Sequence[Any]) -> list[Any]:
    """The most similar label of each motion.

    Args:
        motions_to_texts: similarity (motions, texts).
        text_labels: of the texts; a label's similarity is the mean over its texts.
    """
    names = sorted(set(text_labels), key=str)
    index = {name: i for i, name in enumerate(names)}
    columns = torch.tensor([index[name] for name in text_labels], device=motions_to_texts.device)
    counts = torch.bincount(columns, minlength=len(names))
    sums = motions_to_texts.new_zeros(len(motions_to_texts), len(names)).index_add_(1, columns, motions_to_texts)
    return [names[i] for i in (sums / counts).argmax(1).tolist()]


def hit_ranks(similarity: Tensor, hits: Tensor) -> Tensor:
    """Rank (Q,) of the best hit of each query among those that are none: 0 is best, ties count against the hit.

    Args:
        similarity: (Q, C), queries against candidates.
        hits: (Q, C) bool, at least one a row.
    """
    best = similarity.masked_fill(~hits, -torch.inf).amax(1, keepdim=True)
    return ((similarity >= best) & ~hits).sum(1)


def retrieval_scores(
    similarity: Tensor,
    pools: Sequence[Sequence[int]],
    *,
    hits: Tensor | None = None,
    match: Tensor | None = None,
    count: int = 0,
) -> dict[str, dict[str, float]]:
    """Recall both ways, averaged over pools.

    Args:
        similarity: (N, N), text i against motion j.
        pools: indices of the samples that compete.
        hits: (N, N) bool, text i is as good as the text of motion j; None counts a sample's own only.
        match: (N, N) score of text i and motion j; given it, the `count` best are re-ranked by it, see `rerank`.
        count: candidates of each query to re-rank, see `rerank`.

    Returns:
        {"t2m": {"R@1": ..., ...}, "m2t": {...}} in percent.
    """

    def ranks(scores: Tensor, matches: Tensor | None, wanted: Tensor | None) -> Tensor:
        scores = scores if wanted is None else rerank(scores, wanted, count)
        return retrieval_ranks(scores) if matches is None else hit_ranks(scores, matches)

    text_ranks, motion_ranks = [], []
    for pool in pools:
        index = torch.tensor(pool, device=similarity.device)
        competing = similarity[index][:, index]
        matches, wanted = (value if value is None else value[index][:, index] for value in (hits, match))
        text_ranks.append(ranks(competing, matches, wanted))
        turned, wanted = (value if value is None else value.T for value in (matches, wanted))
        motion_ranks.append(ranks(competing.T, turned, wanted))
    return {"t2m": recall_at(torch.cat(text_ranks)), "m2t": recall_at(torch.cat(motion_ranks))}


def validation_recall(similarity: Tensor, labels: Sequence[Hashable]) -> dict[str, float]:
    """Recall in pools of different labels, for validation while a model trains: the same pools every time.

    Args:
        similarity: (N, N), text i against motion j.
        labels: of the samples.

    Returns:
        "R@1", the mean of both ways, and each way's scores as "t2m_R@1", "m2t_R@1", ..., in percent.
    """
    pools = list(label_pools(labels, VALIDATION_DRAWS, seed=0))
    warn_once(pool_cautions(len(pools[0])))
    scores = retrieval_scores(similarity, pools)
    flat = {f"{way}_{key}": value for way, values in scores.items() for key, value in values.items()}
    return {"R@1": (scores["t2m"]["R@1"] + scores["m2t"]["R@1"]) / 2, **flat}


def shortlist(similarity: Tensor, count: int) -> Tensor:
    """Which candidates (Q, C) of each query have one of its `count` highest similarities.

    Equal similarities are taken together and count once: copies of one text do not crowd out all others.

    Args:
        similarity: (Q, C), queries against candidates.
        count: different similarities a query.
    """
    ordered = similarity.sort(dim=1, descending=True).values
    before = F.pad((ordered[:, 1:] < ordered[:, :-1]).cumsum(1), (1, 0))
    return similarity >= ordered.masked_fill(before >= count, torch.inf).amin(1, keepdim=True)


def rerank(similarity: Tensor, match: Tensor, count: int) -> Tensor:
    """Scores (Q, C) by which the shortlist of each query is in a new order, and all others are below it in the old one.

    The score is similarity + match score, as BLIP-2 (Li et al. 2023) adds similarity and match head in its retrieval.

    Args:
        similarity: (Q, C) cosines, queries against candidates.
        match: (Q, C) in units of the similarity; only that of the shortlist is used.
        count: see `shortlist`.
    """
    scores = similarity.double()
    return torch.where(shortlist(similarity, count), scores + match, scores - _BELOW_SHORTLIST)


def shortlisted_pairs(similarity: Tensor, pools: Sequence[Sequence[int]], count: int) -> Tensor:
    """Pairs (N, N) bool of text i and motion j that re-ranking needs for some pool, one way or the other.

    Args:
        similarity: (N, N), text i against motion j.
        pools: indices of the samples that compete.
        count: see `shortlist`.
    """
    wanted = torch.zeros_like(similarity, dtype=torch.bool)
    for pool in pools:
        index = torch.tensor(pool, device=similarity.device)
        part = similarity[index][:, index]
        wanted[index[:, None], index] |= shortlist(part, count) | shortlist(part.T, count).T
    return wanted


def text_hits(
    text_similarity: Tensor, rows: Tensor, threshold: float, labels: Sequence[Hashable] | None = None
) -> Tensor:
    """Which samples' texts (N, N) are nearly equal, or of the same label.

    Args:
        text_similarity: (U, U) of the distinct texts.
        rows: (N,) which text is whose.
        threshold: least similarity of texts that are nearly equal.
        labels: of the samples, where they have any.
    """
    near = (text_similarity >= threshold).fill_diagonal_(True)
    hits = near[rows][:, rows]
    if labels is None:
        return hits
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    label = torch.tensor([numbers[label] for label in labels], device=rows.device)
    return hits | (label[:, None] == label)


def bag_similarity(tokens: Sequence[Sequence[str]]) -> Tensor:
    """Cosine (U, U) between bags of lemmas, a similarity of texts that needs no model.

    Articles are left out: "a man" and "the man" say the same. Word order is not seen.

    Args:
        tokens: `word/POS` lemmas of each text.
    """
    bags = [[lemma for token in text if (lemma := token.rsplit("/", 1)[0].lower()) not in ARTICLES] for text in tokens]
    column = {lemma: place for place, lemma in enumerate(dict.fromkeys(lemma for bag in bags for lemma in bag))}
    counts = torch.zeros(len(bags), max(1, len(column)))
    for row, bag in enumerate(bags):
        places = torch.tensor([column[lemma] for lemma in bag], dtype=torch.long)
        counts[row].index_add_(0, places, torch.ones(len(bag)))
    unit = F.normalize(counts, dim=1)
    return unit @ unit.T


def sentence_similarity(texts: Sequence[str], source: str, device: torch.device | str = "cpu") -> Tensor:
    """Similarity (U, U) of sentence embeddings, cosines mapped to 0 ... 1 as TMR's thresholds are.

    Embeddings are the mean over the words' last states, as sentence-transformers' all-mpnet-base-v2 and all-MiniLM are.

    Args:
        texts: sentences.
        source: hub id or folder of a model for the transformers library.
        device: where to compute.

    Raises:
        UserError: transformers is not installed or the model cannot be had.
    """
    model, means = SentenceModel(source, "--sentence_model", device), []
    for start in range(0, len(texts), 64):
        states, counts = model.states(texts[start : start + 64])
        means.append(states.sum(1) / counts)
    unit = F.normalize(torch.cat(means), dim=1)
    return (1 + unit @ unit.T) / 2
