"""Arms of one motion on the body of another, as in SINC (Athanasiou et al. 2023).

All joints are (T, 22, 3) float32, metres, Y up, of bodies of the same bone lengths.
"""

from collections.abc import Sequence

import numpy as np

from lamp.utils.kinematics.skeleton import HUMANML3D

NAMES = {name: number for number, name in enumerate(HUMANML3D.joint_names)}
ARMS = {
    side: [NAMES[f"{side}_{part}"] for part in ("collar", "shoulder", "elbow", "wrist")] for side in ("left", "right")
}
HANGING = -0.28
"""Height of a wrist above its shoulder below which an arm hangs, metres (a stretched arm that hangs has -0.5)."""


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def chest(joints: np.ndarray) -> np.ndarray:
    """Axes of the chest (T, 3, 3), rows to its left, up and to the front, from the bones at the upper spine."""
    across = joints[:, NAMES["left_collar"]] - joints[:, NAMES["right_collar"]]
    up = joints[:, NAMES["neck"]] - joints[:, NAMES["spine3"]]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    up = up - (up * across).sum(-1, keepdims=True) * across
    up = up / np.linalg.norm(up, axis=-1, keepdims=True)
    return np.stack((across, up, np.cross(across, up)), axis=1)


def lifted(joints: np.ndarray, side: str) -> np.ndarray:
    """Height (T,) of a wrist above its shoulder."""
    _, shoulder, _, wrist = ARMS[side]
    return joints[:, wrist, 1] - joints[:, shoulder, 1]


def acting(joints: np.ndarray, side: str) -> tuple[int, int] | None:
    """First and last frame between which an arm does not hang; None if it always does."""
    up = np.flatnonzero(lifted(joints, side) > HANGING)
    return (int(up[0]), int(up[-1])) if len(up) >= 6 else None


def stretched(first: int, last: int, start: int, frames: int, total: int) -> np.ndarray:
    """Frames of a clip to show over `total` frames: up to the action, to and fro within it, and, if there is room, out.

    Args:
        first, last: the action.
        start: frame at which it is to begin.
        frames: of the clip.
        total: to fill.
    """
    inner = last - first
    margin = min(inner // 4, 8)
    order = list(range(max(0, first - start), last - margin + 1))
    order = [0] * max(0, start - first) + order
    step, place = -1, last - margin
    while len(order) < total:
        place += step
        if not first + margin < place < last - margin:
            step = -step
            place = int(np.clip(place, first + margin, last - margin))
        order.append(place)
    return np.clip(order[:total], 0, frames - 1)


def with_arms(
    body: np.ndarray, arms: np.ndarray, sides: Sequence[str], frames: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """A body whose arms do what another's do, relative to the chest.

    Args:
        body: (T, 22, 3).
        arms: (S, 22, 3).
        sides: which arms.
        frames: (T,) frame of `arms` for each frame of `body`.
        weight: (T,) 0 for the body's own arms, 1 for the others'.
    """
    made = body.copy()
    turn = np.einsum("tij,tik->tjk", chest(body), chest(arms)[frames])  # from the other's chest to the body's
    for side in sides:
        for parent, child in zip(ARMS[side], ARMS[side][1:]):
            own = body[:, child] - body[:, parent]
            other = np.einsum("tij,tj->ti", turn, arms[frames, child] - arms[frames, parent])
            mixed = own + weight[:, None] * (other - own)
            length = np.linalg.norm(own, axis=-1, keepdims=True)
            made[:, child] = made[:, parent] + mixed * length / np.linalg.norm(mixed, axis=-1, keepdims=True)
    return made


def through_body(joints: np.ndarray, sides: Sequence[str], least: float = 0.10) -> bool:
    """Whether a wrist or elbow comes nearer to the trunk's axis than a trunk is thick."""
    low, high = joints[:, NAMES["pelvis"]], joints[:, NAMES["neck"]]
    axis = high - low
    for side in sides:
        for joint in ARMS[side][2:]:
            along = ((joints[:, joint] - low) * axis).sum(-1) / (axis * axis).sum(-1)
            nearest = low + np.clip(along, 0, 1)[:, None] * axis
            if (np.linalg.norm(joints[:, joint] - nearest, axis=-1)[(along > 0) & (along < 1)] < least).any():
                return True
    return False


def held(joints: np.ndarray, sides: Sequence[str], first: int, last: int) -> tuple[int, int]:
    """The frames in which raised hands are near their highest."""
    height = np.min([lifted(joints, side) for side in sides], axis=0)
    top = height.max()
    high = np.flatnonzero(height > top - 0.08)
    return max(first, int(high[0])), max(int(high[-1]), int(high[0]) + 1)


def arms_on(body: np.ndarray, arms: np.ndarray, sides: Sequence[str] = (), hold: bool = False) -> np.ndarray | None:
    """A body whose arms do from its first frame to its last what another's do.

    The other's action, from where a hand rises to where it sinks, is played to and fro for as long as the body moves.

    Args:
        body: (T, 22, 3).
        arms: (S, 22, 3).
        sides: which arms; none: those that do not hang.
        hold: keep the hands where they are highest.

    Returns:
        (T, 22, 3); None where a wanted arm hangs all the time, or would enter the trunk though it does not in `arms`.
    """
    spans = {side: acting(arms, side) for side in sides or ARMS}
    found = [side for side, span in spans.items() if span is not None]
    if not found or (sides and len(found) < len(sides)):
        return None
    first, last = (pick(edges) for pick, edges in zip((min, max), zip(*filter(None, spans.values()))))
    if hold:
        first, last = held(arms, found, first, last)
    frames = stretched(first, last, 0, len(arms), len(body))
    made = with_arms(body, arms, found, frames, np.ones(len(body)))
    return None if through_body(made, found) and not through_body(arms[frames], found) else made
