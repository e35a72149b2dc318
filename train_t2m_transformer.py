"""Train a generator over motion tokens: the masked transformer (base level) or the residual transformer (the others).

    python train_t2m_transformer.py --name mtrans_name --gpu_id 0 --dataset_name t2m --batch_size 64 --vq_name vq_name
    python train_t2m_transformer.py --transformer residual --name rtrans_name --dataset_name t2m --vq_name vq_name

The shipped models, on a laptop's CPU:

    python train_t2m_transformer.py --config options/mini/masked.json
    python train_t2m_transformer.py --config options/mini/residual.json

Several GPUs: `accelerate launch train_t2m_transformer.py ...`. Resume: add `--is_continue`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from lamp.data.draws import TestDraws
from lamp.data.loaders import Stats, evaluation_loader, has_features, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import start_from
from lamp.models.evaluator import optional_evaluator
from lamp.models.fast import speed_up
from lamp.models.lineage import built_on
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.text_condition import CachedCondition
from lamp.models.vq.model import RVQVAE
from lamp.options.t2m import T2MOptions
from lamp.stages.generators import codes_of, generate, load_frozen, validation_means
from lamp.stages.loading import loading
from lamp.stages.pages.animations import Animations
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.compiling import compiled
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Step, Trainer
from lamp.utils.scores.evaluation import Judge, quick_scores

Transformer = MaskedTransformer | ResidualTransformer


def build_model(options: T2MOptions, tokenizer: RVQVAE, cond_dim: int) -> Transformer:
    """The transformer that `options` describe."""
    sizes: dict[str, Any] = {
        "num_tokens": tokenizer.config.nb_code,
        "code_dim": options.token_dim,
        "latent_dim": options.latent_dim,
        "ff_size": options.ff_size,
        "num_layers": options.n_layers,
        "num_heads": options.n_heads,
        "dropout": options.dropout,
        "cond_dim": cond_dim,
        "cond_drop_prob": options.cond_drop_prob,
        "condition": options.condition,
    }
    if options.transformer == "masked":
        return speed_up(MaskedTransformer(MaskedConfig(**sizes, attention=options.attention)))
    levels = tokenizer.config.num_quantizers
    config = ResidualConfig(**sizes, num_quantizers=levels, share_weight=options.share_weight)
    return speed_up(ResidualTransformer(config))


def make_step(options: T2MOptions, tokenizer: RVQVAE, text: CachedCondition) -> Step[TextMotionBatch]:
    """Loss of one batch: motions to tokens, captions to conditions, both frozen."""
    encode = compiled(tokenizer.encode, options.compile)

    def step(model: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        codes = codes_of(batch, encode)
        if options.transformer == "masked":
            codes = codes[..., 0]
        tokens = batch.lengths // tokenizer.config.frames_per_token
        output = model(codes, text(batch.captions), tokens, keys=batch.keys)
        return {"loss": output.loss, "accuracy": output.accuracy}

    return step


def judged_by(
    options: T2MOptions, spec: DatasetSpec, tokenizer: RVQVAE, text: CachedCondition
) -> Callable[[Transformer], dict[str, float]] | None:
    """What gives FID and R-precision of generated validation motions; None without an evaluator or real motions."""
    root = options.checkpoints_dir / options.dataset_name
    evaluator = optional_evaluator(root, options.evaluator, spec.feature_dim, tokenizer.device)
    if evaluator is None or not has_features(spec):
        return None
    draws, judge = TestDraws(spec, "val", seed=options.seed), Judge(evaluator)

    def scores(model: Transformer) -> dict[str, float]:
        return quick_scores(draws, judge, partial(generate, model, tokenizer, text), seed=options.seed)

    return scores


@main_with_errors
def main() -> None:
    """Options, frozen models, model, data, loop."""
    options = parse(T2MOptions)
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    tokenizer, text = load_frozen(options, spec, device)
    model = build_model(options, tokenizer, text.dim)
    if options.start_from:
        start_from(model, options.checkpoints_dir / options.dataset_name / options.start_from)
    step, scores = make_step(options, tokenizer, text), judged_by(options, spec, tokenizer, text)
    stats = Stats.of(tokenizer)
    train = text_loader(spec, "train", stats=stats, tokens=True, **loading(options, spec, device))
    validation = evaluation_loader(spec, "val", batch_size=options.batch_size, stats=stats, tokens=True)

    def evaluate(module: Transformer, epoch: int) -> dict[str, float]:
        losses = validation_means(step, module, validation, device)
        return losses if scores is None else losses | scores(module)

    def make(module: Transformer, batch: TextMotionBatch, seeds: list[int]) -> Tensor:
        return generate(module, tokenizer, text, batch, seeds)

    optimizer = adamw(model.parameters(), options.lr, weight_decay=options.weight_decay)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=options,
        step=step,
        evaluate=evaluate,
        best={"loss": "min"} if scores is None else {"loss": "min", "fid": "min"},
        animation=Animations(options, spec, make, "generated") if options.animate_every_e else None,
        meta=built_on(tokenizer=tokenizer, text_encoder=text),
    )
    trainer.fit(train)


if __name__ == "__main__":
    main()
