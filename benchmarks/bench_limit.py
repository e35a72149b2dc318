"""How near encoding comes to what the machine can do: its work in GFLOP, beside plain matrix products in the same run.

python -m benchmarks.bench_limit

The column "items a second" is GFLOPS. Work is what the plain networks multiply and add, counted by PyTorch for one text
or motion: where ours needs fewer products for the same result, its GFLOPS count what it saved, too.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench_lamp import motion_encoding, text_encoding
from benchmarks.bench_tokenizer import encoding
from benchmarks.common import Bench, Part, run_script
from benchmarks.training import TEXT_TOKENS, lamp_config
from lamp.models.fast import disabled
from lamp.utils.errors import main_with_errors

SIDE = 2520
"""Rows and columns of matrices whose product takes 32 GFLOP."""
Encoding = Callable[[int], Callable[[], object]]
"""What makes, of a number of texts or motions, the function that encodes them."""


def gflop(encode: Encoding) -> float:
    """Work for one text or motion; that for many is as many times as much, since nothing is padded."""
    with disabled():
        run = encode(1)
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def product(bench: Bench, rows: int, inner: int, columns: int, times: int) -> Callable[[], Tensor]:
    """Plain products of two matrices."""
    left, right = bench.random(rows, inner), bench.random(inner, columns)
    result = left @ right

    def run() -> Tensor:
        for _ in range(times):
            torch.mm(left, right, out=result)
        return result

    return run


def product_part(bench: Bench, key: str, rows: int, inner: int, columns: int) -> Part:
    """As many products as take about 100 GFLOP, at least one."""
    each = 2e-9 * rows * inner * columns
    times = bench.pick(max(1, round(100 / each)), 1)
    title = f"{times} plain products of {rows:,} x {inner:,} by {inner:,} x {columns:,}"
    return Part(key, title, max(1, round(times * each)), "GFLOP", partial(product, bench, rows, inner, columns, times))


def parts(bench: Bench) -> list[Part]:
    """Products of large matrices and of the Q-Former's, then the encoders."""
    config, count, frames = lamp_config(bench), bench.pick(32, 2), bench.pick(196, 16)
    side, rows = bench.pick(SIDE, 64), count * TEXT_TOKENS
    motions = bench.pick(64, 2)
    encoders: dict[str, tuple[str, int, Encoding]] = {
        "limit_text": (f"Q-Former text encoding, {count} texts", count, partial(text_encoding, bench)),
        "limit_motion": (
            f"Q-Former motion encoding, {count} motions, tokenizer's encoder included",
            count,
            partial(motion_encoding, bench, frames=frames),
        ),
        "limit_vq": (f"RVQ-VAE encode, {motions} motions", motions, partial(encoding, bench, frames=frames)),
    }
    found = [
        product_part(bench, "limit_large", side, side, side),
        product_part(bench, "limit_same", rows, config.hidden_size, config.intermediate_size),
    ]
    for key, (title, size, encode) in encoders.items():
        work = size * gflop(encode)
        title = f"{title}, {work:.1f} GFLOP"
        found.append(Part(key, title, max(1, round(work)), "GFLOP", partial(encode, size)))
    return found


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_limit", parts)


if __name__ == "__main__":
    main()
