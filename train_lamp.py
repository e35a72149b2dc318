"""Train LaMP, the language-motion model: contrastive, matching, captioning and motion-code losses (LaMP, section 3.2).

HumanML3D on one GPU:

    python train_lamp.py --name lamp_name --gpu_id 0 --dataset_name t2m --batch_size 64 --vq_name vq_name

The shipped model, on a laptop's CPU:

    python train_lamp.py --config options/mini/lamp.json

Several GPUs: `accelerate launch train_lamp.py ...`. Resume: add `--is_continue`.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lamp.data.loaders import Stats, evaluation_loader, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import get_spec
from lamp.models.checkpoints import model_folder
from lamp.models.lamp.create import create_lamp, freeze_unused
from lamp.models.lamp.embedder import LaMPEmbedder, require_fit
from lamp.models.lamp.model import LaMP, LaMPBatch, LaMPOutput
from lamp.models.lineage import built_on
from lamp.models.vq.model import RVQVAE
from lamp.options.lamp import LaMPOptions
from lamp.stages.loading import loading
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import launched_processes
from lamp.utils.run.optim import adamw, parameter_groups
from lamp.utils.run.schedule import sharded_batches, total_iterations, warmup_cosine
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.retrieval import validation_recall


def make_batch(model: LaMP, tokenizer: RVQVAE, batch: TextMotionBatch) -> LaMPBatch:
    """What LaMP sees of a batch: features and base codes of the frozen tokenizer, caption ids."""
    with torch.no_grad():
        features = tokenizer.encode_features(batch.motion, batch.lengths)
        tokens = batch.lengths // tokenizer.config.frames_per_token
        codes = tokenizer.quantizer.encode(features, tokens)[..., 0]
    return LaMPBatch(features, tokens, codes, model.tokenize(batch.captions), batch.motion_ids, batch.keys)


def draw_weights(weights: dict[str, float], draw: Callable[[int], int]) -> dict[str, float]:
    """Keep the contrastive loss and, at random, one of the other three at three times its weight."""
    others = [name for name in weights if name != "contrastive"]
    chosen = others[draw(len(others))]
    kept = {name: len(others) * weights[name] if name == chosen else 0.0 for name in others}
    return {"contrastive": weights["contrastive"], **kept}


def scalars(output: LaMPOutput, weights: dict[str, float]) -> dict[str, Tensor]:
    """Losses and accuracies of what was computed."""
    left_out = {name for name, weight in weights.items() if not weight}
    if "matching" in left_out:
        left_out.add("matching_accuracy")
    return {f.name: getattr(output, f.name) for f in dataclasses.fields(output) if f.name not in left_out}


@main_with_errors
def main() -> None:
    """Options, frozen tokenizer, data, model, loop."""
    options = parse(LaMPOptions)
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    space = options.checkpoints_dir / options.dataset_name / options.vq_name
    tokenizer = RVQVAE.from_pretrained(model_folder(space), device=device).requires_grad_(False)
    stats = Stats.of(tokenizer)
    train = text_loader(
        spec,
        "train",
        stats=stats,
        captions="random" if options.random_captions else "first",
        **loading(options, spec, device),
    )
    validation = evaluation_loader(spec, "val", batch_size=64, stats=stats)
    if options.start_from:
        space = options.checkpoints_dir / options.dataset_name / options.start_from
        model = LaMP.from_pretrained(model_folder(space), device=device)
        require_fit(model, tokenizer)
    else:
        model = create_lamp(
            options.model, tokenizer.config, options.bert, vocab=options.vocab, layers=options.bert_layers
        )
    model.former.word_embedding.weight.requires_grad_(not options.freeze_words)
    freeze_unused(model)

    def step(module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        weights = draw_weights(model.loss_weights, trainer.draw) if options.alternate_losses else model.loss_weights
        output = module(make_batch(model, tokenizer, batch), weights)
        return scalars(output, weights)

    def evaluate(module: LaMP, epoch: int) -> dict[str, float]:
        embedder = LaMPEmbedder(module, tokenizer)
        pairs = embedder.pairs(validation)
        return validation_recall(embedder.similarity(pairs.texts, pairs.motions), validation.dataset.motion_ids)

    optimizer = adamw(parameter_groups(model, options.weight_decay), options.lr)
    total = total_iterations(
        sharded_batches(len(train), launched_processes(), train.drop_last),
        epochs=options.max_epoch,
        accumulation=options.gradient_accumulation_steps,
        max_iter=options.max_iter,
    )
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_cosine(
            optimizer,
            total,
            min(options.warm_up_iter, total // 2),
            options.start_lr / options.lr,
            options.min_lr / options.lr,
        ),
        options=options,
        step=step,
        evaluate=evaluate,
        best={"R@1": "max"},
        meta=built_on(tokenizer=tokenizer),
    )
    trainer.fit(train)


if __name__ == "__main__":
    main()
