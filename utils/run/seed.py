"""Random numbers: one seed for everything, and streams that leave the rest alone."""

import random
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FACTORS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - code that draws from the global state must be reproducible too
    torch.manual_seed(seed)


def combined_seed(*parts: int) -> int:
    """One seed, 0 ... 2**63 - 1, of several numbers that are not negative; in another order they give another."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def keyed_uniform(keys: Tensor, shape: Sequence[int], stream: int = 0) -> Tensor:
    """Uniform numbers in [0, 1) that depend on a sample's key and their place, not on the batch or the process.

    Args:
        keys: (B,) int64.
        shape: of a sample's numbers. A larger shape continues a smaller one: padding changes no number.
        stream: numbers of the same keys that have nothing to do with each other.

    Returns:
        (B, *shape) float32, by SplitMix64's finaliser (Steele et al. 2014) applied along each dimension.
    """
    state = _mix(keys + (stream + 1) * _GOLDEN % 2**62)
    for size in shape:
        state = _mix(state[..., None] + torch.arange(1, size + 1, device=keys.device) * _GOLDEN)
    # The upper 24 bits: float32 holds them exactly.
    return (state >> 40 & 2**24 - 1).float() * 2.0**-24


def _mix(state: Tensor) -> Tensor:
    """Spread each bit of int64 numbers over all; overflow wraps, and shifts bring zeros in."""
    state = (state ^ (state >> 30 & 2**34 - 1)) * _FACTORS[0]
    state = (state ^ (state >> 27 & 2**37 - 1)) * _FACTORS[1]
    return state ^ (state >> 31 & 2**33 - 1)


class RandomStream:
    """A random stream of its own for python, numpy and torch: inside `with stream:` all draws come from it.

    It continues where the last `with` left it, and what is outside does not notice. The data of an epoch drawn inside
    one is the same whatever the model draws meanwhile, which is what lets a run resume in the middle of an epoch.
    """

    def __init__(self, seed: int, devices: bool = False) -> None:
        """Start a stream.

        Args:
            seed: where the stream starts.
            devices: also keep the GPUs' generators apart; needed only where something is drawn on them.
        """
        self.devices = devices and torch.cuda.is_available()
        outside = self._get()
        seed_everything(seed)
        self._inside = self._get()
        self._set(outside)

    def __enter__(self) -> "RandomStream":
        """Switch to the stream."""
        self._outside = self._get()
        self._set(self._inside)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Switch back."""
        self._inside = self._get()
        self._set(self._outside)

    def _get(self) -> tuple[Any, ...]:
        gpus = torch.cuda.get_rng_state_all() if self.devices else None
        return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus  # noqa: NPY002

    def _set(self, states: tuple[Any, ...]) -> None:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if self.devices:
            torch.cuda.set_rng_state_all(states[3])
