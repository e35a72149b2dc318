"""Test the paper's claim: does the same generator do better what LaMP's text condition says than what others say?

    python -m lamp.prepare.mini.text_encoders --motion dataset/mini_composed --tokens dataset/mini_tokens \\
        --tests dataset/mini --models checkpoints/mini --out comparison

Three text encoders, each frozen while a masked and a residual transformer of the paper's design learn from one vector a
sentence: LaMP's text condition; the text side of a LaMP that was trained by contrast alone on the same pairs, as CLIP
is; and a sentence embedding that never saw motion. All start from the same weights of all-MiniLM-L6-v2, both LaMPs take
as many steps, and so do all generators, with the same seeds. The table has means and standard deviations over seeds, by
the same evaluator and by `eval_follow.py --clauses no`. The same command goes on where it was stopped.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Event

from lamp.models.text_condition import SENTENCE_SOURCE, TextEncoder
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import read_json, write_json

Flags = dict[str, str | int | Path | tuple[int, ...] | tuple[str, ...]]
Stages = dict[str, list[str]]
"""Scripts with their flags in order, by a name each."""

CONFIGS = Path(__file__).resolve().parent.parent.parent / "options" / "mini"
ENCODERS: dict[TextEncoder, str] = {
    "lamp": "LaMP's text condition",
    "contrastive": "contrast alone, as CLIP",
    "sentence": "frozen sentence embedding",
}
LAMPS: dict[str, Flags] = {
    "lamp": {},
    "contrastive": {"matching_weight": 0, "captioning_weight": 0, "generation_weight": 0},
}
"""The two LaMPs, and what of their losses is left out."""
FROM_SHIPPED = ("tokenizer", "evaluator")
SPLITS = ("test_seen", "test_unseen")
COLUMNS = ("FID seen", "FID unseen", "R@1 seen", "R@1 unseen", "follow", "known", "more", "both", "then", "manner")


@dataclass(frozen=True)
class Study:
    """What is compared and for how long it is trained.

    Attributes:
        motion, tokens, tests: data set for LaMP, the same as tokens, and the one with the test parts.
        out: folder of everything; checkpoints/, logs/, done/.
        sentence_source: sentence embedding.
        seeds: of the generators.
        lamp_iterations, iterations: steps of each LaMP and of each transformer.
        repeats: repetitions of the evaluation.
        gpu: --gpu_id.
        at_once: trainings side by side; each pair of generators is one, with its evaluation.
        further: other flags of LaMPs, generators, scores and follow.
        mixed_precision: of every training, as --mixed_precision.
    """

    motion: Path
    tokens: Path
    tests: Path
    out: Path
    sentence_source: str
    seeds: int
    lamp_iterations: int
    iterations: int
    repeats: int
    gpu: int
    further: dict[str, Flags]
    at_once: int = 1
    mixed_precision: str = "no"

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.out / "checkpoints" / "mini"

    @property
    def common(self) -> Flags:
        """Flags of every script."""
        return {"checkpoints_dir": self.out / "checkpoints", "gpu_id": self.gpu}

    def lamps(self) -> dict[str, Stages]:
        """The LaMPs' trainings by name, none of which waits for another one."""
        found = {}
        for name, left_out in LAMPS.items():
            size = {"vq_name": "tokenizer", "data_root": self.motion, "max_iter": self.lamp_iterations} | left_out
            size |= {"mixed_precision": self.mixed_precision}
            flags = {"config": CONFIGS / "lamp.json", "name": f"text_{name}"} | self.common | size
            found[name] = {f"text_{name}": command("train_lamp", flags | self.further["lamp"])}
        return found

    def generators(self, encoder: str, seed: int) -> Stages:
        """Training and evaluation of two transformers that read what a text encoder says."""
        late = (self.iterations * 3 // 4, self.iterations * 9 // 10)
        shared = {"vq_name": "tokenizer", "data_root": self.tokens, "seed": seed, "condition": "sentence"}
        shared |= {"max_iter": self.iterations, "milestones": late, "eval_iter": self.iterations, "animate_every_e": 0}
        shared |= {"text_encoder": encoder, "lamp_name": f"text_{encoder if encoder in LAMPS else 'lamp'}"}
        shared |= {"sentence_source": self.sentence_source, "attention": "causal"}
        shared |= {"mixed_precision": self.mixed_precision, "conditions_dir": self.out / "conditions"}
        found = {}
        for part in ("masked", "residual"):
            name = f"{part}_{encoder}_{seed}"
            flags = {"config": CONFIGS / f"{part}.json", "name": name} | self.common | shared
            found[name] = command("train_t2m_transformer", flags | self.further["generators"])
        models = {"name": f"masked_{encoder}_{seed}", "res_name": f"residual_{encoder}_{seed}"} | self.common
        models |= {"dataset_name": "mini"}
        measured = {"data_root": self.tests, "split": SPLITS, "repeat_times": self.repeats, "mm_batches": 0}
        measured |= {"bert_model": "", "ext": "text_encoders"} | self.further["scores"]
        found[f"scores_{encoder}_{seed}"] = command("eval_t2m_trans_res", models | measured)
        # Sentences are given whole: by their parts much would be followed that the condition does not say.
        place = {"output_dir": self.out, "ext": f"follow_{encoder}_{seed}", "clauses": "no"} | self.further["follow"]
        found[f"follow_{encoder}_{seed}"] = [*command("eval_follow", models | place), "--no-sheet"]
        return found

    def row(self, encoder: str, seed: int) -> dict[str, float]:
        """Scores of one pair of generators by `COLUMNS`; rates in per cent."""
        by_split = read_json(self.runs / f"masked_{encoder}_{seed}" / "eval" / "text_encoders.json")
        found = {}
        for split in SPLITS:
            produced, part = by_split[split]["rows"]["produced"], split.removeprefix("test_")
            found |= {f"FID {part}": produced["FID"]["mean"], f"R@1 {part}": produced["R@1"]["mean"]}
        rates = read_json(self.out / f"follow_{encoder}_{seed}" / "following.json")["rates"]
        return found | {"follow" if group == "all" else group: rate["percent"] for group, rate in rates.items()}


def command(script: str, flags: Flags) -> list[str]:
    """A script and its flags as words."""
    words = [script]
    for key, value in flags.items():
        words += [f"--{key}", *(map(str, value) if isinstance(value, tuple) else (str(value),))]
    return words


def run_all(study: Study) -> None:
    """Run all stages, `at_once` chains of them side by side; generators wait for the LaMP that they read.

    Raises:
        UserError: a stage failed; chains that have begun go on to their ends, no further one begins.
    """

    failed = Event()

    def run_chain(stages: Stages, lamp: Future[None] | None) -> None:
        if lamp is not None:
            lamp.result()
        if failed.is_set():
            return
        try:
            for name, words in stages.items():
                run(name, words, study)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(study.at_once) as pool:
        # First in, first out: a chain waits only for what has begun. Those that need no LaMP come before the others.
        lamps = {name: pool.submit(run_chain, stages, None) for name, stages in study.lamps().items()}
        encoders = sorted(ENCODERS, key=lambda encoder: encoder in lamps)
        chains = [
            pool.submit(run_chain, study.generators(encoder, seed), lamps.get(encoder))
            for encoder, seed in product(encoders, range(1, study.seeds + 1))
        ]
        try:
            for done in as_completed([*lamps.values(), *chains]):
                done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run(name: str, words: list[str], study: Study) -> None:
    """Run a script in a process of its own, from where it was stopped, unless it is done.

    Raises:
        UserError: it failed or was stopped; its output is in a file.
    """
    done, log = study.out / "done" / name, study.out / "logs" / f"{name}.log"
    if done.exists():
        return
    script, *flags = words
    if (study.runs / name / "state").is_dir():
        flags.append("--is_continue")
    print(f"{name} ...", flush=True)
    if code := call(f"lamp.{script}", flags, log):
        raise UserError(f"{name} ended with exit code {code}; {log} says why; the same command goes on")
    # A training that a signal stops saves its state and ends with 0, too.
    if script.startswith("train_") and "\nfinished" not in log.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{name} was stopped before its end, see {log}; the same command goes on")
    done.touch()


def call(module: str, flags: list[str], log: Path) -> int:
    """Exit code of a script, whose output goes to a file."""
    with open(log, "w", encoding="utf-8") as file:
        words = [sys.executable, "-m", module, *flags]
        return subprocess.run(words, stdout=file, stderr=file, check=False).returncode


def table(study: Study) -> list[str]:
    """Lines of a Markdown table, mean and standard deviation over the seeds."""
    lines = [f"| text encoder | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    for encoder, words in ENCODERS.items():
        rows = [study.row(encoder, seed) for seed in range(1, study.seeds + 1)]
        cells = []
        for column in COLUMNS:
            values = [row[column] for row in rows]
            spread = f" ±{statistics.stdev(values):.3g}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3g}{spread}")
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def compare(study: Study, models: Path) -> list[str]:
    """Train, evaluate and put together what is not there yet; the table.

    Raises:
        UserError: the shipped models or a stage is missing, or a stage failed.
    """
    for folder in (study.runs, study.out / "logs", study.out / "done"):
        folder.mkdir(parents=True, exist_ok=True)
    for name in FROM_SHIPPED:
        if not (models / name).is_dir():
            raise UserError(f"--models {models} has no {name}; name a folder like the shipped checkpoints/mini")
        shutil.copytree(models / name, study.runs / name, dirs_exist_ok=True)
    seeds = range(1, study.seeds + 1)
    run_all(study)
    lines = table(study)
    write_json(study.out / "rows.json", {name: [study.row(name, seed) for seed in seeds] for name in ENCODERS})
    (study.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", type=Path, required=True, help="composed data set, of which the LaMPs are trained")
    parser.add_argument("--tokens", type=Path, required=True, help="its tokens (lamp to-shards), for the generators")
    parser.add_argument("--tests", type=Path, required=True, help="data set with the test parts seen and unseen")
    parser.add_argument(
        "--models", type=Path, default=Path("checkpoints/mini"), help="folder with tokenizer and evaluator"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs, logs and tables")
    parser.add_argument("--sentence_source", default=SENTENCE_SOURCE, help="folder or hub id")
    parser.add_argument("--seeds", type=int, default=3, help="generators of each text encoder")
    parser.add_argument("--lamp_iterations", type=int, default=600, help="steps of each LaMP")
    parser.add_argument("--iterations", type=int, default=2000, help="steps of each transformer")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of the evaluation")
    parser.add_argument("--at_once", type=int, default=1, help="trainings side by side; OMP_NUM_THREADS is for each")
    parser.add_argument("--mixed_precision", choices=("no", "bf16"), default="no", help="of every training")
    parser.add_argument("--gpu", type=int, default=-1, help="number of the GPU; -1: the CPU")
    return parser.parse_args(argv)


@main_with_errors
def main() -> None:
    """Compare and print the table."""
    args = parse_arguments(sys.argv[1:])
    for flag in ("seeds", "lamp_iterations", "iterations", "repeats", "at_once"):
        if getattr(args, flag) < 1:
            raise UserError(f"--{flag} {getattr(args, flag)} must be at least 1")
    given = {key: value for key, value in vars(args).items() if key != "models"}
    further: dict[str, Flags] = {"lamp": {}, "generators": {}, "scores": {}, "follow": {}}
    print("\n".join(compare(Study(**given, further=further), args.models)))


if __name__ == "__main__":
    main()
