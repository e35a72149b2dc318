"""Sentences that say one thing after the other: how they are divided, and the one motion that their parts become."""

import time
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from tqdm import tqdm

from lamp.data.motion import TextMotionBatch
from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences.clauses import clauses
from lamp.models.sequences import Told, in_groups, shares
from lamp.models.t2m.token_maker import Guidance
from lamp.options.corpora.bulk import BulkOptions
from lamp.options.eval import EvalT2MOptions
from lamp.options.gen import EditOptions, GenOptions
from lamp.stages.t2m_evaluation import Generator
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from tests.test_pipeline import assemble, tiny_parts

WORDINGS = Path(__file__).resolve().parent.parent / "prepare" / "mini" / "wordings.json"
ORDERED = "a person walks, then waves"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a person walks forward, then bows", ["a person walks forward", "a person bows"]),
        ("he runs and then slows to a walk", ["he runs", "a person slows to a walk"]),
        ("A person walks. He bows.", ["A person walks", "He bows"]),
        ("a fighter kicks and after that punches", ["a fighter kicks", "a person punches"]),
        ("a man walks, stops, and waves", ["a man walks", "a person stops", "a person waves"]),
        ("someone stands up from a seat and walks away", ["someone stands up from a seat", "a person walks away"]),
        ("a person walks before sitting down", ["a person walks", "a person is sitting down"]),
        ("a person walks, followed by waving", ["a person walks", "a person is waving"]),
        ("After walking forward, he sits down.", ["a person is walking forward", "he sits down"]),
        ("after a bow, she waves with both hands", ["a person bows", "she waves with both hands"]),
        ("After a quick jump the man runs away", ["a person jumps", "the man runs away"]),
        ("after the jump of the day he sits", ["after the jump of the day he sits"]),
        ("after a walk in the park, he sits down", ["after a walk in the park, he sits down"]),
        ("he walks and then breaks into a run", ["he walks", "a person runs"]),
        ("he walks, turns around and walks back", ["he walks, turns around and walks back"]),
        ("he turns around, then walks backwards", ["he turns around", "a person walks backwards"]),
        ("he waves after walking", ["a person is walking", "he waves"]),
        ("first, a man jumps; second, he squats", ["a man jumps", "he squats"]),
        ("walk forward, then bow", ["walk forward", "bow"]),
        ("she lifts the left hand, then the right one", ["she lifts the left hand", "she lifts the right one"]),
        ("a person turns left, then right", ["a person turns left", "a person turns right"]),
        ("he goes backward first and forward afterwards", ["he goes backward", "he goes forward"]),
        ("he jumps, then again", ["he jumps", "he jumps"]),
        ("he bows, but first walks", ["walks", "he bows"]),
        ("before sitting down, a man walks", ["a man walks", "a person is sitting down"]),
        ("He bows. Before that he walks.", ["he walks", "He bows"]),
        ("she starts by walking and ends by waving", ["she is walking", "a person is waving"]),
        ("walks, then, after a moment, sits", ["walks", "a person sits"]),
        ("a man sits down and stands up", ["a man sits down", "a person stands up"]),
        ("he walks before slowly sitting down", ["he walks", "a person is slowly sitting down"]),
        ("someone walked, turned around, and ran", ["someone walked", "a person turned around", "a person ran"]),
        ("he walks, bows, and then waves", ["he walks", "a person bows", "a person waves"]),
    ],
)
def test_words_of_order_divide_a_sentence(text: str, parts: list[str]) -> None:
    assert clauses(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "a person walks forward and waves with the right hand",
        "a person walks while waving",
        "she stands next to a wall and waves",
        "he bows before the king",
        "he runs after a ball",
        "the person then sits",
        "first the right hand goes up, later the left one",
        "a person walks, arms swinging, and whistles",
        "a person walks with short, slow and careful steps",
        "a man sits and waves",
        "a man walks, waving and smiling",
        "she does both, walking and waving",
        "a person walks, followed by a bow",
        "walk 3.5 metres forward",
        "a person does squats, lunges, and kicks",
        "a person in jeans, boots and gloves walks",
        "a person walks past chairs, tables, and lamps",
        "a person walks slowly, tired and exhausted",
        "a person slowly and carefully walks, stops, and bows",
        "a person walks while he waves, nods, and smiles",
        "a person dances and spins and waves",
        "a person lies on his back, raises and lowers his legs",
        "a person stands on one leg, holds arms out, and balances",
        "a person waves, then claps, all while walking",
        "a person walks, then sits, while holding his arms up the whole time",
        "with a cane, the man walks, then stops",
        "if he falls then he stands up",
        "Mr. Smith walks forward and waves",
        "a person walks approx. five steps and bows",
        "a person raises l. arm, then r. arm",
        "1. walk 2. turn 3. sit",
        "a person walks forward. Slowly.",
        "a person walks. with arms raised",
        "a man walks. his arms are raised.",
        "a person squats. he does this three times",
        "one person sits; the other stands.",
        "steps forward, then backward, with hands on hips",
        "a person waves with his right hand, then with his left",
        "a person walks slowly then quickly",
        "a person jumps once then twice",
        "a person opens then closes the door",
        "puts his left hand then his right hand on the table",
        "a person waves now and then",
        "a person steps more then twice to the left",
        "a person runs after something",
        "a person bows and waves",
        "then",
        ". . .",
        "",
        "a " + ", then b" * 50,
    ],
)
def test_what_is_not_plainly_in_order_stays_whole(text: str) -> None:
    assert clauses(text) == [text]


def test_most_words_of_order_are_known_and_none_of_words_for_at_once_divides() -> None:
    """Asked of the wordings that captions of training and reserved ones are made of."""
    wordings = read_json(WORDINGS)
    words = {"s": "a man", "a": "walks forward", "b": "bows", "c": "waves", "B": "waves"}
    words |= {"ag": "walking forward", "bg": "bowing", "cg": "waving", "Ag": "walking"}

    def counts(kind: str) -> tuple[int, int]:
        sentences = [wording.format(**words) for part in wordings[kind].values() for wording in part]
        return sum(len(clauses(sentence)) > 1 for sentence in sentences), len(sentences)

    assert counts("at_once")[0] == 0
    for kind in ("in_order", "in_order3"):
        divided, all_of_them = counts(kind)
        assert divided > 0.75 * all_of_them > 20, kind


def test_long_texts_are_not_looked_at_for_long() -> None:
    for text in ("x, and y " * 40, "a but " * 60, "he walks, " * 39, "he walks then " * 9000):
        began = time.process_time()
        assert clauses(text) == [text]
        assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("wanted", "total", "least", "parts"),
    [
        ([10, 10], 20, 6, [10, 10]),
        ([10, 30], 20, 6, [7, 13]),
        ([1, 1, 1], 18, 6, [6, 6, 6]),
        ([49, 49], 49, 6, [24, 25]),
    ],
)
def test_parts_share_the_time(wanted: list[int], total: int, least: int, parts: list[int]) -> None:
    assert shares(wanted, total, least) == parts


@pytest.fixture(scope="module")
def pipe() -> LaMPPipeline:
    made = assemble(tiny_parts())
    made.guidance = replace(made.guidance, clauses=True)
    return made


def test_a_sentence_in_order_becomes_one_motion(pipe: LaMPPipeline) -> None:
    made = pipe(ORDERED, 80, seed=3)[0]
    assert len(made) == 80 and made.text == made.meta["prompt"] == ORDERED
    (first, second) = made.meta["sentences"]
    assert first[0] == "a person walks" and second[0] == "a person waves"
    assert first[1] == 0 and first[2] == second[1] and second[2] == 80
    assert np.isfinite(made.joints).all()
    whole = pipe(ORDERED, 80, seed=3, clauses=False)[0]
    assert "sentences" not in whole.meta and not np.array_equal(whole.joints, made.joints)


def test_the_models_say_whether_sentences_are_divided(pipe: LaMPPipeline) -> None:
    plain = assemble(tiny_parts())
    assert not plain.guidance.clauses and Guidance(clauses=True).override(1.0, None) == Guidance(1.0, 5.0, True)
    np.testing.assert_array_equal(pipe(ORDERED, 80, clauses=False)[0].joints, plain(ORDERED, 80)[0].joints)
    np.testing.assert_array_equal(pipe(ORDERED, 80)[0].joints, plain(ORDERED, 80, clauses=True)[0].joints)


def test_order_and_company_change_nothing(pipe: LaMPPipeline) -> None:
    prompts, seen = ["runs", ORDERED, "a person waves"], list[tuple[int, int]]()
    together = pipe(prompts, [40, 80, 60], seed=5, progress=lambda done, total: seen.append((done, total)))
    assert [motion.text for motion in together] == prompts and seen[-1] == (3, 3)
    assert seen == sorted(seen)
    for prompt, frames, motion in zip(prompts, (40, 80, 60), together):
        np.testing.assert_allclose(motion.joints, pipe(prompt, frames, seed=5)[0].joints, atol=1e-5)


def test_sentences_of_any_number_of_parts_are_made_together(pipe: LaMPPipeline) -> None:
    """In one batch, their seams too: for those that have some; one without time for its parts is whole."""
    prompts = [ORDERED, "he runs, stops, and waves", "a man walks, then bows, then sits down", ORDERED]
    lengths, seen = [80, 120, 150, 30], list[tuple[int, int]]()
    rows: dict[str, list[int]] = {"generate": [], "edit": []}
    inner = type(pipe.masked).generate

    def counted(model: object, condition: torch.Tensor, *args: object, **how: object) -> torch.Tensor:
        rows["edit" if how.get("known") is not None else "generate"].append(len(condition))
        return inner(model, condition, *args, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pipe.masked), "generate", counted)
        together = pipe(prompts, lengths, seeds=[1, 2, 3, 4], progress=lambda done, total: seen.append((done, total)))
    assert rows == {"generate": [8, 1], "edit": [2 * 3, 2 * 2]}  # 2 + 3 + 3 parts; two ways of each seam
    assert seen == [(3, 4), (4, 4)]
    for prompt, length, seed, motion in zip(prompts, lengths, (1, 2, 3, 4), together, strict=True):
        (alone,) = pipe(prompt, length, seed=seed)
        np.testing.assert_allclose(motion.joints, alone.joints, atol=1e-5)
        assert motion.meta == alone.meta and motion.text == prompt


def test_groups_have_as_many_parts_as_may_be() -> None:
    told = [Told("", ["a"] * parts, None, 0) for parts in (2, 3, 9, 1, 1)]
    assert [[len(one.parts) for one in some] for some in in_groups(told, 5)] == [[2, 3], [9], [1, 1]]
    assert list(in_groups([], 5)) == []


def test_without_time_for_the_parts_a_sentence_stays_whole(pipe: LaMPPipeline) -> None:
    np.testing.assert_array_equal(pipe(ORDERED, 44)[0].joints, pipe(ORDERED, 44, clauses=False)[0].joints)


def test_lengths_of_the_models_choice_stay_within_what_they_know(pipe: LaMPPipeline) -> None:
    text = ", then ".join(["a person walks", "waves", "runs", "walks", "runs"])
    for seed in range(3):
        assert len(pipe(text, seed=seed)[0]) <= 196
    parts = tiny_parts() | {"length": None}
    lone = assemble(parts)
    assert [part[2] for part in lone(ORDERED, 80, clauses=True)[0].meta["sentences"]] == [40, 80]
    with pytest.raises(UserError, match="no length estimator"):
        lone(ORDERED, clauses=True)


def test_the_best_of_several_is_chosen_part_by_part(pipe: LaMPPipeline) -> None:
    one, best = pipe(ORDERED, 96, seed=1)[0], pipe(ORDERED, 96, seed=1, best_of=4)[0]
    assert best.meta["best_of"] == 4 and one.meta["sentences"] == best.meta["sentences"]
    np.testing.assert_array_equal(best.joints, pipe(ORDERED, 96, seed=1, best_of=4)[0].joints)
    assert any(
        not np.array_equal(pipe(ORDERED, 96, seed=seed)[0].joints, pipe(ORDERED, 96, seed=seed, best_of=4)[0].joints)
        for seed in range(4)
    )


@pytest.mark.parametrize(("given", "meant"), [("models", None), ("yes", True), ("no", False)])
def test_the_flag_reaches_whole_motions_only(given: Literal["models", "yes", "no"], meant: bool | None) -> None:
    options = GenOptions(text_prompt="a person walks", clauses=given)
    assert options.sampling()["clauses"] is meant and "clauses" not in options.editing()


def test_where_nothing_is_divided_the_flag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--sequence is divided already"):
        GenOptions(sequence=["a person walks", "bows"], clauses="yes")
    with pytest.raises(UserError, match="--clauses is for whole motions"):
        EditOptions(source_motion=tmp_path, text_prompt="walks", motion_length=40, clauses="no")
    with pytest.raises(UserError, match="--clauses"):
        BulkOptions(task="embed", source=tmp_path, out=tmp_path, clauses="no")


def test_evaluation_judges_the_generator_itself(pipe: LaMPPipeline) -> None:
    options = EvalT2MOptions(name="masked", res_name="residual")
    one = torch.zeros(1, dtype=torch.long)
    batch = TextMotionBatch(torch.zeros(1, 80, 263), one + 80, ["clip"], [ORDERED], [[]], one, one, one)
    with tqdm(disable=True) as bar:
        features = Generator(copy(pipe), options, bar)(batch, [7])
    whole = pipe(ORDERED, 80, seeds=[7], clauses=False)[0]
    np.testing.assert_array_equal(features[0].numpy(), whole.features)
