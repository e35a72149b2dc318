"""Training with two processes: every script, against one process that has both batches."""

import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lamp.prepare.make_sample import make_sample
from lamp.utils.run.trainer import Trainer
from tests.ranks import without_dropout

ROOT = Path(__file__).resolve().parent.parent
STEPS = 20
COMMON = f"--gpu_id -1 --dataset_name sample --warm_up_iter 5 --max_iter {STEPS} --max_epoch 100 --eval_every_e 0"
COMMON += " --save_latest 0 --log_every 1"
VQ = "--name vq --width 16 --code_dim 16 --nb_code 16 --num_quantizers 3 --depth 1 --window_size 32"
LAMP = "--name lamp --vq_name vq --bert none --vocab vocab.txt --hidden_size 32 --num_layers 2 --num_heads 2"
LAMP += " --intermediate_size 64 --cross_attention_width 32 --embed_dim 32 --max_positions 64"
LAMP += " --dropout 0 --attention_dropout 0"
T2M = "--vq_name vq --lamp_name lamp --latent_dim 32 --ff_size 32 --n_layers 1 --n_heads 2 --token_dim 16 --dropout 0"
M2T = "--name m2t --lamp_name lamp --num_layers 1 --embed_dim 16 --num_heads 2 --dropout 0 --pkeep 0.7"
EVALUATOR = "--name evaluator --movement_hidden 8 --movement_latent 8 --text_hidden 8 --motion_hidden 8 --embed_dim 8"
EVALUATOR += " --movement_epoch 100 --movement_window 24 --movement_epoch_size 40"
# Codes are taken in order, not drawn, and the nearest ones: draws of single tokens are each process's own.
EXACT = "--dropout 0 --sample_temperature 0 --dead_codes public"
STAGES = {
    "tokenizer": ("train_vq", f"{VQ} {EXACT}"),
    "lamp": ("train_lamp", LAMP),
    "masked": ("train_t2m_transformer", f"--name masked {T2M}"),
    "residual": ("train_t2m_transformer", f"--name residual --transformer residual {T2M}"),
    "length": ("train_length_estimator", "--name length --vq_name vq --lamp_name lamp"),
    "captioner": ("train_m2t", M2T),
    "evaluator": ("train_evaluator", EVALUATOR),
}


def arguments(flags: str, size: int, checkpoints: str) -> list[str]:
    """Flags of a small run."""
    more = f" --movement_batch_size {size}" if "--movement" in flags else ""
    return f"{COMMON} {flags} --batch_size {size} --checkpoints_dir {checkpoints}{more}".split()


def alone(script: str, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script in this process."""
    fit = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", lambda self, *args: without_dropout(self.model) or fit(self, *args))
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *flags])
    importlib.import_module(script).main()


def train_together(runs: list[list[str]], folder: Path) -> None:
    """Run scripts with their flags, one after the other, in two processes by torchrun; all must succeed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    command = [sys.executable, "-m", *launcher, "-m", "tests.ranks", str(folder), json.dumps(runs)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    result = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]


def losses(space: Path) -> list[float]:
    """Logged losses of a run, one an iteration."""
    rows = map(json.loads, (space / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["train/loss"] for row in rows if "train/loss" in row]


def ends(folder: Path, name: str) -> list[dict[str, Any]]:
    """What the processes of a run ended with."""
    return [torch.load(folder / f"{name}.{rank}.pt") for rank in range(2)]


def same_ends(folder: Path, name: str) -> list[dict[str, Any]]:
    """As `ends`, of processes that must have the same weights and codebooks."""
    first, second = ends(folder, name)
    for key, value in first["weights"].items():
        assert torch.equal(value, second["weights"][key]), key
    return [first, second]


# What they refuse comes before anything else is looked at, so that no other flag matters.
ALONE = {"eval_evaluator", "eval_retrieval", "eval_t2m_trans_res", "eval_t2m_vq", "M2T_eval", "gen_t2m", "caption"}
ALONE |= {"convert", "edit_t2m", "view", "eval_follow", "index_mocap", "search_mocap", "serve_mcp", "serve_mmcp", "app"}
ALONE |= {"bulk"}


def test_every_script_trains_together_or_refuses():
    scripts = {path.stem for path in ROOT.glob("*.py")} - {"setup"}
    assert scripts == ALONE | {script for script, _ in STAGES.values()}


def test_a_job_of_slurm_starts_one_launcher_a_node(tmp_path):
    for name, text in (("scontrol", "printf 'node4\\nnode7\\n'"), ("srun", 'exec "$@"'), ("torchrun", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node[4,7]", "SLURM_NTASKS": "2", "SLURM_JOB_ID": "31"}
    env = os.environ | slurm | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", str(ROOT / "docs" / "train.sbatch"), "train_vq.py", "--name", "a b"]
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    launcher = "--nnodes 2 --nproc_per_node 8 --rdzv_backend c10d --rdzv_id 31 --rdzv_endpoint node4:29500"
    assert result.stdout == f"{launcher} train_vq.py --name a b\n" and not result.stderr


@pytest.mark.parametrize("script", sorted(ALONE))
def test_other_scripts_refuse_several_processes(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = {"caption": ["--motion", "x.npy"], "M2T_eval": ["--name", "x"], "gen_t2m": ["--text_prompt", "walk"]}
    flags |= {"convert": ["x.npy", "y.bvh"], "view": ["x.npy"], "index_mocap": ["."], "search_mocap": ["wave"]}
    flags |= {"bulk": ["tokenize", "clips", "--out", "x"]}
    flags |= {"serve_mcp": [], "serve_mmcp": [], "app": []}
    flags["edit_t2m"] = ["--source_motion", "x.npy", "--mask_edit_section", "0.2,0.5", "--text_prompt", "walk"]
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *flags.get(script, ["--name", "x"])])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, said in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as stop:
            importlib.import_module(script).main()
        assert stop.value.code == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if f"{script}.py runs in one process" in line]
        assert len(lines) == said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with data, a vocabulary, and a tokenizer and a LaMP that one process trained."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("processes")
        monkeypatch.chdir(folder)
        make_sample(folder / "dataset" / "sample", clips=40, seed=0)
        words = "a the person man walks forward runs waves with right left hand stands and turns".split()
        Path("vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
        for script, flags in (STAGES["tokenizer"], STAGES["lamp"]):
            alone(script, arguments(flags, 8, "one"), monkeypatch)
        yield folder


# Each of these left a parameter without a gradient, which the second iteration did not survive.
VARIED = [
    ("train_lamp", f"{LAMP} --generation_weight 0"),
    ("train_lamp", f"{LAMP} --alternate_losses --text_condition embedding --gradient_accumulation_steps 2"),
    ("train_vq", f"{VQ} --quantizer orig --quantize_dropout_prob 0.9 --epoch_size 48"),
    ("train_vq", f"{VQ} --quantizer reset --quantize_dropout_prob 0.9 --gradient_accumulation_steps 2 --epoch_size 48"),
]


@pytest.fixture(scope="module")
def trained(place):
    """The same directory with what two processes trained: to start them takes far longer than all that they train."""
    runs = []
    for script, flags in STAGES.values():
        name = flags.split()[1]
        runs.append([script, *arguments(flags.replace(f"--name {name}", f"--name {name}_two"), 4, "one")])
    for name, last in (("whole", 6), ("parts", 3)):
        runs.append(["train_vq", *arguments(VQ, 4, "one"), "--name", name, "--max_iter", str(last)])
    for number, (script, flags) in enumerate(VARIED):
        few = ["--max_iter", "0", "--max_epoch", "2"]
        runs.append([script, *arguments(flags, 4, "one"), "--name", f"varied{number}", *few])
    train_together(runs, place)
    return place


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one(stage, trained, monkeypatch):
    monkeypatch.chdir(trained)
    script, flags = STAGES[stage]
    name = flags.split()[1]
    if stage not in ("tokenizer", "lamp"):
        alone(script, arguments(flags, 8, "one"), monkeypatch)
    spaces = [trained / "one" / "sample" / run for run in (name, f"{name}_two")]
    a, b = (losses(space) for space in spaces)
    assert len(a) == len(b) == STEPS
    assert a == pytest.approx(b, abs=1e-5)
    first, second = same_ends(trained, f"{name}_two")
    assert not torch.equal(first["random"], second["random"])


def test_two_processes_resume_where_they_stopped(trained):
    flags = [*arguments(VQ, 4, "one"), "--name", "parts", "--max_iter", "6", "--is_continue"]
    train_together([["train_vq", *flags]], trained)
    for whole, parts in zip(same_ends(trained, "whole"), same_ends(trained, "parts"), strict=True):
        assert all(torch.equal(value, parts["weights"][key]) for key, value in whole["weights"].items())
        assert torch.equal(whole["random"], parts["random"])  # each process goes on with its own numbers


@pytest.mark.parametrize("number", range(len(VARIED)))
def test_unused_parameters_stop_nothing(number, trained):
    first, _ = same_ends(trained, f"varied{number}")
    if VARIED[number][0] == "train_lamp":
        assert first["rates"] == pytest.approx([1e-5, 1e-5])  # --min_lr, at the last iteration of all
