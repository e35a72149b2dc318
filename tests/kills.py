"""Kill training at random moments and resume it, until it ends as if nothing had happened.

    python -m tests.kills --kills 200 --processes 1 2

Each run of a training script saves at every iteration, is killed by SIGKILL several times, and then ends by itself. Its
weights must be those of a run that nobody disturbed, bit for bit, and nothing else may lie in its folder. All runs are
forked from one process that has imported what they need, so that most of the time is training and not starting.
"""

import argparse
import importlib
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file

from lamp.prepare.make_sample import make_sample
from tests.test_processes import STAGES, arguments

ITERATIONS = 8
MOST = 5
"""Kills of a run, after which it is left alone."""
LITTER = (".tmp-", ".old", ".unfinished", ".running", ".begun")
SCRIPTS = sorted({script for script, _ in STAGES.values()})


@dataclass
class Report:
    """What was done and seen."""

    kills: int = 0
    runs: int = 0
    early: int = 0
    """Kills before the run had a state."""
    writing: int = 0
    """Kills that left something half-written, which the next start removed."""
    faults: list[str] = field(default_factory=list)


def start(script: str, flags: Sequence[str], folder: Path, processes: int, log: Path) -> list[int]:
    """Begin a run as forked processes and give their ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(processes):
        child = os.fork()
        if child:
            started.append(child)
            continue
        code = 1
        try:
            os.chdir(folder)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            if processes > 1:
                ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
                os.environ |= {name: str(value) for name, value in ranks.items()}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            sys.argv = [f"{script}.py", *flags]
            importlib.import_module(script).main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return started


def ended(started: Sequence[int]) -> list[int]:
    """Exit status of processes, once all have ended; negative: the signal that ended one."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]


def kill(started: Sequence[int], draw: random.Random) -> None:
    """SIGKILL to all, one of them a little before the others."""
    for child in draw.sample(list(started), len(started)):
        os.kill(child, signal.SIGKILL)
        time.sleep(draw.random() * 0.05)


def weights(space: Path) -> dict[str, torch.Tensor]:
    """Weights of the newest model of a run."""
    return load_file(space / "latest" / "model.safetensors")


def unreadable(space: Path) -> list[str]:
    """Model folders under their own names that are not whole."""
    found = []
    for folder in [*space.glob("latest"), *space.glob("net_best_*")]:
        try:
            json.loads((folder / "config.json").read_text(encoding="utf-8"))
            load_file(folder / "model.safetensors")
        except Exception as error:
            found.append(f"{folder} is not whole: {error!r}")
    return found


def litter(space: Path) -> list[str]:
    """What a killed process left below a folder."""
    return [path.name for path in space.rglob("*") if any(part in path.name for part in LITTER)]


def torture(stage: str, folder: Path, processes: int, kills: int, draw: random.Random, report: Report) -> None:
    """One run that is never disturbed, and others that are, until there were so many kills."""
    script, flags = STAGES[stage]
    name, log = flags.split()[1], folder / f"{stage}.{processes}.log"
    asked = [*arguments(flags, 8 // processes, "kills"), "--max_iter", str(ITERATIONS), "--save_latest", "1"]

    def go(run: str, *more: str) -> list[int]:
        return start(script, [*asked, "--name", run, *more], folder, processes, log)

    whole = f"{name}_whole_{processes}"
    began = time.monotonic()
    if any(ended(go(whole))):
        report.faults.append(f"{stage} does not train: {log.read_text(errors='replace')[-500:]}")
        return
    long = time.monotonic() - began
    wanted = weights(folder / "kills" / "sample" / whole)
    done = 0
    while done < kills:
        run = f"{name}_{processes}_{report.runs}"
        space = folder / "kills" / "sample" / run
        report.runs += 1
        for attempt in range(MOST + 1):
            # The evaluators' training has a run inside the run.
            states = any(path.name.isdigit() for path in space.glob("**/state/*"))
            resumed = states or any(space.rglob(".begun"))
            started = go(run, *(["--is_continue"] if resumed else []))
            if attempt < min(MOST, kills - done):
                time.sleep(draw.random() * long)
                kill(started, draw)
                codes = ended(started)
                if all(code == 0 for code in codes):
                    break  # it was faster
                done, report.kills = done + 1, report.kills + 1
                report.early += not states
                report.writing += any(".tmp-" in left or left == ".unfinished" for left in litter(space))
                report.faults += unreadable(space)
                continue
            if any(codes := ended(started)):
                report.faults.append(f"{run} does not resume ({codes}): {log.read_text(errors='replace')[-500:]}")
            break
        found = weights(space) if (space / "latest").is_dir() else {}
        if found.keys() != wanted.keys() or not all(torch.equal(value, found[key]) for key, value in wanted.items()):
            report.faults.append(f"{run} has other weights than {whole}")
        report.faults += [f"{run} leaves {left}" for left in litter(space)]


def main() -> None:
    """Runs of all stages with the asked numbers of kills and processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="in all")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of a run")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="what is trained")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    for script in SCRIPTS:
        importlib.import_module(script)
    draw, report, began = random.Random(given.seed), Report(), time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_sample(folder / "dataset" / "sample", clips=40, seed=0)
        words = "a the person man walks forward runs waves with right left hand stands and turns".split()
        (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
        # What the other stages are built on.
        for stage in ("tokenizer", "lamp") if {*given.stages} - {"tokenizer"} else []:
            script, flags = STAGES[stage]
            asked = [*arguments(flags, 8, "kills"), "--max_iter", "2"]
            if any(ended(start(script, asked, folder, 1, folder / "before.log"))):
                raise SystemExit((folder / "before.log").read_text(errors="replace")[-2000:])
        rounds = [(stage, processes) for processes in given.processes for stage in given.stages]
        for number, (stage, processes) in enumerate(rounds):
            share = given.kills * (number + 1) // len(rounds) - given.kills * number // len(rounds)
            torture(stage, folder, processes, share, draw, report)
            print(f"{stage}, {processes} processes: {report.kills} kills, {len(report.faults)} faults", flush=True)
    for fault in report.faults:
        print(fault)
    print(
        f"{report.kills} kills of {report.runs} runs in {time.monotonic() - began:.0f} s: {report.early} before a state"
        f" was saved, {report.writing} inside a write; {len(report.faults)} faults"
    )
    raise SystemExit(bool(report.faults))


if __name__ == "__main__":
    main()
