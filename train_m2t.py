"""Train the captioner: LaMP's motion queries in front of a language model (LaMP, section 3.4).

    python train_m2t.py --name m2t_name --dataset_name t2m --lamp_name lamp_name --batch_size 64

Any language model of the transformers library instead of a small GPT from scratch, the paper's with LoRA:

    python train_m2t.py --name m2t_opt --llm facebook/opt-2.7b --finetune lora --llm_dtype bfloat16 --lr 1e-4

The shipped model, on a laptop's CPU:

    python train_m2t.py --config options/mini/m2t.json

Several GPUs: `accelerate launch train_m2t.py ...`. Resume: add `--is_continue`.
"""

import dataclasses

import torch
from torch import Tensor, nn

from lamp.data.loaders import Stats, evaluation_loader, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import model_folder
from lamp.models.lamp.model import LaMP
from lamp.models.lineage import built_on
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.queries import LaMPCaptioner, MotionQueries, freeze_unused
from lamp.models.vq.model import RVQVAE
from lamp.options.m2t import M2TOptions
from lamp.stages.captioner import create_captioner, find_tokenizer, save
from lamp.stages.captioner_validation import (
    ENCODE_BATCH,
    Validation,
    encode_all,
    encode_batches,
    evaluate_captions,
    show_captions,
)
from lamp.stages.loading import loading
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw, parameter_groups
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer


class Recipe:
    """What a training step and an evaluation do, for a frozen LaMP and for one that is trained along.

    The queries of a frozen LaMP are computed once, those of training motions unless `--augment` crops them anew; where
    they are too many to be kept, they are computed for each batch.

    Args:
        options: of the run.
        queries: tokenizer and LaMP.
        captioner: what is trained.
        spec: the data.
    """

    def __init__(self, options: M2TOptions, queries: MotionQueries, captioner: Captioner, spec: DatasetSpec) -> None:
        self.options, self.queries, self.captioner = options, queries, captioner
        stats, device = Stats.of(queries.tokenizer), queries.lamp.device
        how = loading(options, spec, device)
        self.loader = text_loader(spec, "train", stats=stats, augment=options.augment, **how)
        loader = evaluation_loader(spec, "val", batch_size=ENCODE_BATCH, stats=stats)
        self.validation = Validation.of(spec, loader)
        self.known: Tensor | None = None
        self.known_validation: Tensor | None = None
        if not options.train_lamp:
            self.known_validation = encode_all(queries, loader, "validation")
            if not options.augment:
                how |= {"batch_size": ENCODE_BATCH, "workers": 0}
                in_order = text_loader(spec, "train", stats=stats, augment=False, shuffle=False, drop_last=False, **how)
                known = encode_all(queries, in_order, "training")
                self.known = None if known is None else known.to(device)

    def model(self) -> Captioner | LaMPCaptioner:
        """What the trainer trains."""
        if not self.options.train_lamp:
            return self.captioner
        freeze_unused(self.queries.lamp)
        return LaMPCaptioner(self.captioner, self.queries.lamp)

    def step(self, module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        """Loss of a batch."""
        text = self.captioner.read(batch.captions)
        if self.options.train_lamp:
            features = self.queries.features(batch.motion, batch.lengths)
            output = module(features, self.queries.tokens(batch.lengths), text, batch.keys)
        elif self.known is not None:
            output = module(self.known[batch.sample_ids].float(), text, batch.keys)
        else:
            with torch.no_grad():
                queries = self.queries(batch.motion, batch.lengths)
            output = module(queries, text, batch.keys)
        return {"loss": output.loss, "accuracy": output.accuracy}

    def evaluate(self, module: Captioner | LaMPCaptioner) -> tuple[dict[str, float], list[str]]:
        """Scores and captions of the validation motions."""
        captioner = module.captioner if isinstance(module, LaMPCaptioner) else module
        lamp = module.lamp if isinstance(module, LaMPCaptioner) else self.queries.lamp
        if self.known_validation is not None:
            parts = iter(self.known_validation.split(ENCODE_BATCH))
        else:
            queries = MotionQueries(self.queries.tokenizer, lamp)
            parts = (found for _, found in encode_batches(queries, self.validation.loader, "validation"))
        return evaluate_captions(captioner, parts, self.validation)


@main_with_errors
def main() -> None:
    """Options, frozen models, data, model, loop."""
    options = parse(M2TOptions)
    options = dataclasses.replace(options, vq_name=find_tokenizer(options))
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    tokenizer = RVQVAE.from_pretrained(model_folder(root / options.vq_name), device=device).requires_grad_(False)
    lamp = LaMP.from_pretrained(model_folder(root / options.lamp_name), device=device).requires_grad_(False)
    recipe = Recipe(options, MotionQueries(tokenizer, lamp), create_captioner(options, lamp, spec), spec)

    def evaluate(module: Captioner | LaMPCaptioner, epoch: int) -> dict[str, float]:
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
        meta=built_on(tokenizer=tokenizer) if options.train_lamp else built_on(tokenizer=tokenizer, lamp=lamp),
    )
    trainer.fit(recipe.loader)


if __name__ == "__main__":
    main()
