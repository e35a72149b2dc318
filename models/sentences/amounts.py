"""How far, how many, how fast, how often: "he walks three metres" -> 3 metres, "she bows twice" -> "she bows", 2 x."""

import re
from dataclasses import dataclass
from typing import Literal

from lamp.models.sentences.clauses import LONGEST, MOST_CLAUSES, ending, third_person

Kind = Literal["metres", "steps", "degrees"]


@dataclass(frozen=True)
class Amount:
    """An amount that can be measured while a motion goes on.

    Attributes:
        kind: metres from the first place to the last, steps, or degrees by which the body turns to either side.
        value: how many.
    """

    kind: Kind
    value: float


@dataclass(frozen=True)
class Pace:
    """How fast a body goes.

    Attributes:
        speed: metres a second.
        fast: it is at least so fast; otherwise at most.
        runs: it runs.
        other: the sentence in other words.
    """

    speed: float
    fast: bool
    runs: bool
    other: str


_NUMBERS = {
    **{
        word: float(number) for number, word in enumerate("one two three four five six seven eight nine ten".split(), 1)
    },
    **{"a": 1.0, "an": 1.0, "half a": 0.5},
}
_NUMBER = rf"(\d+(?:\.\d+)?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_METRES = {"m": 1.0, "f": 0.3048, "y": 0.9144}
_AROUND = (
    r"(?:(?:for|about|around|roughly|exactly|approximately|nearly|over|some|by|just|only|a (?:total )?distance of|"
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


def _forms(bases: str) -> str:
    """All forms of verbs, as a part of a regular expression."""
    return "|".join(
        form for base in bases.split() for form in {base, third_person(base), *ending(base, "ed"), *ending(base, "ing")}
    )


_TRAVELS = re.compile(
    rf"\b(?:{_forms('walk run jog step march stroll go move sneak creep shuffle pace stride trot')}"
    rf"|{_forms('back advance retreat take')}|ran|went|took)\b",
    re.IGNORECASE,
)
_TURNS = re.compile(rf"\b(?:{_forms('turn spin rotate pivot twirl twist')}|spun)\b", re.IGNORECASE)
_REPEATED = re.compile(rf"\b(?:{_forms('bow squat crouch spin duck curtsy kneel')})\b", re.IGNORECASE)
"""What begins and ends in standing, so that it can be done again; jumps are lost in seams."""
_GOES = re.compile(
    rf"\b(?:{_forms('walk march stroll stride step go move pace hurry rush wander amble')}|went)\b", re.IGNORECASE
)
_RUNS = re.compile(rf"\b(?:{_forms('run jog sprint trot')}|ran)\b", re.IGNORECASE)
_SLOW = re.compile(
    r"\bslow(?:ly|er)?\b|\bleisurely\b|\bunhurried(?:ly)?\b|\bsluggish(?:ly)?\b|\bsnail|"
    r"\b(?:no|without|without any) (?:hurry|rush|hurrying|rushing|haste)\b",
    re.IGNORECASE,
)
_FAST = re.compile(
    r"\b(?:fast(?:er)?|quick(?:ly|er)?|rapid(?:ly)?|brisk(?:ly)?|swift(?:ly)?|speedily|hasti?ly|hurriedly)\b|"
    r"\b(?:in|with) (?:a )?(?:hurry|rush|haste)\b|\b(?:hurr(?:y|ies|ied|ying)|rush(?:es|ed|ing)?)\b|"
    r"\b(?:top|full|high|great|double) speed\b",
    re.IGNORECASE,
)
_NO_PACE = re.compile(
    r"\b(?:not|never|neither|more|less|very little|turns?|arms?|hands?|legs?|breath\w*)\b|n't\b", re.I
)
PACES = {(True, False): 1.5, (False, False): 0.7, (True, True): 3.4, (False, True): 2.3}
"""Metres a second by whether it is fast, and whether it is a run; people walk with 1.2 to 1.4."""
_TIMES = re.compile(
    r",?\s+(?:exactly |about )?(?:(twice|thrice)|(two|three|four|five|six|[2-6]) (?:\w+ )?times)"
    r"(?: in a row| in total)?$",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"\band\b|\bwhile\b|\bwith\b|[,;.]|\b(?:not|never|each|every|by)\b", re.IGNORECASE)
_OTHERWISE = re.compile(
    r"\b(?:without|circles?|round and round|back and forth|to and fro|there and back|returns?|not|never|more than|"
    r"less than|at least|at most|every|each|knees?|arms?|head|hands?|legs?|wrists?)\b|n't\b",
    re.IGNORECASE,
)
"""What makes another thing of an amount, or an amount of something else."""


def amount_of(text: str) -> tuple[str, Amount] | None:
    """The amount that a sentence says of the way that a body goes or turns; None without one, or with several.

    Args:
        text: a sentence, or a clause.

    Returns:
        The sentence without the amount, as far as it can do without, and the amount.
    """
    if len(text) > LONGEST or _OTHERWISE.search(text):
        return None
    found = [match for pattern in (_LENGTH, _STEPS, _ANGLE) for match in pattern.finditer(text)]
    if len(found) != 1:
        return None
    match, going = found[0], _TRAVELS.search(text)
    value = _number(match[1])
    if match.re is _ANGLE:
        return (text, Amount("degrees", value)) if _TURNS.search(text) else None
    if not going:
        return None
    if match.re is _STEPS:
        bare = f"{text[: match.start()]}{match[2]}s{text[match.end() :]}"
        return _STOPS.sub("", bare), Amount("steps", value)
    bare = " ".join(f"{text[: match.start()]} {text[match.end() :]}".split())
    return _STOPS.sub("", bare), Amount("metres", value * _METRES[match[2][0].lower()])


def pace_of(text: str) -> Pace | None:
    """How fast a sentence says that somebody walks or runs; None where it does not plainly say so.

    Args:
        text: a sentence, or a clause.
    """
    if len(text) > LONGEST or _NO_PACE.search(text):
        return None
    runs = _RUNS.search(text) is not None
    slow = _SLOW.search(text) is not None
    fast = _FAST.search(_SLOW.sub(" ", text)) is not None
    if slow == fast or not (runs or _GOES.search(text)):
        return None
    other = text if runs or slow else _FAST.sub("briskly", text)
    return Pace(PACES[fast, runs], fast, runs, other)


def repeated(text: str) -> list[str]:
    """A sentence as often as it says that it is done: "he bows twice" -> "he bows", "he bows"; otherwise once."""
    whole = " ".join(text.split()).rstrip(" .!")
    match = _TIMES.search(whole) if len(whole) <= LONGEST else None
    if match is None:
        return [text]
    once = whole[: match.start()]
    words = {"twice": 2, "thrice": 3}
    times = words[match[1].lower()] if match[1] else int(_number(match[2]))
    if times > MOST_CLAUSES or _SEVERAL.search(once) or not _REPEATED.search(once):
        return [text]
    return [once] * times


def _number(word: str) -> float:
    return _NUMBERS[word.lower()] if word.lower() in _NUMBERS else float(word)
