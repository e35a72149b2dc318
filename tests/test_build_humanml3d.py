"""HumanML3D from AMASS: joints, frame rates, lead-ins, mirror images, interruptions, and the folder that comes out."""

import csv
import shutil
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lamp.data.loaders import load_stats, text_loader, tokenizer_loader
from lamp.data.spec import SPECS
from lamp.prepare import build_humanml3d, check_data
from lamp.prepare.humanml3d import clips as humanml3d_clips
from lamp.prepare.humanml3d.amass import (
    NotSmplhError,
    Take,
    body_joints,
    choose_body,
    load_bodies,
    quat_from_rotation_vector,
    read_take,
)
from lamp.prepare.humanml3d.sources import Published, copy_texts, find_humanact12, find_published, read_index
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.kinematics.features import features_to_joints, joints_to_features, mirror_joints
from lamp.utils.kinematics.geometry import quat_to_matrix
from lamp.utils.kinematics.skeleton import HUMANML3D

PARENTS = HUMANML3D.parents
LENGTHS = torch.tensor(HUMANML3D.bone_lengths, dtype=torch.float64)


def rest_pose(scale: float) -> np.ndarray:
    """Joints (22, 3) of an upright body, Y up."""
    offsets = (HUMANML3D.rest_directions(LENGTHS) * LENGTHS[:, None]).numpy() * scale
    joints = np.zeros((22, 3))
    for joint in range(1, 22):
        joints[joint] = joints[PARENTS[joint]] + offsets[joint]
    return joints + np.array([0.01, -0.2, 0.03])


def write_body(path: Path, scale: float, seed: int) -> None:
    """An SMPL+H model whose joints are vertices: joint j is vertex 3 j."""
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(156, 3))
    vertices[: 3 * 22 : 3] = rest_pose(scale)
    regressor = np.zeros((52, 156))
    regressor[np.arange(52), 3 * np.arange(52)] = 1.0
    hands = [20 if joint < 37 else 21 for joint in range(22, 52)]
    parents = np.array([[2**32 - 1, *PARENTS[1:], *hands], range(52)], dtype=np.uint32)
    path.parent.mkdir(parents=True)
    np.savez(
        path,
        v_template=vertices,
        shapedirs=rng.normal(size=(156, 3, 16)) * 0.003,
        J_regressor=regressor,
        kintree_table=parents,
        weights=np.zeros((156, 52)),
        posedirs=np.zeros((156, 3, 459)),
        f=np.zeros((4, 3), dtype=np.uint32),
    )


def write_take(path: Path, seconds: float, fps: float, seed: int, **changes: object) -> None:
    """A recording under AMASS' keys: somebody who walks a curve, swinging all limbs; Z up."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps)) / fps
    swing = rng.normal(size=(52, 3)) * 0.25
    poses = swing * np.sin(2 * np.pi * (time[:, None, None] * 1.2 + rng.random((52, 3))))
    # SMPL's rest pose has Y up; a quarter turn about x, then a slow one about the vertical.
    poses[:, 0] = [np.pi / 2, 0, 0]
    poses[:, 0, 1:] += 0.3 * np.sin(time)[:, None]
    trans = np.stack((1.2 * time, 0.3 * np.sin(time), 1 + 0.05 * np.sin(7 * time)), axis=1)
    content = {
        "poses": poses.reshape(len(time), 156),
        "trans": trans,
        "betas": rng.normal(size=16),
        "gender": np.array("male"),
        "mocap_framerate": np.array(fps),
        "dmpls": rng.normal(size=(len(time), 8)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **(content | changes))


def by_hand(take: Take, rest: np.ndarray) -> np.ndarray:
    """Forward kinematics joint by joint with 4 x 4 matrices, in HumanML3D's axes."""
    joints = np.zeros((len(take.rotations), 22, 3))
    for t, vectors in enumerate(take.rotations.numpy()):
        world: list[np.ndarray] = []
        for j, (x, y, z) in enumerate(vectors):
            local = np.eye(4)
            local[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])).numpy()
            local[:3, 3] = rest[j] - (rest[PARENTS[j]] if j else 0)
            world.append(world[PARENTS[j]] @ local if j else local)
            joints[t, j] = world[j][:3, 3] + take.translation[t].numpy()
    swap = np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    return joints @ swap * [-1, 1, 1]


# Path in the index, file below the AMASS folder, seconds, frames a second, (start, end) of clips.
TAKES = (
    ("KIT/3/kick_poses", "KIT/3/kick_poses", 4.0, 100, ((0, 80),)),
    ("CMU/01/01_01_poses", "CMU/CMU/01/01_01_poses", 9.0, 120, ((0, 60), (60, 160))),
    ("SFU/a/walk_poses", "SFU/a/walk_poses", 4.0, 60, ((5, 1000),)),
    ("Eyes_Japan_Dataset/b/turn-03-look at_poses", "Eyes_Japan_Dataset/b/turn-03-look_at_poses", 7.0, 60, ((3, 70),)),
    ("MPI_HDM05/mm/run_poses", "HDM05/mm/run_poses", 7.0, 120, ((0, 55),)),
    ("TotalCapture/s1/rom_poses", "TotalCapture/s1/rom_poses", 5.0, 60, ((0, 50),)),
    ("MPI_Limits/x/uar_poses", "MPI_Limits/x/uar_poses", 5.0, 120, ((0, 50),)),
    ("Transitions_mocap/m/jump_poses", "Transitions_mocap/m/jump_poses", 4.0, 120, ((0, 50),)),
    ("ACCAD/one_poses", "ACCAD/one_poses", 4.0, 120, ((0, 1),)),
    ("EKUT/broken_poses", "EKUT/broken_poses", 3.0, 100, ((0, 50),)),
    ("BMLmovi/absent_poses", None, 0, 0, ((0, 50),)),
)
NAMES = [f"{i:06d}" for i in range(13)]
MADE = [name for name in NAMES if name not in ("000009", "000010", "000011")]


@dataclass(frozen=True)
class World:
    """Everything a user has."""

    amass: Path
    bodies: Path
    clone: Path

    def arguments(self, out: Path) -> list[str]:
        """Command line without the program's name."""
        paths = ("--amass", self.amass, "--body_models", self.bodies, "--humanml3d", self.clone, "--out", out)
        return [*map(str, paths), "--workers", "1"]

    def take(self, number: int) -> Take:
        """A recording of `TAKES`."""
        return read_take(self.amass / f"{TAKES[number][1]}.npz")

    def joints(self, number: int) -> Tensor:
        """Joints of a recording."""
        return body_joints(self.take(number), load_bodies(self.bodies)["male"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("humanml3d")
    world = World(root / "amass", root / "bodies", root / "clone")
    for seed, (gender, scale) in enumerate((("male", 1.05), ("female", 0.93))):
        write_body(world.bodies / "smplh" / gender / "model.npz", scale, seed)
    rows = []
    for seed, (source, file, seconds, fps, cuts) in enumerate(TAKES):
        if file is not None:
            write_take(world.amass / f"{file}.npz", seconds, fps, seed)
        rows += [(f"./pose_data/{source}.npy", *cut) for cut in cuts]
    broken = world.amass / "EKUT/broken_poses.npz"
    poses = np.load(broken)["poses"]
    poses[30, 5] = np.nan
    write_take(broken, 3.0, 100, 9, poses=poses)
    np.savez(world.amass / "KIT/3/shape.npz", betas=np.zeros(16), gender="male")
    rows.append(("./pose_data/humanact12/humanact12/P1.npy", 0, -1))
    write_clone(world, rows)
    return world


def write_clone(world: World, rows: list[tuple[str, int, int]]) -> None:
    """HumanML3D's repository."""
    folder = world.clone / "HumanML3D"
    folder.mkdir(parents=True)
    (world.clone / "pose_data").mkdir()
    with (world.clone / "index.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(("source_path", "start_frame", "end_frame", "new_name"))
        table.writerows((*row, f"{name}.npy") for row, name in zip(rows, NAMES, strict=True))
    joints = torch.cat((world.joints(0), world.joints(0)[:, :2]), dim=1)[:45].float().numpy()
    np.save(world.clone / "P1.npy", joints)
    with zipfile.ZipFile(world.clone / "pose_data/humanact12.zip", "w") as archive:
        archive.write(world.clone / "P1.npy", "humanact12/humanact12/P1.npy")
        archive.writestr("__MACOSX/humanact12/humanact12/P1.npy", "x")
    every = [*NAMES, *(f"M{name}" for name in NAMES)]
    with zipfile.ZipFile(folder / "texts.zip", "w") as archive:
        for name in every:
            archive.writestr(f"texts/{name}.txt", f"a person walks {name}#a/DET person/NOUN walk/VERB#0.0#0.0\n")
    splits = {"test": every[:2], "val": every[2:4], "train": every[4:], "train_val": every[2:], "all": every}
    for split, names in splits.items():
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of the script."""
    monkeypatch.setattr(sys, "argv", ["build_humanml3d", *arguments])
    try:
        build_humanml3d.main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "HumanML3D"
    with pytest.MonkeyPatch.context() as patch:
        assert run(world.arguments(out), patch) == 0
    return out


def features_of(folder: Path) -> dict[str, bytes]:
    """Content of all clips' files and of the statistics."""
    files = [*folder.glob("new_joint*/*.npy"), folder / "Mean.npy", folder / "Std.npy"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_joints_are_those_of_forward_kinematics_by_hand(world: World) -> None:
    take = world.take(0)
    for gender, scale in (("male", 1.05), ("female", 0.93)):
        model = np.load(world.bodies / "smplh" / gender / "model.npz")
        rest = rest_pose(scale) + (model["shapedirs"][: 3 * 22 : 3, :, :10] @ take.betas.numpy()[:10])
        body = load_bodies(world.bodies)[gender]
        np.testing.assert_allclose(body.rest(take.betas), rest, atol=1e-12)
        short = replace(take, rotations=take.rotations[:6], translation=take.translation[:6])
        np.testing.assert_allclose(body_joints(short, body), by_hand(short, rest), atol=1e-10)
    # The folder above the genders may be given, too.
    assert set(load_bodies(world.bodies / "smplh")) == {"male", "female"}


def test_bodies_stand_upright_and_left_is_left(world: World) -> None:
    joints = world.joints(0)
    assert float(joints[:, 15, 1].min() - joints[:, [10, 11], 1].max()) > 1.0
    canonical = features_to_joints(joints_to_features(joints, HUMANML3D, LENGTHS))
    # At the first frame the body faces +Z, so its left is +X and its toes are before its ankles.
    assert float(canonical[0, 1, 0]) > 0.05 and float(canonical[0, 2, 0]) < -0.05
    assert float((canonical[0, [10, 11], 2] - canonical[0, [7, 8], 2]).mean()) > 0


def test_rotation_vectors_near_zero_and_of_half_a_turn() -> None:
    vectors = torch.tensor([[0, 0, 0], [1e-9, 0, 0], [0, torch.pi, 0], [0.3, -2, 1]], dtype=torch.float64)
    skew = torch.linalg.cross(vectors[:, None], torch.eye(3, dtype=torch.float64)[None]).transpose(1, 2)
    expected = torch.linalg.matrix_exp(skew)
    np.testing.assert_allclose(quat_to_matrix(quat_from_rotation_vector(vectors)), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("rate", "step"), [(120, 6), (100, 5), (60, 3), (250, 12), (59.94, 2), (150.0, 7), (20, 1), (30, 1)]
)
def test_frames_are_stepped_over_as_published(tmp_path: Path, rate: float, step: int) -> None:
    write_take(tmp_path / "a.npz", 1.0, rate, 0)
    take, stored = read_take(tmp_path / "a.npz"), np.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(take.translation, stored["trans"][::step])
    np.testing.assert_array_equal(take.rotations.flatten(1), stored["poses"][::step, :66])
    assert take.source_fps == rate and take.fps == pytest.approx(rate / step)


def test_gender_is_read_as_published(tmp_path: Path) -> None:
    bodies = {"male": "M", "female": "F"}
    for gender, expected in (("male", "M"), ("female", "F"), ("neutral", "F"), (b"male", "F")):
        write_take(tmp_path / "a.npz", 0.5, 60, 0, gender=np.array(gender))
        assert choose_body(read_take(tmp_path / "a.npz"), bodies) == expected


def test_wrong_recordings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_take(path, 0.5, 60, 0, poses=np.zeros((30, 165)))
    with pytest.raises(NotSmplhError, match=r"a\.npz has poses \(30, 165\).*SMPL\+H G"):
        read_take(path)
    np.savez(path, betas=np.zeros(16), gender="male")
    with pytest.raises(NotSmplhError, match="no AMASS recording"):
        read_take(path)
    write_take(path, 0.5, 15, 0)
    with pytest.raises(UserError, match="15 frames a second"):
        read_take(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="unpack it again"):
        read_take(path)
    content = {"mocap_frame_rate": 60.0, "poses": np.zeros((9, 156)), "trans": np.zeros((9, 3)), "betas": np.zeros(16)}
    np.savez(path, gender="male", **content)
    assert len(read_take(path).translation) == 3


def test_wrong_body_models_are_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no smplh/male/model\.npz.*mano\.is\.tue\.mpg\.de.*smplh/female/model\.npz"):
        load_bodies(tmp_path)
    shutil.copytree(world.bodies, tmp_path / "bodies")
    female = tmp_path / "bodies/smplh/female/model.npz"
    content = dict(np.load(female))
    np.savez(female, **(content | {"kintree_table": content["kintree_table"][:, ::-1]}))
    with pytest.raises(UserError, match=r"female.model\.npz is not an SMPL\+H body model"):
        load_bodies(tmp_path / "bodies")
    female.write_text("<html>please log in</html>")
    with pytest.raises(UserError, match=r"female.model\.npz is not an SMPL\+H body model"):
        load_bodies(tmp_path / "bodies")


# Clip -> its number in TAKES, and its first and last frame at 20 a second in the whole recording.
@pytest.mark.parametrize(
    ("name", "take", "start", "end"),
    [
        ("000000", 0, 0, 80),
        ("000001", 1, 0, 60),
        ("000002", 1, 60, 160),
        ("000003", 2, 5, 80),
        ("000004", 3, 60 + 3, 60 + 70),
        ("000005", 4, 60, 115),
        ("000006", 5, 20, 70),
        ("000007", 6, 20, 70),
        ("000008", 7, 10, 60),
        ("000012", 0, 0, 45),
    ],
)
def test_clips_are_the_frames_that_the_index_means(
    world: World, built: Path, name: str, take: int, start: int, end: int
) -> None:
    joints = world.joints(take)[start:end]
    mirrored = joints * joints.new_tensor([-1, 1, 1])
    order = list(range(22))
    for left, right in ((1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21)):
        order[left], order[right] = right, left
    for clip, motion in ((name, joints), (f"M{name}", mirrored[:, order])):
        features = np.load(built / "new_joint_vecs" / f"{clip}.npy")
        expected = joints_to_features(motion, HUMANML3D, LENGTHS).float()
        assert features.dtype == np.float32 and len(features) == len(joints) - 1
        # HumanAct12's files are float32.
        np.testing.assert_allclose(features, expected, atol=1e-6 if clip[-2:] != "12" else 2e-5)
        np.testing.assert_array_equal(
            np.load(built / "new_joints" / f"{clip}.npy"), features_to_joints(torch.from_numpy(features))
        )


def test_the_mirror_image_of_a_mirror_image_is_the_original(built: Path) -> None:
    joints = torch.from_numpy(np.load(built / "new_joints/000000.npy"))
    mirrored = torch.from_numpy(np.load(built / "new_joints/M000000.npy"))
    assert not torch.allclose(joints, mirrored, atol=0.05)
    np.testing.assert_array_equal(mirror_joints(mirror_joints(joints, HUMANML3D), HUMANML3D), joints)
    # The pelvis rises and falls as before; what the left foot did, the right one does. The target skeleton has legs of
    # unequal length, hence the tolerance.
    np.testing.assert_allclose(mirrored[:, 0, 1], joints[:, 0, 1], atol=0.02)
    left, right = joints[:, 7, 1], mirrored[:, 8, 1]
    assert float((left - right).abs().max()) < 0.05 < float((left - mirrored[:, 7, 1]).abs().max())


def test_the_report_counts_and_names(built: Path) -> None:
    report = read_json(built / "report.json")
    assert report["clips"] == 2 * len(MADE) and report["dropped"] == 3
    reasons = {item["clip"]: item["reason"] for item in report["dropped_clips"]}
    assert reasons == {"000009": "too short", "000010": "not finite", "000011": "missing source"}
    assert "BMLmovi/absent_poses" in str(report["dropped_clips"])
    assert report["subsets"]["CMU"] == "2 of 2" and report["subsets"]["BMLmovi"] == "0 of 1"
    this_run = report["this_run"]
    assert this_run["written"] == 2 * len(MADE) and this_run["already_there"] == 0
    assert this_run["frame_rates"] == {"120 to 20": 5, "60 to 20": 3, "100 to 20": 2}
    assert this_run["shorter_than_the_index_says"] == {"clips": 1, "first": ["000003: 75 of 995 frames"]}
    assert report["published"].startswith("all 20 of 29,228, train ") and "not the same" in report["published"]
    assert report["splits"]["all"] == 20 and report["splits"]["test"] == 2


def test_the_folder_is_a_data_set(built: Path) -> None:
    spec = replace(SPECS["t2m"], root=built)
    report = check_data.check_data(spec, compare=load_stats(spec))
    assert report.findings == []
    assert f"{'published':<11}all 20 of 29,228, train 16 of 23,384" in str(report)
    batch = next(iter(text_loader(spec, "train", batch_size=4)))
    assert batch.motion.shape[-1] == 263 and batch.motion.isfinite().all()
    next(iter(tokenizer_loader(spec, "train", batch_size=2, window=40)))


def test_several_processes_write_the_same(
    world: World, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*world.arguments(tmp_path / "out"), "--workers", "2"], monkeypatch) == 0
    assert features_of(tmp_path / "out") == features_of(built)


def test_an_interrupted_build_goes_on(
    world: World, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out, calls, save = tmp_path / "out", [], humanml3d_clips.save_array

    def failing(path: Path, values: Tensor) -> None:
        calls.append(path)
        if len(calls) == 16:
            raise KeyboardInterrupt
        save(path, values)

    with monkeypatch.context() as patch:
        patch.setattr(humanml3d_clips, "save_array", failing)
        assert run(world.arguments(out), patch) == 130
    assert not (out / "Mean.npy").exists() and not read_json(out / "build_state.json")["complete"]
    whole = sorted((out / "new_joint_vecs").glob("*.npy"))
    assert 0 < len(whole) < 2 * len(MADE)
    # A file that was cut off, one that a kill left behind, and a clip of which a part was deleted.
    whole[0].write_bytes(whole[0].read_bytes()[:-4])
    (out / "new_joints/.000001.abc.npy").write_bytes(b"half")
    (out / "new_joints" / whole[-1].name).unlink()
    # A pair that is whole must not be written again.
    damaged = {whole[0].name[-10:], whole[-1].name[-10:]}
    kept = next(file for file in whole if file.name.startswith("M") and file.name[-10:] not in damaged)
    time = kept.stat().st_mtime_ns
    capsys.readouterr()
    assert run(world.arguments(out), monkeypatch) == 0
    assert features_of(out) == features_of(built) and kept.stat().st_mtime_ns == time
    assert 0 < read_json(out / "report.json")["this_run"]["written"] < 2 * len(MADE)
    # Once more: nothing is left to do, and nothing changes.
    assert run(world.arguments(out), monkeypatch) == 0
    assert features_of(out) == features_of(built)
    assert read_json(out / "report.json")["this_run"]["written"] == 0
    # Other options do not mix with these.
    assert run([*world.arguments(out), "--repair_turns"], monkeypatch) == 2
    assert "was built with another --repair_turns" in capsys.readouterr().err
    assert features_of(out) == features_of(built)


def test_a_subset_alone_then_the_rest(
    world: World, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    # HumanAct12 needs neither AMASS nor a body model.
    assert run(["--humanml3d", str(world.clone), "--out", str(out), "--only", "humanact12"], monkeypatch) == 0
    assert {file.stem for file in (out / "new_joint_vecs").iterdir()} == {"000012", "M000012"}
    assert (out / "all.txt").read_text().split() == ["000012", "M000012"]
    assert run([*world.arguments(out), "--only", "hdm05", "KIT"], monkeypatch) == 0
    assert read_json(out / "report.json")["clips"] == 6
    assert run(world.arguments(out), monkeypatch) == 0
    assert features_of(out) == features_of(built)


def test_the_result_is_compared_with_what_is_published(
    world: World, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, spec = tmp_path / "clone", replace(SPECS["t2m"], root=built)
    shutil.copytree(world.clone, clone)
    published = find_published(clone, Published())
    assert build_humanml3d._compare_reference(spec, published) == {}
    monkeypatch.setattr(build_humanml3d, "_EXAMPLE", "000001")
    for name in ("Mean.npy", "Std.npy", "new_joint_vecs/000001.npy"):
        target = clone / "HumanML3D" / name
        target.parent.mkdir(exist_ok=True)
        np.save(target, np.load(built / name) + (0.5 if "vecs" in name else 0))
    found = build_humanml3d._compare_reference(spec, published)
    assert found == {"statistics, in standard deviations": 0, "features of 000001": pytest.approx(0.5, abs=1e-6)}
    (clone / "HumanML3D/Std.npy").write_text("version https://git-lfs.github.com/spec/v1")
    assert "Std.npy cannot be read" in build_humanml3d._compare_reference(spec, published)["not compared"]


def test_captions_from_a_folder(world: World, tmp_path: Path) -> None:
    with zipfile.ZipFile(world.clone / "HumanML3D/texts.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "texts/000003.txt").unlink()
    assert copy_texts(tmp_path / "texts", ["000001", "000003", "M000003"], tmp_path / "out") == ["000003"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"000001.txt", "M000003.txt"}
    text = tmp_path / "out/000001.txt"
    time = text.stat().st_mtime_ns
    copy_texts(tmp_path, ["000001"], tmp_path / "out")
    assert text.stat().st_mtime_ns == time and "walks 000001#" in text.read_text()


def test_an_unfinished_folder_is_a_finding(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "out")
    (tmp_path / "out/build_state.json").write_text('{"options": {}, "complete": false}')
    report = check_data.check_data(replace(SPECS["t2m"], root=tmp_path / "out"))
    assert report.findings == ["lamp.prepare.build_humanml3d did not finish here; run the same command again"]


def test_published_counts_are_compared() -> None:
    counts = {"all": 29_228, "train": 23_384, "val": 1_460, "test": 4_384}
    assert check_data.compare_published("t2m", counts).endswith("test 4,384 of 4,384: the same")
    text = check_data.compare_published("kit", {"all": 6_018, "train": 4_888})
    assert "val 0 of 300" in text and "(as remembered): not the same; the folder's own files count" in text


def test_errors_are_one_line(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    out = str(tmp_path / "out")
    good = world.arguments(tmp_path / "out")
    smplx = tmp_path / "smplx"
    write_take(smplx / "KIT/3/kick_stageii.npz", 0.5, 100, 0, poses=np.zeros((50, 165)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious.txt").write_text("keep")
    pointer = tmp_path / "pointer.zip"
    pointer.write_text("version https://git-lfs.github.com/spec/v1")
    for arguments, text in (
        (["--out", out], "give --humanml3d DIR"),
        (["--humanml3d", str(tmp_path / "no"), "--out", out], "git clone https://github.com/EricGuo5513/HumanML3D"),
        ([*good, "--amass", str(tmp_path / "no")], "unpacked AMASS subsets"),
        ([*good, "--amass", str(tmp_path), "--only", "KIT"], "SMPL+H G"),
        ([*good, "--amass", str(world.bodies), "--only", "KIT"], "none of 1 recordings was found"),
        ([*good, "--body_models", str(tmp_path)], "register at https://mano.is.tue.mpg.de"),
        ([*good, "--only", "Nowhere"], "--only Nowhere: unknown; it takes ACCAD,"),
        ([*good, "--out", str(tmp_path / "full")], "was not made by this command"),
        ([*good, "--humanact12", str(pointer)], "git lfs pull"),
        ([*good, "--amass", str(smplx.parent), "--only", "EKUT", "SFU"], "none of 2 recordings was found"),
    ):
        assert run(arguments, monkeypatch) == 2, text
        error = capsys.readouterr().err
        assert text in error and len(error.strip().splitlines()) == 1, error
    assert not (tmp_path / "out").exists() and (tmp_path / "full/precious.txt").read_text() == "keep"
    assert run([*good, "--dry_run"], monkeypatch) == 0
    assert "CMU" in capsys.readouterr().out and not (tmp_path / "out").exists()


def test_broken_indexes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    header = "source_path,start_frame,end_frame,new_name\n"
    good = "./pose_data/KIT/3/a_poses.npy,0,9,000000.npy\n"
    for rows, text in (
        ("", "has no rows"),
        (good + good, "line 3 is broken"),
        (good.replace("000000", "../../x"), "line 2 is broken"),
        (good.replace(",9,", ",x,"), "line 2 is broken"),
        (good.replace("KIT", "Elsewhere"), "no folder of a known subset"),
    ):
        path.write_text(header + rows)
        with pytest.raises(UserError, match=text):
            read_index(path)
    path.write_text(header + good)
    assert read_index(path)[0].label == "KIT/3/a_poses"
    with pytest.raises(UserError, match=r"--texts .* does not exist"):
        find_published(None, Published(index=path, texts=tmp_path / "no"))


def test_an_archive_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "humanact12.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"x")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 110  # the version of zip that it needs, in its index
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"humanact12\.zip is neither a folder nor a zip archive \(zip file version 11"):
        find_humanact12(path)
