"""Training samples from a motion cache: windows for the tokenizer, caption and motion pairs for everything else.

A batch is cut from the cache with one indexing operation (`__getitems__`), without per-sample tensors. Every random
choice is a hash of (seed, epoch, position in the epoch), so a sample is the same whatever the batch size, the number of
workers or processes, and an epoch can be repeated or resumed. An index `epoch * len(dataset) + i` stands for sample i
of that epoch; `lamp.data.sampling.EpochSampler` makes them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lamp.data.cache import MotionCache
from lamp.data.frames import Frames
from lamp.data.sampling import clip_weights, draw_keys, draw_stratified, uniform
from lamp.data.spec import DatasetSpec
from lamp.data.text import Caption
from lamp.utils.errors import UserError

CaptionChoice = Literal["random", "first", "all"]
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
        rows = np.array([cache.rows[name] for name in names if name in cache.rows], dtype=np.int64)
        rows = rows[cache.lengths[rows] >= unit_length]
        if not len(rows):
            raise UserError(
                "no motion of this split can be used; check the data by `python -m lamp.prepare.check_data`"
            )
        self._cache, self._rows, self._window, self._unit = cache, rows, window, unit_length
        self._frames, self._seed = Frames(cache, mean, std, device), seed
        windows = np.maximum(cache.lengths[rows] - window + 1, 1)
        self._windows = windows
        self._cumulative = np.cumsum(windows * clip_weights([cache.names[row] for row in rows], weights))
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
        self.dropped: dict[str, int] = {}
        self._samples: list[tuple[str, slice, Sequence[Caption]]] = []
        for name in names:
            if name in cache.rows:
                self._add_clip(name, captions)
        if not self._samples:
            raise UserError(
                f"no motion with a caption is left in this split of {spec.root} (dropped: {self.dropped}); "
                f"run `python -m lamp.prepare.check_data --dataset_name {spec.name}`"
            )
        sample_names = [name for name, _, _ in self._samples]
        self._starts = np.array([cache.offsets[cache.rows[name]] + part.start for name, part, _ in self._samples])
        self._lengths = np.array([part.stop - part.start for _, part, _ in self._samples])
        self._counts = np.array([len(choices) for _, _, choices in self._samples])
        keys = [(labels or {}).get(name, f"clip {name}") for name in sample_names]
        self._motion_ids = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        weighted = bool(weights) and captions == "random"
        self._cumulative = np.cumsum(clip_weights(sample_names, weights)) if weighted else None

    @property
    def motion_ids(self) -> list[int]:
        """Label of each sample as a number; equal for motions that are not each other's negatives."""
        return self._motion_ids.tolist()

    @property
    def texts(self) -> set[str]:
        """Every caption that can be drawn."""
        return {caption.text for _, _, captions in self._samples for caption in captions}

    def captions(self, sample: int) -> Sequence[Caption]:
        """Captions that a sample's is drawn from."""
        return self._samples[sample][2]

    @property
    def lengths(self) -> np.ndarray:
        """Frames (N,) of each sample before it is cut."""
        return self._lengths

    def _add_clip(self, name: str, choice: CaptionChoice) -> None:
        """Enter the samples of a clip."""
        frames = int(self._cache.lengths[self._cache.rows[name]])
        captions = self._cache.captions.get(name, ())
        if not captions:
            self._drop("clips without a caption")
        whole = [caption for caption in captions if caption.whole]
        parts = [[caption] for caption in captions if not caption.whole]
        if choice == "first":
            whole = whole[:1]
        groups = [[caption] for caption in whole] if choice == "all" else [whole] if whole else []
        for group in groups + parts:
            part = group[0].frames(frames, self._spec.fps)
            length = part.stop - part.start
            if length < self._spec.min_frames:
                self._drop(f"samples under {self._spec.min_frames} frames")
            elif length >= self._spec.frame_limit:
                self._drop(f"samples not under {self._spec.frame_limit} frames")
            else:
                self._samples.append((name, part, group))

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, indices: list[int]) -> TextMotionBatch:
        """The batch of several samples at once, padded to the longest."""
        if self._cumulative is None:
            ids = np.asarray(indices, dtype=np.int64) % len(self)
        else:
            ids, _ = draw_stratified(self._cumulative, len(self), indices, self._seed)
        starts, sizes = self._crop(ids, indices)
        motion, lengths = self._frames.cut(starts, sizes, int(sizes.max()))
        picks = np.zeros(len(ids), dtype=np.int64)
        if self._random_caption:
            picks = (uniform(self._seed, indices, stream=1) * self._counts[ids]).astype(np.int64)
        captions = [self._samples[i][2][pick] for i, pick in zip(ids, picks)]
        return TextMotionBatch(
            motion=motion,
            lengths=lengths,
            names=[self._samples[i][0] for i in ids],
            captions=[caption.text for caption in captions],
            tokens=[caption.tokens for caption in captions],
            motion_ids=torch.from_numpy(self._motion_ids[ids]),
            sample_ids=torch.from_numpy(ids),
            keys=torch.from_numpy(draw_keys(self._seed, indices)),
        )

    def _crop(self, ids: np.ndarray, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """First row in the cache and length of each sample."""
        unit = self._spec.unit_length
        units = np.minimum(self._lengths[ids], self._spec.max_frames) // unit
        if not self._augment:
            return self._starts[ids], units * unit
        units = np.maximum(units - (uniform(self._seed, indices, stream=2) < 1 / 3), 1)
        free = self._lengths[ids] - units * unit + 1
        return self._starts[ids] + (uniform(self._seed, indices, stream=3) * free).astype(np.int64), units * unit
