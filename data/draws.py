"""What is drawn of a test set in each repetition of an evaluation: which motions, captions and competing pools.

Without labels (HumanML3D, KIT-ML) it is the field's protocol: the whole split in random order, batches of 32, the last
incomplete one left out, a random caption and crop of each motion. With labels (mini, where many clips show the same) it
is one motion of each label, and pools of 32 different labels.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lamp.data.cache import open_cache
from lamp.data.loaders import heldout_texts, load_labels, load_split
from lamp.data.motion import MotionTextDataset, TextMotionBatch
from lamp.data.spec import DatasetSpec
from lamp.utils.errors import UserError
from lamp.utils.run.provenance import digest
from lamp.utils.scores.cautions import POOL
from lamp.utils.scores.retrieval import by_label

POOLS_OF_A_DRAW = 3
# Far beyond any repetition: the same motions, cropped and captioned anew.
_AGAIN = 1_000_000


def split_identity(spec: DatasetSpec, split: str, *, heldout: bool = False) -> str:
    """Data folder, split and a digest of its motions and captions, such as `mini/test_seen@f212fe88`."""
    source = heldout_texts(spec) if heldout else spec
    cache = open_cache(source)
    total = digest(
        part
        for name in load_split(spec, split)
        if name in cache.rows
        for part in (name, repr(cache.captions.get(name)), np.ascontiguousarray(cache.motion(name)))
    )
    texts = f"({source.texts})" if heldout else ""
    return f"{spec.root.name}/{split}{texts}@{total}"


@dataclass(frozen=True)
class Draw:
    """The samples of one repetition.

    Attributes:
        dataset: gives batches of samples, features as in the data.
        indices: (N,) of the samples, for `dataset`.
        pools: (P, n) rows of `indices` that compete with each other.
        number: of the repetition.
    """

    dataset: MotionTextDataset
    indices: np.ndarray
    pools: Tensor
    number: int

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, size: int, *, again: bool = False) -> Iterator[tuple[Tensor, TextMotionBatch]]:
        """Rows and batches of the samples, those of similar length together.

        Args:
            size: samples of a batch.
            again: another crop and caption of the same motions.
        """
        rows = np.argsort(self.dataset.lengths[self.indices], kind="stable")
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            yield torch.from_numpy(part), self._batch(part, again)

    def pick(self, rows: list[int]) -> TextMotionBatch:
        """The batch of some rows."""
        return self._batch(np.asarray(rows), again=False)

    def _batch(self, rows: np.ndarray, again: bool) -> TextMotionBatch:
        epoch = self.number + (_AGAIN if again else 0)
        return self.dataset.__getitems__((epoch * len(self.dataset) + self.indices[rows]).tolist())


class TestDraws:
    """Repetitions of the evaluation on a split.

    Args:
        spec: data set.
        split: name of a split file.
        seed: of all draws.
        max_samples: samples of a repetition at most; 0 for all.
        heldout: take the captions in wording that training never used.

    Raises:
        UserError: the split has fewer than two samples.
    """

    __test__ = False  # not a test case, whatever its name says

    def __init__(
        self, spec: DatasetSpec, split: str, *, seed: int, max_samples: int = 0, heldout: bool = False
    ) -> None:
        self.spec, self.split, self._seed, self._limit = spec, split, seed, max_samples
        names = load_split(spec, split)
        source, self._heldout = heldout_texts(spec) if heldout else spec, heldout
        cache, labels = open_cache(source), load_labels(spec)
        self.dataset = MotionTextDataset(
            cache,
            names,
            spec=source,
            mean=torch.zeros(spec.feature_dim),
            std=torch.ones(spec.feature_dim),
            labels=labels,
            seed=seed,
        )
        if len(self.dataset) < 2:
            raise UserError(f"split {split} of {spec.root} has a single motion; an evaluation needs two at least")
        self.labelled = bool(labels)

    @cached_property
    def identity(self) -> str:
        """What is drawn from, for logs (see `split_identity`)."""
        return split_identity(self.spec, self.split, heldout=self._heldout)

    @property
    def summary(self) -> str:
        """One line of what a repetition draws from, and of what was left out."""
        left_out = "".join(f", left out {count} {reason}" for reason, count in self.dataset.dropped.items())
        if self.labelled:
            return f"{self.labels} labels, one motion of each{left_out}"
        return f"{len(self.dataset)} motions{left_out}"

    @property
    def labels(self) -> int:
        """Number of different labels; without labels, of samples."""
        return len(set(self.dataset.motion_ids))

    @property
    def pool(self) -> int:
        """Candidates of a pool."""
        return self.draw(0).pools.shape[1]

    def draw(self, repeat: int) -> Draw:
        """Samples of repetition number `repeat`; the same for the same seed."""
        rng = random.Random(f"{self._seed} {repeat}")
        if self.labelled:
            indices = [rng.choice(rows) for _, rows in sorted(by_label(self.dataset.motion_ids).items())]
        else:
            indices = list(range(len(self.dataset)))
        rng.shuffle(indices)
        indices = indices[: self._limit or None]
        size = min(POOL, len(indices))
        if self.labelled:
            pools = np.array([rng.sample(range(len(indices)), size) for _ in range(POOLS_OF_A_DRAW)])
        else:
            indices = indices[: len(indices) // size * size]
            pools = np.arange(len(indices)).reshape(-1, size)
        return Draw(self.dataset, np.array(indices), torch.as_tensor(pools), repeat)
