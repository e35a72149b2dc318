"""Every network on a CUDA GPU against the CPU, and what only a GPU has: graphs, captures, its own random numbers.

`--gpu_device cpu` compares the CPU with itself, which tries the tests.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from benchmarks.bench_generate import GivenCondition
from lamp.models.evaluator import Evaluator, EvaluatorConfig
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP, LaMPBatch, LaMPConfig
from lamp.models.lamp.text import TextBatch
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.decoding import write_greedy
from lamp.models.m2t.language import CaptionerConfig
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.options.common import TrainOptions
from lamp.utils.run.device import autocast
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import keyed_uniform, seed_everything
from lamp.utils.run.trainer import Trainer
from tests.marks import needs_compiler

pytestmark = pytest.mark.gpu

ROWS, TOKENS, WORDS, WIDTH = 6, 49, 12, 64
LENGTHS = torch.tensor([49, 12, 49, 30, 10, 44])
TRANSFORMER = {"latent_dim": 128, "ff_size": 256, "num_layers": 3, "num_heads": 4, "cond_dim": WIDTH}
LANGUAGE = CaptionerConfig(query_dim=WIDTH, vocab_size=300, num_layers=2, embed_dim=WIDTH, num_heads=4)
LAMP = LaMPConfig(
    vocab_size=300,
    hidden_size=WIDTH,
    num_layers=4,
    num_heads=4,
    intermediate_size=128,
    cross_attention_width=96,
    motion_width=128,
    embed_dim=48,
    nb_code=512,
)


def motion() -> Tensor:
    return torch.randn(ROWS, 4 * TOKENS, 263)


def text() -> TextBatch:
    ids = torch.randint(1, 300, (ROWS, WORDS))
    return TextBatch(ids, torch.arange(WORDS) < torch.tensor([12, 5, 9, 3, 12, 7])[:, None])


def lamp_batch() -> LaMPBatch:
    codes = torch.randint(512, (ROWS, TOKENS))
    return LaMPBatch(torch.randn(ROWS, TOKENS, 128), LENGTHS, codes, text(), torch.arange(ROWS), torch.arange(ROWS))


def tokenizer_values(model: RVQVAE, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    x, lengths = inputs
    codes = model.encode(x, lengths)
    return {"codes": codes, "decoded": model.decode(codes, lengths // 4), "latent": model.encode_features(x, lengths)}


def lamp_values(model: LaMP, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    (batch,) = inputs
    output = model(batch)
    found = {name: getattr(output, name) for name in ("contrastive", "matching", "captioning", "generation")}
    encoded = model.encode_text(batch.text)
    return found | {"text": encoded.embedding, "condition": model.text_condition(batch.text)}


def masked_values(model: MaskedTransformer, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    codes, condition, lengths, keys = inputs
    output = model(codes, condition, lengths, keys=keys)
    return {"loss": output.loss, "tokens": model.generate(condition, lengths, seeds=range(ROWS))}


def residual_values(model: ResidualTransformer, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    codes, condition, lengths, keys = inputs
    output = model(codes, condition, lengths, keys=keys)
    made = model.generate(codes[..., 0].contiguous(), condition, lengths, seeds=range(ROWS))
    return {"loss": output.loss, "tokens": made}


def captioner_values(model: Captioner, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    queries, words = inputs
    writer = model.writer(model.prefix(queries))
    written = write_greedy(writer, end_id=2, pad_id=0, max_length=WORDS)
    return {"loss": model(queries, words).loss, "tokens": written.ids}


def evaluator_values(model: Evaluator, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    x, lengths, tokens = inputs
    return {"motions": model.embed_motions(x, lengths), "texts": model.embed_texts(tokens)}


def length_values(model: LengthEstimator, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
    condition, lengths = inputs
    return {"loss": model(condition, lengths).loss, "tokens": model.sample(condition, seeds=range(ROWS))}


def codes(*shape: int) -> Tensor:
    return torch.randint(512, shape)


def condition() -> Tensor:
    return torch.randn(ROWS, WIDTH)


KEYS = torch.arange(ROWS) * 7919
NETWORKS: dict[str, tuple[Any, Any, Any]] = {
    "tokenizer": (
        lambda: RVQVAE(RVQConfig(width=128, code_dim=128)),
        tokenizer_values,
        lambda: (motion(), 4 * LENGTHS),
    ),
    "lamp": (lambda: LaMP(LAMP), lamp_values, lambda: (lamp_batch(),)),
    "masked": (
        lambda: MaskedTransformer(MaskedConfig(**TRANSFORMER)),
        masked_values,
        lambda: (codes(ROWS, TOKENS), condition(), LENGTHS, KEYS),
    ),
    "residual": (
        lambda: ResidualTransformer(ResidualConfig(**TRANSFORMER)),
        residual_values,
        lambda: (codes(ROWS, TOKENS, 6), condition(), LENGTHS, KEYS),
    ),
    "captioner": (
        lambda: Captioner(LANGUAGE),
        captioner_values,
        lambda: (torch.randn(ROWS, LANGUAGE.num_queries, WIDTH), text()),
    ),
    "evaluator": (
        lambda: Evaluator(EvaluatorConfig()),
        evaluator_values,
        lambda: (motion(), 4 * LENGTHS, [["a/DET", "person/NOUN", "walk/VERB"][: 1 + i % 3] for i in range(ROWS)]),
    ),
    "length": (lambda: LengthEstimator(LengthConfig(cond_dim=WIDTH)), length_values, lambda: (condition(), LENGTHS)),
}


def moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if hasattr(value, "to") else value


def start_codes(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    """A tokenizer whose codes lie among what it encodes."""
    if isinstance(model, RVQVAE):
        model.train()(*inputs)
        model.eval()


def both(name: str, device: torch.device, precision: str = "no") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a network gives on the CPU in float32, and on the device in a precision."""
    seed_everything(0)
    build, values, make = NETWORKS[name]
    model, inputs = speed_up(build().eval()), make()
    start_codes(model, inputs)
    there = copy.deepcopy(model).to(device)
    with torch.no_grad():
        expected = values(model, inputs)
        with autocast(device, precision):
            found = values(there, tuple(moved(value, device) for value in inputs))
    return expected, {key: value.cpu() for key, value in found.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_float32(name, device):
    expected, found = both(name, device)
    for key, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-4, msg=lambda text: f"{key}: {text}")  # noqa: B023
        else:
            assert torch.equal(found[key], value), key


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16(name, device):
    expected, found = both(name, device, "bf16")
    for key, value in expected.items():
        if value.is_floating_point() and key != "decoded":  # which depends on codes, of which some are others
            distance = (found[key].float() - value).norm() / value.norm().clamp(min=1e-6)
            assert distance < 0.05, (key, distance)


@pytest.mark.parametrize("name", ["tokenizer", "lamp", "masked", "residual", "captioner", "length"])
def test_gradients(name, device):
    seed_everything(0)
    build, _, make = NETWORKS[name]
    model, inputs = speed_up(build().eval()), make()
    start_codes(model, inputs)
    there = copy.deepcopy(model).to(device)
    named = {"keys": KEYS} if name in ("masked", "residual") else {}
    for one, where in ((model, torch.device("cpu")), (there, device)):
        output = one(
            *(moved(v, where) for v in inputs[: len(inputs) - len(named)]),
            **{key: value.to(where) for key, value in named.items()},
        )
        (output.recon.square().mean() + output.commit_loss if name == "tokenizer" else output.loss).backward()
    for (key, mine), theirs in zip(model.named_parameters(), there.parameters(), strict=True):
        if mine.grad is not None:
            scale = mine.grad.abs().max().clamp(min=1e-3)
            torch.testing.assert_close(theirs.grad.cpu() / scale, mine.grad / scale, rtol=0, atol=1e-3, msg=key)


def test_keyed_draws_are_the_same_on_every_device(device):
    assert torch.equal(keyed_uniform(KEYS, (4, 9), 2), keyed_uniform(KEYS.to(device), (4, 9), 2).cpu())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_prompt_gives_a_motion(precision, device):
    seed_everything(0)
    size = TRANSFORMER | {"cond_dim": GivenCondition.dim}
    parts = [
        RVQVAE(RVQConfig(width=64, code_dim=64)),
        MaskedTransformer(MaskedConfig(**size)),
        ResidualTransformer(ResidualConfig(**size)),
    ]
    tokenizer, masked, residual = (part.eval().to(device) for part in parts)
    pipe = LaMPPipeline(tokenizer, GivenCondition(device), masked, residual).with_precision(precision)
    one, two = pipe(["a person walks", "a person runs"], [40, 196])
    assert one.joints.shape == (40, 22, 3) and two.joints.shape == (196, 22, 3)


def trained(folder: Path, device: torch.device, **changes: Any) -> dict[str, Tensor]:
    """Weights of a masked transformer after some steps of the Trainer."""
    values = {"name": "run", "checkpoints_dir": folder, "max_epoch": 2, "log_every": 2, "save_latest": 0} | changes
    options = TrainOptions(gpu_id=-1 if device.type == "cpu" else 0, warm_up_iter=2, batch_size=ROWS, **values)
    seed_everything(0)
    # A process has one, of one precision, unless it is told to forget it.
    AcceleratorState._reset_state(reset_partial_state=True)
    model = speed_up(MaskedTransformer(MaskedConfig(**TRANSFORMER)))
    optimizer = adamw(model.parameters(), 1e-3)
    batches = [(codes(ROWS, TOKENS), condition(), LENGTHS) for _ in range(4)]
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter),
        options=options,
        step=lambda module, batch: {"loss": module(*batch).loss},
    )
    trainer.fit(batches)
    weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
    return {key: value.cpu().clone() for key, value in weights.items()}


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_resumed_run_equals_an_uninterrupted_one(precision, device, tmp_path):
    whole = trained(tmp_path / "a", device, mixed_precision=precision)
    trained(tmp_path / "b", device, mixed_precision=precision, max_iter=5)
    parts = trained(tmp_path / "b", device, mixed_precision=precision, is_continue=True)
    for key, value in whole.items():
        # Sums of some kernels have no fixed order on a GPU.
        torch.testing.assert_close(parts[key], value, rtol=0, atol=0 if device.type == "cpu" else 1e-3)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@needs_compiler
def test_compiled_training(mode, device, tmp_path):
    if device.type == "cpu":
        pytest.skip("tests/test_trainer.py compiles on the CPU")
    found = trained(tmp_path, device, compile=mode, mixed_precision="bf16")
    assert all(value.isfinite().all() for value in found.values())
