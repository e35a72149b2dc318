"""Which samples of motion and captions the clips of a split give."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lamp.data.spec import DatasetSpec

CaptionChoice = Literal["random", "first", "all"]
_TOGETHER = 2**16
"""Clips looked at together, which bounds what is held besides the samples."""


@dataclass(frozen=True)
class Samples:
    """Samples in order of their clips.

    Attributes:
        clips: (N,) which of the clips.
        starts, lengths: (N,) frames of the part, counted from the clip's first.
        captions, counts: (N,) place of the first caption that speaks of the part, and how many there are.
        dropped: how many were left out, by reason.
    """

    clips: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    captions: np.ndarray
    counts: np.ndarray
    dropped: dict[str, int]


def find_samples(
    frames: np.ndarray, places: np.ndarray, times: np.ndarray, spec: DatasetSpec, choice: CaptionChoice
) -> Samples:
    """The whole clip with the captions that speak of it is one sample; each caption with times of its own is another.

    Args:
        frames: (n,) of each clip.
        places: (n, 2) of each clip's captions in `times`: the first, and the one after the last.
        times: (C, 2) seconds of captions, in each clip those of the whole first.
        spec: lengths and frame rate.
        choice: with "first" a whole clip has one caption, with "all" it is a sample for each of its captions.
    """
    dropped: Counter[str] = Counter()
    columns: list[list[np.ndarray]] = [[np.empty(0, dtype=np.int64)] for _ in range(5)]
    for start in range(0, len(frames), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        clips, *others = _of_some(frames[part], places[part], times, spec, choice, dropped)
        for column, values in zip(columns, (start + clips, *others), strict=True):
            column.append(values)
    kept = {reason: count for reason, count in dropped.items() if count}
    clips, starts, lengths, captions, counts = map(np.concatenate, columns)
    return Samples(clips, starts, lengths, captions, counts, dropped=kept)


def _of_some(
    frames: np.ndarray,
    places: np.ndarray,
    times: np.ndarray,
    spec: DatasetSpec,
    choice: CaptionChoice,
    dropped: Counter[str],
) -> tuple[np.ndarray, ...]:
    """Clips, starts, lengths, captions and counts of the samples of some clips; adds to `dropped`."""
    counts = places[:, 1] - places[:, 0]
    clips = np.repeat(np.arange(len(frames)), counts)
    nth = np.arange(len(clips)) - np.repeat(np.cumsum(counts) - counts, counts)
    captions = places[clips, 0] + nth
    begin, end = times[captions].T
    whole, limits = (begin == 0) & (end == 0), frames[clips]
    # As `Caption.frames` counts.
    starts = np.where(whole, 0, np.minimum((begin * spec.fps).astype(np.int64), limits))
    stops = np.where(whole, limits, np.maximum(starts, np.minimum((end * spec.fps).astype(np.int64), limits)))
    together = np.ones(len(clips), dtype=np.int64)
    if choice == "random":
        together[whole] = np.bincount(clips[whole], minlength=len(frames))[clips[whole]]
    taken = np.ones(len(clips), dtype=bool) if choice == "all" else ~whole | (nth == 0)
    lengths = stops - starts
    short, long = lengths < spec.min_frames, lengths >= spec.frame_limit
    dropped["clips without a caption"] += int((counts == 0).sum())
    dropped[f"samples under {spec.min_frames} frames"] += int((taken & short).sum())
    dropped[f"samples not under {spec.frame_limit} frames"] += int((taken & long & ~short).sum())
    kept = taken & ~short & ~long
    return clips[kept], starts[kept], lengths[kept], captions[kept], together[kept]
