"""Motion files: BVH, npz, npy, mp4; skeleton fitting, foot clean-up and physical measures."""

import dataclasses
import json
import re
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from golden import load_golden

from lamp.utils.errors import UserError
from lamp.utils.export.bvh import BVH_JOINTS, CHILDREN, PARENTS, fit_skeleton, rest_directions, solve_rotations, to_bvh
from lamp.utils.export.npz import read_npz
from lamp.utils.export.planes import YCBCR, aligned_boxes, is_empty
from lamp.utils.export.rotations import continuous_euler_zyx
from lamp.utils.export.scene import Scene, Style
from lamp.utils.export.video import contact_sheet, render_frames, write_mp4
from lamp.utils.kinematics.features import joints_to_features
from lamp.utils.kinematics.foot_contact import FEET, clean_feet, detect_contacts, floor_height, remove_foot_skate
from lamp.utils.kinematics.geometry import quat_from_euler, quat_multiply, quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.scores.physics import floating, floor_penetration, foot_skating_ratio, foot_sliding, jitter
from tests.marks import needs_golden

ASSETS = Path(__file__).resolve().parent.parent / "assets"
SMALL = Style(size=(96, 96))


def forward(offsets: torch.Tensor, local: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    """Joints (T, 22, 3) of local rotations (T, 22, 4)."""
    world, position = [local[:, 0]], [root]
    for joint in range(1, 22):
        parent = PARENTS[joint]
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


def test_euler_angles_do_not_jump() -> None:
    time = torch.linspace(0, 1, 200, dtype=torch.float64)
    angles = torch.stack((9 * time, 2 + 1.2 * torch.sin(7 * time), -8 * time), dim=-1)
    q = quat_from_euler(angles, "ZYX")
    euler = continuous_euler_zyx(q)
    assert euler.diff(dim=0).abs().max() < 0.2
    assert (quat_from_euler(euler, "ZYX") * q).sum(-1).abs().min() > 1 - 1e-9


@needs_golden("joints2bvh")
def test_fit_and_skate_removal_match_the_public_system() -> None:
    golden = load_golden("joints2bvh")
    order, expected = golden["config"]["re_order"], golden["outputs"]
    joints = golden["inputs"]["joints"].numpy()
    offsets = np.zeros((22, 3))
    offsets[order] = golden["inputs"]["template_offsets"].numpy()
    assert np.abs(solve_rotations(joints, offsets).joints - expected["glb_noik"].numpy()).max() < 1e-4
    cleaned = remove_foot_skate(joints)
    assert np.abs(cleaned[:, order] - expected["remove_fs"].numpy()).max() < 1e-6
    cleaned[:, 0] = joints[:, 0]  # the public result keeps the height of the root
    assert np.abs(solve_rotations(cleaned, offsets).joints - expected["glb_ik"].numpy()).max() < 1e-4


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
    assert sorted(np.load(tmp_path / "new" / "m.npz")) == ["features", "fps", "joints", "meta", "text"]
    assert np.array_equal(np.load(motion.save(tmp_path / "m.npy")), joints)
    assert np.array_equal(Motion.load(tmp_path / "m.npy").joints, joints)
    assert (tmp_path / "m.npy").stat().st_size < 10_000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.npy", "new"]


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
        (lambda tmp: to_bvh(np.zeros((4, 21, 3)), 20), "22 joints"),
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


@pytest.mark.parametrize("sideways", [STILL_CAMERA, MOVING_CAMERA])
def test_planes_of_a_video_are_those_of_the_stills(sideways: float) -> None:
    joints, style = stroll(sideways), Style(size=(130, 98))
    video = Scene(joints, style=style, space=YCBCR).frames(range(40))
    stills = Scene(joints, style=style).frames(range(40))
    for planes, still in zip(video, stills):
        rgb = np.asarray(still.image()).astype(float)
        luma, *chroma = np.moveaxis(rgb @ np.array(YCBCR.matrix).T + YCBCR.offset, -1, 0)
        assert np.abs(np.asarray(planes.planes[0]) - luma).max() < 3
        for plane, fine in zip(planes.planes[1:], chroma):
            coarse = fine.reshape(49, 2, 65, 2).mean((1, 3))
            assert np.abs(np.asarray(plane) - coarse).max() < 6  # blends of averages, not averages of blends
        assert [len(buffer) for buffer in planes.buffers()] == [98 * 130, 49 * 65, 49 * 65]


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


def test_bands_hold_the_whole_figure() -> None:
    noise = 0.5 * np.random.default_rng(0).standard_normal((30, 22, 3))
    for size in ((480, 480), (334, 502), (16, 16)):
        scene = Scene(walk(30) + noise, style=Style(size=size))
        for _ in scene.frames(range(30)):
            assert scene.figure.canvas.getbbox(alpha_only=False) is None  # a pixel out of the bands would stay


def test_boxes_are_even_and_inside() -> None:
    low, high = np.array([[3.2, -7.0], [5.0, 4.0], [90.0, 3.0]]), np.array([[5.1, 9.0], [6.0, 6.0], [99.0, 8.0]])
    boxes = aligned_boxes(low, high, (50, 50)).tolist()
    assert boxes[:2] == [[2, 0, 6, 10], [4, 4, 6, 6]]
    assert [is_empty(box) for box in boxes] == [False, False, True]


@pytest.mark.parametrize("shift", [[0, 10, 0], [0, -10, 0]])
@pytest.mark.parametrize("size", [(1, 1), (400, 16), (16, 400)])
def test_odd_stages_are_drawn(shift: list[float], size: tuple[int, int], tmp_path: Path) -> None:
    write_mp4(walk(3) + shift, tmp_path / "m.mp4", style=Style(size=size))
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "m.mp4"))[0] == 3


def test_contact_sheet_and_kit_skeleton(tmp_path: Path) -> None:
    kit = np.random.default_rng(0).uniform(0, 1500, (5, 21, 3))
    contact_sheet(kit, tmp_path / "sheet.png", count=8, title="kit", style=SMALL)
    write_mp4(kit, tmp_path / "kit.mp4", fps=12.5, style=SMALL)
    assert (tmp_path / "sheet.png").stat().st_size > 1000 and (tmp_path / "kit.mp4").stat().st_size > 1000


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
