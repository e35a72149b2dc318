"""Animations while a model trains: files that show the same motions each time, and training that does not notice."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import train_lamp
import train_t2m_transformer
import train_vq
from lamp.options.vq import VQOptions
from lamp.stages.pages import animations
from lamp.utils.errors import UserError

TINY = "--batch_size 4 --log_every 1 --save_latest 1 --warm_up_iter 1 --gpu_id -1 --max_epoch 2"
VQ = "--width 32 --code_dim 32 --nb_code 32 --num_quantizers 3 --depth 1 --window_size 32 --epoch_size 12"
LAMP = (
    "--hidden_size 32 --num_layers 2 --num_heads 2 --intermediate_size 64 --cross_attention_width 32 "
    "--embed_dim 32 --max_positions 64"
)
TRANSFORMER = "--latent_dim 32 --ff_size 32 --n_layers 1 --n_heads 2 --token_dim 16"


def train(script: Any, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *arguments.split()])
    script.main()


def left(space: Path) -> list[Any]:
    """What training came to: logged numbers, without those of the clock, and weights."""
    lines = map(json.loads, (space / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    rows = [{key: value for key, value in line.items() if "it_per_s" not in key} for line in lines]
    weights = load_file(space / "latest" / "model.safetensors")
    return [rows, {key: value.numpy().tobytes() for key, value in weights.items()}]


def titles(page: Path) -> list[str]:
    return re.findall(r'"title":"([^"]*)"', page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def animated(tmp_path_factory, sample_data):
    """Root of two runs of the tokenizer that differ in their animations only, and the flags that they share."""
    root = tmp_path_factory.mktemp("animated")
    common = f"--dataset_name t2m --data_root {sample_data} --checkpoints_dir {root} {TINY}"
    with pytest.MonkeyPatch.context() as patch:
        for name, every in (("with", 1), ("without", 0)):
            flags = f"--name {name} {VQ} --animate_every_e {every} --animate_motions 2"
            train(train_vq, f"{common} {flags}", patch)
    return root, common


def test_each_time_has_a_page_videos_and_an_image(animated):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    space = animated[0] / "t2m" / "with"
    folders = sorted((space / "animations").iterdir())
    assert [folder.name for folder in folders] == ["iteration_0000003", "iteration_0000006"]
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["motion_1.mp4", "motion_2.mp4", "motions.html"]
        assert (folder / "motion_1.mp4").read_bytes()[4:8] == b"ftyp"
    first, second = (titles(folder / "motions.html") for folder in folders)
    assert first == second
    assert [title.split(":")[0] for title in first] == ["data", "reconstructed"] * 2
    log = events.EventAccumulator(str(space / "logs"))
    log.Reload()
    images = log.Images("animations")
    assert [image.step for image in images] == [3, 6]
    assert (images[0].height, images[0].width) == (4 * animations.SIDE, animations.POSES * animations.SIDE)
    assert not (animated[0] / "t2m" / "without" / "animations").exists()


def test_training_does_not_notice(animated):
    assert left(animated[0] / "t2m" / "with") == left(animated[0] / "t2m" / "without")


def test_a_resumed_run_shows_what_one_that_never_stopped_shows(animated, tmp_path, monkeypatch):
    root, common = animated
    flags = f"{common} --name with {VQ} --animate_every_e 1 --animate_motions 2".replace(str(root), str(tmp_path))
    space = tmp_path / "t2m" / "with"
    train(train_vq, f"{flags} --max_iter 2", monkeypatch)
    assert [path.name for path in (space / "animations").iterdir()] == ["iteration_0000002"]
    train(train_vq, f"{flags} --is_continue", monkeypatch)
    for name in ("iteration_0000003", "iteration_0000006"):
        pages = [home / "animations" / name / "motions.html" for home in (root / "t2m" / "with", space)]
        assert pages[0].read_bytes() == pages[1].read_bytes()
    before = (space / "animations" / "iteration_0000006" / "motions.html").stat().st_mtime_ns
    train(train_vq, f"{flags} --is_continue", monkeypatch)  # nothing is left to do
    assert (space / "animations" / "iteration_0000006" / "motions.html").stat().st_mtime_ns == before
    train(train_vq, f"{flags} --overwrite --animate_every_e 0", monkeypatch)
    assert not (space / "animations").exists()


@pytest.fixture(scope="module")
def with_lamp(animated, tmp_path_factory):
    """Flags that lead to a root with a tokenizer and a LaMP, and that root."""
    root, common = animated
    folder = tmp_path_factory.mktemp("with_lamp")
    shutil.copytree(root / "t2m" / "with", folder / "t2m" / "vq_name")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nperson\nwalks\n", encoding="utf-8")
    common = common.replace(str(root), str(folder)).replace("--max_epoch 2", "--max_epoch 1")
    flags = f"--name lamp_name --vq_name vq_name --bert none --vocab {folder}/vocab.txt {LAMP} --max_iter 1"
    with pytest.MonkeyPatch.context() as patch:
        train(train_lamp, f"{common} {flags}", patch)
    return folder, common


@pytest.mark.parametrize("kind", ["masked", "residual"])
def test_generators_show_the_captions_they_answer(with_lamp, kind, monkeypatch):
    root, common = with_lamp
    space = root / "t2m" / "made"
    flags = f"{common} --name made --transformer {kind} --vq_name vq_name {TRANSFORMER} --animate_motions 1"
    train(train_t2m_transformer, f"{flags} --max_iter 2 --overwrite --animate_every_e 1", monkeypatch)
    (page,) = (space / "animations").glob("*/motions.html")
    pair = titles(page)
    assert [title.split(": ")[0] for title in pair] == ["data", "generated"]
    assert pair[0].split(": ")[1] == pair[1].split(": ")[1] != ""
    shown = left(space)
    train(train_t2m_transformer, f"{flags} --max_iter 2 --overwrite --animate_every_e 0", monkeypatch)
    assert left(space) == shown and not (space / "animations").exists()


def test_what_cannot_be_shown_does_not_stop_training(animated, tmp_path, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise UserError("ffmpeg could not write motion_1.mp4")

    monkeypatch.setattr(animations, "write_mp4", fail)
    root, common = animated
    train(train_vq, f"{common.replace(str(root), str(tmp_path))} --name run {VQ} --max_iter 1", monkeypatch)
    space = tmp_path / "t2m" / "run"
    assert (space / "latest/model.safetensors").is_file() and not any((space / "animations").iterdir())
    assert "no animations of iteration 1: ffmpeg" in (space / "logs/train.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "value"), [("animate_every_e", -1), ("animate_motions", 0), ("animate_motions", 17)])
def test_numbers_that_cannot_be_are_refused(name, value):
    with pytest.raises(UserError, match=f"--{name} {value} must"):
        VQOptions(**{name: value})
