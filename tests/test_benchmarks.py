"""Benchmarks run, at tiny sizes, and say what they should; how long anything takes is not tested."""

import importlib
import json
import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch

from benchmarks import all as everything
from benchmarks import bench_commands, bench_corpus, bench_gpu, bench_limit, common, gpu_check, seams
from benchmarks.common import BASELINE_FILE, Bench, NotMeasured, Part, Settings, measure_all
from benchmarks.report import report_lines
from benchmarks.training import Job
from lamp.utils.errors import UserError
from tests.marks import needs_compiler

REPORT = {"benchmark", "quick", "machine", "rows"}
MACHINE = {"system", "processor", "cores", "memory_gb", "device", "threads", "load_before", "python", "torch", "numpy"}
ROW = {"key", "title", "unit", "items", "threads", "seconds", "fastest", "slowest", "runs", "items_per_second"}
ROW |= {"peak_gb", "baseline", "baseline_seconds", "ratio", "axis", "value", "note"}


def run(script, monkeypatch, tmp_path, *flags):
    """Report of a script run with `--quick`."""
    threads, file = torch.get_num_threads(), tmp_path / "report.json"
    monkeypatch.setattr(sys, "argv", [script, "--quick", "--json", str(file), *flags])
    importlib.import_module(f"benchmarks.{script}").main()
    assert torch.get_num_threads() == threads
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture
def bench(tmp_path):
    return Bench(Settings(), tmp_path)


@pytest.mark.parametrize("script", everything.SCRIPTS)
def test_every_script_runs(script, monkeypatch, tmp_path, capsys):
    # Starting the scripts themselves takes seconds, which their own tests do.
    flags = ["--only", "import"] if script == "bench_commands" else []
    monkeypatch.setattr(bench_commands, "IMPORT", "print(0.5)")
    report = run(script, monkeypatch, tmp_path, *flags)
    assert report.keys() >= REPORT and report["machine"].keys() >= MACHINE and report["quick"]
    assert report["rows"]
    for row in report["rows"]:
        assert row.keys() == ROW
        if script == "bench_gpu" and "compiled" in row["title"]:
            assert row["note"] == "not measured: no CUDA GPU"
            continue
        assert row["seconds"] > 0 and row["items_per_second"] == pytest.approx(row["items"] / row["seconds"])
    printed = capsys.readouterr().out
    assert all(row["title"] in printed for row in report["rows"]) and "numbers mean nothing" in printed


def test_limit_counts_the_work(monkeypatch, tmp_path, bench):
    rows = run("bench_limit", monkeypatch, tmp_path)["rows"]
    assert [row["unit"] for row in rows] == ["GFLOP"] * 5
    linear = torch.nn.Linear(100, 50)
    assert bench_limit.gflop(lambda rows: lambda: linear(torch.zeros(rows, 100))) == pytest.approx(1e-5)
    part = bench_limit.product_part(bench, "key", 2520, 2520, 2520)
    assert part.items == 96 and part.title.startswith("3 plain products")


@pytest.mark.parametrize("script", everything.GROWING)
def test_growth_covers_batch_length_and_threads(script, monkeypatch, tmp_path):
    monkeypatch.setattr(f"benchmarks.{script}.thread_counts", lambda: [1])
    report = run(script, monkeypatch, tmp_path, "--grow")
    assert {row["axis"] for row in report["rows"]} == {"batch", "length", "threads"}


def test_baseline_is_of_parts_that_exist(bench):
    keys = set()
    for script in everything.SCRIPTS:
        module = importlib.import_module(f"benchmarks.{script}")
        found = [part.key for part in module.parts(bench)]
        assert len(set(found)) == len(found)
        keys |= set(found)
    assert json.loads(BASELINE_FILE.read_text(encoding="utf-8"))["rows"].keys() <= keys


def test_gpu_is_not_measured_without_one(bench):
    parts = importlib.import_module("benchmarks.bench_gpu").parts(bench)
    rows = measure_all(parts, bench)
    assert all(row.seconds is None and row.note == "not measured: no CUDA GPU" for row in rows)


@needs_compiler
def test_compiled_loops_learn():
    torch.manual_seed(0)
    job = Job("x", "x", 4, "things", lambda: torch.nn.Linear(3, 1), lambda: [torch.randn(4, 3)], square)
    for compiler in ("no", "default", "reduce-overhead"):
        loop = bench_gpu.training_loop(job, torch.device("cpu"), 200, compiler)
        assert loop() > loop() > 0


def square(model, batch):
    return (model(batch[0]) - 1).square().mean()


def test_ratio_is_to_the_public_code_or_to_an_earlier_part(bench):
    parts = [Part(key, key, 1, "things", lambda: lambda: None) for key in ("fid", "other")]
    parts.append(Part("third", "third", 1, "things", lambda: lambda: None, against="other"))
    parts.append(Part("mp4_1000", "mp4", 1, "things", lambda: lambda: None, published=False))
    fid, other, third, mp4 = measure_all(parts, bench)
    assert fid.baseline_seconds == 0.42 and fid.ratio == pytest.approx(0.42 / fid.seconds)
    assert other.ratio is None and mp4.ratio is None
    assert third.baseline == "other" and third.baseline_seconds == other.seconds


@pytest.mark.parametrize(("total", "runs"), [(0.0, 5), (float("inf"), common.MOST_RUNS)])
def test_short_parts_are_run_more_often_and_long_ones_as_told(bench, monkeypatch, total, runs):
    monkeypatch.setattr(common, "SHORTEST_TOTAL", total)
    calls = []
    (row,) = measure_all([Part("x", "x", 1, "things", lambda: lambda: calls.append(0))], bench)
    assert row.runs == runs and len(calls) == runs + 1


def test_what_import_measures_can_be_imported(capsys):
    exec(bench_commands.IMPORT, {})
    assert float(capsys.readouterr().out) > 0


def a_report(bench, *parts):
    rows = [vars(row) for row in measure_all(parts, bench)]
    machine = {key: None for key in MACHINE} | {"processor": "abacus", "commit": "1234567"}
    return {"benchmark": "bench_x", "quick": False, "machine": machine, "rows": rows}


def missing():
    raise NotMeasured("no such thing here")


def test_tables(bench, tmp_path):
    report = a_report(
        bench, Part("fid", "is there", 1, "things", lambda: lambda: None), Part("y", "is not", 1, "things", missing)
    )
    assert report_lines(report)[-1] == "is not: not measured: no such thing here"
    file, document = tmp_path / "r.json", tmp_path / "d.md"
    file.write_text(json.dumps({"reports": [report, a_report(bench)]}), encoding="utf-8")
    lines = everything.markdown_lines(everything.read_reports([file]))
    assert sum("is there" in line for line in lines) == 1 and not any("is not" in line for line in lines)
    assert any("420 ms" in line for line in lines)
    document.write_text(f"before\n{everything.BEGIN}\nold\n{everything.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        everything.insert(lines, document)
    text = document.read_text(encoding="utf-8")
    assert "old" not in text and text.startswith("before\n") and text.endswith("\nafter\n")
    assert text.count("is there") == 1


def test_mistakes_are_one_line(tmp_path, bench):
    (tmp_path / "x.json").write_text("[]", encoding="utf-8")
    for path in (tmp_path / "none.json", tmp_path / "x.json"):
        with pytest.raises(UserError, match="no results"):
            everything.read_reports([path])
    (tmp_path / "x.md").write_text("no marks", encoding="utf-8")
    with pytest.raises(UserError, match="marks"):
        everything.insert([], tmp_path / "x.md")
    with pytest.raises(UserError, match="--device nonsense"):
        Bench(Settings(device="nonsense"), tmp_path)
    with pytest.raises(UserError, match="failed"):
        bench_commands.run_command(["-c", "raise SystemExit(3)"])


def test_all_passes_flags_on_and_names_what_failed(monkeypatch, tmp_path):
    commands = []

    class Failed:
        returncode = 1

    def started(command, **_):
        commands.append(command)
        return Failed

    monkeypatch.setattr(everything.subprocess, "run", started)
    reports, failed = everything.measure(everything.AllOptions(quick=True, device="cpu", threads=2))
    assert not reports and failed == list(everything.SCRIPTS)
    assert all({"--quick", "--device", "--threads"} <= set(command) for command in commands)


def test_document_has_the_marks():
    text = (everything.ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.index(everything.BEGIN) < text.index(everything.END)
    assert all(script in text for script in everything.SCRIPTS)


def test_the_check_of_a_gpu_runs_without_one(tmp_path):
    file = tmp_path / "check.json"
    command = ["bash", str(everything.ROOT / "benchmarks" / "gpu_check.sh"), "--device", "cpu", "--quick"]
    only = ["tests", "vq_train_plain", "vq_train_bf16", "vq_train_graphs", "generate_2_bf16"]
    done = subprocess.run(
        [*command, "--json", str(file), "--only", *only],
        env=os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text(encoding="utf-8"))
    assert report["tests"]["code"] == 0 and "passed" in report["tests"]["last"] and not report["tests"]["failed"]
    rows = {row["key"]: row for row in report["rows"]}
    assert rows.keys() == {*only} - {"tests"} and rows["vq_train_bf16"]["ratio"] > 0
    assert rows["vq_train_graphs"]["note"] == "not measured: no CUDA GPU"
    assert "RVQ-VAE" in file.with_suffix(".md").read_text(encoding="utf-8")


def test_the_second_part_of_the_check_names_the_best_batch(monkeypatch, tmp_path, capsys):
    keys = ["bulk_embed_1", "bulk_embed_2", "bulk_generate_bfloat16_2", "evaluate"]
    file = tmp_path / "check.json"
    monkeypatch.setattr(
        sys, "argv", ["gpu_check", "--part", "2", "--device", "cpu", "--quick", "--json", str(file), "--only", *keys]
    )
    gpu_check.main()
    report = json.loads(file.read_text(encoding="utf-8"))
    rows = {row["key"]: row for row in report["rows"]}
    assert report["tests"] is None and rows.keys() == {*keys} and all(row["seconds"] > 0 for row in rows.values())
    fastest = max((rows[key] for key in keys[:2]), key=lambda row: row["items_per_second"])
    assert f"bulk_embed: best batch {fastest['items']}, " in report["best"]["bulk_embed"]
    assert report["best"].keys() == {"bulk_embed", "bulk_generate_bfloat16"}
    assert report["best"]["bulk_embed"] in capsys.readouterr().out


def test_the_check_of_a_gpu_outlives_failures_and_its_time(monkeypatch, tmp_path, capsys):
    def fail():
        raise RuntimeError("out of memory")

    parts = [Part(key, key, 1, "things", lambda work=work: work) for key, work in (("bad", fail), ("good", lambda: 0))]
    parts.append(Part("long", "long", 1, "things", lambda: lambda: time.sleep(60)))
    monkeypatch.setattr(gpu_check, "parts", lambda bench: [gpu_check._guarded(part) for part in parts])
    monkeypatch.setattr(gpu_check, "run_tests", lambda device, seconds: {"code": 1, "failed": ["FAILED x"]})
    file = tmp_path / "check.json"
    monkeypatch.setattr(
        sys, "argv", ["gpu_check", "--device", "cpu", "--quick", "--minutes", "0.03", "--json", str(file)]
    )
    with pytest.raises(SystemExit) as stop:
        gpu_check.main()
    assert stop.value.code == 1 and "are over" in capsys.readouterr().out
    bad, good = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert bad["note"] == "not measured: RuntimeError: out of memory" and good["seconds"] > 0


def test_seams_are_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["seams", "--count", "1", "--candidates", "1"])
    seams.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["sequence", "in-between", "prefix", "suffix", "loop"]


def test_a_jump_is_found_at_its_seam():
    joints = np.zeros((160, 22, 3))
    joints[80:] += [0, 0.1, 0]
    values = seams.accelerations(joints, 20)
    at, inside = seams.greatest(values, [80])
    assert at == [pytest.approx(40)] and inside == [0, 0]


def test_memory_and_resuming_of_corpora(tmp_path, monkeypatch, capsys):
    pytest.importorskip("datasets")
    monkeypatch.setattr(bench_corpus, "measure_apart", partial(bench_corpus.measure, steps=2))
    monkeypatch.setattr(sys, "argv", ["bench_corpus", "--hours", "0.03", "--scales", "1"])
    with pytest.raises(SystemExit) as stop:
        bench_corpus.main()
    assert not stop.value.code
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 0.03 h | 18 |")]
    assert [line.split(" | ")[2] for line in lines] == ["windows", "tokens"]
    grown = iter((100, 200, 105, 230))
    found = bench_corpus.compare(
        0.01, [1, 2], lambda folder, kind, space: bench_corpus.Measured(kind, 1, next(grown), 0.5, 0.4)
    )
    assert [round(growth, 2) for _, growth in found] == [0, 0, 0.05, 0.15]
