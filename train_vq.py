"""Train the motion tokenizer (RVQ-VAE), the first stage.

HumanML3D on one GPU:

    python train_vq.py --name vq_name --gpu_id 0 --dataset_name t2m --batch_size 256 --max_epoch 50 \
        --quantize_dropout_prob 0.2 --gamma 0.05

The shipped model, on a laptop's CPU:

    python train_vq.py --config options/mini/vq.json

Several GPUs: `accelerate launch train_vq.py ...`. Resume: add `--is_continue`.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from lamp.data.draws import TestDraws
from lamp.data.loaders import Stats, TextLoader, evaluation_loader, load_stats, tokenizer_loader
from lamp.data.motion import MotionBatch, TextMotionBatch
from lamp.data.spec import get_spec
from lamp.models.checkpoints import start_from
from lamp.models.evaluator import optional_evaluator
from lamp.models.fast import speed_up
from lamp.models.vq.losses import FURTHER_LOSSES, reconstruction_loss
from lamp.models.vq.model import RVQVAE
from lamp.options.vq import VQOptions
from lamp.stages.loading import loading, resumed_stats
from lamp.stages.pages.animations import Animations
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Evaluate, Step, Trainer
from lamp.utils.scores.evaluation import Judge, quick_scores
from lamp.utils.scores.reconstruction import evaluate_reconstruction


def make_step(options: VQOptions, layout: FeatureLayout) -> Step[MotionBatch]:
    """Loss of one batch of windows."""
    weights = options.loss_weights

    def step(model: nn.Module, batch: MotionBatch) -> dict[str, Tensor]:
        output = model(batch.motion, batch.lengths)
        inside = torch.arange(batch.motion.shape[1], device=batch.motion.device) < batch.lengths[:, None]
        loss = reconstruction_loss(
            output.recon,
            batch.motion,
            inside,
            layout.positions,
            kind=options.recons_loss,
            position_weight=options.loss_vel,
        )
        further = {name: FURTHER_LOSSES[name](output.recon, batch.motion, inside) for name in weights}
        total = loss.total + options.commit * output.commit_loss
        return {
            "loss": total + sum(weights[name] * value for name, value in further.items()),
            "features": loss.features,
            "positions": loss.positions,
            "commit": output.commit_loss,
            "perplexity": output.perplexity.nanmean(),
            **further,
        }

    return step


def reconstruct(model: RVQVAE, batch: TextMotionBatch, seeds: list[int]) -> Tensor:
    """Features (B, T, D) of motions encoded and decoded."""
    return model.reconstruct(batch.motion, batch.lengths)


def make_evaluation(
    loader: TextLoader, millimetres: float, judged: tuple[TestDraws, Judge] | None, seed: int
) -> Evaluate[RVQVAE]:
    """Reconstruction of whole validation motions, and where they are judged its FID and R-precision."""

    def evaluate(model: RVQVAE, epoch: int) -> dict[str, float]:
        def roundtrip(motion: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            output = model(motion, lengths)
            return output.recon, output.codes

        result = evaluate_reconstruction(
            loader, roundtrip, model.denormalize, model.config.nb_code, millimetres, model.device
        )
        levels = {f"usage_{q}": value for q, value in enumerate(result.usage)}
        levels |= {f"perplexity_{q}": value for q, value in enumerate(result.perplexity)}
        scores = {} if judged is None else quick_scores(*judged, partial(reconstruct, model), seed=seed)
        return {"mpjpe": result.mpjpe, "drift": result.drift, **scores, **levels}

    return evaluate


@main_with_errors
def main() -> None:
    """Options, data, model, loop."""
    options = parse(VQOptions)
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    config = replace(options.model, input_width=spec.feature_dim, quantize_dropout_prob=options.quantize_dropout_prob)
    model = speed_up(RVQVAE(config))
    if options.start_from:
        start_from(model, root / options.start_from)
        stats = Stats.of(model)
        if options.freeze_codes:
            model.freeze_codes()
    else:
        stats = load_stats(spec).with_feature_bias(spec.layout, options.feat_bias)
    stats = resumed_stats(options, RVQVAE) or stats
    stats.put_into(model)
    loader = tokenizer_loader(
        spec,
        "train",
        stats=stats,
        window=options.window_size,
        epoch_size=options.epoch_size or None,
        **loading(options, spec, device),
    )
    validation = evaluation_loader(spec, "val", batch_size=64, stats=stats)
    evaluator = optional_evaluator(root, options.evaluator, spec.feature_dim, device)
    judged = None if evaluator is None else (TestDraws(spec, "val", seed=options.seed), Judge(evaluator))
    optimizer = adamw(model.parameters(), options.lr, weight_decay=options.weight_decay)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=options,
        step=make_step(options, spec.layout),
        evaluate=make_evaluation(validation, spec.skeleton.millimetres, judged, options.seed),
        best={"mpjpe": "min", "fid": "min"} if judged else {"mpjpe": "min"},
        animation=Animations(options, spec, reconstruct, "reconstructed") if options.animate_every_e else None,
    )
    trainer.fit(loader)


if __name__ == "__main__":
    main()
