"""Train the length estimator: how long is the motion that a sentence asks for?

python train_length_estimator.py --name length_estimator --dataset_name t2m --vq_name vq_name --lamp_name lamp_name
python train_length_estimator.py --config options/mini/length.json
"""

from torch import Tensor, nn

from lamp.data.loaders import Stats, evaluation_loader, text_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import get_spec
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.options.t2m import LengthOptions
from lamp.stages.generators import load_frozen, validation_means
from lamp.stages.loading import loading
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.optim import adamw
from lamp.utils.run.schedule import warmup_multistep
from lamp.utils.run.seed import seed_everything
from lamp.utils.run.trainer import Trainer


@main_with_errors
def main() -> None:
    """Options, frozen text encoder, model, data, loop."""
    options = parse(LengthOptions)
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    tokenizer, text = load_frozen(options, spec, device)
    model = LengthEstimator(LengthConfig(cond_dim=text.dim, condition=options.condition))
    stats = Stats.of(tokenizer)
    train = text_loader(spec, "train", stats=stats, tokens=True, **loading(options, spec, device))
    validation = evaluation_loader(spec, "val", batch_size=options.batch_size, stats=stats, tokens=True)

    def step(module: nn.Module, batch: TextMotionBatch) -> dict[str, Tensor]:
        output = module(text(batch.captions), batch.lengths // tokenizer.config.frames_per_token)
        return {"loss": output.loss, "accuracy": output.accuracy}

    def evaluate(module: LengthEstimator, epoch: int) -> dict[str, float]:
        return validation_means(step, module, validation, device)

    optimizer = adamw(model.parameters(), options.lr, weight_decay=options.weight_decay)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=options,
        step=step,
        evaluate=evaluate,
        best={"loss": "min"},
    )
    trainer.fit(train)


if __name__ == "__main__":
    main()
