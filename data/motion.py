"""Training samples from a motion cache: windows for the tokenizer, caption and motion pairs for everything else.

A batch is cut from the cache with one indexing operation (`__getitems__`), without per-sample tensors. Every random
choice is a hash of (seed, epoch, position in the epoch), so a sample is the same whatever the batch size, the number of
workers or processes, and an epoch can be repeated or resumed. An index `epoch * len(dataset) + i` stands for sample i
of that epoch; `lamp.data.sampling.EpochSampler` makes them.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lamp.data.cache import MotionCache
from lamp.data.frames import Frames
from lamp.data.samples import CaptionChoice, find_samples
from lamp.data.sampling import clip_weights, draw_keys, draw_stratified, uniform
from lamp.data.spec import DatasetSpec
from lamp.data.text import Caption
from lamp.utils.errors import UserError

Batch = TypeVar("Batch", bound="MotionBatch")


@dataclass
class MotionBatch:
    """Motions of a batch.

    Attributes:
        motion: (B, T, D) normalised features, zero beyond each length.
        lengths: (B,) frames, multiples of the unit length.
        names: clip ids.
    """

    motion: Tensor
    lengths: Tensor
    names: list[str]

    def to(self: Batch, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on `device`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self: Batch) -> Batch:
        """The batch with its tensors in pinned memory."""
        return self._map(Tensor.pin_memory)

    def _map(self: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
        values: dict[str, Any] = {
            key: function(value) for key, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **values)

    def __len__(self) -> int:
        return len(self.names)


@dataclass
class TextMotionBatch(MotionBatch):
    """Motions with a caption each.

    Attributes:
        captions: a sentence for each motion.
        tokens: its `word/POS` lemmas.
        motion_ids: (B,) equal for motions that must not serve as each other's negatives.
        sample_ids: (B,) index of the sample in the data set.
        keys: (B,) another for each sample and epoch, whatever batch or process it is in; for random draws.
    """

    captions: list[str]
    tokens: list[list[str]]
    motion_ids: Tensor
    sample_ids: Tensor
    keys: Tensor

    def select(self, rows: list[int]) -> "TextMotionBatch":
        """The batch of some of its samples, which may repeat."""
        index = torch.tensor(rows)
        chosen: dict[str, Any] = {
            key: value[index.to(value.device)] if isinstance(value, Tensor) else [value[row] for row in rows]
            for key, value in vars(self).items()
        }
        return TextMotionBatch(**chosen)


class _BatchedDataset(Dataset[Batch]):
    """A data set that makes whole batches: `dataset[i]` is a batch of one."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitems__(self, indices: list[int]) -> Batch:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __iter__(self) -> Iterator[Batch]:
        # Without it Python would iterate for ever: indices beyond the length are later epochs, not errors.
        return (self[index] for index in range(len(self)))


class WindowDataset(_BatchedDataset[MotionBatch]):
    """Windows of a fixed number of frames, for the tokenizer.

    All windows of all clips are equally likely; a clip's weight multiplies the chance of its windows. A clip shorter
    than the window gives one sample, padded with zeros, whose length is rounded down to a multiple of the unit.

    Args:
        cache: motions.
        names: clip ids of the split; those not in the cache are left out.
        window: frames.
        mean, std: (D,) normalisation.
        unit_length: frames of a token.
        weights: multiplier of a clip, 1 where absent.
        epoch_size: samples in an epoch; None counts the windows.
        seed: of the random choices.
        device: see `Frames`.
    """

    def __init__(
        self,
        cache: MotionCache,
        names: Sequence[str],
        *,
        window: int,
        mean: Tensor,
        std: Tensor,
        unit_length: int = 4,
        weights: dict[str, float] | None = None,
        epoch_size: int | None = None,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        rows = cache.find(names)
        rows = rows[cache.lengths[rows] >= unit_length]
        if not len(rows):
            raise UserError(
                "no motion of this split can be used; check the data by `python -m lamp.prepare.check_data`"
            )
        self._cache, self._rows, self._window, self._unit = cache, rows, window, unit_length
        self._frames, self._seed = Frames(cache, mean, std, device), seed
        windows = np.maximum(cache.lengths[rows] - window + 1, 1)
        self._windows = windows
        self._cumulative = np.cumsum(windows * clip_weights((cache.names[row] for row in rows), len(rows), weights))
        self._size = epoch_size or int(windows.sum())

    def __len__(self) -> int:
        return self._size

    def __getitems__(self, indices: list[int]) -> MotionBatch:
        """The batch of several samples at once."""
        clips, fraction = draw_stratified(self._cumulative, self._size, indices, self._seed)
        starts = np.minimum((fraction * self._windows[clips]).astype(np.int64), self._windows[clips] - 1)
        rows = self._rows[clips]
        cut = self._cache.lengths[rows] // self._unit * self._unit
        lengths = np.minimum(cut, self._window)
        motion, lengths = self._frames.cut(self._cache.offsets[rows] + starts, lengths, self._window)
        return MotionBatch(
            motion=motion,
            lengths=lengths,
            names=[self._cache.names[row] for row in rows],
        )


class MotionTextDataset(_BatchedDataset[TextMotionBatch]):
    """Motions with captions.

    The whole clip with the captions that speak of it is one sample; every caption with times of its own makes a sample
    of its part. Samples shorter than the minimum or not under the limit are dropped; `dropped` counts them.

    Args:
        cache: motions and captions.
        names: clip ids of the split; those not in the cache are left out.
        spec: lengths and frame rate.
        mean, std: (D,) normalisation.
        captions: "random" draws one each time, "first" always takes the first, "all" makes a sample of each.
        augment: a random crop, of a third of the samples one unit shorter, as the public loaders of HumanML3D and
            KIT-ML cut in training and evaluation; otherwise the motion from its first frame as long as it is.
        weights: multiplier of how often a clip's samples are drawn, 1 where absent.
        labels: clip ids with equal labels get equal `motion_ids`; a clip not named is its own label.
        seed: of the random choices.
        device: see `Frames`.
    """

    batch_type: type[TextMotionBatch] = TextMotionBatch

    def __init__(
        self,
        cache: MotionCache,
        names: Sequence[str],
        *,
        spec: DatasetSpec,
        mean: Tensor,
        std: Tensor,
        captions: CaptionChoice = "random",
        augment: bool = True,
        weights: dict[str, float] | None = None,
        labels: dict[str, str] | None = None,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self._cache, self._spec, self._augment, self._seed = cache, spec, augment, seed
        self._frames, self._random_caption = Frames(cache, mean, std, device), captions == "random"
        rows = cache.find(names)
        found = find_samples(cache.lengths[rows], cache.caption_places(rows), cache.captions.times, spec, captions)
        self.dropped = found.dropped
        if not len(found.clips):
            raise UserError(
                f"no motion with a caption is left in this split of {spec.root} (dropped: {self.dropped}); "
                f"run `python -m lamp.prepare.check_data --dataset_name {spec.name}`"
            )
        # Forty bytes a sample: a corpus has millions.
        self._clips = rows[found.clips].astype(np.int32)
        self._starts = cache.offsets[self._clips] + found.starts
        self._lengths, self._places, self._counts = found.lengths, found.captions, found.counts
        if labels:
            keys = [labels.get(name, f"clip {name}") for name in self._clip_names()]
            self._motion_ids = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        else:  # the names are in order
            self._motion_ids = np.unique(self._clips, return_inverse=True)[1].astype(np.int64)
        weighted = bool(weights) and captions == "random"
        self._cumulative = np.cumsum(clip_weights(self._clip_names(), len(self), weights)) if weighted else None

    def _clip_names(self) -> Iterator[str]:
        """Clip id of each sample."""
        return (self._cache.names[row] for row in self._clips)

    @property
    def motion_ids(self) -> list[int]:
        """Label of each sample as a number; equal for motions that are not each other's negatives."""
        return self._motion_ids.tolist()

    @property
    def texts(self) -> set[str]:
        """Every caption that can be drawn."""
        return {caption.text for sample in range(len(self)) for caption in self.captions(sample)}

    def captions(self, sample: int) -> Sequence[Caption]:
        """Captions that a sample's is drawn from."""
        return self._cache.captions.at(np.arange(self._counts[sample]) + self._places[sample])

    @cached_property
    def sample_names(self) -> list[str]:
        """A name of its own for each sample: the clip id, of a part of a clip `<id>_<first frame>_<last frame>`.

        Further samples of the same part have `_2`, `_3`, ... behind that.
        """
        names: dict[str, None] = {}
        firsts = self._starts - self._cache.offsets[self._clips]
        whole = (self._cache.captions.times[self._places] == 0).all(axis=1)
        for clip, first, length, is_whole in zip(self._clip_names(), firsts, self._lengths, whole, strict=True):
            plain = clip if is_whole else f"{clip}_{first}_{first + length - 1}"
            numbered = (f"{plain}_{number}" for number in itertools.count(2))
            names[plain if plain not in names else next(name for name in numbered if name not in names)] = None
        return list(names)

    @property
    def lengths(self) -> np.ndarray:
        """Frames (N,) of each sample before it is cut."""
        return self._lengths

    def __len__(self) -> int:
        return len(self._clips)

    def __getitems__(self, indices: list[int]) -> TextMotionBatch:
        """The batch of several samples at once, padded to the longest."""
        if self._cumulative is None:
            ids = np.asarray(indices, dtype=np.int64) % len(self)
        else:
            ids, _ = draw_stratified(self._cumulative, len(self), indices, self._seed)
        motion, lengths = self._cut(ids, indices)
        picks = np.zeros(len(ids), dtype=np.int64)
        if self._random_caption:
            picks = (uniform(self._seed, indices, stream=1) * self._counts[ids]).astype(np.int64)
        captions = self._cache.captions.at(self._places[ids] + picks)
        return self.batch_type(
            motion=motion,
            lengths=lengths,
            names=[self._cache.names[row] for row in self._clips[ids]],
            captions=[caption.text for caption in captions],
            tokens=[caption.tokens for caption in captions],
            motion_ids=torch.from_numpy(self._motion_ids[ids]),
            sample_ids=torch.from_numpy(ids),
            keys=torch.from_numpy(draw_keys(self._seed, indices)),
        )

    def _cut(self, ids: np.ndarray, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Normalised motion (B, T, D) of some samples, and its lengths (B,)."""
        starts, sizes = self._crop(ids, indices)
        return self._frames.cut(starts, sizes, int(sizes.max()))

    def _crop(self, ids: np.ndarray, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """First row in the cache and length of each sample."""
        unit = self._spec.unit_length
        units = np.minimum(self._lengths[ids], self._spec.max_frames) // unit
        if not self._augment:
            return self._starts[ids], units * unit
        units = np.maximum(units - (uniform(self._seed, indices, stream=2) < 1 / 3), 1)
        free = self._lengths[ids] - units * unit + 1
        return self._starts[ids] + (uniform(self._seed, indices, stream=3) * free).astype(np.int64), units * unit
