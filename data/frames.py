"""Batches cut from the frames of a cache: on the host, which maps them from the disk, or on a device that holds all."""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lamp.data.cache import MotionCache, open_cache
from lamp.data.spec import DatasetSpec

UPLOAD_ROWS = 2**16


class Frames:
    """Normalised, padded batches from all frames of a cache.

    A device that holds the frames (HumanML3D is 2 GB) cuts a batch with two small index vectors from the host, instead
    of waiting for megabytes of it.

    Args:
        cache: motions.
        mean, std: (D,) normalisation.
        device: holds the frames from the first batch on; None leaves them on the disk, and batches on the host.
    """

    def __init__(self, cache: MotionCache, mean: Tensor, std: Tensor, device: torch.device | None = None) -> None:
        self._cache, self._device = cache, device
        self._mean, self._std = mean.to(device), std.to(device)

    def cut(self, starts: np.ndarray, lengths: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Cut a batch.

        Args:
            starts: (B,) first row of each item in the cache.
            lengths: (B,) rows of each item, at most `size`.
            size: T.

        Returns:
            Normalised motion (B, T, D), zero beyond each length, and the lengths (B,).
        """
        rows = torch.from_numpy(lengths).to(self._device)
        if self._device is None:
            # Whatever stands beyond a length, the index must exist.
            steps = np.minimum(np.arange(size), lengths[:, None] - 1)
            motion = torch.from_numpy(self._cache.frames[starts[:, None] + steps])
        else:
            steps = torch.arange(size, device=self._device).minimum(rows[:, None] - 1)
            motion = _held(self._cache, self._device)[torch.from_numpy(starts).to(self._device)[:, None] + steps]
        motion.sub_(self._mean).div_(self._std)
        if (lengths < size).any():
            motion.masked_fill_((torch.arange(size, device=self._device) >= rows[:, None])[..., None], 0.0)
        return motion, rows


@lru_cache(maxsize=1)
def _held(cache: MotionCache, device: torch.device) -> Tensor:
    """All frames (F, D) on a device, one copy for all loaders; copied in parts, so that the host never holds them."""
    frames = torch.empty(cache.frames.shape, device=device)
    for start in range(0, len(frames), UPLOAD_ROWS):
        frames[start : start + UPLOAD_ROWS] = torch.from_numpy(cache.frames[start : start + UPLOAD_ROWS].copy())
    return frames


def motions_device(
    spec: DatasetSpec, device: torch.device, *, choice: Literal["auto", "yes", "no"], workers: int = 0
) -> torch.device | None:
    """The device that holds all motions while a model trains there, or None if batches are made on the host.

    Args:
        spec: data set.
        device: where the model is trained.
        choice: "auto" holds them on a CUDA GPU of which they take at most a quarter of the free memory, unless
            processes of their own load the data.
        workers: loading processes, 0 with "yes".
    """
    if choice == "no" or device.type == "cpu":
        return None
    if choice == "auto":
        if workers or device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(device)
        return device if 4 * open_cache(spec).frames.nbytes <= free else None
    return device
