"""Captions in many wordings, of one action, several at once or in order, and with amounts that were measured.

`wordings.json` has, each list twice ("train", and "heldout", which no training caption uses): verb phrases by action,
as `actions.json` has them; subjects; patterns, in which {s} is the subject, {a}, {b}, {c} verb phrases in the tense of
the sentence and {ag}, {bg}, {cg} the same as gerunds; adverbs of speed; and amounts. In patterns of two things at once
{a} and {Ag} are the legs', {B} and the gerund {b} the arms'.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lamp.prepare.mini.grammar import conjugate, pronouns
from lamp.prepare.mini.tables import ACTIONS, MORE_ACTIONS, STYLES, WORDINGS, Phrasing
from lamp.prepare.texts import OTHER_SIDE

_TENSES = {"present": 60, "progressive": 22, "past": 10, "gerund": 8}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WAYS = {"walk": "forward", "walk-back": "backward"}
FAST_WALK, SLOW_WALK = 1.4, 0.85
FAST_RUN, SLOW_RUN = 3.2, 2.4
"""Metres a second from which on a walk or a run is fast, and below which it is slow (people choose 1.2 to 1.4)."""
FEET = 3.281
_AT_ONCE = {pattern for patterns in WORDINGS["at_once"].values() for pattern in patterns}


@dataclass(frozen=True)
class Act:
    """What a person does in a clip or a part of it.

    Attributes:
        action: such as "walk", "raise-up".
        side: "left", "right", "both", or "".
        style: such as "elderly"; "normal" is not told.
    """

    action: str
    side: str = ""
    style: str = "normal"


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
    """

    metres: float = 0.0
    steps: int = 0
    degrees: float = 0.0
    seconds: float = 0.0
    metres_per_second: float | None = None
    times: int = 0


@dataclass(frozen=True)
class _Told:
    """A sentence in the making: its subject, tense and the pronouns that go with it."""

    subject: str
    tense: str
    words: dict[str, str]

    def verb(self, phrase: str, tense: str | None = None) -> str:
        """A verb phrase in the tense of the sentence, or as a gerund."""
        tense = tense or self.tense
        done = re.sub(r"\*(\w+)", lambda verb: conjugate(verb[1], tense), phrase)
        return f"is {done}" if tense == "progressive" else done


def caption(
    kind: str, acts: Sequence[Act], rng: random.Random, phrasing: Phrasing = "train", measures: Measures | None = None
) -> str:
    """A caption.

    Args:
        kind: "single", "at_once" (legs first, then arms), "in_order" or "repeated".
        acts: what is done.
        rng: source of all choices; the same state gives the same caption.
        phrasing: "heldout" uses only verb phrases and patterns that no training caption has.
        measures: of the motion, told where they fit; None tells no amounts.
    """
    told = _told(acts, rng, phrasing, kind)
    if kind == "single":
        text = _single(told, acts[0], rng, phrasing, measures)
    elif kind == "repeated":
        times = measures.times if measures is not None else 2
        text = _filled(rng.choice(WORDINGS["repeated"][str(times)][phrasing]), told, [_phrase(acts[0], rng, phrasing)])
    else:
        phrases = [_phrase(act, rng, phrasing, moving=kind == "at_once") for act in acts]
        pattern = "in_order3" if len(acts) == 3 else kind
        text = _filled(rng.choice(WORDINGS[pattern][phrasing]), told, phrases)
    text = re.sub(r"\s+([,;.])", r"\1", " ".join(text.split()))
    return noisy(text + ("." if rng.random() < 0.3 else ""), rng) if phrasing == "train" else text


def noisy(text: str, rng: random.Random) -> str:
    """A caption as somebody in a hurry writes it, once in a while: capitals, a lost article, two letters exchanged."""
    chance = rng.random()
    if chance < 0.06:
        return text[:1].upper() + text[1:]
    if chance < 0.09:
        return re.sub(r"\b(a|the|an) ", "", text, count=1)
    if chance < 0.12:
        words = text.split(" ")
        places = [k for k, word in enumerate(words) if len(word) > 4 and word.isalpha()]
        if places:
            k = rng.choice(places)
            j = rng.randrange(1, len(words[k]) - 2)
            words[k] = words[k][:j] + words[k][j + 1] + words[k][j] + words[k][j + 2 :]
        return " ".join(words)
    return text


def _told(acts: Sequence[Act], rng: random.Random, phrasing: Phrasing, kind: str) -> _Told:
    tense = rng.choices(list(_TENSES), weights=list(_TENSES.values()))[0]
    if tense == "gerund" and kind != "single":
        tense = "present"
    style = acts[0].style
    subject = "" if tense == "gerund" else rng.choice(WORDINGS["subjects"][phrasing])
    if style != "normal" and subject and rng.random() < 0.4:
        nouns = STYLES[style].get("subject", {}).get(phrasing, ())
        subject = rng.choice(nouns) if nouns else subject
    if subject == "they":
        subject = "the person"
    return _Told(subject, tense, pronouns(subject, rng))


def _phrase(act: Act, rng: random.Random, phrasing: Phrasing, moving: bool = False) -> str:
    """A verb phrase of an action, its side filled in, sometimes with its style; of who is moving none that stands."""
    name = f"{act.action}-both" if act.side == "both" else act.action
    phrases: list[str] = []
    for key in dict.fromkeys((name, act.action)):
        if not phrases:
            phrases += WORDINGS["actions"].get(key, {}).get(phrasing, ())
            phrases += ACTIONS[key][phrasing] if key in ACTIONS else ()
            phrases += MORE_ACTIONS.get(key, ()) if phrasing == "train" else ()
    if not act.side:
        phrases = [phrase for phrase in phrases if "{side}" not in phrase] or phrases
    if moving and act.action != "stand":
        phrases = [phrase for phrase in phrases if not re.search(r"\bstand", phrase)] or phrases
    phrase = rng.choice(phrases)
    phrase = phrase.replace("{side}", act.side if act.side in OTHER_SIDE else rng.choice(("left", "right")))
    if act.style != "normal" and rng.random() < 0.5:
        manners = [*STYLES[act.style].get("manner", {}).get(phrasing, ())]
        manners += STYLES[act.style].get("adverb", {}).get(phrasing, ())
        phrase += f" {rng.choice(manners)}" if manners else ""
    return phrase


def _filled(pattern: str, told: _Told, phrases: Sequence[str]) -> str:
    """A pattern with subject and verb phrases; in those of two things at once, {b} is a gerund."""
    values = {"s": told.subject}
    for name, phrase in zip("abc", phrases):
        values[name], values[f"{name}g"] = told.verb(phrase), told.verb(phrase, "gerund")
    if "{B}" in pattern or "{Ag}" in pattern or pattern in _AT_ONCE:
        values |= {"B": values["b"], "b": values["bg"], "Ag": values["ag"]}
    # Phrases have pronouns of their own.
    return _worded(pattern.format_map(_Kept(values)), told)


def _worded(text: str, told: _Told) -> str:
    return text.format_map(_Kept(told.words))


class _Kept(dict[str, str]):
    """Names that are not there stay as they are."""

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def _single(told: _Told, act: Act, rng: random.Random, phrasing: Phrasing, measures: Measures | None) -> str:
    """A sentence of one action, with an amount if there are measures."""
    phrase = _phrase(act, rng, phrasing)
    if measures is not None:
        phrase = _with_amount(phrase, act, rng, phrasing, measures)
    elif act.side in OTHER_SIDE and rng.random() < 0.15 and f" {act.side}" in phrase:
        kind = "not_side" if rng.random() < 0.7 else "only_side"
        phrase += " " + rng.choice(WORDINGS[kind][phrasing]).replace("{other}", OTHER_SIDE[act.side]).replace(
            "{side}", act.side
        )
    return _worded(f"{told.subject} {told.verb(phrase)}", told)


def _with_amount(phrase: str, act: Act, rng: random.Random, phrasing: Phrasing, measures: Measures) -> str:
    """A verb phrase with one thing that was measured."""
    choices: list[str] = []
    speed = measures.metres_per_second
    limits = (FAST_RUN, SLOW_RUN) if act.action in ("run", "run-back", "dash") else (FAST_WALK, SLOW_WALK)
    travels = act.action in ("walk", "walk-back", "run", "run-back", "walk-turn", "side-step", "walk-diagonal")
    if speed is not None and travels:
        kind = "fast" if speed > limits[0] else "slow" if speed < limits[1] else ""
        choices += [f"{phrase} {word}" for word in WORDINGS[kind][phrasing]] if kind else []
    straight = abs(measures.degrees) < 20
    if travels and straight and measures.metres > 0.6 and act.action != "walk-turn":
        feet = _number(round(measures.metres * FEET), rng)
        for word in WORDINGS["metres"][phrasing]:
            choices.append(
                f"{phrase} {word.replace('{n}', rng.choice(_metres(measures.metres))).replace('{feet}', feet)}"
            )
    if act.action in _WAYS and 1 < measures.steps < 11:
        count = _number(measures.steps, rng)
        choices += [f"{phrase} {word.replace('{n}', count)}" for word in WORDINGS["steps"][phrasing]]
        choices += [f"*{verb} {count} steps {_WAYS[act.action]}" for verb in ("take", "make", "go") for _ in range(4)]
    if act.action == "walk" and straight:
        choices += [f"{phrase} {word}" for word in WORDINGS["straight"][phrasing]]
        choices += [f"{phrase} {word}" for word in WORDINGS["hands_down"][phrasing]]
    if act.action in ("turn", "walk-turn", "turn-around", "spin") and act.side in OTHER_SIDE:
        angles = WORDINGS["degrees"][phrasing]
        nearest = min(map(int, angles), key=lambda angle: abs(angle - abs(measures.degrees)))
        if abs(nearest - abs(measures.degrees)) < 20:
            choices += [f"{phrase} {word}" for word in angles[str(nearest)]]
    if act.action in ("stand", "sit", "lie", "dance") and measures.seconds > 1.5:
        count = _number(round(measures.seconds), rng)
        choices += [f"{phrase} {word.replace('{n}', count)}" for word in WORDINGS["seconds"][phrasing]]
    return rng.choice(choices) if choices and rng.random() < 0.85 else phrase


def _metres(metres: float) -> list[str]:
    """How a distance is written: whole metres, or halves where it is near one."""
    whole = round(metres)
    near = [str(whole), _NUMBERS[whole]] if 0 < whole <= 10 and abs(metres - whole) < 0.3 else []
    half = round(metres * 2) / 2
    return near or [f"{half:g}"]


def _number(value: int, rng: random.Random) -> str:
    return _NUMBERS[value] if value <= 10 and rng.random() < 0.6 else str(value)
