"""Sentences put into the words that the shipped generators follow best, and those that are left alone."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences.understanding import wording_notes
from lamp.models.sentences.wording import WORDINGS_FILE, Wordings
from lamp.prepare.mini import followed_wordings
from lamp.prepare.mini.followed_wordings import (
    LENGTHS,
    Asked,
    Found,
    actions,
    best_of,
    in_lines,
    others_of,
    phrases_and_verbs,
    recognised,
    rewording,
    search,
    sentences_of,
)
from lamp.stages.motion_output import warn_of
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.scores.following.sentences import read_sentences
from tests.fuzzing import ODD, check, damaged, fuzz, hypothesis, st
from tests.test_pipeline import assemble, tiny_parts

SQUAT = "the figure sits down on its heels and rises"
KICK = "a person kicks with the {side} leg"


@pytest.fixture(scope="module")
def wordings() -> Wordings:
    known = phrases_and_verbs(actions())
    tests = {"kick": {"test": {"kick": {"side": "left"}}, "upright": False}}
    return Wordings(known["phrases"], {"squat": SQUAT}, {"kick": KICK}, [], known["verbs"], known["same"], {}, tests)


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
        "a person doesn't squat",
        "a person doesn\u2019t squat",
        "nobody squats",
        "a person squats for three seconds",
        "a swimming man squats",
        "on the horse a man squats",
        "a person squats backwards",
        "the squat",
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


def test_who_does_it_is_kept_where_most_wordings_work(wordings: Wordings) -> None:
    plain, angry = "a man squats down", "an angry man squats down"
    assert wordings.worded(angry) == SQUAT
    careful = replace(wordings, plain=["squat"])
    assert careful.worded(plain) == SQUAT and careful.worded(angry) == angry


def test_most_typed_sentences_are_recognised(wordings: Wordings) -> None:
    """Written without sight of the wordings; the numbers are those of docs/quality.md, with room below."""
    for part in ("dev", "test"):
        found = recognised(wordings, part)
        assert found.right > 0.7 * found.count > 150 and found.wrong < 0.06 * found.count


def test_a_sentence_is_told_alike_in_every_process() -> None:
    """The mean of these is 0.5 up to rounding; sets of strings have another order in every process."""
    texts = ["a person vault skyward", "a person crack up", "a person dismount a crate", "a person wield a rapier"]
    code = (
        "from lamp.prepare.mini.followed_wordings import Wordings, actions, phrases_and_verbs;"
        "known = phrases_and_verbs(actions());"
        "told = Wordings(known['phrases'], {}, {}, [], known['verbs'], known['same'], {}, {});"
        f"print([told.action_of(text) for text in {texts}])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(said) == 1


def test_hostile_sentences_take_no_time(wordings: Wordings) -> None:
    wordings.worded("a person squats")
    for text in ("squat " * 33, "s" * 200, "a" * 1_000_000, "é" * 150, "squats and " * 18):
        began = time.process_time()
        wordings.worded(text)
        assert time.process_time() - began < 0.2


MODELS = ("masked@abc", "residual@def")


def write(folder: Path, **changes: object) -> Path:
    found = {"phrases": {"squat": ["squat", "squat down"]}, "verbs": {"squat": ["squats"]}, "same": {}}
    found |= {"models": ["abc", "def"], "followed": {"squat": SQUAT}, "without_side": {}, "plain": []}
    found |= {"again": {"squat": [SQUAT]}, "tests": {"squat": {"test": {"squat": {}}, "upright": False}}}
    (folder / WORDINGS_FILE).write_text(json.dumps(found | changes))
    return folder


def test_wordings_belong_to_weights(tmp_path: Path) -> None:
    assert Wordings.load(tmp_path, *MODELS) is None
    write(tmp_path)
    found = Wordings.load(tmp_path, *MODELS)
    assert found is not None and found.worded("a person squats") == SQUAT
    for others in (("masked@abd", "residual@def"), ("masked@abc", "residual@abc"), ("masked@abc",)):
        assert Wordings.load(tmp_path, *others) is None


def test_the_shipped_wordings_are_those_of_the_shipped_models() -> None:
    pipe = LaMPPipeline.from_pretrained()
    assert pipe.wordings is not None and len(pipe.wordings.followed) > 15
    wordings = {text.replace("{side}", "right") for text in pipe.wordings.followed.values()}
    for text in wordings:
        assert all(pipe.worded(part) in {part, *wordings} for part in text.split(" > "))
    assert pipe.worded("a person waves") != "a person waves"
    runs = LaMPPipeline.from_runs(Path(str(pipe.source)), "masked", "residual", length_name="length")
    assert runs.wordings is not None and runs.wordings.identity == pipe.wordings.identity


@pytest.mark.parametrize(
    "changes",
    [
        {"phrases": 1},
        {"phrases": {}},
        {"phrases": {"a": [2]}},
        {"phrases": {"squat": "squat"}},
        {"verbs": {"a": 1}},
        {"followed": None},
        {"followed": {"squat": ["a", "b"]}},
        {"followed": {"squat": "  "}},
        {"followed": {"squat": "a >  > b"}},
        {"followed": {"squat": "\ud800 x"}},
        {"same": {"squats": ["squat"]}},
        {"plain": "a"},
        {"tests": []},
        {"tests": {"squat": {"test": {"squat": {}}}}},
        {"tests": {"squat": {"test": {"fly": {}}, "upright": True}}},
        {"tests": {"squat": {"test": {"squat": {"by": 3}}, "upright": True}}},
        {"tests": {"squat": {"test": {"squat": {}}, "upright": "yes"}}},
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match=WORDINGS_FILE):
        Wordings.load(write(tmp_path, **changes), *MODELS)


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
        found = Wordings.load(path.parent, *MODELS)
        if found is not None:
            found.worded("a person squats down to the left")
            found.check_of("a person squats down to the left")
            assert found.worded_otherwise("a person squats")

    check(use, folder / WORDINGS_FILE, content)


@pytest.fixture(scope="module")
def tiny() -> LaMPPipeline:
    return assemble(tiny_parts())


@pytest.fixture
def asked(tiny: LaMPPipeline, wordings: Wordings, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Sentences of each call of the text encoder of `tiny`, which has the wordings."""
    calls: list[list[str]] = []
    encode = tiny.text.__call__
    monkeypatch.setattr(tiny, "text", lambda texts: calls.append(list(texts)) or encode(texts))
    monkeypatch.setattr(tiny, "wordings", wordings)
    return calls


def test_a_motion_is_that_of_the_other_words(tiny: LaMPPipeline, asked: list[list[str]]) -> None:
    text, other = "a man does a squat", "a person runs"
    (motion,), (typed,) = tiny(text, 40), tiny(text, 40, clauses=False)
    assert asked == [[SQUAT], [text]]
    assert motion.text == typed.text == text and motion.meta["wording"] == {text: SQUAT} and "wording" not in typed.meta
    asked.clear()
    made = [tiny.sequence([text, other], [40, 40]), *tiny(f"{text}, then runs", 80, clauses=True)]
    assert asked == [[SQUAT, other], [SQUAT, other]] and all(one.meta["wording"] == {text: SQUAT} for one in made)
    asked.clear()
    edited = tiny.edit(motion, text, (8, 24))
    assert asked == [[SQUAT]] and edited.meta["wording"] == {text: SQUAT}
    assert wording_notes([motion, typed, *made, edited]) == wording_notes([motion])
    assert wording_notes([motion])[0].startswith("'a man does a squat' was made as")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("someone claps", ["claps"]),
        ("He shrugs and walks off.", ["shrugs"]),
        ("a man swam, then he waves and eats", ["swam", "eats"]),
        ("she stands up on tiptoe", []),
        ("he runs and then slows to a walk", []),
        ("the clap of a hand", []),
        ("clap twice", ["clap"]),
        ("he takes a long ride", []),
        ("she gives him a big hug", []),
        ("the old cook walks", []),
        ("he stands with folded arms", []),
        ("he does not clap", []),
        ("he walks without touching the wall", []),
        ("he fell and got up", []),
        ("a figure kneels down", []),
        ("", []),
    ],
)
def test_verbs_that_no_phrase_has_are_found(wordings: Wordings, text: str, words: list[str]) -> None:
    assert wordings.unknown_verbs(text) == words


def test_hardly_a_sentence_of_a_known_action_has_an_unknown_verb(wordings: Wordings) -> None:
    typed = [text for entry in read_json(followed_wordings.TYPED) if entry["means"] for text in entry["test"]]
    found = [text for text in typed if wordings.unknown_verbs(text)]
    assert len(found) <= 0.01 * len(typed)


def test_an_unknown_action_is_told() -> None:
    pipe = LaMPPipeline.from_pretrained()
    (note,) = pipe.notes(["a person walks", "someone claps"])
    assert note.startswith("prompt 1 ('someone claps'): the models learnt no action that is called 'claps'")


def test_what_is_like_no_caption_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    pipe = LaMPPipeline.from_pretrained()
    warn_of(pipe, ["a person walks", "eine Frau geht vorwärts und winkt"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: prompt 1 ('eine Frau") and line.endswith("so the motion is a guess")


def test_what_arms_do_besides_is_not_lost(tiny: LaMPPipeline, asked: list[list[str]]) -> None:
    text = "a person squats while waving with the right hand"
    tiny(text, 80, clauses=True)
    assert any(SQUAT in call for call in asked) and asked[-1] == [text]


def test_an_action_may_be_made_of_others_in_order(
    tiny: LaMPPipeline, wordings: Wordings, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, recipe = "a man lies down on the floor", "a person stands still > a person lies on the ground"
    monkeypatch.setattr(tiny, "wordings", replace(wordings, followed={"lie-down": recipe}))
    parts = ["a person stands still", "a person lies on the ground"]
    (motion,) = tiny(text, 80, clauses=True)
    assert asked[-1] == parts and motion.text == motion.meta["prompt"] == text and len(motion) == 80
    assert motion.meta["wording"] == {text: recipe}
    for short, clauses in ((40, True), (80, False)):  # no time for both; as typed
        (motion,) = tiny(text, short, clauses=clauses)
        assert asked[-1] == [text] and "wording" not in motion.meta
    long = f"{text}, then waves"
    assert [[part.whole for part in way] for way in tiny.divisions(long)] == [
        [*parts, "a person waves"],
        [text, "a person waves"],
    ]
    (motion,) = tiny(long, 60, clauses=True)  # no time for three, but for two
    assert [own[0] for own in motion.meta["sentences"]] == [text, "a person waves"] and "wording" not in motion.meta


def test_what_is_near_an_action_is_tried() -> None:
    with_drinks = sentences_of(["phone", "drink"], 300, random.Random(0))
    assert {"drink", "phone"} <= {word for text in with_drinks for word in text.split()}


def test_the_search_asks_for_sentences_of_training_and_keeps_the_best(
    tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def followed(
        _pipe: object, texts: list[str], _: object, seeds: list[int], lengths: tuple[int, ...] = LENGTHS
    ) -> np.ndarray:
        asked.extend(texts)
        passed = [float(text.startswith("someone")) for text in texts]
        return np.tile(np.array(passed)[:, None, None], (1, len(lengths), len(seeds)))

    monkeypatch.setattr(followed_wordings, "followed", followed)
    found = best_of(tiny, "squat", Asked({"squat": {}}))
    assert found.text.startswith("someone ") and found.rate == 1 > found.usual > 0 and found.gains and not found.again
    count = followed_wordings.WIDE[0][0]
    assert len(set(asked[:count])) == count
    assert not any("{their}" in text or "*" in text for text in asked)


def test_others_are_followed_where_the_best_one_is_not(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """By length: one that adds nothing is left out, though it is followed more often."""
    chances = {"best": [1, 1, 1, 0, 0], "like it": [1, 1, 1, 0, 0], "longest": [0, 0, 0, 0, 1], "worse": [0] * 5}
    chances |= {"long": [0, 0, 0, 1, 1], "in > order": [1, 1, 1, 1, 1]}

    def followed(_pipe: object, texts: list[str], _: object, seeds: list[int]) -> np.ndarray:
        return np.array([[[float(own)] * len(seeds) for own in chances[text]] for text in texts])

    monkeypatch.setattr(followed_wordings, "followed", followed)
    deep = followed(None, list(chances), None, [1, 2])
    assert others_of(tiny, Asked({"squat": {}}), "best", list(chances), deep) == ["long"]
    chances["long"][4] = 0
    deep = followed(None, list(chances), None, [1, 2])
    assert others_of(tiny, Asked({"squat": {}}), "best", list(chances), deep) == ["longest", "long"]
    assert Found("best", 0.6, 0.1, ["long"]).again == ["long"]
    assert Found("best", 0.6, 0.5, ["long"]).again == ["best", "long"]


def test_a_search_goes_on_and_its_file_is_read(
    tiny: LaMPPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    results = {"squat": Found(SQUAT, 1.0, 0.4, [KICK]), "kick": Found(KICK, 1.0, 0.9, [])}
    results["jump"] = Found("he jumps", 0.9, 0.6, [])
    monkeypatch.setattr(followed_wordings, "best_of", lambda _pipe, action, _: tried.append(action) or results[action])
    table = {action: asked for action, asked in actions().items() if action in results}
    for _ in range(2):
        assert search(tiny, table, tmp_path / "state") == {action: results[action] for action in table}
    assert sorted(tried) == sorted(results)
    text = in_lines({"models": ["abc", "def"], **rewording(results, table)})
    (tmp_path / WORDINGS_FILE).write_text(text)
    found = Wordings.load(tmp_path, *MODELS)
    assert found is not None and found.plain == ["jump"] and found.without_side == {"kick": KICK}
    assert found.again == {"squat": [KICK], "kick": [KICK]}
    assert found.followed == {"squat": SQUAT, "jump": "he jumps"} and max(map(len, text.splitlines())) < 6000


def test_no_sentence_of_the_benchmark_is_tried() -> None:
    benchmark = {sentence.text for sentence in read_sentences()}
    for action, asked in actions().items():
        sentences = sentences_of([action, *asked.near], 300, random.Random(0))
        tried = {text.replace("{side}", side) for text in sentences for side in ("left", "right")}
        assert len(sentences) > 100 and not tried & benchmark


def test_sides_are_judged_as_asked(tiny: LaMPPipeline) -> None:
    passed = followed_wordings.followed(tiny, [KICK, "a person runs"], Asked({"kick": {"side": "left"}}), [1, 2])
    assert passed.shape == (2, len(LENGTHS), 2) and set(passed.flatten()) <= {0.0, 1.0}
    assert followed_wordings.rates(passed) == passed.mean(axis=(1, 2)).tolist()
