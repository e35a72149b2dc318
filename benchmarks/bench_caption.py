"""Motion to text: captions of one motion from its queries, with language models of two sizes.

python -m benchmarks.bench_caption
"""

import itertools
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.common import Bench, Part, run_script
from lamp.models.fast import speed_up
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.decoding import Written, write_beams, write_greedy
from lamp.models.m2t.language import CaptionerConfig
from lamp.utils.errors import main_with_errors

SIZES = {"small": (4, 512, 8), "large": (18, 1024, 16)}
WAYS = ((1, torch.float32), (1, torch.bfloat16), (5, torch.float32))
NO_END = -1


def captions(
    bench: Bench, config: CaptionerConfig, tokens: int, dtype: torch.dtype, beams: int
) -> Callable[[], object]:
    """A caption that never ends early, so that every run writes as many tokens."""
    captioner = speed_up(Captioner(config).to(bench.device).eval())
    captioner.language.to(dtype)
    queries = bench.random(1, config.num_queries, config.query_dim)
    common = {"end_id": NO_END, "pad_id": 0, "max_length": tokens}

    def write() -> Written:
        writer = captioner.writer(captioner.prefix(queries))
        if beams == 1:
            return write_greedy(writer, **common)
        return write_beams(writer, num_beams=beams, captions=1, length_penalty=1.0, **common)

    return torch.inference_mode()(write)


def parts(bench: Bench) -> list[Part]:
    """Two sizes, two lengths, two precisions, and the beam search that users get by default."""
    found = []
    for size, (layers, width, heads) in SIZES.items():
        if size == "large" and bench.settings.small:
            continue
        full = {"num_layers": layers, "embed_dim": width, "num_heads": heads}
        quick = {"num_layers": 1, "embed_dim": 32, "num_heads": 2, "vocab_size": 100}
        config = CaptionerConfig(**bench.pick(full, quick))
        for tokens, (beams, dtype) in itertools.product((51, 32), WAYS):
            written, key = bench.pick(tokens, 4), f"caption_{size}_{tokens}"
            title = f"motion to text, {written} tokens, {config.num_layers} layers {config.embed_dim} wide, "
            title += "greedy" if beams == 1 else f"{beams} beams"
            if beams > 1:
                key += "_beams"
            if dtype is torch.bfloat16:
                key, title = f"{key}_bf16", f"{title}, bfloat16"
            # Tiny sizes are alike.
            title += f" ({size}, {tokens})" if bench.settings.quick else ""
            found.append(Part(key, title, written, "tokens", partial(captions, bench, config, written, dtype, beams)))
    return found


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_caption", parts)


if __name__ == "__main__":
    main()
