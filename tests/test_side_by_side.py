"""Ours beside a public checkout, here a made-up one: turns, report, exit codes, and pairs that fail."""

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks import side_by_side
from benchmarks.side_by_side import Row, report_lines, times_a_turn

METRICS = """
import time

def calculate_activation_statistics(activations):
    print("what it prints is not in the report")
    return len(activations), activations.shape[1]

def calculate_frechet_distance(*numbers):
    assert numbers == (128, 512, 128, 512)
    time.sleep(0.06)

def calculate_R_precision(first, second, top_k, sum_all):
    raise ValueError("two\\nlines")
"""
PROCESS = """
import os

def recover_from_ric(motion, joints):
    os._exit(3)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the modules of some pairs."""
    folder = tmp_path / "public"
    (folder / "utils").mkdir(parents=True)
    (folder / "utils" / "metrics.py").write_text(METRICS)
    (folder / "utils" / "motion_process.py").write_text(PROCESS)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    """The exit code."""
    monkeypatch.setattr(sys, "argv", ["side_by_side", "--quick", *flags])
    try:
        side_by_side.main()
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        return stop.code
    return 0


def test_pairs_take_turns_and_those_that_fail_say_why(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pairs.json"
    only = ["--only", "joints_1", "fid", "r_precision_pools"]
    assert run(monkeypatch, "--momask", str(checkout), *only, "--repeat", "3", "--json", str(file)) == 1
    report = json.loads(file.read_text(encoding="utf-8"))
    crashed, fid, failed = report["rows"]
    assert [row["key"] for row in report["rows"]] == ["joints_1", "fid", "r_precision_pools"]
    assert crashed["note"] == "its process ended with code 3" and not crashed["ratios"]
    assert failed["note"] == "ValueError: two lines" and not failed["public"]
    assert not fid["note"] and len(fid["public"]) == len(fid["ours"]) == 3 and min(fid["public"]) >= 0.06
    assert fid["ratios"] == [public / ours for public, ours in zip(fid["public"], fid["ours"])]
    printed = capsys.readouterr().out
    assert f"{failed['title']}: failed: ValueError: two lines" in printed and "numbers mean nothing" in printed
    assert "what it prints" not in printed and {"commit", "libraries"} == report["public"].keys()


def test_a_run_without_failure_ends_with_0(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "--momask", str(checkout), "--only", "fid", "--repeat", "1") == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--momask", "nowhere"], "--momask nowhere: no such folder"),
        (
            ["--momask", "."],
            "no checkout of MoMask, it lacks common/skeleton.py, models/mask_transformer/transformer.py, ",
        ),
        (["--momask", ".", "--only", "everything"], "--only everything: the pairs are vq_train, "),
        (["--momask", ".", "--repeat", "0"], "--repeat must be at least 1"),
        (["--momask", "public", "--only", "fid", "--python", "no-python"], "--python no-python cannot be started"),
    ],
)
def test_mistakes_are_told_in_one_line(
    flags: list[str],
    said: str,
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *flags) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_the_ratio_is_the_median_of_the_turns() -> None:
    machine = {"processor": "A", "cores": 2, "memory_gb": None, "device": "cpu", "threads": 2, "load_before": None}
    machine |= {"python": "3", "torch": "2", "numpy": "2", "commit": "c"}
    report = {"machine": machine, "quick": False, "public": {"commit": "abc", "libraries": {"einops": "1"}}}
    lines = report_lines(report, [Row("k", "work", [2.0, 9.0, 4.0], [1.0, 3.0, 1.0])])
    assert "commit abc; einops 1" in lines[1]
    assert lines[-1].split() == ["work", "4", "s", "1", "s", "3", "x", "2", "to", "4", "3"]


def test_short_work_is_done_many_times_a_turn() -> None:
    assert [times_a_turn(seconds) for seconds in (3.0, 0.05, 0.001, 0.0)] == [1, 1, 50, side_by_side.MOST_A_TURN]
    often = []

    def function() -> None:
        often.append(1)
        time.sleep(0.001)

    assert side_by_side._clock(function)(7) >= 0.007 and len(often) == 7
