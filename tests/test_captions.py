"""Captions of the mini data set: labels, composition, mirroring, tables and the text file format."""

import hashlib
import random
import re

import pytest

from lamp.prepare.mini.captions import (
    Label,
    captions_for,
    captions_for_animated_drawings,
    captions_for_cmu,
    parse_bandai_name,
)
from lamp.prepare.mini.grammar import conjugate
from lamp.prepare.mini.tables import (
    ACTIONS,
    ANIMATED_DRAWINGS,
    CMU_CAPTIONS,
    CMU_CLIPS,
    CONTENTS,
    STYLE_NAMES,
    STYLES,
    SUBJECTS,
    Phrasing,
)
from lamp.prepare.texts import caption_line, mirror_caption, tag_captions
from lamp.utils import tagging
from lamp.utils.errors import UserError

LABELS = sorted({Label(c, style, side) for c, side in CONTENTS.values() for style in STYLES}, key=lambda x: x.key)
GOLDEN_DIGEST = "0549f914e62eb9f123fdbd12105981c8a5e3079c576dd98c7cdb06952eac38fa"
SMALL_WORDS = set(
    "a an and as at back both for forward from hand hands her his if in into it of on one or the to".split()
)
SMALL_WORDS |= set(
    "their them then they two up was were while with without like someone ahead out look looking".split()
)


def _words(phrase: str) -> set[str]:
    return set(re.findall(r"[a-z']+", re.sub(r"\{\w+\}", "", phrase))) - SMALL_WORDS


@pytest.mark.parametrize(
    ("stem", "label"),
    [
        ("dataset-2_wave-left-hand_youthful_001", Label("wave", "youthful", "left")),
        ("dataset-2_raise-up-both-hands_exhausted_039", Label("raise-up", "exhausted", "both")),
        ("dataset-2_walk-turn-right_masculine_030", Label("walk-turn", "masculine", "right")),
        ("dataset-1_walk-left_tired_001", Label("walk-diagonal", "exhausted", "left")),
        ("dataset-1_walk-back_old_001", Label("walk-back", "elderly")),
        ("dataset-1_walk_masculinity_002", Label("walk", "masculine")),
        ("dataset-1_bye_not-confident_001", Label("bye", "not-confident", "right")),
        ("dataset-1_byebye_proud_001", Label("byebye", "proud", "both")),
        ("dataset-1_dance-short_normal_001", Label("dance", "normal")),
    ],
)
def test_parse(stem: str, label: Label) -> None:
    assert parse_bandai_name(stem) == label


def test_parse_every_name_pattern() -> None:
    for content in CONTENTS:
        for style in {*STYLES, *STYLE_NAMES}:
            assert parse_bandai_name(f"dataset-1_{content}_{style}_007").style in STYLES
    assert Label("wave", "youthful", "left").key == "wave_left_youthful"
    assert len({label.key for label in LABELS}) == len(LABELS)


@pytest.mark.parametrize(
    "stem", ["walk", "dataset-1_fly_normal_001", "dataset-1_walk_odd_001", "dataset-3_walk_old_001"]
)
def test_parse_refuses(stem: str) -> None:
    with pytest.raises(UserError, match=stem):
        parse_bandai_name(stem)


@pytest.mark.parametrize("phrasing", ["train", "heldout"])
def test_sides_are_always_said_and_never_wrong(phrasing: Phrasing) -> None:
    for label in LABELS:
        for found in (label, label.mirrored()):
            for caption in captions_for(found, random.Random(0), 20, phrasing=phrasing, style_probability=1.0):
                said = set(re.findall(r"\b(left|right)(?:wards)?\b", caption))
                assert said == ({found.side} if found.side in ("left", "right") else set()), caption
                assert mirror_caption(mirror_caption(caption)) == caption
                assert re.fullmatch(r"[a-z0-9' ,.-]+", caption) and "  " not in caption, caption
    assert Label("wave", "sad", "left").mirrored().mirrored() == Label("wave", "sad", "left")
    assert Label("wave", "sad", "both").mirrored() == Label("wave", "sad", "both")


def test_captions_are_many_and_repeatable() -> None:
    for label in LABELS:
        assert len(set(captions_for(label, random.Random(1), 12))) == 12
    label = Label("wave", "elderly", "left")
    assert captions_for(label, random.Random(3), 50) == captions_for(label, random.Random(3), 50)
    assert captions_for(label, random.Random(3), 50) != captions_for(label, random.Random(4), 50)
    assert len(set(captions_for(label, random.Random(1), 400))) == 400


def test_captions_are_those_of_the_shipped_models() -> None:
    """Digest of every kind of caption for fixed seeds, so that a rebuilt data set is the one that was trained on."""
    found = []
    for label in LABELS:
        for seed in range(3):
            found += captions_for(label, random.Random(seed), 6)
            found += captions_for(label, random.Random(seed), 3, phrasing="heldout", style_probability=1.0)
    found += [text for label in CMU_CAPTIONS for text in captions_for_cmu(label, random.Random(label), 6)]
    found += [text for stem in ANIMATED_DRAWINGS for text in captions_for_animated_drawings(stem)]
    assert hashlib.sha256("\n".join(found).encode()).hexdigest() == GOLDEN_DIGEST


def test_style_probability() -> None:
    label = Label("walk", "exhausted")
    plain = {re.sub(r"\*(\w+)", r"\1", phrase) for phrase in ACTIONS["walk"]["train"]}
    told = captions_for(label, random.Random(0), 300, style_probability=1.0)
    assert not any(re.sub(r"^(\w+ )?\w+ |\.$", "", caption) in plain for caption in told)
    assert all(re.search(r"tired|exhaust|wear|worn|energy", caption) for caption in told)
    untold = captions_for(label, random.Random(0), 100, style_probability=0.0)
    assert not any(re.search(r"tired|exhaust|wear|worn|energy", caption) for caption in untold)


def test_heldout_wordings_are_new() -> None:
    kinds = [SUBJECTS, *ACTIONS.values(), *(kind for style in STYLES.values() for kind in style.values())]
    for wordings in kinds:
        known = set().union(*map(_words, wordings["train"]))
        for phrase in wordings["heldout"]:
            assert phrase not in wordings["train"]
            assert _words(phrase) - known, f"'{phrase}' says nothing new"
    for style in STYLES.values():
        trained = {phrase for kind in style.values() for phrase in kind["train"]}
        assert not trained & {phrase for kind in style.values() for phrase in kind["heldout"]}
    for label in LABELS:
        trained = set(captions_for(label, random.Random(0), 100))
        assert not trained & set(captions_for(label, random.Random(0), 20, phrasing="heldout", style_probability=1.0))


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("a man turns left.", "a man turns right."),
        ("Left, then RIGHT", "Right, then LEFT"),
        ("edges leftwards, left-hand up, righthand down", "edges rightwards, right-hand up, lefthand down"),
        ("leaves a bright room, upright", "leaves a bright room, upright"),
        ("is all right and goes right away", "is all right and goes right away"),
        ("walks clockwise", "walks counterclockwise"),
        ("walks in a counterclockwise circle", "walks in a clockwise circle"),
        ("Counter-clockwise or anticlockwise", "Clockwise or clockwise"),
        ("first counter clockwise, then the rightmost one", "first clockwise, then the leftmost one"),
    ],
)
def test_mirror_caption(text: str, mirrored: str) -> None:
    assert mirror_caption(text) == mirrored
    if "ounter" not in text and "anti" not in text:
        assert mirror_caption(mirrored) == text


def test_cmu_captions() -> None:
    for label, table in CMU_CAPTIONS.items():
        found = captions_for_cmu(label, random.Random(0), 3)
        assert len(set(found)) == 3 and len(table) >= 4
        for caption in table:
            assert set(re.findall(r"\b(?:left|right)\b", caption)) == set(re.findall(r"\b(?:left|right)\b", label))
    assert len(captions_for_cmu("walk", random.Random(0), 30)) == 30
    with pytest.raises(UserError, match="tap dance"):
        captions_for_cmu("tap dance", random.Random(0), 3)


def test_animated_drawings_captions() -> None:
    for stem in ("dab", "jumping", "wave_hello", "zombie", "jumping_jacks", "jesse_dance"):
        assert captions_for_animated_drawings(stem) == list(ANIMATED_DRAWINGS[stem])
        assert len(captions_for_animated_drawings(stem, random.Random(0), 3)) == 3
    with pytest.raises(UserError, match="moonwalk"):
        captions_for_animated_drawings("moonwalk")


def test_cmu_clips_have_captions() -> None:
    for name, clip in CMU_CLIPS.items():
        assert re.fullmatch(r"\d\d+_\d\d", name) and clip["label"] in CMU_CAPTIONS
        if set(clip) != {"label"}:
            assert 0 <= clip["start"] < clip["end"] and re.fullmatch(r"\d{6}", clip["humanml3d_clip"])
    assert sum(len(clip) > 1 for clip in CMU_CLIPS.values()) == 22


def test_no_caption_breaks_a_line() -> None:
    for table in (*CMU_CAPTIONS.values(), *ANIMATED_DRAWINGS.values()):
        assert not any("#" in caption or "\n" in caption for caption in table)
    assert (
        caption_line("a #1 man\nwalks", "a/DET man/NOUN walk/VERB") == "a 1 man walks#a/DET man/NOUN walk/VERB#0.0#0.0"
    )
    assert caption_line("x", "x/X", 1.5, 3).endswith("#1.5#3.0")


@pytest.mark.parametrize(
    ("verb", "present", "continuous", "past"),
    [
        ("walk", "walks", "walking", "walked"),
        ("wave", "waves", "waving", "waved"),
        ("punch", "punches", "punching", "punched"),
        ("hurry", "hurries", "hurrying", "hurried"),
        ("run", "runs", "running", "ran"),
    ],
)
def test_conjugate(verb: str, present: str, continuous: str, past: str) -> None:
    assert [conjugate(verb, form) for form in ("present", "progressive", "past")] == [present, continuous, past]


def test_tag_captions() -> None:
    pytest.importorskip("spacy")
    if not any(map(tagging.is_installed, tagging.SPACY_MODELS)):
        pytest.skip("spaCy's English model is not installed")
    tagged = tag_captions(["a man was walking counter-clockwise and he jumped.", "", "the person turned left"])
    assert tagged[0].split()[:4] == ["a/DET", "man/NOUN", "was/AUX", "walk/VERB"]
    assert tagged[0].split()[4].startswith("counterclockwise/") and tagged[0].endswith("jump/VERB")
    assert tagged[1] == ""
    assert tagged[2].split()[2] == "turn/VERB" and tagged[2].split()[3].startswith("left/")


def test_missing_model_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spacy")
    monkeypatch.setattr(tagging, "is_installed", lambda name: False)
    tagging.load_spacy.cache_clear()
    with pytest.raises(UserError, match="python -m spacy download en_core_web_sm"):
        tag_captions(["a man walks"])
    tagging.load_spacy.cache_clear()
