"""Predicates of following: each on synthetic motions that do and do not do the action, and what must not matter."""

import json

import numpy as np
import pytest

from lamp.utils.kinematics.features import mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores.following.body import Body
from lamp.utils.scores.following.tests import PREDICATES, check_test, mirrored, names_in, passes
from tests.puppet import (
    figure,
    going_down,
    joined,
    jumping,
    kicking,
    line,
    lying,
    path,
    punching,
    raised,
    walking,
    waving,
)

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

N = 80
STILL = figure(N)
DIP = line(N, (0, 0.86), (0.25, 0.86), (0.5, 0.42), (0.75, 0.86), (1, 0.86))
SQUAT = figure(N, hips=DIP)
SEAT = {side: np.tile([0.1 * sign, 0.08, 0.4], (N, 1)) for side, sign in (("left", 1), ("right", -1))}
SIT = joined(figure(20), figure(N, hips=0.45, feet=SEAT))
KNEE = {"left": np.tile([0.1, 0.12, -0.42], (N, 1)), "right": np.tile([-0.1, 0.12, -0.42], (N, 1))}
KNEEL = figure(N, hips=0.47, feet=KNEE)
BOW = figure(N, bend=line(N, (0, 0), (0.3, 0), (0.5, 45), (0.7, 0), (1, 0)))
REACH = (0.0, -0.5, 0.1)
PICK = figure(N, hips=line(N, (0, 0.86), (0.3, 0.86), (0.5, 0.4), (0.7, 0.86), (1, 0.86)), bend=DIP * -70 + 60)
CRAWL = figure(
    N,
    place=np.stack((np.zeros(N), np.linspace(0, 1.5, N)), -1),
    hips=0.42,
    bend=80,
    feet={side: np.tile([0.1 * sign, 0.1, -0.45], (N, 1)) for side, sign in (("left", 1), ("right", -1))},
)
UP = {"left": raised(N, 0.42), "right": raised(N, 0.42) * [-1, 1, 1]}
WAVE = {"left": waving(N), "right": waving(N) * [-1, 1, 1]}
MOUTH = path(N, (0, (0, -0.5, 0.02)), (0.3, (0, -0.5, 0.02)), (0.4, (0.13, 0.12, 0.12)), (1, (0.13, 0.12, 0.12)))
OUT = path(N, (0, (0, -0.5, 0.02)), (0.3, (0, -0.5, 0.02)), (0.4, (-0.1, -0.2, 0.42)), (1, (-0.1, -0.2, 0.42)))
THROW = path(
    N,
    (0, (0, -0.5, 0)),
    (0.3, (-0.1, 0.25, -0.15)),
    (0.5, (-0.1, 0.25, -0.15)),
    (0.57, (0, 0.1, 0.45)),
    (1, (0, -0.5, 0)),
)
BEAT = 2 * np.pi * 0.9 * np.arange(N) / 20
SPREAD = 0.1 + 0.15 * (1 - np.cos(BEAT))
JACKS = figure(
    N,
    hands={
        s: np.stack((0.1 * i + 0 * BEAT, -0.45 * np.cos(BEAT), 0.1 + 0 * BEAT), -1)
        for s, i in (("left", 1), ("right", -1))
    },
    feet={s: np.stack((i * SPREAD, 0.08 + 0 * BEAT, 0 * BEAT), -1) for s, i in (("left", 1), ("right", -1))},
)
DANCE = figure(
    N,
    place=np.stack((0.12 * np.sin(BEAT), 0 * BEAT), -1),
    hands={
        "left": np.stack((0.2 + 0.1 * np.sin(BEAT), 0.3 * np.sin(BEAT), 0.2 + 0 * BEAT), -1),
        "right": np.stack((-0.2 + 0.1 * np.sin(BEAT), 0.3 * np.cos(BEAT), 0.2 + 0 * BEAT), -1),
    },
)
ONE_LEG = {"left": np.tile([0.1, 0.4, 0.1], (N, 1))}

CASES = [
    ({"walk": {}}, walking(), STILL),
    ({"walk": {}}, walking(speed=0.7), walking(speed=3.0, run=True)),
    ({"walk": {"direction": "forward"}}, walking(), walking(towards=180)),
    ({"walk": {"direction": "backward"}}, walking(towards=180), walking()),
    ({"walk": {"direction": "left"}}, walking(towards=90, speed=0.6), walking(towards=-90, speed=0.6)),
    ({"run": {}}, walking(60, 3.0, run=True), walking()),
    ({"run": {"direction": "backward"}}, walking(60, 2.5, towards=180, run=True), walking(60, 2.5, run=True)),
    ({"drift": {"side": "left"}}, walking(towards=30), walking()),
    ({"turn": {"side": "left"}}, walking(turn=90), walking(turn=-90)),
    ({"turn": {"side": "any", "least": 60, "most": 120}}, walking(turn=-90), walking(turn=180)),
    ({"straight": {}}, walking(), walking(turn=60)),
    ({"in_place": {}}, STILL, walking()),
    ({"stand_still": {}}, STILL, figure(N, hands=WAVE)),
    ({"stand_still": {}}, STILL, walking()),
    ({"jump": {}}, jumping(), SQUAT),
    ({"jump": {}}, jumping(), walking(60, 3.0, run=True)),
    ({"jump": {"times": 2}}, jumping(90, 2), jumping(45)),
    ({"hop": {}}, jumping(90, 3, alone="left"), jumping(90, 3)),
    ({"balance": {}}, figure(N, feet=ONE_LEG), STILL),
    ({"distance": {"least": 2.0, "most": 4.0}}, walking(60, 1.0), walking(60, 0.4)),
    ({"pace": {"least": 1.4}}, walking(speed=1.6), walking(speed=1.0)),
    ({"steps": {"least": 6, "most": 9}}, walking(), STILL),
    ({"crouch": {}}, figure(N, hips=0.45), STILL),
    ({"squat": {}}, SQUAT, figure(N, hips=0.45)),
    ({"squat": {"times": 2}}, joined(SQUAT, SQUAT), SQUAT),
    ({"sit": {}}, SIT, STILL),
    ({"seated": {}}, SIT[30:], STILL),
    ({"kneel": {}}, KNEEL, SQUAT),
    ({"lie": {}}, lying(N), SQUAT),
    ({"lie_down": {}}, going_down(), going_down(up=True)),
    ({"get_up": {}}, going_down(up=True), going_down()),
    ({"crawl": {}}, CRAWL, walking()),
    ({"pick_up": {}}, PICK, BOW),
    ({"bow": {}}, BOW, SQUAT),
    ({"bow": {"times": 2}}, joined(BOW, BOW), BOW),
    ({"kick": {}}, kicking("left"), walking()),
    ({"kick": {"side": "right"}}, kicking("right"), kicking("left")),
    ({"kick": {"times": 2}}, kicking("left", 100, 2), kicking("left")),
    ({"raise_hand": {"side": "left"}}, figure(N, hands={"left": UP["left"]}), figure(N, hands=UP)),
    ({"raise_hand": {"side": "both"}}, figure(N, hands=UP), figure(N, hands={"right": UP["right"]})),
    ({"raise_hand": {"side": "any", "level": "head"}}, figure(N, hands=UP), figure(N, hands=WAVE)),
    ({"hand_up": {"side": "right"}}, figure(N, hands={"right": UP["right"][20:21].repeat(N, 0)}), STILL),
    ({"hands_down": {}}, STILL, figure(N, hands=UP)),
    ({"wave": {"side": "right"}}, figure(N, hands={"right": WAVE["right"]}), figure(N, hands={"left": WAVE["left"]})),
    ({"wave": {"side": "both"}}, figure(N, hands=WAVE), figure(N, hands=UP)),
    ({"punch": {}}, punching("left"), figure(N, hands=UP)),
    ({"punch": {"side": "right", "times": 2}}, punching("right", 80, 2), punching("right")),
    ({"throw": {}}, figure(N, hands={"right": THROW}), figure(N, hands=UP)),
    ({"to_mouth": {}}, figure(N, hands={"right": MOUTH}), STILL),
    ({"point": {"side": "right"}}, figure(N, hands={"right": OUT}), STILL),
    ({"jumping_jacks": {}}, JACKS, figure(N, hands=WAVE)),
    ({"dance": {}}, DANCE, walking()),
]
THEN = {"then": [{"walk": {}}, {"bow": {}}]}
BOTH = {"both": [{"walk": {"share": 0.7}}, {"wave": {"side": "left"}}]}
WALK_AND_WAVE = walking(hands={"left": waving(N, all_the_time=True)})
CASES += [
    (THEN, joined(walking(60), BOW), joined(BOW, walking(60))),
    (THEN, joined(walking(60), BOW), walking()),
    (BOTH, WALK_AND_WAVE, joined(walking(), figure(N, hands={"left": WAVE["left"]}))),
    ({"then": [{"walk": {}}, {"wave": {}}]}, joined(walking(), figure(N, hands=WAVE)), WALK_AND_WAVE),
    ({"all": [{"walk": {}}, {"turn": {"side": "left"}}]}, walking(turn=90), walking()),
    ({"any": [{"walk": {}}, {"bow": {}}]}, BOW, STILL),
    ({"not": {"walk": {}}}, STILL, walking()),
]


@pytest.mark.parametrize(
    ("test", "does", "does_not"), CASES, ids=[f"{i}-{json.dumps(c[0])}" for i, c in enumerate(CASES)]
)
def test_what_a_motion_does(test, does, does_not):
    check_test(test)
    assert passes(test, Body.of(does))
    assert not passes(test, Body.of(does_not))


def test_every_predicate_has_a_case():
    assert set().union(*(names_in(test) for test, _, _ in CASES)) == set(PREDICATES)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    case=st.sampled_from(CASES),
    angle=st.floats(0, 6.28),
    scale=st.sampled_from([0.6, 0.9, 1.3, 100.0]),
    place=st.floats(-5, 5),
)
def test_size_facing_and_place_do_not_matter(case, angle, scale, place):
    test, does, does_not = case
    x, y, z = np.moveaxis(does, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.stack((cos * x + sin * z + place, y + place, cos * z - sin * x - place), axis=-1) * scale
    assert passes(test, Body.of(turned))
    x, y, z = np.moveaxis(does_not, -1, 0)
    turned = np.stack((cos * x + sin * z + place, y + place, cos * z - sin * x - place), axis=-1) * scale
    assert not passes(test, Body.of(turned))


@pytest.mark.parametrize(("test", "does", "does_not"), CASES, ids=[str(i) for i in range(len(CASES))])
def test_mirror_images_pass_mirrored_tests(test, does, does_not):
    import torch

    for joints, good in ((does, True), (does_not, False)):
        image = mirror_joints(torch.from_numpy(joints), HUMANML3D).numpy()
        assert passes(mirrored(test), Body.of(image)) is good


def test_hands_beside_the_head_of_a_body_on_the_floor_are_not_raised():
    flat = lying(N)
    flat[:, [20, 21]] = flat[:, [15]] + np.array([[0.1, 0.1, 0.05], [-0.1, 0.1, 0.05]])
    assert passes({"lie": {}}, Body.of(flat))
    assert not passes({"raise_hand": {"side": "both"}}, Body.of(flat))
    assert not passes({"to_mouth": {}}, Body.of(flat))
