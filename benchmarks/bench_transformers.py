"""Training steps of the generators: masked and residual transformer, and LaMP's masked one with its text condition.

python -m benchmarks.bench_transformers
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.common import Bench, Part, run_script
from benchmarks.training import (
    TOKENS,
    TRANSFORMER_QUICK,
    lamp_config,
    masked_job,
    optimizer_of,
    random_text,
    residual_job,
    training_step,
)
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.utils.errors import main_with_errors

LAMP_WIDTH = {"latent_dim": 512, "num_heads": 8}


def lamp_masked(bench: Bench, batch_size: int) -> Callable[[], object]:
    """A step whose captions are new, so that the frozen Q-Former has to read them."""
    lamp = speed_up(LaMP(lamp_config(bench)).to(bench.device).eval().requires_grad_(False))
    sizes = bench.pick(LAMP_WIDTH, TRANSFORMER_QUICK)
    config = MaskedConfig(**sizes, cond_dim=lamp.config.hidden_size)
    model = speed_up(MaskedTransformer(config).to(bench.device).train())
    optimizer = optimizer_of(model)
    text = random_text(batch_size, lamp.config.vocab_size).to(bench.device)
    codes = bench.codes(batch_size, TOKENS, high=config.num_tokens)
    lengths = torch.full((batch_size,), TOKENS, device=bench.device)

    def step() -> None:
        with torch.no_grad():
            condition = lamp.text_condition(text)
        model(codes, condition, lengths).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def parts(bench: Bench) -> list[Part]:
    """Three training steps."""
    jobs = masked_job(bench), residual_job(bench)
    found = [Part(job.key, job.title, job.items, job.unit, partial(training_step, job, bench.device)) for job in jobs]
    size, width = bench.pick(64, 2), bench.pick(LAMP_WIDTH, TRANSFORMER_QUICK)["latent_dim"]
    title = f"LaMP masked transformer step with text condition, {size} x {TOKENS} tokens, width {width}"
    prepare = partial(lamp_masked, bench, size)
    return [*found, Part("lamp_masked_train", title, size, "motions", prepare, published=not bench.settings.small)]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_transformers", parts)


if __name__ == "__main__":
    main()
