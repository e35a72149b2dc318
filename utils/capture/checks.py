"""Whether joints can be those of a body: the same checks for data sets, captions, search and whatever reads motion."""

import math

from torch import Tensor

from lamp.utils.capture.upright import check_handedness, up_points
from lamp.utils.errors import UserError
from lamp.utils.kinematics.skeleton import HUMANML3D

LEG_LENGTH = 0.82
"""Metres of an adult's leg, by which motions of unknown unit are measured."""
_LEGS = (0.2, 2.5)
"""Metres that a leg in a file of metres can have."""
_UNITS = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254, "feet": 0.3048}
_UNITS["CMU's units"] = 0.0254 / 0.45
_CERTAIN = (0.55, 1.15)
"""Metres of the legs by which a unit is told: those of a child of eight, and of the tallest."""
_BONE_SPREAD = 0.25
"""Greatest spread of a leg bone's length over the frames, as a part of its mean."""
_CLEARLY_OTHER = 1.0
"""Points by which another axis must lead for Y not to be up, see `lamp.utils.capture.upright`."""
# A throw's hand moves at 25 m/s; flights of stairs are lower than this. Data sets are held to narrower limits.
_FASTEST, _HIGHEST = 40.0, 3.0


def leg_length(joints: Tensor) -> float:
    """Mean length of the legs of a motion (T, 22, 3), thigh and shin."""
    return float(HUMANML3D.measure_bones(joints)[:, list(HUMANML3D.leg_joints)].sum(1).mean())


def find_unit(joints: Tensor) -> tuple[float, str]:
    """Metres in the unit of a motion (T, 22, 3), told by its legs, and a line that says what was supposed.

    Where legs are as long as no person's in any usual unit, they are made as long as an adult's.
    """
    length = leg_length(joints)
    fitting = {name: metres for name, metres in _UNITS.items() if _CERTAIN[0] <= metres * length <= _CERTAIN[1]}
    if not fitting:
        return LEG_LENGTH / length, f"legs of {length:.3g} fit no usual unit and were made {LEG_LENGTH} m long"
    name = min(fitting, key=lambda name: abs(math.log(fitting[name] * length / LEG_LENGTH)))
    legs = f"legs of {fitting[name] * length:.2f} m"
    return fitting[name], "" if name == "metres" else f"taken to be in {name} ({legs}); --unit states it"


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
