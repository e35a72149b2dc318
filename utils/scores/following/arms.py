"""Predicates of what the hands and arms do."""

from typing import Literal

import numpy as np

from lamp.utils.scores.following.body import FPS, SIDES, Body, excursions, longest, rate, reversals, runs, smooth

Side = Literal["any", "left", "right", "both"]
Level = Literal["shoulder", "head"]
Other = Literal["down", "free"]
_RAISED = {"shoulder": -0.12, "head": 0.3}
"""Heights of a raised wrist above its shoulder, metres."""


_LOW, _FLAT = 0.4, 55
"""Height of the hips and tilt of the trunk of a body that lies or creeps: its hands are beside its head anyhow."""


def _flat(body: Body) -> np.ndarray:
    """Frames (T,) of a body that lies or creeps."""
    return (body.hips < _LOW) & (body.tilt > _FLAT)


def _sides(side: Side, does: dict[str, bool]) -> bool:
    """Whether the wanted hands do it, and with one side given, only that one."""
    if side == "any":
        return any(does.values())
    if side == "both":
        return all(does.values())
    return does[side] and not does["right" if side == "left" else "left"]


def raises(body: Body, side: str, level: str = "shoulder", seconds: float = 0.35) -> int:
    """How often a hand comes up to a level for some time; never while the body lies or creeps."""
    height = np.where(_flat(body), -1.0, body.hand(side)[:, 1])
    top = _RAISED[level]
    return sum(stop - start >= seconds * FPS for start, stop in excursions(height, min(top, -0.05) - 0.1, top))


def raise_hand(
    body: Body, side: Side = "any", level: Level = "shoulder", seconds: float = 0.35, times: int = 0
) -> bool:
    """Raises a hand to a level and keeps it there for some time; with one side given, the other hand stays down."""
    count = {name: raises(body, name, level, seconds) for name in SIDES}
    other = {name: raises(body, name, "shoulder", seconds) for name in SIDES}
    does = {name: count[name] > 0 for name in SIDES}
    if side in SIDES and other["right" if side == "left" else "left"]:
        return False
    return _sides(side, does) and times in (0, max(count.values()))


def hand_up(body: Body, side: Side = "any", share: float = 0.8, other: Other = "down") -> bool:
    """Holds a hand up nearly all the time; with one side given, the other hand is not up as well, unless it is free."""
    does = {name: bool((body.hand(name)[:, 1] > _RAISED["shoulder"]).mean() >= share) for name in SIDES}
    return does[side] if other == "free" and side in SIDES else _sides(side, does)


def hands_down(body: Body) -> bool:
    """Never raises a hand."""
    return not any(raises(body, side) for side in SIDES)


def swings_of(body: Body, side: str) -> int:
    """Oscillations of a raised forearm: wrist above the elbow and not far below the shoulder, to and fro by 4 cm."""
    hand = body.hand(side)
    fore = body.in_front(body.joint(f"{side}_wrist") - body.joint(f"{side}_elbow"))
    up = (fore[:, 1] > 0) & (hand[:, 1] > -0.22) & (np.abs(body.bend) < 30)
    best = 0
    for start, stop in runs(up):
        if stop - start >= 0.5 * FPS:
            part = hand[start:stop]
            best = max(best, *(reversals(part[:, axis], 0.04) for axis in (0, 2)))
    return (best + 1) // 2


def wave(body: Body, side: Side = "any", least: int = 2, other: Other = "down") -> bool:
    """Waves: a raised hand goes to and fro at least `least` times; with one side given, the other one does not."""
    does = {name: swings_of(body, name) >= least for name in SIDES}
    return does[side] if other == "free" and side in SIDES else _sides(side, does)


def punches(body: Body, side: str) -> list[int]:
    """Frames in which a fist, already up, is thrust away: the arm stretches at 0.75 m/s or more, about level.

    Boxers turn their trunk, so that a punch is not always to the front of it.
    """
    hand = body.hand(side)
    out = np.hypot(hand[:, 0], hand[:, 2])
    reach = body.reach(side)
    found: list[int] = []
    for start, stop in runs(rate(smooth(out, 3)) > 0.75):
        end = min(len(body) - 1, stop + 1)
        far = out[end] - out[start]
        level = abs(hand[end, 1] - hand[start, 1]) < 0.8 * far and -0.35 < hand[start, 1] and hand[end, 1] < 0.25
        stretched = reach[start] < 0.82 and reach[start : end + 1].max() > 0.84 and far > 0.1
        if level and stretched and (not found or start - found[-1] > 4):
            found.append(start)
    return found


def punch(body: Body, side: Side = "any", least: int = 1, times: int = 0) -> bool:
    """Punches at least `least` times, exactly `times` times if that is not 0; a given side more than the other."""
    count = {name: len(punches(body, name)) for name in SIDES}
    if side in SIDES:
        made, enough = count[side], count[side] > count["right" if side == "left" else "left"]
    else:
        made, enough = sum(count.values()), side == "any" or min(count.values()) > 0
    return made >= least and enough and times in (0, made)


def throw(body: Body) -> bool:
    """Throws overarm: a hand that is up and not in front of the shoulder is swung to the front at 2 m/s or more."""
    for side in SIDES:
        hand = body.hand(side)
        swing = rate(smooth(hand, 3))[:, 2]
        for start, stop in runs(swing > 1.2):
            cocked = hand[start, 2] < 0.15 and hand[start : stop + 1, 1].max() > -0.02
            if cocked and swing[start:stop].max() > 2.0 and hand[min(stop, len(body) - 1), 2] > 0.25:
                return True
    return False


def to_mouth(body: Body, seconds: float = 0.4) -> bool:
    """Brings a hand to the face and keeps it there for some time, as one who drinks or telephones, and does not lie."""
    face = body.joint("head") - 0.3 * (body.joint("head") - body.joint("neck"))
    near = []
    for side in SIDES:
        away = body.joint(f"{side}_wrist") - face
        near.append((np.linalg.norm(away, axis=-1) < 0.25) & (away[:, 1] > -0.15) & ~_flat(body))
    return max(longest(mask) for mask in near) >= seconds * FPS


def point(body: Body, side: Literal["any", "left", "right"] = "any", seconds: float = 0.3) -> bool:
    """Holds an arm out, as one who shows the way: wrist away from the body, between hip and head."""
    does = {}
    for name in SIDES:
        hand = body.hand(name)
        out = (np.hypot(hand[:, 0], hand[:, 2]) > 0.3) & (hand[:, 1] > -0.38) & (hand[:, 1] < 0.3)
        still = np.linalg.norm(smooth(rate(hand), 3), axis=-1) < 0.6
        does[name] = longest(out & still & (body.bend < 25)) >= seconds * FPS
    return any(does.values()) if side == "any" else does[side]


def jumping_jacks(body: Body, least: int = 2) -> bool:
    """Does jumping jacks: hands up and down while the feet go apart and together."""
    hands = np.minimum(body.hand("left")[:, 1], body.hand("right")[:, 1])
    apart = np.linalg.norm((body.joint("left_ankle") - body.joint("right_ankle"))[:, [0, 2]], axis=-1)
    return reversals(hands, 0.5) >= 2 * least - 1 and reversals(apart, 0.18) >= 2 * least - 1


def dance(body: Body) -> bool:
    """Dances: both hands go up and down and all about, hips sway or feet step, nearly on the spot."""
    seconds = len(body) / FPS
    wide = all(np.ptp(body.hand(side)[:, 1]) > 0.2 for side in SIDES)
    hands = [np.linalg.norm(smooth(rate(body.hand(side)), 3), axis=-1).mean() for side in SIDES]
    hips = body.joint("pelvis")
    sway = max(reversals(hips[:, axis], 0.03) for axis in (0, 2))
    lively = wide and min(hands) > 0.22 and (body.steps + sway) / seconds > 0.55
    near = body.distance < 2.6 and body.path / seconds < 0.9
    return bool(lively and near and seconds >= 1.5 and body.hips.mean() > 0.5)
