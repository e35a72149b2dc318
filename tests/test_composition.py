"""Motion made from motion: two things at once, one after the other, and captions that say so."""

import json
import random
import re
from pathlib import Path

import numpy as np
import puppet
import pytest

from lamp.data.text import parse_captions
from lamp.prepare.mini import compose
from lamp.prepare.mini.amounts import Measures
from lamp.prepare.mini.composition import motion, recipes
from lamp.prepare.mini.composition.bank import Bank, act_of, actions, acts_of
from lamp.prepare.mini.noise import noisy
from lamp.prepare.mini.tables import WORDINGS
from lamp.prepare.mini.wording import Act, caption
from lamp.prepare.write_dataset import Entry, Remarks, write_dataset
from lamp.utils.errors import UserError
from lamp.utils.kinematics import arms as arm_motion
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores.following.arms import wave
from lamp.utils.scores.following.body import Body
from lamp.utils.scores.following.moves import walk
from lamp.utils.scores.following.postures import bows

LENGTHS = np.array(HUMANML3D.bone_lengths)


def lengths(joints: np.ndarray) -> np.ndarray:
    """Bone lengths (T, 21)."""
    parents = np.array(HUMANML3D.parents)
    return np.linalg.norm(joints[:, 1:] - joints[:, parents[1:]], axis=-1)


def right_wave(frames: int) -> np.ndarray:
    return motion.standard(puppet.figure(frames, hands={"right": puppet.waving(frames)}).astype(np.float32))


def walking(frames: int = 80) -> np.ndarray:
    return motion.standard(puppet.walking(frames).astype(np.float32))


def bowing(frames: int = 60) -> np.ndarray:
    bend = puppet.line(frames, (0, 0), (0.3, 0), (0.5, 60), (0.7, 0), (1, 0))
    return motion.standard(puppet.figure(frames, bend=bend).astype(np.float32))


def test_arms_of_one_clip_go_with_the_legs_of_another() -> None:
    legs, arms = walking(100), right_wave(60)
    span = arm_motion.acting(arms, "right")
    assert span is not None
    assert arm_motion.acting(walking(), "right") is None
    frames = arm_motion.stretched(*span, 8, len(arms), len(legs))
    weight = arm_motion.smoothstep((np.arange(100) - 2) / 6)
    made = arm_motion.with_arms(legs, arms, ["right"], frames, weight)
    changed = {17, 19, 21}
    for joint in range(22):
        same = np.allclose(made[:, joint], legs[:, joint])
        assert same == (joint not in changed) or joint == 17
    np.testing.assert_allclose(lengths(made), lengths(legs), atol=1e-5)
    body = Body.of(made)
    assert walk(body, share=0.7)
    assert wave(body, side="right")
    assert not wave(Body.of(legs), side="right")


def test_an_arm_without_weight_stays_as_it_is() -> None:
    legs, arms = walking(), right_wave(60)
    frames = np.zeros(len(legs), dtype=int)
    made = arm_motion.with_arms(legs, arms, ["left", "right"], frames, np.zeros(len(legs)))
    np.testing.assert_allclose(made, legs, atol=1e-6)


def test_clips_follow_each_other_without_a_jump() -> None:
    first, second = walking(80), motion.turned(bowing(), 2.0) + np.array([5, 0, -3], dtype=np.float32)
    seam = motion.join(first, second, tail=20, head=8)
    np.testing.assert_allclose(
        lengths(seam.joints), np.broadcast_to(LENGTHS[1:], lengths(seam.joints).shape), atol=1e-4
    )
    speed = np.linalg.norm(np.diff(seam.joints, axis=0), axis=-1).max(1)
    assert speed.max() < 1.6 * max(np.linalg.norm(np.diff(x, axis=0), axis=-1).max() for x in (first, second))
    assert walk(Body.of(seam.joints[: seam.start]))
    (start, _) = bows(Body.of(seam.joints))[0]
    assert start > seam.start
    # The second clip goes on where the first ended, facing as it did.
    facing = motion.heading(seam.joints)
    assert abs(facing[-1] - motion.heading(first)[-1]) < 0.3


def test_speed_changes_time_and_nothing_else() -> None:
    clip = walking(80)
    fast = motion.at_speed(clip, 2.0)
    assert len(fast) == 40 or len(fast) == 41
    np.testing.assert_allclose(fast[-1], motion.standard(clip)[-1], atol=1e-4)
    held = motion.to_and_fro(clip, 10, 20, 50, 0.3)
    assert len(held) == 50
    assert np.linalg.norm(np.diff(held, axis=0), axis=-1).max() < np.linalg.norm(np.diff(clip, axis=0), axis=-1).max()


def test_arms_through_the_body_are_noticed() -> None:
    still = motion.standard(puppet.figure(40).astype(np.float32))
    assert not arm_motion.through_body(still, ["left", "right"])
    inside = still.copy()
    inside[:, 20] = (inside[:, 0] + inside[:, 12]) / 2
    assert arm_motion.through_body(inside, ["left"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of a few puppets with mini's labels."""
    folder = tmp_path_factory.mktemp("data") / "mini"
    folder.mkdir()
    clips = {
        "walk_normal": walking(90),
        "walk-back_normal": walking(90)[::-1].copy(),
        "wave_right_normal": right_wave(70),
        "raise-up_left_normal": motion.standard(
            puppet.figure(60, hands={"left": puppet.raised(60)}).astype(np.float32)
        ),
        "bow_normal": bowing(),
        "more_jump": motion.standard(puppet.jumping(60).astype(np.float32)),
    }
    entries = [
        Entry(f"clip{number}{take}", compose.features_of(joints), ["a person moves"], [], "train", label)
        for number, (label, joints) in enumerate(clips.items())
        for take in range(2)
    ]
    write_dataset(folder, entries, Remarks(balance=0.4))
    return folder


def test_labels_tell_what_a_clip_shows() -> None:
    assert act_of("wave_right_youthful") == Act("wave", "right", "youthful")
    assert act_of("walk_normal") == Act("walk")
    assert act_of("more_side-step_left") == Act("side-step", "left")
    assert act_of("cmu_drink_soda") == Act("drink")
    assert act_of("more_walk-then-crouch") is None
    assert act_of("cmu_basketball_forward_dribble_90_degree_left_turns") is None
    assert actions([Act("walk"), Act("wave", "left")]) == "walk+wave-left"


def test_compositions_show_what_they_say(data: Path) -> None:
    bank, rng = Bank(data, "train"), random.Random(0)
    made = [one for _ in range(700) if (one := recipes.compose(bank, rng)) is not None]
    assert {one.kind for one in made} == {"single", "at_once", "in_order", "repeated"}
    for one in made:
        assert 25 <= len(one.joints) <= 197
        assert np.isfinite(one.joints).all()
    waved = [one for one in made if one.kind == "at_once" and one.acts == (Act("walk"), Act("wave", "right"))]
    assert waved
    for one in waved:
        assert walk(Body.of(one.joints))
        assert wave(Body.of(one.joints), side="right")
    twice = [one for one in made if one.kind == "repeated" and one.acts == (Act("bow"),)]
    for one in twice:
        assert len(bows(Body.of(one.joints))) == one.measures.times


def test_a_composed_data_set(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose, "RESERVED", ({"walk", "wave-right"},))
    monkeypatch.setattr(compose, "PART", 20)
    out = tmp_path / "composed"
    kinds = compose.compose_dataset(data, out, 40, seed=0, workers=1)
    assert sum(kinds.values()) == 40
    train, test = ((out / f"{split}.txt").read_text().split() for split in ("train", "test_composed"))
    labels, weights = (json.loads((out / f"{name}.json").read_text()) for name in ("labels", "weights"))
    assert len(train) + len(test) == 40 + 12
    for name in test:
        assert {"walk", "wave-right"} <= set(labels[name].split(":")[1].split("+"))
    for name in train:
        assert not {"walk", "wave-right"} <= set(labels[name].split(":")[-1].split("+"))
        assert parse_captions((out / "texts" / f"{name}.txt").read_text()).captions
    shares = {group: 0.0 for group in compose.SHARES}
    for name in train:
        group = "composed" if name.startswith("composed") else "more" if labels[name].startswith("more") else "mini"
        shares[group] += weights[name] / sum(weights[one] for one in train)
    assert shares == pytest.approx(compose.SHARES, abs=1e-3)
    again = tmp_path / "again"
    compose.compose_dataset(data, again, 40, seed=0, workers=2)
    for name in ("train.txt", "texts/composed_00003.txt", "new_joint_vecs/composed_00003.npy"):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_what_is_no_labelled_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels.json"):
        compose.compose_dataset(tmp_path, tmp_path / "out", 1, 0, 1)
    assert not (tmp_path / "out").exists()


def test_captions_keep_the_order(data: Path) -> None:
    rng = random.Random(0)
    for pattern in WORDINGS["in_order"]["train"]:
        assert {"a", "ag"} & set(pattern.replace("{", " ").replace("}", " ").split())
    texts = {caption("in_order", [Act("walk"), Act("bow")], rng) for _ in range(200)}
    assert len(texts) > 190
    assert not [text for text in texts if "{" in text or "*" in text]


def test_training_never_has_a_sentence_of_the_benchmark() -> None:
    lines = "a person does jumping jacks.#a/X#0.0#0.0\nsomebody does star jumps#a/X#0.0#0.0\n"
    assert compose._kept(lines) == lines.splitlines(keepends=True)[1]
    only = lines.splitlines(keepends=True)[0]
    assert compose._kept(only) == only


def test_labels_of_several_actions() -> None:
    assert acts_of("more_walk-then-crouch") == (Act("walk"), Act("crouch"))
    assert acts_of("more_walk-back-then-turn-then-walk_left")[1] == Act("turn", "left")
    assert acts_of("more_side-step-then-side-step_left_right") == ()
    assert acts_of("more_walk-then-fly") == () and acts_of("cmu_climb_ladder") == ()
    assert acts_of("wave_left_proud") == (Act("wave", "left", "proud"),)


def test_further_captions_of_a_clip() -> None:
    rng = random.Random(0)
    ladder = compose.further_captions("cmu_climb_ladder", rng, 60)
    assert len(set(ladder)) > 20 and sum("ladder" in text.lower() for text in ladder) > 50
    corner = "cmu_basketball_forward_dribble_90_degree_{}_turns"
    turns = [compose.further_captions(corner.format(side), rng, 30) for side in ("left", "right")]
    assert all("right" not in text for text in turns[0]) and all("left" not in text for text in turns[1])
    mirrored = compose.further_captions(corner.format("left") + "_mirrored", rng, 30)
    assert all("left" not in text for text in mirrored) and any("right" in text for text in mirrored)
    both = compose.further_captions("more_walk-then-crouch", rng, 30)
    assert len(set(both)) > 25 and compose.further_captions("drawings_dab", rng, 3) == []


def test_who_walks_does_not_stand() -> None:
    rng = random.Random(0)
    texts = {caption("at_once", [Act("walk"), Act("bye", "right")], rng) for _ in range(400)}
    assert not [text for text in texts if "standing" in text]


def test_amounts_are_those_that_were_measured() -> None:
    rng, measures = random.Random(0), Measures(metres=3.02, steps=5, degrees=2, seconds=3, metres_per_second=1.1)
    texts = [caption("single", [Act("walk")], rng, "train", measures) for _ in range(300)]
    said = [text.lower() for text in texts if re.search(r"\bmet(re|er)s?\b", text)]
    assert len(said) > 20
    # Now and then a letter is out of place.
    assert sum("3" in text or "three" in text for text in said) > 0.95 * len(said)
    assert not any("quickly" in text or "slowly" in text for text in texts)
    fast = Measures(metres=6, steps=7, seconds=3, metres_per_second=2.0)
    words = [word for word in WORDINGS["fast"]["train"] if "{" not in word]
    texts = [caption("single", [Act("walk")], rng, "train", fast).lower() for _ in range(300)]
    assert any(word in text for word in words for text in texts)
    assert caption("repeated", [Act("bow")], rng, "heldout", Measures(times=2))


def test_held_out_captions_have_no_typing_errors() -> None:
    texts = {caption("single", [Act("wave", "left")], random.Random(k), "heldout") for k in range(100)}
    assert all("left" in text for text in texts)
    assert len({noisy("a person walks forward slowly", random.Random(k)) for k in range(200)}) > 3
