"""Random numbers: one seed for everything, and streams that leave the rest alone."""

import random
from types import TracebackType
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - code that draws from the global state must be reproducible too
    torch.manual_seed(seed)


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
