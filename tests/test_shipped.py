"""The models that ship: a fresh clone generates believable motion without a download."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gen_t2m
from lamp.models.evaluator import load_evaluator
from lamp.models.pipeline import LaMPPipeline
from lamp.utils.capture.joint_map import map_joints
from lamp.utils.capture.skeletons import fit_joint_map
from lamp.utils.capture.take import read_take
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores import physics
from lamp.utils.scores.metrics import r_precision

MINI = Path(__file__).resolve().parent.parent / "checkpoints" / "mini"
PARTS = ("tokenizer", "lamp", "masked", "residual", "length", "evaluator", "m2t")
README_PROMPT = "a person walks forward and waves with the right hand"


@pytest.fixture(scope="module")
def pipe() -> LaMPPipeline:
    return LaMPPipeline.from_pretrained(MINI)


@pytest.mark.parametrize("part", PARTS)
def test_every_model_has_card_and_licence(part):
    card = (MINI / part / "README.md").read_text(encoding="utf-8")
    assert "CC BY-NC 4.0" in card and "Bandai Namco Research" in card and "seed" in card and "train_" in card


@pytest.mark.parametrize("part", PARTS)
def test_what_ships_names_no_folder_of_the_machine_that_trained_it(part):
    for path in (MINI / part).glob("*.json"):
        values = json.loads(path.read_text(encoding="utf-8")).values()
        assert not [value for value in values if isinstance(value, str) and Path(value).is_absolute()], path


def test_weights_are_small():
    size = sum(path.stat().st_size for part in PARTS for path in (MINI / part).glob("*.safetensors"))
    assert size < 150e6


def test_command_of_the_readme(tmp_path, monkeypatch):
    arguments = ["gen_t2m.py", "--gpu_id", "-1", "--text_prompt", README_PROMPT, "--motion_length", "80"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--ext", "first", "--output_dir", str(tmp_path)])
    gen_t2m.main()
    for suffix in ("", "_ik"):
        stem = f"0/sample0_repeat0_len80{suffix}"
        joints = np.load(tmp_path / "first" / "joints" / f"{stem}.npy")
        take = read_take(tmp_path / "first" / "animations" / f"{stem}.bvh")
        played = map_joints(take, fit_joint_map(take).joint_map).numpy()
        assert np.linalg.norm(played - joints, axis=-1).max() < 1e-3
        assert (tmp_path / "first" / "animations" / f"{stem}.mp4").stat().st_size > 10_000


def test_motions_are_human(pipe):
    prompts = ["a person walks forward", "someone waves with a hand", "a man raises both arms", "a person bows"]
    for motion in pipe(prompts, 100, seed=0):
        joints = torch.from_numpy(motion.joints)
        lengths = HUMANML3D.measure_bones(joints)
        expected = torch.tensor(HUMANML3D.bone_lengths)
        assert (lengths[:, 1:] - expected[1:]).abs().mean() < 0.03
        assert (joints[1:] - joints[:-1]).norm(dim=-1).max() * motion.fps < 12
        assert physics.floor_penetration(joints) < 0.05 and physics.floating(joints) < 0.10


def test_text_steers_motion(pipe):
    walk, wave = pipe(["a person walks forward", "a person stands and waves with the left hand"], 100, seed=1)
    travelled = [float(np.linalg.norm(m.joints[-1, 0, ::2] - m.joints[0, 0, ::2])) for m in (walk, wave)]
    assert travelled[0] > 1.5 > 0.6 > travelled[1]
    # Joint 20 is the left wrist, 21 the right: the waving hand rises above its shoulder (16), the other does not.
    assert (wave.joints[:, 20, 1] - wave.joints[:, 16, 1]).max() > 0.05
    assert (wave.joints[:, 21, 1] - wave.joints[:, 17, 1]).max() < 0.05


def test_the_evaluator_knows_what_was_asked_for(pipe):
    evaluator, _ = load_evaluator(MINI, "evaluator", 263)
    captions = {
        "a person walks forward": "a/DET person/NOUN walk/VERB forward/ADV",
        "a person waves with the left hand": "a/DET person/NOUN wave/VERB with/ADP the/DET left/ADJ hand/NOUN",
        "a person raises both hands": "a/DET person/NOUN raise/VERB both/DET hand/NOUN",
        "a person runs": "a/DET person/NOUN run/VERB",
    }
    motions = pipe(list(captions), 100, seed=3)
    features = torch.stack([torch.from_numpy(motion.features) for motion in motions])
    embedded = evaluator.embed_motions(features, torch.full((len(motions),), 100))
    texts = evaluator.embed_texts([tokens.split() for tokens in captions.values()])
    assert r_precision(texts, embedded)[0] >= 0.75


def test_the_captioner_says_what_was_asked_for(pipe):
    words = {
        "a person walks forward": ("walk",),
        "a person waves with the left hand": ("wave", "waving"),
        "a person raises both hands": ("rais", "lift", "hands up"),
        "a person runs": ("run", "jog"),
    }
    captions = pipe.caption(pipe(list(words), 100, seed=3))
    right = [any(word in caption for word in known) for (caption,), known in zip(captions, words.values())]
    assert sum(right) >= 3, captions


@pytest.mark.parametrize("prompt", ["\N{WAVING HAND SIGN}\N{PEDESTRIAN}", "walk " * 2000, "사람이 걷는다", "#!?"])
def test_odd_prompts_give_motion(pipe, prompt):
    assert np.isfinite(pipe(prompt, 40)[0].joints).all()
