"""The nearest training motion of each motion of a split: what a system without any learning would answer with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from lamp.data.cache import open_cache
from lamp.data.loaders import load_labels, load_split
from lamp.data.spec import DatasetSpec
from lamp.utils.scores.neighbours import NeighbourSearch


@dataclass(frozen=True)
class Nearest:
    """Position error in millimetres of the nearest training motion, and whether its label is the same."""

    error: float
    same_label: bool


def nearest_training(spec: DatasetSpec, names: Sequence[str]) -> list[Nearest | None]:
    """For each clip the nearest training motion; None where none is as long, or the clip is not usable."""
    cache, labels = open_cache(spec), load_labels(spec)
    train = [name for name in load_split(spec, "train") if name in cache.rows]
    search = NeighbourSearch((torch.tensor(cache.motion(name)) for name in train), spec.layout)
    answers: list[Nearest | None] = []
    for name in tqdm(names, desc="nearest motion", unit="motion", leave=False, disable=None):
        found = search(torch.tensor(cache.motion(name))) if name in cache.rows else None
        if found is None:
            answers.append(None)
            continue
        same = labels.get(train[found.index]) == labels.get(name, name)
        answers.append(Nearest(spec.skeleton.millimetres * found.error, same))
    return answers


def nearest_motions(spec: DatasetSpec, split: str) -> dict[str, float]:
    """Error and label accuracy of answering each motion of a split with its nearest training motion."""
    found = [answer for answer in nearest_training(spec, load_split(spec, split)) if answer is not None]
    return {
        "nearest_mpjpe": sum(answer.error for answer in found) / len(found),
        "nearest_label": 100.0 * sum(answer.same_label for answer in found) / len(found),
    }


def nearest_labels(spec: DatasetSpec, names: Sequence[str], known: Mapping[str, str]) -> dict[str, float]:
    """Share of motions, in percent, whose nearest training motion has their label, and of those where one could."""
    trained = {known.get(name) for name in load_split(spec, "train")}
    possible = [known.get(name, name) in trained for name in names]
    hits = [answer is not None and answer.same_label for answer in nearest_training(spec, names)]
    return {"nearest_label_accuracy": 100 * sum(hits) / len(hits), "trained_labels": 100 * sum(possible) / len(hits)}
