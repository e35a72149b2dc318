"""Amounts that were measured on a motion, put into words: how far, how many, how fast, how long, how high."""

import random
import re
from dataclasses import dataclass
from typing import NamedTuple

from lamp.prepare.mini.tables import WORDINGS, Phrasing
from lamp.prepare.texts import OTHER_SIDE

FAST_WALK, SLOW_WALK = 1.4, 0.85
FAST_RUN, SLOW_RUN = 3.2, 2.4
"""Metres a second from which on a walk or a run is fast, and below which it is slow (people choose 1.2 to 1.4)."""
FEET = 3.281
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WAYS = {"walk": "forward", "walk-back": "backward"}
_RUNS = ("run", "run-back", "dash")
_TRAVELS = ("walk", "walk-back", "run", "run-back", "walk-turn", "side-step", "walk-diagonal")
_TURNS = ("turn", "walk-turn", "turn-around", "spin", "run-turn")
_STAYS = ("stand", "sit", "lie", "dance")
_WEIGHTS = {"straight": 1, "hands_down": 1, "slight": 1, "short": 1, "long": 1, "brief": 1, "lasting": 1}
"""How often a kind of amount is told; others, which have numbers or speeds, three times as often."""
_ANGLE = r"\b(back|around|round|way|quarter|half|circle|corner|part|degrees?|about|face)\b"
_SPEED = r"\b(slow|fast|quick|speed|hurr|rush|brisk|run)"
_WAY = r"\b(few|several|some|steps?|little|short|distance|length|across|paces?|street|road|room|side|place|away|off)\b"
CLASHES = {
    "fast": _SPEED,
    "slow": _SPEED,
    "metres": _WAY,
    "steps": _WAY,
    "short": _WAY,
    "long": _WAY,
    "degrees": rf"\b(a( \{{side\}})? turn|curve|arc|bend)\b|{_ANGLE}",
    "slight": _ANGLE,
    "straight": r"\b(straight|line|around|over|up|room|street|place|one)\b",
    "hands_down": r"\b(hands?|arms?|line|feet)\b",
    "seconds": r"\b(still in|moment|while|long)\b",
    "brief": r"\b(moment|while|long)\b",
    "lasting": r"\b(moment|while|long)\b",
    "level": r"\b(height|air|head|high|top|lower|down|ceiling|sky|shoulder|then|up|upwards?)\b",
}
"""By kind of amount: the words of a verb phrase that do not go with it."""


@dataclass(frozen=True)
class Measures:
    """What a motion measures.

    Attributes:
        metres: from its first place to its last.
        steps: that it takes.
        degrees: by which it turns, left positive.
        seconds: that it lasts.
        metres_per_second: while it moves; None if it does not.
        times: how often the action is done, where that is known.
        above_shoulder: metres from the shoulder up to the wrist of the hand that is raised; None if none is.
    """

    metres: float = 0.0
    steps: int = 0
    degrees: float = 0.0
    seconds: float = 0.0
    metres_per_second: float | None = None
    times: int = 0
    above_shoulder: float | None = None


class Amount(NamedTuple):
    """An amount in words: its kind, and what follows the verb phrase (from a "*" on: takes its place)."""

    kind: str
    words: str


def draw_amount(
    action: str, side: str, measures: Measures, rng: random.Random, phrasing: Phrasing = "train"
) -> Amount | None:
    """One of the amounts that can be told of an action, in words; None if there is none.

    Args:
        action: such as "walk".
        side: "left", "right", "both" or "".
        measures: of the motion.
        rng: source of all choices.
        phrasing: "heldout" uses only words that no training caption has.
    """
    kinds = _kinds(action, side, measures)
    if not kinds:
        return None
    kind = rng.choices(kinds, [_WEIGHTS.get(name, 3) for name in kinds])[0]
    if kind == "steps" and rng.random() < 0.3:
        verb = rng.choice(("take", "make", "walk", "do"))
        return Amount(kind, singular(f"*{verb} {number(measures.steps, rng)} steps {_WAYS[action]}"))
    words = rng.choice(_words(kind, measures, phrasing))
    values = {"{feet}": number(round(measures.metres * FEET), rng), "{n}": ""}
    if kind == "metres":
        values["{n}"] = rng.choice(_metres(measures.metres))
    elif kind in ("steps", "seconds"):
        values["{n}"] = number(measures.steps if kind == "steps" else round(measures.seconds), rng)
    for blank, value in values.items():
        words = words.replace(blank, value)
    return Amount(kind, singular(words))


def _kinds(action: str, side: str, measures: Measures) -> list[str]:
    """Kinds of amount that can be told."""
    kinds = []
    speed, turned = measures.metres_per_second, abs(measures.degrees)
    fast, slow = (FAST_RUN, SLOW_RUN) if action in _RUNS else (FAST_WALK, SLOW_WALK)
    goes = action in _TRAVELS and turned < 20 and action != "walk-turn"
    if speed is not None and action in _TRAVELS:
        kinds += ["fast"] * (speed > fast) + ["slow"] * (speed < slow)
    if goes and measures.metres > 0.6:
        kinds += ["metres"] + ["short"] * (measures.metres < 1.3) + ["long"] * (measures.metres > 4)
    if action in _WAYS and 0 < measures.steps < 11:
        kinds.append("steps")
    if action == "walk" and goes:
        kinds += ["straight", "hands_down"]
    if action in _TURNS and side in OTHER_SIDE:
        kinds += ["degrees"] * (_angle(turned) is not None) + ["slight"] * (25 < turned < 65)
    if action in _STAYS and measures.seconds > 1.5:
        kinds += ["seconds"] + ["brief"] * (measures.seconds < 2.6) + ["lasting"] * (measures.seconds > 6)
    if action == "raise-up" and measures.above_shoulder is not None:
        kinds += ["level"] * (_level(measures.above_shoulder) is not None)
    return kinds


def _words(kind: str, measures: Measures, phrasing: Phrasing) -> list[str]:
    table: dict[str, list[str]] | list[str] = WORDINGS[kind][phrasing]
    if isinstance(table, dict):
        raised = _level(measures.above_shoulder) if measures.above_shoulder is not None else None
        return table[(raised if kind == "level" else _angle(abs(measures.degrees))) or ""]
    return table


def _angle(degrees: float) -> str | None:
    """The angle that has words, if one is near."""
    nearest = min((45, 90, 135, 180, 360), key=lambda angle: abs(angle - degrees))
    return str(nearest) if abs(nearest - degrees) < 20 else None


def _level(above: float) -> str | None:
    """How high a hand was raised, where that is clear: the chin is 0.15 m above the shoulders, the crown 0.35."""
    if above > 0.4:
        return "above"
    if 0.22 < above < 0.34:
        return "head"
    return "low" if -0.1 < above < 0.15 else None


def _metres(metres: float) -> list[str]:
    """How a distance is written: whole metres, or halves where it is near one."""
    whole = round(metres)
    near = [str(whole), _NUMBERS[whole]] if 0 < whole <= 10 and abs(metres - whole) < 0.3 else []
    half = round(metres * 2) / 2
    if not near and half % 1 and 1 < half < 10:
        return [f"{half:g}", f"{_NUMBERS[int(half)]} and a half"]
    return near or [f"{half:g}"]


def number(value: int, rng: random.Random) -> str:
    """A number in digits or, up to ten, more often in letters."""
    return _NUMBERS[value] if value <= 10 and rng.random() < 0.6 else str(value)


def singular(text: str) -> str:
    """One metre, not one metres."""
    one = r"(?<![\d.])\b(1|one)"
    text = re.sub(rf"{one} (metre|meter|step|second|sec|pace|stride|footstep|footfall|time)s\b", r"\1 \2", text)
    return re.sub(rf"{one} feet\b", r"\1 foot", text)
