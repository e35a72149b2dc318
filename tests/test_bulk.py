"""Bulk work: what it gives, what a second start finds, shares, killed processes, a cluster, mistakes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from tqdm import tqdm

import bulk
from lamp.data.caption_table import read_caption_table
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.token_maker import Guidance
from lamp.models.vq.model import RVQVAE
from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk import items as items_module
from lamp.stages.bulk import parts, tasks
from lamp.stages.bulk.cluster import work_on_cluster
from lamp.stages.bulk.items import find_items
from lamp.stages.bulk.parts import all_rows
from lamp.stages.bulk.tasks import chunks
from lamp.utils.capture.files import read_motion
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.motion_features import FeatureReader
from lamp.utils.packages import is_installed

ROOT = Path(__file__).resolve().parent.parent
needs_ray = pytest.mark.skipif(not is_installed("ray"), reason="needs Ray, which the extra cluster installs")


def run(*words: object) -> int:
    """Exit code of `bulk.py` with a command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bulk.py", *map(str, words), "--gpu_id", "-1"])
        try:
            bulk.main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def start(*words: object) -> subprocess.Popen[bytes]:
    """`bulk.py` in a process of its own."""
    command = [sys.executable, "bulk.py", *map(str, words), "--gpu_id", "-1"]
    # Ray's own processes would wait for all others of the machine.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the parts."""
    return {str(path.relative_to(out)): path.read_bytes() for path in (out / "parts").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Motions of the shipped models, made in bulk."""
    folder = tmp_path_factory.mktemp("bulk")
    (folder / "prompts.txt").write_text("a person walks forward#40\na person bows#48\na person runs#24\n")
    assert run("generate", folder / "prompts.txt", "--out", folder / "made", "--batch_size", 2, "--time_steps", 2) == 0
    return folder / "made"


@pytest.fixture(scope="module")
def folder(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of motion files, one of which is none."""
    source = tmp_path_factory.mktemp("captures")
    for path in made.rglob("*.npy"):
        shutil.copy(path, source)
    (source / "sub").mkdir()
    Motion.load(source / "sample0000001_repeat0.npy").save(source / "sub" / "bow.bvh")
    np.save(source / "bad.npy", np.zeros(3))
    return source


class Plain(tasks.Task):
    """Reads files as the other tasks do, and needs no models."""

    def __init__(self, options: BulkOptions, _: torch.device) -> None:
        joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
        reader = FeatureReader(HUMANML3D, 4, None)
        self.models, self.read = {}, items_module.FileReader(reader, options.windows, joint_map, options.up)

    def __call__(self, read: items_module.Read) -> parts.Part:
        return read.part


@pytest.fixture
def takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two captures and a file that is none, for work without models."""
    monkeypatch.setattr(bulk, "make_task", Plain)
    source = tmp_path / "takes"
    (source / "sub").mkdir(parents=True)
    for name in ("sub/b.bvh", "c.bvh"):
        shutil.copy(ROOT / "tests/cases/07/walk.bvh", source / name)
    np.save(source / "bad.npy", np.zeros(3))
    return source


def test_generated_motions_are_those_of_the_pipeline(made: Path) -> None:
    assert manifest(made) == {
        **{"task": "generate", "items": 3, "parts": 2, "done": 2, "missing": []},
        **{"left_out": 0, "try_again": 0, "reasons": []},
    }
    rows = list(all_rows(made))
    assert [row["prompt"] for _, row in rows] == ["a person walks forward", "a person bows", "a person runs"]
    place, row = rows[2]
    (alone,) = LaMPPipeline.from_pretrained()(row["prompt"], 24, seed=row["seed"], time_steps=2)
    np.testing.assert_allclose(np.load(place / row["file"]), alone.features, atol=1e-4)
    assert len(Motion.load(rows[0][0] / rows[0][1]["file"])) == 40


def test_embeddings_captions_and_codes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("embed", "caption", "tokenize"):
        quick = ("--num_beams", 1) if task == "caption" else ()
        assert run(task, folder, "--out", tmp_path / task, "--batch_size", 3, *quick) == 0
        said = capsys.readouterr().err
        assert "left out: bad.npy: " in said and "1 of 5 files left out" in said
        found = list(all_rows(tmp_path / task))
        assert [row["file"] for _, row in found if "reason" in row] == ["bad.npy"]
        assert manifest(tmp_path / task)["left_out"] == 1
    (place, walk), *_ = ((p, row) for p, row in found if row["file"] == "sample0000000_repeat0.npy")
    tokenizer = RVQVAE.from_pretrained(shipped_models(), "tokenizer")
    features = torch.from_numpy(np.load(folder / walk["file"]))
    codes = np.load(place / "codes.npy")[walk["first"] : walk["first"] + walk["tokens"]]
    assert codes.dtype == np.int16
    np.testing.assert_array_equal(codes, tokenizer.encode(tokenizer.normalize(features[None]))[0].numpy())
    embedded = {
        row["file"]: np.load(p / "pooled.npy")[row["place"]]
        for p, row in all_rows(tmp_path / "embed")
        if "place" in row
    }
    assert embedded["sub/bow.bvh"] @ embedded["sample0000001_repeat0.npy"] > 0.95
    table = read_caption_table(tmp_path / "caption" / "captions.csv")
    assert "bow" in table["sample0000001_repeat0.npy"][0].caption and "bad.npy" not in table


def test_shares_a_kill_and_what_a_second_start_finds(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "many", tmp_path / "out"
    source.mkdir()
    for number in range(24):
        shutil.copy(folder / "sample0000000_repeat0.npy", source / f"{number:02d}.npy")
    flags = ("tokenize", source, "--out", out, "--batch_size", 1)
    killed, whole = start(*flags, "--shard", "0/2"), start(*flags, "--shard", "1/2")
    while not (out / "parts/0000/0000002").is_dir():
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    for process, code in ((killed, -signal.SIGKILL), (whole, 0)):
        process.communicate()
        assert process.returncode == code
    there = {path.parent for path in out.rglob("rows.jsonl") if not path.parent.name.startswith(".")}
    # The manifest tells what was there when the share that ended wrote it: the killed one may have come later.
    assert 12 < len(there) < 24 and 12 <= manifest(out)["done"] <= len(there)
    changed = {path: path.stat().st_mtime_ns for path in there}
    assert run(*flags) == 0 and f"24 of 24 parts are there, {24 - len(there)} made now" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in there} == changed
    # Nothing half-written is left, and who did what makes no difference.
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]
    assert run("tokenize", source, "--out", tmp_path / "alone", "--batch_size", 1, "--num_workers", 1) == 0
    assert contents(out) == contents(tmp_path / "alone")
    # A file that has changed is done again, and that alone.
    shutil.copy(folder / "sample0000001_repeat0.npy", source / "07.npy")
    capsys.readouterr()
    assert run(*flags) == 0 and "24 of 24 parts are there, 1 made now" in capsys.readouterr().out


@needs_ray
def test_a_cluster_does_the_same_and_outlives_a_killed_worker(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(24):
        shutil.copy(folder / "sample0000000_repeat0.npy", source / f"{number:02d}.npy")
    flags = ("tokenize", source, "--batch_size", 1)
    process = start(*flags, "--out", tmp_path / "ray", "--ray", "local", "--ray_workers", 2)
    while not list(tmp_path.glob("ray/parts/0000/0*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if "PartWorker" in " ".join(child.cmdline())]
    assert workers
    workers[0].kill()
    said = process.communicate(timeout=600)
    assert process.returncode == 0 and b"24 of 24 parts are there" in said[0], said
    assert run(*flags, "--out", tmp_path / "alone") == 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "alone")


def test_long_motions_are_chunks_of_their_own() -> None:
    class Plain:
        device = torch.device("cpu")

        def normalize(self, features: torch.Tensor) -> torch.Tensor:
            return features

    features = [np.full((frames, 3), frames, np.float32) for frames in (40, 4000, 100, 20, 196)]
    found = [(places, lengths.tolist()) for places, _, lengths in chunks(features, 4, Plain())]  # type: ignore[arg-type]
    assert found == [([1], [4000]), ([3, 0, 2, 4], [20, 40, 100, 196])]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dance", "{folder}", "--out", "{tmp}/x"], "none of embed, caption"),
        (["embed", "{tmp}/none", "--out", "{tmp}/x"], "SOURCE {tmp}/none: no such file or folder"),
        (["generate", "{tmp}/none", "--out", "{tmp}/x"], "cannot read SOURCE"),
        (["generate", "{tmp}/many.txt", "--out", "{tmp}/x"], "has sequences"),
        (["embed", "{folder}", "--out", "{folder}"], "is SOURCE itself"),
        (["embed", "{folder}", "--out", "{folder}/sub/x"], "lies in SOURCE"),
        (["caption", "{folder}", "--out", "{tmp}/x", "--top_p", "2"], "--top_p 2.0 must be above 0"),
        (["caption", "{folder}", "--out", "{tmp}/x", "--temperature", "0"], "--temperature 0.0 must be above 0"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--joint_map", "{tmp}/none"], "{tmp}/none"),
        (["tokenize", "{folder}", "--out", "{tmp}/full"], "was not made by this command"),
        (["tokenize", "{folder}", "--out", "{tmp}/file"], "was not made by this command"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--shard", "2/2"], "the shares of 2 are 0/2 to 1/2"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--shard", "1"], "must be i/n"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--num_beams", "3"], "--num_beams goes with caption"),
        (["generate", "{tmp}/p.txt", "--out", "{tmp}/x", "--windows"], "--windows goes with embed and caption"),
        (["caption", "{folder}", "--out", "{tmp}/x", "--precision", "int8"], "--precision int8 goes with generate"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--ray_workers", "3"], "goes with --ray"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--models", "{tmp}/none"], "{tmp}/none"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "p.txt").write_text("a person walks#40\n")
    (tmp_path / "many.txt").write_text("a person walks > a person runs\n")
    places = {"folder": folder, "tmp": tmp_path}
    assert run(*(word.format(**places) for word in words)) == 2
    message = capsys.readouterr().err
    assert said.format(**places) in message and len(message.splitlines()) == 1, message
    assert not (tmp_path / "x").exists()


def test_other_work_in_the_same_folder_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("tokenize", folder, "--out", out) == 0
    capsys.readouterr()
    (tmp_path / "one").mkdir()
    shutil.copy(folder / "sample0000000_repeat0.npy", tmp_path / "one")
    assert run("tokenize", folder, "--out", out, "--batch_size", 7) == 2
    assert "with --batch_size 32, not 7" in capsys.readouterr().err
    assert run("tokenize", tmp_path / "one", "--out", out) == 2
    assert "on other items (5; SOURCE has 1 now" in capsys.readouterr().err

    class Other(tasks.Tokenize):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            self.models = {"tokenizer": "other@00000000"}

    monkeypatch.setattr(tasks, "Tokenize", Other)
    assert run("tokenize", folder, "--out", out) == 2
    assert ", not other@00000000" in capsys.readouterr().err
    (out / "plan.json").write_text("{")
    assert run("tokenize", folder, "--out", out) == 2 and "is damaged" in capsys.readouterr().err


def test_what_only_failed_for_now_is_tried_again(
    takes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = {"c.bvh": OSError(errno.EIO, "Input/output error"), "b.bvh": MemoryError()}

    def read(path: str, *how: object) -> Motion:
        if error := failing.get(Path(path).name):
            raise error
        return read_motion(path, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(items_module, "read_motion", read)
    out = tmp_path / "out"
    flags = ("tokenize", takes, "--out", out, "--batch_size", 1)
    assert run(*flags) == 2  # none has a result
    said = capsys.readouterr().err
    assert "Input/output error (the next start tries it again)" in said and "3 files, none could be" in said
    assert (manifest(out)["left_out"], manifest(out)["try_again"]) == (3, 2)
    failing.clear()
    assert run(*flags) == 0 and "3 of 3 parts are there, 2 made now" in capsys.readouterr().out
    assert (manifest(out)["left_out"], manifest(out)["try_again"]) == (1, 0)
    assert run(*flags) == 0 and "3 of 3 parts are there, 0 made now" in capsys.readouterr().out


def test_a_share_that_reads_nothing_ends_well_while_others_may(
    takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("tokenize", takes, "--batch_size", 1, "--out", tmp_path / "out")
    assert run(*flags, "--shard", "0/3") == 0  # bad.npy
    assert "1 of 1 files left out" in capsys.readouterr().err
    shutil.rmtree(takes / "sub")
    (takes / "c.bvh").unlink()
    assert run("tokenize", takes, "--out", tmp_path / "none") == 2


def test_a_source_that_has_grown_keeps_its_parts(
    takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = ("tokenize", takes, "--out", out, "--batch_size", 2)
    assert run(*flags) == 0
    (out / "items.json").unlink()
    plan = json.loads((out / "plan.json").read_text())
    del plan["deliveries"]
    (out / "plan.json").write_text(json.dumps(plan))  # as older versions wrote them
    assert run(*flags) == 0
    was = contents(out)
    for name in ("a.bvh", "d.bvh", "e.bvh"):
        shutil.copy(takes / "c.bvh", takes / name)
    capsys.readouterr()
    assert run(*flags) == 0 and "4 of 4 parts are there, 2 made now" in capsys.readouterr().out
    now = contents(out)
    assert was.items() < now.items() and len(now) == 4
    assert [row["file"] for _, row in all_rows(out)] == ["bad.npy", "c.bvh", "sub/b.bvh", "a.bvh", "d.bvh", "e.bvh"]
    assert run(*flags) == 0 and "4 of 4 parts are there, 0 made now" in capsys.readouterr().out
    (takes / "a.bvh").unlink()
    assert run(*flags) == 2 and "on other items (6; SOURCE has 5 now" in capsys.readouterr().err
    assert contents(out) == now


def test_an_edited_joint_map_is_another(takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {name: name for name in HUMANML3D.joint_names}
    path = tmp_path / "map.json"
    path.write_text(json.dumps(table))
    flags = ("tokenize", takes, "--out", tmp_path / "out", "--shard", "0/2", "--joint_map", path, "--batch_size", 2)
    assert run(*flags) == 0 and run(*flags) == 0
    path.write_text(json.dumps(table | {"head": "neck"}))
    capsys.readouterr()
    assert run(*flags) == 2 and "with --joint_map map.json@" in capsys.readouterr().err


def test_an_edited_skeleton_is_another(tmp_path: Path) -> None:
    for name in ("01_01.amc", "02_01.amc", "01.asf", "02.asf"):
        (tmp_path / "cmu" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "cmu" / name).write_text(name)
    options = BulkOptions(task="embed", source=tmp_path / "cmu", out=tmp_path / "out")
    for number, item in enumerate(find_items(options)):
        row = {"file": item.name, "size": item.size, "changed": item.changed, "skeleton": item.skeleton}
        parts.write_part(options.out, number, parts.Part([row]))
    (tmp_path / "cmu" / "02.asf").write_text("other")
    items_module._digest_of.cache_clear()
    done = [items_module.is_done(options.out, number, [item]) for number, item in enumerate(find_items(options))]
    assert done == [True, False]


def test_only_files_that_are_there_and_whole_are_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "many"
    for name in ("a.npy", "._a.npy", ".0000001.tmp-00000000-1-00000000/b.npy", "sub/c.npy"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    options = BulkOptions(task="embed", source=source, out=tmp_path / "out")
    assert [item.name for item in find_items(options)] == ["a.npy", "sub/c.npy"]
    monkeypatch.setattr(items_module, "find_motion_files", lambda *_: {"gone.npy": source / "gone.npy"})
    with pytest.raises(UserError, match=r"gone\.npy was there and cannot be read now"):
        find_items(options)


def test_an_error_in_the_middle_leaves_a_manifest(takes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[items_module.Read] = []

    def fails(_: Plain, read: items_module.Read) -> parts.Part:
        calls.append(read)
        if len(calls) == 2:
            raise UserError("the disk is full")
        return read.part

    monkeypatch.setattr(Plain, "__call__", fails)
    assert run("tokenize", takes, "--out", tmp_path / "out", "--batch_size", 1) == 2
    assert manifest(tmp_path / "out")["done"] == 1 and manifest(tmp_path / "out")["missing"] == [[1, 2]]


def test_what_the_models_cannot_do_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    guidance = Guidance(1.0, 1.0)
    pipe = SimpleNamespace(
        **dict.fromkeys(("tokenizer", "masked", "residual", "length", "wordings")),
        **{"text": SimpleNamespace(identity="clip"), "guidance": guidance},
    )
    monkeypatch.setattr(tasks, "load_pipeline", lambda *_: pipe)
    flags = ("generate", tmp_path / "p.txt", "--out", tmp_path / "x")
    (tmp_path / "p.txt").write_text("a person walks#NA\n")
    assert run(*flags) == 2 and "no length estimator" in capsys.readouterr().err
    (tmp_path / "p.txt").write_text("a person walks#40\n")
    monkeypatch.setattr("lamp.models.matching.lamp_of", lambda _: None)
    assert run(*flags, "--best_of", 2) == 2 and "leave --best_of out" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_settings_that_are_gone_are_told(tmp_path: Path) -> None:
    plan = parts.Plan("embed", 1, [1], "0", {"lamp": "a@0"}, {"batch_size": 1})
    parts.begin(tmp_path, replace(plan, models=plan.models | {"other": "b@1"}), [["a"]])
    with pytest.raises(UserError, match=r"with other b@1, not \(none\)"):
        parts.begin(tmp_path, plan, [["a"]])


def test_a_cluster_of_this_machine_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def init(address: str | None = None, **_: object) -> None:
        asked.append(address)
        raise ConnectionError("none")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    options = BulkOptions(task="embed", source=tmp_path / "in", out=tmp_path / "out", ray="local")
    with pytest.raises(UserError, match="no cluster there"):
        work_on_cluster(options, [], [], tqdm(disable=True))
    assert asked == ["local"]  # None would join what RAY_ADDRESS names


def test_a_name_with_a_line_separator_is_one_row(tmp_path):
    part = parts.Part([{"file": "a\u2028b.bvh", "captions": ["walks\u0085on"]}])
    parts.write_part(tmp_path, 0, part)
    assert parts.rows_of(parts.folder_of(tmp_path, 0)) == part.rows
