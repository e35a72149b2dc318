"""Formats of `gen_t2m.py` and `convert.py`: which files are written, from what, and what is refused."""

import os
import subprocess
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.options.gen import GenOptions
from lamp.stages import motion_output
from lamp.stages.motion_output import drawing, save_all
from lamp.utils.capture.checks import LEG_LENGTH, find_unit, leg_length
from lamp.utils.character.character import load_character
from lamp.utils.errors import UserError
from lamp.utils.export.bvh import to_bvh
from lamp.utils.export.fit import forward
from lamp.utils.export.smpl import OFFSETS, PELVIS, TO_Z_UP
from lamp.utils.motion import Motion
from tests.rigs import Recipe, build
from tests.test_export import kit_motion, walk

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ({}, {"npy", "bvh", "mp4"}),
        ({"video": False, "npz": True}, {"npy", "bvh", "npz"}),
        ({"formats": ["npz", "bvh", "npz"]}, {"npz", "bvh"}),
        ({"formats": ["glb", "vrma", "smpl"]}, {"glb", "vrma", "smpl.npz"}),
        ({"formats": ["npy", "mp4"], "video": False}, {"npy"}),
    ],
)
def test_formats_of_a_motion(flags: dict, kinds: set[str], tmp_path: Path) -> None:
    options = GenOptions(text_prompt="walk", **flags)
    first = save_all(Motion(walk(8)), tmp_path, 0, 0, options)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert first in files and {path.name.partition(".")[2] for path in files} == kinds
    assert {path.name.partition(".")[0] for path in files} == {"sample0_repeat0_len8", "sample0_repeat0_len8_ik"}
    assert all((path.suffix in (".npy", ".npz")) == (path.parent.parent.name == "joints") for path in files)


@pytest.mark.parametrize("killed", [False, True])
def test_videos_of_another_process_are_the_same(tmp_path: Path, killed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_output, "_cores", lambda: 2)
    options, motion = GenOptions(text_prompt="walk"), Motion(walk(8), text="a walk")
    first = save_all(motion, tmp_path / "here", 0, 0, options)
    with drawing(options) as process:
        assert process is not None
        if killed:
            with pytest.raises(BrokenExecutor):
                process.submit(os._exit, 1).result()
        assert save_all(motion, tmp_path / "there", 0, 0, options, None, process).name == first.name
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / room).rglob("*.*")} for room in ("here", "there")
    )
    assert here == there and len(here) == 6


def test_no_process_draws_without_videos_cores_or_semaphores(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(prepare: object) -> None:
        raise NotImplementedError("no semaphores")

    for cores, video in ((2, False), (1, True)):
        monkeypatch.setattr(motion_output, "_cores", lambda cores=cores: cores)
        with drawing(GenOptions(text_prompt="walk", video=video)) as process:
            assert process is None
    monkeypatch.setattr(motion_output, "_cores", lambda: 2)
    monkeypatch.setattr(motion_output, "helper", refuse)
    with drawing(GenOptions(text_prompt="walk")) as process:
        assert process is None


def test_a_character_gets_the_motion_too(tmp_path: Path) -> None:
    hero = build(Recipe(), tmp_path / "hero.glb")
    options = GenOptions(text_prompt="walk", formats=["npy"], character=hero)
    save_all(Motion(walk(8)), tmp_path / "out", 0, 0, options, load_character(hero))
    names = {path.name for path in (tmp_path / "out").rglob("*.glb")}
    assert names == {"sample0_repeat0_len8_hero.glb", "sample0_repeat0_len8_ik_hero.glb"}
    with pytest.raises(UserError, match="--character_map goes with"):
        GenOptions(text_prompt="walk", character_map=hero)


def test_formats_of_a_kit_motion(tmp_path: Path) -> None:
    save_all(
        Motion(kit_motion(8)),
        tmp_path,
        0,
        0,
        GenOptions(text_prompt="walk", formats=["npy", "npz", "bvh", "glb", "vrma"]),
    )
    assert {path.suffix for path in tmp_path.rglob("*.*")} == {".npy", ".npz", ".bvh", ".glb", ".vrma"}
    assert np.load(next(tmp_path.rglob("*.npy"))).shape == (8, 21, 3)


def convert(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "convert.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_convert_a_file_and_a_folder(tmp_path: Path) -> None:
    takes, motion = tmp_path / "takes", Motion(walk(40)).with_constant_bones()
    motion.save(takes / "sub" / "walk.npy")
    (takes / "centimetres.bvh").write_text(to_bvh(motion.joints * 100, 30))
    (takes / "bad.bvh").write_text("HIERARCHY")
    ended = convert(takes / "sub" / "walk.npy", tmp_path / "walk.npz", "--fps", "30", "--in_place")
    assert ended.returncode == 0 and not ended.stderr, ended.stderr
    made = Motion.load(tmp_path / "walk.npz")
    assert made.fps == 30 and np.abs(made.joints[:, 0, [0, 2]]).max() == 0
    assert np.abs(made.joints[::3, 0, 1] - motion.joints[::2, 0, 1]).max() < 1e-5
    ended = convert(takes, tmp_path / "out", "--to", "npz")
    assert ended.returncode == 0 and "taken to be in centimetres" in ended.stderr
    assert "bad.bvh" in ended.stderr and "1 of 3 files left out" in ended.stderr
    for name, fps in (("sub/walk", 20), ("centimetres", 30)):
        made = Motion.load(tmp_path / "out" / f"{name}.npz")
        assert made.fps == fps and np.abs(made.joints - motion.joints).max() < 0.002
    assert len(list((tmp_path / "out").rglob("*.*"))) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{walk}", "{out}/a.exe"], "must end in one of"),
        (["{walk}", "{out}/a.bvh", "--fps", "0"], "--fps 0"),
        (["{walk}", "{out}/a.bvh", "--unit", "-1"], "--unit -1"),
        (["{walk}"], "required: OUT"),
        (["{out}/none.npy", "{out}/a.bvh"], "no such file"),
        (["{walk}", "{walk}"], "written over"),
        (["{out}", "{out}/x"], "--to"),
        (["{out}", "{out}/x", "--to", "gltf"], "'gltf'"),
        (["{out}", "{walk}", "--to", "npy"], "is a file"),
        (["{out}", "{out}/x", "--to", "npz"], "would both become"),
        (["{walk}", "{out}/a.bvh", "--to", "bvh"], "--to goes with a folder"),
        (["{out}/bad.bvh", "{out}/a.npy"], "bad.bvh"),
    ],
)
def test_mistakes_of_converting_are_one_line(words: list[str], told: str, tmp_path: Path) -> None:
    places = {"walk": Motion(walk(8)).save(tmp_path / "walk.npy"), "out": tmp_path}
    Motion(walk(8)).save(tmp_path / "walk.bvh")
    (tmp_path / "bad.bvh").write_text("HIERARCHY")
    before = sorted(tmp_path.rglob("*"))
    ended = convert(*(word.format(**places) for word in words))
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2 and told in line and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("scale", "unit"), [(100, "centimetres"), (1000, "millimetres"), (1 / 0.0254, "inches")])
def test_the_unit_is_told_by_the_legs(scale: float, unit: str) -> None:
    joints = torch.from_numpy(walk(4))
    metres, note = find_unit(joints * scale)
    assert metres * scale == pytest.approx(1) and unit in note
    assert find_unit(joints) == (1.0, "")
    metres, note = find_unit(joints * 7)
    assert leg_length(joints * 7 * metres) == pytest.approx(LEG_LENGTH) and "no usual unit" in note


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_smpl_archives_follow_the_motion(noise: float, tmp_path: Path) -> None:
    motion = Motion(walk(40, noise=noise), fps=30.0, text="a walk")
    archive = np.load(motion.save(tmp_path / "m.smpl.npz"))
    assert archive["poses"].shape == (40, 156) and not archive["poses"][:, 66:].any()
    assert np.array_equal(archive["poses"][:, :3], archive["root_orient"])
    assert np.array_equal(archive["poses"][:, 3:66], archive["pose_body"])
    assert archive["betas"].shape == (16,) and not archive["betas"].any() and archive["gender"] == "neutral"
    assert archive["mocap_framerate"] == archive["mocap_frame_rate"] == 30
    # The body model's own chain, in AMASS's axes.
    vectors = torch.from_numpy(archive["poses"][:, :66].reshape(40, 22, 3).astype(np.float64))
    angle = vectors.norm(dim=-1, keepdim=True)
    local = torch.cat(((angle / 2).cos(), vectors / angle.clamp_min(1e-12) * (angle / 2).sin()), dim=-1)
    root = torch.from_numpy(archive["trans"].astype(np.float64) + PELVIS)
    found = forward(OFFSETS, local.numpy(), root.numpy())
    wanted = motion.joints.astype(np.float64) @ TO_Z_UP.T * archive["scale"]
    error = np.linalg.norm(found - wanted, axis=-1)
    assert 0.8 < archive["scale"] < 1.1 and error.mean() < 0.035 and error.max() < 0.12
    assert abs(found[:, [10, 11], 2].min() - wanted[:, [10, 11], 2].min()) < 0.02  # feet on the same floor


def test_smpl_archives_are_of_22_joints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="22 joints, got 21"):
        Motion(kit_motion(4)).save(tmp_path / "m.smpl.npz")
    with pytest.raises(UserError, match="SMPL rotations"):
        Motion.load(Motion(walk(4)).save(tmp_path / "m.smpl.npz"))
    assert not list(tmp_path.glob("m.smpl.npz.*"))
