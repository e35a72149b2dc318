"""Loops: motions whose last frame flows into the first."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lamp.utils.kinematics.features import features_to_joints, recover_root
from lamp.utils.motion import Motion

LOOP = "loop"
"""Key of a motion's `meta`, True for a loop."""


def close_turn(features: Tensor) -> tuple[Tensor, float]:
    """Let the body face the same way after a round, so that the next begins as this one did.

    What a round turns beyond whole turns is taken out of all frames alike.

    Args:
        features: (T, D), not normalised.

    Returns:
        Features (T, D), and the degrees that were taken out, within +-180.
    """
    turn = 2 * float(features[:, 0].double().sum())  # the feature is half the angle
    excess = math.remainder(turn, 2 * math.pi)
    closed = features.clone()
    closed[:, 0] -= excess / 2 / len(features)
    return closed, math.degrees(excess)


def rounds(motion: Motion, count: int) -> Motion:
    """A loop played several times, the travel of each round going on from the one before.

    Args:
        motion: with features; a loop.
        count: of rounds.
    """
    assert motion.features is not None
    features = np.tile(motion.features, (count, 1))
    joints = features_to_joints(torch.from_numpy(features)).numpy()
    return replace(motion, joints=joints, features=features, fit=None)


def through_rounds(motion: Motion, change: Callable[[Motion], Motion]) -> Motion:
    """Change a loop by something that looks at the frames around each, so that it stays a loop.

    Args:
        motion: with features; a loop.
        change: keeps the number of frames.

    Returns:
        The middle of three rounds, begun where the loop begins.
    """
    frames = len(motion)
    path = recover_root(torch.from_numpy(rounds(motion, 2).features))[1].numpy()
    changed = change(rounds(motion, 3))
    # Twist that positions leave open depends on the frames around, too.
    fit, part, start = changed.rotations(), slice(frames, 2 * frames), path[frames] * [1, 0, 1]
    fit = replace(fit, rotations=fit.rotations[part], root=fit.root[part] - start, joints=fit.joints[part] - start)
    return replace(changed, joints=fit.joints, features=None, fit=fit)
