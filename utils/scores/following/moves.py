"""Predicates of travelling, turning and jumping. Each takes a `Body` and says whether it does the action."""

from typing import Literal

import numpy as np

from lamp.utils.scores.following.body import FPS, SHORTEST, SIDES, STANDING, Body, longest, rate, runs, smooth

Direction = Literal["any", "forward", "backward", "left", "right"]
_AHEAD, _BEHIND, _BESIDE = 50.0, 130.0, (45.0, 135.0)


def _bearing(body: Body) -> float:
    """Degrees from where the body faces to where it travels, left positive, over the frames in which it travels."""
    way = body.velocity[body.moving].mean(0)
    return float(np.rad2deg(np.arctan2(way[0], way[2])))


def _towards(body: Body, direction: Direction) -> bool:
    bearing = _bearing(body)
    if direction == "forward":
        return abs(bearing) < _AHEAD
    if direction == "backward":
        return abs(bearing) > _BEHIND
    if direction in SIDES:
        return _BESIDE[0] < (bearing if direction == "left" else -bearing) < _BESIDE[1]
    return True


def bounces(body: Body) -> float:
    """Correlation of the hips' height with the distance of the feet while travelling; 0 where that is too short.

    Who walks is lowest when the feet are furthest apart, who runs is in the air then: -0.9 to 0 against 0.1 to 0.9 (an
    inverted pendulum against a spring, Cavagna et al. 1977). It needs neither the floor nor the size of the body.
    """
    apart = np.linalg.norm((body.joint("left_ankle") - body.joint("right_ankle"))[:, [0, 2]], axis=-1)
    hips, apart = (track - smooth(track, 15) for track in (body.hips, apart))
    if body.moving.sum() < SHORTEST:
        return 0.0
    hips, apart = (track[body.moving] - track[body.moving].mean() for track in (hips, apart))
    return float((hips * apart).sum() / max(1e-9, np.sqrt((hips**2).sum() * (apart**2).sum())))


def _runs(body: Body) -> bool:
    speed = float(np.quantile(body.speed[body.moving], 0.65))
    return speed > 2.1 or (speed > 1.3 and bounces(body) > 0.12)


def walk(body: Body, direction: Direction = "any", least: float = 0.6, share: float = 0.0) -> bool:
    """Walks: at least `least` metres and two steps, upright, neither running nor jumping, in a share of the frames."""
    if body.path < least or body.steps < 2 or body.moving.mean() < share:
        return False
    moving = body.moving
    upright = np.median(body.hips[moving]) > STANDING - 0.07 and np.median(body.tilt[moving]) < 45
    return bool(upright and not _runs(body) and not jumps(body) and _towards(body, direction))


def run(body: Body, direction: Direction = "any", least: float = 1.0, share: float = 0.0) -> bool:
    """Runs: at least `least` metres, upright, faster than 2.1 m/s, or than 1.3 m/s in the manner of a spring.

    `share` is that of the frames in which it travels.
    """
    if body.path < least or body.steps < 2 or body.moving.mean() < share:
        return False
    moving = body.moving
    upright = np.median(body.hips[moving]) > STANDING - 0.12 and np.median(body.tilt[moving]) < 55
    return bool(_runs(body) and upright and _towards(body, direction))


def drift(body: Body, side: Literal["left", "right"]) -> bool:
    """Travels diagonally to a side without turning that way: 10 to 80 degrees off where it faces first."""
    way = body.joint("pelvis")[-1] - body.joint("pelvis")[0]
    start = float(body.heading[:3].mean())
    bearing = np.rad2deg(np.arctan2(way[0], way[2]) - start)
    bearing = float((bearing + 180) % 360 - 180) * (1 if side == "left" else -1)
    return walk(body) and 10 < bearing < 80 and abs(body.turned) < 45


def turn(body: Body, side: Literal["any", "left", "right"] = "any", least: float = 45, most: float = 1e9) -> bool:
    """Turns by `least` to `most` degrees from the first facing to the last one."""
    turned = {"any": abs(body.turned), "left": body.turned, "right": -body.turned}[side]
    return least <= turned <= most


def straight(body: Body) -> bool:
    """Ends up facing as at the start, within 30 degrees."""
    return abs(body.turned) < 30


def in_place(body: Body) -> bool:
    """Stays where it is: no frame's pelvis is further than 0.7 m from the first's."""
    away = (body.joint("pelvis") - body.joint("pelvis")[0])[:, [0, 2]]
    return bool(np.linalg.norm(away, axis=-1).max() < 0.7)


def stand_still(body: Body) -> bool:
    """Stands: upright, on one spot, neither step nor turn, hands at rest."""
    hands = [np.linalg.norm(rate(body.hand(side)), axis=-1).mean() for side in SIDES]
    upright = body.hips.min() > STANDING and np.ptp(body.bend) < 12
    still = body.path < 0.25 and body.steps < 2 and abs(body.turned) < 25
    low = all(np.ptp(body.hand(side), axis=0).max() < 0.15 for side in SIDES)
    return bool(upright and still and low and max(hands) < 0.25)


def jumps(body: Body) -> list[int]:
    """Frames of the jumps: both feet up, after the hips rose at 0.9 m/s or more, to 3 cm above where they stand."""
    rise = rate(smooth(body.hips, 3))
    feet_down = np.ones(len(body), dtype=bool)
    for start, stop in body.flights:
        feet_down[start:stop] = False
    tall = body.hips[feet_down & (body.hips > STANDING)]
    level = float(np.median(tall)) if len(tall) else STANDING
    found: list[int] = []
    for start, stop in body.flights:
        # A run through the air has hips that hardly rise; who gets up from the floor ends no higher than standing.
        high = body.hips[start:stop].max() > level + 0.03 and rise[max(0, start - 5) : stop].max() > 0.9
        if high and (not found or start - found[-1] > 5):
            found.append(start)
    return found


def jump(body: Body, times: int = 0, least: float = 0.0) -> bool:
    """Jumps, `times` times if that is not 0; `least` metres of way if it is to get somewhere."""
    count = len(jumps(body))
    return count > 0 and times in (0, count) and body.distance >= least


def hop(body: Body, least: int = 2) -> bool:
    """Hops on one leg: at least `least` times up from a foot and down on the same, the other one up all the while."""
    for stands, free in (SIDES, SIDES[::-1]):
        up = body.lifted(free) > 0.08
        count = 0
        for start, stop in _off(body, stands):
            around = up[max(0, start - 3) : stop + 3]
            count += bool(around.mean() > 0.85)
        if count >= least:
            return True
    return False


def _off(body: Body, side: str) -> list[tuple[int, int]]:
    """Phases of one foot off the floor that are as short as those of hops."""
    return [(a, b) for a, b in runs(body.lifted(side) > 0.05) if 2 <= b - a <= 0.8 * FPS and a > 0 and b < len(body)]


def balance(body: Body, seconds: float = 1.0) -> bool:
    """Stands on one leg for some time: one foot stays up, the other down."""
    times = [longest((body.lifted(a) > 0.12) & (body.lifted(b) < 0.1)) for a, b in (SIDES, SIDES[::-1])]
    return max(times) >= seconds * FPS and body.distance < 1.0


def distance(body: Body, least: float = 0.0, most: float = 1e9) -> bool:
    """Gets `least` to `most` metres away from its first place, for a body with legs of 0.83 m."""
    return least <= body.distance <= most


def pace(body: Body, least: float = 0.0, most: float = 1e9) -> bool:
    """Travels at `least` to `most` m/s, by the median of the frames in which it travels."""
    return bool(body.moving.any()) and least <= float(np.median(body.speed[body.moving])) <= most


def steps(body: Body, least: int = 0, most: int = 1000) -> bool:
    """Takes `least` to `most` steps."""
    return least <= body.steps <= most
