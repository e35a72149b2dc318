"""Which samples an epoch holds: shuffling, weights and random numbers that depend on nothing but seed and index."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from lamp.utils.errors import UserError

LARGEST_ORDER = 2**21
"""Samples of an epoch whose order is kept as a whole (8 MB); HumanML3D has about 1.9 million windows to train on."""
SHEET = 2**14
"""Indices that are made at a time."""
_ROUNDS = 6
_ORDERS = 1000
"""First stream of random numbers that orders are made of."""


class EpochSampler(Sampler[int]):
    """Indices of an epoch, which carry the epoch's number to the data set (see `lamp.data.motion`).

    An epoch of more than `LARGEST_ORDER` samples is shuffled by a keyed permutation, which costs no memory; a smaller
    one by NumPy's.

    Args:
        size: samples in an epoch.
        shuffle: in an order drawn from seed and epoch.
        seed: of the order.
    """

    def __init__(self, size: int, *, shuffle: bool, seed: int = 0) -> None:
        self._size, self._shuffle, self._seed, self._epoch, self._first = size, shuffle, seed, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def start_at(self, sample: int) -> None:
        """Begin the next iteration, and only that, at a sample other than the first.

        Whoever reads the indices must make the same of each, whatever came before it.
        """
        self._first = sample

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        first, self._first = self._first, 0
        return self._indices(first, self._epoch)

    def _indices(self, first: int, epoch: int) -> Iterator[int]:
        whole = None
        if self._shuffle and self._size <= LARGEST_ORDER:
            # Of 4 bytes each: this is NumPy's `permutation` in half the memory.
            whole = np.arange(self._size, dtype=np.int32)
            np.random.default_rng((self._seed, epoch)).shuffle(whole)
        for start in range(first, self._size, SHEET):
            places = np.arange(start, min(start + SHEET, self._size))
            if whole is not None:
                places = whole[places].astype(np.int64)
            elif self._shuffle:
                places = permuted(places, self._size, self._seed, epoch)
            yield from (epoch * self._size + places).tolist()


def permuted(places: np.ndarray, size: int, seed: int, epoch: int) -> np.ndarray:
    """Where a random permutation of 0 ... size - 1 sends some places, without the permutation of the others.

    A Feistel network over pairs of digits, walked until it is below `size` (Black and Rogaway, "Ciphers with arbitrary
    finite domains", 2002).

    Args:
        places: (B,) of 0 ... size - 1.
        size: at most 2**62.
        seed: of the permutation.
        epoch: each has another.
    """
    base = math.isqrt(size - 1) + 1
    result, left = np.array(places, dtype=np.int64), np.arange(len(places))
    while len(left):
        high, low = np.divmod(result[left], base)
        for turn in range(_ROUNDS):
            mixed = (_hashed(seed, low, _ORDERS + epoch * _ROUNDS + turn) >> np.uint64(1)).astype(np.int64)
            high, low = low, (high + mixed) % base
        result[left] = high * base + low
        left = left[result[left] >= size]
    return result


def clip_weights(names: Iterable[str], count: int, weights: dict[str, float] | None) -> np.ndarray:
    """Weight of each of `count` clips (N,)."""
    if not weights:
        return np.ones(count)
    values = np.fromiter((weights.get(name, 1.0) for name in names), dtype=np.float64, count=count)
    if not np.isfinite(values).all() or (values < 0).any() or not values.sum() > 0:
        raise UserError("weights.json must hold finite weights, none negative and not all 0 in a split")
    return values


def draw_stratified(cumulative: np.ndarray, size: int, indices: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw an item for each index in proportion to its weight, and a position in [0, 1) within the item.

    The i-th sample of an epoch is drawn from the i-th of `size` equal strata of the total weight: with equal weights
    and one stratum for each, every item comes up once in an epoch; otherwise as often as its weight says, to rounding.
    """
    strata = np.asarray(indices, dtype=np.int64) % size
    position = (strata + uniform(seed, indices, stream=0)) * (cumulative[-1] / size)
    # Rounding may put the last position at the very end: the last item of weight > 0, not one after it.
    last = np.searchsorted(cumulative, cumulative[-1])
    items = np.minimum(np.searchsorted(cumulative, position, side="right"), last)
    weight = np.diff(cumulative, prepend=0.0)[items]
    return items, np.clip((position - (cumulative[items] - weight)) / weight, 0.0, 1.0)


def uniform(seed: int, indices: list[int], stream: int) -> np.ndarray:
    """A number in [0, 1) for each index: a hash of (seed, stream, index)."""
    return (_hashed(seed, indices, stream) >> np.uint64(11)) * 2.0**-53


def draw_keys(seed: int, indices: list[int]) -> np.ndarray:
    """A key (B,) int64 for each index, from which a model draws what belongs to that sample."""
    return _hashed(seed, indices, stream=7).view(np.int64)


def _hashed(seed: int, indices: Sequence[int] | np.ndarray, stream: int) -> np.ndarray:
    """64 bits (B,) for each index: the finaliser of SplitMix64 applied twice."""
    state = np.asarray(indices, dtype=np.uint64)
    for key in (seed, stream):
        # Python integers, since an overflow of NumPy scalars would warn; arrays wrap silently.
        state = state * np.uint64(0x9E3779B97F4A7C15) + np.uint64((key + 1) * 0xD1B54A32D192ED03 % 2**64)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state
