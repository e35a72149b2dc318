"""Judging another model's motions from files by the protocol that judges the generator."""

# ruff: noqa: F811 - fixtures are imported by name

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.data.draws import TestDraws
from lamp.data.spec import get_spec
from lamp.stages.motion_folder import MotionFolder
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from tests.test_scripts import GENERATION, run, workshop  # noqa: F401 - a fixture


@pytest.fixture(scope="module")
def generated(workshop, tmp_path_factory):
    """Folder with all motions of an evaluation of the generator, and its result and log."""
    folder, common, _ = workshop
    out = tmp_path_factory.mktemp("rivals") / "ours"
    with pytest.MonkeyPatch.context() as patch:
        run("eval_t2m_trans_res", f"{common} {GENERATION} --ext saved --save_motions {out}", patch)
    space = folder / "checkpoints" / "t2m" / "mtrans_name" / "eval"
    return out, json.loads((space / "saved.json").read_text())["test"], (space / "saved.log").read_text()


def judge(workshop, folder: Path, flags: str = "") -> tuple[dict, str]:
    """Result and log of `--motions`."""
    with pytest.MonkeyPatch.context() as patch:
        run("eval_t2m_trans_res", f"{workshop[1]} --gpu_id -1 --repeat_times 2 --motions {folder} {flags}", patch)
    log = (folder / "eval" / "evaluation.log").read_text()
    return json.loads((folder / "eval" / "evaluation.json").read_text())["test"], log


def test_the_generator_s_own_motions_give_its_own_row(workshop, generated) -> None:
    out, expected, generator_log = generated
    found, log = judge(workshop, out)
    assert found["rows"] == expected["rows"] and "MultiModality" in found["rows"]["produced"]
    assert "jitter m/s^3" in found["rows"]["produced"]
    tables = [
        [line.partition("  [")[0].replace("generated", "ours     ").rstrip() for line in text.splitlines()[1:]]
        for text in (generator_log, log)
    ]
    assert [line.split() for line in tables[0]] == [line.split() for line in tables[1]]
    assert "checkpoint ours@" in log and "commit" in log and "was shorter" not in log


def test_batches_do_not_matter_and_variants_may_be_left_out(workshop, generated, tmp_path) -> None:
    out, expected, _ = generated
    shutil.copytree(out, tmp_path / "few", ignore=shutil.ignore_patterns("eval", "variants"))
    found, _ = judge(workshop, tmp_path / "few", "--batch_size 3")
    wanted = dict(expected["rows"]["produced"])
    del wanted["MultiModality"]
    assert set(found["rows"]["produced"]) == set(wanted)
    for key, value in wanted.items():
        assert found["rows"]["produced"][key]["mean"] == pytest.approx(value["mean"], rel=1e-4, abs=1e-6), key


def test_prompts_are_those_of_the_generator(workshop, generated, tmp_path, monkeypatch) -> None:
    out, _, _ = generated
    flags = f"--repeat_times 2 --mm_motions 3 --write_prompts {tmp_path}/prompts.csv"
    run("eval_t2m_trans_res", f"{workshop[1]} {flags}", monkeypatch)
    with (tmp_path / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    files = {path.relative_to(out).with_suffix("").as_posix() for path in out.rglob("*.npz")}
    assert {row["file"] for row in rows} == files and len(rows) == len(files)
    for row in rows:
        motion = Motion.load(out / f"{row['file']}.npz")
        assert (len(motion), motion.text) == (int(row["frames"]), row["text"])


@pytest.fixture
def real(workshop, tmp_path):
    """A folder with the real motions of the test split under their ids, and the data."""
    root = Path(workshop[1].split("--data_root ")[1].split()[0])
    folder = tmp_path / "real"
    folder.mkdir()
    for name in (root / "test.txt").read_text().split():
        shutil.copy(root / "new_joint_vecs" / f"{name}.npy", folder)
    return folder, root


def spread(folder: Path, kind: str) -> None:
    """Turn features into another kind of file."""
    for path in list(folder.glob("*.npy")):
        features = np.load(path)
        joints = features_to_joints(torch.from_numpy(features)).numpy()
        path.unlink()
        if kind == "joints":
            np.save(path, joints)
        elif kind == "npz":
            Motion(joints, features).save(path.with_suffix(".npz"))
        else:
            Motion(joints).save(path.with_suffix(".bvh"))


@pytest.mark.parametrize("kind", ["features", "npz", "joints", "bvh"])
def test_one_motion_an_id_in_every_kind_of_file(workshop, real, kind) -> None:
    folder, _ = real
    if kind != "features":
        spread(folder, kind)
    found, log = judge(workshop, folder, "--mm_batches 0")
    produced, truth = found["rows"]["produced"], found["rows"]["real"]
    assert set(produced) == set(truth)
    # Real motions, whole instead of cropped at random: nearly those they are compared with.
    assert produced["MM-Dist"]["mean"] == pytest.approx(truth["MM-Dist"]["mean"], rel=0.2)
    # Joints made of features lose a little, inverse kinematics a few millimetres.
    assert produced["foot skating"]["mean"] == pytest.approx(truth["foot skating"]["mean"], abs=0.1)
    assert "was shorter" not in log and "real@" in log


def test_joints_are_as_long_as_they_are(real) -> None:
    folder, root = real
    spread(folder, "joints")
    draws = TestDraws(get_spec("t2m", root), "test", seed=0)
    motions = MotionFolder(folder, [draws], repeats=1)
    for _, batch in motions.begin(draws, 0).batches(4):
        features, lengths = motions(batch, [])
        assert torch.equal(lengths, batch.lengths) and features.shape[1] == lengths.max()


def test_a_shorter_motion_keeps_its_length_and_is_counted(workshop, real) -> None:
    folder, _ = real
    for path in folder.glob("*.npy"):
        np.save(path, np.load(path)[:30])
    found, log = judge(workshop, folder, "--mm_batches 0")
    assert f"{2 * found['motions']} times a motion was shorter" in log


def test_the_caption_is_the_one_that_a_file_was_made_from(real) -> None:
    folder, root = real
    draws = TestDraws(get_spec("t2m", root), "test", seed=0)
    told = {}
    for sample, name in enumerate(draws.dataset.sample_names):
        told[sample] = draws.dataset.captions(sample)[-1]
        features = np.load(folder / f"{name}.npy")
        (folder / f"{name}.npy").unlink()
        joints = features_to_joints(torch.from_numpy(features)).numpy()
        Motion(joints, features, text=told[sample].text).save(folder / f"{name}.npz")
    motions = MotionFolder(folder, [draws], repeats=3)
    for repeat in range(3):
        for _, batch in motions.begin(draws, repeat).batches(4):
            assert batch.captions == [told[sample].text for sample in batch.sample_ids.tolist()]
            assert batch.tokens == [told[sample].tokens for sample in batch.sample_ids.tolist()]
    Motion(joints, features, text="something else").save(folder / f"{name}.npz")
    motions = MotionFolder(folder, [draws], repeats=1)
    with pytest.raises(UserError, match=rf"{name}.npz says it was made from 'something else'"):
        list(motions.begin(draws, 0).batches(4))


def damage(folder: Path, how: str) -> None:
    first = sorted(folder.glob("*.npy"))[0]
    if how == "missing":
        first.unlink()
    elif how == "twice":
        shutil.copy(first, first.with_suffix(".npz"))
    elif how == "kit":
        np.save(first, np.zeros((40, 251), np.float32))
    elif how == "short":
        np.save(first, np.load(first)[:3])
    elif how == "nan":
        np.save(first, np.full((40, 263), np.nan, np.float32))
    elif how == "broken":
        first.write_bytes(b"nothing")
    else:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"--motions .* lacks 1 of the \d+ motions of test, such as .*--write_prompts"),
        ("twice", r"\.npy and .*\.npz of one motion"),
        ("kit", r"\.npy: the motion has 21 joints"),
        ("short", r"\.npy has fewer than 4 frames"),
        ("nan", r"\.npy.*(NaN|not finite)"),
        ("broken", r"\.npy"),
        ("gone", r"no such folder"),
    ],
)
def test_what_cannot_be_judged_is_named(workshop, real, how, message, capsys) -> None:
    folder, _ = real
    damage(folder, how)
    with pytest.raises(SystemExit) as stop:
        judge(workshop, folder)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and re.search(message, error), error


def test_too_few_repetitions_or_variants_are_named(workshop, generated, tmp_path, capsys) -> None:
    out, _, _ = generated
    with pytest.raises(SystemExit):
        judge(workshop, out, "--repeat_times 3")
    assert "it needs 3 repetitions (--repeat_times)" in capsys.readouterr().err
    copy = shutil.copytree(out, tmp_path / "copy", ignore=shutil.ignore_patterns("eval"))
    next((copy / "1" / "variants").rglob("*.npz")).unlink()
    with pytest.raises(SystemExit):
        judge(workshop, copy)
    assert "multimodality needs as many motions of each text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--motions a --save_motions b", "--motions and --save_motions exclude each other"),
        ("--save_motions a --which_epoch all", "--save_motions holds the motions of one checkpoint"),
        ("--write_prompts a.txt", "must end in .csv"),
    ],
)
def test_flags_that_exclude_each_other(workshop, flags, message, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        run("eval_t2m_trans_res", f"{workshop[1]} {flags}", monkeypatch)
    assert message in capsys.readouterr().err


def test_motions_are_not_written_over_others(workshop, generated, monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        run("eval_t2m_trans_res", f"{workshop[1]} {GENERATION} --save_motions {generated[0]}", monkeypatch)
    assert "is not empty" in capsys.readouterr().err


def test_samples_have_names_of_their_own(sample_data, tmp_path) -> None:
    root = shutil.copytree(sample_data, tmp_path / "data", ignore=shutil.ignore_patterns(".cache", "labels.json"))
    name = (root / "test.txt").read_text().split()[0]
    line = "a person walks#a/DET person/NOUN walk/VERB#0.5#{}\n"
    (root / "texts" / f"{name}.txt").write_text(
        line.replace("0.5", "0.0").format("0.0") + line.format(2.5) + line.format(2.5) + line.format(2.6)
    )
    names = TestDraws(get_spec("mini", root), "test", seed=0).dataset.sample_names
    own = [some for some in names if some.startswith(name)]
    assert own == [name, f"{name}_10_49", f"{name}_10_49_2", f"{name}_10_51"]
    assert len(set(names)) == len(names)
