"""Training steps of the networks, with random data of full length: what bench_* time on the CPU and on a GPU."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.common import Bench
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP, LaMPBatch, LaMPConfig
from lamp.models.lamp.text import TextBatch
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.language import CaptionerConfig
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.vq.losses import reconstruction_loss
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.run.optim import adamw

FEATURES = 263
TOKENS = 49
TEXT_TOKENS = 32
LEARNING_RATE = 2e-4
TOKENIZER_QUICK = {"width": 32, "code_dim": 32, "nb_code": 32, "depth": 1}
TRANSFORMER_QUICK = {"latent_dim": 32, "ff_size": 32, "num_layers": 1, "num_heads": 2, "num_tokens": 32}
LAMP_QUICK = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_size": 64,
    "cross_attention_width": 32,
    "motion_width": 32,
    "nb_code": 32,
}
CAPTIONER_QUICK = {"vocab_size": 200, "num_layers": 1, "embed_dim": 32, "num_heads": 2}
LAMP_SMALL = {"hidden_size": 384, "num_layers": 6, "num_heads": 6, "intermediate_size": 1536}


@dataclass(frozen=True)
class Job:
    """A network with a batch to train it on.

    Attributes:
        key: as in `baseline.json`.
        title: what a step does.
        items: of a batch.
        unit: of the items.
        model: builds the network.
        batch: builds the batch on the host.
        loss: of a batch that lies where the network does.
    """

    key: str
    title: str
    items: int
    unit: str
    model: Callable[[], nn.Module]
    batch: Callable[[], list[Tensor]]
    loss: Callable[[nn.Module, list[Tensor]], Tensor]


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """As the training scripts have it."""
    return adamw(model.parameters(), LEARNING_RATE)


def training_step(job: Job, device: torch.device) -> Callable[[], object]:
    """One update in float32 on data that are there already."""
    model = speed_up(job.model().to(device).train())
    optimizer, batch = optimizer_of(model), [tensor.to(device) for tensor in job.batch()]

    def step() -> None:
        job.loss(model, batch).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def tokenizer_config(bench: Bench) -> RVQConfig:
    """Published sizes."""
    return RVQConfig(**bench.pick({}, TOKENIZER_QUICK))


def lamp_config(bench: Bench) -> LaMPConfig:
    """BERT-base size, or smaller with `--small`."""
    return LaMPConfig(**bench.pick(LAMP_SMALL if bench.settings.small else {}, LAMP_QUICK))


def random_text(rows: int, vocab_size: int) -> TextBatch:
    """Captions of the greatest length, which is the most work they can be."""
    ids = torch.randint(vocab_size, (rows, TEXT_TOKENS))
    return TextBatch(ids, torch.ones_like(ids, dtype=torch.bool))


def vq_job(bench: Bench) -> Job:
    """Motion tokenizer."""
    windows, frames = bench.pick(256, 4), bench.pick(64, 16)
    layout = FeatureLayout.of_dim(FEATURES)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        output = model(batch[0])
        return reconstruction_loss(output.recon, batch[0], None, layout.positions).total + 0.02 * output.commit_loss

    return Job(
        "vq_train",
        f"RVQ-VAE training step, {windows} windows of {frames} frames",
        windows,
        "windows",
        lambda: RVQVAE(tokenizer_config(bench)),
        lambda: [torch.randn(windows, frames, FEATURES)],
        loss,
    )


def masked_job(bench: Bench) -> Job:
    """Masked transformer, text condition given."""
    size, config = bench.pick(64, 2), MaskedConfig(**bench.pick({}, TRANSFORMER_QUICK))
    return Job(
        "masked_train",
        f"masked transformer step, {size} x {TOKENS} tokens, width {config.latent_dim}",
        size,
        "motions",
        lambda: MaskedTransformer(config),
        lambda: [
            torch.randint(config.num_tokens, (size, TOKENS)),
            torch.randn(size, config.cond_dim),
            torch.full((size,), TOKENS),
        ],
        lambda model, batch: model(*batch).loss,
    )


def residual_job(bench: Bench) -> Job:
    """Residual transformer, text condition given."""
    size, config = bench.pick(64, 2), ResidualConfig(**bench.pick({}, TRANSFORMER_QUICK))
    levels = config.num_quantizers
    return Job(
        "residual_train",
        f"residual transformer step, {size} x {TOKENS} x {levels} tokens, width {config.latent_dim}",
        size,
        "motions",
        lambda: ResidualTransformer(config),
        lambda: [
            torch.randint(config.num_tokens, (size, TOKENS, levels)),
            torch.randn(size, config.cond_dim),
            torch.full((size,), TOKENS),
        ],
        lambda model, batch: model(*batch).loss,
    )


def lamp_job(bench: Bench) -> Job:
    """LaMP's Q-Former with its four losses."""
    size, config = bench.pick(8, 2), lamp_config(bench)

    def batch() -> list[Tensor]:
        text = random_text(size, config.vocab_size)
        return [
            torch.randn(size, TOKENS, config.motion_width),
            torch.full((size,), TOKENS),
            torch.randint(config.nb_code, (size, TOKENS)),
            text.input_ids,
            text.attention_mask,
            torch.arange(size),
        ]

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        features, lengths, codes, ids, mask, motions = batch
        return model(LaMPBatch(features, lengths, codes, TextBatch(ids, mask), motions)).loss

    return Job(
        "lamp_train",
        f"LaMP Q-Former step, four losses, {config.num_layers} layers {config.hidden_size} wide, batch {size}",
        size,
        "pairs",
        lambda: LaMP(config),
        batch,
        loss,
    )


def captioner_job(bench: Bench) -> Job:
    """The captioner's GPT behind queries that are given."""
    size, config = bench.pick(64, 2), CaptionerConfig(**bench.pick({}, CAPTIONER_QUICK))

    def batch() -> list[Tensor]:
        text = random_text(size, config.vocab_size)
        return [torch.randn(size, config.num_queries, config.query_dim), text.input_ids, text.attention_mask]

    return Job(
        "captioner_train",
        f"captioner step, {size} captions, {config.num_layers} layers {config.embed_dim} wide",
        size,
        "captions",
        lambda: Captioner(config),
        batch,
        lambda model, batch: model(batch[0], TextBatch(batch[1], batch[2])).loss,
    )
