"""What is to be known of a GPU in a few minutes: do all networks compute there what the CPU does, and how fast?

bash benchmarks/gpu_check.sh
bash benchmarks/gpu_check.sh --minutes 4 --only tests masked_train_plain masked_train_bf16
bash benchmarks/gpu_check.sh --part 2 --repeat 3
bash benchmarks/gpu_check.sh --device cpu --quick

From a bare checkout: random weights of published sizes, no data. First the tests marked `gpu`, then training in
bfloat16 against a plain float32 loop, generation at three batch sizes, training compiled and by CUDA graphs. Part 2,
for a call of its own, is bulk generation and embedding by size of the batch, and an evaluation of 4,600 motions. JSON
is written after each row and the check ends by itself when its time is over, so that nothing measured is lost. Exit
code 1: a test failed.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks import bench_bulk, bench_gpu
from benchmarks.all import markdown_lines
from benchmarks.bench_generate import generation_part
from benchmarks.common import ROOT, Bench, NotMeasured, Part, Row, Settings, measure_all, select
from benchmarks.machine import describe_machine
from benchmarks.report import report_lines
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path, write_json

TESTS = "tests"
SHARE_OF_TESTS = 0.6
"""Of the time, what the tests may take at most."""


@dataclass(kw_only=True)
class CheckOptions(Settings):
    """Check of a GPU"""

    device: str = "cuda"
    """cuda, or cpu to try the check itself"""
    minutes: float = 8.0
    """end after this time, whatever is left to measure"""
    part: Literal[1, 2] = 1
    """1: tests, training, generation; 2: bulk work and an evaluation (tests only where --only names them)"""
    json: Path | None = None
    """write machine, tests and rows to this file, and the table beside it as .md; by default
    generation/gpu_check.json, of part 2 generation/gpu_check_2.json"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minutes <= 0:
            raise UserError(f"--minutes {self.minutes:g} must be above 0")
        self.json = self.json or Path("generation") / ("gpu_check.json" if self.part == 1 else "gpu_check_2.json")


class _TimeIsOver(BaseException):
    """Raised by the alarm, wherever the program is."""


def _ring(number: int, frame: Any) -> None:
    raise _TimeIsOver


def run_tests(device: str, seconds: float) -> dict[str, Any]:
    """Result of the tests marked `gpu`: code of pytest (-1: not finished), its last line, and those that failed."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rf", "-p", "no:cacheprovider", "tests/test_gpu.py"]
    start = time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--gpu_device", device], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
        code, output = done.returncode, done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        code, output = -1, (late.stdout or b"").decode(errors="replace")
    lines = [line for line in output.splitlines() if line.strip()] or ["no output"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    print(output if code else lines[-1], flush=True)
    return {"code": code, "seconds": time.monotonic() - start, "last": lines[-1], "failed": failed}


def parts(bench: Bench) -> list[Part]:
    """All that is timed, most valuable first."""
    training = bench_gpu.parts(bench)
    late = ("compiled", "graphs")
    compiled = [part for kind in late for part in training if part.key.endswith(kind)]
    frames = bench.pick(196, 24)
    generation = []
    for size in bench.pick((1, 32, 256), (1, 2)):
        for precision in ("float32", "bfloat16"):
            key = f"generate_{size}" + "_bf16" * (precision == "bfloat16")
            generation.append(generation_part(bench, key, size, frames, precision=precision))
    first = [part for part in training if not part.key.endswith(late)]
    return [_guarded(part) for part in [*first, *generation, *compiled]]


def bulk_parts(bench: Bench) -> list[Part]:
    """What part 2 times, most valuable first."""
    return [_guarded(part) for part in bench_bulk.parts(bench)]


def _guarded(part: Part) -> Part:
    """The part, of which a failure is a row that says so and not the end of the check."""

    def prepare() -> Callable[[], object]:
        function = _told(part.prepare)
        return lambda: _told(function)

    return replace(part, prepare=prepare)


def _told(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except (RuntimeError, ValueError, TypeError, ImportError) as error:
        raise NotMeasured(f"{type(error).__name__}: {str(error)[:200]}") from error


def write(report: dict[str, Any], rows: Sequence[Row], path: Path | None) -> None:
    """Write what is known so far."""
    report["rows"] = [asdict(row) for row in rows]
    if best := bench_bulk.best(rows):
        report["best"] = best
    if path is not None:
        write_json(path, report)
        with atomic_path(path.with_suffix(".md")) as aside:
            aside.write_text("\n".join(markdown_lines([report])), encoding="utf-8")


def check(options: CheckOptions, bench: Bench, report: dict[str, Any]) -> None:
    """Tests and rows; the report has all that was done when the time is over."""
    timed = parts(bench) if options.part == 1 else bulk_parts(bench)
    chosen = select(timed, [key for key in options.only if key != TESTS])
    report["tests"] = None
    if TESTS in options.only or (options.part == 1 and not options.only):
        report["tests"] = run_tests(options.device, options.minutes * 60 * SHARE_OF_TESTS)
        write(report, [], options.json)
    if options.only != [TESTS]:
        measure_all(chosen, bench, lambda rows: (write(report, rows, options.json), print(report_lines(report)[-1])))


@main_with_errors
def main() -> None:
    """The check, in its time."""
    options = parse(CheckOptions)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        report = {"benchmark": "gpu_check", "quick": options.quick, "machine": describe_machine(bench.device)}
        before = signal.signal(signal.SIGALRM, _ring)
        signal.setitimer(signal.ITIMER_REAL, options.minutes * 60)
        try:
            check(options, bench, report)
        except _TimeIsOver:
            print(f"--minutes {options.minutes:g} are over; what is missing was not measured", flush=True)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    report.setdefault("rows", [])
    for line in report_lines(report):
        print(line)
    for line in report.get("best", {}).values():
        print(line)
    if report.get("tests") and report["tests"]["code"]:
        raise SystemExit(1)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
