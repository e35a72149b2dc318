"""What rules read from a sentence: things at once, amounts, pace, verbs; order is in `test_clauses.py`."""

import time
from pathlib import Path

import numpy as np
import puppet
import pytest

from lamp.models.sentences.amounts import Amount, amount_of, counted, cut_of, repeated, turns_of
from lamp.models.sentences.pace import pace_of
from lamp.models.sentences.plan import WAYS, is_plain, plan
from lamp.models.sentences.together import at_once
from lamp.utils.files import read_json
from lamp.utils.scores.following.body import Body

WORDINGS = Path(__file__).resolve().parent.parent / "prepare" / "mini" / "wordings.json"
BOTH = ("left", "right")


@pytest.mark.parametrize(
    ("text", "body", "arms", "sides", "hold"),
    [
        ("a person walks while waving", "a person walks", "a person is waving", (), False),
        ("he runs and waves with his left hand at the same time", "he runs", "a person waves with his left hand",
         ("left",), False),
        ("a woman waves with both hands as she walks along", "a person walks along", "a woman waves with both hands",
         BOTH, False),
        ("a person walks with the left arm raised", "a person walks", "a person raises the left hand", ("left",), True),
        ("someone goes on, keeping both hands up", "someone goes on", "a person raises both hands", BOTH, True),
        ("a person punches while walking forward", "a person is walking forward", "a person punches", (), False),
        ("while waving, a man walks", "a man walks", "a person is waving", (), False),
        ("a person waves with the left hand while the right hand is held up", "a person waves with the left hand",
         "a person raises the right hand", ("right",), True),
        ("a man bows with one arm raised", "a man bows", "a person raises one hand", (), True),
        ("raise both arms while walking", "a person is walking", "a person raises both hands", BOTH, True),
        ("a person waves to the left while walking to the right", "a person is walking to the right",
         "a person waves to the left", (), False),
        ("turn in place with your right hand in the air", "turn in place", "a person raises the right hand", ("right",),
         True),
        ("she walks with her arms over her head", "she walks", "a person raises both hands", BOTH, True),
    ],
)  # fmt: skip
def test_what_arms_do_meanwhile_is_found(text: str, body: str, arms: str, sides: tuple[str, ...], hold: bool) -> None:
    made = at_once(text)
    assert made is not None
    assert (made.body, made.arms.text, made.arms.sides, made.arms.hold) == (body, arms, sides, hold)


@pytest.mark.parametrize(
    "text",
    [
        "a person walks",
        "a person waves",
        "a person stands and waves",
        "a person walks and turns",
        "she waves and smiles",
        "a person carries boxes and walks",
        "he lifts a box with both hands and walks",
        "she walks, hands in her pockets",
        "a man walks with his arms crossed",
        "a man walks while not waving",
        "a man walks with a dog and a woman waves",
        "a person does jumping jacks and waves",
        "a man lifts his leg while walking",
        "a person raises both hands and lowers them",
        "a person walks while keeping both hands down",
        "a person walks, turns, and waves",
        "a person walks; he waves",
        "a man walks while his friend waves",
        "a man is drunk and walks",
        "throws a drink and walks",
        "walks by a punch bag and jumps",
        "raises his hand and lowers it while walking",
        "raises her hand to her mouth and walks",
        "walks to the table and drinks from a glass",
        "sits down and waves",
        "walks with his left hand raised and right hand pointing",
        "a person wants to walk and wave",
        "",
    ],
)
def test_what_is_not_plainly_at_once_stays_whole(text: str) -> None:
    assert at_once(text) is None


@pytest.mark.parametrize(
    ("text", "once", "times"),
    [
        ("he bows twice", "he bows", 2),
        ("two kicks with the left foot", "kicks with the left foot", 2),
        ("she throws a couple of punches", "she punches", 2),
        ("a person performs three squats", "a person squats", 3),
        ("doing 4 jumps.", "jumps", 4),
        ("two people kick", "two people kick", 1),
        ("the two kicks", "the two kicks", 1),
        ("he kicks two balls", "he kicks two balls", 1),
        ("walks and does two kicks", "walks and does two kicks", 1),
        ("he jumps over two jumps", "he jumps over two jumps", 1),
        ("he is doing two squats", "he is doing two squats", 1),
        ("someone will do three squats", "someone will do three squats", 1),
        ("two squats per minute", "two squats per minute", 1),
        ("two bows on her dress", "two bows on her dress", 1),
        ("two kicks, one with each leg", "two kicks, one with each leg", 1),
        ("a person does two squats then jumps", "a person does two squats then jumps", 1),
        ("he gives two bows three times", "he gives two bows", 3),
    ],
)
def test_how_often_something_is_done_is_found(text: str, once: str, times: int) -> None:
    assert counted(text) == (once, times)


def test_a_turn_has_the_words_of_its_angle() -> None:
    told = [
        turns_of(Amount("degrees", value, side))
        for value, side in ((45, "right"), (90, None), (180, "left"), (360, None))
    ]
    around, circle = "a person turns around", "a person turns in a full circle"
    assert told == [
        ("a person turns to the right",) * 2,
        ("a person turns to the left",) * 2,
        (circle, around),
        (circle, circle),
    ]


def test_a_motion_is_cut_where_its_amount_is_done() -> None:
    def turning(degrees: float, away: float = 0.0) -> Body:
        body = Body.of(puppet.figure(80))
        body.__dict__["heading"] = np.linspace(0.0, np.deg2rad(degrees), len(body))
        body.joints[:, :, 0] += np.linspace(0.0, away, len(body))[:, None]
        return body

    around, limits = Amount("degrees", 180.0), (4, 3, 14, 20)
    assert cut_of([turning(360), turning(300)], around, True, *limits) == (0, 10)
    # Who strays comes last, unless they are to go; who is about there comes before who strays, and the nearest first.
    assert cut_of([turning(360, 3.0), turning(300)], around, True, *limits) == (1, 12)
    assert cut_of([turning(360, 3.0), turning(300)], around, False, *limits) == (0, 10)
    assert cut_of([turning(360, 3.0), turning(150), turning(170)], around, True, *limits) == (2, 20)
    assert cut_of([turning(100)], around, True, *limits) is None
    assert cut_of([turning(190)], around, True, *limits) == (0, 20)  # too late for anything after it
    # Where something must come after it, only who is done in time counts.
    assert cut_of([turning(360, 3.0), turning(170)], around, True, 4, 3, 14, None) == (0, 10)
    jumps = turning(150)
    jumps.heading[30] = np.deg2rad(200)
    assert cut_of([jumps, turning(160)], around, True, *limits) == (1, 20)


def test_most_wordings_of_things_at_once_are_known() -> None:
    """Those that captions of training and reserved ones are made of."""
    words = {"s": "a man", "a": "walks forward", "b": "waving", "c": "waves", "B": "waves"}
    words |= {"ag": "walking forward", "bg": "waving", "cg": "waving", "Ag": "walking"}
    wordings = read_json(WORDINGS)
    together = [line.format(**words) for part in wordings["at_once"].values() for line in part]
    assert sum(at_once(line) is not None for line in together) > 0.65 * len(together) > 30
    in_order = [line.format(**words) for part in wordings["in_order"].values() for line in part]
    assert not [line for line in in_order if len(plan(line)) == 1 and plan(line)[0].arms is not None]


@pytest.mark.parametrize(
    ("text", "bare", "kind", "value"),
    [
        ("a person walks two metres forward", "a person walks forward", "metres", 2),
        ("someone walks forward three meters and stops", "someone walks forward", "metres", 3),
        ("walk 3.5m forward", "walk forward", "metres", 3.5),
        ("a man walks about ten feet straight ahead", "a man walks straight ahead", "metres", 3.048),
        ("someone takes exactly four steps", "someone takes steps", "steps", 4),
        ("he takes 3 big steps back", "he takes big steps back", "steps", 3),
        ("a person turns 90 degrees to the left", "a person turns 90 degrees to the left", "degrees", 90),
    ],
)
def test_amounts_are_found(text: str, bare: str, kind: str, value: float) -> None:
    made = amount_of(text)
    assert made is not None and made[0] == bare
    assert made[1] == Amount(made[1].kind, pytest.approx(value), made[1].side) and made[1].kind == kind


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("a person turns 90 degrees to the left", "left"),
        ("he turns right by 180 degrees", "right"),
        ("she spins by 360 degrees", None),
        ("he turns leftwards by 45 degrees", "left"),
        ("a person walks two metres to the left", None),
    ],
)
def test_turns_have_a_side(text: str, side: str | None) -> None:
    made = amount_of(text)
    assert made is not None and made[1].side == side


@pytest.mark.parametrize(
    "text",
    [
        "a person walks",
        "he turns his head 90 degrees",
        "a person walks a 5 metre long line",
        "walks in a circle of two metres",
        "he walks on two feet",
        "he steps aside",
        "a person walks one metre and two steps",
        "a person walks at least three metres",
        "a person walks two metres every second",
        "he takes several steps to the rear without turning around",
        "a man raises both hands two metres high",
        "a person turns around the corner",
        "a person walks two metres and sits down",
        "turns 90 degrees to the left and walks",
        "takes a ball and throws it ten yards",
        "after three steps, the person turns around",
        "a person walks twenty five metres",
        "walks 1,000 metres",
        "takes 3-4 steps",
        "takes one or two steps back",
        "walks at 1.2 m/s",
        "walks a metre and a half",
        "a person walks at a slow pace",
        "takes a big step over something",
        "walks past a two meter wall",
        "a 100 metre sprint",
        "turns the wheel 90 degrees",
        "turns 90 degrees four times",
        f"a person walks {'9' * 320} metres",
    ],
)
def test_what_is_no_amount_of_the_way_is_left_alone(text: str) -> None:
    assert amount_of(text) is None


@pytest.mark.parametrize(
    ("text", "fast", "runs"),
    [
        ("a person walks quickly", True, False),
        ("someone is in a hurry and walks fast", True, False),
        ("an old man walks slowly", False, False),
        ("in no hurry, a man strolls", False, False),
        ("a person walks at a fast pace", True, False),
        ("a person runs at top speed", True, True),
        ("a person jogs slowly", False, True),
    ],
)
def test_pace_is_found(text: str, fast: bool, runs: bool) -> None:
    pace = pace_of(text)
    assert pace is not None and (pace.fast, pace.runs) == (fast, runs)
    assert ("brisk" in pace.other) == (fast and not runs) and "a briskly" not in pace.other


@pytest.mark.parametrize(
    "text",
    [
        "a person walks",
        "a person quickly turns",
        "a man slowly then quickly walks",
        "he does not walk fast",
        "walks and quickly sits down",
        "goes down on one knee slowly",
        "moves his head slowly",
        "goes from walking to running fast",
    ],
)
def test_other_words_are_no_pace(text: str) -> None:
    assert pace_of(text) is None


def test_what_is_done_twice_is_said_twice() -> None:
    assert repeated("he bows twice") == ["he bows"] * 2
    assert repeated("a person squats three times in a row.") == ["a person squats"] * 3
    for once in (
        "he bows",
        "he bows once",
        "a person jumps twice",
        "he walks and bows twice",
        "he bows 9 times",
        "bows 2 or 3 times",
        "draws a bow twice",
    ):
        assert repeated(once) == [once]


def test_a_plan_has_a_part_for_each_clause_with_all_that_is_said_of_it() -> None:
    walk, bow = plan("a person walks two metres while waving, then bows")
    assert walk.whole == "a person walks two metres while waving" and walk.text == "a person walks"
    assert walk.arms is not None and walk.amount == Amount("metres", 2.0) and walk.clips == WAYS + 1
    assert bow.text == "a person bows" and bow.whole == "a person bows" and bow.clips == 1 and bow.plain
    assert is_plain(plan("a person walks")) and is_plain([bow]) and not is_plain(plan("he walks, then bows"))


def test_long_texts_are_not_read_for_long() -> None:
    for text in ("he walks and waves " * 4000, "a hands up " * 36, "two two " * 50, "waving, " * 50):
        began = time.process_time()
        assert plan(text)
        assert time.process_time() - began < 0.5
