"""Motions that are made anew where joints do not show what the sentence says."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import puppet
import pytest
import torch
from torch import Tensor

from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences import checks
from lamp.models.sentences.checks import TRIES, Check, until_passed
from lamp.models.sentences.understanding import wording_notes
from lamp.models.sentences.wording import Wordings
from lamp.prepare.mini.followed_wordings import actions, phrases_and_verbs
from lamp.utils.motion import Motion
from lamp.utils.scores.following.body import Body
from tests.test_pipeline import assemble, tiny_parts

KICK = Check("he kicks", "kick", {"kick": {}}, False)
TESTS = {
    "kick": {"test": {"kick": {"side": "left"}}, "upright": False},
    "squat": {"test": {"squat": {}}, "upright": True},
    "wave": {"test": {"all": [{"wave": {"side": "left"}}, {"in_place": {}}]}, "upright": False},
}
AGAIN = {
    "kick": ["someone kicks hard with the {side} leg"],
    "squat": ["someone squats", "the man goes down into a squat"],
}


@pytest.fixture(scope="module")
def wordings() -> Wordings:
    known = phrases_and_verbs(actions())
    return Wordings(known["phrases"], {}, {}, [], known["verbs"], known["same"], AGAIN, TESTS)


@pytest.fixture
def tiny(wordings: Wordings) -> LaMPPipeline:
    pipe = assemble(tiny_parts())
    pipe.wordings = wordings
    return pipe


def judge(monkeypatch: pytest.MonkeyPatch, passes: Callable[[str], bool]) -> None:
    """Let checks depend on their sentence alone."""
    monkeypatch.setattr(Check, "passes", lambda check, body: passes(check.sentence))


def test_what_fails_is_made_anew_and_the_first_that_passes_is_taken() -> None:
    calls: list[tuple[list[int], list[int]]] = []

    def make(rows: list[int], numbers: list[int]) -> list[tuple[int, int]]:
        calls.append((rows, numbers))
        return list(zip(rows, numbers))

    good = {(0, 1), (1, 3), (1, 4)}
    made, tried = until_passed([KICK, KICK, None, KICK], make, lambda _, one: one in good)
    assert made == [(0, 1), (1, 3), (2, 1), (3, 1)]
    assert calls == [([0, 1, 2, 3], [1] * 4), ([1, 1, 3, 3], [2, 3, 2, 3]), ([3, 3, 3], [4, 5, 6])]
    told = [own and (own["tries"], own["passed"]) for own in tried]
    assert told == [(1, True), (3, True), None, (TRIES, False)]


def test_what_is_asked_of_a_sentence(wordings: Wordings) -> None:
    left, right = ({"kick": {"side": side}} for side in ("left", "right"))
    asked = {
        "a person kicks with the left leg": left,
        "a person kicks with the right leg": right,
        "a person kicks": {"any": [left, right]},
        "a person squats": {"squat": {}},
        "he kicks with the left leg twice": {"kick": {"side": "left", "times": 2}},
    }
    for text, test in asked.items():
        check = wordings.check_of(text)
        assert check is not None and check.test == test and check.sentence == text
        assert check.upright == (check.action == "squat")
    for other in ("he kicks with both legs", "he does not kick", "he waves three times", "he kicks and squats"):
        assert wordings.check_of(other) is None
    assert checks.test_of_side({"squat": {}}, None) == {"squat": {}}


def test_some_further_tries_are_in_other_words(wordings: Wordings) -> None:
    told = {
        "a person kicks": ["someone kicks hard with the right leg"],
        "he kicks with the left leg": ["someone kicks hard with the left leg"],
        "he kicks with both legs": ["he kicks with both legs"],
        "he squats": ["someone squats", "the man goes down into a squat"],
        "he squats to the left": ["he squats to the left"],
        "he squats twice": ["he squats twice"],
        "he runs": ["he runs"],
    }
    assert {text: wordings.worded_otherwise(text) for text in told} == told
    reworded = replace(wordings, followed={"squat": "someone squats"})
    assert reworded.worded("he squats") == "someone squats"
    assert reworded.worded_otherwise("he squats") == ["the man goes down into a squat", "he squats"]


def test_other_words_take_turns(tiny: LaMPPipeline, wordings: Wordings) -> None:
    tiny.wordings = wordings
    one, two = "someone squats", "the man goes down into a squat"
    assert [tiny.in_try("he squats", number) for number in range(1, TRIES + 1)] == [
        *("he squats", one, "he squats", two, "he squats", one)
    ]


def test_the_words_of_the_motion_that_is_kept_are_told(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    text, other = "a person kicks", "someone kicks hard with the right leg"
    texts: list[list[str]] = []
    encode = tiny.text.__call__
    monkeypatch.setattr(tiny, "text", lambda asked: texts.append(list(asked)) or encode(asked))
    for passing in (2, 3, 9):
        texts.clear()
        count = itertools.count(1)
        monkeypatch.setattr(Check, "passes", lambda *_, count=count, passing=passing: next(count) == passing)
        (motion,) = tiny(text, 40)
        assert motion.meta["checks"][0]["passed"] == (passing < 9)
        assert motion.meta.get("wording") == ({text: other} if passing == 2 else None)
        assert texts == [[text], [other, text], [other, text, other]][: 3 if passing == 9 else 2]


def test_who_turns_over_is_not_upright() -> None:
    standing = Body.of(puppet.walking(60))
    turned = puppet.walking(60).copy()
    turned[20:40, :, 1] *= -1
    check = Check("", "walk", {"in_place": {}}, True)
    assert standing.upright and not Body.of(turned).upright
    assert not check.passes(Body.of(turned))


def test_a_motion_says_how_often_it_was_tried(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a person kicks"
    judge(monkeypatch, lambda _: True)
    (first,), (typed,) = tiny(text, 40), tiny(text, 40, clauses=False)
    assert np.array_equal(first.joints, typed.joints) and "checks" not in typed.meta and not wording_notes([first])
    assert first.meta["checks"] == [{"sentence": text, "action": "kick", "tries": 1, "passed": True}]
    judge(monkeypatch, lambda _: False)
    (failed,) = tiny(text, 40)
    assert np.array_equal(failed.joints, first.joints)  # none is better
    assert failed.meta["checks"] == [{"sentence": text, "action": "kick", "tries": TRIES, "passed": False}]
    (note,) = wording_notes([failed, failed])
    assert note.startswith("'a person kicks'")


def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let bodies pass by their joints, about half of them."""
    monkeypatch.setattr(Check, "passes", lambda _, body: round(1e4 * float(np.abs(body.joints).mean())) % 2 == 0)


def test_company_changes_nothing(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    texts = ["a person kicks", "a person runs", "a person squats", "someone kicks with the left leg", "he squats"]
    together = tiny(texts, 40, seed=3, alone=True)
    assert len({own["tries"] for motion in together for own in motion.meta.get("checks", ())}) > 1
    for text, motion in zip(texts, together):
        (single,) = tiny(text, 40, seed=3, alone=True)
        assert np.array_equal(single.joints, motion.joints) and single.meta == motion.meta


@pytest.mark.parametrize("best_of", [1, 2])
def test_parts_are_checked(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch, best_of: int) -> None:
    seen: list[str] = []
    judge(monkeypatch, lambda sentence: bool(seen.append(sentence)) or "kick" not in sentence)
    text, parts = "a person kicks, then squats, then runs", ["a person kicks", "a person squats"]
    motions: list[Motion] = tiny(text, 120, clauses=True, best_of=best_of)
    motions.append(tiny.sequence([*parts, "a person runs"], [40, 40, 40]))
    for motion in motions:
        told = {own["sentence"]: (own["tries"], own["passed"]) for own in motion.meta["checks"]}
        assert told == {parts[0]: (TRIES, False), parts[1]: (1, True)}
    assert seen.count(parts[0]) == TRIES * (best_of + 1) and seen.count(parts[1]) == best_of + 1
    seen.clear()
    tiny("a person squats while waving with the right hand", 80, clauses=True)
    assert seen[0] == "a person squats"


def test_arms_are_made_anew_until_the_body_shows_them(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    text, arms = "a person squats while waving with the right hand", "a person is waving with the right hand"
    tiny.wordings = replace(tiny.wordings, tests={"wave": {"test": {"wave": {"side": "left"}}, "upright": True}})
    asked: list[tuple[str, bool]] = []
    clips: list[Tensor] = []

    def with_arms(_editor: object, body: Tensor, clip: Tensor, _how: object) -> Tensor | None:
        clips.append(clip)
        return body if len(clips) > 1 else None

    def passes(check: Check, body: Body) -> bool:
        asked.append((check.sentence, check.upright))
        return len(asked) == 2

    monkeypatch.setattr(tiny, "_with_arms", with_arms)
    monkeypatch.setattr(Check, "passes", passes)
    tiny(text, 80, clauses=True)
    # The first clip has no arms to take, the second one does not show, the third one does.
    assert len(clips) == 3 and asked == [(arms, False)] * 2
    assert not any(torch.equal(clips[0], other) for other in clips[1:])
