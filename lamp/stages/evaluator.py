"""What the evaluators' training begins with: word vectors, and the movement auto-encoder (Guo et al. 2022)."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamp.data.cache import open_cache
from lamp.data.loaders import Stats, tokenizer_loader
from lamp.data.motion import MotionBatch
from lamp.data.spec import DatasetSpec
from lamp.models.checkpoints import model_folder
from lamp.models.evaluator import EvaluatorConfig, MovementAutoencoder, MovementEncoder
from lamp.models.words import HASHED, WordVectors, read_glove, read_our_vab
from lamp.options.evaluator import EvaluatorOptions
from lamp.stages.loading import loading
from lamp.utils.run.optim import adamw
from lamp.utils.run.processes import mean_over_processes
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.trainer import Step, Trainer

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


def movement_step(options: EvaluatorOptions) -> Step[MotionBatch]:
    """L1 distance of windows and their reconstruction, and how large and how fast-changing the movement vectors are."""

    def step(model: nn.Module, batch: MotionBatch) -> dict[str, Tensor]:
        movements, recon = model(batch.motion)
        valid = torch.arange(batch.motion.shape[1], device=recon.device) < batch.lengths[:, None]
        distance = F.l1_loss(recon, batch.motion[..., : recon.shape[-1]], reduction="none")[valid]
        loss = distance.sum() / (mean_over_processes(valid.sum()) * recon.shape[-1])
        sparsity, smooth = movements.abs().mean(), F.l1_loss(movements[:, 1:], movements[:, :-1])
        total = loss + options.lambda_sparsity * sparsity + options.lambda_smooth * smooth
        return {"loss": total, "recon": loss, "sparsity": sparsity, "smooth": smooth}

    return step


def train_movement(
    options: EvaluatorOptions, spec: DatasetSpec, stats: Stats, config: EvaluatorConfig, device: torch.device
) -> MovementEncoder | None:
    """Train the movement auto-encoder in `<space>/movement`, or resume it there.

    Args:
        options: of the run; those called `movement_...` are this part's.
        spec: data set.
        stats: normalisation.
        config: sizes of the evaluators.
        device: where to train.

    Returns:
        The best encoder, or None if training was interrupted.
    """
    space = options.space / MOVEMENT
    part = dataclasses.replace(
        options,
        batch_size=options.movement_batch_size,
        max_epoch=options.movement_epoch,
        grad_clip=0.0,
        eval_every_e=max(options.movement_epoch // 10, 1),
    )
    train, validation = (
        tokenizer_loader(
            spec,
            split,
            stats=stats,
            window=options.movement_window,
            shuffle=split == "train",
            epoch_size=(options.movement_epoch_size or None) if split == "train" else None,
            **loading(part, spec, device),
        )
        for split in ("train", "val")
    )

    step = movement_step(options)

    def evaluate(model: MovementAutoencoder, epoch: int) -> dict[str, float]:
        losses = [step(model, batch.to(model.device))["recon"] for batch in validation]
        return {"recon": torch.stack(losses).mean().item()}

    model = MovementAutoencoder(config)
    optimizer = adamw(model.parameters(), options.lr, betas=(0.9, 0.999))
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, [], options.gamma),
        options=part,
        step=step,
        evaluate=evaluate,
        best={"recon": "min"},
        space=space,
    )
    if not trainer.fit(train).finished:
        return None
    return MovementAutoencoder.from_pretrained(model_folder(space)).encoder
