"""Train the evaluators that FID and R-precision need (Guo et al. 2022): a movement auto-encoder, then text and motion.

HumanML3D on one GPU:

    python train_evaluator.py --name evaluator --gpu_id 0 --dataset_name t2m

The shipped evaluator, on a laptop's CPU:

    python train_evaluator.py --config options/mini/evaluator.json

Several GPUs: `accelerate launch train_evaluator.py ...`. Resume: add `--is_continue`.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamp.data.cache import open_cache
from lamp.data.draws import TestDraws
from lamp.data.frames import motions_device
from lamp.data.loaders import Stats, load_stats, text_loader, tokenizer_loader
from lamp.data.motion import MotionBatch, TextMotionBatch
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import model_folder
from lamp.models.evaluator import Evaluator, EvaluatorConfig, MovementAutoencoder, pair_loss
from lamp.models.words import HASHED, WordVectors, read_glove, read_our_vab
from lamp.options.evaluator import EvaluatorOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.evaluation import Judge, quick_scores

GLOVE_FOLDER = Path("glove")
MOVEMENT = "movement"


def load_words(options: EvaluatorOptions, spec: DatasetSpec) -> WordVectors:
    """Word vectors by `--glove`, reduced to the words that the data's captions use."""
    source = options.glove
    if source is None and (GLOVE_FOLDER / "our_vab_data.npy").is_file():
        source = GLOVE_FOLDER
    if source is None:
        print("no GloVe vectors given or in ./glove: word vectors are made from letters ('hashed')")
        return WordVectors(HASHED)
    if Path(source).is_dir():
        return read_our_vab(source)
    captions = open_cache(spec).captions.values()
    used = {token.rpartition("/")[0] for clip in captions for caption in clip for token in caption.tokens}
    return read_glove(source, used | {"sos", "eos"})


def held_on(options: EvaluatorOptions, spec: DatasetSpec) -> torch.device | None:
    """The device that holds all motions, if one does."""
    device = resolve_device(options.gpu_id)
    return motions_device(spec, device, choice=options.data_on_gpu, workers=options.num_workers)


def train_movement(options: EvaluatorOptions, spec: DatasetSpec, stats: Stats, config: EvaluatorConfig) -> bool:
    """Train the movement auto-encoder in `<space>/movement`; whether it came to its end."""
    space = options.space / MOVEMENT
    loaders = [
        tokenizer_loader(
            spec,
            split,
            batch_size=options.movement_batch_size,
            stats=stats,
            window=options.movement_window,
            shuffle=split == "train",
            epoch_size=(options.movement_epoch_size or None) if split == "train" else None,
            seed=options.seed,
            workers=options.num_workers,
            device=held_on(options, spec),
        )
        for split in ("train", "val")
    ]

    def step(model: nn.Module, batch: MotionBatch) -> dict[str, Tensor]:
        movements, recon = model(batch.motion)
        valid = torch.arange(batch.motion.shape[1], device=recon.device) < batch.lengths[:, None]
        loss = F.l1_loss(recon[valid], batch.motion[valid][:, : recon.shape[-1]])
        sparsity, smooth = movements.abs().mean(), F.l1_loss(movements[:, 1:], movements[:, :-1])
        total = loss + options.lambda_sparsity * sparsity + options.lambda_smooth * smooth
        return {"loss": total, "recon": loss, "sparsity": sparsity, "smooth": smooth}

    def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
        losses = [step(model, batch.to(model.device))["recon"] for batch in loaders[1]]
        return {"recon": torch.stack(losses).mean().item()}

    part = dataclasses.replace(
        options,
        batch_size=options.movement_batch_size,
        max_epoch=options.movement_epoch,
        grad_clip=0.0,
        eval_every_e=max(options.movement_epoch // 10, 1),
    )
    model = MovementAutoencoder(config)
    optimizer = adamw(model.parameters(), options.lr, betas=(0.9, 0.999))
    schedule = warmup_multistep(optimizer, options.warm_up_iter, [], options.gamma)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=schedule,
        options=part,
        step=step,
        evaluate=evaluate,
        best={"recon": "min"},
        space=space,
    )
    return trainer.fit(loaders[0], loaders[0].sampler.set_epoch).finished


def make_evaluation(spec: DatasetSpec, seed: int) -> Any:
    """R-precision and matching score of real validation motions, by the protocol of the test."""
    draws = TestDraws(spec, "val", seed=seed)

    def evaluate(model: Evaluator, epoch: int) -> dict[str, float]:
        scores = quick_scores(draws, Judge(model), lambda batch, seeds: batch.motion, seed=seed)
        return {key: scores[key] for key in ("R@1", "R@3", "MM-Dist")}

    return evaluate


@main_with_errors
def main() -> None:
    """Options, data, movement auto-encoder, text and motion encoder."""
    options = parse(EvaluatorOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    stats = load_stats(spec).with_feature_bias(spec.layout, options.feat_bias)
    words = load_words(options, spec)
    config = dataclasses.replace(
        options.model,
        input_width=spec.feature_dim,
        max_frames=spec.max_frames,
        word_vectors=words.source,
        num_words=len(words.words),
    )
    if not train_movement(options, spec, stats, config):
        return
    seed_everything(options.seed)
    model = Evaluator(config)
    model.set_words(words)
    model.mean.copy_(stats.mean)
    model.std.copy_(stats.std)
    movement = MovementAutoencoder.from_pretrained(model_folder(options.space / MOVEMENT))
    model.movement_encoder.load_state_dict(movement.encoder.state_dict())
    model.movement_encoder.requires_grad_(False)
    train = text_loader(
        spec,
        "train",
        batch_size=options.batch_size,
        stats=stats,
        seed=options.seed,
        workers=options.num_workers,
        device=held_on(options, spec),
    )

    def step(module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        pairs = module(batch.motion, batch.lengths, model.read_texts(batch.tokens))
        shift = None if options.all_negatives else int(torch.randint(1, len(batch), ()))
        pull, push = pair_loss(pairs, batch.motion_ids, options.margin, shift)
        return {"loss": pull + push, "pull": pull, "push": push}

    optimizer = adamw([p for p in model.parameters() if p.requires_grad], options.lr, betas=(0.9, 0.999))
    resumable = options.is_continue and (options.space / "state").is_dir()
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=dataclasses.replace(options, is_continue=resumable),
        step=step,
        evaluate=make_evaluation(spec, options.seed),
        best={"R@1": "max"},
    )
    trainer.fit(train, train.sampler.set_epoch)


if __name__ == "__main__":
    main()
