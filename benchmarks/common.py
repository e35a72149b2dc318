"""What the benchmarks share: flags, timing, rows as JSON and as a table.

A script lists its parts and calls `run_script`. A part's `prepare` builds models and data and gives the function that
is timed: warm-up first, then the median of `--repeat` runs (more of them where a run is short).
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.machine import current_peak_memory, describe_machine, reset_peak_memory, synchronize
from benchmarks.report import report_lines
from lamp.utils.cli import parse
from lamp.utils.errors import UserError
from lamp.utils.files import read_json, write_json

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
        if settings.grow and growth is None:
            raise UserError(f"--grow: {name} has nothing that grows; bench_tokenizer and bench_generate have")
        rows = measure_all(select((growth if settings.grow else parts)(bench), settings.only), bench)
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
        raise UserError(f"--only {unknown[0]}: this script has {', '.join(keys)}")
    return [part for part in parts if not only or part.key in only]


def measure_all(
    parts: Sequence[Part], bench: Bench, after: Callable[[list[Row]], None] = lambda rows: None
) -> list[Row]:
    """Rows of all parts, one after the other; nothing of a part is kept in memory for the next.

    Args:
        parts: what is measured.
        bench: the device.
        after: called with the rows so far after each.
    """
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
        after(rows)
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
        if not bench.settings.quick:
            gc.collect()
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
