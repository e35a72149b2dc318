"""Train LaMP, the language-motion model: contrastive, matching, captioning and motion-code losses (LaMP, section 3.2).

HumanML3D on one GPU:

    python train_lamp.py --name lamp_name --gpu_id 0 --dataset_name t2m --batch_size 64 --vq_name vq_name

The shipped model, on a laptop's CPU:

    python train_lamp.py --config options/mini/lamp.json

Several GPUs: `accelerate launch train_lamp.py ...`. Resume: add `--is_continue`.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from lamp.data.frames import motions_device
from lamp.data.loaders import Stats, evaluation_loader, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import get_spec
from lamp.models.checkpoints import model_folder
from lamp.models.fast import speed_up
from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.lamp.init import config_for_bert, initialize_from_bert
from lamp.models.lamp.model import LaMP, LaMPBatch, LaMPConfig, LaMPOutput
from lamp.models.lamp.text import TextTokenizer
from lamp.models.vq.model import RVQVAE
from lamp.options.lamp import LaMPOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_cosine
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.retrieval import label_pools, retrieval_scores

EVALUATION_DRAWS = 20
_FROM_BERT = ("vocab_size", "hidden_size", "num_heads", "intermediate_size", "max_positions")


def build_model(options: LaMPOptions, tokenizer: RVQVAE) -> LaMP:
    """LaMP for this tokenizer, its language side from `--bert`."""
    motion = {"motion_width": tokenizer.config.code_dim, "nb_code": tokenizer.config.nb_code}
    if options.bert == "none":
        words = TextTokenizer(options.vocab.read_text(encoding="utf-8").split("\n"))
        model = speed_up(LaMP(dataclasses.replace(options.model, vocab_size=len(words), **motion)))
        model.tokenizer = words
        return model
    chosen = {
        field.name: getattr(options.model, field.name)
        for field in dataclasses.fields(LaMPConfig)
        if field.name not in _FROM_BERT
    }
    model = speed_up(LaMP(config_for_bert(options.bert, **(chosen | motion))))
    report = initialize_from_bert(model, options.bert, selection=options.bert_layers)
    print(f"language side from {report.source}, layers {report.layers}, {report.words} words")
    return model


def make_batch(model: LaMP, tokenizer: RVQVAE, batch: TextMotionBatch) -> LaMPBatch:
    """What LaMP sees of a batch: features and base codes of the frozen tokenizer, caption ids."""
    with torch.no_grad():
        features = tokenizer.encode_features(batch.motion, batch.lengths)
        tokens = batch.lengths // tokenizer.config.frames_per_token
        codes = tokenizer.quantizer.encode(features, tokens)[..., 0]
    text = model.tokenizer(batch.captions, model.config.max_text_length).to(batch.motion.device)
    return LaMPBatch(features, tokens, codes, text, batch.motion_ids)


def evaluate_retrieval(embedder: LaMPEmbedder, loader: Any) -> dict[str, float]:
    """Retrieval among labels (or clips) of a loader's data, both ways."""
    pairs = embedder.pairs(loader)
    pools = list(label_pools(loader.dataset.motion_ids, EVALUATION_DRAWS, seed=0))
    scores = retrieval_scores(embedder.similarity(pairs.texts, pairs.motions), pools)
    flat = {f"{way}_{key}": value for way, values in scores.items() for key, value in values.items()}
    return {"R@1": (scores["t2m"]["R@1"] + scores["m2t"]["R@1"]) / 2, **flat}


def draw_weights(weights: dict[str, float]) -> dict[str, float]:
    """Keep the contrastive loss and, at random, one of the other three at three times its weight."""
    others = [name for name in weights if name != "contrastive"]
    chosen = others[int(torch.randint(len(others), ()))]
    kept = {name: len(others) * weights[name] if name == chosen else 0.0 for name in others}
    return {"contrastive": weights["contrastive"], **kept}


def scalars(output: LaMPOutput, weights: dict[str, float]) -> dict[str, Tensor]:
    """Losses and accuracies of what was computed."""
    left_out = {name for name, weight in weights.items() if not weight}
    if "matching" in left_out:
        left_out.add("matching_accuracy")
    return {f.name: getattr(output, f.name) for f in dataclasses.fields(output) if f.name not in left_out}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights with decay; biases, norms and single vectors without."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


@main_with_errors
def main() -> None:
    """Options, frozen tokenizer, data, model, loop."""
    options = parse(LaMPOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    space = options.checkpoints_dir / options.dataset_name / options.vq_name
    tokenizer = RVQVAE.from_pretrained(model_folder(space), device=device).requires_grad_(False)
    stats = Stats.of(tokenizer)
    train = text_loader(
        spec,
        "train",
        batch_size=options.batch_size,
        stats=stats,
        captions="random" if options.random_captions else "first",
        seed=options.seed,
        workers=options.num_workers,
        device=motions_device(spec, device, choice=options.data_on_gpu, workers=options.num_workers),
    )
    validation = evaluation_loader(spec, "val", batch_size=64, stats=stats)
    model = build_model(options, tokenizer)
    model.former.word_embedding.weight.requires_grad_(not options.freeze_words)

    def step(module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        weights = draw_weights(model.loss_weights) if options.alternate_losses else model.loss_weights
        output = module(make_batch(model, tokenizer, batch), weights)
        return scalars(output, weights)

    def evaluate(module: LaMP, epoch: int) -> dict[str, float]:
        return evaluate_retrieval(LaMPEmbedder(module, tokenizer), validation)

    optimizer = adamw(parameter_groups(model, options.weight_decay), options.lr)
    total = options.max_iter or len(train) * options.max_epoch
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
    )
    trainer.fit(train, train.sampler.set_epoch)


if __name__ == "__main__":
    main()
