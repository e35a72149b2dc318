"""Train the evaluators that FID and R-precision need (Guo et al. 2022): a movement auto-encoder, then text and motion.

HumanML3D on one GPU:

    python train_evaluator.py --name evaluator --gpu_id 0 --dataset_name t2m

The shipped evaluator, on a laptop's CPU:

    python train_evaluator.py --config options/mini/evaluator.json

Several GPUs: `accelerate launch train_evaluator.py ...`. Resume: add `--is_continue`.
"""

import dataclasses

from torch import Tensor, nn

from lamp.data.draws import TestDraws
from lamp.data.loaders import load_stats, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import get_spec
from lamp.models.evaluator import Evaluator, pair_loss
from lamp.options.evaluator import EvaluatorOptions
from lamp.stages.evaluator import load_words, train_movement
from lamp.stages.loading import loading, resumed_stats
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.processes import world_size
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.evaluation import Judge, quick_scores


@main_with_errors
def main() -> None:
    """Options, data, movement auto-encoder, text and motion encoder."""
    options = parse(EvaluatorOptions)
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    stats = resumed_stats(options, Evaluator) or load_stats(spec).with_feature_bias(spec.layout, options.feat_bias)
    words = load_words(options, spec)
    config = dataclasses.replace(
        options.model,
        input_width=spec.feature_dim,
        max_frames=spec.max_frames,
        word_vectors=words.source,
        num_words=len(words.words),
    )
    movement = train_movement(options, spec, stats, config, device)
    if movement is None:
        return
    seed_everything(options.seed)
    model = Evaluator(config)
    model.set_words(words)
    stats.put_into(model)
    model.movement_encoder.load_state_dict(movement.state_dict())
    model.movement_encoder.requires_grad_(False)
    train = text_loader(spec, "train", stats=stats, **loading(options, spec, device))
    draws = TestDraws(spec, "val", seed=options.seed)

    def step(module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        pairs = module(batch.motion, batch.lengths, model.read_texts(batch.tokens))
        shift = None if options.all_negatives else 1 + trainer.draw(world_size() * len(batch) - 1)
        pull, push = pair_loss(pairs, batch.motion_ids, options.margin, shift)
        return {"loss": pull + push, "pull": pull, "push": push}

    def evaluate(module: Evaluator, epoch: int) -> dict[str, float]:
        # Real motions, by the protocol of the test.
        scores = quick_scores(draws, Judge(module), lambda batch, seeds: batch.motion, seed=options.seed)
        return {key: scores[key] for key in ("R@1", "R@3", "MM-Dist")}

    optimizer = adamw([p for p in model.parameters() if p.requires_grad], options.lr, betas=(0.9, 0.999))
    resumable = options.is_continue and (options.space / "state").is_dir()
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=dataclasses.replace(options, is_continue=resumable),
        step=step,
        evaluate=evaluate,
        best={"R@1": "max"},
    )
    trainer.fit(train)


if __name__ == "__main__":
    main()
