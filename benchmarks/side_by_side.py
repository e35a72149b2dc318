"""The public code of MoMask beside ours: pair by pair, in one run on your machine.

    git clone https://github.com/EricGuo5513/momask-codes momask
    python -m benchmarks.side_by_side --momask momask
    python -m benchmarks.side_by_side --momask momask --only mp4 mp4_1000 --repeat 9 --json pairs.json

The public code runs from its folder, a process for each pair (`benchmarks/public_momask.py`, which says what stands in
for missing modules); it needs `einops`, `scipy` and `matplotlib` there. Networks have the published sizes and random
weights. Each is warmed up; then ours and theirs take turns, so that a machine that slows down slows both. Short pieces
of work are done many times a turn. The ratio is the median over the turns, how many times faster ours is, and stands
with the lowest and the highest turn. A pair that fails says why and the others go on; the exit code is 1 then, and 2
where the folder is no checkout of MoMask.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import bench_export, bench_features, bench_generate, bench_metrics, bench_tokenizer, bench_transformers
from benchmarks.common import Bench, Part, Settings
from benchmarks.machine import describe_machine
from benchmarks.report import format_seconds, machine_line
from benchmarks.training import TOKENS
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import write_json
from lamp.utils.scores.tables import format_table

PUBLIC = Path(__file__).resolve().parent / "public_momask.py"
LIBRARIES = ("einops", "scipy", "matplotlib")
SHORTEST_TURN = 0.05
"""Seconds; what takes less is done so often that a turn takes as long."""
MOST_A_TURN = 500
COLUMNS = ("public code", "ours", "ratio", "lowest to highest", "turns")


@dataclass(kw_only=True)
class PairSettings:
    """The public code of MoMask beside ours"""

    momask: Path
    """folder of a checkout of MoMask"""
    only: list[str] = field(default_factory=list)
    """keys of the pairs to run; by default all"""
    repeat: int = 5
    """turns of each"""
    threads: int = 0
    """threads of PyTorch, in both; 0: its own choice"""
    python: str = sys.executable
    """the Python that runs the public code, if its libraries are to be others than ours"""
    quick: bool = False
    """ours at tiny sizes and small data for both: does everything work? the numbers mean nothing"""
    json: Path | None = None
    """write machine and rows to this file"""

    def __post_init__(self) -> None:
        if self.repeat < 1 or self.threads < 0:
            raise UserError("--repeat must be at least 1 and --threads not negative")


@dataclass(frozen=True)
class Pair:
    """Work that both do.

    Attributes:
        part: ours.
        public: the function of `public_momask.py` that builds theirs.
        work: sizes and files for it.
        modules: files of the checkout that it takes.
    """

    part: Part
    public: str
    work: dict[str, Any]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """What a pair gave: seconds of every turn; `note` says why there are none."""

    key: str
    title: str
    public: list[float]
    ours: list[float]
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """How many times faster ours was, turn by turn."""
        return [public / ours for public, ours in zip(self.public, self.ours)]


class PublicFailure(Exception):
    """The public code failed; one line."""


class PublicCode:
    """The process that runs the public code.

    Args:
        python: its interpreter.
        checkout: its folder.
        threads: of PyTorch; 0 for its own choice.
    """

    def __init__(self, python: str, checkout: Path, threads: int) -> None:
        command = [python, str(PUBLIC), str(checkout.resolve()), str(threads)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
            )
        except OSError as error:
            raise UserError(f"--python {python} cannot be started ({error})") from error

    def __enter__(self) -> "PublicCode":
        return self

    def __exit__(self, *error: object) -> None:
        if error and error[0] is not None:
            self._process.kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was never read, of a process that ended by itself
            self._process.stdin.close()
        self._process.wait()

    def ask(self, **request: object) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            PublicFailure: it failed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise PublicFailure(f"its process ended with code {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise PublicFailure(found["error"])
        return found

    def run(self, times: int) -> float:
        """Seconds of so many runs of what was prepared."""
        seconds: float = self.ask(run=times)["seconds"]
        return seconds


def pairs(bench: Bench) -> list[Pair]:
    """All that is compared."""
    found: list[Pair] = []
    folder, pick = bench.folder, bench.pick
    frames, clip, many = pick(196, 16), pick(170, 16), pick(32, 2)
    np.save(folder / "motion.npy", bench_export.example(frames))
    np.save(folder / "clip.npy", bench_features.random_joints(bench, 1, clip)[0].numpy())
    motion = {"joints": str(folder / "motion.npy")}

    def add(parts: Sequence[Part], key: str, public: str, modules: Sequence[str], **work: object) -> None:
        part = next(part for part in parts if part.key == key)
        found.append(Pair(part, public, work, tuple(modules)))

    vq, transformer = "models/vq/model.py", "models/mask_transformer/transformer.py"
    process, plot = "utils/motion_process.py", "utils/plot_script.py"
    tokenizer, steps = bench_tokenizer.parts(bench), bench_transformers.parts(bench)
    add(tokenizer, "vq_train", "vq_train", [vq], batch=pick(256, 2), frames=64)
    add(tokenizer, "vq_encode", "vq_encode", [vq], batch=pick(64, 2), frames=frames)
    for key in ("masked_train", "residual_train"):
        add(steps, key, key, [transformer], batch=pick(64, 2), tokens=TOKENS)
    made, networks = bench_generate.parts(bench), [vq, transformer, process]
    add(made, "generate_1", "generate", networks, batch=1, frames=pick(196, 24))
    add(made, "generate_32", "generate", networks, batch=many, frames=pick(196, 24))
    shapes, skeleton = bench_features.parts(bench), [process, "common/skeleton.py", "utils/paramUtil.py"]
    add(shapes, "features_uniform", "features", skeleton, joints=str(folder / "clip.npy"))
    add(shapes, "joints_1", "joints", [process], batch=1, frames=clip)
    add(shapes, "joints_32", "joints", [process], batch=many, frames=pick(196, 24))
    files, bvh = bench_export.parts(bench), ["visualization/joints2bvh.py", plot]
    add(files, "bvh", "bvh", bvh, **motion, file=str(folder / "public.bvh"), foot_ik=False)
    add(files, "bvh_ik", "bvh", bvh, **motion, file=str(folder / "public.bvh"), foot_ik=True)
    for key, side in bench_export.VIDEO_SIDES.items():
        work = {**motion, "file": str(folder / "public.mp4"), "title": bench_export.TITLE, "side": side}
        add(files, key, "mp4", [plot, "utils/paramUtil.py"], **work)
    scores, count = bench_metrics.parts(bench), pick(4600, 128)
    sizes = {"count": count, "width": bench_metrics.WIDTH}
    add(scores, "fid", "fid", ["utils/metrics.py"], **sizes)
    add(scores, "r_precision_pools", "r_precision", ["utils/metrics.py"], **sizes, pool=bench_metrics.POOL)
    add(scores, "r_precision_full", "r_precision", ["utils/metrics.py"], **sizes, pool=count)
    return found


def chosen(found: Sequence[Pair], settings: PairSettings) -> list[Pair]:
    """The pairs that are wanted, of which the checkout has the modules.

    Raises:
        UserError: a key that is none; no folder; no such modules there.
    """
    keys = [pair.part.key for pair in found]
    if unknown := [key for key in settings.only if key not in keys]:
        raise UserError(f"--only {unknown[0]}: the pairs are {', '.join(keys)}")
    wanted = [pair for pair in found if not settings.only or pair.part.key in settings.only]
    if not settings.momask.is_dir():
        raise UserError(f"--momask {settings.momask}: no such folder; clone github.com/EricGuo5513/momask-codes there")
    missing = sorted({name for pair in wanted for name in pair.modules if not (settings.momask / name).is_file()})
    if missing:
        raise UserError(f"--momask {settings.momask}: no checkout of MoMask, it lacks {', '.join(missing)}")
    return wanted


def times_a_turn(seconds: float) -> int:
    """How often something that takes so long is done in a turn."""
    return max(1, min(MOST_A_TURN, round(SHORTEST_TURN / max(seconds, 1e-9))))


def compare(pair: Pair, public: PublicCode, repeat: int) -> Row:
    """Both in turns.

    Raises:
        PublicFailure: the public code failed.
        RuntimeError: ours failed.
    """
    public.ask(prepare=pair.public, work=pair.work)
    ours = _clock(pair.part.prepare())
    # The first run of each warms up; the second says how many runs a turn takes.
    theirs_often, ours_often = (times_a_turn((run(1), run(1))[1]) for run in (public.run, ours))
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeat):
        both = [(seconds[0], public.run, theirs_often), (seconds[1], ours, ours_often)]
        for times, run, often in both if turn % 2 else both[::-1]:
            times.append(run(often) / often)
    return Row(pair.part.key, pair.part.title, *seconds)


def _clock(function: Callable[[], object]) -> Callable[[int], float]:
    """Seconds of so many runs of a function."""

    def run(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            function()
        return time.perf_counter() - start

    return run


def commit_of(folder: Path) -> str:
    """The commit of a checkout, or that it is none."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() if found.returncode == 0 else "unknown"


def versions_of(python: str) -> dict[str, str]:
    """Libraries of the public code."""
    if python != sys.executable:
        return {"python": python}
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not there"
    return found


def report_lines(report: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """The report as text."""
    libraries = ", ".join(f"{name} {number}" for name, number in report["public"]["libraries"].items())
    lines = [f"side_by_side: {machine_line(report['machine'])}"]
    lines += [f"public code: commit {report['public']['commit']}; {libraries}"]
    lines += ["--quick: tiny sizes, the numbers mean nothing"] * report["quick"]
    table = {}
    for row in rows:
        if row.ratios:
            lowest, middle, highest = min(row.ratios), statistics.median(row.ratios), max(row.ratios)
            public, ours = (format_seconds(statistics.median(times)) for times in (row.public, row.ours))
            cells = (public, ours, f"{middle:.3g} x", f"{lowest:.3g} to {highest:.3g}", str(len(row.ratios)))
            table[row.title] = dict(zip(COLUMNS, cells))
    lines += format_table(table, COLUMNS) if table else []
    return lines + [f"{row.title}: failed: {row.note}" for row in rows if row.note]


@main_with_errors
def main() -> None:
    """Compare."""
    settings = parse(PairSettings)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Settings(quick=settings.quick), Path(folder))
        wanted = chosen(pairs(bench), settings)
        report: dict[str, Any] = {"benchmark": "side_by_side", "quick": settings.quick}
        report["machine"] = describe_machine(bench.device)
        report["public"] = {"commit": commit_of(settings.momask), "libraries": versions_of(settings.python)}
        for pair in wanted:
            try:
                # A process for each pair: one that crashes takes no other along, and nothing of a pair stays in memory.
                with PublicCode(settings.python, settings.momask, settings.threads) as public:
                    rows.append(compare(pair, public, settings.repeat))
            except PublicFailure as error:
                rows.append(Row(pair.part.key, pair.part.title, [], [], str(error)))
            except RuntimeError as error:
                rows.append(Row(pair.part.key, pair.part.title, [], [], f"ours: {error}"))
            # All pairs take minutes: what is measured is not lost if somebody stops the rest.
            print(f"{len(rows)} of {len(wanted)}: {pair.part.title}", file=sys.stderr, flush=True)
            if settings.json is not None:
                write_json(settings.json, report | {"rows": [asdict(row) | {"ratios": row.ratios} for row in rows]})
    print("\n".join(report_lines(report, rows)))
    if any(row.note for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
