"""What the benchmarks share: flags, timing, peak memory, the machine, rows as JSON and as a table.

A script lists its parts and calls `run_script`. A part's `prepare` builds models and data and gives the function that
is timed: warm-up first, then the median of `--repeat` runs (more of them where a run is short).
"""

import contextlib
import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from utils.cli import parse
from utils.device import peak_memory
from utils.errors import UserError
from utils.files import read_json, write_json
from utils.provenance import commit
from utils.tables import format_table

ROOT = Path(__file__).resolve().parent.parent
BASELINE_FILE = Path(__file__).resolve().parent / "baseline.json"
SHORTEST_TOTAL = 0.3
"""Seconds that the timed runs of a part take together at least, so that short ones are not all noise."""
MOST_RUNS = 200
Value = TypeVar("Value")


@dataclass(kw_only=True)
class Settings:
    """Benchmark"""

    device: str = ""
    """cpu, cuda or mps; by default cpu, and in bench_gpu cuda"""
    threads: int = 0
    """threads of PyTorch; 0: its own choice"""
    repeat: int = 5
    """timed runs, of which the median counts; at least, where a run is short"""
    quick: bool = False
    """tiny sizes and one run: does everything work? the numbers mean nothing"""
    small: bool = False
    """smaller Q-Former and language model for machines of little memory; no ratio to the baseline then"""
    grow: bool = False
    """instead: how the time grows with batch, length and threads (tokenizer and generation)"""
    only: list[str] = field(default_factory=list)
    """keys of the parts to run; by default all"""
    json: Path | None = None
    """write machine and rows to this file"""

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.threads < 0:
            raise UserError("--repeat must be at least 1 and --threads not negative")


class NotMeasured(Exception):
    """Raised by `prepare` where a part cannot be measured here; its message says why."""


@dataclass(frozen=True)
class OwnClock:
    """What a timed function gives back if it knows its time and memory better: another process did the work."""

    seconds: float
    peak_gb: float | None = None


class Bench:
    """One run of a script: its settings, the device, and a folder for files that is removed afterwards."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        try:
            self.device = torch.device(settings.device or "cpu")
            torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"--device {settings.device} cannot be used here ({reason})") from error

    def pick(self, full: Value, quick: Value) -> Value:
        """The size of the benchmark, or with `--quick` a tiny one."""
        return quick if self.settings.quick else full

    def random(self, *shape: int) -> torch.Tensor:
        """Normal numbers on the device."""
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def codes(self, *shape: int, high: int = 512) -> torch.Tensor:
        """Uniform integers below `high` on the device."""
        return torch.randint(high, shape, generator=torch.Generator().manual_seed(0)).to(self.device)


@dataclass(frozen=True)
class Part:
    """Something to be timed.

    Attributes:
        key: name, also in `baseline.json`.
        title: what one run does, sizes included.
        items: that one run handles.
        unit: of the items.
        prepare: gives the function to be timed; may raise `NotMeasured`.
        against: key of an earlier part of the same script to compare with, in place of the public code.
        published: sizes are those of the baseline.
        axis, value: in `--grow`, what is varied and where it stands; axis "threads" sets the threads.
    """

    key: str
    title: str
    items: int
    unit: str
    prepare: Callable[[], Callable[[], object]]
    against: str = ""
    published: bool = True
    axis: str = ""
    value: int = 0


@dataclass(frozen=True)
class Row:
    """What was measured of a part; `note` says why where it was not, and the numbers are None."""

    key: str
    title: str
    unit: str
    items: int
    threads: int
    seconds: float | None = None
    fastest: float | None = None
    slowest: float | None = None
    runs: int = 0
    items_per_second: float | None = None
    peak_gb: float | None = None
    baseline: str = ""
    baseline_seconds: float | None = None
    ratio: float | None = None
    axis: str = ""
    value: int = 0
    note: str = ""


def run_script(
    name: str,
    parts: Callable[[Bench], Sequence[Part]],
    growth: Callable[[Bench], Sequence[Part]] | None = None,
    default_device: str = "cpu",
) -> None:
    """Flags, rows, table, file: all that a script does.

    Args:
        name: of the script.
        parts: what it times.
        growth: what it times with `--grow`.
        default_device: without `--device`; the CPU if it is not there.
    """
    settings = parse(Settings)
    if not settings.device and default_device == "cuda" and torch.cuda.is_available():
        settings = replace(settings, device="cuda")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(settings, Path(folder))
        report = {"benchmark": name, "quick": settings.quick, "machine": describe_machine(bench.device)}
        chosen = select(parts(bench) if not settings.grow else growth(bench) if growth else [], settings.only)
        rows = measure_all(chosen, bench)
    report["rows"] = [asdict(row) for row in rows]
    for line in report_lines(report):
        print(line)
    if settings.json is not None:
        write_json(settings.json, report)


def select(parts: Sequence[Part], only: Sequence[str]) -> list[Part]:
    """The parts of the keys that are wanted.

    Raises:
        UserError: a key that is none.
    """
    keys = [part.key for part in parts]
    if unknown := [key for key in only if key not in keys]:
        raise UserError(f"--only {unknown[0]}: this script has {', '.join(keys) or 'nothing to measure so'}")
    return [part for part in parts if not only or part.key in only]


def measure_all(parts: Sequence[Part], bench: Bench) -> list[Row]:
    """Rows of all parts, one after the other; nothing of a part is kept in memory for the next."""
    public = read_json(BASELINE_FILE)["rows"]
    comparable = not bench.settings.quick and bench.device.type == "cpu"
    rows: list[Row] = []
    for part in parts:
        row = _measure_part(part, bench)
        if part.against:
            earlier = {row.key: row for row in rows}.get(part.against)
            if earlier is not None and earlier.seconds is not None:
                row = _compared(row, earlier.title, earlier.seconds)
        elif comparable and part.published and part.key in public:
            row = _compared(row, public[part.key]["what"], public[part.key]["seconds"])
        rows.append(row)
    return rows


def _compared(row: Row, what: str, seconds: float) -> Row:
    """With a baseline, which a row that was not measured does not get a ratio to."""
    ratio = None if row.seconds is None else seconds / row.seconds
    return replace(row, baseline=what, baseline_seconds=seconds, ratio=ratio)


def _measure_part(part: Part, bench: Bench) -> Row:
    threads = torch.get_num_threads()
    if part.axis == "threads":
        torch.set_num_threads(part.value)
    row = Row(part.key, part.title, part.unit, part.items, torch.get_num_threads(), axis=part.axis, value=part.value)
    try:
        function = part.prepare()
        reset_peak_memory(bench.device)
        times, peaks = measure(function, bench)
    except NotMeasured as reason:
        return replace(row, note=f"not measured: {reason}")
    finally:
        torch.set_num_threads(threads)
    seconds = statistics.median(times)
    return replace(
        row,
        seconds=seconds,
        fastest=min(times),
        slowest=max(times),
        runs=len(times),
        items_per_second=part.items / seconds,
        peak_gb=max(peaks) if peaks else current_peak_memory(bench.device),
    )


def measure(function: Callable[[], object], bench: Bench) -> tuple[list[float], list[float]]:
    """Times of the runs after a warm-up (none with `--quick`), and their peak memory if they know it themselves."""
    times: list[float] = []
    peaks: list[float] = []
    for _ in range(0 if bench.settings.quick else 2 if bench.device.type == "cuda" else 1):
        function()
    wanted = 1 if bench.settings.quick else bench.settings.repeat
    while len(times) < wanted or (not bench.settings.quick and sum(times) < SHORTEST_TOTAL and len(times) < MOST_RUNS):
        synchronize(bench.device)
        start = time.perf_counter()
        result = function()
        synchronize(bench.device)
        passed = time.perf_counter() - start
        if isinstance(result, OwnClock):
            passed = result.seconds
            peaks += [] if result.peak_gb is None else [result.peak_gb]
        times.append(passed)
    return times, peaks


def synchronize(device: torch.device) -> None:
    """Wait for the device: its work goes on when a call has come back."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Forget the peak so far, where the system can (Linux, CUDA)."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM


def current_peak_memory(device: torch.device) -> float | None:
    """GB since `reset_peak_memory`: of the process, Python and PyTorch included, or of the tensors on a CUDA device.

    On macOS it is the peak since the process began; on Windows there is none.
    """
    status = Path("/proc/self/status")
    if device.type != "cuda" and status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1e6
    try:
        return peak_memory(device)
    except ImportError:
        return None


def describe_machine(device: torch.device) -> dict[str, Any]:
    """What the numbers depend on: processor, device, threads, versions, and how busy the machine was before."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": memory,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "load_before": load,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "commit": commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def thread_counts() -> list[int]:
    """1, 2, 4, ... and the number of cores."""
    cores = os.cpu_count() or 1
    return sorted({count for count in (1, 2, 4, 8, 16, 32, 64) if count < cores} | {cores})


def format_seconds(seconds: float) -> str:
    """Three digits, in milliseconds below a second."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def format_rate(rate: float) -> str:
    """Three digits without an exponent."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def cells(row: dict[str, Any]) -> dict[str, str]:
    """A row of a report as the cells of a table, its title left out."""
    if row["seconds"] is None:
        return {"time": row["note"]}
    shown = {
        "time": format_seconds(row["seconds"]),
        "items a second": f"{format_rate(row['items_per_second'])} {row['unit']}",
    }
    if row["peak_gb"] is not None:
        shown["peak memory"] = f"{row['peak_gb']:.2f} GB"
    if row["baseline_seconds"] is not None:
        shown["baseline"] = format_seconds(row["baseline_seconds"])
        shown["ratio"] = f"{row['ratio']:.1f} x"
    return shown


COLUMNS = ("time", "items a second", "peak memory", "baseline", "ratio")


def machine_line(machine: dict[str, Any]) -> str:
    """The machine of a report in one line."""
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']:.0f} GB"
    busy = "" if machine["load_before"] is None else f", load {machine['load_before']:.1f} before"
    return (
        f"{machine['processor']}, {machine['cores']} cores{memory}; {machine['device']}, {machine['threads']} threads; "
        f"Python {machine['python']}, PyTorch {machine['torch']}, NumPy {machine['numpy']}; "
        f"commit {machine['commit']}{busy}"
    )


def report_lines(report: dict[str, Any]) -> list[str]:
    """A report as text: the machine and a table."""
    warning = ["--quick: tiny sizes, the numbers mean nothing"] if report["quick"] else []
    rows = {row["title"]: cells(row) for row in report["rows"]}
    head = [f"{report['benchmark']}: {machine_line(report['machine'])}", *warning]
    return [*head, *format_table(rows, COLUMNS)] if rows else [*head, "nothing to measure so"]
