"""Train the length estimator: how long is the motion that a sentence asks for?

python train_length_estimator.py --name length_estimator --dataset_name t2m --vq_name vq_name --lamp_name lamp_name
python train_length_estimator.py --config options/mini/length.json
"""

import torch
from torch import Tensor

from data.motion import TextMotionBatch
from models.t2m.length import LengthConfig, LengthEstimator
from options.t2m import LengthOptions
from train_t2m_transformer import load_frozen, make_evaluation, make_loaders
from utils.cli import parse, print_options
from utils.errors import main_with_errors
from utils.schedule import warmup_multistep
from utils.seed import seed_everything
from utils.trainer import Trainer


@main_with_errors
def main() -> None:
    """Options, frozen text encoder, data, model, loop."""
    options = parse(LengthOptions)
    print_options(options)
    seed_everything(options.seed)
    tokenizer, text = load_frozen(options)
    train, validation = make_loaders(options, tokenizer)
    model = LengthEstimator(LengthConfig(cond_dim=text.dim))

    def step(estimator: LengthEstimator, batch: TextMotionBatch) -> dict[str, Tensor]:
        tokens = batch.lengths // tokenizer.config.frames_per_token
        output = estimator(text(batch.captions), tokens)
        return {"loss": output.loss, "accuracy": output.accuracy}

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=options.weight_decay
    )
    trainer = Trainer(
        model,
        optimizer,
        scheduler=warmup_multistep(optimizer, options.warm_up_iter, options.milestones, options.gamma),
        options=options,
        step=step,
        evaluate=make_evaluation(step, validation, tokenizer.device),
        best={"loss": "min"},
    )
    trainer.fit(train, train.sampler.set_epoch)


if __name__ == "__main__":
    main()
