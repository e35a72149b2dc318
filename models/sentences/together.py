"""What a sentence says that legs and arms do at once: "he walks while waving" -> "he walks", "a person is waving".

Only where one half plainly moves the body along or holds it in a posture and the other half plainly says what the hands
do; whatever is not understood stays whole.
"""

import re
from dataclasses import dataclass
from typing import Literal

from lamp.models.sentences.clauses import LONGEST, SUBJECT, sentence_of
from lamp.models.sentences.verbs import any_form

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Arms:
    """What arms do while the body does something else.

    Attributes:
        text: a sentence.
        sides: which arms; none where the sentence does not say.
        hold: the hands stay up.
    """

    text: str
    sides: tuple[Side, ...]
    hold: bool


@dataclass(frozen=True)
class AtOnce:
    """A sentence in two: what the body does, and what the arms do meanwhile."""

    body: str
    arms: Arms


_LEGS = (
    "walk run jog step turn sit crouch kneel bow jump balance squat march stroll go move hop skip limp sneak creep "
    "shuffle wander pace stride trot sprint lunge advance retreat proceed sidestep side-step rotate"
)
_BODY = re.compile(
    rf"\b(?:{any_form(_LEGS)}|ran|sat|knelt|went|(?:stands?|stood|standing) on (?:one|an?|his|her|their)\b)\b",
    re.IGNORECASE,
)
_WHOSE = r"(?:(?:up|an?|the|his|her|their|its|my|your|one|both|two|of|left|right) )*"
_HANDS = rf"{_WHOSE}(?:hands?|arms?|fists?)"
_UP = (
    r"(?:held )?(?:raised|up|uplifted|lifted|in the air|overhead|high|aloft|"
    r"(?:above|over) (?:the|his|her|their|my|your) heads?)"
)
_RAISED = re.compile(
    rf"\b(?:rais|lift)\w* {_HANDS}\b|\b(?:hold|keep|held|kept|put)\w* {_HANDS} {_UP}\b|"
    rf"\b(?:hold|held)\w* up {_HANDS}\b|\b{_HANDS} (?:(?:is|are|being) )?{_UP}\b|\b(?:raised|lifted) {_HANDS}\b",
    re.IGNORECASE,
)
_ACTS = re.compile(
    r"(?<!\ba )(?<!\bthe )(?<!\bhis )(?<!\bher )(?<!\btheir )(?<!\bis )(?:\bwav(?:e|es|ed|ing)|\bpunch(?:es|ed|ing)?|"
    r"\bjab(?:s|bed|bing)?|\bboxing|\bdr[ai]nk(?:s|ing)?|\bsip(?:s|ping)?|\bclap(?:s|ped|ping)?|\bsalut(?:e|es|ed|ing)|"
    r"\bpoint(?:s|ed|ing)?|\bphon(?:es|ed|ing))\b|\btalk\w* on (?:the|his|her|their|an?) (?:tele)?phone\b|"
    rf"\bthrow\w* (?:a )?punch\w*|\b(?:stretch\w*|reach\w*|hold\w*|held) out {_HANDS}\b|\bextend\w* {_HANDS}\b|"
    rf"\b(?:stretch\w*|hold\w*|held) {_HANDS} out\b|\breach\w* (?:out|forward) with {_HANDS}\b",
    re.IGNORECASE,
)
_NOT_ARMS = re.compile(
    r"\b(?:legs?|knees?|foot|feet|toes?|down|behind|hips?|pockets?|folded|crossed|sides?|back|waist|not|never|no|chest)\b"
    r"|n't\b",
    re.IGNORECASE,
)
_NOT_BODY = re.compile(r"\b(?:hands?|arms?|fists?|jacks?|rope|punch\w*)\b|[,:;]", re.IGNORECASE)
_MORE = re.compile(
    r"[:;]|\b(?:while|whilst|then|doing (?:so|this|that)|stop\w*|start\w*|begin\w*|open\w*|clos\w*|ends?|first|second|"
    r"last|finally|before|after\w*|until|next|wants?|tries|trying|pretend\w*)\b|\bas (?:he|she|they)\b",
    re.IGNORECASE,
)
"""What makes more than one thing of a half, or says that one comes after the other."""
_ARRIVES = re.compile(r"\b(?:to (?:the|an?|his|her)\b(?! (?:left|right|side))|into\b|(?:over|up|down)$)", re.IGNORECASE)
"""What is done on the way is another thing than what is done there: "walks to the table and drinks"."""
_AND_DOWN = re.compile(
    r"\b(?:and|lowers?|drops?|to (?!(?:the|his|her) (?:left|right)\b)|halfway|slightly|weights?|bar|prayer)\b", re.I
)
"""What makes more of raised hands than that they are up."""
_OTHERS = re.compile(
    r"(?:(?:an?|another|one|the(?: other)?|his|her|their|its|some\w*|every\w*)\s+"
    r"(?!(?:left|right|both|hands?|arms?|fists?)\b)|people\b|crowd\b|crash\b)",
    re.IGNORECASE,
)
"""Somebody else does what the second half says, or may."""
_MEANWHILE = r"(?:at the same time|simultaneously|at once|meanwhile|all the (?:while|time)|the whole time|throughout)"
_SIDE = re.compile(r"\b(left|right) (?:hand|arm|fist|one)\b|\bwith (?:the|his|her|their) (left|right)$")
_TRAILING = re.compile(rf",?\s+{_MEANWHILE}$", re.IGNORECASE)
_BETWEEN = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r",?\s+(?:while|whilst)(?: also)?\s+(?:(?:he|she|it|they) (?:is |are )?)?|,?\s+as\s+(?=(?:he|she|they)\s)",
        rf",?\s+and(?: also)?(?: {_MEANWHILE})?\s+|,\s+(?:{_MEANWHILE} |also |always )?(?=\w+ing\b)",
        rf",?\s+with\s+(?={_HANDS} {_UP}\b|(?:raised|lifted) )",
    )
)
"""What is between two things at once, plainest first."""
_BEFORE = re.compile(
    rf"^(?:(?:while|whilst|at the same time as)\s+)?((?:\w+ly )?\w+ing\b[^,]*?)(?: {_MEANWHILE})?,\s+(.+)$",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"^(?:he|she|they|it)\s+(?:is\s+|are\s+)?", re.IGNORECASE)


def at_once(text: str) -> AtOnce | None:
    """A sentence in two; None where it does not plainly say two things that go together.

    Args:
        text: a sentence, or a clause.
    """
    whole = _TRAILING.sub("", " ".join(text.split()).rstrip(" .!;,"))
    if len(whole) > LONGEST or ";" in whole or ". " in whole:
        return None
    halves = [
        (whole[: found.start()], whole[found.end() :])
        for between in _BETWEEN
        for found in between.finditer(whole)
        if between is not _BETWEEN[1] or not _ARRIVES.search(whole[: found.start()])
    ]
    if (first := _BEFORE.match(whole)) and _says_who(first[2]):
        halves.insert(0, (first[2], first[1]))
    for first_half, second_half in halves:
        made = _of_halves(first_half, second_half)
        if made is not None:
            return made
    return None


def _of_halves(first: str, second: str) -> AtOnce | None:
    """Both halves as sentences of body and arms, whichever comes first."""
    if _MORE.search(first) or _MORE.search(second) or _OTHERS.match(second):
        return None
    kinds = _moves_body(first), _moves_arms(first), _moves_body(second), _moves_arms(second)
    if kinds == (True, False, False, True):
        body, arms = first, second
    elif kinds == (False, True, True, False):
        body, arms = second, first
    elif kinds == (False, True, False, True) and {_sides(first), _sides(second)} == {("left",), ("right",)}:
        body, arms = first, second  # one hand does this, the other one that
    else:
        return None
    sides, hold = _sides(arms), not _ACTS.search(arms)
    if _BODY.search(arms) or (hold and _AND_DOWN.search(arms)):
        return None
    arms_text = _hands_up(sides) if hold else _own(arms, arms is first)
    body_text = _own(body, body is first)
    return AtOnce(body_text, Arms(arms_text, sides, hold)) if arms_text and body_text else None


def _moves_body(half: str) -> bool:
    return _BODY.search(half) is not None and not _NOT_BODY.search(half)


def _moves_arms(half: str) -> bool:
    acts = _ACTS.search(half) or _RAISED.search(half)
    return acts is not None and not _NOT_ARMS.search(half) and "," not in half


def _sides(half: str) -> tuple[Side, ...]:
    """Arms that a half names."""
    half = half.lower()
    named = {found[1] or found[2] for found in _SIDE.finditer(half)}
    if (
        len(named) == 2
        or re.search(r"\b(?:both|two)\b", half)
        or (not named and re.search(r"\b(?:hands|arms)\b", half))
    ):
        return ("left", "right")
    return ("left",) if "left" in named else ("right",) if "right" in named else ()


def _hands_up(sides: tuple[Side, ...]) -> str:
    """In the plainest words: this is how models know it best."""
    return f"{SUBJECT} raises {'both hands' if len(sides) == 2 else f'the {sides[0]} hand' if sides else 'one hand'}"


def _says_who(half: str) -> bool:
    return (
        re.match(r"(?:an?|the|this|that|one|some|someone|somebody|he|she|they|it)\s", half, re.IGNORECASE) is not None
    )


def _own(half: str, first: bool) -> str:
    """A half as a sentence of its own."""
    if re.match(r"(?:his|her|their|its)\b", half, re.IGNORECASE):
        return ""
    return half if first and _says_who(half) else sentence_of(_PRONOUN.sub("", half), [SUBJECT])
