"""LaMP's Q-Former: training step with all four losses, and encoding of texts and motions.

python -m benchmarks.bench_lamp
python -m benchmarks.bench_lamp --small
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.common import Bench, Part, run_script
from benchmarks.training import (
    FEATURES,
    TEXT_TOKENS,
    lamp_config,
    lamp_job,
    random_text,
    tokenizer_config,
    training_step,
)
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import main_with_errors


def text_encoding(bench: Bench, texts: int) -> Callable[[], object]:
    """Word pieces to joint embeddings."""
    lamp = speed_up(LaMP(lamp_config(bench)).to(bench.device).eval().requires_grad_(False))
    text = random_text(texts, lamp.config.vocab_size).to(bench.device)
    return torch.inference_mode()(lambda: lamp.encode_text(text).embedding)


def motion_encoding(bench: Bench, motions: int, frames: int) -> Callable[[], object]:
    """Motion features to joint embeddings, through the tokenizer's encoder."""
    lamp = speed_up(LaMP(lamp_config(bench)).to(bench.device).eval().requires_grad_(False))
    tokenizer = speed_up(RVQVAE(tokenizer_config(bench)).to(bench.device).eval())
    motion = bench.random(motions, frames, FEATURES)
    return torch.inference_mode()(lambda: lamp.encode_motion(tokenizer.encode_features(motion)).embeddings)


def parts(bench: Bench) -> list[Part]:
    """A training step, and both encoders for one and many."""
    job, published = lamp_job(bench), not bench.settings.small
    prepare: Callable[[], Callable[[], object]] = partial(training_step, job, bench.device)
    found = [Part(job.key, job.title, job.items, job.unit, prepare, published=published)]
    frames, counts = bench.pick(196, 16), ((1, "1"), (bench.pick(32, 2), "32"))
    for count, key in counts:
        prepare = partial(text_encoding, bench, count)
        title = f"Q-Former text encoding, {count} of {TEXT_TOKENS} word pieces"
        found.append(Part(f"text_encode_{key}", title, count, "texts", prepare, published=published))
    for count, key in counts:
        prepare = partial(motion_encoding, bench, count, frames)
        title = f"Q-Former motion encoding, {count} of {frames} frames, tokenizer's encoder included"
        found.append(Part(f"motion_encode_{key}", title, count, "motions", prepare, published=published))
    return found


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_lamp", parts)


if __name__ == "__main__":
    main()
