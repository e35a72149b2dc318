"""Train the length estimator: how long is the motion that a sentence asks for?

python train_length_estimator.py --name length_estimator --dataset_name t2m --vq_name vq_name --lamp_name lamp_name
python train_length_estimator.py --config options/mini/length.json
"""

from torch import Tensor

from lamp.data.motion import TextMotionBatch
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.options.t2m import LengthOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.run.seed import seed_everything
from train_t2m_transformer import load_frozen, make_loaders, train_on_text


@main_with_errors
def main() -> None:
    """Options, frozen text encoder, data, model, loop."""
    options = parse(LengthOptions)
    print_options(options)
    seed_everything(options.seed)
    tokenizer, text = load_frozen(options)
    model = LengthEstimator(LengthConfig(cond_dim=text.dim))

    def step(estimator: LengthEstimator, batch: TextMotionBatch) -> dict[str, Tensor]:
        tokens = batch.lengths // tokenizer.config.frames_per_token
        output = estimator(text(batch.captions), tokens)
        return {"loss": output.loss, "accuracy": output.accuracy}

    train_on_text(options, model, step, make_loaders(options, tokenizer), tokenizer.device)


if __name__ == "__main__":
    main()
