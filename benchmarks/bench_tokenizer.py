"""Motion tokenizer (RVQ-VAE): training step and encoding.

python -m benchmarks.bench_tokenizer
python -m benchmarks.bench_tokenizer --grow --json tokenizer_growth.json
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.common import Bench, Part, run_script
from benchmarks.machine import thread_counts
from benchmarks.training import FEATURES, tokenizer_config, training_step, vq_job
from lamp.models.fast import speed_up
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import main_with_errors


def encoding(bench: Bench, motions: int, frames: int) -> Callable[[], object]:
    """Motions to codes."""
    model = speed_up(RVQVAE(tokenizer_config(bench)).to(bench.device).eval())
    motion = bench.random(motions, frames, FEATURES)
    return torch.inference_mode()(lambda: model.encode(motion))


def encoding_part(bench: Bench, key: str, motions: int, frames: int, axis: str = "", value: int = 0) -> Part:
    """Encoding as a part."""
    title = f"RVQ-VAE encode, {motions} motions of {frames} frames" + (f", {value} threads" * (axis == "threads"))
    return Part(key, title, motions, "motions", partial(encoding, bench, motions, frames), axis=axis, value=value)


def parts(bench: Bench) -> list[Part]:
    """Training step and encoding."""
    job = vq_job(bench)
    return [
        Part(job.key, job.title, job.items, job.unit, partial(training_step, job, bench.device)),
        encoding_part(bench, "vq_encode", bench.pick(64, 2), bench.pick(196, 16)),
    ]


def growth(bench: Bench) -> list[Part]:
    """Encoding over batch, length and threads."""
    size, frames = bench.pick(64, 2), bench.pick(196, 16)
    batches, lengths = bench.pick([1, 4, 16, 64, 256], [1, 2]), bench.pick([24, 48, 96, 196], [8, 16])
    found = [encoding_part(bench, f"vq_encode_batch_{n}", n, frames, "batch", n) for n in batches]
    found += [encoding_part(bench, f"vq_encode_length_{n}", size, n, "length", n) for n in lengths]
    return found + [encoding_part(bench, f"vq_encode_threads_{n}", size, frames, "threads", n) for n in thread_counts()]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_tokenizer", parts, growth)


if __name__ == "__main__":
    main()
