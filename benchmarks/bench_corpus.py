"""What a training process holds of a corpus in shards, and how soon it goes on inside an epoch.

    python -m benchmarks.bench_corpus
    python -m benchmarks.bench_corpus --hours 1 --scales 1 10

For each scale a corpus is made, with the names, lengths, tokens and captions of as many clips and features that are
holes on the disk. Two processes train on it with `Trainer`, a tokenizer on windows and a transformer on tokens, and
begin at 90 % of an epoch. Private memory is RssAnon, the most after any step; what is mapped from files is not in it,
for the system takes that back when it needs to. Exit code 1 if it grows by more than a tenth.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT
from lamp.data.captions import IndexWriter
from lamp.data.corpus.shards import CAPTIONS_FILE, FEATURES, LENGTHS_FILE, NAMES_FILE, SPLITS, TOKENS, VERSION
from lamp.data.spec import SHARDS_FILE, get_spec
from lamp.data.text import Caption
from lamp.prepare.shards.to_shards import writing
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import write_json

FPS, WIDTH, LEVELS, CODES, UNIT = 20, 263, 6, 512, 4
TEXTS_A_CLIP, CLIPS_A_SHARD = 3, 5_000
TAGS = "a/DET person/NOUN walk/VERB step/NOUN forward/ADV and/CCONJ then/ADV turn/VERB to/ADP the/DET left/NOUN"
STEPS, RESUMED_AT = 30, 0.9
GROWTH = 0.1
KINDS = ("windows", "tokens")
COLUMNS = ("corpus", "clips", "trained on", "samples", "private MB", "growth", "seconds to 90 %", "of the processor")


@dataclass
class Measured:
    """What a process found.

    Attributes:
        kind: what it trained on.
        samples: of an epoch.
        megabytes: private memory.
        seconds: from the start of opening the folder until the first step at 90 % of an epoch was done.
        busy: seconds of the processor in them.
    """

    kind: str
    samples: int
    megabytes: float
    seconds: float
    busy: float


def make_corpus(folder: Path, hours: float, seed: int = 0) -> int:
    """Make a folder of shards; gives the number of clips, which are 2 to 9.8 seconds long."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(40, 197, size=max(int(hours * 3600 * FPS / 118), 8))
    for name in (FEATURES, TOKENS, SPLITS, "texts"):
        (folder / name).mkdir(parents=True)
    for number, start in enumerate(range(0, len(lengths), CLIPS_A_SHARD)):
        part = lengths[start : start + CLIPS_A_SHARD]
        shape = (int(part.sum()), WIDTH)
        np.lib.format.open_memmap(folder / FEATURES / f"{number:05d}.npy", "w+", np.float16, shape)
        codes = rng.integers(CODES, size=(int((part // UNIT).sum()), LEVELS), dtype=np.int16)
        np.save(folder / TOKENS / f"{number:05d}.npy", codes)
    np.save(folder / NAMES_FILE, np.array([_name(row).encode() for row in range(len(lengths))]))
    np.save(folder / LENGTHS_FILE, lengths)
    np.save(folder / SPLITS / "train.npy", np.arange(len(lengths)))
    np.save(folder / "Mean.npy", np.zeros(WIDTH, np.float32))
    np.save(folder / "Std.npy", np.ones(WIDTH, np.float32))
    _make_captions(folder / "texts", len(lengths))
    facts = {"version": VERSION, "width": WIDTH, "unit_length": UNIT, "features": True, "tokenizer": "made"}
    write_json(folder / SHARDS_FILE, facts)
    return len(lengths)


def _name(clip: int) -> str:
    return f"clip{clip:09d}"


def _make_captions(folder: Path, clips: int) -> None:
    """Write captions, all of them different."""
    index, group = IndexWriter(), [Caption("", [])] * TEXTS_A_CLIP
    columns = {**dict.fromkeys(("clip", "text", "tokens"), "string"), **dict.fromkeys(("start", "end"), "float64")}
    with writing(folder / CAPTIONS_FILE, columns) as writer:
        for start in range(0, clips, CLIPS_A_SHARD):
            rows = range(start * TEXTS_A_CLIP, min(start + CLIPS_A_SHARD, clips) * TEXTS_A_CLIP)
            texts = [f"a person walks {row} steps forward and then turns to the left." for row in rows]
            names, zeros = [_name(row // TEXTS_A_CLIP) for row in rows], [0.0] * len(rows)
            tags = [TAGS] * len(rows)
            writer.write_batch({"clip": names, "text": texts, "tokens": tags, "start": zeros, "end": zeros})
    for _ in range(clips):
        index.add(group)
    index.save(folder)


def private_megabytes() -> float:
    """Private memory of this process.

    Raises:
        UserError: the system does not tell.
    """
    try:
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    except (OSError, ValueError) as error:
        raise UserError("only Linux tells the private memory of a process") from error
    return int(line.split()[1]) / 1024


def measure(folder: Path, kind: str, space: Path, steps: int = STEPS) -> Measured:
    """Train for some steps from 90 % of an epoch, and take the time until the first is done."""
    from torch import Tensor, nn

    from lamp.data.loaders import TextLoader, WindowLoader, text_loader, tokenizer_loader
    from lamp.models.lamp.model import LaMP
    from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
    from lamp.models.text_condition import CachedCondition, LaMPCondition
    from lamp.models.vq.model import RVQVAE, RVQConfig
    from lamp.options.common import TrainOptions
    from lamp.utils.run.optim import adamw
    from lamp.utils.run.schedule import warmup_multistep
    from lamp.utils.run.seed import seed_everything
    from lamp.utils.run.trainer import Trainer

    seed_everything(0)
    peak, marks = 0.0, list[tuple[float, float]]()
    spec = get_spec("corpus", folder)
    model: nn.Module
    if kind == "windows":
        model = RVQVAE(RVQConfig(width=64, code_dim=64, nb_code=64, num_quantizers=2, depth=1))
    else:
        text = CachedCondition(LaMPCondition(LaMP.from_pretrained(ROOT / "checkpoints" / "mini" / "lamp")), None)
        sizes = {"latent_dim": 64, "ff_size": 64, "num_layers": 1, "num_heads": 2, "code_dim": 32}
        model = MaskedTransformer(MaskedConfig(**sizes, num_tokens=CODES, cond_dim=text.dim))

    def step(module: nn.Module, batch: Any) -> dict[str, Tensor]:
        nonlocal peak
        if kind == "windows":
            output = module(batch.motion, batch.lengths)
            loss = (output.recon - batch.motion).abs().mean() + output.commit_loss
        else:
            loss = module(batch.motion[..., 0], text(batch.captions), batch.lengths // UNIT, keys=batch.keys).loss
        peak = max(peak, private_megabytes())
        marks.append((time.monotonic(), time.process_time()))
        return {"loss": loss}

    began, busy = time.monotonic(), time.process_time()
    loader: WindowLoader | TextLoader
    if kind == "windows":
        loader = tokenizer_loader(spec, "train", batch_size=64)
    else:
        loader = text_loader(spec, "train", batch_size=64, tokens=True)
    first = int(len(loader) * RESUMED_AT)
    options = TrainOptions(
        name=kind, checkpoints_dir=space, dataset_name="corpus", gpu_id=-1, max_iter=first + steps, save_latest=0
    )
    optimizer = adamw(model.parameters(), 1e-4)
    trainer = Trainer(model, optimizer, scheduler=warmup_multistep(optimizer), options=options, step=step)
    trainer.progress.batch = trainer.progress.iteration = first
    trainer.fit(loader)
    seconds, used = marks[0][0] - began, marks[0][1] - busy
    return Measured(kind, len(loader.dataset), max(peak, private_megabytes()), seconds, used)


def measure_apart(folder: Path, kind: str, space: Path) -> Measured:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bench_corpus", "--folder", str(folder), "--kind", kind]
    done = subprocess.run([*command, "--space", str(space)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{kind} of {folder} failed: {done.stderr.strip()[-500:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compare(hours: float, scales: list[int], run: Callable[[Path, str, Path], Measured]) -> Iterator[tuple[str, float]]:
    """A line of the table for each scale and kind, and by how much its memory is above that of the first scale."""
    least: dict[str, float] = {}
    for scale in scales:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            clips = make_corpus(folder / "corpus", hours * scale)
            for kind in KINDS:
                found = run(folder / "corpus", kind, folder / "runs")
                growth = found.megabytes / least.setdefault(kind, found.megabytes) - 1
                cells = (f"{hours * scale:g} h", f"{clips:,}", kind, f"{found.samples:,}", f"{found.megabytes:.0f}")
                rest = (f"{growth:+.1%}", f"{found.seconds:.1f}", f"{found.busy:.1f}")
                yield f"| {' | '.join((*cells, *rest))} |", growth


@main_with_errors
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0, help="of the smallest corpus")
    parser.add_argument("--scales", type=int, nargs="+", default=[1, 10, 50], help="how many times as large")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--space", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(asdict(measure(options.folder, options.kind, options.space))))
        return
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    worst = 0.0
    for line, growth in compare(options.hours, options.scales, measure_apart):
        print(line, flush=True)
        worst = max(worst, growth)
    raise SystemExit(worst > GROWTH)


if __name__ == "__main__":
    main()
