"""Predicates of what the hands and arms do."""

from typing import Literal

import numpy as np

from lamp.utils.scores.following.body import FPS, SIDES, Body, excursions, longest, rate, reversals, runs, smooth

Side = Literal["any", "left", "right", "both"]
Level = Literal["shoulder", "head"]
_RAISED = {"shoulder": -0.12, "head": 0.2}
"""Heights of a raised wrist above its shoulder, metres."""


def _sides(side: Side, does: dict[str, bool]) -> bool:
    """Whether the wanted hands do it, and with one side given, only that one."""
    if side == "any":
        return any(does.values())
    if side == "both":
        return all(does.values())
    return does[side] and not does["right" if side == "left" else "left"]


def raises(body: Body, side: str, level: str = "shoulder", seconds: float = 0.2) -> int:
    """How often a hand comes up to a level for some time."""
    height = body.hand(side)[:, 1]
    top = _RAISED[level]
    return sum(stop - start >= seconds * FPS for start, stop in excursions(height, min(top, -0.05) - 0.1, top))


def raise_hand(body: Body, side: Side = "any", level: Level = "shoulder", seconds: float = 0.2, times: int = 0) -> bool:
    """Raises a hand to a level and keeps it there for some time; with one side given, the other hand stays down."""
    count = {name: raises(body, name, level, seconds) for name in SIDES}
    other = {name: raises(body, name, "shoulder", seconds) for name in SIDES}
    does = {name: count[name] > 0 for name in SIDES}
    if side in SIDES and other["right" if side == "left" else "left"]:
        return False
    return _sides(side, does) and times in (0, max(count.values()))


def hands_down(body: Body) -> bool:
    """Never raises a hand."""
    return not any(raises(body, side) for side in SIDES)


def swings_of(body: Body, side: str) -> int:
    """Oscillations of a raised forearm: wrist above the elbow and not far below the shoulder, to and fro by 6 cm."""
    hand = body.hand(side)
    fore = body.in_front(body.joint(f"{side}_wrist") - body.joint(f"{side}_elbow"))
    up = (fore[:, 1] > 0) & (hand[:, 1] > -0.22)
    best = 0
    for start, stop in runs(up):
        if stop - start >= 0.5 * FPS:
            part = hand[start:stop]
            best = max(best, *(reversals(part[:, axis], 0.06) for axis in (0, 2)))
    return (best + 1) // 2


def wave(body: Body, side: Side = "any", least: int = 2) -> bool:
    """Waves: a raised hand goes to and fro at least `least` times; with one side given, the other hand does not."""
    return _sides(side, {name: swings_of(body, name) >= least for name in SIDES})


def punches(body: Body, side: str) -> list[int]:
    """Frames in which a fist is thrust to the front at shoulder height: the arm stretches at 1.5 m/s or more."""
    hand = body.hand(side)
    level = smooth(np.hypot(hand[:, 0], hand[:, 2]), 1)
    thrust = rate(smooth(level, 3))
    good = (thrust > 1.3) & (hand[:, 1] > -0.4) & (hand[:, 1] < 0.25)
    found: list[int] = []
    for start, stop in runs(good):
        after = slice(start, min(len(body), stop + 4))
        reached = body.reach(side)[after].max() > 0.72 and hand[after, 2].max() > 0.22
        if reached and (not found or start - found[-1] > 4):
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
    """Throws: a hand from behind or above the shoulder is swung to the front at 3.5 m/s or more."""
    for side in SIDES:
        hand = body.hand(side)
        forward = rate(smooth(hand, 3))
        fast = (np.linalg.norm(forward, axis=-1) > 3.0) & (forward[:, 2] > 1.5)
        for start, stop in runs(fast):
            before = hand[max(0, start - 8) : stop]
            if (before[:, 1] > -0.1).any() and hand[start : stop + 5, 2].max() > 0.2:
                return True
    return False


def to_mouth(body: Body, seconds: float = 0.4) -> bool:
    """Brings a hand to the face and keeps it there for some time, as one who drinks or telephones."""
    face = body.joint("head") - 0.3 * (body.joint("head") - body.joint("neck"))
    near = [np.linalg.norm(body.joint(f"{side}_wrist") - face, axis=-1) < 0.3 for side in SIDES]
    return max(longest(mask) for mask in near) >= seconds * FPS


def point(body: Body, side: Side = "any", seconds: float = 0.3) -> bool:
    """Holds an arm out: wrist away from the body at about the height between hip and shoulder, the elbow open."""
    does = {}
    for name in SIDES:
        hand = body.hand(name)
        out = (np.hypot(hand[:, 0], hand[:, 2]) > 0.3) & (hand[:, 1] > -0.4) & (hand[:, 1] < 0.3)
        still = np.linalg.norm(smooth(rate(hand), 3), axis=-1) < 0.6
        does[name] = longest(out & still) >= seconds * FPS
    return _sides(side, does)


def jumping_jacks(body: Body, least: int = 2) -> bool:
    """Does jumping jacks: hands up and down while the feet go apart and together."""
    hands = np.minimum(body.hand("left")[:, 1], body.hand("right")[:, 1])
    apart = np.linalg.norm((body.joint("left_ankle") - body.joint("right_ankle"))[:, [0, 2]], axis=-1)
    return reversals(hands, 0.5) >= 2 * least - 1 and reversals(apart, 0.18) >= 2 * least - 1


def dance(body: Body) -> bool:
    """Dances: both hands and the hips or feet keep moving to and fro, about the place."""
    seconds = len(body) / FPS
    hands = [np.linalg.norm(smooth(rate(body.hand(side)), 3), axis=-1).mean() for side in SIDES]
    hips = body.joint("pelvis")
    sway = max(reversals(hips[:, axis], 0.04) for axis in (0, 1, 2))
    lively = min(hands) > 0.3 and (body.steps + sway) / seconds > 0.8
    return bool(lively and seconds >= 1.5 and body.distance < 0.6 * body.path + 0.8 and body.hips.mean() > 0.5)
