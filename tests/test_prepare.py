"""Raw motion capture to a data set: readers, joint maps, cutting, filters, splits."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.data.caption_table import CaptionRow, Described, Skipped, read_caption_table, write_captions
from lamp.prepare import build_dataset, write_dataset
from lamp.prepare.clips import CutOptions, Job, broken, process_job
from lamp.prepare.own_captures import plan_folder
from lamp.prepare.plan import ClipText, Plan
from lamp.utils.capture.files import find_motion_files, read_motion
from lamp.utils.capture.joint_map import load_joint_map, map_joints
from lamp.utils.capture.joints import read_joints
from lamp.utils.capture.skeletons import fit_joint_map, tables
from lamp.utils.capture.take import Take, read_take
from lamp.utils.capture.upright import check_handedness, upright
from lamp.utils.errors import UserError
from lamp.utils.export.bvh import to_bvh
from lamp.utils.kinematics.features import canonicalize, features_to_joints, mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D

LENGTHS = torch.tensor(HUMANML3D.bone_lengths)
SMALL_BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Arm
  {
    OFFSET 1 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.05
0 1 0 0 0 0 0 0 0
0 1 0 90 0 0 0 0 0
0 1 0 0 0 90 90 0 0
"""
ASF = """:version 1.10
:units
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 2
     axis 0 0 90 XYZ
    dof rx rz
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
    dof rx
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""


@pytest.fixture(scope="module")
def walk(sample_data) -> torch.Tensor:
    """Joints (T, 22, 3) of a procedural clip."""
    return torch.from_numpy(np.load(sample_data / "new_joints" / "000000.npy"))


@pytest.fixture
def walk_bvh(walk, tmp_path) -> Path:
    """The clip as a BVH file."""
    path = tmp_path / "walk.bvh"
    path.write_text(to_bvh(walk.numpy(), 20.0))
    return path


def test_bvh_forward_kinematics_by_hand(tmp_path):
    path = tmp_path / "small.bvh"
    path.write_text(SMALL_BVH)
    take = read_take(path)
    assert take.names == ["Hips", "Arm", "Arm_end"] and take.fps == pytest.approx(20)
    expected = [
        [[0, 1, 0], [1, 1, 0], [1, 3, 0]],
        [[0, 1, 0], [0, 2, 0], [-2, 2, 0]],  # the root turns 90 degrees about z
        [[0, 1, 0], [0, 1, -1], [0, 1, 1]],  # the root about y, then the arm about z
    ]
    torch.testing.assert_close(take.positions, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=0)


def test_position_channels_replace_offsets(tmp_path):
    text = SMALL_BVH.replace("CHANNELS 3 Zrotation", "CHANNELS 6 Xposition Yposition Zposition Zrotation")
    rows = ["0 1 0 0 0 0 1 0 0 0 0 0"] * 3
    path = tmp_path / "positions.bvh"
    path.write_text(text.split("Frame Time")[0] + "Frame Time: 0.05\n" + "\n".join(rows) + "\n")
    assert read_take(path).positions[0, 1].tolist() == [1, 1, 0]


def test_amc_forward_kinematics_by_hand(tmp_path):
    (tmp_path / "01.asf").write_text(ASF)
    (tmp_path / "01_01.amc").write_text(
        "#!OML\n:FULLY-SPECIFIED\n:DEGREES\n"
        "1\nroot 0 5 0 0 0 0\nthigh 0 0\nshin 0\n2\nroot 0 5 0 0 90 0\nthigh 90 0\nshin 0\n"
    )
    positions = read_take(tmp_path / "01_01.amc").positions
    still, turned = positions
    assert still.tolist() == [[0, 5, 0], [0, 3, 0], [0, 0, 0]]
    # The thigh's x axis is turned 90 degrees about z, so rx swings about y, which the downward bone does not feel.
    torch.testing.assert_close(turned, still, atol=1e-9, rtol=0)


def test_resampling_keeps_bone_lengths(walk_bvh):
    take = read_take(walk_bvh, fps=33.0)
    parents = torch.tensor(take.parents[1:])
    lengths = (take.positions[:, 1:] - take.positions[:, parents]).norm(dim=-1)
    assert (lengths - lengths[0]).abs().max() < 1e-9


def test_our_own_bvh_reads_back_as_the_same_joints(walk, walk_bvh):
    take = read_take(walk_bvh)
    joints = map_joints(take, fit_joint_map(take).joint_map)
    assert (joints - walk).norm(dim=-1).max() < 2e-3


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "MOTION"),
        (SMALL_BVH.replace("90", "ninety"), "ninety"),
        (SMALL_BVH.replace("0 1 0 90 0 0 0 0 0", "0 1 0"), "channels"),
        (SMALL_BVH.replace("0 1 0 90 0", "0 1 0 nan 0"), "finite"),
        (SMALL_BVH.replace("Zrotation", "Wobble", 1), "channel"),
        ("HIERARCHY ROOT Hips { OFFSET 0 0 MOTION\nFrames: 1", "breaks off"),
    ],
)
def test_broken_bvh_is_a_clear_error(content, word, tmp_path):
    path = tmp_path / "broken.bvh"
    path.write_text(content)
    with pytest.raises(UserError, match=word) as error:
        read_take(path)
    assert "broken.bvh" in str(error.value)


def skeleton_of_table(name: str, prefix: str = "") -> Take:
    """A skeleton with the joints of a table, hung on each other as a body's, in one frame."""
    table = tables()[name]
    own = {joint: sources[0] for joint, sources in table.entries.items() if isinstance(sources[0], str)}
    names, parents = list(own.values()), list[int]()
    for joint in own:
        parent = HUMANML3D.parents[HUMANML3D.joint_names.index(joint)]
        while parent > 0 and HUMANML3D.joint_names[parent] not in own:
            parent = HUMANML3D.parents[parent]
        parents.append(-1 if joint == "pelvis" else names.index(own[HUMANML3D.joint_names[max(parent, 0)]]))
    names += table.requires
    parents += [0] * len(table.requires)
    order = sorted(range(len(names)), key=lambda i: _depth(parents, i))
    place = {i: k for k, i in enumerate(order)}
    positions = torch.randn(1, len(names), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Take([prefix + names[i] for i in order], [place.get(parents[i], -1) for i in order], positions, 20.0)


def _depth(parents: list[int], joint: int) -> int:
    return 0 if parents[joint] < 0 else 1 + _depth(parents, parents[joint])


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "Person 1_"])
@pytest.mark.parametrize("table", sorted(tables()))
def test_tables_map_all_joints_and_are_found(table, prefix):
    take = skeleton_of_table(table, prefix)
    fit = fit_joint_map(take)
    assert fit.name == table and set(fit.joint_map) == set(HUMANML3D.joint_names)
    assert map_joints(take, fit.joint_map).isfinite().all()
    for left, right in HUMANML3D.mirror_pairs:
        assert fit.joint_map[HUMANML3D.joint_names[left]] != fit.joint_map[HUMANML3D.joint_names[right]]


def test_interpolated_joints_lie_between():
    names = ["Chest2", "LeftShoulder"]
    take = Take(names, [-1, 0], torch.tensor([[[0.0, 0, 0], [2.0, 0, 4]]]), 20.0)
    table = {joint: ("Chest2", "LeftShoulder", 0.25) for joint in HUMANML3D.joint_names}
    assert map_joints(take, table)[0, 5].tolist() == [0.5, 0, 1]


def test_unknown_skeleton_and_bad_joint_maps_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="--joint_map"):
        fit_joint_map(Take(["Bone.001", "Bone.002"], [-1, 0], torch.zeros(1, 2, 3), 20.0))
    path = tmp_path / "map.json"
    names = dict.fromkeys(HUMANML3D.joint_names, "Hips")
    for table, word in (
        ({"pelvis": "Hips"}, "missing"),
        (["pelvis"], "object"),
        (names | {"head": 3}, "head must be"),
        (names | {"neck": ["Hips", "Head"]}, "neck must be"),
    ):
        path.write_text(json.dumps(table))
        with pytest.raises(UserError, match=word):
            load_joint_map(path)
    path.write_text(json.dumps(names | {"neck": ["Hips", "Head", 1]}))
    assert load_joint_map(path)["neck"] == ("Hips", "Head", 1.0)


def test_a_calibration_pose_at_the_start_is_dropped(walk, tmp_path):
    still = walk[:1].expand(2, -1, -1) + torch.tensor([0.0, 0.0, 5.0])
    path = tmp_path / "calibrated.bvh"
    path.write_text(to_bvh(torch.cat([still, walk]).numpy(), 20.0))
    captured = read_joints(path)
    assert captured.lead_in == pytest.approx(0.1) and len(captured.joints) == len(walk)
    assert (captured.joints - walk).norm(dim=-1).max() < 2e-3


def test_motion_files_are_found_and_read_by_any_command(walk, walk_bvh):
    folder = walk_bvh.parent
    (folder / "more").mkdir()
    np.save(folder / "more" / "JOINTS.npy", walk.numpy())
    (folder / "notes.txt").write_text("no motion")
    files = find_motion_files(folder)
    assert list(files) == ["more/JOINTS.npy", "walk.bvh"] and find_motion_files(walk_bvh) == {"walk.bvh": walk_bvh}
    capture, array = read_motion(files["walk.bvh"]), read_motion(files["more/JOINTS.npy"])
    assert capture.fps == 20 and np.abs(capture.joints - array.joints).max() < 2e-3
    with pytest.raises(UserError, match=r"--source .*notes.txt"):
        find_motion_files(folder / "notes.txt", "--source")


def test_caption_tables_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "captions.csv"
    rows = [
        Described("a.bvh", ["one", 'two, "quoted"'], 0.5, 2.25),
        Skipped("b.bvh", "broken"),
        Described("c.npy", ["x"]),
    ]
    write_captions(path, rows)
    assert read_caption_table(path) == {
        "a.bvh": [CaptionRow("a.bvh", "one", 0.5, 2.25), CaptionRow("a.bvh", 'two, "quoted"', 0.5, 2.25)],
        "c.npy": [CaptionRow("c.npy", "x")],
    }


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_any_up_axis_is_found(walk, axis, sign):
    # Put the up axis elsewhere by a rotation: a cyclic change of axes, and half a turn for the negative sign.
    turned = walk * walk.new_tensor([sign, sign, 1.0])
    turned = turned[..., [(1 - axis) % 3, (2 - axis) % 3, (3 - axis) % 3]]
    back = upright(turned)
    assert back[:, 15, 1].mean() > back[:, 10, 1].mean() + 1
    assert check_handedness(back)
    torch.testing.assert_close(HUMANML3D.measure_bones(back), HUMANML3D.measure_bones(walk))


def test_swapped_sides_are_noticed(walk):
    swapped = walk[:, list(HUMANML3D.mirror_order)]
    assert check_handedness(walk) and not check_handedness(swapped)
    assert check_handedness(mirror_joints(walk, HUMANML3D))


def test_filters_name_the_reason(walk):
    canonical = canonicalize(walk, HUMANML3D, LENGTHS)
    assert broken(canonical, CutOptions()) is None
    jump = canonical.clone()
    jump[10:, :, 0] += 1.0
    assert "m/s" in broken(jump, CutOptions())
    stairs = canonical.clone()
    stairs[..., 1] += torch.linspace(0, 1, len(stairs))[:, None]
    assert "stairs" in broken(stairs, CutOptions())


def test_long_takes_are_cut_and_short_ones_dropped(walk, tmp_path):
    long = torch.cat([walk, walk.flip(0)] * 6)[:450]
    (tmp_path / "long.bvh").write_text(to_bvh(long.numpy(), 20.0))
    result = process_job(Job(tmp_path / "long.bvh", "long"), CutOptions())
    assert [clip.id for clip in result.clips] == ["long_p0", "long_p1", "long_p2"]
    assert all(40 <= len(clip.features) <= 196 for clip in result.clips)
    (tmp_path / "short.bvh").write_text(to_bvh(walk[:20].numpy(), 20.0))
    result = process_job(Job(tmp_path / "short.bvh", "short"), CutOptions())
    assert not result.clips and "shorter" in result.dropped[0][1]


def test_a_clip_is_upright_on_the_floor_and_faces_z(walk_bvh):
    clip = process_job(Job(walk_bvh, "walk"), CutOptions()).clips[0]
    joints = features_to_joints(torch.from_numpy(clip.features))
    assert abs(joints[..., 1].min()) < 0.02 and joints[0, 0, ::2].abs().max() < 1e-5
    toes = joints[0, [10, 11]].mean(0) - joints[0, [7, 8]].mean(0)
    assert toes[2] > 0
    mirrored = features_to_joints(torch.from_numpy(clip.mirrored))
    expected = mirror_joints(joints, HUMANML3D)
    assert (mirrored - expected).norm(dim=-1).max() < 0.02


def test_own_folder_with_caption_table(walk, tmp_path, monkeypatch, capsys):
    source = tmp_path / "bvh"
    source.mkdir()
    for i in range(6):
        (source / f"clip{i}.bvh").write_text(to_bvh(walk[: 60 + i].numpy(), 20.0))
    (source / "broken.bvh").write_text("HIERARCHY")
    (source / "uncaptioned.bvh").write_text("")
    with (tmp_path / "captions.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["file", "caption", "start", "end", "split"])
        writer.writerows([[f"clip{i}.bvh", "a person walks to the left", "", "", "train"] for i in range(5)])
        writer.writerow(["clip5.bvh", "the r\u00e9sum\u00e9 # of a walk", "0", "2.2", "test"])
        writer.writerow(["broken.bvh", "nothing", "", "", ""])
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["tag/X" for _ in texts])
    arguments = ["x", "--source", str(source), "--captions", str(tmp_path / "captions.csv"), "--workers", "1"]
    monkeypatch.setattr("sys.argv", [*arguments, "--out", str(tmp_path / "mine")])
    build_dataset.main()
    out = tmp_path / "mine"
    assert "uncaptioned.bvh" in capsys.readouterr().out
    assert (out / "train.txt").read_text().split() == [f"{m}clip{i}" for i in range(5) for m in ("", "M")]
    assert (out / "test.txt").read_text().split() == ["clip5", "Mclip5"]
    assert "right" in (out / "texts" / "Mclip0.txt").read_text()
    assert (out / "texts" / "clip5.txt").read_text(encoding="utf-8").count("#") == 3
    report = json.loads((out / "report.json").read_text())
    assert report["dropped"] == 1 and "broken.bvh" in report["dropped_clips"][0]["reason"]
    assert np.load(out / "new_joint_vecs" / "clip5.npy").shape == (44, 263)
    assert np.load(out / "Std.npy").min() > 0


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ("caption\nx\n", "file"),
        ("file,caption\na.bvh,\n", "line 2"),
        ("file,caption,start\na.bvh,x,soon\n", "seconds"),
        ("file,caption\n", "no rows"),
        ("file,caption\nmissing.bvh,x\n", "missing.bvh"),
    ],
)
def test_bad_caption_tables(rows, word, tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text(rows)
    with pytest.raises(UserError, match=word):
        plan_folder(tmp_path, path, seed=0)


def test_a_folder_of_something_else_is_never_replaced(walk_bvh, tmp_path):
    plan = Plan([Job(walk_bvh, "walk")], lambda clip: ClipText(["x"], ["x"]))
    with pytest.raises(UserError, match="--out"):
        build_dataset.build(plan, tmp_path, CutOptions(), workers=1)
    assert walk_bvh.is_file()
