"""Wordings of composed captions: their form, their verbs, and what is kept apart from what."""

import json
import random
import re
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from typing import Any

import pytest

from lamp.prepare.mini.grammar import conjugate, pronouns
from lamp.prepare.mini.tables import CMU_CAPTIONS, STYLES
from lamp.prepare.mini.wording import style_phrases

WORDINGS: dict[str, Any] = json.loads(files("lamp.prepare.mini").joinpath("wordings.json").read_text("utf-8"))
SENTENCES = json.loads(files("lamp.utils.scores.following").joinpath("sentences.json").read_text("utf-8"))
ACTIONS: dict[str, dict[str, list[str]]] = WORDINGS["actions"]
SIDED = set(
    "bye dribble-turn guide hold-up kick raise-up respond run-turn side-step turn walk-diagonal walk-turn wave".split()
)
AGREEING = {"they", "their", "them", "themself"}
BLANKS = {
    "subjects": set(),
    "at_once": {"s", "a", "b", "B", "Ag"},
    "in_order": {"s", "a", "b", "ag", "bg"},
    "in_order3": {"s", "a", "b", "c", "ag", "bg", "cg"},
    "repeated": {"s", "a"},
    "fast": AGREEING,
    "slow": AGREEING,
    "metres": {"n", "feet"},
    "steps": {"n"},
    "degrees": set(),
    "seconds": {"n"},
    "not_side": {"side", "other"} | AGREEING,
    "not_way": {"side", "other"} | AGREEING,
    "level": AGREEING,
    "short": set(),
    "long": set(),
    "slight": set(),
    "brief": set(),
    "lasting": set(),
    "only_side": {"side"},
    "straight": set(),
    "hands_down": AGREEING,
}
IRREGULAR = set(
    "arise be bear begin bend bid bite blow break bring build burst buy cast catch choose come creep cut deal dig "
    "do draw drink drive eat fall feel fight find fling fly freeze get give go grind grow hang have hide hit hold "
    "hurt keep kneel lay lead leave lend let lie lose make mean meet pay put quit read ride ring rise run say see "
    "seek sell send set shake shoot shrink shut sing sink sit sleep slide sling slit speak speed spend spin split "
    "spread spring stand steal stick sting strike swear sweep swim swing take teach tear tell think throw thrust "
    "tread wake wear win wind withdraw wring write".split()
)
WORDY = 6
"""Words of a sentence from which on it is no commonplace such as "someone is running"."""


def _lists() -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, training and held-out wordings of every list."""
    for name, table in WORDINGS.items():
        if name in ("styles", "cmu"):
            continue  # tested below
        if name in ("actions", "repeated"):
            yield from ((f"{name}/{key}", inner["train"], inner["heldout"]) for key, inner in table.items())
        elif name in ("degrees", "level"):
            assert table["train"].keys() == table["heldout"].keys()
            yield from ((f"{name}/{key}", table["train"][key], table["heldout"][key]) for key in table["train"])
        else:
            yield name, table["train"], table["heldout"]


LISTS = list(_lists())
PHRASES = [phrase for name, train, heldout in LISTS if name.startswith("actions/") for phrase in train + heldout]
VERBS = sorted({verb for phrase in PHRASES for verb in re.findall(r"\*(\w+)", phrase)})


def _blanks(text: str) -> set[str]:
    assert text.count("{") == text.count("}") == len(re.findall(r"\{\w+\}", text)), text
    return set(re.findall(r"\{(\w+)\}", text))


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", text)))


def _conjugated(form: str, verb: re.Match[str]) -> str:
    return conjugate(verb[1], form)


def test_all_lists_are_there_and_long_enough() -> None:
    assert set(WORDINGS) == set(BLANKS) | {"actions", "styles", "cmu"}
    assert WORDINGS["repeated"].keys() == {"1", "2", "3", "4"}
    assert WORDINGS["degrees"]["train"].keys() == {"45", "90", "135", "180", "360"}
    assert WORDINGS["level"]["train"].keys() == {"above", "head", "low"}
    for name, train, heldout in LISTS:
        assert len(train) >= (25 if name.startswith("actions/") else 15), name
        assert len(heldout) >= 5, name
        for text in train + heldout:
            assert text == " ".join(text.split()) and text.isascii() and text[-1] != ".", text


@pytest.mark.parametrize(("name", "train", "heldout"), LISTS, ids=[name for name, _, _ in LISTS])
def test_held_out_wordings_are_new(name: str, train: list[str], heldout: list[str]) -> None:
    """No wording comes twice, and each held-out one has words, or a pattern, that no training one has."""
    lowered = [text.lower() for text in train + heldout] if name != "at_once" else train + heldout
    assert len(set(lowered)) == len(lowered)
    known = set().union(*(_words(text) for text in train))
    for text in heldout:
        assert _words(text) - known, text


@pytest.mark.parametrize("action", ACTIONS)
def test_verb_phrases(action: str) -> None:
    for phrase in ACTIONS[action]["train"] + ACTIONS[action]["heldout"]:
        assert phrase.startswith("*") and re.fullmatch(r"(\*?[a-zA-Z{},' -])+", phrase), phrase
        assert _blanks(phrase) <= AGREEING | {"side"}, phrase
        assert ("side" in _blanks(phrase)) == (action in SIDED), phrase
        assert not re.search(r"\*\w+-", phrase), phrase  # only the part before the hyphen would take the tense


def test_blanks_of_patterns() -> None:
    for name, train, heldout in LISTS:
        key = name.split("/")[0]
        for text in train + heldout if key != "actions" else []:
            blanks = _blanks(text)
            assert blanks <= BLANKS[key] and "*" not in text, (name, text)
            if key in ("metres", "steps", "seconds"):
                assert len(blanks) == 1, (name, text)
            if key in ("at_once", "in_order", "in_order3"):
                told = sorted(blank[0].lower() for blank in re.findall(r"\{(\w+)\}", text) if blank != "s")
                assert told == sorted("abc" if key == "in_order3" else "ab"), (name, text)


def test_order_of_two_is_the_order_of_words_unless_told_otherwise() -> None:
    turned = re.compile(r"\b(before|after|but|once|prior|when)\b")
    for pattern in WORDINGS["in_order"]["train"] + WORDINGS["in_order"]["heldout"]:
        if not turned.search(pattern):
            assert re.search(r"\{ag?\}.*\{bg?\}", pattern), pattern


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_conjugates(verb: str) -> None:
    present, past, continuous = (conjugate(verb, form) for form in ("present", "past", "progressive"))
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", verb.removeprefix("side")):  # "hop" is doubled, "leap" is not
        assert continuous == verb + verb[-1] + "ing"
    elif verb.endswith(("ee", "ay", "ey")):
        assert continuous == verb + "ing"
    assert re.fullmatch(r"\w*[aeiouy]\w*ing", continuous) and not re.search(r"iing|[^oei]eing", continuous)
    assert present == "has" or re.fullmatch(r"\w+([^sxzyh]|[^sc]h|[aeo]y|ie|[sxh]e|che)s", present)
    assert (past.endswith("ed") and past not in ("led", "sped")) == (verb not in IRREGULAR)
    if verb not in IRREGULAR and continuous != verb + "ing":
        assert past == continuous.removesuffix("ing") + "ed"


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("lie", ["lies", "lying", "lay"]),
        ("lay", ["lays", "laying", "laid"]),
        ("sway", ["sways", "swaying", "swayed"]),
        ("get", ["gets", "getting", "got"]),
        ("have", ["has", "having", "had"]),
        ("sidestep", ["sidesteps", "sidestepping", "sidestepped"]),
        ("squeegee", ["squeegees", "squeegeeing", "squeegeed"]),
        ("hop", ["hops", "hopping", "hopped"]),
    ],
)
def test_conjugate(verb: str, forms: list[str]) -> None:
    assert [conjugate(verb, form) for form in ("present", "progressive", "past")] == forms


def test_no_benchmark_sentence_can_be_composed_of_subject_and_verb_phrase() -> None:
    benchmark = {re.sub(r"[.,]", "", sentence["text"].lower()) for sentence in SENTENCES}
    wordy = [text for text in benchmark if len(text.split()) >= WORDY]
    told = set()
    for phrase in PHRASES:
        for form, is_ in (("present", ""), ("past", ""), ("progressive", "is ")):
            verbs = re.sub(r"\*(\w+)", partial(_conjugated, form), phrase)
            for side in ("left", "right"):
                for they in ("he", "she", "someone"):
                    told.add(re.sub(r"[.,]", "", is_ + verbs.format(side=side, **pronouns(they, random.Random(0)))))
    subjects = WORDINGS["subjects"]["train"] + WORDINGS["subjects"]["heldout"]
    for text in wordy:
        for subject in subjects:
            assert not (text.startswith(f"{subject} ") and text.removeprefix(f"{subject} ") in told), text
    for _, train, heldout in LISTS:
        assert not benchmark & set(train + heldout)


@pytest.mark.parametrize("style", STYLES)
def test_styles(style: str) -> None:
    """At least 15 further wordings and 4 reserved ones; these are not those of training, old or new."""
    table = WORDINGS["styles"][style]
    assert table.keys() <= {"adverb", "adjective", "subject", "manner", "look", "gait"}
    new = {part: [text for place in table.values() for text in place[part]] for part in ("train", "heldout")}
    assert len(set(new["train"])) >= 15 and len(set(new["heldout"])) >= 4
    old = {part: {text for place in STYLES[style].values() for text in place[part]} for part in ("train", "heldout")}
    assert not (old["train"] | set(new["train"])) & (old["heldout"] | set(new["heldout"]))
    for text in new["train"] + new["heldout"]:
        assert _blanks(text) <= AGREEING and text == " ".join(text.split()) and text.isascii()
    for place in ("adverb", "adjective", "manner"):
        for part in ("train", "heldout") if place in table else ():
            assert set(table[place][part]) <= set(style_phrases(style, place, part))


@pytest.mark.parametrize("label", CMU_CAPTIONS)
def test_captions_of_cmu_labels(label: str) -> None:
    """A dozen captions a label, none of which names a side that the label does not."""
    texts = {text.rstrip(".") for text in (*WORDINGS["cmu"][label], *CMU_CAPTIONS[label])}
    assert len(texts) >= 12
    sides = set(re.findall(r"\b(?:left|right)\b", label))
    for text in texts:
        assert set(re.findall(r"\b(?:left|right)\b", text)) <= sides and "#" not in text and text.isascii(), text
    assert not texts & {sentence["text"] for sentence in SENTENCES}


def test_plain_subjects_tell_no_style() -> None:
    told = {text for style in STYLES for text in style_phrases(style, "subject", "train")}
    assert not (told - {"a woman", "the woman", "a lady"}) & set(WORDINGS["subjects"]["train"])


def test_each_subject_has_its_pronouns() -> None:
    men = ("man", "boy", "guy", "he", "gentleman", "fellow", "bloke")
    women = ("actress", "woman", "girl", "lady", "she")
    for subject in WORDINGS["subjects"]["train"] + WORDINGS["subjects"]["heldout"]:
        they = pronouns(subject, random.Random(0))["they"]
        noun = subject.split()[-1]
        assert they == ("he" if noun in men else "she" if noun in women else "they"), subject
