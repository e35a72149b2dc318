"""Model folders that are damaged, of other sizes or made up are refused in one line, before memory is asked for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lamp.models.checkpoints import read_run_options
from lamp.models.evaluator import Evaluator
from lamp.models.hub import LaMPModel
from lamp.models.lamp.model import LaMP
from lamp.models.m2t.captioner import Captioner
from lamp.models.pipeline import read_guidance
from lamp.models.t2m.length import LengthEstimator
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError

SHIPPED = Path(__file__).resolve().parent.parent / "checkpoints" / "mini"
KINDS: dict[str, type[LaMPModel]] = {
    "tokenizer": RVQVAE,
    "lamp": LaMP,
    "masked": MaskedTransformer,
    "residual": ResidualTransformer,
    "length": LengthEstimator,
    "m2t": Captioner,
    "evaluator": Evaluator,
}


def refused(kind: type[LaMPModel], folder: Path) -> str:
    """The one line by which a folder is refused."""
    with pytest.raises(UserError) as told:
        kind.from_pretrained(folder)
    line = str(told.value)
    assert "\n" not in line and len(line.replace(str(folder), "FOLDER")) <= 300 and str(folder) in line
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str], Path]:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(SHIPPED / name, tmp_path / name))

    return copy


def change(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("name", KINDS)
def test_weights_that_are_not_numbers(folder: Callable[[str], Path], name: str) -> None:
    path = folder(name)
    state = load_file(path / "model.safetensors")
    key = sorted(key for key, value in state.items() if value.is_floating_point() and value.numel())[-1]
    state[key].view(-1)[-1] = float("nan")
    save_file(state, path / "model.safetensors")
    assert key in refused(KINDS[name], path)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (torch.float16, float("inf")),
        (torch.bfloat16, float("-inf")),
        (torch.float32, float("nan")),
        (torch.float64, 1e300),  # infinite in float32
        (torch.float8_e4m3fn, float("nan")),
    ],
)
def test_numbers_that_float32_does_not_have(folder: Callable[[str], Path], dtype: torch.dtype, value: float) -> None:
    path = folder("length")
    state = {key: part.to(dtype) for key, part in load_file(path / "model.safetensors").items()}
    save_file(state, path / "model.safetensors")
    model = LengthEstimator.from_pretrained(path)
    assert all(torch.equal(part, state[key].float()) for key, part in model.state_dict().items())
    key = max(state, key=lambda key: state[key].numel())
    state[key].view(-1)[7] = value
    save_file(state, path / "model.safetensors")
    assert key in refused(LengthEstimator, path)


@pytest.mark.parametrize("value", [None, "many", -1, 0, 1.5, True, [3], {}, 10**9, 10**30, float("nan"), "9" * 5000])
@pytest.mark.parametrize("name", KINDS)
def test_values_that_cannot_be(folder: Callable[[str], Path], name: str, value: Any) -> None:
    path = folder(name)
    config = json.loads((path / "config.json").read_text())
    # Those whose size no weight tells are free to be anything that the config's class lets pass.
    sizes = ("width", "code_dim", "hidden_size", "latent_dim", "num_layers", "hidden_dims", "embed_dim", "text_hidden")
    for key in set(sizes) & set(config):
        change(path, **{key: value})
        refused(KINDS[name], path)
        change(path, **{key: config[key]})
    KINDS[name].from_pretrained(path)


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), float("inf"), float("nan")], ids=["large", "negative", "infinite", "nan"]
)
def test_a_number_that_no_float_can_hold(folder: Callable[[str], Path], value: float) -> None:
    path = folder("masked")
    change(path, cond_drop_prob=value)
    assert "cond_drop_prob" in refused(KINDS["masked"], path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "does not hold an object"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"model": "RVQVAE", "width": ' + "1" * 5000 + "}", "not valid JSON"),
        ('{"model": "RVQVAE", "breadth": 1}', "unknown entries breadth"),
        ('{"model": "RVQVAE", "meta": []}', "under meta"),
        ('{"model": "RVQVAE", "meta": {"built_on": {"lamp": 1}}}', "under meta"),
        ('{"model": "RVQVAE", "stride_t": 3}', "stride_t"),
        ('{"model": ["RVQVAE"]}', "not a RVQVAE"),
    ],
)
def test_configs_that_are_none(folder: Callable[[str], Path], content: str, words: str) -> None:
    path = folder("tokenizer")
    (path / "config.json").write_text(content)
    assert words in refused(RVQVAE, path)


def test_weights_that_do_not_fit_are_listed_in_part(folder: Callable[[str], Path]) -> None:
    path = folder("masked")
    state = load_file(path / "model.safetensors")
    half = dict(list(sorted(state.items()))[::2])
    save_file(half, path / "model.safetensors")
    assert f"and {len(state) - len(half) - 3} more" in refused(MaskedTransformer, path)
    save_file(state | {f"other.{i}": torch.zeros(1) for i in range(10)}, path / "model.safetensors")
    assert "has besides other.0, other.1, other.2 and 7 more" in refused(MaskedTransformer, path)
    save_file({key: value[:1].clone() for key, value in state.items()}, path / "model.safetensors")
    assert "weights of other sizes" in refused(MaskedTransformer, path)


@pytest.mark.parametrize("name", ["lamp", "m2t", "evaluator"])
def test_damaged_vocabularies(folder: Callable[[str], Path], name: str) -> None:
    path = folder(name)
    words = next(path.glob("*.txt"))
    words.write_bytes(b"\xff\xfe" + words.read_bytes())
    refused(KINDS[name], path)
    if name != "evaluator":  # of hashed words, whose list may be empty
        words.write_bytes(b"")
        refused(KINDS[name], path)


def test_cut_weights(folder: Callable[[str], Path]) -> None:
    path = folder("length")
    weights = path / "model.safetensors"
    for count in (0, 7, 100, weights.stat().st_size - 1):
        weights.write_bytes((SHIPPED / "length" / weights.name).read_bytes()[:count])
        refused(LengthEstimator, path)


@pytest.mark.parametrize("content", ["[]", "{", '{"cond_scale": "4"}', '{"scale": 1}', '{"cond_scale": NaN}'])
def test_guidance_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "guidance.json").write_text(content)
    with pytest.raises(UserError, match=r"guidance\.json"):
        read_guidance(tmp_path)


def test_options_of_runs(tmp_path: Path) -> None:
    for content in ("[]", "{", '{"vq_name": 3}'):
        (tmp_path / "opt.json").write_text(content)
        with pytest.raises(UserError, match=r"opt\.json"):
            read_run_options(tmp_path)
    (tmp_path / "opt.json").write_text('{"lr": 1}')
    options = read_run_options(tmp_path)
    assert options["lr"] == 1 and options.get("vq_name") is None
    with pytest.raises(UserError, match=r"opt\.json has no entry vq_name"):
        options["vq_name"]


def test_a_name_without_end_is_cut(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "' + "9" * 5000 + '"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="holds a '999") as caught:
        RVQVAE.from_pretrained(tmp_path)
    assert len(str(caught.value)) < 200 + len(str(tmp_path))
