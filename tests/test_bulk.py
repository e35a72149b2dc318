"""Bulk work: what it gives, what a second start finds, shares, killed processes, a cluster, mistakes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import bulk
from lamp.data.caption_table import read_caption_table
from lamp.models.pipeline import LaMPPipeline
from lamp.models.vq.model import RVQVAE
from lamp.stages.bulk import parts, tasks
from lamp.stages.bulk.parts import all_rows
from lamp.stages.bulk.tasks import chunks
from lamp.utils.home import shipped_models
from lamp.utils.motion import Motion
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


def test_generated_motions_are_those_of_the_pipeline(made: Path) -> None:
    assert manifest(made) == {
        **{"task": "generate", "items": 3, "parts": 2, "done": 2, "missing": [], "left_out": 0, "reasons": []}
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
    assert 12 < len(there) < 24 and manifest(out)["done"] == len(there)
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
        (["tokenize", "{folder}", "--out", "{tmp}/full"], "was not made by this command"),
        (["tokenize", "{folder}", "--out", "{tmp}/file"], "was not made by this command"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--shard", "2/2"], "the shares of 2 are 0/2 to 1/2"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--shard", "1"], "must be i/n"),
        (["embed", "{folder}", "--out", "{tmp}/x", "--num_beams", "3"], "--num_beams goes with caption"),
        (["generate", "{tmp}/p.txt", "--out", "{tmp}/x", "--windows"], "--windows goes with embed and caption"),
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


def test_a_name_with_a_line_separator_is_one_row(tmp_path):
    part = parts.Part([{"file": "a\u2028b.bvh", "captions": ["walks\u0085on"]}])
    parts.write_part(tmp_path, 0, part)
    assert parts.rows_of(parts.folder_of(tmp_path, 0)) == part.rows
