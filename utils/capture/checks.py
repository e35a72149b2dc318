"""Whether joints can be those of a body: the same checks for data sets, captions, search and whatever reads motion."""

from torch import Tensor

from lamp.utils.capture.upright import check_handedness, up_points
from lamp.utils.errors import UserError
from lamp.utils.kinematics.skeleton import HUMANML3D

LEG_LENGTH = 0.82
"""Metres of an adult's leg, by which motions of unknown unit are measured."""
_LEGS = (0.2, 2.5)
"""Metres that a leg in a file of metres can have."""
_BONE_SPREAD = 0.25
"""Greatest spread of a leg bone's length over the frames, as a part of its mean."""
_CLEARLY_OTHER = 1.0
"""Points by which another axis must lead for Y not to be up, see `lamp.utils.capture.upright`."""
# A throw's hand moves at 25 m/s; flights of stairs are lower than this. Data sets are held to narrower limits.
_FASTEST, _HIGHEST = 40.0, 3.0


def leg_length(joints: Tensor) -> float:
    """Mean length of the legs of a motion (T, 22, 3), thigh and shin."""
    return float(HUMANML3D.measure_bones(joints)[:, list(HUMANML3D.leg_joints)].sum(1).mean())


def check_stance(joints: Tensor, what: str) -> None:
    """Make sure that upright joints (T, 22, 3) in any unit are those of a body.

    Raises:
        UserError: bones without length, or left and right swapped.
    """
    if not leg_length(joints) > 0:
        raise UserError(f"{what}: the legs have bones of no length")
    if not check_handedness(joints):
        raise UserError(
            f"{what}: toes point backwards: left and right, or the axes, are swapped (a left-handed export)"
        )


def check_array(joints: Tensor, what: str, up: str | None = None) -> None:
    """Make sure that joints (T, 22, 3) of an array are in metres, keep their bones, and are Y up or as `up` says.

    Raises:
        UserError: they are not.
    """
    legs = HUMANML3D.measure_bones(joints)[:, list(HUMANML3D.leg_joints)]
    low, high = _LEGS
    length = float(legs.sum(1).mean())
    if length == 0:
        raise UserError(f"{what}: the legs have bones of no length")
    if not low <= length <= high:
        raise UserError(f"{what}: legs are {length:.3g} long; joints of arrays must be in metres")
    if bool((legs.std(0, correction=0) > _BONE_SPREAD * legs.mean(0)).any()):
        raise UserError(f"{what}: the legs change their length from frame to frame, so these are no joint positions")
    points = up_points(joints)
    best = max(points, key=lambda axis: points[axis])
    if up is None and points[best] > points["+y"] + _CLEARLY_OTHER:
        raise UserError(f"{what}: {best} seems to be up, not +y; state it with --up={best} (or --up=+y, if it is Y)")


def check_motion(joints: Tensor, fps: float, what: str) -> None:
    """Make sure that upright joints (T, 22, 3) in any unit move like a body that is not flung about.

    Raises:
        UserError: a joint is faster than any, or the body flies.
    """
    metres = joints * (LEG_LENGTH / leg_length(joints))
    speed = float((metres[1:] - metres[:-1]).norm(dim=-1).amax()) * fps if len(metres) > 1 else 0.0
    if speed > _FASTEST:
        raise UserError(f"{what}: a joint moves at {speed:.0f} m/s; bones and places may be in different units")
    lowest = metres[..., 1].amin(1)
    height = float(lowest.max() - lowest.min())
    if height > _HIGHEST:
        raise UserError(f"{what}: the body rises {height:.1f} m; the file is broken, or its up axis another (--up)")
