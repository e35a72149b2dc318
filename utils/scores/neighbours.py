"""Nearest training motion: what a system without any learning would answer."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.scores.metrics import mpjpe


@dataclass
class Neighbour:
    """Index of the training motion nearest to a motion, and its position error in the data's unit."""

    index: int
    error: float


class NeighbourSearch:
    """Search among motions by the mean squared distance of local joint positions over the query's length.

    Args:
        motions: features (T, D) of each, not normalised; a motion shorter than a query is not a candidate for it.
        layout: where positions lie among the features.
    """

    def __init__(self, motions: Iterable[Tensor], layout: FeatureLayout) -> None:
        self._slice = layout.positions
        poses = [motion[:, self._slice] for motion in motions]
        self._lengths = torch.tensor([len(pose) for pose in poses])
        self._poses = torch.nn.utils.rnn.pad_sequence(poses, batch_first=True)
        self._norms = self._poses.square().sum(-1).cumsum(1)

    def __call__(self, motion: Tensor) -> Neighbour | None:
        """Nearest motion to `motion` (T, D), or None if none is as long."""
        query = motion[:, self._slice]
        frames = len(query)
        candidates = torch.nonzero(self._lengths >= frames).flatten()
        if not len(candidates):
            return None
        flat = self._poses[candidates, :frames].flatten(1)
        distance = self._norms[candidates, frames - 1] - 2 * flat @ query.flatten()
        best = int(candidates[distance.argmin()])

        def joints(pose: Tensor) -> Tensor:
            # The root stands at the origin of local positions.
            return torch.nn.functional.pad(pose.unflatten(-1, (-1, 3)), (0, 0, 1, 0))

        return Neighbour(best, mpjpe(joints(self._poses[best, :frames]), joints(query)).mean().item())
