"""Options: flags from dataclasses, files of options, devices and seeds."""

import importlib
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from lamp.options.common import CommonOptions, TrainOptions
from lamp.utils.cli import alias, flatten, load_options, nested, parse, print_options, read_opt_txt, save_options
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.run.device import _warn_once, accelerator_device, autocast, resolve_device
from lamp.utils.run.seed import RandomStream, seed_everything


@dataclass(frozen=True)
class Config:
    """Model"""

    width: int = 8
    """channels, 100 %"""
    input_width: int = 263
    dilations: tuple[int, ...] = (9, 3)
    share: bool = True
    """share
    tables"""


@dataclass(kw_only=True)
class Options(TrainOptions):
    """Toy script"""

    model: Config = nested(Config, skip=("input_width",), width=16)
    quantize_dropout_prob: float = field(default=0.2, metadata=alias("--quantize_drop_prob"))
    """chance of fewer levels"""
    kind: Literal["a", "b"] = "a"
    steps: Literal[1, 2] = 1
    text: str | None = None
    scales: list[float] | None = None


def error_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        parse(Options, argv)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_defaults_and_flattened_config() -> None:
    options = parse(Options, ["--name", "x"])
    assert options == Options(name="x")
    assert options.model.width == 16
    assert options.space == Path("checkpoints/t2m/x")


def test_every_type_of_flag() -> None:
    argv = "--name x --width 4 --dilations 1 2 3 --no-share --kind b --steps 2 --scales 1 2.5 --gpu_id -1 --lr 1e-3"
    options = parse(Options, argv.split())
    assert options.model == Config(width=4, dilations=(1, 2, 3), share=False)
    assert (options.kind, options.steps, options.scales) == ("b", 2, [1.0, 2.5])
    assert (options.gpu_id, options.lr, options.text) == (-1, 1e-3, None)
    assert parse(Options, ["--name", "x", "--text", "none", "--data_root", "a b"]).data_root == Path("a b")


@pytest.mark.parametrize("flag", ["--quantize_dropout_prob", "--quantize-drop-prob", "--quantize_drop_prob"])
def test_spellings(flag: str) -> None:
    assert parse(Options, ["--name", "x", flag, "0.5"]).quantize_dropout_prob == 0.5
    assert parse(Options, ["--name=a-b", f"{flag}=0.5", "--no_share"]).model.share is False


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--name x --batchsize 3", "--batchsize; did you mean --batch_size?"),
        ("--name x stray", "stray"),
        ("--name x --input_width 3", "--input_width"),
        ("", "--name must be given"),
        ("--name x --kind c", "--kind: 'c' is none of a, b"),
        ("--name x --steps 3", "--steps: '3'"),
        ("--name x --lr fast", "--lr: 'fast' is not of type float"),
        ("--name x --batch_size 2.5", "--batch_size: '2.5' is not of type int"),
        ("--name x --batch_size 0", "--batch_size 0 must be at least 1"),
        ("--name x --lr -1", "--lr"),
        ("--name x --ema_decay 1", "--ema_decay"),
        ("--name a/b", "--name"),
        ("--name x --gpu_id -2", "--gpu_id -2"),
        ("--name x --is_continue --overwrite", "exclude each other"),
        ("--name x --config nowhere.json", "nowhere.json"),
        ("--name x --milestones", "--milestones"),
    ],
)
def test_mistakes_are_one_line_and_code_2(capsys: pytest.CaptureFixture[str], argv: str, message: str) -> None:
    assert message in error_of(capsys, *argv.split())


def test_help_is_the_string_under_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Options, ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for part in (
        "channels, 100 % (default: 16)",
        "share tables",
        "name of the run",
        "Toy script",
        "--quantize_drop_prob",
    ):
        assert part in text
    assert "--input_width" not in text


def test_every_common_option_has_a_help_text() -> None:
    from lamp.utils.cli import _flags

    assert all(flag.help for flag in _flags(TrainOptions))


def test_a_name_that_occurs_twice_is_an_error() -> None:
    @dataclass
    class Twice:
        model: Config = nested(Config)
        width: int = 3

    with pytest.raises(TypeError, match="--width"):
        parse(Twice, [])


def test_a_skipped_field_follows_the_option_of_its_name() -> None:
    @dataclass
    class Follows:
        model: Config = nested(Config, skip=("width",))
        width: int = 3

    options = parse(Follows, ["--width", "5"])
    assert (options.width, options.model.width) == (5, 5)
    assert parse(Follows, []).model.width == 3 == flatten(parse(Follows, []))["width"]


def test_saved_options_are_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "opt.json"
    options = parse(Options, ["--name", "x", "--data_root", "d", "--dilations", "5", "--scales", "1", "--overwrite"])
    save_options(options, path)
    again = load_options(Options, path)
    assert not again.overwrite  # concerns one call only
    assert flatten(again) == {**flatten(options), "overwrite": False}
    assert parse(Options, ["--config", str(path), "--width", "3"]).model == Config(width=3, dilations=(5,))
    print_options(options)
    assert "dilations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"), [('{"nam": 1}', "nam"), ("{", "opt.json"), ('{"name": "x", "share": 3}', "share")]
)
def test_broken_options_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, message: str) -> None:
    path = tmp_path / "opt.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        load_options(Options, path)
    assert message in error_of(capsys, "--config", str(path))


def test_public_opt_txt(tmp_path: Path) -> None:
    path = tmp_path / "opt.txt"
    path.write_text(
        "------------ Options -------------\nbatch_size: 256\ndata_root: ./dataset/HumanML3D/\nlr: 0.0002\n"
        "is_continue: False\nmilestones: [150000, 250000]\nname: rvq_nq6\nquantize_drop_prob: 0.3\nshare: True\n"
        "resume_pth: None\nurl: http://x:80\nwhat_we_lack: 1\n-------------- End ----------------\n"
    )
    values = read_opt_txt(path)
    assert values["milestones"] == [150000, 250000] and values["is_continue"] is False and values["resume_pth"] is None
    assert values["url"] == "http://x:80" and values["lr"] == 0.0002 and len(values) == 11
    options = load_options(Options, path)
    assert (options.batch_size, options.name, options.milestones) == (256, "rvq_nq6", [150000, 250000])
    assert options.quantize_dropout_prob == 0.3


def test_space_follows_its_options() -> None:
    assert CommonOptions(name="n", dataset_name="kit", checkpoints_dir=Path("/c")).space == Path("/c/kit/n")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cpu")  # so that what the test sets is taken back
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    _warn_once.cache_clear()
    return monkeypatch


@pytest.mark.parametrize(("gpu_id", "warned"), [(7, True), (0, True), (-1, False), (None, False)])
def test_gpu_that_is_not_there(
    no_gpu: Any, capsys: pytest.CaptureFixture[str], gpu_id: int | None, warned: bool
) -> None:
    assert resolve_device(gpu_id) == torch.device("cpu") and accelerator_device(gpu_id)
    assert capsys.readouterr().err.count(f"--gpu_id {gpu_id}") == int(warned)  # once, though asked twice


def test_gpus(no_gpu: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    no_gpu.setattr(torch.cuda, "is_available", lambda: True)
    no_gpu.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device(i) for i in (None, 0, 1)] == [torch.device("cuda", i) for i in (0, 0, 1)]
    assert resolve_device(-1) == torch.device("cpu")
    assert not capsys.readouterr().err
    assert resolve_device(2) == torch.device("cuda", 0)
    assert "GPUs 0 to 1" in capsys.readouterr().err
    no_gpu.setenv("LOCAL_RANK", "1")
    assert resolve_device(0) == torch.device("cuda", 1)


def test_autocast() -> None:
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    for precision, dtype in {"no": torch.float32, "bf16": torch.bfloat16}.items():
        with autocast(torch.device("cpu"), precision):
            assert layer(x).dtype == dtype


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_seed_and_streams() -> None:
    seed_everything(3)
    first, second = draws(), draws()
    seed_everything(3)
    stream = RandomStream(3)
    with stream:
        assert draws() == first
    assert draws() == first  # outside, nothing has been drawn yet
    with stream:
        assert draws() == second  # and the stream goes on where it was


def test_missing_packages_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @main_with_errors
    def main() -> None:
        importlib.import_module(name)

    name = "no_such_package.part"
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert re.fullmatch(r"error: .* has no package no_such_package; .*\n", capsys.readouterr().err)
    # One of ours that is missing is a bug, which needs its traceback.
    name = "lamp.utils.no_such_module"
    with pytest.raises(ModuleNotFoundError):
        main()
