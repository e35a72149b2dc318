"""The same work on a quiet and on a busy machine, side by side.

    python -m benchmarks.bench_busy
    python -m benchmarks.bench_busy --neighbours 2 --only generate --repeat 9

For each piece of work a process of its own measures the median of several runs alone, then with busy processes beside
it (one, by default, and one for each core), then alone again. Work: a motion and 32 motions of the shipped models,
a caption, a search among 2,000 clips, a training step of a masked transformer, and `gen_t2m.py` from its start. `plain`
is the same with GNU OpenMP's own way of waiting, which `lamp.utils.threads.yielding` changes where others compute.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 196
PLAIN = {"GOMP_SPINCOUNT": "300000"}
"""What OpenMP does by itself; whoever says it is not contradicted."""


def generate(prompts: int) -> Callable[[], object]:
    """Motions of the shipped models."""
    from lamp.models.pipeline import LaMPPipeline

    pipe = LaMPPipeline.from_pretrained()
    return lambda: pipe(["a person walks forward"] * prompts, LENGTH, seeds=list(range(prompts)))


def caption() -> Callable[[], object]:
    """Words for a motion, as `caption.py` finds them."""
    from lamp.models.pipeline import LaMPPipeline

    pipe = LaMPPipeline.from_pretrained()
    (motion,) = pipe("a person walks forward", LENGTH)
    return lambda: pipe.caption(motion)


def search() -> Callable[[], object]:
    """A sentence's nearest among the queries of 2,000 clips."""
    import torch

    from lamp.models.lamp.embedder import LaMPEmbedder
    from lamp.models.pipeline import LaMPPipeline
    from lamp.models.text_condition import lamp_of

    pipe = LaMPPipeline.from_pretrained()
    lamp = lamp_of(pipe.text)
    assert lamp is not None
    embedder = LaMPEmbedder(lamp, pipe.tokenizer)
    width = embedder.texts(["a person walks"]).shape[1]
    clips = torch.nn.functional.normalize(torch.randn(2000, lamp.config.num_query_tokens, width), dim=-1)
    return lambda: embedder.similarity(embedder.texts(["someone walks and bows"]), clips)


def training_step() -> Callable[[], object]:
    """Forward, backward and update of the shipped masked transformer's size, 32 motions."""
    import torch

    from lamp.models.fast import speed_up
    from lamp.models.t2m.masked import MaskedTransformer
    from lamp.utils.home import shipped_models
    from lamp.utils.threads.yielding import mind_others

    model = speed_up(MaskedTransformer.from_pretrained(shipped_models(), "masked")).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    codes, lengths = torch.randint(model.config.num_tokens, (32, 49)), torch.full((32,), 49)
    condition = torch.randn(32, 12, model.config.cond_dim)

    def step() -> None:
        mind_others()
        model(codes, condition, lengths).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def command() -> Callable[[], object]:
    """The README's first command: npy, BVH, mp4 and their copies."""
    words = [sys.executable, "gen_t2m.py", "--text_prompt", "a person walks forward", "--motion_length", str(LENGTH)]
    words += ["--gpu_id", "-1", "--ext", "busy", "--output_dir"]

    def run() -> None:
        with tempfile.TemporaryDirectory() as place:
            subprocess.run([*words, place], cwd=ROOT, check=True, capture_output=True)

    return run


WORK: dict[str, Callable[[], Callable[[], object]]] = {
    "generate": lambda: generate(1),
    "generate 32": lambda: generate(32),
    "caption": caption,
    "search": search,
    "training step": training_step,
    "command": command,
}


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """As many processes that compute all the time."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(1.0 if count else 0.0)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(work: Callable[[], object], repeat: int) -> float:
    """Median seconds of some runs, after two that do not count."""
    seconds = []
    for number in range(repeat + 2):
        began = time.perf_counter()
        work()
        if number > 1:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def one(name: str, counts: Sequence[int], repeat: int) -> None:
    """Print seconds of a piece of work by numbers of neighbours."""
    import torch

    with torch.no_grad() if name != "training step" else torch.enable_grad():
        work = WORK[name]()
        found = []
        for count in counts:
            with neighbours(count):
                found.append(measure(work, repeat))
    print(" ".join(map(str, found)))


def main() -> None:
    """A row for each piece of work, and one with OpenMP's own way of waiting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", type=int, nargs="+", default=[1, os.cpu_count() or 1], help="busy processes")
    parser.add_argument("--only", nargs="+", choices=WORK, default=list(WORK), help="what is measured")
    parser.add_argument("--repeat", type=int, default=5, help="runs that count")
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    given = parser.parse_args()
    counts = [0, *given.neighbours, 0]
    if given.work:
        one(given.work, counts, given.repeat)
        return
    import torch

    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    print(
        f"| work | waiting | alone, s | {' | '.join(f'beside {count}' for count in given.neighbours)} | alone again |"
    )
    print("| --- " * (len(counts) + 2) + "|")
    for name in given.only:
        for kind, more in (("ours", {}), ("plain", PLAIN)):
            words = [sys.executable, "-m", "benchmarks.bench_busy", "--work", name, "--repeat", str(given.repeat)]
            words += ["--neighbours", *map(str, given.neighbours)]
            done = subprocess.run(words, cwd=ROOT, env=os.environ | more, check=True, stdout=subprocess.PIPE, text=True)
            alone, *others = map(float, done.stdout.split())
            cells = " | ".join(f"{seconds:.3f} ({seconds / alone:.1f}x)" for seconds in others)
            print(f"| {name} | {kind} | {alone:.3f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
