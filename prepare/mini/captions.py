"""Captions for the `mini` data set: composed for labelled clips, looked up for CMU and AnimatedDrawings clips.

A composed caption is subject x verb phrase x side x style, in the manner of the HumanML3D captions; wordings and
hand-written captions are in `lamp.prepare.mini.tables`.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from lamp.prepare.mini.grammar import conjugate, pronouns, with_article
from lamp.prepare.mini.tables import (
    ACTIONS,
    ANIMATED_DRAWINGS,
    CMU_CAPTIONS,
    CONTENTS,
    NOUNS,
    STYLE_NAMES,
    STYLE_NOUNS,
    STYLES,
    SUBJECTS,
    UNFIT_PLACES,
    WALKING,
    WAYS,
    Phrasing,
)
from lamp.prepare.texts import OTHER_SIDE
from lamp.utils.errors import UserError

NORMAL_STYLE_PROBABILITY = 0.25  # the unmarked style is seldom put into words
SECOND_MENTION_PROBABILITY = 0.15

_BANDAI_NAME = re.compile(r"dataset-[12]_(?P<content>[a-z-]+)_(?P<style>[a-z-]+)_\d+")
_FORMS = {"present": 55, "progressive": 20, "past": 8, "participle": 5, "gerund": 12}
_SUBJECT_PLACES = ("adjective", "subject")
_PLACES = {
    "adverb_before": 3,
    "adverb_after": 5,
    "way": 3,
    "manner": 4,
    "manner_front": 1,
    "look": 2,
    "look_front": 1,
    "gait": 2,
    "adjective": 4,
    "subject": 4,
}
_KIND = {"adverb_before": "adverb", "adverb_after": "adverb", "way": "adjective", "manner_front": "manner"} | {
    "look_front": "look"
}


@dataclass(frozen=True)
class Label:
    """What a clip shows.

    Attributes:
        content: Canonical content, e.g. "walk-turn".
        style: Canonical style, e.g. "elderly"; the unmarked one is "normal".
        side: "left", "right", "both", or "" where the content has no side.
    """

    content: str
    style: str
    side: str = ""

    @property
    def key(self) -> str:
        """A string unique to the label, e.g. "wave_left_youthful" or "walk_elderly"."""
        return "_".join(part for part in (self.content, self.side, self.style) if part)

    def mirrored(self) -> "Label":
        """Return the label of the mirrored clip."""
        return replace(self, side=OTHER_SIDE.get(self.side, self.side))


def parse_bandai_name(stem: str) -> Label:
    """Read the label off a file name such as ``dataset-2_wave-left-hand_youthful_001``.

    Args:
        stem: File name without folder and suffix.

    Returns:
        The label with canonical content and style: names of the two sets that mean the same are one.
    """
    match = _BANDAI_NAME.fullmatch(stem)
    content, style = (match["content"], match["style"]) if match else ("", "")
    style = STYLE_NAMES.get(style, style)
    if content not in CONTENTS or style not in STYLES:
        raise UserError(
            f"{stem}: not a Bandai-Namco clip name (dataset-<set>_<content>_<style>_<number> with a known content "
            "and style); remove or rename the file"
        )
    canonical, side = CONTENTS[content]
    return Label(content=canonical, style=style, side=side)


def captions_for(
    label: Label,
    rng: random.Random,
    count: int,
    *,
    phrasing: Phrasing = "train",
    style_probability: float = 0.9,
) -> list[str]:
    """Compose captions for a labelled clip; the side is always said.

    Args:
        label: What the clip shows.
        rng: Source of all choices; the same state gives the same captions.
        count: How many captions; they are distinct as long as the wordings last.
        phrasing: "heldout" uses only wordings that no training caption has.
        style_probability: Probability that a caption tells the style (style "normal": a quarter of the captions do).

    Returns:
        `count` captions.
    """
    probability = NORMAL_STYLE_PROBABILITY if label.style == "normal" else style_probability
    return _distinct(lambda: _compose(label, rng, phrasing, probability), count)


def captions_for_cmu(label: str, rng: random.Random, count: int) -> list[str]:
    """Pick captions for a CMU clip by its label, with varied subjects.

    Args:
        label: of the CMU database's index.
        rng: Source of all choices.
        count: How many captions; they are distinct as long as the table lasts.

    Returns:
        `count` captions.

    Raises:
        UserError: there are no captions for the label.
    """
    if label not in CMU_CAPTIONS:
        raise UserError(f"no captions for the CMU label '{label}': add some to prepare/mini/cmu_captions.json")
    return _from_table(CMU_CAPTIONS[label], rng, count)


def captions_for_animated_drawings(stem: str, rng: random.Random | None = None, count: int | None = None) -> list[str]:
    """Return the hand-written captions of an AnimatedDrawings clip, or `count` of them drawn with `rng`.

    Args:
        stem: File name without suffix: dab, jumping, wave_hello, zombie, jumping_jacks or jesse_dance.
        rng: Source of choices; without it the whole table is returned as written.
        count: How many captions; by default as many as the table has.
    """
    if stem not in ANIMATED_DRAWINGS:
        raise UserError(f"no captions for the AnimatedDrawings clip '{stem}': known are {', '.join(ANIMATED_DRAWINGS)}")
    table = ANIMATED_DRAWINGS[stem]
    return list(table) if rng is None else _from_table(table, rng, count or len(table))


def compose(phrase: Callable[[], str], rng: random.Random, count: int) -> list[str]:
    """Captions of wordings that tell an action: with varied subjects and tenses.

    Args:
        phrase: draws a wording as in `actions.json`, its verbs marked, without a side to fill in.
        rng: Source of all choices.
        count: How many captions; they are distinct as long as the wordings last.
    """

    def draw() -> str:
        form = _weighted(rng, _FORMS)
        subject = "" if form == "gerund" else rng.choice(SUBJECTS["train"])
        told = re.sub(r"\*(\w+)", lambda verb: conjugate(verb[1], form), phrase())
        text = " ".join(part for part in (subject, "is" if form == "progressive" else "", told) if part)
        return text.format(**pronouns(subject, rng)) + ("." if rng.random() < 0.3 else "")

    return _distinct(draw, count)


def _distinct(draw: Callable[[], str], count: int) -> list[str]:
    captions: dict[str, None] = {}
    for _ in range(50 * count):
        if len(captions) == count:
            break
        captions[draw()] = None
    found = list(captions)
    return [found[i % len(found)] for i in range(count)]


def _from_table(table: tuple[str, ...], rng: random.Random, count: int) -> list[str]:
    """Draw from a table of captions, going through all of it before one is used again with another subject."""
    order: list[str] = []

    def draw() -> str:
        if not order:
            order.extend(rng.sample(table, len(table)))
        caption = order.pop()
        if caption.startswith("a person ") and rng.random() < 0.5:
            caption = rng.choice(("someone", "the person", "a man", "a figure")) + caption.removeprefix("a person")
        return caption

    return _distinct(draw, count)


def _compose(label: Label, rng: random.Random, phrasing: Phrasing, style_probability: float) -> str:
    form = _weighted(rng, _FORMS)
    places = _places(label, form, rng, phrasing) if rng.random() < style_probability else []
    words = {place: _style_phrase(label.style, place, rng, phrasing) for place in places}
    subject = "" if form == "gerund" else _subject(label, words, rng, phrasing)
    front = words.get("manner_front") or words.get("look_front")
    action = ACTIONS[label.content + ("-both" if f"{label.content}-both" in ACTIONS and label.side == "both" else "")]
    verb_phrase = re.sub(r"\*(\w+)", lambda verb: conjugate(verb[1], form), rng.choice(action[phrasing]))
    sentence = [
        f"{front}," if front else "",
        subject,
        "is" if form == "progressive" else "",
        words.get("adverb_before", ""),
        verb_phrase,
        words.get("adverb_after") or words.get("way") or words.get("manner") or words.get("gait") or "",
    ]
    text = " ".join(part for part in sentence if part)
    if "look" in words:
        text += f", {words['look']}"
    text = text.format(side=label.side, **pronouns(subject, rng))
    return text + ("." if rng.random() < 0.3 else "")


def _places(label: Label, form: str, rng: random.Random, phrasing: Phrasing) -> list[str]:
    """Choose where the style is told: one place, sometimes a second one of the other kind (subject or verb)."""
    unfit = set(UNFIT_PLACES.get(label.style, ()))
    if label.content not in WALKING:
        unfit.add("gait")
    weights = {
        place: weight
        for place, weight in _PLACES.items()
        if place not in unfit and _style_phrases(label.style, place, phrasing)
    }
    if form == "gerund":
        weights = {place: weight for place, weight in weights.items() if place not in _SUBJECT_PLACES}
    if form == "participle":  # "looking tired, someone walking" reads like two fragments
        weights = {place: weight for place, weight in weights.items() if not place.endswith("_front")}
    places = [_weighted(rng, weights)]
    if phrasing == "train" and rng.random() < SECOND_MENTION_PROBABILITY:  # held-out wordings are too few for two
        of_subject = places[0] in _SUBJECT_PLACES
        rest = {place: weight for place, weight in weights.items() if (place in _SUBJECT_PLACES) != of_subject}
        places += [_weighted(rng, rest)] if rest else []
    return places


def _style_phrases(style: str, place: str, phrasing: Phrasing) -> tuple[str, ...]:
    phrases = STYLES[style].get(_KIND.get(place, place), {}).get(phrasing, ())
    if place == "adverb_before":
        return tuple(phrase for phrase in phrases if phrase.endswith("ly"))
    return phrases


def _style_phrase(style: str, place: str, rng: random.Random, phrasing: Phrasing) -> str:
    phrase = rng.choice(_style_phrases(style, place, phrasing))
    if place == "way":
        return f"in {with_article(phrase)} {rng.choice(WAYS[phrasing])}"
    return phrase


def _subject(label: Label, words: dict[str, str], rng: random.Random, phrasing: Phrasing) -> str:
    if "subject" in words:
        return words["subject"]
    if "adjective" in words:
        nouns = STYLE_NOUNS.get(label.style, NOUNS["train"]) if phrasing == "train" else NOUNS["heldout"]
        phrase = f"{words['adjective']} {rng.choice(nouns)}"
        return f"the {phrase}" if rng.random() < 0.2 else with_article(phrase)
    subjects = SUBJECTS[phrasing]
    if label.style == "feminine":
        subjects = tuple(subject for subject in subjects if not subject.endswith(" man"))
    return rng.choice(subjects)


def _weighted(rng: random.Random, weights: dict[str, int]) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]
