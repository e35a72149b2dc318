"""What a user waits for: imports, one prompt from process start to all files, captions of a folder of motions.

python -m benchmarks.bench_commands

Every run is a process of its own. The shipped models (checkpoints/mini) are smaller than the published ones, for which
one prompt is measured as well, with random weights.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.bench_export import example
from benchmarks.common import ROOT, Bench, NotMeasured, OwnClock, Part, run_script
from lamp.models.lamp.model import LaMP, LaMPConfig
from lamp.models.lamp.text import DEC, SPECIAL_TOKENS, TextTokenizer
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.utils.errors import UserError, main_with_errors

SHIPPED = ROOT / "checkpoints" / "mini"
PROMPT = "a person walks forward and waves with the right hand"
# Inside the process, for starting the interpreter is not importing.
IMPORT = """
import time
start = time.perf_counter()
import gen_t2m, models.pipeline, tqdm, utils.export.video
print(time.perf_counter() - start)
"""


def run_command(arguments: list[str]) -> tuple[OwnClock, str]:
    """Run Python with `arguments` from the repository's root; time and peak memory of the process, and its output.

    Raises:
        UserError: it failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or our files, and only ours, are compiled at each start
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        peak = _wait(process)
        seconds = time.perf_counter() - start
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise UserError(f"python {' '.join(arguments[:2])} failed: {text.strip()[-500:]}")
    return OwnClock(seconds, peak), text


def _wait(process: subprocess.Popen) -> float | None:
    """Wait for a process; GB at its peak where the system tells."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def importing() -> Callable[[], OwnClock]:
    """Import of what generation needs."""

    def run() -> OwnClock:
        clock, text = run_command(["-c", IMPORT])
        return OwnClock(float(text.split()[-1]), clock.peak_gb)

    return run


def importing_torch() -> Callable[[], OwnClock]:
    """The least that a command with PyTorch takes: the process that imports it and ends."""
    return lambda: run_command(["-c", "import torch"])[0]


def generating(bench: Bench, models: Callable[[], Path], frames: int) -> Callable[[], OwnClock]:
    """`gen_t2m.py` with all its files."""
    where = ["--models", str(models()), "--output_dir", str(bench.folder / "generation"), "--ext", "bench"]
    gpu = ["--gpu_id", str(bench.device.index or 0) if bench.device.type == "cuda" else "-1"]
    prompt = ["--text_prompt", PROMPT, "--motion_length", str(frames)]
    return lambda: run_command(["gen_t2m.py", *prompt, *where, *gpu])[0]


def shipped() -> Path:
    """Folder of the shipped models."""
    if not (SHIPPED / "masked").is_dir():
        raise NotMeasured(f"{SHIPPED.relative_to(ROOT)} is missing")
    return SHIPPED


def published(bench: Bench) -> Path:
    """Folder of models of published sizes with random weights."""
    if bench.settings.small or bench.settings.quick:
        raise NotMeasured("1 GB of random weights, which --small and --quick leave out")
    folder = bench.folder / "published"
    lamp = LaMP(LaMPConfig())
    words = [*SPECIAL_TOKENS, "a", *map(chr, range(ord("b"), ord("z") + 1)), *(f"##{chr(97 + i)}" for i in range(26))]
    words += [f"word{index}" for index in range(lamp.config.vocab_size - len(words) - 1)]
    lamp.tokenizer = TextTokenizer([*words, DEC])
    lamp.save_pretrained(folder / "lamp")
    RVQVAE(RVQConfig()).save_pretrained(folder / "tokenizer")
    MaskedTransformer(MaskedConfig()).save_pretrained(folder / "masked")
    ResidualTransformer(ResidualConfig()).save_pretrained(folder / "residual")
    LengthEstimator(LengthConfig()).save_pretrained(folder / "length")
    return folder


def captioning(bench: Bench, files: int) -> Callable[[], OwnClock]:
    """`caption.py` over a folder of joints."""
    if not (SHIPPED / "m2t").is_dir():
        raise NotMeasured("checkpoints/mini/m2t is missing")
    folder = bench.folder / "motions"
    folder.mkdir(exist_ok=True)
    for index in range(files):
        np.save(folder / f"motion{index:03d}.npy", example(bench.pick(196, 24), seed=index).astype(np.float32))
    gpu = ["--gpu_id", str(bench.device.index or 0) if bench.device.type == "cuda" else "-1"]
    out = str(bench.folder / "captions.csv")
    return lambda: run_command(["caption.py", "--motion", str(folder), "--out", out, *gpu])[0]


def parts(bench: Bench) -> list[Part]:
    """Imports, generation with two sizes of models, captions."""
    frames, files = bench.pick(196, 24), bench.pick(100, 2)
    prompt = f"gen_t2m.py, one prompt, {frames} frames, process start to npy, BVH, mp4 and _ik"
    return [
        Part("import", "importing what generation needs", 1, "processes", importing),
        Part("import_torch", 'python -c "import torch", process start to end', 1, "processes", importing_torch),
        Part(
            "gen_t2m_start",
            f"{prompt}, shipped models, against the import of PyTorch (target: 0.5 x)",
            1,
            "motions",
            partial(generating, bench, shipped, frames),
            against="import_torch",
        ),
        Part("gen_t2m", f"{prompt}, shipped models", 1, "motions", partial(generating, bench, shipped, frames)),
        Part(
            "gen_t2m_published",
            f"{prompt}, published sizes",
            1,
            "motions",
            partial(generating, bench, partial(published, bench), frames),
        ),
        Part(
            "caption_files",
            f"caption.py, {files} motion files, process start to end, shipped models",
            files,
            "files",
            partial(captioning, bench, files),
        ),
    ]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_commands", parts)


if __name__ == "__main__":
    main()
