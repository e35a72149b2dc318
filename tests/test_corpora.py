"""Big public sets: BONES-SEED's and Motion-X's published layouts, on made files, to data sets."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lamp.data.text import parse_captions
from lamp.prepare import build_dataset, write_dataset
from lamp.prepare.clips import CutOptions, Job, JobResult, process_job
from lamp.prepare.corpora.bones_seed import other_side, plan_bones_seed
from lamp.prepare.corpora.smpl import Amass, MotionX
from lamp.prepare.corpora.splits import drawn_split
from lamp.prepare.corpora.text_files import plan_motion_x, plan_text_folder, read_texts
from lamp.prepare.corpora.timeline import in_order, within
from lamp.utils.capture.joints import read_joints
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import FeatureLayout, normalization_std
from lamp.utils.kinematics.skeleton import HUMANML3D

WALK = Path(__file__).parent / "cases" / "07" / "walk.bvh"
# SOMA's joints that move here, by the format's; the others only hang on them.
BODY = "Hips LeftLeg RightLeg Spine1 LeftShin RightShin Spine2 LeftFoot RightFoot Chest LeftToeBase RightToeBase Neck1"
BODY += " LeftShoulder RightShoulder Head LeftArm RightArm LeftForeArm RightForeArm LeftHand RightHand"
FINGERS = [f"Thumb{i}" for i in ("1", "2", "3", "End")]
FINGERS += [f"{finger}{i}" for finger in ("Index", "Middle", "Ring", "Pinky") for i in ("1", "2", "3", "4", "End")]
HEADER = ["move_name", "filename", "actor_uid", "is_mirror", "content_name", "content_natural_desc_1"]
HEADER += ["content_natural_desc_2", "content_short_description", "content_technical_description"]
HEADER += ["move_soma_uniform_path"]


@pytest.fixture(autouse=True)
def no_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions are not tagged, which needs spaCy."""
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["tag/X" for _ in texts])
    monkeypatch.setattr(build_dataset, "find_spacy_model", lambda: "none")


@pytest.fixture(scope="module")
def walk() -> torch.Tensor:
    return read_joints(WALK).joints


def soma_bvh(joints: np.ndarray, fps: float) -> str:
    """A BVH file of SOMA's 77 joints below a root, in cm: the body by places, fingers and face without motion.

    Each joint's axes are turned at random, so that the pose without rotations is none of a body, as in the real files.
    """
    rng = np.random.default_rng(0)
    names = BODY.split()
    children: dict[str, list[str]] = {name: [] for name in names}
    for name, parent in zip(names[1:], HUMANML3D.parents[1:]):
        children[names[parent]].append(name)
    for side in ("Left", "Right"):
        children[f"{side}Hand"] = [f"{side}Hand{finger}" for finger in FINGERS]
        children[f"{side}ToeBase"] = [f"{side}ToeEnd"]
    children["Head"] = ["HeadEnd", "Jaw", "LeftEye", "RightEye"]
    children["Neck1"] = ["Neck2" if child == "Head" else child for child in children["Neck1"]]
    children["Neck2"] = ["Head"]
    places = {name: 100 * joints[:, i] for i, name in enumerate(names)}
    places["Neck2"] = (places["Neck1"] + places["Head"]) / 2
    lines, columns = ["HIERARCHY", "ROOT Root", "{", "OFFSET 0 0 0"], []
    lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation")

    def add(name: str, parent: str | None, above: Rotation) -> None:
        lines.extend((f"JOINT {name}", "{"))
        axes = Rotation.random(random_state=rng) if name in places else above
        if name in places:
            place = above.inv().apply(places[name] - (places[parent] if parent else 0))
            lines.append("OFFSET {:.4f} {:.4f} {:.4f}".format(*place[0]))
            lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation")
            columns.extend((place, np.tile((above.inv() * axes).as_euler("ZYX", degrees=True), (len(place), 1))))
        else:
            lines.extend(("OFFSET 0 2 0", "CHANNELS 3 Zrotation Yrotation Xrotation"))
            columns.append(np.zeros((len(joints), 3)))
        for child in children.get(name, ()):
            add(child, name, axes)
        lines.append("}")

    add("Hips", None, Rotation.identity())
    values = np.concatenate([np.zeros((len(joints), 6)), *columns], 1)
    lines += ["}", "MOTION", f"Frames: {len(joints)}", f"Frame Time: {1 / fps:.6f}"]
    return "\n".join(lines + [" ".join(f"{value:.3f}" for value in row) for row in values]) + "\n"


@pytest.fixture(scope="module")
def takes(walk: torch.Tensor) -> dict[str, str]:
    """Texts of BVH files: a short take at 120 frames a second, a long one of 12 s."""
    frames = 6 * (len(walk) - 1) + 1
    fast = torch.nn.functional.interpolate(walk.flatten(1).T[None], frames, mode="linear", align_corners=True)[0].T
    there_and_back = torch.cat([walk, walk.flip(0)] * 3)[:241]
    return {
        "short": soma_bvh(fast.reshape(-1, 22, 3).numpy(), 120.0),
        "long": soma_bvh(there_and_back.numpy(), 20.0),
    }


@pytest.fixture
def seed_set(tmp_path: Path, takes: dict[str, str]) -> Path:
    """A folder in BONES-SEED's layout."""
    root = tmp_path / "bones-seed"
    rows = [
        ("walk_left_001__A001", "False", "walk_left", "A person walks to the left.", "", "walk left"),
        ("walk_left_001__A001_M", "True", "walk_left", "A person walks to the right.", "", "walk right"),
        ("walk_right_001__A002", "False", "walk_right", "A person walks to the right.", "nan", "walk right"),
        ("pace_001__A001", "0", "pace", "Someone paces up and down.", "Pacing.", ""),
        ("gone_001__A001", "False", "gone", "Somebody is gone.", "", ""),
        ("mute_001__A003", "False", "mute", "", "", ""),
    ]
    (root / "metadata").mkdir(parents=True)
    for date, name in (("230101", "walk_left_001__A001"), ("230101", "walk_left_001__A001_M")):
        (root / "soma_uniform/bvh" / date).mkdir(parents=True, exist_ok=True)
        (root / f"soma_uniform/bvh/{date}/{name}.bvh").write_text(takes["short"])
    (root / "soma_uniform/bvh/230202").mkdir()
    for name, kind in (("walk_right_001__A002", "short"), ("pace_001__A001", "long"), ("mute_001__A003", "short")):
        (root / f"soma_uniform/bvh/230202/{name}.bvh").write_text(takes[kind])
    with (root / "metadata/seed_metadata_v004.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for name, mirror, content, *texts in rows:
            # The table's suffix is not always the file's.
            path = f"soma_uniform/bvh/../../../{name}.csv"
            table.writerow([content, name, name[-4:], mirror, content, *texts, "technical", path])
    events = {
        "walk_left_001__A001": [(0.0, 1.0, "A person starts."), (0.9, 2.2, "Turns left."), (0, 2.2, "Walks.")],
        "pace_001__A001": [
            (0.0, 3, "A person walks."),
            (3.0, 5.5, "Walks back."),
            (5.8, 8, "Between."),
            (11, 20, "Late."),
        ],
    }
    lines = [
        {"filename": name, "events": [{"start_time": a, "end_time": b, "description": text} for a, b, text in found]}
        for name, found in events.items()
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "metadata/seed_metadata_v002_temporal_labels.jsonl").write_text(text)
    return root


def build(monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: object) -> dict[str, object]:
    """Run build_dataset and return its report."""
    monkeypatch.setattr("sys.argv", ["build_dataset", *map(str, arguments), "--out", str(out)])
    build_dataset.main()
    return json.loads((out / "report.json").read_text(encoding="utf-8"))


def said(out: Path, name: str) -> list[tuple[str, float, float]]:
    """Captions of a clip."""
    captions = parse_captions((out / "texts" / f"{name}.txt").read_text(encoding="utf-8")).captions
    return [(caption.text, caption.start, caption.end) for caption in captions]


def test_bones_seed_becomes_a_data_set(
    seed_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    report = build(monkeypatch, out, "--preset", "bones_seed", "--source", seed_set, "--workers", 2)
    assert "bones.studio" in capsys.readouterr().err
    source = dict(report["source"])
    assert "CC BY 4.0" in source.pop("licence")
    assert source == {
        "set": "BONES-SEED",
        "takes_in_the_table": 6,
        "mirrored_takes_left_out": 1,
        "takes_without_a_file": 1,
        "takes_without_a_text": 1,
        "takes_not_in_the_lists": 0,
        "takes": 3,
        "timeline_labels": 7,
        "timeline_labels_used": 6,
        "pieces_with_the_text_of_the_whole_take": 0,
    }
    pieces = ["pace_001__A001_p0", "pace_001__A001_p1"]
    clips = [*pieces, "walk_left_001__A001", "walk_right_001__A002"]
    assert sorted((out / "all.txt").read_text().split()) == sorted([*clips, *(f"M{name}" for name in clips)])
    assert said(out, "walk_left_001__A001") == [
        ("A person walks to the left.", 0, 0),
        ("walk left", 0, 0),
        ("Walks.", 0, 0),
        ("A person starts.", 0.0, 1.0),
        ("Turns left.", 0.9, 2.15),
    ]
    assert ("Turns right.", 0.9, 2.15) in said(out, "Mwalk_left_001__A001")
    assert said(out, pieces[0])[0] == ("A person walks, then walks back.", 0, 0)
    assert said(out, pieces[1]) == [("Between.", 0, 0), ("Between.", 0.0, 2.0)]
    labels = json.loads((out / "labels.json").read_text())
    assert labels["Mwalk_left_001__A001"] == labels["walk_right_001__A002"] == "walk_right"
    # Both sides of a content are in one split, and no split is empty.
    where = {name: split for split in ("train", "val", "test") for name in (out / f"{split}.txt").read_text().split()}
    assert where["walk_left_001__A001"] == where["walk_right_001__A002"] and {*where} == {*labels}
    walked = np.load(out / "new_joint_vecs" / "walk_left_001__A001.npy")
    expected = process_job(Job(WALK, "walk"), CutOptions()).clips[0].features
    assert walked.shape == (43, 263) and abs(walked - expected[:43])[:, 4:67].max() < 0.01
    assert "notes" not in report


def test_published_lists_and_own_mirrors(seed_set: Path, tmp_path: Path) -> None:
    lists = tmp_path / "splits"
    lists.mkdir()
    (lists / "train_split_paths.txt").write_text("soma_uniform/bvh/230101/walk_left_001__A001.bvh\npace_001__A001\n")
    (lists / "test_content_split_paths.txt").write_text("230101/walk_left_001__A001_M\n")
    plan = plan_bones_seed(seed_set, 0, own_mirrors=True, lists=lists)
    assert plan.resplit is not None
    splits = plan.resplit([job.name for job in plan.jobs])
    assert splits == {
        "walk_left_001__A001": "train",
        "pace_001__A001": "train",
        "walk_left_001__A001_M": "test_content",
    }
    assert plan.source["takes_not_in_the_lists"] == 3 and plan.source["mirrored_takes_left_out"] == 0
    (lists / "test_content_split_paths.txt").write_text("pace_001__A001\n")
    with pytest.raises(UserError, match="in the lists of"):
        plan_bones_seed(seed_set, 0, own_mirrors=True, lists=lists)
    with pytest.raises(UserError, match="holds no list such as"):
        plan_bones_seed(seed_set, 0, own_mirrors=True, lists=seed_set)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda root: (root / "metadata/seed_metadata_v004.csv").unlink(), "download the folder metadata"),
        (lambda root: (root / "metadata/seed_metadata_v004.csv").write_text("a,b\n1,2\n"), "lacks the column filename"),
        (lambda root: (root / "soma_uniform").rename(root / "x"), "unpack soma_uniform.tar.gz"),
        (
            lambda root: (root / "soma_uniform").rename(root / "x") and (root / "soma_uniform.tar.gz").touch(),
            "tar -xf soma_uniform.tar.gz",
        ),
        (lambda root: next(root.rglob("*.jsonl")).write_text('{"filename": "pace_001__A001"}\n'), "jsonl line 1"),
        (
            lambda root: next(root.rglob("*.jsonl")).write_text(
                '\n{"filename": "pace_001__A001", "events": [{"start_time": NaN, "end_time": 1, "description": ""}]}'
            ),
            "jsonl line 2",
        ),
        (
            lambda root: (root / "metadata/seed_metadata_v005.csv").write_text(
                "filename,content_natural_desc_1\n../../x,y\n"
            ),
            "none of 1 takes",
        ),
    ],
)
def test_what_lacks_is_named(seed_set: Path, change, word: str) -> None:
    change(seed_set)
    with pytest.raises(UserError, match=word):
        plan_bones_seed(seed_set, 0, own_mirrors=False)


def test_labels_of_a_clip() -> None:
    events = [("a", 0.0, 2.0), ("b", 2.0, 6.0), ("c", 5.0, 9.0), ("", 3.0, 4.0)]
    assert within(events, 2.0, 4.0) == ([], ["b"])
    assert within(events, 1.5, 4.0) == ([("b", 0.5, 4.0)], [])
    assert within(events, 20.0, 4.0) == ([], [])
    assert in_order(["A person walks.", "He turns", "Sits."]) == "A person walks, then he turns, then sits."
    assert other_side("step_L_left_001") == "step_R_right_001" and other_side("lean_Left") == "lean_Right"


def test_a_drawn_split_does_not_depend_on_the_others() -> None:
    splits = [drawn_split(f"content {i}", 3) for i in range(2000)]
    assert splits == [drawn_split(f"content {i}", 3) for i in range(2000)]
    assert abs(splits.count("test") / 2000 - 0.15) < 0.03 and abs(splits.count("val") / 2000 - 0.05) < 0.02
    assert splits != [drawn_split(f"content {i}", 4) for i in range(2000)]


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory, walk: torch.Tensor) -> Path:
    """Made body models: SMPL-X neutral and female, SMPL+H female."""
    root = tmp_path_factory.mktemp("bodies")
    # A T-pose as SMPL has it, Y up and facing Z, of the format's bones.
    rest = np.zeros((22, 3))
    up = {0: 0.9, 15: 1.6, 12: 1.45, 3: 1.0, 6: 1.12, 9: 1.2, 13: 1.4, 14: 1.4, 4: 0.5, 5: 0.5, 7: 0.1, 8: 0.1}
    up |= {1: 0.85, 2: 0.85, 10: 0.03, 11: 0.03} | {joint: 1.4 for joint in range(16, 22)}
    for joint, height in up.items():
        rest[joint, 1] = height
    for left, out in ((1, 0.07), (4, 0.08), (7, 0.09), (10, 0.1), (13, 0.08), (16, 0.18), (18, 0.45), (20, 0.7)):
        rest[left, 0], rest[left + 1, 0] = out, -out
    rest[[10, 11], 2] = 0.12
    for place, joints in (("smplx/SMPLX_NEUTRAL.npz", 55), ("smplx/SMPLX_FEMALE.npz", 55), ("female/model.npz", 52)):
        regressor, parents = np.zeros((joints, 60)), np.zeros((2, joints), np.uint32)
        regressor[np.arange(22), np.arange(22)] = 1.0
        parents[0, 1:22] = HUMANML3D.parents[1:]
        vertices = np.zeros((60, 3))
        vertices[:22] = rest
        (root / place).parent.mkdir(exist_ok=True)
        np.savez(
            root / place,
            J_regressor=regressor,
            v_template=vertices,
            shapedirs=np.zeros((60, 3, 20)),
            kintree_table=parents,
        )
    return root


def poses(frames: int, width: int) -> np.ndarray:
    """Rotation vectors of somebody who swings both arms and steps."""
    phase = 2 * np.pi * np.arange(frames) / frames
    found = np.zeros((frames, width), np.float32)
    found[:, 3 * 16 + 2], found[:, 3 * 17 + 2] = -1.2 + 0.2 * np.sin(phase), 1.2 - 0.2 * np.sin(phase)
    found[:, 3 * 1], found[:, 3 * 2] = 0.3 * np.sin(phase), -0.3 * np.sin(phase)
    return found


@pytest.fixture
def motion_x(tmp_path: Path) -> Path:
    """A folder in Motion-X's layout."""
    root = tmp_path / "datasets"
    frames = poses(91, 322)
    frames[:, 309] = np.linspace(0, 1, 91)
    names = ["idea400/subset_0001/Act_cute_clip_1", "idea400/subset_0001/Act_cute_clip_2", "humanml/000012"]
    for name in [*names, "humanml/M000012", "kungfu/without_text"]:
        path = root / "motion_data/smplx_322" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, frames)
        text = root / "texts/semantic_labels" / f"{name}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        if "without" not in name:
            text.write_text("Acting cute with the left hand\n\nActing cute with the left hand\n")
    (root / "texts/semantic_labels/humanml/000012.txt").write_text("a man#a/DET man/NOUN#0.0#0.0\npart#x/X#1.0#2.0\n")
    return root


def test_motion_x_becomes_a_data_set(
    motion_x: Path, bodies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, flags = tmp_path / "out", ("--preset", "motion_x", "--source", motion_x, "--workers", 1)
    with pytest.raises(SystemExit):
        build(monkeypatch, out, *flags)
    report = build(monkeypatch, out, *flags, "--body_models", bodies)
    source = dict(report["source"])
    assert "non-commercial" in source.pop("licence")
    assert source == {
        "set": "Motion-X",
        "motions": 4,
        "mirrored_takes_left_out": 1,
        "motions_without_a_text": 1,
        "motions_not_in_the_lists": 0,
        "motions_hidden_by_another_of_the_name": [],
        "texts_without_a_motion": 0,
        "lines_about_a_part_left_out": 1,
        "broken_lines_left_out": 0,
    }
    clips = ["humanml_000012", "idea400_subset_0001_Act_cute_clip_1", "idea400_subset_0001_Act_cute_clip_2"]
    assert sorted((out / "all.txt").read_text().split()) == sorted([*clips, *(f"M{name}" for name in clips)])
    assert said(out, clips[0]) == [("a man", 0, 0)]
    assert said(out, f"M{clips[1]}") == [("Acting cute with the right hand", 0, 0)]
    where = {name: split for split in ("train", "val", "test") for name in (out / f"{split}.txt").read_text().split()}
    assert where[clips[1]] == where[clips[2]]
    assert np.load(out / "new_joint_vecs" / f"{clips[0]}.npy").shape == (60, 263)


def test_lists_of_paths_and_of_names(motion_x: Path, bodies: Path) -> None:
    (motion_x / "train.txt").write_text("idea400/subset_0001/Act_cute_clip_1\nhumanml/000012\n")
    (motion_x / "test.txt").write_text("kungfu/subset_0001/Act_cute_clip_2\n")  # of another part
    plan = plan_motion_x(motion_x, bodies, 0, own_mirrors=False, lists=motion_x)
    assert [job.name for job in plan.jobs] == ["humanml_000012", "idea400_subset_0001_Act_cute_clip_1"]
    assert plan.source["motions_not_in_the_lists"] == 1
    (motion_x / "train.txt").write_text("Act_cute_clip_1\n")
    (motion_x / "test.txt").write_text("Act_cute_clip_2\nM000012.npy\n")
    plan = plan_motion_x(motion_x, bodies, 0, own_mirrors=True, lists=motion_x)
    assert plan.resplit is not None
    assert list(plan.resplit([job.name for job in plan.jobs]).values()) == ["test", "train", "test"]


def test_poses_of_all_bodies_are_the_same_joints(bodies: Path, tmp_path: Path) -> None:
    frames = np.concatenate([poses(91, 66), np.zeros((91, 256), np.float32)], 1)
    np.save(tmp_path / "a.npy", frames)
    joints = MotionX(bodies)(tmp_path / "a.npy")
    assert joints.shape == (61, 22, 3) and abs(float(joints[0, 0, 1]) - 0.9) < 1e-6
    assert float(joints[0, 10, 2]) > 0.05  # it faces Z: toes before the ankles
    # The same person in AMASS's axes, Z up: a quarter turn about X of the root, at the exact frames of 60 a second.
    content = {"trans": np.zeros((91, 3)), "betas": np.zeros(16), "mocap_frame_rate": 60.0}
    for width in (156, 165):
        turned = poses(91, width)
        turned[:, 0] = np.pi / 2
        np.savez(tmp_path / "b.npz", poses=turned, gender=np.array(b"neutral"), **content)
        found = Amass(bodies)(tmp_path / "b.npz")
        np.save(tmp_path / "c.npy", frames[::3])
        legs = [4, 7, 10]
        assert found.shape == (31, 22, 3)
        # Both are taken about the pelvis; AMASS's x is negated, left stays left.
        plain = joints[::2][:, legs] - joints[::2][:, :1]
        assert torch.allclose((found[:, legs] - found[:, :1])[..., 1], plain[..., 1], atol=0.02)


@pytest.mark.parametrize(
    ("array", "word"),
    [(np.zeros((9, 263), np.float32), "322"), (np.full((9, 322), np.nan), "not finite"), (np.zeros((1, 322)), "322")],
)
def test_other_arrays_are_refused(array: np.ndarray, word: str, bodies: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=word):
        MotionX(bodies)(tmp_path / "a.npy")


def test_recordings_that_are_none_are_refused(bodies: Path, tmp_path: Path) -> None:
    path, read = tmp_path / "a.npz", Amass(bodies)
    whole = {"poses": np.zeros((9, 156)), "trans": np.zeros((9, 3)), "betas": np.zeros(16), "mocap_framerate": 60.0}
    for change, word in (
        ({"poses": np.zeros((9, 72))}, "SMPL"),
        ({"mocap_framerate": 5.0}, "at least 20"),
        ({"trans": np.full((9, 3), np.inf)}, "not finite"),
        ({"gender": "male"}, "smplh/male/model.npz"),
        ({"poses": np.array([{}])}, "AMASS recording"),
    ):
        np.savez(path, **({"gender": "female"} | whole | change))
        with pytest.raises(UserError, match=word):
            read(path)
    np.savez(path, **{key: value for key, value in whole.items() if key != "mocap_framerate"})
    with pytest.raises(UserError, match="no AMASS recording"):
        read(path)


def test_lines_of_text_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\ufeffOne.\r\n\r\n  two # three \nOne.\n", encoding="utf-8")
    assert read_texts(tmp_path / "a.txt") == ["One.", "two three"]


def test_what_is_not_used_of_a_text_folder_is_counted(tmp_path: Path) -> None:
    motions, texts = tmp_path / "motions", tmp_path / "texts"
    for name in ("sub/a.bvh", "sub/a.npy", "b.bvh"):
        (motions / name).parent.mkdir(parents=True, exist_ok=True)
        (motions / name).touch()
    (texts / "sub").mkdir(parents=True)
    (texts / "sub" / "a.txt").write_text("walks#x/X#0.0#0.0\nturns#x/X#1.0#2.0\nbroken#x/X\nbad#x/X#a#b\n")
    (texts / "c.txt").write_text("nobody moves so\n")
    plan = plan_text_folder(motions, texts, 0, None, None)
    assert [job.path for job in plan.jobs] == [motions / "sub" / "a.npy"]
    assert plan.source == {
        "motions": 2,
        "motions_without_a_text": 1,
        "motions_not_in_the_lists": 0,
        "motions_hidden_by_another_of_the_name": ["sub/a.bvh"],
        "texts_without_a_motion": 1,
        "lines_about_a_part_left_out": 1,
        "broken_lines_left_out": 2,
    }


def test_few_files_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_out = []

    def jobs() -> Iterator[Job]:
        for i in range(100):
            handed_out.append(i)
            yield Job(Path("none.bvh"), str(i))

    class Jobs(list[Job]):
        def __iter__(self) -> Iterator[Job]:
            return jobs()

        def __len__(self) -> int:
            return 100

    results = build_dataset.run_jobs(Jobs(), CutOptions(), workers=2)
    first: JobResult = next(results)
    assert first.dropped[0][0] == "0" and len(handed_out) == 16
    assert [result.dropped[0][0] for result in results] == [str(i) for i in range(1, 100)]


def upper(texts: list[str]) -> list[str]:
    """In place of a tagger; processes find it by its name."""
    return [text.upper() for text in texts]


def test_captions_are_tagged_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_dataset, "tag_captions", upper)
    monkeypatch.setattr(write_dataset, "TAGGED_AT_ONCE", 3)
    features = np.ones((40, 263), np.float32)
    entries = [write_dataset.Entry(f"c{i}", features, [f"walk {i}"], [], "train", "") for i in range(10)]
    write_dataset.write_dataset(tmp_path, entries, write_dataset.Remarks(workers=2))
    assert [(tmp_path / "texts" / f"c{i}.txt").read_text() for i in range(10)] == [
        f"walk {i}#WALK {i}#0.0#0.0\n" for i in range(10)
    ]


def test_statistics_are_those_of_all_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(3.0, 2.0, (length, 263)).astype(np.float32) for length in (40, 1, 77)]
    entries = [
        write_dataset.Entry(f"c{i}", part, ["x"], [], "train" if i < 2 else "test", "") for i, part in enumerate(parts)
    ]
    write_dataset.write_dataset(tmp_path, iter(entries))
    frames = torch.from_numpy(np.concatenate(parts[:2])).double()
    assert np.array_equal(np.load(tmp_path / "Mean.npy"), frames.mean(0).float().numpy())
    std = normalization_std(frames.std(0, correction=0), FeatureLayout(22)).float().numpy()
    assert np.allclose(np.load(tmp_path / "Std.npy"), std, rtol=1e-6)
