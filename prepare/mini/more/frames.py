"""What the readers of the sources share: frame rates, axes, chains of rotations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lamp.utils.errors import UserError
from lamp.utils.kinematics.geometry import frames_between, quat_multiply, quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D

FPS = HUMANML3D.fps


def resampled(points: Tensor, fps: float) -> Tensor:
    """Positions (T, J, 3) of `fps` frames a second at 20, between frames on straight lines.

    Raises:
        ValueError: fewer than two frames.
    """
    if len(points) < 2:
        raise ValueError("fewer than two frames")
    low, high, share = frames_between(len(points), fps, FPS)
    return torch.lerp(points[low], points[high], share.to(points)[:, None, None])


def y_up(points: Tensor) -> Tensor:
    """Positions (..., 3) with Z up, turned so that Y is up: a cyclic change of axes, which keeps left and right."""
    return points[..., [1, 2, 0]]


def blended(points: Tensor, a: int, b: int, share: float) -> Tensor:
    """The points (T, 3) that lie `share` of the way from joint `a` to joint `b` of points (T, J, 3)."""
    return torch.lerp(points[:, a], points[:, b], share)


def pose_chain(
    parents: Sequence[int], offsets: Tensor, local: Tensor, root: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Places and rotations of the joints of a tree by forward kinematics.

    Args:
        parents: of each joint, earlier than it; -1 for the first.
        offsets: (J, 3) of each joint in its parent's frame; the first is not read.
        local: (T, J, 4) unit quaternions of each joint in its parent's frame; the first is not read.
        root: position (T, 3) and rotation (T, 4) of the first joint.

    Returns:
        (T, J, 3) and (T, J, 4).
    """
    places, turns = [root[0]], [root[1]]
    for joint, parent in enumerate(parents[1:], start=1):
        places.append(places[parent] + quat_rotate(turns[parent], offsets[joint]))
        turns.append(quat_multiply(turns[parent], local[:, joint]))
    return torch.stack(places, 1), torch.stack(turns, 1)


def check_columns(table: Tensor, columns: int, what: str) -> None:
    """Make sure that a table (T, columns) of numbers is one, of two frames or more.

    Raises:
        UserError: it is not; `what` names the file.
    """
    if table.ndim != 2 or len(table) < 2 or table.shape[1] != columns:
        raise UserError(f"{what}: expected frames of {columns} numbers, two or more, got {tuple(table.shape)}")
    if not bool(table.isfinite().all()):
        raise UserError(f"{what} holds values that are not finite")
