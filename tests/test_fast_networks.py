"""`speed_up` as a whole: what it changes, what it leaves, its switch, and the plain networks as the measure."""

import copy
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_lamp import TINY as TINY_LAMP
from test_lamp import make_batch
from test_lamp import make_model as lamp_model
from test_m2t import TINY as TINY_CAPTIONER
from test_m2t import WORDS
from test_t2m import LENGTHS, conditions, masked_model, random_codes, residual_model
from test_vq import make_model as tokenizer_model
from torch import Tensor, nn

from lamp.models import fast
from lamp.models.fast.speed import FAST_CLASSES
from lamp.models.hub import LaMPModel
from lamp.models.lamp.model import LaMP
from lamp.models.lamp.text import TextTokenizer
from lamp.models.m2t.captioner import Captioner
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.vq.model import RVQVAE
from lamp.utils.home import shipped_models

MODELS = Path(__file__).resolve().parent.parent / "models"
SPEED_ONLY = re.compile(
    r"is_cpu|\.type == .cpu|is_compiling|is_autocast_enabled|is_grad_enabled|mkldnn|is_inference\(\)|models\.fast\."
)


def captioner_model() -> Captioner:
    torch.manual_seed(0)
    return Captioner.create(replace(TINY_CAPTIONER, dropout=0.0), TextTokenizer(WORDS)).eval()


def tokenizer_outputs(model: RVQVAE) -> list[Tensor]:
    x, lengths = torch.randn(9, 64, 12, generator=torch.Generator().manual_seed(0)), torch.arange(9) * 7 + 8
    torch.manual_seed(0)
    outputs = [model(x, given) for given in (None, lengths, torch.full((9,), 64))]
    return [value for output in outputs for value in (output.recon, output.latent, output.commit_loss)]


def masked_outputs(model: MaskedTransformer) -> list[Tensor]:
    output = model(random_codes(3, 9), conditions(), LENGTHS, generator=torch.Generator().manual_seed(0))
    return [output.loss, output.accuracy]


def residual_outputs(model: ResidualTransformer) -> list[Tensor]:
    output = model(random_codes(3, 9, 4), conditions(), LENGTHS, generator=torch.Generator().manual_seed(0))
    return [output.loss, output.accuracy]


def lamp_outputs(model: LaMP) -> list[Tensor]:
    torch.manual_seed(0)
    output = model(make_batch(model))
    return [output.contrastive, output.matching, output.captioning, output.generation]


def captioner_outputs(model: Captioner) -> list[Tensor]:
    queries = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    return [model(queries, model.vocabulary(["a man runs", "a person walks slowly"], 10)).loss]


NETWORKS: dict[str, tuple[Callable[[], LaMPModel], Callable[..., list[Tensor]]]] = {
    "tokenizer": (
        lambda: tokenizer_model(dropout=0.0, sample_temperature=0.0, quantize_dropout_prob=0.0),
        tokenizer_outputs,
    ),
    "masked": (lambda: masked_model(dropout=0.0, cond_drop_prob=0.0), masked_outputs),
    "masked, full attention": (
        lambda: masked_model(dropout=0.0, cond_drop_prob=0.0, attention="full"),
        masked_outputs,
    ),
    "residual": (lambda: residual_model(dropout=0.0, cond_drop_prob=0.0), residual_outputs),
    "lamp": (lambda: lamp_model(dropout=0.0, attention_dropout=0.0, label_smoothing=0.1), lamp_outputs),
    "captioner": (captioner_model, captioner_outputs),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("frozen", [False, True])
def test_results_and_gradients_are_those_of_the_plain_network(name, frozen):
    make, outputs = NETWORKS[name]
    plain = make()
    model = fast.speed_up(copy.deepcopy(plain), frozen)
    assert _fast_modules(model) and not _fast_modules(plain)
    with torch.inference_mode():
        torch.testing.assert_close(outputs(model), outputs(plain), rtol=1e-4, atol=1e-5)
    for network in (model.train(), plain.train()):
        sum(value.square().mean() for value in outputs(network)).backward()
    for (key, mine), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        if theirs.grad is None:
            assert mine.grad is None, key
        else:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_files_and_copies_do_not_know_of_it(name, tmp_path):
    plain = NETWORKS[name][0]()
    kind, keys = type(plain).__name__, list(plain.state_dict())
    model = fast.speed_up(plain, frozen=True)
    assert model is plain and list(model.state_dict()) == keys
    assert [type(module) for module in fast.speed_up(model).modules()] == [type(module) for module in model.modules()]
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["model"] == kind
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), type(model).from_pretrained(tmp_path)):
        assert type(again) is type(model)
        for mine, theirs in zip(again.state_dict().values(), model.state_dict().values(), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_other_networks_stay_as_they_are():
    both = nn.ModuleDict({"length": LengthEstimator(LengthConfig(cond_dim=8)), "lamp": LaMP(TINY_LAMP)})
    fast.speed_up(both)
    assert not _fast_modules(both["length"]) and _fast_modules(both["lamp"])
    assert not _fast_modules(fast.speed_up(captioner_model()).language)


def test_replacements_only_extend_the_plain_classes():
    for classes in FAST_CLASSES.values():
        for plain, replacement in classes.items():
            assert issubclass(replacement, plain) and "__init__" not in vars(replacement)


@pytest.mark.parametrize("how", ["variable", "context"])
def test_the_switch_leaves_plain_networks_of_the_same_results(how, monkeypatch):
    prompts, lengths = ["a person walks forward", "a person bows"], [100, 60]
    expected = LaMPPipeline.from_pretrained()(prompts, lengths, seed=1)
    if how == "variable":
        monkeypatch.setenv("LAMP_FAST", "0")
        pipe = LaMPPipeline.from_pretrained()
    else:
        with fast.disabled():
            pipe = LaMPPipeline.from_pretrained()
    parts = (pipe.tokenizer, pipe.text.lamp, pipe.masked, pipe.residual, pipe.length)
    assert not any(_fast_modules(part) for part in parts)
    for mine, theirs in zip(pipe(prompts, lengths, seed=1), expected, strict=True):
        np.testing.assert_allclose(mine.joints, theirs.joints, atol=2e-3)


def test_loading_draws_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    MaskedTransformer.from_pretrained(shipped_models(), "masked")
    assert torch.equal(torch.rand(1), expected)


def test_the_plain_networks_have_no_conditions_for_speed():
    for path in MODELS.rglob("*.py"):
        if path.parent.name != "fast":
            found = SPEED_ONLY.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path}: {found.group()}"


def _fast_modules(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if type(module).__module__.startswith("lamp.models.fast")]
