"""Predicates of postures and of what the legs and the trunk do on the spot."""

from typing import Literal

import numpy as np

from lamp.utils.scores.following.body import FPS, SIDES, STANDING, Body, excursions, longest, rate, runs, smooth

_LOW = 0.58
"""Height of the hips of a body that squats, metres."""


def crouch(body: Body, seconds: float = 0.25) -> bool:
    """Goes down on its feet: hips below 0.58 m with the trunk above them for some time, not lying."""
    down = (body.hips < _LOW) & (body.height("neck") > body.hips + 0.15)
    return longest(down) >= seconds * FPS


def squat(body: Body, times: int = 0) -> bool:
    """Squats and rises again, `times` times if that is not 0."""
    found = [(a, b) for a, b in excursions(-body.hips, -0.68, -_LOW) if a > 0 and b < len(body)]
    tall = [(a, b) for a, b in found if (body.height("neck")[a:b] > body.hips[a:b] + 0.15).all()]
    return bool(tall) and times in (0, len(tall)) and body.distance < 1.5


def _sitting(body: Body) -> np.ndarray:
    """Frames (T,) of a body nearly at rest whose thighs are near level, its knees bent and its trunk upright."""
    still = (np.abs(rate(smooth(body.hips, 5))) < 0.4) & (body.speed < 0.35)
    thighs = [body.height(f"{side}_hip") - body.height(f"{side}_knee") for side in SIDES]
    level = (np.maximum(*thighs) < 0.27) & (np.minimum(*(body.knee(side) for side in SIDES)) < 130)
    return level & still & (body.tilt < 45) & (body.hips > 0.08)


def sit(body: Body, seconds: float = 0.75) -> bool:
    """Sits down, or is seated, for some time."""
    return longest(_sitting(body)) >= seconds * FPS


def seated(body: Body) -> bool:
    """Is seated at first: within the first third, for a third of a second."""
    return longest(_sitting(body)[: max(1, len(body) // 3)]) >= FPS / 3


def kneel(body: Body, seconds: float = 0.5) -> bool:
    """Kneels: a knee on the floor, bent, hips above it, trunk upright."""
    down = np.zeros(len(body), dtype=bool)
    for side in SIDES:
        height = body.height(f"{side}_knee")
        down |= (height < 0.17) & (body.knee(side) < 120) & (body.hips > height + 0.1)
    return longest(down & (body.tilt < 45)) >= seconds * FPS


def lying(body: Body) -> np.ndarray:
    """Frames (T,) in which hips and neck are near the floor."""
    return (body.hips < 0.32) & (body.height("neck") < 0.45) & (body.tilt > 55)


def lie(body: Body, seconds: float = 0.5) -> bool:
    """Lies on the floor for some time."""
    return longest(lying(body)) >= seconds * FPS


def lie_down(body: Body) -> bool:
    """Goes from its feet to lying: upright or crouching at first, on the floor at last."""
    third = max(1, len(body) // 3)
    up = body.height("neck")[:third].max() > 0.6
    flat = lying(body)
    return bool(up and flat[-5:].mean() > 0.5 and not flat[:3].any())


def get_up(body: Body, end: float = 0.6) -> bool:
    """Goes from the floor to its feet: hips below 0.35 m at first, the neck above `end` metres at last."""
    quarter = max(1, len(body) // 4)
    down = body.hips[:quarter].min() < 0.35
    return bool(down and body.height("neck")[-5:].mean() > end and body.height("neck")[:quarter].min() < end - 0.1)


def crawl(body: Body, least: float = 0.4) -> bool:
    """Crawls: travels at least `least` metres, hips and hands low, the trunk level."""
    level = (body.hips < 0.6) & (body.tilt > 45)
    hands = np.minimum(body.height("left_wrist"), body.height("right_wrist")) < 0.3
    low = level & hands
    return bool(low.mean() > 0.5 and float(np.hypot(*rate(body.joint("pelvis"))[low][:, [0, 2]].T).sum() / FPS) > least)


def pick_up(body: Body) -> bool:
    """Picks something up: goes down until a hand is below the knees, and comes up again with it."""
    low = np.minimum(body.height("left_wrist"), body.height("right_wrist"))
    for start, stop in excursions(-low, -0.62, -0.45):
        rises = stop < len(body) and body.height("neck")[stop : stop + 2 * int(FPS)].max() > 1.0
        if rises and stop - start < 4 * FPS:
            return True
    return False


def bows(body: Body) -> list[tuple[int, int]]:
    """Phases in which the trunk bends 18 degrees or more to the front and comes up again, the legs nearly straight."""
    rest = float(np.quantile(body.bend, 0.15))
    found = excursions(body.bend - rest, 8.0, 16.0)
    return [(a, b) for a, b in found if b < len(body) and body.hips[a:b].min() > STANDING - 0.05]


def bow(body: Body, times: int = 0) -> bool:
    """Bows on the spot, `times` times if that is not 0."""
    count = len(bows(body))
    hands = min(body.height(f"{side}_wrist").min() for side in SIDES)
    return count > 0 and times in (0, count) and body.path < 1.2 and hands > 0.45


def kicks(body: Body, side: str) -> list[int]:
    """Frames in which a foot is thrust away: far from the body, the leg stretched, and either fast and high, or low to
    the front and much faster than the body travels (a ball is kicked so)."""
    foot = body.foot(side)
    speed = smooth(np.linalg.norm(rate(foot), axis=-1), 3)
    away = np.hypot(foot[:, 0], foot[:, 2])
    low = (foot[:, 2] > 0.35) & (body.lifted(side) > 0.08) & (body.speed < 1.8)
    high = (body.lifted(side) > 0.22) & ((foot[:, 2] > -0.25) | (body.lifted(side) > 0.5))
    out = (away > 0.42) & (low | high) & (body.knee(side) > 110)
    found: list[int] = []
    for start, stop in runs(out):
        quick = speed[max(0, start - 4) : stop].max() > (2.4 if high[start:stop].any() else 4.2)
        if quick and (not found or start - found[-1] > 6):
            found.append(start)
    return found


def kick(body: Body, side: Literal["any", "left", "right"] = "any", times: int = 0) -> bool:
    """Kicks with a foot, `times` times if that is not 0; with a given side more often than with the other."""
    count = {name: len(kicks(body, name)) for name in SIDES}
    other = count["right" if side == "left" else "left"]
    made = sum(count.values()) if side == "any" else count[side]
    return made > 0 and times in (0, made) and (side == "any" or made > other) and body.path < 4.0
