"""How far, how many, how often: "he walks three metres" -> 3 metres, "she bows twice" -> "she bows", twice."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lamp.models.sentences.clauses import LONGEST, MOST_CLAUSES
from lamp.models.sentences.together import Side
from lamp.models.sentences.verbs import any_form
from lamp.utils.scores.following.body import Body
from lamp.utils.scores.following.moves import in_place

Kind = Literal["metres", "steps", "degrees"]


@dataclass(frozen=True)
class Amount:
    """An amount that can be measured while a motion goes on.

    Attributes:
        kind: metres from the first place to the last, steps, or degrees by which the body turns.
        value: how many.
        side: to which the body turns; None: to either.
    """

    kind: Kind
    value: float
    side: Side | None = None

    @property
    def is_around(self) -> bool:
        """Whether it is a turn around, to either side: more than one to a side, and less than a full circle."""
        return self.kind == "degrees" and LARGE_TURN <= self.value < FULL_TURN


_NUMBERS = {
    **{
        word: float(number) for number, word in enumerate("one two three four five six seven eight nine ten".split(), 1)
    },
    **{"a": 1.0, "an": 1.0, "half a": 0.5},
}
_NUMBER = rf"(\d+(?:\.\d+)?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_METRES = {"m": 1.0, "f": 0.3048, "y": 0.9144}
_AROUND = (
    r"(?:(?:for|about|around|roughly|exactly|approximately|nearly|some|just|only|a (?:total )?distance of|"
    r"a total of) )*"
)
_LENGTH = re.compile(
    rf"(?<!\bon )(?<!\bwith )(?<!\busing )\b{_AROUND}{_NUMBER}[ -]?(met(?:re|er)s?|m|feet|yards?)\b"
    r"(?! per| an? | tall| long| high| away| apart)"
    r"(?: far| in total| and no more)?",
    re.IGNORECASE,
)
_STEPS = re.compile(
    rf"\b(?:(?:exactly|about|around|just|only) )*{_NUMBER} "
    r"((?:(?:big|small|long|short|large|little|quick|slow) )?(?:step|pace|stride))s?\b(?! aside)",
    re.IGNORECASE,
)
_ANGLE = re.compile(rf"\b{_NUMBER}(?:[ -]degrees?\b|°)", re.IGNORECASE)
_STOPS = re.compile(r",?\s+(?:and|then|and then) (?:stops?|stopped|stands still|halts?)$", re.IGNORECASE)


_TRAVELS = re.compile(
    rf"\b(?:{any_form('walk run jog step march stroll go move sneak creep shuffle pace stride trot')}"
    rf"|{any_form('back advance retreat take')}|ran|went|took)\b",
    re.IGNORECASE,
)
_TURNS = re.compile(rf"\b(?:{any_form('turn spin rotate pivot twirl twist')}|spun)\b", re.IGNORECASE)
_REPEATED = re.compile(
    rf"(?<!\ba )(?<!\bviolin )\b(?:{any_form('bow squat crouch spin duck curtsy kneel')})\b", re.IGNORECASE
)
"""What begins and ends in standing, so that it can be done again; jumps are lost in seams."""
_TIMES = re.compile(
    r",?\s+(?:exactly |about )?(?:(twice|thrice)|(two|three|four|five|six|[2-6]) (?:\w+ )?times)"
    r"(?: in a row| in total)?$",
    re.IGNORECASE,
)
_NOUNS = re.compile(
    r"^(?:(|.*?\s)(?:does|did|performs|performed|makes|made|throws|threw|gives|gave)\s+|(?:doing|throwing|performing)\s+)?"
    r"(a couple of|two|three|four|five|six|[2-6]) ((?:kick|punche|jab|jump|hop|leap|bow|squat|spin|clap|wave)s)"
    r"((?: (?:with|to|using) (?:the|his|her|their|its|one) (?:left |right )?(?:foot|leg|hand|fist|arm|left|right))?"
    r"(?: (?:forwards?|in place|on the spot|in a row))?)$",
    re.IGNORECASE,
)
"""Actions as nouns, of third persons or of none: "two kicks with the left foot"."""
_STUMP = re.compile(r"(?:\d|\b(?:or|to|than|least|most|only|almost|nearly|about|once))$", re.IGNORECASE)
"""What is left of "two or three times"."""
_SEVERAL = re.compile(r"\band\b|\bwhile\b|\bwith\b|[,;.]|\b(?:not|never|each|every|by)\b", re.IGNORECASE)
_OTHERWISE = re.compile(
    r"\b(?:without|circles?|round and round|back and forth|to and fro|there and back|returns?|not|never|more than|"
    r"less than|at least|at most|every|each|per|knees?|arms?|heads?|hands?|legs?|wrists?|foot|torso|bod(?:y|ies)|"
    r"shoulders?|hips?|waist|elbows?|wheel|twice|thrice|times|lean\w*|ben[dt]\w*|squat\w*|while|until|after|before|but)\b|"
    r"n't\b|[,;:]",
    re.IGNORECASE,
)
"""What makes another thing of an amount, or an amount of something else, or says that more is done than that."""
_PART_OF_NUMBER = re.compile(
    r"(?:[\d.,/°-]|\b(?:x|or|to|between|than|under|within|almost|another|extra|twenty|thirty|forty|fifty|sixty|seventy|"
    r"eighty|ninety|hundred|thousand|an?|the|his|her|their|no))\s*$",
    re.IGNORECASE,
)
_BEFORE_A = re.compile(
    r"\b(?:tak(?:es?|ing)|took|step(?:s|ped|ping)?|mov(?:es?|ed|ing)|walk(?:s|ed|ing)?)(?: \w+ly)? $", re.I
)
"""After other words "a step" is none that is taken: "at a slow pace", "over a step"."""
_BESIDE = re.compile(
    r"\s*/|\s*-|\s+(?:and a half|more|at a time|further|over|in front|behind|from|of|deep|wide|ahead|above|below|"
    r"left of|right of|up|dance|sprint|race|run|walk)\b",
    re.IGNORECASE,
)
"""What follows a number that says where something is, or what else it is of."""
_OBJECT = re.compile(
    r"\b(?:turn|spin|rotat|twist|twirl|mov)(?:e|s|es|ed|ing)? (?:the|his|her|their|an?)\b"
    r"(?! (?:\d|full|half|complete|quarter))",
    re.IGNORECASE,
)
HALF_TURN = 180.0
"""Degrees of a turn around."""
LARGE_TURN, FULL_TURN = 150, 270
"""Degrees from which on a turn is called one around, and in a full circle."""
ABOUT = 0.2
"""Part of an amount by which a motion may miss it at its end, where there is no time to stand still after it."""
MOST = 1000.0
"""Of any amount; more is no way that somebody goes."""


def amount_of(text: str) -> tuple[str, Amount] | None:
    """The amount that a sentence says of the way that a body goes or turns; None without one, or with several.

    Args:
        text: a sentence, or a clause.

    Returns:
        The sentence without the amount, as far as it can do without, and the amount.
    """
    text = _STOPS.sub("", text.rstrip(" .!"))
    if len(text) > LONGEST or _OTHERWISE.search(text) or _OBJECT.search(text):
        return None
    found = [match for pattern in (_LENGTH, _STEPS, _ANGLE) for match in pattern.finditer(text)]
    if len(found) != 1:
        return None
    match = found[0]
    value, before, after = _number(match[1]), text[: match.start()], text[match.end() :]
    if not 0 < value <= MOST or _PART_OF_NUMBER.search(before) or _BESIDE.match(after):
        return None
    # "walks and turns 90 degrees" ends with the turn; of "walks two metres and sits down" the end would be lost.
    if re.search(r"\band\b", after if match.re is _ANGLE else text, re.IGNORECASE):
        return None
    if match.re is _ANGLE:
        return (text, Amount("degrees", value, side_of(text))) if _TURNS.search(text) else None
    if not _TRAVELS.search(text) or (match[1].lower() in ("a", "an") and not _BEFORE_A.search(before)):
        return None
    if match.re is _STEPS:
        return text if value <= 1 else f"{before}{match[2]}s{after}", Amount("steps", value)
    return " ".join(f"{before} {after}".split()), Amount("metres", value * _METRES[match[2][0].lower()])


def repeated(text: str) -> list[str]:
    """A sentence as often as it says that it is done: "he bows twice" -> "he bows", "he bows"; otherwise once."""
    once, times = counted(text)
    again = 1 < times <= MOST_CLAUSES and _REPEATED.search(once) and not _SEVERAL.search(once)
    return [once] * times if again else [text]


def counted(text: str) -> tuple[str, int]:
    """A sentence without what it says of how often it is done, and how often: "he bows twice" -> "he bows", 2; also
    "he does two bows"."""
    whole = " ".join(text.split()).rstrip(" .!")
    if len(whole) <= LONGEST and (noun := _NOUNS.match(whole)) and not _SEVERAL.search(before := noun[1] or ""):
        return f"{before}{noun[3]}{noun[4]}", 2 if noun[2][0] in "aA" else int(_number(noun[2]))
    match = _TIMES.search(whole) if len(whole) <= LONGEST else None
    once = whole[: match.start()] if match else ""
    if match is None or _STUMP.search(once):
        return text, 1
    words = {"twice": 2, "thrice": 3}
    return once, words[match[1].lower()] if match[1] else int(_number(match[2]))


def goes(text: str) -> bool:
    """Whether a sentence says that somebody goes somewhere."""
    return bool(_TRAVELS.search(text))


def side_of(text: str) -> Side | None:
    """The side that a sentence names; None where it names none or both."""
    told = set(re.findall(r"\b(left|right)(?:wards?)?\b", text.lower()))
    return None if len(told) != 1 else "left" if "left" in told else "right"


def turns_of(amount: Amount) -> tuple[str, str]:
    """Sentences of turns by about so many degrees or more (by one circle at most), in the verbs of training."""
    around, circle = "a person turns around", "a person turns in a full circle"
    if amount.value >= LARGE_TURN:
        return circle, around if amount.is_around else circle
    return (f"a person turns to the {amount.side or 'left'}",) * 2


def done_by(body: Body, amount: Amount) -> np.ndarray:
    """How much (T,) of an amount is done by each frame of a motion."""
    if amount.kind == "metres":
        return np.linalg.norm((body.joint("pelvis") - body.joint("pelvis")[:1])[:, [0, 2]], axis=-1)
    if amount.kind == "degrees":
        turned = np.rad2deg(body.heading - body.heading[:3].mean())
        return {"left": turned, "right": -turned, None: np.abs(turned)}[amount.side]
    steps = np.zeros(len(body))
    for frame in body.step_frames:
        steps[frame:] += 1
    return steps


def cut_of(
    bodies: Sequence[Body], amount: Amount, stays: bool, unit: int, shortest: int, most: int, room: int | None
) -> tuple[int, int] | None:
    """Which of several motions does an amount best, and after how many tokens.

    Best is who does not tumble in a turn, for a somersault turns the heading, too; then who stays where they are in
    it, if they are to stay; then who is done in time; then who is nearest; then the first.

    Args:
        bodies: in motion.
        amount: to be done.
        stays: the sentence says nothing of going somewhere.
        unit: frames of a token.
        shortest, most: tokens that it takes at least, and may take at most.
        room: tokens that there are in all, where nothing need come after it; None: something must.

    Returns:
        None where none does so much in time, nor about as much with all tokens.
    """
    turns, found = amount.kind == "degrees", []
    for way, body in enumerate(bodies):
        done = done_by(body, amount)
        # A step ends where the next one begins.
        enough = done > amount.value if amount.kind == "steps" else done >= amount.value
        if turns:  # a heading may jump there for a moment
            enough &= done[np.minimum(np.arange(len(done)) + 2 * unit, len(done) - 1)] >= (1 - ABOUT) * amount.value
        reached = np.flatnonzero(enough)
        count, off = max(shortest, round(int(reached[0]) / unit)) if len(reached) else most + 1, 0.0
        if late := count > most:
            if room is None:
                continue
            count, off = room, abs(float(done[: room * unit][-1]) - amount.value)
            if off > ABOUT * amount.value:
                continue
        until = body.part(0, count * unit)
        faults = (turns and not until.upright, turns and stays and not in_place(until), late, off)
        found.append((faults, way, count))
    return min(found)[1:] if found else None


def _number(word: str) -> float:
    return _NUMBERS[word.lower()] if word.lower() in _NUMBERS else float(word)
