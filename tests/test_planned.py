"""Motions made part by part: arms of one clip on another, clips cut where so much is done, clips as fast as asked."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import puppet
import pytest
import torch
from torch import Tensor

from lamp.models.editing import SEAM_TOKENS
from lamp.models.pipeline import LaMPPipeline
from lamp.models.planned import STILL
from lamp.models.sentences.amounts import HALF_TURN, Amount, done_by
from lamp.models.sentences.checks import Check
from lamp.models.sentences.pace import Pace, at_speed
from lamp.models.sentences.plan import Part, plan
from lamp.models.sequences import joints_of, shares
from lamp.models.t2m.editor import Editor
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.utils.kinematics.arms import arms_on, lifted
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints
from lamp.utils.scores.following.arms import hand_up, wave
from lamp.utils.scores.following.body import Body
from lamp.utils.scores.following.moves import walk
from tests.test_pipeline import assemble, tiny_parts

AT_ONCE = "a person walks while waving with the right hand"
FAR = "a person walks two metres forward"


@pytest.fixture(scope="module")
def shipped() -> LaMPPipeline:
    return LaMPPipeline.from_pretrained()


@pytest.fixture(scope="module")
def tiny() -> LaMPPipeline:
    made = assemble(tiny_parts())
    made.guidance = replace(made.guidance, clauses=True)
    return made


def test_a_body_gets_other_arms_for_as_long_as_it_moves() -> None:
    body = puppet.walking(100).astype(np.float32)
    arms = puppet.figure(40, hands={"right": puppet.waving(40)}).astype(np.float32)
    made = arms_on(body, arms, ("right",))
    assert made is not None and made.shape == body.shape
    others = [joint for joint in range(22) if joint not in (17, 19, 21)]
    np.testing.assert_array_equal(made[:, others], body[:, others])
    lengths = [np.linalg.norm(joints[:, 21] - joints[:, 19], axis=-1) for joints in (made, body)]
    np.testing.assert_allclose(*lengths, atol=1e-4)
    assert wave(Body.of(made), "right") and walk(Body.of(made)) and not wave(Body.of(body))
    assert wave(Body.of(made[60:]), "right")  # to the end, though the clip of the arms is shorter
    named = arms_on(body, arms)
    assert named is not None and np.array_equal(named, made)  # the arm that does not hang


def test_arms_that_hang_are_nobodys() -> None:
    body, arms = (puppet.walking(count).astype(np.float32) for count in (100, 60))
    assert arms_on(body, arms) is None
    right = puppet.figure(40, hands={"right": puppet.waving(40)}).astype(np.float32)
    assert arms_on(body, right, ("left", "right")) is None


def test_held_hands_stay_at_their_highest() -> None:
    body = puppet.walking(100).astype(np.float32)
    arms = puppet.figure(40, hands={"left": puppet.waving(40)}).astype(np.float32)
    made = arms_on(body, arms, ("left",), hold=True)
    assert made is not None
    assert lifted(made, "left").min() > lifted(arms, "left").max() - 0.15


def test_the_shipped_models_do_two_things_at_once(shipped: LaMPPipeline) -> None:
    motion = shipped(AT_ONCE, 100, seed=2)[0]
    body = Body.of(motion.joints)
    assert motion.text == motion.meta["prompt"] == AT_ONCE and len(motion) == 100 and "sentences" not in motion.meta
    assert walk(body, share=0.7) and wave(body, "right")
    checks = {own["action"]: own["passed"] for own in motion.meta["checks"]}  # of the body, then of the arms on it
    assert checks == {"walk": True, "wave": True}
    assert hand_up(Body.of(shipped("he runs with both arms raised", 80, seed=1)[0].joints), "both")


def test_the_shipped_models_stop_when_an_amount_is_done(shipped: LaMPPipeline) -> None:
    motion = shipped(FAR, 100, seed=4)[0]
    body = Body.of(motion.joints)
    assert len(motion) == 100 and abs(body.distance - 2) < 0.3
    assert body.speed[-10:].max() < 0.35
    assert [part[0] for part in motion.meta["sentences"]] == [FAR, STILL.whole]


def test_the_shipped_models_walk_faster_when_asked(shipped: LaMPPipeline) -> None:
    speeds = []
    for clauses in (False, True):
        bodies = [
            Body.of(shipped("a person walks quickly", 80, seed=seed, clauses=clauses)[0].joints) for seed in (1, 2)
        ]
        speeds.append(np.mean([np.median(body.speed[body.moving]) for body in bodies]))
        assert all(map(walk, bodies)) or not clauses
    assert speeds[1] > speeds[0] + 0.2


def test_company_changes_nothing(tiny: LaMPPipeline) -> None:
    prompts = ["runs", AT_ONCE, "a person walks quickly", FAR, "a person waves"]
    together = tiny(prompts, [40, 80, 60, 88, 60], seed=5)
    for prompt, frames, motion in zip(prompts, (40, 80, 60, 88, 60), together):
        assert len(motion) == frames and motion.text == prompt
        np.testing.assert_allclose(motion.joints, tiny(prompt, frames, seed=5)[0].joints, atol=1e-5)


def test_what_cannot_be_made_in_parts_is_made_whole(tiny: LaMPPipeline) -> None:
    for text, frames in (("a person walks 500 metres", 60), (FAR, 20), (AT_ONCE, 8)):
        made, whole = (tiny(text, frames, seed=1, clauses=clauses)[0] for clauses in (True, False))
        np.testing.assert_array_equal(made.joints, whole.joints)
    assert tiny(["a person walks 500 metres, then waves while walking"], [100], seed=1)[0].text


def test_an_amount_before_something_else_is_not_made_anew_as_a_whole(tiny: LaMPPipeline) -> None:
    text = "a person takes one step, then waves"
    motion = tiny(text, 120, seed=1)[0]
    if "sentences" in motion.meta:  # otherwise the tiny models take no step in time
        assert motion.meta["sentences"][0][2] >= 2 * SEAM_TOKENS * 4
    assert [part.amount is not None for part in tiny.parts(text)] == [True, False]


@torch.inference_mode()
def test_a_turn_is_that_of_an_upright_clip(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamp.models.sentences.amounts.done_by", lambda body, _: np.linspace(0.0, 200.0, len(body)))
    editor, turn = tiny._editor(2, True, {}), "a person turns by 90 degrees"
    (part,) = plan(turn)
    clips, _ = tiny._codes(editor, [(0, part, f" {way}" if way else "") for way in range(4)], [20] * 4, 0)
    monkeypatch.setattr("lamp.models.sentences.amounts.in_place", lambda _: True)
    for upright in ([True] * 4, [False, False, True, True], [False] * 4):
        answers = iter(upright)
        monkeypatch.setattr(Body, "upright", property(lambda _, answers=answers: next(answers)))
        found = tiny._enough(editor, part, 0, 20, 4, 20, 0, True)
        chosen = upright.index(True) if True in upright else 0
        assert found is not None and torch.equal(found[0], clips[chosen][:20]) and not list(answers)


def test_best_of_several_goes_with_parts(tiny: LaMPPipeline) -> None:
    for text in (AT_ONCE, "a person walks quickly", "a person bows twice"):
        best = tiny(text, 80, seed=1, best_of=2)[0]
        assert best.meta["best_of"] == 2 and -1 <= best.meta["similarity"] <= 1
        np.testing.assert_array_equal(best.joints, tiny(text, 80, seed=1, best_of=2)[0].joints)


def test_other_skeletons_get_no_other_arms(tiny: LaMPPipeline) -> None:
    kit = assemble(
        tiny_parts()
        | {
            "tokenizer": RVQVAE(
                RVQConfig(
                    input_width=FeatureLayout(21).dim, num_quantizers=3, nb_code=16, code_dim=16, width=16, depth=1
                )
            ).eval()
        }
    )
    assert kit.parts(AT_ONCE) == [Part(AT_ONCE, AT_ONCE)] and kit.divisions(FAR) == [[Part(FAR, FAR)]]
    assert [part.whole for part in kit.parts("a person walks, then bows")] == ["a person walks", "a person bows"]
    assert tiny.parts(AT_ONCE) == plan(AT_ONCE) != kit.parts(AT_ONCE)


def test_amounts_grow_with_what_is_done() -> None:
    body = Body.of(puppet.walking(100))
    metres, steps = (done_by(body, Amount(kind, 1.0)) for kind in ("metres", "steps"))
    assert metres[0] == 0 and metres[-1] == pytest.approx(body.distance) and steps[-1] == body.steps
    assert (np.diff(steps) >= 0).all()


def test_turns_are_to_the_side_that_is_told() -> None:
    body = Body.of(puppet.walking(100))
    turned = np.linspace(0.0, np.pi, len(body))
    body.__dict__["heading"] = turned  # to the left
    done = {side: done_by(body, Amount("degrees", 180.0, side))[-1] for side in ("left", "right", None)}
    assert done["left"] == done[None] == -done["right"] == pytest.approx(180, abs=4)


def test_turns_are_tried_in_other_words(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    codes = tiny._codes

    def seen(editor: Editor, parts: list[tuple[int, Part, str]], *more: Any) -> list[Tensor]:
        asked.append([own.text for _, own, _ in parts])
        return codes(editor, parts, *more)

    monkeypatch.setattr(tiny, "_codes", seen)
    told = {
        "a person rotates left by 90 degrees": "a person turns to the left",
        "a full 360 degree turn": "a person turns in a full circle",
    }
    for text in told:
        tiny(text, 80)
    for text, other in told.items():
        assert [text, other, text, other] in asked
    text = "a person turns 180 degrees"
    tiny(text, 80)
    assert [text, "a person turns in a full circle", text, "a person turns around"] in asked


@torch.inference_mode()
def test_a_turn_to_the_other_side_is_mirrored(tiny: LaMPPipeline) -> None:
    editor = tiny._editor(2, True, {})
    (part,) = plan("a person turns by 90 degrees")
    ((codes,), _) = tiny._codes(editor, [(0, part, "")], [20], 0)
    turned = Body.of(joints_of(editor, codes)).turned
    same, other = ("left", "right") if turned >= 0 else ("right", "left")
    assert torch.equal(tiny._to_side(editor, codes, Amount("degrees", 90.0, same)), codes)
    assert tiny._to_side(editor, codes, Amount("degrees", 90.0, other)).shape == codes.shape
    # Before it is encoded, it is the mirror image.
    seen: list[Tensor] = []
    watched = SimpleNamespace(decode=editor.decode, encode=seen.append)
    tiny._to_side(watched, codes, Amount("degrees", 90.0, other))
    back = Body.of(features_to_joints(seen[0][None])[0].numpy()).turned
    assert back == pytest.approx(-turned, abs=5)


def test_who_turns_around_does_so_by_half_a_turn(tiny: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check("", "turn-around", {"turn": {}}, True)
    monkeypatch.setattr(
        type(tiny), "checks", lambda _, texts: [check if text.endswith("turns around") else None for text in texts]
    )
    text = "a person waves, then turns around"
    first, second = tiny.parts(text)
    assert first.amount is None and second.amount == Amount("degrees", HALF_TURN)
    assert tiny.divisions(text) == [[first, second], plan(text)]  # where there is no time to turn
    (part,) = tiny.parts("a person turns left by 90 degrees")
    assert part.amount == Amount("degrees", 90.0, "left")


def test_the_speed_that_is_as_asked_is_taken() -> None:
    fast, slow, jog = Pace(1.5, True, False, ""), Pace(0.7, False, False, ""), Pace(2.3, False, True, "")
    assert at_speed([1.0, 1.6, 2.0], fast) == 1 and at_speed([1.0, 1.2, 0.4], fast) == 1
    assert at_speed([1.0, 0.6, 0.2], slow) == 1 and at_speed([1.0, 0.9, 0.0], slow) == 1
    assert at_speed([1.2, 2.1, 1.9], jog) == 1
    assert shares([], 5, 6) == []
