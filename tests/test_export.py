"""Motion files: BVH, npz, npy, mp4; skeleton fitting, foot clean-up and physical measures."""

import dataclasses
import json
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from golden import load_golden

from lamp.utils.capture.bvh import parse_bvh
from lamp.utils.errors import UserError
from lamp.utils.export.body_plan import HUMAN_PLAN, KIT_PLAN
from lamp.utils.export.bvh import to_bvh
from lamp.utils.export.fit import fit_skeleton, fit_skeletons, rest_directions, solve_rotations
from lamp.utils.export.npz import read_npz
from lamp.utils.export.rotations import EULER_ORDERS, continuous_euler, one_thread
from lamp.utils.export.scene import DARK, LEFT, LIGHT, PATH, RIGHT, Scene, Style
from lamp.utils.export.video import render_frames, write_mp4
from lamp.utils.kinematics.features import joints_to_features
from lamp.utils.kinematics.foot_contact import FEET, clean_feet, detect_contacts, floor_height, remove_foot_skate
from lamp.utils.kinematics.geometry import quat_from_euler, quat_multiply, quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.scores.physics import floating, floor_penetration, foot_skating_ratio, foot_sliding, jitter
from tests.marks import needs_golden

BVH_JOINTS = [(name, joint) for joint, name, _ in HUMAN_PLAN.bones]
PARENTS, CHILDREN = HUMAN_PLAN.parents, HUMAN_PLAN.children
ASSETS = Path(__file__).resolve().parent.parent / "assets"
SMALL = Style(size=(96, 96))


def forward(
    offsets: torch.Tensor, local: torch.Tensor, root: torch.Tensor, parents: Sequence[int] = HUMAN_PLAN.parents
) -> torch.Tensor:
    """Joints (T, J, 3) of local rotations (T, J, 4)."""
    world, position = [local[:, 0]], [root]
    for joint in range(1, len(offsets)):
        parent = parents[joint]
        position.append(position[parent] + quat_rotate(world[parent], offsets[joint]))
        world.append(quat_multiply(world[parent], local[:, joint]))
    return torch.stack(position, dim=1)


def walk(frames: int = 80, slide: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """A walking figure (T, 22, 3): swinging limbs, the lower foot at rest on the floor unless `slide` (m/s)."""
    lengths = torch.tensor(HUMANML3D.bone_lengths, dtype=torch.float64)
    offsets = rest_directions() * lengths[:, None]
    phase = 2 * np.pi * torch.arange(frames, dtype=torch.float64) / 24
    euler = torch.zeros(frames, 22, 3, dtype=torch.float64)
    euler[:, 1, 2], euler[:, 2, 2] = -0.4 * torch.sin(phase), 0.4 * torch.sin(phase)
    euler[:, 4, 2], euler[:, 5, 2] = 0.5 + 0.4 * torch.cos(phase), 0.5 - 0.4 * torch.cos(phase)
    euler[:, 7, 2], euler[:, 8, 2] = -0.2, -0.2
    euler[:, 16, 0], euler[:, 17, 0] = -1.2, 1.2
    euler[:, 18, 1], euler[:, 19, 1] = -0.5 - 0.3 * torch.sin(phase), 0.5 - 0.3 * torch.sin(phase)
    joints = forward(offsets, quat_from_euler(euler, "zyx"), torch.zeros(frames, 3, dtype=torch.float64)).numpy()
    toes = joints[:, [FEET[1], FEET[3]]]
    lower = toes[..., 1].argmin(1)
    support = np.take_along_axis(toes, lower[:, None, None], axis=1)[:, 0]
    step = toes[np.arange(frames - 1), lower[1:]] - support[1:]
    root = np.concatenate((np.zeros((1, 3)), step.cumsum(0)))
    root[:, 0] += slide * np.arange(frames) / 20
    root[:, 1] = 0.025 - support[:, 1]
    joints = joints + root[:, None]
    return joints + noise * np.random.default_rng(0).standard_normal(joints.shape)


def read_bvh(text: str) -> tuple[list[str], np.ndarray, np.ndarray, float]:
    """Joint names, offsets (22, 3), joints (T, 22, 3) in the file's order, and frame time; a reader of its own."""
    head, motion = text.split("MOTION\n")
    names = re.findall(r"(?:ROOT|JOINT) (\S+)", head)
    offsets = np.array(re.findall(r"(?:ROOT|JOINT) \S+\s*{\s*OFFSET (\S+) (\S+) (\S+)", head), dtype=float)
    parents, stack = [], []
    for line in head.splitlines():
        word = line.strip().split(" ")[0]
        if word in ("ROOT", "JOINT", "End"):
            parents += [stack[-1] if stack else -1] if word != "End" else []
            current = len(parents) - 1 if word != "End" else -1
        stack = [*stack, current] if word == "{" else stack[:-1] if word == "}" else stack
    lines = motion.strip().splitlines()
    rows = np.array([line.split() for line in lines[2:]], dtype=float)
    assert lines[0] == f"Frames: {len(rows)}"
    local = quat_from_euler(torch.from_numpy(np.deg2rad(rows[:, 3:])).reshape(len(rows), -1, 3), "ZYX")
    world, position = [local[:, 0]], [torch.from_numpy(rows[:, :3] + offsets[0])]
    for joint in range(1, len(names)):
        parent = parents[joint]
        position.append(position[parent] + quat_rotate(world[parent], torch.from_numpy(offsets[joint])))
        world.append(quat_multiply(world[parent], local[:, joint]))
    return names, offsets, torch.stack(position, dim=1).numpy(), float(lines[1].split(": ")[1])


@pytest.mark.parametrize("frames", [1, 2, 80])
def test_bvh_plays_back_the_motion(frames: int) -> None:
    joints = walk(80)[:frames]
    names, offsets, played, frame_time = read_bvh(to_bvh(joints, 20.0))
    assert names == [name for name, _ in BVH_JOINTS]
    assert frame_time == pytest.approx(0.05)
    assert np.abs(offsets[0]).max() == 0
    order = [index for _, index in BVH_JOINTS]
    assert np.abs(played - joints[:, order]).max() < 1e-5


def test_bvh_equals_the_fit_where_bones_change_length() -> None:
    joints = walk(noise=0.01)
    fit = fit_skeleton(joints)
    order = [index for _, index in BVH_JOINTS]
    assert np.abs(read_bvh(to_bvh(joints, 20))[2] - fit.joints[:, order]).max() < 1e-5
    assert np.linalg.norm(fit.joints - joints, axis=-1).mean() < 0.02
    assert HUMANML3D.measure_bones(torch.from_numpy(fit.joints)).std(0).max() < 1e-9
    again = fit_skeleton(fit.joints)
    assert np.abs(again.joints - fit.joints).max() < 1e-9


def test_motions_are_fitted_together_as_each_alone() -> None:
    """The same bits, for any lengths and noise, and both skeletons: no iteration, sum or filter reaches another."""
    sizes = ((1, 0.0), (2, 0.1), (61, 0.0), (40, 0.3), (3, 0.01), (80, 0.02))
    motions = [walk(80, noise=noise)[:frames] for frames, noise in sizes]
    motions.insert(3, walk(50, noise=0.01)[:, :21])  # KIT-ML's joints are others, but 21 in a tree
    for joints, fit in zip(motions, fit_skeletons(motions), strict=True):
        alone = fit_skeleton(joints)
        for name in ("offsets", "rotations", "root", "joints"):
            np.testing.assert_array_equal(getattr(fit, name), getattr(alone, name), err_msg=name)
    assert fit_skeletons([]) == []


def test_bvh_rest_pose_is_a_t_pose() -> None:
    offsets = fit_skeleton(walk()).offsets
    for left, right in ((18, 19), (20, 21)):
        assert offsets[left][0] > 0.2 and np.abs(offsets[left][1:]).max() < 1e-9
        assert offsets[right][0] < -0.2 and np.abs(offsets[right][1:]).max() < 1e-9
    for joint in (4, 5, 7, 8):
        assert offsets[joint][1] < -0.3 and np.abs(offsets[joint][[0, 2]]).max() < 1e-9
    assert offsets[10][2] > 0.1 and offsets[11][2] > 0.1
    assert offsets[1][0] > 0 > offsets[2][0]


def test_knees_flex_about_their_hinge_only() -> None:
    fit = fit_skeleton(walk())
    knees = fit.rotations[:, [4, 5]]
    turn = 2 * np.arctan2(knees[..., 1], knees[..., 0])
    assert np.abs(knees[..., 2:]).max() < 0.05  # about x alone
    assert turn.min() > 0 and turn.max() < 2


@pytest.mark.parametrize("order", EULER_ORDERS)
def test_euler_angles_do_not_jump(order: str) -> None:
    time = torch.linspace(0, 1, 200, dtype=torch.float64)
    angles = torch.stack((9 * time, 2 + 1.2 * torch.sin(7 * time), -8 * time), dim=-1)
    q = quat_from_euler(angles, order)
    euler = continuous_euler(q, order)
    assert euler.diff(dim=0).abs().max() < 0.2
    assert (quat_from_euler(euler, order) * q).sum(-1).abs().min() > 1 - 1e-9


TURNS = {"spin": "Y", "cartwheel": "Z", "somersault": "X"}


@pytest.mark.parametrize("heading", [0, 45, 90, 180])
@pytest.mark.parametrize("lean", [0.0, 0.3])
@pytest.mark.parametrize("kind", TURNS)
def test_bvh_rotations_are_continuous(kind: str, heading: int, lean: float) -> None:
    joints = torch.from_numpy(walk(60) - walk(60)[:, :1] * [1, 0, 1])
    turn = torch.linspace(0, 4 * np.pi, 60, dtype=torch.float64)
    q = quat_multiply(quat_from_euler(turn[:, None], TURNS[kind]), quat_from_euler(turn.new_tensor([[lean]]), "X"))
    q = quat_multiply(quat_from_euler(turn.new_tensor([[np.deg2rad(heading)]]), "Y"), q)
    root = joints[:, :1]
    joints = (root + quat_rotate(q[:, None], joints - root)).numpy()
    text = to_bvh(joints, 20)
    recording = parse_bvh(text)
    order = [index for _, index in BVH_JOINTS]
    played = recording.global_positions()[:, [i for i, n in enumerate(recording.rig.names) if not n.endswith("_end")]]
    assert np.abs(played.numpy() - joints[:, order]).max() < 1e-4
    rows = np.array([line.split() for line in text.partition("Frame Time")[2].splitlines()[1:]], dtype=float)
    # The body turns by 12.2 degrees a frame; without turning, a walk's joints by less.
    assert np.abs(np.diff(rows[:, 3:6], axis=0)).max() < 26
    assert np.abs(np.diff(rows[:, 6:], axis=0)).max() < 45


def test_bvh_of_kit_is_in_metres() -> None:
    names, _, played, _ = read_bvh(to_bvh(kit_motion(), 12.5))
    joints = kit_motion()[:, KIT_PLAN.order] / 1000
    assert names == [name for _, name, _ in KIT_PLAN.bones]
    assert np.abs(played - joints).max() < 1e-3


@pytest.mark.parametrize("frames", [1, 2])
def test_bvh_of_a_body_that_faces_sideways(frames: int) -> None:
    joints = walk(2)[:frames, :, [2, 1, 0]] * [1, 1, -1]
    assert np.abs(read_bvh(to_bvh(joints, 20.0))[2] - joints[:, [index for _, index in BVH_JOINTS]]).max() < 1e-4


@needs_golden("joints2bvh")
def test_fit_and_skate_removal_match_the_public_system() -> None:
    golden = load_golden("joints2bvh")
    order, expected = golden["config"]["re_order"], golden["outputs"]
    joints = golden["inputs"]["joints"].numpy()
    offsets = np.zeros((22, 3))
    offsets[order] = golden["inputs"]["template_offsets"].numpy()
    assert np.abs(solve_rotations([joints], [offsets])[0].joints - expected["glb_noik"].numpy()).max() < 1e-4
    cleaned = remove_foot_skate(joints)
    assert np.abs(cleaned[:, order] - expected["remove_fs"].numpy()).max() < 1e-6
    cleaned[:, 0] = joints[:, 0]  # the public result keeps the height of the root
    assert np.abs(solve_rotations([cleaned], [offsets])[0].joints - expected["glb_ik"].numpy()).max() < 1e-4


def planted_speed(joints: np.ndarray, contact: np.ndarray) -> float:
    """Mean horizontal speed (m/s at 20 fps) of toes while in contact (T, 2)."""
    moved = np.linalg.norm(np.diff(joints[:, [FEET[1], FEET[3]]], axis=0)[..., [0, 2]], axis=-1) * 20
    return float(moved[contact[1:] & contact[:-1]].mean())


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_foot_cleanup_stops_sliding(noise: float) -> None:
    floor = np.array([0, 0.3, 0])
    joints = fit_skeleton(walk(slide=0.25, noise=noise)).joints + floor
    cleaned = clean_feet(joints, fps=20)
    before = joints - [0, floor_height(joints, 20), 0]
    contact = detect_contacts(before, 20)[:, [1, 3]]
    assert contact.mean() > 0.3
    assert planted_speed(before, contact) > 0.2
    assert planted_speed(cleaned, contact) < 0.05
    assert foot_sliding(cleaned, 20) < foot_sliding(before, 20)
    assert cleaned[..., 1].min() > -0.01
    bones = HUMANML3D.measure_bones(torch.from_numpy(np.stack((joints, cleaned))))
    assert (bones[0] - bones[1]).abs().max() < 1e-6
    assert jitter(cleaned[:, :1], 20) < 1.2 * jitter(joints[:, :1], 20) + 1


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_foot_cleanup_of_short_motions(frames: int) -> None:
    joints = walk()[:frames]
    assert np.isfinite(clean_feet(joints, 20)).all()
    assert np.isfinite(remove_foot_skate(joints)).all()


def test_foot_cleanup_leaves_a_good_motion_alone() -> None:
    joints = walk()
    moved = np.linalg.norm(clean_feet(joints, 20) - joints, axis=-1)
    assert moved[:, FEET].max() < 0.03 and moved.max() < 0.1


def test_physical_measures() -> None:
    still = np.zeros((20, 22, 3))
    assert foot_skating_ratio(still, 20) == 0 and jitter(still, 20) == 0 and floor_penetration(still) == 0
    sliding = still + np.arange(20)[:, None, None] * [0.05, 0, 0]  # 1 m/s along the floor
    assert foot_skating_ratio(sliding, 20) > 0.8
    assert foot_sliding(sliding, 20) == pytest.approx(1.0)
    up = np.array([0, 0.1, 0])
    assert foot_skating_ratio(sliding + up, 20) == 0
    assert floor_penetration(still - up) == pytest.approx(0.1)
    assert floating(still + up) == pytest.approx(0.1)
    cubic = still + (np.arange(20)[:, None, None] / 20) ** 3 * [1, 0, 0]
    assert jitter(cubic, 20) == pytest.approx(6.0)
    batch = torch.from_numpy(np.stack((still, sliding)))
    assert foot_skating_ratio(batch, 20).shape == (2,)
    for measure in (foot_skating_ratio, foot_sliding, jitter):
        assert measure(still[:1], 20) == 0


def test_motion_round_trips(tmp_path: Path) -> None:
    joints = walk(30).astype(np.float32)
    features = np.random.default_rng(0).standard_normal((30, 263)).astype(np.float32)
    motion = Motion(joints, features, fps=20.0, text="걷는 사람 😀", meta={"seed": 3})
    loaded = Motion.load(motion.save(tmp_path / "new" / "m.npz"))
    assert np.array_equal(loaded.joints, joints) and np.array_equal(loaded.features, features)
    assert (loaded.fps, loaded.text, loaded.meta) == (20.0, motion.text, {"seed": 3})
    assert sorted(np.load(tmp_path / "new" / "m.npz")) == [
        "features", "foot_contacts", "fps", "joint_names", "joints", "meta", "offsets", "parents", "root", "rotations",
        "seed", "text",
    ]  # fmt: skip
    assert np.array_equal(np.load(motion.save(tmp_path / "m.npy")), joints)
    assert np.array_equal(Motion.load(tmp_path / "m.npy").joints, joints)
    assert (tmp_path / "m.npy").stat().st_size < 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.npy", "new"]


def kit_motion(frames: int = 60) -> np.ndarray:
    """A walk (T, 21, 3) of KIT-ML's skeleton, millimetres."""
    joints = walk(frames)
    human = [0, 6, 9, 12, 15, 16, 18, 20, 17, 19, 21, 1, 4, 7, 10, 10, 2, 5, 8, 11, 11]
    kit = joints[:, human]
    for ankle, heel, toe in ((13, 14, 15), (18, 19, 20)):
        kit[:, toe] += 0.3 * (kit[:, toe] - kit[:, ankle])
        kit[:, heel] = (kit[:, ankle] + kit[:, toe]) / 2
    return 1000 * kit


@pytest.mark.parametrize("joints", [walk(60), kit_motion()], ids=["humanml3d", "kit"])
def test_an_archive_holds_what_its_keys_say(joints: np.ndarray, tmp_path: Path) -> None:
    motion = Motion(joints, text="a walk", meta={"seed": 7, "model": "masked@1234"})
    keys = np.load(motion.save(tmp_path / "m.npz"))
    played = forward(
        torch.from_numpy(keys["offsets"]),
        torch.from_numpy(keys["rotations"]),
        torch.from_numpy(keys["root"]),
        keys["parents"],
    ).numpy()
    scale = 1 if joints.shape[1] == 22 else 1000
    assert np.abs(played - keys["joints"]).max() < 1e-4 * scale
    assert (keys["seed"], keys["model"], keys["text"]) == (7, "masked@1234", "a walk")
    assert list(keys["joint_names"]) == list(motion.rotations().plan.skeleton.joint_names)
    contacts = keys["foot_contacts"]
    # A walk: each toe stands about half of the time, mostly one of them.
    assert contacts.shape == (60, 4) and (0.2 < contacts[:, [1, 3]].mean(0)).all()
    assert (contacts[:, 1] | contacts[:, 3]).mean() > 0.6 and (contacts[:, 1] & contacts[:, 3]).mean() < 0.4


@pytest.mark.parametrize("fps", [60.0, 30.0, 10.0])
@pytest.mark.parametrize("joints", [walk(30), kit_motion(30)], ids=["humanml3d", "kit"])
def test_another_frame_rate_keeps_bones(joints: np.ndarray, fps: float) -> None:
    motion = Motion(joints).with_constant_bones()
    other = motion.at_rate(fps)
    assert other.fps == fps and abs(other.seconds - motion.seconds) < 1 / fps + 1 / 20
    skeleton = motion.rotations().plan.skeleton
    bones = skeleton.measure_bones(torch.from_numpy(other.rotations().joints))
    assert (bones.std(0) / bones.mean(0).clamp_min(1)).max() < 1e-9
    step = max(1, round(fps / 20))
    if fps >= 20 and fps % 20 == 0:
        assert np.abs(other.joints[::step] - motion.joints).max() < 1e-3 * (1 if joints.shape[1] == 22 else 1000)
    assert len(Motion(joints[:1]).at_rate(fps)) == 1


def test_in_place_takes_the_travel_out() -> None:
    motion = Motion(walk(60) + np.arange(60)[:, None, None] * [0.05, 0, 0])
    still = motion.in_place()
    assert np.abs(still.joints[:, 0, [0, 2]]).max() < 1e-9
    moved = motion.with_constant_bones().joints
    assert np.abs((still.joints - still.joints[:, :1]) - (moved - moved[:, :1])).max() < 1e-5
    assert np.array_equal(still.joints[..., 1], moved[..., 1])
    assert still.rotations() is still.fit


def test_npy_and_bvh_of_one_motion_agree(tmp_path: Path) -> None:
    motion = Motion(walk(noise=0.01))
    for made in (motion.with_constant_bones(), motion.with_foot_cleanup()):
        made.save(tmp_path / "m.npy")
        made.save(tmp_path / "m.bvh")
        played = read_bvh((tmp_path / "m.bvh").read_text())[2]
        order = [index for _, index in BVH_JOINTS]
        assert np.abs(played - np.load(tmp_path / "m.npy")[:, order]).max() < 1e-3


def test_motion_from_features(tmp_path: Path) -> None:
    joints = torch.from_numpy(walk(40)).float()
    features = joints_to_features(joints, HUMANML3D).numpy()
    np.save(tmp_path / "f.npy", features)
    motion = Motion.load(tmp_path / "f.npy")
    assert motion.joints.shape == (39, 22, 3) and np.array_equal(motion.features, features)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda tmp: Motion(np.zeros((4, 3))), "shape"),
        (lambda tmp: Motion(np.zeros((0, 22, 3))), "frames"),
        (lambda tmp: Motion(walk(8), np.zeros((5, 263))), "features"),
        (lambda tmp: Motion(walk(8)).save(tmp / "m.fbx"), r"m\.fbx.*\.bvh"),
        (lambda tmp: Motion(walk(8)).save(tmp / "file" / "m.npy"), "cannot write"),
        (lambda tmp: Motion(walk(8)).save(tmp / "file" / "m.mp4"), "cannot write"),
        (lambda tmp: Motion.load(tmp / "none.npy"), r"none\.npy"),
        (lambda tmp: Motion.load(tmp / "file.npy"), "numpy.save"),
        (lambda tmp: read_npz(tmp / "file.npy"), "archive"),
        (lambda tmp: to_bvh(np.zeros((4, 20, 3)), 20), "22 or 21"),
    ],
)
def test_mistakes_are_named(make, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "file.npy").write_text("not an array")
    with pytest.raises(UserError, match=words):
        make(tmp_path)


def test_nan_is_named() -> None:
    joints = walk(8)
    joints[3, 5, 1] = np.nan
    for use in (Motion, lambda x: to_bvh(x, 20), lambda x: render_frames(x, [0], style=SMALL)):
        with pytest.raises(UserError, match="right_knee of frame 3"):
            use(joints)


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_mp4_has_every_frame(frames: int, tmp_path: Path) -> None:
    title = "😀 " + "a very long title, " * 30 + "word" * 100 + "\n\x00"
    write_mp4(walk(30)[:frames], tmp_path / "m.mp4", fps=20, title=title, style=Style(size=(97, 65)))
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "m.mp4"))[0] == frames
    data = (tmp_path / "m.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays before it is loaded whole


def test_left_is_blue_and_right_is_red() -> None:
    (image,) = render_frames(walk(4), [2], style=Style(size=(160, 160)))
    pixels = np.asarray(image).astype(int)
    red = np.argwhere(pixels[..., 0] - pixels[..., 2] > 80)
    blue = np.argwhere(pixels[..., 2] - pixels[..., 0] > 80)
    assert len(red) > 50 and len(blue) > 50
    assert red[:, 1].mean() < blue[:, 1].mean()  # the figure faces us, so its right is on our left


def test_whole_figure_stays_in_the_picture() -> None:
    wander = walk(60) + np.linspace(0, 12, 60)[:, None, None] * [1, 0, 0]
    for joints in (walk(60), wander, walk(4) * [1, 2, 1]):
        for image in render_frames(joints, [0, len(joints) // 2, len(joints) - 1], style=Style(size=(128, 128))):
            pixels = np.asarray(image).astype(int)
            figure = np.abs(pixels[..., 0] - pixels[..., 2]) > 80
            assert figure.any()
            assert not figure[[0, -1]].any() and not figure[:, [0, -1]].any()


STILL_CAMERA, MOVING_CAMERA = 0.0, 0.2  # metres a frame that the figure goes sideways


def stroll(sideways: float, frames: int = 40) -> np.ndarray:
    """A walk (T, 22, 3) that also goes sideways, by metres a frame."""
    return walk(frames) + np.arange(frames)[:, None, None] * [sideways, 0, 0]


@pytest.mark.parametrize("sideways", [STILL_CAMERA, MOVING_CAMERA])
@pytest.mark.parametrize("size", [(240, 240), (322, 258)])
def test_a_video_shows_the_same_as_the_stills(sideways: float, size: tuple[int, int], tmp_path: Path) -> None:
    joints, style = stroll(sideways), Style(size=size)
    write_mp4(joints, tmp_path / "m.mp4", title="walk", style=style)
    _, *played = imageio_ffmpeg.read_frames(str(tmp_path / "m.mp4"))
    indices = [0, 17, 39]
    for index, still in zip(indices, render_frames(joints, indices, title="walk", style=style)):
        shown = np.frombuffer(played[index], dtype=np.uint8).reshape(size[1], size[0], 3).astype(int)
        gap = np.abs(shown - np.asarray(still))
        assert gap.mean() < 4  # what the encoder loses, most of all at edges of the figure
        assert np.percentile(gap, 90) <= 10


def drawn(scene: Scene, frame: int) -> np.ndarray:
    """A frame (height, width, 3) of a scene."""
    return np.frombuffer(scene.draw(frame), dtype=np.uint8).reshape(*scene.size[::-1], 3).astype(int)


def empty(scene: Scene, frame: int) -> np.ndarray:
    """The empty stage (height, width, 3) of a frame."""
    return np.frombuffer(scene.stage(frame).tobytes(), dtype=np.uint8).reshape(*scene.size[::-1], 3).astype(int)


def pixels_at(scene: Scene, points: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (N,) of points (N, 3) of the scene."""
    column, row = np.floor(scene.camera.project(points, frame)[0]).astype(int).T
    return row, column


@pytest.mark.parametrize("sideways", [STILL_CAMERA, MOVING_CAMERA])
def test_figure_is_where_its_joints_are_projected(sideways: float) -> None:
    scene = Scene(stroll(sideways), style=Style(size=(240, 240)))
    for frame in (0, 39):
        image = drawn(scene, frame)
        figure = np.abs(image - empty(scene, frame)).max(-1) > 40
        assert figure[pixels_at(scene, scene.joints[frame], frame)].all()
        # Whatever is red or blue is no farther from a bone than a limb is thick.
        bones = scene.joints[frame][list(PARENTS[1:])], scene.joints[frame][1:]
        start, stop = (scene.camera.project(ends, frame)[0] for ends in bones)
        row, column = np.nonzero(np.abs(image[..., 0] - image[..., 2]) > 80)
        away = np.stack((column, row), axis=-1)[:, None] + 0.5 - start
        along = np.clip((away * (stop - start)).sum(-1) / np.square(stop - start).sum(-1), 0, 1)
        gaps = np.linalg.norm(away - along[..., None] * (stop - start), axis=-1).min(1)
        thickness = 1.3 * scene.style.radius * scene.camera.focal / scene.camera.distance + 1
        assert len(gaps) > 100 and gaps.max() < thickness


@pytest.mark.parametrize("left_is_nearer", [True, False])
def test_the_nearer_limb_covers_the_farther(left_is_nearer: bool) -> None:
    scene = Scene(walk(1), style=Style(size=(240, 240)))
    nearer, farther = ((18, 20), (19, 21)) if left_is_nearer else ((19, 21), (18, 20))
    middle = scene.camera.targets[0]
    for (elbow, wrist), depth, lift in ((nearer, 0.6, 0.15), (farther, 0.4, -0.15)):
        scene.joints[0, elbow] = middle + np.array([-0.2, lift, depth])
        scene.joints[0, wrist] = middle + np.array([0.2, -lift, depth])
    (row,), (column,) = pixels_at(scene, middle[None] + [0, 0, 0.6], 0)
    shown = drawn(scene, 0)[row, column]
    colors = np.array([LEFT, RIGHT]) if left_is_nearer else np.array([RIGHT, LEFT])
    gaps = np.abs(shown - colors).mean(-1)
    assert gaps[0] < 40 and gaps[0] < gaps[1]


@pytest.mark.parametrize("sideways", [STILL_CAMERA, MOVING_CAMERA])
def test_floor_stays_where_it_is_in_the_world(sideways: float) -> None:
    scene = Scene(stroll(sideways), style=Style(size=(240, 240)))
    camera = scene.camera
    assert (np.ptp(camera.targets, axis=0).max() > 1) == (sideways == MOVING_CAMERA)
    for frame in range(0, 40, 3):
        tiles = np.array([(i, k) for i in range(-2, 3) for k in range(-2, 2)])
        tiles += np.round(camera.targets[frame, [0, 2]] * 2).astype(int)
        for side in (-0.2, 0.2):  # within 5 cm of the tiles' borders
            row, column = pixels_at(scene, np.insert(tiles * 0.5 + [side, 0], 1, 0, axis=1), frame)
            inside = (row < 240) & (column >= 0) & (column < 240)
            assert inside.sum() > 8
            tone = empty(scene, frame)[row[inside], column[inside]]
            even = tiles[inside].sum(1, keepdims=True) % 2 == 0
            assert np.abs(tone - np.where(even, LIGHT, DARK)).max() < 12  # the haze


def test_floor_has_no_pattern_where_it_is_too_fine() -> None:
    spread = walk(1) * 400
    scene = Scene(spread, style=Style(size=(96, 96)))
    tones = empty(scene, 0)
    assert np.ptp(tones, axis=1).max() == 0


def test_path_shows_where_the_root_has_been() -> None:
    scene = Scene(stroll(MOVING_CAMERA), style=Style(size=(240, 240)))
    rows, columns = pixels_at(scene, scene.joints[[15, 25], 0] * [1, 0, 1], 20)
    image = drawn(scene, 20)
    gaps = [np.abs(image[row - 2 : row + 3, column] - PATH).max(-1).min() for row, column in zip(rows, columns)]
    assert gaps[0] < 50 < gaps[1]


def ink_rows(title: str) -> np.ndarray:
    """Which rows of an image (240 x 240) a title changes."""
    plain, titled = (render_frames(walk(1), [0], title=text, style=Style(size=(240, 240)))[0] for text in ("", title))
    changed = (np.asarray(plain) != np.asarray(titled)).any(-1)
    assert not changed[:, :4].any() and not changed[:, -4:].any()  # nothing is cut at the sides
    return changed.any(1)


def test_title_is_drawn_above_the_figure_and_wrapped() -> None:
    one, long, endless = (ink_rows(title) for title in ("a person walks", "a person walks " * 4, "W" * 500))
    assert not ink_rows(" \n\t").any()
    assert 5 < one.sum() < 16 and not one[20:].any()
    lines = [np.diff(np.concatenate(([False], rows)).astype(int)).clip(0).sum() for rows in (one, long, endless)]
    assert lines[0] == 1 and 2 <= lines[1] <= 3 and lines[2] == 3
    assert not long[60:].any() and not endless[60:].any()


@pytest.mark.parametrize("title", ["человек идёт вперёд", "걷는 사람", "一个人向前走" * 20, "😀"])
def test_titles_of_other_scripts_are_drawn(title: str) -> None:
    assert 3 < ink_rows(title).sum() < 60


@pytest.mark.skipif(os.name == "nt", reason="needs a script that stands for ffmpeg")
@pytest.mark.parametrize("code", [0, 1])
def test_ffmpeg_that_stops_leaves_no_file(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text(f"#!/bin/sh\nhead -c 100 > /dev/null\necho 'No space left on device' >&2\nexit {code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(script))
    with pytest.raises(UserError, match=r"ffmpeg could not write .*No space left on device; .*check the disk"):
        write_mp4(walk(80), tmp_path / "out" / "m.mp4", style=Style(size=(240, 240)))
    assert not list((tmp_path / "out").iterdir())


def test_a_failure_while_drawing_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Scene.draw
    monkeypatch.setattr(Scene, "draw", lambda scene, frame: draw(scene, frame) if frame < 5 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_mp4(walk(30), tmp_path / "m.mp4", style=SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sideways", [STILL_CAMERA, MOVING_CAMERA])
def test_a_still_does_not_depend_on_those_before(sideways: float) -> None:
    joints = stroll(sideways, 70)
    order = [69, 3, 66, 66, 0, *range(64)]
    images = render_frames(joints, order, style=SMALL)
    for place in (0, 1, 3, 4, 60):
        assert images[place] == render_frames(joints, [order[place]], style=SMALL)[0]


def test_equal_motions_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_mp4(stroll(MOVING_CAMERA), tmp_path / f"{name}.mp4", title="walk", style=SMALL)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("shift", [[0, 10, 0], [0, -10, 0], [1e6, 0, -1e6]])
@pytest.mark.parametrize("size", [(1, 1), (400, 16), (16, 400)])
def test_odd_stages_are_drawn(shift: list[float], size: tuple[int, int], tmp_path: Path) -> None:
    write_mp4(walk(3) + shift, tmp_path / "m.mp4", style=Style(size=size))
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "m.mp4"))[0] == 3


def test_the_kit_skeleton_is_drawn(tmp_path: Path) -> None:
    kit = np.random.default_rng(0).uniform(0, 1500, (5, 21, 3))
    write_mp4(kit, tmp_path / "kit.mp4", fps=12.5, style=SMALL)
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "kit.mp4"))[0] == 5


@pytest.mark.parametrize(("file", "prefix"), [("mapping.json", "mixamorig"), ("mapping6.json", "mixamorig6")])
def test_bone_mapping_names_our_joints(file: str, prefix: str) -> None:
    mapping = json.loads((ASSETS / file).read_text())
    names = {name for name, index in BVH_JOINTS if CHILDREN[index] or name == "Head"}
    assert {bone["SourceBoneName"] for bone in mapping["bones"]} == names
    for bone in mapping["bones"]:
        assert bone["DestinationBoneName"] == f"{prefix}:{bone['SourceBoneName']}"
        angles = torch.tensor([bone[f"CorrectionFactor{axis}"] for axis in "ZYX"], dtype=torch.float64)
        stored = torch.tensor([bone[f"QuatCorrectionFactor{axis}"] for axis in "wxyz"], dtype=torch.float64)
        assert (quat_from_euler(angles, "ZYX") * stored).sum().abs() > 1 - 1e-6


def test_a_known_fit_is_kept_only_with_its_joints(tmp_path: Path) -> None:
    motion = Motion(walk(30, noise=0.01)).with_constant_bones()
    assert motion.fit is not None and motion.with_constant_bones().fit is motion.fit
    assert dataclasses.replace(motion, joints=motion.joints + 1).fit is None
    assert motion.with_foot_cleanup().fit is None
    motion.save(tmp_path / "known.bvh")
    Motion(motion.joints).save(tmp_path / "fitted.bvh")
    known, fitted = (read_bvh((tmp_path / name).read_text())[2] for name in ("known.bvh", "fitted.bvh"))
    np.testing.assert_allclose(known, fitted, atol=1e-3)


def test_threads_that_meet_in_one_thread_leave_the_number_as_it_was() -> None:
    """One begins while another is inside, and leaves last."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside, left, found = threading.Event(), threading.Event(), list[int]()

    def late() -> None:
        with one_thread():
            found.append(torch.get_num_threads())
            inside.set()
            assert left.wait(60)

    def fresh() -> None:
        found.append(torch.get_num_threads())

    try:
        with one_thread():
            other = threading.Thread(target=late)
            other.start()
            assert inside.wait(60)
        left.set()
        other.join(60)
        newest = threading.Thread(target=fresh)
        newest.start()
        newest.join(60)
        assert found == [1, 3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
