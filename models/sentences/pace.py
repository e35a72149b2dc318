"""How fast: "he walks quickly" -> at 1.5 metres a second or more."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lamp.models.sentences.clauses import LONGEST
from lamp.models.sentences.verbs import any_form


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


_GOES = re.compile(
    rf"\b(?:{any_form('walk march stroll stride step pace hurry rush wander amble')}"
    rf"|(?:{any_form('move go')}|went)(?! (?:his|her|their|its|the|an?|to|into|down|through)\b))\b",
    re.IGNORECASE,
)
_RUNS = re.compile(rf"\b(?:{any_form('run jog sprint trot')}|ran)\b", re.IGNORECASE)
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
    r"\b(?:not|never|neither|more|less|very little|turns?|arms?|hands?|legs?|breath\w*|and|instead|than|asleep|sleep|"
    r"knees?|sit\w*|squat\w*|dodge|from|river|train|then|karate|danc\w*)\b|n't\b",
    re.IGNORECASE,
)
_ADJECTIVE = re.compile(
    r"\b(?:fast|quick|rapid|swift)\b(?=(?:[ -]\w+)?[ -](?:pace\w*|walk|manner|motion|steps?|strides?|tempo|rate)\b)",
    re.IGNORECASE,
)
_HURRY = re.compile(
    r"\b(?:hurr(?:y|ies|ied|ying)|rush(?:es|ed|ing)?|haste|speed|fast(?:er)?-|brisk\w*)\b", re.IGNORECASE
)
"""Words that say it already, or cannot be left out."""
_IN_A_HURRY = re.compile(r"\b(?:is|are|was|were) in (?:a )?(?:hurry|rush|haste) and ", re.IGNORECASE)
PACES = {(True, False): 1.5, (False, False): 0.7, (True, True): 3.4, (False, True): 2.3}
"""Metres a second by whether it is fast, and whether it is a run; people walk with 1.2 to 1.4."""


def pace_of(text: str) -> Pace | None:
    """How fast a sentence says that somebody walks or runs; None where it does not plainly say so.

    Args:
        text: a sentence, or a clause.
    """
    slow = _SLOW.search(text) is not None
    fast = _FAST.search(_SLOW.sub(" ", text)) is not None
    text = _IN_A_HURRY.sub("", text)
    if len(text) > LONGEST or slow == fast or _NO_PACE.search(text):
        return None
    runs = _RUNS.search(text) is not None
    if not runs and not _GOES.search(text):
        return None
    other = text
    if not runs and not slow and not _HURRY.search(text):
        other = _FAST.sub(lambda found: "brisk" if _ADJECTIVE.match(text, found.start()) else "briskly", text)
    return Pace(PACES[fast, runs], fast, runs, other)


def at_speed(speeds: Sequence[float], pace: Pace) -> int:
    """Which of several speeds, in metres a second, is as asked: the first, of slow runs the fastest; or the nearest."""
    enough = [way for way, speed in enumerate(speeds) if speed and (speed >= pace.speed) == pace.fast]
    if enough:
        return max(enough, key=lambda way: speeds[way]) if pace.runs and not pace.fast else enough[0]
    return min(range(len(speeds)), key=lambda way: abs(speeds[way] - pace.speed))
