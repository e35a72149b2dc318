"""The additional sources of the mini data set: readers on made files, refusals, labels, captions and splits."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.prepare import build_dataset
from lamp.prepare.clips import Clip, CutOptions, Job, process_job
from lamp.prepare.mini import plan as mini
from lamp.prepare.mini.grammar import conjugate
from lamp.prepare.mini.more import exponential, humanoid, points, robot
from lamp.prepare.mini.more.labels import MoreClip, Shown, more_clips
from lamp.prepare.mini.more.plan import MorePlan
from lamp.prepare.mini.more.sources import SOURCES
from lamp.prepare.mini.tables import CMU_CLIPS, MORE_ACTIONS, MORE_CLIPS
from lamp.prepare.plan import Plan
from lamp.utils.capture.checks import check_stance
from lamp.utils.errors import UserError
from lamp.utils.export.bvh import to_bvh
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.skeleton import HUMANML3D
from tests.puppet import figure

NAMES = {name: number for number, name in enumerate(HUMANML3D.joint_names)}
BODY = [joint for joint in range(22) if HUMANML3D.joint_names[joint] not in ("spine1", "spine2", "spine3")]


def z_up(joints: np.ndarray) -> np.ndarray:
    """Joints with Y up as a file with Z up has them."""
    return joints[..., [2, 0, 1]]


def points_file(path: Path, source: str, joints: np.ndarray) -> Path:
    """A file of 53 positions a frame, of `source`, whose body is `joints` (T, 22, 3), each frame several times."""
    order = points._SKILLMIMIC_JOINTS if source == "skillmimic" else points._BOX_JOINTS
    places = np.zeros((len(joints), 53, 3), np.float32)
    for joint, place in reversed(list(enumerate(order))):
        places[:, place] = z_up(joints)[:, joint]
    path.parent.mkdir(parents=True, exist_ok=True)
    if source == "skillmimic":
        table = np.zeros((3 * len(joints), 337), np.float32)
        table[:, 165:324] = places.reshape(len(joints), -1).repeat(3, 0)
        torch.save(torch.from_numpy(table), path)
    else:
        np.save(path, places.repeat(6, 0))
    return path


def humanoid_file(path: Path, frames: list[list[float]]) -> Path:
    path.write_text(json.dumps({"Loop": "wrap", "Frames": frames}))
    return path


def humanoid_frame(seconds: float, place: tuple[float, float, float], **angles: float) -> list[float]:
    """A frame of the humanoid: upright, joints straight but for knees and elbows that are named."""
    frame = [seconds, *place]
    for name, *_, count in humanoid._JOINTS:
        frame += [1.0, 0.0, 0.0, 0.0] if count == 4 else [angles.get(name, 0.0)] * count
    return frame


LINKS = [
    *("pelvis_yaw_link", "waist_link", "torso_link"),
    *(f"{side}_{part}_link" for side in ("left", "right") for part in ("hip_pitch", "hip_roll", "hip_yaw", "knee")),
    *(f"{side}_ankle_{part}_link" for side in ("left", "right") for part in ("pitch", "roll")),
    *(f"{side}_shoulder_{part}_link" for side in ("left", "right") for part in ("pitch", "roll", "yaw")),
    *(f"{side}_{part}_link" for side in ("left", "right") for part in ("elbow", "wrist_roll", "wrist_pitch")),
    *(f"{side}_wrist_yaw_link" for side in ("left", "right")),
]
STEPS = {"waist": (0, 0, 0.05), "hip_roll": (0, 0.1, -0.1), "knee": (0, 0, -0.3), "ankle_roll": (0, 0, -0.3)}
STEPS |= {"shoulder_roll": (0, 0.1, 0.25), "elbow": (0, 0, -0.2), "wrist_yaw": (0.2, 0, 0)}
ORDER = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")


def urdf(path: Path, joints: int = 29) -> Path:
    """A robot like the G1 with its first `joints` joints, each turning about the y axis."""
    chains = [("pelvis", "", [f"{side}_{part}" for part in ORDER]) for side in ("left", "right")]
    chains += [("pelvis", "", ["pelvis_yaw", "waist", "torso"])]
    chains += [("torso_link", "", [f"{side}_{part}" for part in ARM]) for side in ("left", "right")]
    lines = []
    for start, _, names in chains:
        parent = start
        for name in names:
            part = name.removeprefix("left_").removeprefix("right_")
            x, y, z = STEPS.get(part, (0, 0, 0))
            y = -y if name.startswith("right_") else y
            lines.append(
                f'<joint name="{name}_joint" type="revolute"><origin xyz="{x} {y} {z}" rpy="0 0"/>'
                f'<parent link="{parent}"/><child link="{name}_link"/><axis xyz="0 1 0"/></joint>'
            )
            parent = f"{name}_link"
    path.write_text(f"<robot>{''.join(lines[:joints])}</robot>")
    return path


def g1_file(path: Path, turn: float = 0.0) -> Path:
    """A walk of 40 frames (60 a second) along +x whose first joint, the left hip, is turned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.zeros((40, 36))
    table[:, 0], table[:, 2], table[:, 6] = np.linspace(0, 1, 40), 0.8, 1.0
    table[:, 7] = turn
    np.savetxt(path, table, delimiter=",")
    return path


@pytest.mark.parametrize("source", ["skillmimic", "box_climbing"])
def test_files_of_positions(source, tmp_path):
    joints = figure(30, place=np.linspace((0, 0), (0.3, 1.5), 30))
    path = points_file(tmp_path / ("a.pt" if source == "skillmimic" else "a.npy"), source, joints)
    read = SOURCES[source].read(path).numpy()
    assert read.shape == joints.shape
    np.testing.assert_allclose(read[:, BODY], joints[:, BODY], atol=1e-5)
    check_stance(torch.from_numpy(read), "left and right")


def test_accad_is_in_metres(tmp_path):
    joints = figure(30, place=np.linspace((0, 0), (0.3, 1.5), 30))
    (tmp_path / "walk.bvh").write_text(to_bvh(100 * joints, 20.0))
    read = points.read_accad(tmp_path / "walk.bvh").numpy()
    assert read.shape == joints.shape
    legs = np.linalg.norm(read[:, 7] - read[:, 4], axis=-1)
    np.testing.assert_allclose(legs, np.linalg.norm(joints[:, 7] - joints[:, 4], axis=-1), atol=0.02)


def test_robot_by_its_urdf(tmp_path):
    urdf(tmp_path / "g1_29dof.urdf")
    still = robot.read_g1(g1_file(tmp_path / "dance" / "retarget" / "a.csv"))
    human = 1.69 / 1.28
    assert still.shape == (14, 22, 3)
    # Z up with x to the front becomes Y up with z to the front; its left, y, becomes x.
    expected = torch.tensor([0.1, 0.8 - 0.1 - 0.3, 0.0]).double() * human
    torch.testing.assert_close(still[0, NAMES["left_knee"]], expected)
    torch.testing.assert_close(still[-1, 0, 2] - still[0, 0, 2], torch.tensor(human).double() * 39 / 39)
    check_stance(still, "left and right")
    # A positive angle about y, which points to the left, brings a hanging leg to the back.
    turned = robot.read_g1(g1_file(tmp_path / "dance" / "retarget" / "b.csv", math.pi / 2))
    assert turned[0, NAMES["left_knee"], 2] < -0.3 and turned[0, NAMES["right_knee"], 2] == 0


def test_a_performer_who_waits_is_cut(tmp_path):
    joints = torch.from_numpy(figure(100, place=np.repeat([[0.0, 0.0], [0.0, 1.0]], 50, 0)))
    kept = robot._without_waiting(joints)
    assert len(kept) == 21 and kept[0, 0, 2] == 0 and kept[-1, 0, 2] == 1
    assert len(robot._without_waiting(joints[:40])) == 40


def test_exponential_maps(tmp_path):
    table = np.zeros((22, 117))
    table[:, :3] = [0.0, 17.0, 0.0]
    np.savetxt(tmp_path / "rest.txt", table, delimiter=",")
    rest = exponential.read_exponential_maps(tmp_path / "rest.txt")
    assert rest.shape == (2, 22, 3)
    assert rest[0, NAMES["left_hip"], 0] > 0 > rest[0, NAMES["right_hip"], 0]
    assert rest[0, NAMES["head"], 1] > rest[0, 0, 1] > rest[0, NAMES["left_ankle"], 1]
    # A quarter turn about the vertical axis, inverted: the left goes from +x to +z.
    table[:, 4] = math.pi / 2
    np.savetxt(tmp_path / "turned.txt", table, delimiter=",")
    turned = exponential.read_exponential_maps(tmp_path / "turned.txt")
    torch.testing.assert_close(turned[0, NAMES["left_hip"], 2], rest[0, NAMES["left_hip"], 0])


def test_humanoid_at_uneven_times_and_in_cycles(tmp_path):
    frames = [humanoid_frame(0.1, (x, 0.85, 0), left_knee=-math.pi / 2) for x in (0.0, 0.2, 0.6)]
    joints = humanoid.read_humanoid(humanoid_file(tmp_path / "humanoid3d_kick.txt", frames))
    assert joints.shape == (5, 22, 3)
    torch.testing.assert_close(joints[:, 0, 0], torch.tensor([0.0, 0.1, 0.2, 0.4, 0.6]).double())
    # It faces +x: its left is -z, and a bent knee brings the ankle to the back.
    assert joints[0, NAMES["left_hip"], 2] < 0 < joints[0, NAMES["right_hip"], 2]
    assert joints[0, NAMES["left_ankle"], 0] < -0.4 and abs(joints[0, NAMES["right_ankle"], 0]) < 1e-6
    walk = humanoid.read_humanoid(humanoid_file(tmp_path / "humanoid3d_walk.txt", frames))
    assert len(walk) >= 60
    steps = (walk[1:, 0, 0] - walk[:-1, 0, 0])[:12]
    torch.testing.assert_close(steps[:4], steps[4:8])
    torch.testing.assert_close(walk[:, 0, 1], torch.full((len(walk),), 0.85).double())


def test_refusals_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("1,2,3\n" * 20)
    with pytest.raises(UserError, match=r"a\.txt.*117"):
        exponential.read_exponential_maps(tmp_path / "a.txt")
    (tmp_path / "dog.txt").write_text(json.dumps({"Frames": [[0.1] * 20] * 3}))
    with pytest.raises(UserError, match=r"dog\.txt.*44"):
        humanoid.read_humanoid(tmp_path / "dog.txt")
    (tmp_path / "list.txt").write_text("[1, 2]")
    with pytest.raises(UserError, match=r"list\.txt has no Frames"):
        humanoid.read_humanoid(tmp_path / "list.txt")
    humanoid_file(tmp_path / "still.txt", [humanoid_frame(0.0, (0, 0.85, 0))] * 3)
    with pytest.raises(UserError, match=r"still\.txt: the durations"):
        humanoid.read_humanoid(tmp_path / "still.txt")
    torch.save({"a": torch.zeros(3)}, tmp_path / "dict.pt")
    with pytest.raises(UserError, match=r"dict\.pt holds no tensor"):
        points.read_skillmimic(tmp_path / "dict.pt")
    torch.save(torch.full((9, 337), math.nan), tmp_path / "nan.pt")
    with pytest.raises(UserError, match=r"nan\.pt.*not finite"):
        points.read_skillmimic(tmp_path / "nan.pt")
    np.save(tmp_path / "few.npy", np.zeros((9, 22, 3)))
    with pytest.raises(UserError, match=r"few\.npy.*53"):
        points.read_box_climbing(tmp_path / "few.npy")
    with pytest.raises(UserError, match=r"a\.csv: no g1_29dof\.urdf"):
        robot.read_g1(g1_file(tmp_path / "deep" / "a.csv"))
    urdf(tmp_path / "g1_29dof.urdf", joints=20)
    with pytest.raises(UserError, match="20 turning joints, not 29"):
        robot.read_g1(tmp_path / "deep" / "a.csv")


def test_a_file_that_would_run_code_is_never_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save(Evil(), tmp_path / "evil.pt")
    result = process_job(Job(tmp_path / "evil.pt", "evil", read=points.read_skillmimic), CutOptions())
    assert result.unread and "evil.pt" in result.dropped[0][1] and not (tmp_path / "ran").exists()


def test_jobs_of_a_source_let_more_pass(tmp_path):
    joints = figure(12, place=np.linspace((0, 0), (0, 7.8), 12))
    path = points_file(tmp_path / "a.pt", "skillmimic", joints)
    read, options = points.read_skillmimic, CutOptions(min_frames=24)
    assert "shorter" in process_job(Job(path, "a", read=read), options).dropped[0][1]
    assert "m/s" in process_job(Job(path, "a", read=read, hold=True), options).dropped[0][1]
    clip = process_job(Job(path, "a", read=read, hold=True, max_speed=16.0), options).clips[0]
    held = features_to_joints(torch.from_numpy(clip.features))
    assert len(held) == 24 and float((held[14:] - held[13]).abs().max()) < 1e-4
    high = joints * [1, 1, 0.1]
    high[4:, :, 1] += 1.0
    path = points_file(tmp_path / "b.pt", "skillmimic", high)
    one = Job(path, "b", read=read, hold=True, max_speed=40.0)
    assert "stairs" in process_job(one, options).dropped[0][1]
    other = Job(path, "b", read=read, hold=True, max_speed=40.0, level=False)
    assert process_job(other, options).clips


def test_the_list_of_clips_is_whole():
    clips = more_clips()
    assert {clip.source for clip in clips} == set(SOURCES)
    tested = {f"{clip.source}/{clip.name}" + _span(clip) for clip in clips if clip.test}
    assert tested == set(MORE_CLIPS["test_more"])
    for clip in clips:
        for shown in clip.shows:
            assert shown.action in MORE_ACTIONS, shown
            wordings = [shown.phrase, *MORE_ACTIONS[shown.action]]
            assert all("*" in text for text in wordings)
            assert shown.side in ("", "left", "right")
            assert bool(shown.side) or not any("{side}" in text for text in wordings), clip
    # What is tested on is trained on by another clip of the same action, and no clip is left out and taken.
    trained = {action.action for clip in clips if not clip.test for action in clip.shows}
    assert all({action.action for action in clip.shows} <= trained for clip in clips if clip.test)
    assert not {f"{clip.source}/{clip.name}" for clip in clips} & set(MORE_CLIPS["left_out"])
    again = [reason.removeprefix("is CMU ") for reason in MORE_CLIPS["left_out"].values() if "CMU" in reason]
    assert len(again) == 24 and set(again) <= set(CMU_CLIPS)


def _span(clip: MoreClip) -> str:
    keys = MORE_CLIPS["clips"][clip.source]
    if clip.span is None:
        return ""
    return next(
        key.removeprefix(clip.name)
        for key in keys
        if key.startswith(f"{clip.name}@") and tuple(map(float, key.split("@")[1].split("-"))) == clip.span
    )


def test_captions_tell_side_and_order():
    for clip in more_clips():
        for mirrored in (False, True):
            captions = clip.captions(random.Random(0), 8, mirrored)
            assert len(captions) == 8 and len(set(captions)) >= 6, captions
            assert not any(sign in text for text in captions for sign in "*{}"), captions
            sides = {shown.side for shown in clip.shows} - {""}
            if mirrored:
                sides = {"left": "right", "right": "left"}.keys() & {"left", "right"} - sides if sides else sides
            for side in sides:
                other = {"left": "right", "right": "left"}[side]
                assert not any(f" {other}" in text for text in captions if "left and right" not in text), captions
    clip = MoreClip("accad", "x", None, (Shown("walk", "", "*walk"), Shown("turn", "left", "*turn {side}")))
    assert clip.label() == "more_walk-then-turn_left" and clip.label(mirrored=True) == "more_walk-then-turn_right"
    assert MoreClip("accad", "x", None, clip.shows[1:]).label() == "more_turn_left"


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("sway", ("sways", "swaying", "swayed")),
        ("carry", ("carries", "carrying", "carried")),
        ("hop", ("hops", "hopping", "hopped")),
        ("lie", ("lies", "lying", "lay")),
        ("catch", ("catches", "catching", "caught")),
    ],
)
def test_new_verbs(verb, forms):
    assert (conjugate(verb, "present"), conjugate(verb, "gerund"), conjugate(verb, "past")) == forms


@pytest.fixture
def folders(tmp_path) -> Path:
    """Folders with empty files of names that mini takes."""
    names = ("bandai/dataset-2_walk_normal_001.bvh", "cmu/02_01.bvh", "cmu/05_01.bvh", "accad/Male1_B3_Walk.bvh")
    names += ("accad/Male1_A1_Stand.bvh", "accad/Male1_B24_WalkToCrouch.bvh", "accad/else.bvh")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def _said(plan: Plan) -> dict[str, object]:
    frames = np.zeros((0, 263), np.float32)
    return {
        job.name: plan.describe(Clip(job.name, job.name, 0 if job.segments else -1, frames, frames))
        for job in plan.jobs
    }


def test_older_parts_stay_as_they_are(folders, capsys):
    sources = mini.MiniSources(folders / "bandai", folders / "cmu")
    before, output = _said(mini.plan_mini(sources, seed=0)), capsys.readouterr().out
    assert all(f"no --{name} DIR" in output for name in SOURCES)
    more = mini.MiniSources(folders / "bandai", folders / "cmu", more={"accad": folders / "accad"})
    after, output = _said(mini.plan_mini(more, seed=0)), capsys.readouterr().out
    assert {name: after[name] for name in before} == before
    assert "no --accad" not in output and "66 of 69 clips are not in --accad" in output
    new = {name: text for name, text in after.items() if name not in before}
    assert {name: text.split for name, text in new.items()} == {
        "accad_Male1_A1_Stand": "train",
        "accad_Male1_B24_WalkToCrouch": "test_more",
        "accad_Male1_B3_Walk": "train",
    }
    assert new["accad_Male1_B3_Walk"].label == "more_walk" and len(set(new["accad_Male1_B3_Walk"].captions)) >= 6


def test_mistakes_of_the_folders(folders, monkeypatch, capsys):
    with pytest.raises(UserError, match=r"--skillmimic .*none of the clips"):
        MorePlan({"skillmimic": folders / "accad"})
    with pytest.raises(UserError, match=r"--g1_moves .* lacks g1_29dof\.urdf; copy"):
        MorePlan({"g1_moves": folders / "accad"})
    urdf(folders / "cmu" / "g1_29dof.urdf")
    with pytest.raises(UserError, match=r"lacks g1_29dof\.urdf; move .*cmu/g1_29dof\.urdf there"):
        MorePlan({"g1_moves": folders})
    flags = ["--bandai_namco", str(folders), "--cmu", str(folders), "--accad", "nowhere", "--out", str(folders / "o")]
    monkeypatch.setattr("sys.argv", ["build_dataset", "--preset", "mini", *flags])
    with pytest.raises(SystemExit) as stop:
        build_dataset.main()
    message = capsys.readouterr().err
    assert stop.value.code == 2 and "--accad nowhere is not a folder" in message and len(message.splitlines()) == 1
