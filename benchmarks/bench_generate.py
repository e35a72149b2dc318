"""Text embedding to joints: masked transformer (10 steps, guidance 4), residual transformer (guidance 5), decoding.

python -m benchmarks.bench_generate
python -m benchmarks.bench_generate --grow --json generate_growth.json
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.common import Bench, Part, run_script
from benchmarks.machine import thread_counts
from benchmarks.training import TRANSFORMER_QUICK, tokenizer_config
from lamp.models.fast.int8 import is_exact
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import main_with_errors

COND_DIM = 768


class GivenCondition:
    """Text embeddings that are there already."""

    dim, words, identity = COND_DIM, False, "given"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Random vectors (B, dim), the same for the same number of texts."""
        return torch.randn(len(texts), COND_DIM, generator=torch.Generator().manual_seed(0)).to(self.device)


def random_pipeline(bench: Bench, precision: str) -> LaMPPipeline:
    """The pipeline of published sizes with random weights."""
    sizes = bench.pick({}, TRANSFORMER_QUICK) | {"cond_dim": COND_DIM}
    models = RVQVAE(tokenizer_config(bench)), MaskedTransformer(MaskedConfig(**sizes))
    tokenizer, masked = (model.to(bench.device).eval() for model in models)
    residual = ResidualTransformer(ResidualConfig(**sizes)).to(bench.device).eval()
    return LaMPPipeline(tokenizer, GivenCondition(bench.device), masked, residual).with_precision(precision)


def generation(bench: Bench, prompts: int, frames: int, precision: str = "float32") -> Callable[[], object]:
    """The pipeline on some prompts at once."""
    pipe = random_pipeline(bench, precision)
    texts = [f"a person does thing {index}" for index in range(prompts)]
    return lambda: pipe(texts, frames, time_steps=10, cond_scale=4.0, res_cond_scale=5.0, batch_size=prompts)


def generation_part(
    bench: Bench, key: str, prompts: int, frames: int, axis: str = "", value: int = 0, precision: str = "float32"
) -> Part:
    """Generation as a part."""
    title = f"text embedding to joints, {prompts} of {frames} frames" + (f", {value} threads" * (axis == "threads"))
    title += f", transformers in {precision}" * (precision != "float32")
    prepare = partial(generation, bench, prompts, frames, precision)
    return Part(key, title, prompts, "motions", prepare, axis=axis, value=value)


def parts(bench: Bench) -> list[Part]:
    """One prompt, and many in a batch."""
    frames, many = bench.pick(196, 24), bench.pick(32, 2)
    kinds = {"": "float32", "_bf16": "bfloat16"}
    if bench.device.type == "cpu" and is_exact():
        kinds["_int8"] = "int8"
    return [
        generation_part(bench, f"generate_{name}{suffix}", prompts, frames, precision=precision)
        for suffix, precision in kinds.items()
        for name, prompts in ((1, 1), (32, many))
    ]


def growth(bench: Bench) -> list[Part]:
    """Over batch, length and threads."""
    frames = bench.pick(196, 24)
    batches, lengths = bench.pick([1, 2, 4, 8, 16, 32, 64], [1, 2]), bench.pick([24, 48, 96, 144, 196], [24, 28])
    found = [generation_part(bench, f"generate_batch_{n}", n, frames, "batch", n) for n in batches]
    found += [generation_part(bench, f"generate_length_{n}", 1, n, "length", n) for n in lengths]
    size = bench.pick(8, 1)
    return found + [
        generation_part(bench, f"generate_threads_{n}", size, frames, "threads", n) for n in thread_counts()
    ]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_generate", parts, growth)


if __name__ == "__main__":
    main()
