"""Options as a whole: each flag is read somewhere, has a help, or says that it does nothing."""

import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest

from lamp.utils.cli import parse, save_options
from lamp.utils.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("models", "data", "utils", "options", "prepare", "lamp")
MODULES = sorted(path.stem for path in (ROOT / "options").glob("*.py") if path.stem != "__init__")
OPTIONS = [
    value
    for module in MODULES
    for value in vars(importlib.import_module(f"lamp.options.{module}")).values()
    if dataclasses.is_dataclass(value) and value.__module__ == f"lamp.options.{module}"
]


def code() -> str:
    """All code but that of tests and benchmarks."""
    files = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_flag_is_read() -> None:
    text, unread = code(), set()
    for options in OPTIONS:
        for field in dataclasses.fields(options):
            if not field.metadata.get("idle") and not re.search(rf'\.{field.name}\b|"{field.name}"', text):
                unread.add(f"{options.__name__}.{field.name}")
    assert not unread


def test_flags_that_do_nothing_are_hidden_and_accepted_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from lamp.options.gen import GenOptions

    with pytest.raises(SystemExit):
        parse(GenOptions, ["--help"])
    assert "--data_root" not in capsys.readouterr().out.replace("or --data_root", "").replace("--data_root (", "")
    parse(GenOptions, ["--text_prompt", "x", "--data_root", "here"])
    assert capsys.readouterr().err == "note: without effect here: --data_root\n"


@pytest.mark.parametrize(
    ("flag", "value", "must"), [("motion_length", -5, "not be negative"), ("repeat_times", 0, "be at least 1")]
)
def test_the_flag_that_is_wrong_is_named_alone(flag: str, value: int, must: str) -> None:
    from lamp.options.gen import GenOptions

    with pytest.raises(UserError, match=f"^--{flag} {value} must {must}$"):
        GenOptions(text_prompt="x", **{flag: value})


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "/abs", "a\\b", "x" * 300, "line\nbreak"])
@pytest.mark.parametrize("flag", ["--name", "--dataset_name", "--ext"])
def test_names_that_become_folders_are_plain(flag: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (o for o in OPTIONS if flag[2:] in {f.name for f in dataclasses.fields(o)} and "Eval" in o.__name__):
        if getattr(options, flag[2:], None) == name:
            continue  # its default
        with pytest.raises(SystemExit) as stop:
            parse(options, [flag, name])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and "plain name" in error and len(error) < 500, options


def test_transformers_are_trained_as_in_lamps_public_options() -> None:
    from lamp.options.t2m import T2MOptions

    def sizes(*argv: str) -> tuple[int | float | list[int], ...]:
        options = parse(T2MOptions, argv)
        model = (options.latent_dim, options.n_heads, options.n_layers, options.ff_size)
        return *model, options.max_epoch, options.milestones, options.gamma

    lamp, momask = (512, 8, 8, 1024, 2000, [60_000], 0.05), (384, 6, 8, 1024, 500, [50_000], 0.1)
    for argv in ((), ("--transformer", "residual"), ("--size", "lamp")):
        assert sizes(*argv) == lamp
    assert sizes("--size", "momask") == sizes("--size=momask", "--transformer", "residual") == momask
    for order in (("--size", "momask", "--latent_dim", "96"), ("--latent-dim", "96", "--size", "momask")):
        assert sizes(*order) == (96, *momask[1:])


def test_options_files_win_over_default_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lamp.options.t2m import T2MOptions

    for name in ("masked", "residual"):
        options = parse(T2MOptions, ["--config", str(ROOT / "options" / "mini" / f"{name}.json")])
        assert (options.latent_dim, options.n_heads, options.token_dim, options.gamma) == (256, 4, 256, 0.3)
        assert options.max_epoch == 1000 and options.milestones[0] in (3800, 6500)
    path = tmp_path / "opt.json"
    save_options(parse(T2MOptions, ["--size", "momask", "--n_layers", "3"]), path)
    assert "size" not in json.loads(path.read_text())
    again = parse(T2MOptions, ["--config", str(path)])
    assert (again.latent_dim, again.n_heads, again.n_layers, again.max_epoch) == (384, 6, 3, 500)
    grown = parse(T2MOptions, ["--config", str(path), "--size", "lamp", "--n_heads", "4"])
    assert (grown.latent_dim, grown.n_heads, grown.n_layers, grown.max_epoch) == (512, 4, 3, 2000)
    with pytest.raises(SystemExit):
        parse(T2MOptions, ["--size", "huge"])
    assert "lamp" in capsys.readouterr().err


@pytest.mark.parametrize(("terms", "word"), [(["speed=1"], "velocity"), (["velocity"], "NAME=WEIGHT")])
def test_further_losses_are_checked(terms: list[str], word: str) -> None:
    from lamp.options.vq import VQOptions

    with pytest.raises(UserError, match=f"--further_losses {terms[0]}.*{word}"):
        VQOptions(further_losses=terms)
    assert VQOptions(further_losses=["velocity=0.5"]).loss_weights == {"velocity": 0.5}


def test_only_codes_that_were_learnt_are_frozen() -> None:
    from lamp.options.vq import VQOptions

    with pytest.raises(UserError, match="--start_from"):
        VQOptions(freeze_codes=True)
