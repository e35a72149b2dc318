"""Captions in many wordings, of one action, several at once or in order, and with amounts that were measured.

`wordings.json` has, each list twice ("train", and "heldout", which no training caption uses): verb phrases by action,
as `actions.json` has them; styles; subjects; patterns, in which {s} is the subject, {a}, {b}, {c} verb phrases in the
tense of the sentence and {ag}, {bg}, {cg} the same as gerunds; and amounts (`lamp.prepare.mini.amounts`). In patterns
of two things at once {a} and {Ag} are the legs', {B} and the gerund {b} the arms'. "cmu" are further captions by
label of the CMU database's index, for training only.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lamp.prepare.mini.amounts import CLASHES, Measures, draw_amount
from lamp.prepare.mini.grammar import conjugate, pronouns, with_article
from lamp.prepare.mini.noise import noisy
from lamp.prepare.mini.tables import (
    ACTIONS,
    CMU_CAPTIONS,
    MORE_ACTIONS,
    STYLES,
    SUBJECTS,
    UNFIT_PLACES,
    WALKING,
    WORDINGS,
    Phrasing,
)
from lamp.prepare.texts import OTHER_SIDE

_TENSES = {
    "single": {"present": 60, "progressive": 22, "past": 10, "gerund": 8},
    "several": {"present": 76, "progressive": 10, "past": 14},
}
_COMMON = 0.35
"""Share of subjects that are those which people write most, such as "a person"."""
_AT_ONCE = {pattern for patterns in WORDINGS["at_once"].values() for pattern in patterns}
_TURNING = ("turn", "walk-turn", "walk-diagonal", "side-step", "run-turn", "dribble-turn")
"""Actions whose side is a direction, not a limb."""
_ONSET = r"^\*(start|begin|keep \w+ing|set off|break into|come walking|come running)\b"
_ORDER = r"\b(then|before|after|finally|while)\b"
_PRESENT = (
    r"\b(can|is|see|(begin|combine|change|cease|doe|end|finishe|goe|keep|manage|open|pause|repeat|stand|start|stop)s"
    r"|waits)\b"
)
"""Verbs of patterns, which set the tense of the sentence."""
_MALE, _FEMALE = r"\b(man|boy|guy|gentleman|he)$", r"\b(woman|girl|lady|she)$"


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
        phrase = _phrase(acts[0], rng, phrasing, (_ONSET, _ORDER))
        text = _filled(rng.choice(WORDINGS["repeated"][str(times)][phrasing]), told, [phrase])
    else:
        unfit: tuple[str, ...] = (_ONSET, _ORDER)
        if kind == "at_once":
            unfit += tuple(r"\bstand" for act in acts[:1] if act.action != "stand")
        phrases = [_phrase(act, rng, phrasing, unfit) for act in acts]
        pattern = "in_order3" if len(acts) == 3 else kind
        text = _filled(rng.choice(WORDINGS[pattern][phrasing]), told, phrases)
    text = re.sub(r"\s+([,;.])", r"\1", " ".join(text.split()))
    return noisy(text + ("." if rng.random() < 0.3 else ""), rng) if phrasing == "train" else text


def sentence(subject: str, phrase: str, tense: str, rng: random.Random) -> str:
    """A sentence of a verb phrase of `wordings.json`, `{side}` left in.

    Args:
        subject: who does it.
        phrase: such as "*raise {their} {side} hand".
        tense: "present", "progressive" or "past".
        rng: chooses the pronouns of "a person".
    """
    told = _Told(subject, tense, pronouns(subject, rng))
    return _worded(f"{subject} {told.verb(phrase)}", told)


def cmu_caption(label: str, rng: random.Random) -> str:
    """A caption of a CMU clip for training, by its label in the database's index."""
    text = rng.choice((*WORDINGS["cmu"][label], *CMU_CAPTIONS[label])).rstrip(".")
    if text.startswith("a person ") and rng.random() < 0.6 and not re.search(r"\b(their|them\w*|they)\b", text):
        text = rng.choice(WORDINGS["subjects"]["train"]) + text.removeprefix("a person")
    return noisy(text + ("." if rng.random() < 0.3 else ""), rng)


def _told(acts: Sequence[Act], rng: random.Random, phrasing: Phrasing, kind: str) -> _Told:
    tenses = _TENSES["single" if kind == "single" else "several"]
    tense = rng.choices(list(tenses), weights=list(tenses.values()))[0]
    style = acts[0].style
    subjects = SUBJECTS[phrasing] if rng.random() < _COMMON else WORDINGS["subjects"][phrasing]
    wrong = {"feminine": _MALE, "masculine": _FEMALE}.get(style, "$.")
    subject = rng.choice([name for name in subjects if not re.search(wrong, name)])
    if style != "normal" and rng.random() < 0.35:
        subject = _styled_subject(style, rng, phrasing) or subject
    subject = "" if tense == "gerund" else subject
    return _Told(subject, tense, pronouns(subject, rng))


def style_phrases(style: str, place: str, phrasing: Phrasing) -> tuple[str, ...]:
    """Wordings of a style for a place in the sentence ("adverb", "adjective", "subject", "manner", "look", "gait")."""
    more = WORDINGS["styles"].get(style, {}).get(place, {}).get(phrasing, ())
    return (*STYLES[style].get(place, {}).get(phrasing, ()), *more)


def _styled_subject(style: str, rng: random.Random, phrasing: Phrasing) -> str:
    """Such as "an old man" or "a tired person"; "" where the style has neither."""
    nouns = list(style_phrases(style, "subject", phrasing))
    if "adjective" not in UNFIT_PLACES.get(style, ()) and not (nouns and rng.random() < 0.5):
        noun = "person" if phrasing == "train" else "character"
        nouns = [with_article(f"{adjective} {noun}") for adjective in style_phrases(style, "adjective", phrasing)]
    return rng.choice(nouns) if nouns else ""


def _phrase(act: Act, rng: random.Random, phrasing: Phrasing, unfit: Sequence[str] = ()) -> str:
    """A verb phrase of an action, its side filled in, sometimes with its style.

    Args:
        act: the action.
        rng: source of all choices.
        phrasing: see `caption`.
        unfit: patterns of phrases that do not go with the rest; such a phrase comes only where there is no other.
    """
    name = f"{act.action}-both" if act.side == "both" else act.action
    phrases: list[str] = []
    for key in dict.fromkeys((name, act.action)):
        if not phrases:
            phrases += WORDINGS["actions"].get(key, {}).get(phrasing, ())
            phrases += ACTIONS[key][phrasing] if key in ACTIONS else ()
            phrases += MORE_ACTIONS.get(key, ()) if phrasing == "train" else ()
    phrases = [phrase for phrase in phrases if ("{side}" in phrase) == (act.side in OTHER_SIDE)] or phrases
    for pattern in unfit:
        phrases = [phrase for phrase in phrases if not re.search(pattern, phrase)] or phrases
    phrase = rng.choice(phrases)
    phrase = phrase.replace("{side}", act.side if act.side in OTHER_SIDE else rng.choice(("left", "right")))
    if act.style != "normal" and rng.random() < 0.5:
        places = ("manner", "adverb", "look", *(("gait",) if act.action in WALKING else ()))
        place = rng.choice(places)
        manners = style_phrases(act.style, place, phrasing)
        phrase += f"{',' if place == 'look' else ''} {rng.choice(manners)}" if manners else ""
    return phrase


def _filled(pattern: str, told: _Told, phrases: Sequence[str]) -> str:
    """A pattern with subject and verb phrases; in those of two things at once, {b} is a gerund.

    The subject's second mention is a known one ("a man walks. then the man bows"), and the auxiliary is said once for
    each subject ("he is walking, then bowing"). Verbs of the pattern's own are in the present, and so is the rest.
    """
    told = replace(told, tense="present") if re.search(_PRESENT, pattern) else told
    values: dict[str, str] = {}
    for name, phrase in zip("abc", phrases):
        values[name], values[f"{name}g"] = told.verb(phrase), told.verb(phrase, "gerund")
    if "{B}" in pattern or "{Ag}" in pattern or pattern in _AT_ONCE:
        values |= {"B": values["b"], "b": values["bg"], "Ag": values["ag"]}
    again = told.subject if told.subject in ("he", "she") else f"the {told.subject.split()[-1]}"
    again = {"the someone": "the person", "the somebody": "the person"}.get(again, again)
    said = aux = False

    def word(blank: re.Match[str]) -> str:
        nonlocal said, aux
        name = blank[1]
        if name == "s":
            said, aux, subject = True, False, again if said else told.subject
            return subject
        text = values[name]
        if text.startswith("is ") and name in "abcB":
            text, aux = (text.removeprefix("is "), True) if aux else (text, True)
        return text

    # Phrases have pronouns of their own.
    return _worded(re.sub(r"\{(s|[abc]g?|B|Ag)\}", word, pattern), told)


def _worded(text: str, told: _Told) -> str:
    text = re.sub(r"\{(they|their|them|themself)\}", lambda blank: told.words[blank[1]], text)
    return re.sub(r"\b(he|she) are\b", r"\1 is", text)


def _single(told: _Told, act: Act, rng: random.Random, phrasing: Phrasing, measures: Measures | None) -> str:
    """A sentence of one action, with an amount if there are measures."""
    unfit = (_ONSET,) if told.tense in ("gerund", "progressive") else ()
    amount = None
    if measures is not None and rng.random() < 0.85:
        amount = draw_amount(act.action, act.side, measures, rng, phrasing)
    if amount is not None and amount.words.startswith("*"):
        phrase = amount.words
    elif amount is not None:
        phrase = f"{_phrase(act, rng, phrasing, (*unfit, CLASHES[amount.kind]))} {amount.words}"
    else:
        phrase = _phrase(act, rng, phrasing, unfit)
        if act.side in OTHER_SIDE and rng.random() < 0.15 and f" {act.side}" in phrase:
            phrase += f" {_not_the_other(phrase, act, rng, phrasing)}"
    return _worded(f"{told.subject} {told.verb(phrase)}", told)


def _not_the_other(phrase: str, act: Act, rng: random.Random, phrasing: Phrasing) -> str:
    """What tells a side from the other one, after a verb phrase."""
    kind = "not_way" if act.action in _TURNING else "not_side" if rng.random() < 0.7 else "only_side"
    table: list[str] = WORDINGS[kind][phrasing]
    words = rng.choice([text for text in table if " with " in phrase or "with" not in text] or table)
    return words.replace("{other}", OTHER_SIDE[act.side]).replace("{side}", act.side)
