"""Small files as other programs write them, each read as it should be or refused by name (tests/cases).

All motions are one synthetic person who walks forward and raises the right arm; `07/walk.bvh` is the plain file.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.data.caption_table import read_caption_table
from lamp.prepare import build_dataset, write_dataset
from lamp.prepare.clips import CutOptions, Job, process_job
from lamp.utils.capture.files import read_motion
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.capture.joints import read_joints
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.skeleton import HUMANML3D

CASES = Path(__file__).parent / "cases"
WALK = CASES / "07" / "walk.bvh"
NEAR = 2.0
"""Centimetres, the unit of the files."""
READ = (
    (
        "01/Wave Hello (1).bvh 03/mixamo.bvh 03/xsens.bvh 09/accad.bvh 09/bip.bvh 09/daz_lower.bvh 09/fbx_2spine.bvh "
        "09/mixamo_underscore.bvh 09/mocapbank.bvh 09/neuron.bvh 09/smpl_caps.bvh 09/unreal.bvh 09/vroid.bvh "
        "12/comma.bvh 12/endsite_joined.bvh 12/frames_space_colon.bvh 12/frametime_joined.bvh 12/lowercase_kw.bvh "
        "12/motion_name.bvh 12/utf16.bvh 21/allpos_zero.bvh"
    )
    .replace(".bvh ", ".bvh|")
    .split("|")
)
REFUSED = {
    "12/nanind.bvh": "'-1.#IND', channel 1 of frame 1, is not a number",
    "12/time0.bvh": "Frame Time 0.000000 is not the seconds of one frame",
    "16/mirrored.bvh": "left and right",
    "16/mirrored.npy": "left and right",
    "16/ydown.npy": "--up=-y",
    "17/mdm_results.npy": "never opened",
    "fuzz/ft_1e-320.bvh": "Frame Time 1e-320",
    "fuzz/ft_1e9.bvh": "Frame Time 1e9",
    "fuzz/ft_inf.bvh": "Frame Time inf",
    "fuzz/nochan.bvh": "no CHANNELS",
    "fuzz/off.bvh": "breaks off",
    "fuzz/stop.bvh": "breaks off",
}


@pytest.fixture(scope="module")
def walk() -> torch.Tensor:
    return read_joints(WALK).joints


@pytest.mark.parametrize("name", READ)
def test_read_like_the_plain_file(name, walk):
    joints = read_joints(CASES / name).joints
    assert joints.shape == walk.shape
    assert (joints - walk).norm(dim=-1).max() < NEAR


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_by_what_is_wrong(name):
    with pytest.raises(UserError) as error:
        read_motion(CASES / name)
    text = str(error.value)
    assert REFUSED[name] in text and name in text and "\n" not in text
    assert len(text.replace(str(CASES), "")) < 300
    dropped = process_job(Job(CASES / name, "x"), CutOptions())
    assert not dropped.clips and dropped.unread and REFUSED[name] in dropped.dropped[0][1]


def test_rotations_of_amass_are_no_positions(tmp_path):
    path = tmp_path / "amass.npz"
    np.savez(path, poses=np.zeros((20, 156)), trans=np.zeros((20, 3)), betas=np.zeros(16), mocap_framerate=120.0)
    with pytest.raises(UserError, match=r"amass.npz holds SMPL rotations.*build_humanml3d"):
        read_motion(path)


@pytest.mark.parametrize("layout", ["flat", "one more", "mdm", "smpl", "smplh", "float16", "fortran"])
def test_layouts_of_arrays(layout, tmp_path):
    joints = np.load(CASES / "16" / "mirrored.npy")[:, list(HUMANML3D.mirror_order)].astype(np.float32)
    hands = np.repeat(joints[:, 20:22], 15, axis=1)
    made = {
        "flat": joints.reshape(len(joints), 66),
        "one more": joints[None],
        "mdm": joints.transpose(1, 2, 0)[None],
        "smpl": np.concatenate((joints, hands[:, :2]), axis=1),
        "smplh": np.concatenate((joints, hands), axis=1),
        "float16": joints.astype(np.float16),
        "fortran": np.asfortranarray(joints),
    }[layout]
    np.save(tmp_path / "a.npy", made)
    np.savez(tmp_path / "a.npz", joints=made, fps=20)
    for name in ("a.npy", "a.npz"):
        read = read_motion(tmp_path / name).joints
        assert read.shape == joints.shape and np.abs(read - joints).max() < 2e-3
        clip = process_job(Job(tmp_path / name, "a"), CutOptions())
        assert not clip.dropped and len(clip.clips) == 1


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.random.default_rng(0).normal(size=(40, 66)), "no row of joint positions"),
        (np.zeros((2, 40, 22, 3)), "2 motions"),
        (np.zeros((40, 22, 3)), "no length"),
        (np.full((40, 22, 3), "a"), "not real numbers"),
        (np.full((40, 22, 3), 1e300), "NaN or infinite"),
        (100 * np.load(CASES / "16" / "mirrored.npy"), "metres"),
        (np.load(CASES / "16" / "mirrored.npy")[..., [0, 2, 1]], "+z"),
    ],
)
def test_arrays_that_are_no_motion(array, word, tmp_path):
    np.save(tmp_path / "a.npy", array)
    for read in (read_motion, read_joints):
        with pytest.raises(UserError) as error:
            read(tmp_path / "a.npy")
        assert word in str(error.value) and "a.npy" in str(error.value)


def test_flying_bodies_are_refused(tmp_path):
    joints = np.load(CASES / "16" / "mirrored.npy")[:, list(HUMANML3D.mirror_order)]
    np.save(tmp_path / "up.npy", joints + np.linspace(0, 5, len(joints))[:, None, None] * [0, 1, 0])
    np.save(tmp_path / "jump.npy", joints + (np.arange(len(joints)) > 30)[:, None, None] * [5.0, 0, 0])
    for name, word in (("up", "rises"), ("jump", "m/s")):
        with pytest.raises(UserError, match=word):
            read_motion(tmp_path / f"{name}.npy")
        assert process_job(Job(tmp_path / f"{name}.npy", "x"), CutOptions()).dropped


def test_a_stated_axis_is_obeyed():
    joints = read_motion(CASES / "16" / "ydown.npy", up="-y").joints
    assert joints[:, 15, 1].min() > joints[:, 10, 1].max() + 1


@pytest.mark.parametrize("name", ["crawl", "lie_stomach"])
@pytest.mark.parametrize("up", [None, "+y"])
def test_lying_stays_lying(name, up):
    result = process_job(Job(CASES / "04" / f"{name}.bvh", name), CutOptions(up=up))
    assert not result.dropped and len(result.clips) == 1
    joints = features_to_joints(torch.from_numpy(result.clips[0].features))
    # The crawling person's arms are straight, and lift the head.
    highest = {"crawl": 0.9, "lie_stomach": 0.5}[name]
    assert 0.1 < joints[:, 15, 1].min() and joints[:, 15, 1].max() < highest and joints[:, 0, 1].max() < 0.8


def test_amc_headers_are_obeyed():
    base, radians = (read_joints(CASES / "06" / kind / "01_01.amc").joints for kind in ("base", "rad"))
    assert (base - radians).norm(dim=-1).max() < 0.01 * base[:, 15, 1].mean()


def test_the_skeleton_of_the_longest_name_is_found():
    take = read_joints(CASES / "18" / "HDM_bd_walk_001_120.amc")
    assert (take.joints - read_joints(CASES / "06" / "base" / "01_01.amc").joints).norm(dim=-1).max() < 1e-6


def test_a_joint_map_with_the_names_of_the_file(walk):
    table = load_joint_map(CASES / "10" / "mixamo_prefix.json")
    joints = read_joints(CASES / "10" / "mixamo_prefix.bvh", joint_map=table).joints
    assert (joints - walk).norm(dim=-1).max() < NEAR


def test_a_pose_before_the_motion_is_cut():
    captured = read_joints(CASES / "13" / "tpose_1s.bvh")
    assert captured.lead_in == pytest.approx(1.0) and len(captured.joints) == 50
    assert not process_job(Job(CASES / "13" / "tpose_1s.bvh", "x"), CutOptions()).dropped


@pytest.mark.parametrize("name", "backslash cp1252 header_caps header_space semicolon tab utf16".split())
def test_tables_that_are_clear(name):
    table = read_caption_table(CASES / "19" / f"{name}.csv")
    if name == "backslash":
        assert list(table) == ["sub dir/jump (1).bvh"]
    elif name == "cp1252":
        assert table["walk.bvh"][0].caption == "a person walks to the caf\u00e9"
    else:
        assert [row.caption for rows in table.values() for row in rows][:2] == [
            "a person walks and raises the right arm",
            "a person waves hello",
        ]
        assert len(table) == 6 and "\u8d70\u308b/\u6b65\u884c.bvh" in table


@pytest.mark.parametrize(("name", "word"), [("comma_in_cap", "double quotes"), ("segrev", "end must come after start")])
def test_tables_that_would_lose_something(name, word):
    with pytest.raises(UserError, match=rf"{name}.csv line 2: .*{word}"):
        read_caption_table(CASES / "07" / f"{name}.csv")


def test_file_names_with_blanks_and_brackets(tmp_path, monkeypatch):
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["tag/X" for _ in texts])
    monkeypatch.setattr(build_dataset, "find_spacy_model", lambda: "none")
    arguments = ["--source", str(CASES / "01"), "--captions", str(CASES / "01" / "captions.csv"), "--workers", "1"]
    monkeypatch.setattr("sys.argv", ["x", *arguments, "--out", str(tmp_path / "mine")])
    build_dataset.main()
    assert (tmp_path / "mine" / "all.txt").read_text().split() == ["Wave_Hello_1", "MWave_Hello_1"]
    assert np.load(tmp_path / "mine" / "new_joint_vecs" / "Wave_Hello_1.npy").shape == (44, 263)
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report["files"] == {"Wave_Hello_1": "Wave Hello (1).bvh"}


@pytest.mark.parametrize("takes", [1, 2, 3, 4, 5, 7, 10, 14, 15])
def test_small_sets_have_every_split(takes, tmp_path, monkeypatch, capsys):
    source = tmp_path / "bvh"
    source.mkdir()
    for i in range(takes):
        (source / f"clip{i}.bvh").write_bytes(WALK.read_bytes())
    (source / "bad.bvh").write_text("HIERARCHY")
    with (tmp_path / "captions.csv").open("w", newline="") as file:
        names = [f"clip{i}.bvh" for i in range(takes)] + ["bad.bvh"]
        csv.writer(file).writerows([("file", "caption"), *((name, "a person walks") for name in names)])
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["tag/X" for _ in texts])
    monkeypatch.setattr(build_dataset, "find_spacy_model", lambda: "none")
    arguments = ["--source", str(source), "--captions", str(tmp_path / "captions.csv"), "--workers", "1"]
    monkeypatch.setattr("sys.argv", ["x", *arguments, "--out", str(tmp_path / "mine")])
    build_dataset.main()
    splits = {name: (tmp_path / "mine" / f"{name}.txt").read_text().split() for name in ("train", "val", "test")}
    assert all(splits.values())
    errors = capsys.readouterr().err
    assert "left out: bad" in errors and f"1 of {takes + 1} files could not be used" in errors
    several = takes < 3
    assert (len(set().union(*splits.values())) < sum(map(len, splits.values()))) == several
    assert ("say nothing of new motion" in errors) == several
