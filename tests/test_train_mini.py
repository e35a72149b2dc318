"""`prepare/train_mini.sh`, which trains everything that ships: at tiny size, stopped once, and started again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FEW = {"batch_size": 4, "max_iter": 2, "warm_up_iter": 1, "milestones": [2], "eval_iter": 2, "save_latest": 1}
SMALL = {
    "vq": {"width": 32, "code_dim": 32, "nb_code": 32, "num_quantizers": 2, "depth": 1, "window_size": 32},
    "lamp": {"bert": "none", "hidden_size": 32, "num_layers": 2, "num_heads": 2, "intermediate_size": 64}
    | {"cross_attention_width": 32, "embed_dim": 32, "max_positions": 64},
    "masked": {"latent_dim": 32, "ff_size": 32, "n_layers": 1, "n_heads": 2, "token_dim": 16},
    "residual": {"latent_dim": 32, "ff_size": 32, "n_layers": 1, "n_heads": 2, "token_dim": 16},
    "length": {},
    "m2t": {"num_layers": 1, "embed_dim": 32, "num_heads": 2, "block_size": 12, "init_words": "none"},
}


@pytest.fixture
def settings(tmp_path: Path, sample_data: Path, sample_vocabulary: Path) -> dict[str, str]:
    """What the script reads of the environment: data that are composed already, and the options made small."""
    (tmp_path / "data" / "mini").mkdir(parents=True)
    shutil.copytree(sample_data, tmp_path / "data" / "mini_composed")
    (tmp_path / "configs").mkdir()
    for path in (ROOT / "options" / "mini").glob("*.json"):
        if path.stem in SMALL:
            values = json.loads(path.read_text(encoding="utf-8"))
            values |= {key: value for key, value in FEW.items() if key in values} | SMALL[path.stem]
            values |= {"vocab": str(sample_vocabulary)} if path.stem == "lamp" else {}
            (tmp_path / "configs" / path.name).write_text(json.dumps(values), encoding="utf-8")
    given = {"PYTHON": sys.executable, "DATA": str(tmp_path / "data"), "CHECKPOINTS": str(tmp_path / "checkpoints")}
    return given | {"CONFIGS": str(tmp_path / "configs")}


def train(settings: dict[str, str], **more: str) -> str:
    """What the script prints."""
    command = ["bash", str(ROOT / "prepare" / "train_mini.sh")]
    done = subprocess.run(command, env=os.environ | settings | more, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_all_that_ships_is_trained_by_one_command_that_goes_on(settings: dict[str, str]) -> None:
    runs = Path(settings["CHECKPOINTS"]) / "mini"
    assert "rvq was stopped after 0.0001 minutes" in train(settings, MINUTES="0.0001")
    assert not (runs / "rvq.done").exists() and (runs / "rvq" / "state").is_dir()
    said = train(settings)
    assert "all stages are done" in said
    for name in ("rvq", "lamp_run", "masked_run", "residual_run", "length_run", "m2t_run"):
        assert (runs / f"{name}.done").is_file() and list((runs / name).rglob("model.safetensors"))
    assert "resuming" in (runs / "rvq.log").read_text(encoding="utf-8")
    again = train(settings)
    assert again.count(": done (state in") == 6 and "==" not in again
