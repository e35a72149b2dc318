"""Sentences put into the words that the shipped generators follow best, and those that are left alone."""

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences.wording import WORDINGS_FILE, Wordings
from lamp.prepare.mini import followed_wordings
from lamp.prepare.mini.followed_wordings import best_of, phrases_and_forms, recognised, sentences_of
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.scores.following.sentences import read_sentences
from tests.fuzzing import ODD, check, damaged, fuzz, hypothesis, st
from tests.test_pipeline import assemble, tiny_parts

SQUAT = "the figure sits down on its heels and rises"
KICK = "a person kicks with the {side} leg"


@pytest.fixture(scope="module")
def wordings() -> Wordings:
    known = phrases_and_forms(read_json(followed_wordings.TABLE))
    return Wordings(known["phrases"], {"squat": SQUAT}, {"kick": KICK}, known["forms"])


@pytest.mark.parametrize(
    "text",
    [
        "a person squats",
        "a man does a squat",
        "Somebody is squatting down.",
        "she squatted down and stood up",
        "an old robot slowly squats",
        "squat",
    ],
)
def test_an_action_is_told_in_other_words(wordings: Wordings, text: str) -> None:
    assert wordings.action_of(text) == "squat" and wordings.worded(text) == SQUAT


@pytest.mark.parametrize(
    "text",
    [
        "a person squats and throws a ball",
        "someone does squat jumps",
        "a person walks forward",
        "a person lifts a box",
        "squatters live in the house next to the old harbour",
        "the stock market fell by three percent",
        "",
        "?!",
        "a person squats " * 20,
    ],
)
def test_what_says_something_else_or_more_stays(wordings: Wordings, text: str) -> None:
    assert wordings.worded(text) == text


def test_a_side_is_kept_and_a_missing_one_chosen(wordings: Wordings) -> None:
    left, none = "he kicks with his left leg", "a man kicks"
    assert wordings.worded(left) == left and wordings.worded(none) == KICK.replace("{side}", "right")
    always = replace(wordings, followed={"kick": KICK})
    assert always.worded(left) == KICK.replace("{side}", "left")
    both = "he kicks with the left foot, then the right foot"
    assert wordings.worded(both) == always.worded(both) == both


def test_most_typed_sentences_are_recognised(wordings: Wordings) -> None:
    """Written without sight of the wordings; the numbers are those of docs/quality.md, with room below."""
    for part in ("dev", "test"):
        words = recognised(wordings, part).split()
        of, right, wrong = int(words[2]), int(words[7]), int(words[12])
        assert right > 0.7 * of > 150 and wrong < 0.06 * of


def test_hostile_sentences_take_no_time(wordings: Wordings) -> None:
    wordings.worded("a person squats")
    for text in ("squat " * 33, "s" * 200, "a" * 1_000_000, "é" * 150, "squats and " * 18):
        began = time.process_time()
        wordings.worded(text)
        assert time.process_time() - began < 0.2


def write(folder: Path, **changes: object) -> Path:
    found = {"phrases": {"squat": ["squat"]}, "followed": {"squat": SQUAT}, "without_side": {}, "forms": {}}
    (folder / WORDINGS_FILE).write_text(json.dumps({"masked": "abc"} | found | changes))
    return folder


def test_wordings_belong_to_weights(tmp_path: Path) -> None:
    assert Wordings.load(tmp_path, "masked@abc") is None
    write(tmp_path)
    found = Wordings.load(tmp_path, "masked@abc")
    assert found is not None and found.worded("a person squat") == SQUAT
    assert Wordings.load(tmp_path, "masked@abd") is None


@pytest.mark.parametrize("changes", [{"phrases": 1}, {"forms": {"a": 1}}, {"followed": None}, {"phrases": {"a": [2]}}])
def test_a_damaged_file_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match=WORDINGS_FILE):
        Wordings.load(write(tmp_path, **changes), "masked@abc")


@fuzz()
@hypothesis.given(st.data())
def test_files_of_any_content(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    good = read_json(write(folder) / WORDINGS_FILE)
    changed = st.dictionaries(st.sampled_from(sorted(good)), ODD, min_size=1).map(
        lambda changes: json.dumps(good | changes).encode()
    )
    content = data.draw(damaged(json.dumps(good).encode()) | changed)

    def use(path: Path) -> None:
        found = Wordings.load(path.parent, "masked@abc")
        if found is not None:
            found.worded("a person squats down to the left")

    check(use, folder / WORDINGS_FILE, content)


@pytest.fixture(scope="module")
def tiny() -> LaMPPipeline:
    return assemble(tiny_parts())


def test_a_motion_is_that_of_the_other_words(
    tiny: LaMPPipeline, wordings: Wordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, asked = "a man does a squat", []
    encode = tiny.text.__call__
    monkeypatch.setattr(tiny, "text", lambda texts: asked.append(list(texts)) or encode(texts))
    monkeypatch.setattr(tiny, "wordings", wordings)
    assert tiny(text, 40)[0].text == text
    tiny(text, 40, clauses=False)
    tiny.sequence([text, "a person runs"], [40, 40])
    tiny(f"{text}, then runs", 80, clauses=True)
    assert asked[0] == [SQUAT] and asked[1] == [text] and asked[2] == asked[3] == [SQUAT, "a person runs"]


def test_an_action_may_be_made_of_others_in_order(
    tiny: LaMPPipeline, wordings: Wordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, recipe = "a man lies down on the floor", "a person stands still > a person lies on the ground"
    asked: list[list[str]] = []
    encode = tiny.text.__call__
    monkeypatch.setattr(tiny, "text", lambda texts: asked.append(list(texts)) or encode(texts))
    monkeypatch.setattr(tiny, "wordings", replace(wordings, followed={"lie-down": recipe}))
    parts = ["a person stands still", "a person lies on the ground"]
    assert [part.whole for part in tiny.parts(f"{text}, then waves")] == [*parts, "a person waves"]
    (motion,) = tiny(text, 80, clauses=True)
    assert asked[-1] == parts and motion.text == motion.meta["prompt"] == text and len(motion) == 80
    for short, clauses in ((40, True), (80, False)):  # no time for both; as typed
        tiny(text, short, clauses=clauses)
        assert asked[-1] == [text]
    monkeypatch.setattr(tiny, "guidance", replace(tiny.guidance, clauses=True))
    (note,) = tiny.notes([text])
    assert recipe in note


def test_what_is_said_in_other_words_is_told(
    tiny: LaMPPipeline, wordings: Wordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.notes(["a man does a squat"]) == []
    monkeypatch.setattr(tiny, "wordings", wordings)
    (note,) = tiny.notes(["a man does a squat", "a person runs"])
    assert note.startswith("prompt 0: 'a man does a squat' is made as") and SQUAT in note
    assert tiny.notes(["a man does a squat, then runs"]) == []
    monkeypatch.setattr(tiny, "guidance", replace(tiny.guidance, clauses=True))
    (note,) = tiny.notes(["a man does a squat, then runs"])
    assert note.startswith("prompt 0: 'a man does a squat' is made as")


def test_the_search_asks_for_sentences_of_training_and_keeps_the_best(
    tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def followed(_pipe: object, texts: list[str], _test: object, seeds: range | list[int]) -> list[float]:
        asked.extend(texts)
        return [float(text.startswith("someone")) for text in texts]

    monkeypatch.setattr(followed_wordings, "followed", followed)
    found = best_of(tiny, "squat", {"squat": {}})
    assert found["text"].startswith("someone ") and found["rate"] == 1 > found["usual"] > 0
    assert len(set(asked[: followed_wordings.WIDE])) == followed_wordings.WIDE
    assert not any("{their}" in text or "*" in text for text in asked)


def test_no_sentence_of_the_benchmark_is_tried() -> None:
    benchmark = {sentence.text for sentence in read_sentences()}
    for action in read_json(followed_wordings.TABLE):
        sentences = sentences_of(action, 300, random.Random(0))
        tried = {text.replace("{side}", side) for text in sentences for side in ("left", "right")}
        assert len(sentences) > 100 and not tried & benchmark


def test_sides_are_judged_as_asked(tiny: LaMPPipeline) -> None:
    rates = followed_wordings.followed(tiny, [KICK, "a person runs"], {"kick": {"side": "left"}}, [1, 2])
    assert len(rates) == 2 and all(0 <= rate <= 1 for rate in rates)
