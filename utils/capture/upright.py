"""Turning any motion upright: its up axis, stated or found, and whether left and right are where they should be."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from lamp.utils.kinematics.skeleton import HUMANML3D

AXES = ("+x", "-x", "+y", "-y", "+z", "-z")
_FEET, _HEAD = [7, 8, 10, 11], 15
_THIGHS, _SHINS = ((1, 4), (2, 5)), ((4, 7), (5, 8))
# What speaks for an axis, in points: that the body stands along it, that the rest pose does, that files mostly have it;
# and against it: that the lowest point moves up and down, or is not at 0, where captures mostly put the floor.
_STANDS, _RESTS, _USUAL, _NO_FLOOR = 2.0, 2.0, {"+y": 0.5, "+z": 0.2}, 1.5
_CONVENTION = "+y"
_SURE, _FLOOR = 0.7, 0.1
"""Points by which the best axis must lead for it to be sure; lowest points that can be a floor, see `_floors`."""
_STRAIGHT, _SQUARE = 0.9, 0.3
"""In a rest pose that tells where up is: least cosine between thigh and shin and between both legs, greatest between
legs and the line through the hips."""


def join_up(argv: Sequence[str]) -> list[str]:
    """A command line whose `--up -y` is `--up=-y`: argparse takes -y for a flag."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1] == "--up" and word in AXES:
            joined[-1] = f"--up={word}"
        else:
            joined.append(word)
    return joined


@dataclass(frozen=True)
class Up:
    """An up axis.

    Attributes:
        axis: one of `AXES`.
        lead: points by which it leads the second best; infinite where it was stated.
        second: the second best, "" where the axis was stated.
    """

    axis: str
    lead: float = float("inf")
    second: str = ""

    @property
    def sure(self) -> bool:
        """Whether there is little doubt."""
        return self.lead >= _SURE

    @property
    def note(self) -> str:
        """A line about the doubt, or ""."""
        if self.sure:
            return ""
        return f"up axis {self.axis} is not sure, {self.second} is nearly as likely; --up states it"


def find_up(joints: Tensor, rest: Tensor | None = None) -> Up:
    """The up axis of a motion, from the way the body stands, its rest pose, and where the floor can be.

    A person who lies or crawls all the time is told from one who stands by the rest pose, and by the lowest point of
    the body, which over the whole take stays on the floor, mostly at 0, along the right axis only.

    Args:
        joints: (T, 22, 3) in any axes and unit.
        rest: (22, 3) the skeleton's pose without rotations, None if there is none.
    """
    points, floors = up_points(joints, rest), _floors(joints)
    first, second = sorted(AXES, key=lambda axis: -points[axis])[:2]
    lead, other = points[first] - points[second], min(AXES, key=lambda axis: (axis == first, floors[axis]))
    if first != _CONVENTION and floors[other] < _FLOOR and _along(_rest_up(rest), first) < _STRAIGHT:
        # It could as well lie on a floor along the other axis; neither rest pose nor convention says which.
        return Up(first, min(lead, _SURE / 2), other)
    return Up(first, lead, second)


def up_points(joints: Tensor, rest: Tensor | None = None) -> dict[str, float]:
    """How much speaks for each axis to point up; see `find_up`."""
    stack = (joints[:, _HEAD] - joints[:, _FEET].mean(1)).mean(0).double()
    stack = stack / stack.norm().clamp_min(1e-9)
    resting, floors = _rest_up(rest), _floors(joints)
    return {
        axis: _STANDS * _along(stack, axis)
        + _RESTS * max(0.0, _along(resting, axis))
        + _USUAL.get(axis, 0.0)
        - _NO_FLOOR * floors[axis]
        for axis in AXES
    }


def _along(vector: Tensor, axis: str) -> float:
    """Component of a vector (3,) along a signed axis."""
    return float(vector["xyz".index(axis[1])]) * (-1.0 if axis[0] == "-" else 1.0)


def _floors(joints: Tensor) -> dict[str, float]:
    """How unlike a floor at 0 the lowest points of a motion are, for each axis up: how far they move, and where."""
    joints = joints.double()
    leg = float(HUMANML3D.measure_bones(joints[0])[list(HUMANML3D.leg_joints)].sum()) or 1.0
    floors = {}
    for axis in AXES:
        sign = -1.0 if axis[0] == "-" else 1.0
        lowest = (sign * joints[..., "xyz".index(axis[1])]).amin(1).sort().values / leg
        last = len(lowest) - 1
        spread = float(lowest[int(0.95 * last)] - lowest[int(0.05 * last)])
        floors[axis] = min(spread, 1.0) + min(abs(float(lowest[last // 2])), 1.0)
    return floors


def _rest_up(rest: Tensor | None) -> Tensor:
    """Unit vector (3,) to which the straight, parallel legs of a rest pose (22, 3) point up; zero if they do not.

    Many files have no rest pose: their offsets are along each bone's own axis.
    """
    if rest is None:
        return torch.zeros(3)
    bones = [rest[b] - rest[a] for a, b in (*_THIGHS, *_SHINS)]
    if any(not bone.norm() > 0 for bone in bones):
        return torch.zeros(3)
    units = torch.stack([bone / bone.norm() for bone in bones])
    across = rest[1] - rest[2]
    if (units @ units.T).min() < _STRAIGHT or not across.norm() > 0:
        return torch.zeros(3)
    down = units.mean(0)
    if abs(float(cosine_similarity(down, across, dim=0))) > _SQUARE:
        return torch.zeros(3)
    return -down / down.norm()


def upright(joints: Tensor, up: str | None = None) -> Tensor:
    """Turn a motion (T, 22, 3) so that +Y is up.

    Args:
        joints: in any axes.
        up: "+x", "-y", ... in the input's axes; None finds it.
    """
    up = find_up(joints).axis if up is None else up
    axis, sign = "xyz".index(up[-1].lower()), -1.0 if up.startswith("-") else 1.0
    # A cyclic change of axes is a rotation; half a turn about z then mends a negative sign.
    joints = joints[..., [(axis + 2) % 3, axis, (axis + 1) % 3]]
    return joints * joints.new_tensor([sign, sign, 1.0])


def check_handedness(joints: Tensor) -> bool:
    """True if toes and knees of a motion (T, 22, 3) mostly point where hips, shoulders and head say that it faces.

    The body's own axes count, not the floor's, so that it may lie or stand on its hands. Of the feet only the lower one
    in these axes counts: the swinging foot of a sprinter points backwards.
    """
    joints = joints.double()
    up = joints[:, _HEAD] - joints[:, 0]
    left = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    forward = torch.linalg.cross(left, up)
    forward = forward / forward.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    ankles, toes = joints[:, [7, 8]], joints[:, [10, 11]]
    lower = (ankles * up[:, None]).sum(-1).argmin(1)
    foot = (toes - ankles)[torch.arange(len(joints)), lower]
    knees = joints[:, [4, 5]].mul(2).sub(joints[:, [1, 2]]).sub(ankles).mean(1)
    return bool((forward * (foot + knees)).sum(-1).mean() > 0)
