"""A jointed figure that is moved by numbers: synthetic motions whose action is known by construction."""

import numpy as np

FPS = 20.0
_THIGH, _SHIN, _UPPER, _FORE = 0.3919, 0.4290, 0.26, 0.268
_SIGN = {"left": 1.0, "right": -1.0}
DOWN = (0.0, -0.5, 0.02)
"""Place of a hanging wrist seen from its shoulder: to the left, up, to the front."""


def line(frames: int, *points: tuple[float, float]) -> np.ndarray:
    """A track (frames,) that goes through values at parts of its time, such as (0, 0.9), (0.5, 0.4), (1, 0.9)."""
    time = np.linspace(0, 1, frames)
    return np.interp(time, [part for part, _ in points], [value for _, value in points])


def path(frames: int, *points: tuple[float, tuple[float, float, float]]) -> np.ndarray:
    """The like (frames, 3) of places."""
    return np.stack([line(frames, *((part, place[axis]) for part, place in points)) for axis in range(3)], axis=-1)


def figure(
    frames: int = 80,
    *,
    place: np.ndarray | None = None,
    heading: np.ndarray | float = 0.0,
    hips: np.ndarray | float = 0.86,
    bend: np.ndarray | float = 0.0,
    hands: dict[str, np.ndarray] | None = None,
    feet: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Joints (frames, 22, 3).

    Args:
        frames: how many.
        place: (frames, 2) of the pelvis, x and z.
        heading: degrees, left positive.
        hips: height of the hip joints.
        bend: degrees by which the trunk bends to the front.
        hands: of a side, (frames, 3) wrist seen from the shoulder: to the left, up, to the front.
        feet: of a side, (frames, 3) ankle seen from below the pelvis: to the left, up from the floor, to the front.
    """
    place = np.zeros((frames, 2)) if place is None else place
    heading, hips, bend = (np.broadcast_to(np.asarray(value, float), frames) for value in (heading, hips, bend))
    lean = np.deg2rad(bend)[:, None]
    joints = np.zeros((frames, 22, 3))
    joints[:, 0, 1] = hips + 0.05
    along = np.concatenate((np.zeros_like(lean), np.cos(lean), np.sin(lean)), axis=1)
    for joint, height in ((3, 0.12), (6, 0.24), (9, 0.32), (12, 0.5), (15, 0.68)):
        joints[:, joint] = joints[:, 0] + height * along
    for side, (hip, knee, ankle, toe), (collar, shoulder, elbow, wrist) in (
        ("left", (1, 4, 7, 10), (13, 16, 18, 20)),
        ("right", (2, 5, 8, 11), (14, 17, 19, 21)),
    ):
        sign = _SIGN[side]
        joints[:, hip] = joints[:, 0] + [0.1 * sign, -0.05, 0]
        foot = (feet or {}).get(side, np.tile([0.1 * sign, 0.08, 0.0], (frames, 1)))
        joints[:, ankle] = foot
        joints[:, knee] = _bent(joints[:, hip], joints[:, ankle], _THIGH, _SHIN, (0.0, 0.0, 1.0))
        joints[:, toe] = joints[:, ankle] + [0, -0.055, 0.13]
        joints[:, collar] = joints[:, 12] + [0.06 * sign, -0.06, 0]
        joints[:, shoulder] = joints[:, 12] + [0.17 * sign, -0.07, 0]
        hand = (hands or {}).get(side, np.tile(DOWN, (frames, 1)))
        joints[:, wrist] = joints[:, shoulder] + hand
        joints[:, elbow] = _bent(joints[:, shoulder], joints[:, wrist], _UPPER, _FORE, (0.0, -0.8, -0.6))
    turn = np.deg2rad(heading)[:, None]
    x, y, z = np.moveaxis(joints, -1, 0)
    joints = np.stack((np.cos(turn) * x + np.sin(turn) * z, y, np.cos(turn) * z - np.sin(turn) * x), axis=-1)
    joints[..., 0] += place[:, :1]
    joints[..., 2] += place[:, 1:]
    return joints


def _bent(start: np.ndarray, end: np.ndarray, first: float, second: float, towards: tuple[float, ...]) -> np.ndarray:
    """The joint between two bones, bent towards a direction; where the end is out of reach, on the line to it."""
    way = end - start
    length = np.linalg.norm(way, axis=-1, keepdims=True)
    unit = way / np.maximum(length, 1e-9)
    reach = np.clip(length, abs(first - second) + 1e-6, first + second - 1e-6)
    along = (first**2 - second**2 + reach**2) / (2 * reach)
    off = np.sqrt(np.maximum(first**2 - along**2, 0))
    side = towards - unit * (unit @ towards)[:, None]
    return start + along * unit + off * side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)


def walking(
    frames: int = 80,
    speed: float = 1.1,
    towards: float = 0.0,
    turn: float = 0.0,
    hands: dict[str, np.ndarray] | None = None,
    run: bool = False,
) -> np.ndarray:
    """Walks, or runs, at some m/s.

    Args:
        frames: how many.
        speed: m/s.
        towards: degrees from where the body faces to where it goes, left positive; 180 is backward.
        turn: degrees that it turns to the left on the way.
        hands: see `figure`.
        run: whether both feet leave the floor and the hips rise when the feet are apart.
    """
    time = np.arange(frames) / FPS
    heading = np.linspace(0, turn, frames)
    way = np.deg2rad(heading + towards)
    step = np.stack((np.sin(way), np.cos(way)), axis=-1) * speed / FPS
    place = np.concatenate((np.zeros((1, 2)), np.cumsum(step, axis=0)[:-1]))
    omega = 2 * np.pi * (1.4 if run else 0.9)
    feet, size = {}, speed / omega
    for side, phase in (("left", 0.0), ("right", np.pi)):
        swing, lift = size * np.sin(omega * time + phase), np.cos(omega * time + phase)
        up = 0.2 * np.clip(lift + 0.35, 0, None) if run else 0.12 * np.clip(lift, 0, None)
        aside, ahead = np.sin(np.deg2rad(towards)), np.cos(np.deg2rad(towards))
        feet[side] = np.stack((0.1 * _SIGN[side] + swing * aside, 0.08 + up, swing * ahead), axis=-1)
    bob = np.sin(omega * time) ** 2
    hips = 0.8 + 0.06 * bob if run else 0.86 - 0.03 * bob
    return figure(frames, place=place, heading=heading, hips=hips, bend=8 if run else 2, hands=hands, feet=feet)


def raised(frames: int, height: float = 0.3, start: float = 0.2, stop: float = 0.8) -> np.ndarray:
    """A wrist that comes up to some height above its shoulder, stays and goes down again."""
    up = (0.1, height, 0.25)
    return path(frames, (0, DOWN), (start, DOWN), (start + 0.1, up), (stop - 0.1, up), (stop, DOWN), (1, DOWN))


def waving(frames: int, all_the_time: bool = False) -> np.ndarray:
    """A raised wrist that goes to and fro."""
    hand = np.tile([0.05, 0.1, 0.2], (frames, 1)) if all_the_time else raised(frames, 0.1)
    time = np.arange(frames) / FPS
    hand = hand.copy()
    hand[:, 0] += np.where(hand[:, 1] > 0.05, 0.1 * np.sin(2 * np.pi * 1.5 * time), 0)
    return hand


def jumping(frames: int = 60, times: int = 1, alone: str = "") -> np.ndarray:
    """Jumps on the spot; on one leg, the other one up, where `alone` names the side that jumps."""
    time = np.linspace(0, times, frames, endpoint=False) % 1
    fly = np.clip((time - 0.4) / 0.3, 0, 1)
    high = 0.3 * 4 * fly * (1 - fly)
    crouch = np.interp(time, [0, 0.1, 0.3, 0.4, 0.7, 0.8, 1], [0, 0, 0.18, 0, 0, 0.1, 0])
    feet = {side: np.stack((np.full(frames, 0.1 * sign), 0.08 + high, 0 * high), -1) for side, sign in _SIGN.items()}
    if alone:
        feet["right" if alone == "left" else "left"][:, 1] += 0.3
    return figure(frames, hips=0.86 + high - crouch, feet=feet)


def joined(*motions: np.ndarray) -> np.ndarray:
    """Motions one after the other: each goes on where the one before ends, eight frames between them."""
    whole = motions[0]
    for motion in motions[1:]:
        moved = motion + (whole[-1, 0] - motion[0, 0]) * [1, 0, 1]
        weight = (np.arange(1, 9) / 9).reshape(-1, 1, 1)
        whole = np.concatenate((whole, whole[-1] * (1 - weight) + moved[0] * weight, moved))
    return whole


def lying(frames: int) -> np.ndarray:
    """On the back, legs stretched."""
    feet = {side: np.tile([0.1 * sign, 0.1, 0.75], (frames, 1)) for side, sign in _SIGN.items()}
    hands = {side: np.tile([0.05 * sign, 0.0, 0.45], (frames, 1)) for side, sign in _SIGN.items()}
    return figure(frames, hips=0.12, bend=-88, feet=feet, hands=hands)


def going_down(frames: int = 80, up: bool = False) -> np.ndarray:
    """Lies down from standing, or the other way round."""
    parts = joined(
        figure(frames // 3), figure(frames // 3, hips=line(frames // 3, (0, 0.86), (1, 0.3))), lying(frames // 3)
    )
    return parts[::-1].copy() if up else parts


def kicking(side: str, frames: int = 60, times: int = 1) -> np.ndarray:
    """Thrusts a foot to the front, at half the height of the hips."""
    time = np.linspace(0, times, frames, endpoint=False) % 1
    out = np.interp(time, [0, 0.4, 0.5, 0.55, 0.75, 1], [0, 0, 1, 1, 0, 0])
    foot = np.stack((np.full(frames, 0.1 * _SIGN[side]), 0.08 + 0.4 * out, 0.65 * out), axis=-1)
    return figure(frames, feet={side: foot})


def punching(side: str, frames: int = 60, times: int = 1) -> np.ndarray:
    """Thrusts a fist to the front from before the shoulder."""
    time = np.linspace(0, times, frames, endpoint=False) % 1
    out = np.interp(time, [0, 0.4, 0.55, 0.7, 1], [0, 0, 1, 0, 0])
    guard = {name: np.tile([0.0, -0.1, 0.15], (frames, 1)) for name in _SIGN}
    guard[side] = guard[side] + out[:, None] * [0.0, 0.08, 0.36]
    return figure(frames, hands=guard)
