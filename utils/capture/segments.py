"""Long takes in segments: cuts where the motion changes."""

import itertools

import numpy as np
from torch import Tensor

from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.kinematics.skeleton import SKELETONS

STEP = 4
"""Frames between two places where a cut may be; a token's."""
WINDOW = 20
"""Frames over which a place is described: a second, in which steps and beats even out."""
SHORTEST, LONGEST = 40, 196
"""Frames of a segment: two seconds, and what the models read."""
PENALTY = 4.0
"""What a cut costs, in the units of `describe`; chosen on takes joined of known clips, see docs/library.md."""


def cut_points(features: Tensor, penalty: float = PENALTY) -> list[int]:
    """Frames at which a motion falls into segments, 0 and its length included.

    Each segment is taken to have one mean of `describe`; the cuts are those with the least sum of squared distances to
    the means and of a penalty for each cut, found exactly by dynamic programming (Jackson et al. 2005, "An algorithm
    for optimal partitioning of data on an interval", with bounds on the lengths). What is shorter than two segments
    stays whole.

    Args:
        features: (T, D) motion features at 20 frames a second, not normalised.
        penalty: what a cut costs.
    """
    frames = len(features)
    places = describe(features)
    count = len(places)
    least, most = SHORTEST // STEP, LONGEST // STEP
    if count < 2 * least:
        return [0, frames]
    sums = np.concatenate((np.zeros((1, places.shape[1])), places.cumsum(0)))
    squares = np.concatenate(([0.0], (places**2).sum(1).cumsum()))
    best = np.full(count + 1, np.inf)
    best[0] = -penalty
    before = np.zeros(count + 1, dtype=int)
    for end in range(least, count + 1):
        starts = np.arange(max(0, end - most), end - least + 1)
        means = (sums[end] - sums[starts]) ** 2
        cost = squares[end] - squares[starts] - means.sum(1) / (end - starts)
        totals = best[starts] + cost + penalty
        chosen = int(totals.argmin())
        best[end], before[end] = totals[chosen], starts[chosen]
    cuts = [count]
    while cuts[-1] > 0:
        cuts.append(int(before[cuts[-1]]))
    inner = [STEP * cut for cut in cuts[1:-1]]
    return [0, *reversed(inner), frames]


def describe(features: Tensor) -> np.ndarray:
    """What happens around every fourth frame: (T // 4, E) mean pose, how much each joint moves, travel and turns.

    Positions and speeds are relative to the body and its facing, so the same action in another place or direction is
    described alike. Each group has about the same weight: it is divided by a typical difference between two actions.
    """
    layout = FeatureLayout.of_dim(features.shape[1])
    count, metres = layout.num_joints, SKELETONS[layout.num_joints].millimetres / 1000
    values = features.double().numpy()
    speed = values[:, layout.velocities].reshape(len(values), count, 3)
    moving = np.linalg.norm(speed - speed[:, :1], axis=-1)
    groups = (
        (values[:, layout.positions] * metres, 0.15 * np.sqrt(3 * (count - 1))),
        (moving * metres, 0.02 * np.sqrt(count)),
        (values[:, layout.yaw_velocity], 0.05),
        (values[:, layout.root_velocity] * metres, 0.03),
        (values[:, layout.root_height] * metres, 0.15),
    )
    told = np.concatenate([values / size for values, size in groups], axis=1)
    ends = np.concatenate((np.zeros((1, told.shape[1])), told.cumsum(0)))
    middles = np.arange(len(told) // STEP) * STEP + STEP // 2
    low, high = np.maximum(middles - WINDOW // 2, 0), np.minimum(middles + WINDOW // 2, len(told))
    return (ends[high] - ends[low]) / (high - low)[:, None]


def segments(features: Tensor) -> list[tuple[int, int]]:
    """First frame and the one after the last of each segment."""
    return list(itertools.pairwise(cut_points(features)))
