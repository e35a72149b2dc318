"""Local bone rotations as the motion features have them: the format's inverse kinematics (Guo et al. 2022), in 6D.

Works on tracks (..., 3, J, T), where each coordinate of each joint is contiguous in time. To pick rows is then cheap,
and the whole product of rotations is a few calls on matrix entries rather than many on quaternions.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from lamp.utils.kinematics.geometry import length
from lamp.utils.kinematics.skeleton import Skeleton

# What a matrix entry can be, in the order of the table of `_table`: for each bone the entries of `_axis_rotation` and
# the negatives of two, then what the root's turn is made of.
_ALONG, _P, _Q, _PP, _QQ, _PQ, _MINUS_P, _MINUS_Q = range(8)
_COS, _SIN, _MINUS_SIN, _ZERO, _ONE = range(5)
_BONE = ((_ALONG, _MINUS_P, _MINUS_Q), (_P, _PP, _PQ), (_Q, _PQ, _QQ))
_ROOT = ((_COS, _ZERO, _SIN), (_ZERO, _ONE, _ZERO), (_MINUS_SIN, _ZERO, _COS))


@dataclass(frozen=True)
class _Rows:
    """Rows to pick, as index tensors; N = J - 1 bones.

    Attributes:
        heads, tails: (3N,) rows of joint coordinates whose difference is, for all bones in turn, the signed coordinate
            along the rest axis, then p and q (see `_axis_rotation`).
        before: (9N,) rows of the table for the matrices that the local rotations refer to; by row, bone and column.
        own: (6N,) likewise the bones' own first two columns.
    """

    heads: Tensor
    tails: Tensor
    before: Tensor
    own: Tensor


def local_rotations(tracks: Tensor, cos: Tensor, sin: Tensor, skeleton: Skeleton) -> Tensor:
    """6D local rotations of joints 1..J-1, each that of the bone that ends at the joint.

    Args:
        tracks: joint positions (..., 3, J, T).
        cos, sin: (..., T) of the root's turn about +Y.

    Returns:
        (..., 6(J-1), T): for each joint first, then second column of its rotation matrix.
    """
    rows = _rows(skeleton, tracks.device)
    table = _table(tracks, cos, sin, rows)
    bones = skeleton.num_joints - 1
    before = table.index_select(-2, rows.before).unflatten(-2, (3, bones, 1, 3))
    own = table.index_select(-2, rows.own).unflatten(-2, (3, bones, 2, 1))
    # Columns of (transposed matrix before) x (own matrix), as (..., bone, column, row, T).
    (a, b, c), (x, y, z) = before.unbind(-5), own.unbind(-5)
    return (a * x).addcmul_(b, y).addcmul_(c, z).flatten(-4, -2)


def _axis_rotation(direction: Tensor) -> tuple[Tensor, ...]:
    """Entries of the shortest rotation R from an axis to unit vectors: `geometry.quat_between`, but cheaper.

    With coordinates (c, p, q) of the vector, c along the axis, R = [[c, -p, -q], [p, pp, pq], [q, pq, qq]], where
    pp = 1 - p^2 / (1 + c), qq = 1 - q^2 / (1 + c) and pq = -p q / (1 + c). Where the vector is opposite to the axis
    it is half a turn about p's axis.

    Args:
        direction: (..., 3, N, T), c, p and q of N unit vectors in T frames.

    Returns:
        c, p, q, pp, qq, pq, each (..., N, T).
    """
    c, p, q = direction.unbind(-3)
    across = (p * p).addcmul_(q, q)
    # 1 + c cancels near opposite vectors; (1 + c)(1 - c) = p^2 + q^2 does not.
    size = c.abs().add_(1)
    one_plus_c = torch.where(c < 0, across / size, size).clamp_min(1e-12)
    # Below this (a sine of 3e-4) rounding is worse than taking the vectors as exactly opposite.
    opposite = one_plus_c <= 4.5e-8
    c, p, q = c.masked_fill(opposite, -1), p.masked_fill(opposite, 0), q.masked_fill(opposite, 0)
    slope = p / one_plus_c
    pp = 1 - slope * p
    return c, p, q, pp, c + 1 - pp, -slope * q


def _table(tracks: Tensor, cos: Tensor, sin: Tensor, rows: _Rows) -> Tensor:
    """All that the matrix entries of a skeleton can be (..., 8N + 5, T), in the order of the constants above."""
    coordinates = tracks.flatten(-3, -2)
    bones = coordinates.index_select(-2, rows.tails) - coordinates.index_select(-2, rows.heads)
    bones = bones.unflatten(-2, (3, -1))
    # A bone of no length lies along its axis.
    bones.select(-3, 0).add_(1e-15)
    c, p, q, *others = _axis_rotation(bones / length(bones, dim=-3))
    cos, sin = cos[..., None, :], sin[..., None, :]
    return torch.cat((c, p, q, *others, -p, -q, cos, sin, -sin, torch.zeros_like(cos), torch.ones_like(cos)), dim=-2)


@lru_cache
@torch.inference_mode(False)  # what is made in inference mode could not be used by autograd later
def _rows(skeleton: Skeleton, device: torch.device) -> _Rows:
    """The rows of a skeleton, built once."""
    joints, bones = skeleton.num_joints, skeleton.num_joints - 1
    heads, tails = torch.empty(2, 3, bones, dtype=torch.long)
    matrices = [torch.tensor(_ROOT) + 8 * bones]
    for bone, joint in enumerate(range(1, joints)):
        axis, negative = skeleton.rest_axes[joint]
        # Half a turn about p's axis keeps the body upright (see `geometry.quat_between`).
        p = 0 if axis == 1 else 1
        order = torch.tensor((axis, p, 3 - axis - p))
        ends = (skeleton.parents[joint], joint)
        head, tail = reversed(ends) if negative else ends
        heads[:, bone], tails[:, bone] = order * joints + head, order * joints + tail
        matrix = torch.empty(3, 3, dtype=torch.long)
        matrix[order[:, None], order] = torch.tensor(_BONE) * bones + bone
        matrices.append(matrix)
    before = torch.stack([matrices[parent] for parent in skeleton.rotation_parents[1:]], dim=1)
    own = torch.stack(matrices[1:], dim=1)[..., :2]
    return _Rows(*(rows.flatten().to(device) for rows in (heads, tails, before, own)))
