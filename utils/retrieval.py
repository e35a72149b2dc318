"""Retrieval protocols: which motions and texts compete with each other."""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from utils.metrics import recall_at, retrieval_ranks

POOL = 32


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


def label_accuracy(motions_to_texts: Tensor, labels: Sequence[Hashable], text_labels: Sequence[Hashable]) -> float:
    """Share of motions, in percent, whose most similar label is their own.

    Args:
        motions_to_texts: similarity (motions, texts).
        labels: of the motions.
        text_labels: of the texts; a label's similarity is the mean over its texts.
    """
    names = sorted(set(text_labels), key=str)
    index = {name: i for i, name in enumerate(names)}
    columns = torch.tensor([index[name] for name in text_labels], device=motions_to_texts.device)
    counts = torch.bincount(columns, minlength=len(names))
    sums = motions_to_texts.new_zeros(len(motions_to_texts), len(names)).index_add_(1, columns, motions_to_texts)
    best = (sums / counts).argmax(1).tolist()
    return 100.0 * sum(names[i] == label for i, label in zip(best, labels)) / len(labels)


def retrieval_scores(similarity: Tensor, pools: Sequence[Sequence[int]]) -> dict[str, dict[str, float]]:
    """Recall both ways, averaged over pools.

    Args:
        similarity: (N, N), text i against motion j.
        pools: indices of the samples that compete.

    Returns:
        {"t2m": {"R@1": ..., ...}, "m2t": {...}} in percent.
    """
    text_ranks, motion_ranks = [], []
    for pool in pools:
        index = torch.tensor(pool, device=similarity.device)
        part = similarity[index][:, index]
        text_ranks.append(retrieval_ranks(part))
        motion_ranks.append(retrieval_ranks(part.T))
    return {"t2m": recall_at(torch.cat(text_ranks)), "m2t": recall_at(torch.cat(motion_ranks))}
