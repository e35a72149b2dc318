"""Train the captioner: LaMP's motion queries in front of a language model (LaMP, section 3.4).

    python train_m2t.py --name m2t_name --dataset_name t2m --lamp_name lamp_name --batch_size 64

Any language model of the transformers library instead of a small GPT from scratch, the paper's with LoRA:

    python train_m2t.py --name m2t_opt --llm facebook/opt-2.7b --finetune lora --llm_dtype bfloat16 --lr 1e-4

The shipped model, on a laptop's CPU:

    python train_m2t.py --config options/mini/m2t.json

Several GPUs: `accelerate launch train_m2t.py ...`. Resume: add `--is_continue`.
"""

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from lamp.data.cache import open_cache
from lamp.data.frames import motions_device
from lamp.data.loaders import Stats, evaluation_loader, load_split, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.fast import speed_up
from lamp.models.hub import CONFIG_FILE
from lamp.models.lamp.model import LaMP
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.language import GPT, checkpoint_gradients
from lamp.models.m2t.pipeline import LAMP_FOLDER
from lamp.models.m2t.queries import LaMPCaptioner, MotionQueries, freeze_unused
from lamp.models.m2t.vocabulary import WordPieceVocabulary
from lamp.models.vq.model import RVQVAE
from lamp.options.m2t import M2TOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.captions import caption_scores
from train_lamp import parameter_groups

SHOWN = 6
"""Validation captions shown at each evaluation."""
ENCODE_BATCH = 64


def say(line: str) -> None:
    """Print a line, in the first process only."""
    if int(os.environ.get("RANK", 0)) == 0:
        print(line, flush=True)


def find_tokenizer(options: M2TOptions) -> str:
    """Name of the tokenizer that LaMP was trained with; one line on flags that this makes meaningless.

    Raises:
        UserError: `--vq_name` is another tokenizer.
    """
    root = options.checkpoints_dir / options.dataset_name
    trained = read_run_options(root / options.lamp_name)["vq_name"]
    idle = options.without_effect
    if options.vq_name not in ("", trained):
        if (root / options.vq_name).is_dir():
            raise UserError(
                f"--vq_name {options.vq_name}: LaMP {options.lamp_name} was trained with the tokenizer {trained}; "
                "leave --vq_name out, or name another LaMP by --lamp_name"
            )
        idle = [f"--vq_name {options.vq_name}", *idle]
    if idle:
        say(
            f"note: without effect here: {', '.join(idle)}; LaMP {options.lamp_name} brings its tokenizer, {trained}, "
            f"and the run is written to {options.space}"
        )
    return trained


def training_captions(spec: DatasetSpec, names: list[str]) -> list[str]:
    """Every caption of some clips."""
    captions = open_cache(spec).captions
    return [caption.text for name in names for caption in captions[name]]


def build_model(options: M2TOptions, lamp: LaMP, captions: list[str]) -> Captioner:
    """The captioner that `options` describe, or the one that --resume_trans names."""
    if options.resume_trans:
        folder = Path(options.resume_trans)
        if not (folder / CONFIG_FILE).is_file():
            folder = model_folder(options.checkpoints_dir / options.dataset_name / options.resume_trans)
        say(f"starting from the captioner {folder}, whose sizes count")
        return Captioner.from_pretrained(folder)
    config = dataclasses.replace(
        options.model, query_dim=lamp.config.hidden_size, num_queries=lamp.config.num_query_tokens
    )
    words = lamp.tokenizer
    if config.llm == GPT and options.words == "used":
        words = WordPieceVocabulary(words).used_in(captions).tokenizer
    model = speed_up(Captioner.create(config, words))
    if options.init_words == "lamp":
        model.start_words(lamp.tokenizer, lamp.former.word_embedding.weight)
    if options.gradient_checkpointing:
        checkpoint_gradients(model.language)
    return model


def encode_all(queries: MotionQueries, loader: DataLoader, what: str) -> Tensor:
    """Queries (N, nq, H) of every sample of an unshuffled loader, in float16 on the CPU."""
    lamp, table = queries.lamp, None
    device = lamp.device
    for batch in tqdm(loader, desc=f"queries of {what} motions", unit="batch", disable=None):
        with torch.inference_mode():
            values = queries(batch.motion.to(device), batch.lengths.to(device)).half().cpu()
        if table is None:
            table = torch.empty(len(loader.dataset), *values.shape[1:], dtype=torch.float16)
        table[batch.sample_ids] = values
    return table


@dataclass
class Validation:
    """Motions to be described and the true captions of each.

    Attributes:
        loader: whole motions in order.
        references: captions of each motion.
        names: clip ids.
    """

    loader: DataLoader
    references: list[list[str]]
    names: list[str]

    @classmethod
    def of(cls, spec: DatasetSpec, loader: DataLoader) -> "Validation":
        """Collect the captions of a loader's motions."""
        known, references, names = open_cache(spec).captions, [], []
        for batch in loader:
            for name, first in zip(batch.names, batch.captions, strict=True):
                whole = [caption.text for caption in known[name] if caption.whole]
                references.append(whole if first in whole else [first])
                names.append(name)
        return cls(loader, references, names)


def plain(text: str) -> str:
    """Lower-case words of a caption, which is what its score should depend on."""
    return " ".join(re.findall(r"[\w'-]+", text.lower()))


def evaluate_captions(
    captioner: Captioner, table: Tensor, validation: Validation, batch_size: int
) -> tuple[dict[str, float], list[str]]:
    """Loss on the first true captions, scores of greedy captions against all of them, and those captions.

    Args:
        captioner: in eval mode.
        table: queries (N, nq, H) of the validation motions.
        validation: true captions.
        batch_size: motions at a time.
    """
    captions: list[str] = []
    loss = 0.0
    for start in tqdm(range(0, len(table), batch_size), desc="captions", leave=False, disable=None):
        part = slice(start, start + batch_size)
        queries = table[part].to(captioner.device).float()
        first = [texts[0] for texts in validation.references[part]]
        text = captioner.vocabulary(first, captioner.config.block_size).to(captioner.device)
        loss += captioner(queries, text).loss.item() * len(queries)
        captions += [one for (one,) in captioner.caption(queries, num_beams=1)]
    truth = [[plain(text) for text in texts] for texts in validation.references]
    scores = caption_scores([plain(text) for text in captions], truth)
    results = {key: getattr(scores, key) for key in ("cider", "bleu4", "rouge_l")}
    return {"loss": loss / len(table), **results}, captions


def show_captions(trainer: Trainer, validation: Validation, captions: list[str]) -> None:
    """Some captions with true ones, spread over the validation motions, in the log and in TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    rows = []
    for i in range(0, len(captions), max(1, len(captions) // SHOWN))[:SHOWN]:
        rows.append(f"{validation.names[i]}: {captions[i]} (true: {validation.references[i][0]})")
    trainer.log.info("\n".join(rows))
    # The trainer's own events lie beside, in logs/: two writers in one folder would be taken for one run.
    with SummaryWriter(str(trainer.space / "logs" / "captions")) as writer:
        writer.add_text("captions", "  \n".join(rows), trainer.progress.iteration)


class Recipe:
    """What a training step and an evaluation do, for a frozen LaMP and for one that is trained along.

    Args:
        options: of the run.
        queries: tokenizer and LaMP.
        captioner: what is trained.
        spec: the data.
    """

    def __init__(self, options: M2TOptions, queries: MotionQueries, captioner: Captioner, spec: DatasetSpec) -> None:
        self.options, self.queries, self.captioner = options, queries, captioner
        stats, device = Stats.of(queries.tokenizer), queries.lamp.device
        common = {
            "batch_size": options.batch_size,
            "stats": stats,
            "augment": options.augment,
            "device": motions_device(spec, device, choice=options.data_on_gpu, workers=options.num_workers),
        }
        self.loader = text_loader(spec, "train", seed=options.seed, workers=options.num_workers, **common)
        loader = evaluation_loader(spec, "val", batch_size=ENCODE_BATCH, stats=stats)
        self.validation = Validation.of(spec, loader)
        self.known = self.known_validation = None
        if not options.train_lamp:
            self.known_validation = encode_all(queries, loader, "validation")
            if not options.augment:
                common |= {"batch_size": ENCODE_BATCH, "shuffle": False, "drop_last": False}
                in_order = text_loader(spec, "train", **common)
                self.known = encode_all(queries, in_order, "training").to(device)

    def model(self) -> nn.Module:
        """What the trainer trains."""
        if not self.options.train_lamp:
            return self.captioner
        freeze_unused(self.queries.lamp)
        return LaMPCaptioner(self.captioner, self.queries.lamp)

    def step(self, module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        """Loss of a batch."""
        text = self.captioner.vocabulary(batch.captions, self.captioner.config.block_size).to(batch.motion.device)
        if self.options.train_lamp:
            features = self.queries.features(batch.motion, batch.lengths)
            output = module(features, self.queries.tokens(batch.lengths), text)
        elif self.known is not None:
            output = module(self.known[batch.sample_ids].float(), text)
        else:
            with torch.no_grad():
                queries = self.queries(batch.motion, batch.lengths)
            output = module(queries, text)
        return {"loss": output.loss, "accuracy": output.accuracy}

    def evaluate(self, module: nn.Module) -> tuple[dict[str, float], list[str]]:
        """Scores and captions of the validation motions."""
        if not self.options.train_lamp:
            return evaluate_captions(module, self.known_validation, self.validation, ENCODE_BATCH)
        table = encode_all(MotionQueries(self.queries.tokenizer, module.lamp), self.validation.loader, "validation")
        return evaluate_captions(module.captioner, table, self.validation, ENCODE_BATCH)


def save(module: nn.Module, folder: Path, meta: dict[str, Any]) -> None:
    """Write the captioner, and below it the LaMP that was trained with it."""
    if isinstance(module, LaMPCaptioner):
        module.captioner.save_pretrained(folder, meta=meta)
        module.lamp.save_pretrained(folder / LAMP_FOLDER, meta=meta)
    else:
        module.save_pretrained(folder, meta=meta)


@main_with_errors
def main() -> None:
    """Options, frozen models, data, model, loop."""
    options = parse(M2TOptions)
    options = dataclasses.replace(options, vq_name=find_tokenizer(options))
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    tokenizer = RVQVAE.from_pretrained(model_folder(root / options.vq_name), device=device).requires_grad_(False)
    lamp = LaMP.from_pretrained(model_folder(root / options.lamp_name), device=device).requires_grad_(False)
    captioner = build_model(options, lamp, training_captions(spec, load_split(spec, "train")))
    recipe = Recipe(options, MotionQueries(tokenizer, lamp), captioner, spec)

    def evaluate(module: nn.Module, epoch: int) -> dict[str, float]:
        results, captions = recipe.evaluate(module)
        if trainer.main:
            show_captions(trainer, recipe.validation, captions)
        return results

    model = recipe.model()
    optimizer = adamw(parameter_groups(model, options.weight_decay), options.lr)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=options,
        step=recipe.step,
        evaluate=evaluate,
        best={"cider": "max"},
        save=save,
    )
    trainer.fit(recipe.loader, recipe.loader.sampler.set_epoch)


if __name__ == "__main__":
    main()
