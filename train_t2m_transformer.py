"""Train a generator over motion tokens: the masked transformer (base level) or the residual transformer (the others).

    python train_t2m_transformer.py --name mtrans_name --gpu_id 0 --dataset_name t2m --batch_size 64 --vq_name vq_name
    python train_t2m_transformer.py --transformer residual --name rtrans_name --dataset_name t2m --vq_name vq_name

The shipped models, on a laptop's CPU:

    python train_t2m_transformer.py --config options/mini/masked.json
    python train_t2m_transformer.py --config options/mini/residual.json

Several GPUs: `accelerate launch train_t2m_transformer.py ...`. Resume: add `--is_continue`.
"""

from typing import Any

import torch
from torch import Tensor

from lamp.data.draws import TestDraws
from lamp.data.frames import motions_device
from lamp.data.loaders import Stats, evaluation_loader, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import get_spec
from lamp.models.checkpoints import model_folder
from lamp.models.evaluator import optional_evaluator
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.text_condition import CachedCondition, ClipCondition, LaMPCondition
from lamp.models.vq.model import RVQVAE
from lamp.options.t2m import GeneratorOptions, T2MOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.compiling import compiled
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.evaluation import Judge, quick_scores


def load_frozen(options: GeneratorOptions) -> tuple[RVQVAE, CachedCondition]:
    """The tokenizer and the text encoder that a generator is trained on, on the training device."""
    device = resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    tokenizer = RVQVAE.from_pretrained(model_folder(root / options.vq_name), device=device).requires_grad_(False)
    if options.text_encoder == "clip":
        return tokenizer, CachedCondition(ClipCondition(options.clip_source, device))
    lamp = LaMP.from_pretrained(model_folder(root / options.lamp_name), device=device)
    return tokenizer, CachedCondition(LaMPCondition(lamp))


def make_loaders(options: GeneratorOptions, tokenizer: RVQVAE) -> tuple[Any, Any]:
    """Training and validation pairs, normalised as the tokenizer wants them."""
    spec = get_spec(options.dataset_name, options.data_root)
    stats = Stats.of(tokenizer)
    train = text_loader(
        spec,
        "train",
        batch_size=options.batch_size,
        stats=stats,
        seed=options.seed,
        workers=options.num_workers,
        device=motions_device(spec, tokenizer.device, choice=options.data_on_gpu, workers=options.num_workers),
    )
    return train, evaluation_loader(spec, "val", batch_size=options.batch_size, stats=stats)


def build_model(options: T2MOptions, tokenizer: RVQVAE, cond_dim: int) -> MaskedTransformer | ResidualTransformer:
    """The transformer that `options` describe."""
    common = {
        "num_tokens": tokenizer.config.nb_code,
        "code_dim": options.token_dim,
        "latent_dim": options.latent_dim,
        "ff_size": options.ff_size,
        "num_layers": options.n_layers,
        "num_heads": options.n_heads,
        "dropout": options.dropout,
        "cond_dim": cond_dim,
        "cond_drop_prob": options.cond_drop_prob,
    }
    if options.transformer == "masked":
        return speed_up(MaskedTransformer(MaskedConfig(**common, attention=options.attention)))
    levels = tokenizer.config.num_quantizers
    config = ResidualConfig(**common, num_quantizers=levels, share_weight=options.share_weight)
    return speed_up(ResidualTransformer(config))


def make_step(tokenizer: RVQVAE, text: CachedCondition, base_only: bool, compiler: str = "no") -> Any:
    """Loss of one batch: motions to tokens, captions to conditions, both frozen; `compiler` as `--compile`."""
    encode = compiled(tokenizer.encode, compiler)

    def step(model: torch.nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        with torch.no_grad():
            codes = encode(batch.motion, batch.lengths)
        condition = text(batch.captions)
        tokens = batch.lengths // tokenizer.config.frames_per_token
        output = model(codes[..., 0] if base_only else codes, condition, tokens)
        return {"loss": output.loss, "accuracy": output.accuracy}

    return step


class BaseGenerator:
    """Motions of the masked transformer alone: its base-level tokens, decoded by themselves (as MoMask validates)."""

    def __init__(self, model: MaskedTransformer, tokenizer: RVQVAE, text: CachedCondition) -> None:
        self.model, self.tokenizer, self.text = model, tokenizer, text

    @torch.inference_mode()
    def __call__(self, batch: TextMotionBatch, seeds: list[int]) -> Tensor:
        """Features (B, T, D) for the captions, as long as the real motions."""
        tokens = batch.lengths.to(self.tokenizer.device) // self.tokenizer.config.frames_per_token
        codes = self.codes(batch, tokens, seeds)
        return self.tokenizer.denormalize(self.tokenizer.decode(codes, tokens))

    def codes(self, batch: TextMotionBatch, tokens: Tensor, seeds: list[int]) -> Tensor:
        """Codes (B, n, Q') to decode."""
        return self.model.generate(self.text(batch.captions), tokens, seeds=seeds)[..., None]


class ResidualGenerator(BaseGenerator):
    """Motions of the residual transformer on the real motions' base-level tokens (as MoMask validates)."""

    def codes(self, batch: TextMotionBatch, tokens: Tensor, seeds: list[int]) -> Tensor:
        """Codes (B, n, Q) to decode."""
        motion = self.tokenizer.normalize(batch.motion.to(self.tokenizer.device))
        base = self.tokenizer.encode(motion, batch.lengths.to(motion.device))[..., 0]
        return self.model.generate(base, self.text(batch.captions), tokens, seeds=seeds)


def make_evaluation(step: Any, loader: Any, device: torch.device, scores: Any = None) -> Any:
    """Loss and accuracy on validation data, with the same random masks every time.

    Args:
        step: gives loss and accuracy of a batch.
        loader: validation data.
        device: of the model.
        scores: `scores(model)` gives further numbers.
    """

    def evaluate(model: torch.nn.Module, epoch: int) -> dict[str, float]:
        totals: dict[str, Tensor] = {}
        count = 0
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for batch in loader:
                for key, value in step(model, batch.to(device)).items():
                    totals[key] = totals.get(key, 0.0) + value * len(batch)
                count += len(batch)
        losses = {key: (value / count).item() for key, value in totals.items()}
        return losses | (scores(model) if scores else {})

    return evaluate


def make_scores(options: T2MOptions, tokenizer: RVQVAE, text: CachedCondition) -> Any:
    """FID and R-precision of generated validation motions; None without an evaluator."""
    spec = get_spec(options.dataset_name, options.data_root)
    root = options.checkpoints_dir / options.dataset_name
    evaluator = optional_evaluator(root, options.evaluator, spec.feature_dim, tokenizer.device)
    if evaluator is None:
        return None
    draws, judge = TestDraws(spec, "val", seed=options.seed), Judge(evaluator)
    kind = BaseGenerator if options.transformer == "masked" else ResidualGenerator
    return lambda model: quick_scores(draws, judge, kind(model, tokenizer, text), seed=options.seed)


def train_on_text(
    options: GeneratorOptions,
    model: torch.nn.Module,
    step: Any,
    loaders: tuple[Any, Any],
    device: torch.device,
    scores: Any = None,
) -> None:
    """Train a model whose step gives loss and accuracy; the best are those of the lowest validation loss and FID."""
    train, validation = loaders
    optimizer = adamw(model.parameters(), options.lr, weight_decay=options.weight_decay)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=options,
        step=step,
        evaluate=make_evaluation(step, validation, device, scores),
        best={"loss": "min"} | ({"fid": "min"} if scores else {}),
    )
    trainer.fit(train, train.sampler.set_epoch)


@main_with_errors
def main() -> None:
    """Options, frozen models, data, model, loop."""
    options = parse(T2MOptions)
    print_options(options)
    seed_everything(options.seed)
    tokenizer, text = load_frozen(options)
    model = build_model(options, tokenizer, text.dim)
    step = make_step(tokenizer, text, base_only=options.transformer == "masked", compiler=options.compile)
    scores = make_scores(options, tokenizer, text)
    train_on_text(options, model, step, make_loaders(options, tokenizer), tokenizer.device, scores)


if __name__ == "__main__":
    main()
