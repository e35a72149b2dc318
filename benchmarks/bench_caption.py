"""Motion to text: greedy captions of one motion from its queries, with language models of two sizes.

python -m benchmarks.bench_caption
"""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.common import Bench, Part, run_script
from models.m2t.captioner import Captioner
from models.m2t.decoding import write_greedy
from models.m2t.language import CaptionerConfig
from utils.errors import main_with_errors

SIZES = {"small": (4, 512, 8), "large": (18, 1024, 16)}
NO_END = -1


def greedy(bench: Bench, config: CaptionerConfig, tokens: int) -> Callable[[], object]:
    """A caption that never ends early, so that every run writes as many tokens."""
    captioner = Captioner(config).to(bench.device).eval()
    queries = bench.random(1, config.num_queries, config.query_dim)
    return torch.inference_mode()(
        lambda: write_greedy(captioner.language, captioner.prefix(queries), end_id=NO_END, pad_id=0, max_length=tokens)
    )


def parts(bench: Bench) -> list[Part]:
    """Two sizes, two lengths."""
    found = []
    for size, (layers, width, heads) in SIZES.items():
        if size == "large" and bench.settings.small:
            continue
        full = {"num_layers": layers, "embed_dim": width, "num_heads": heads}
        quick = {"num_layers": 1, "embed_dim": 32, "num_heads": 2, "vocab_size": 100}
        config = CaptionerConfig(**bench.pick(full, quick))
        for tokens in (51, 32):
            written = bench.pick(tokens, 4)
            title = f"motion to text, greedy {written} tokens, {config.num_layers} layers {config.embed_dim} wide"
            # Tiny sizes are alike.
            title += f" ({size}, {tokens})" if bench.settings.quick else ""
            prepare = partial(greedy, bench, config, written)
            found.append(Part(f"caption_{size}_{tokens}", title, written, "tokens", prepare))
    return found


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_caption", parts)


if __name__ == "__main__":
    main()
