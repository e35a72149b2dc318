"""Metrics of the evaluation on embeddings of HumanML3D's test set: FID, R-precision, diversity.

python -m benchmarks.bench_metrics
"""

import numpy as np

from benchmarks.common import Bench, Part, run_script
from lamp.utils.errors import main_with_errors
from lamp.utils.scores.metrics import diversity, fid, r_precision

POOL = 32
WIDTH = 512


def parts(bench: Bench) -> list[Part]:
    """One part a metric."""
    count = bench.pick(4600, 128)
    texts = bench.random(count, WIDTH)
    motions = texts + bench.random(1, WIDTH)
    pools, pairs = count // POOL, bench.pick(300, 20)
    pooled = [values[: pools * POOL].unflatten(0, (pools, POOL)) for values in (texts, motions)]
    rows = {
        "fid": (f"FID, {count:,} x {WIDTH}", lambda: fid(texts, motions)),
        "r_precision_pools": (f"R-precision, {pools} pools of {POOL}", lambda: r_precision(*pooled)),
        "r_precision_full": (f"R-precision, one pool of {count:,}", lambda: r_precision(texts, motions)),
        "diversity": (
            f"diversity, {pairs} pairs of {count:,}",
            lambda: diversity(motions, pairs, np.random.RandomState(0)),
        ),
    }
    return [
        Part(key, title, count, "motions", lambda function=function: function)
        for key, (title, function) in rows.items()
    ]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_metrics", parts)


if __name__ == "__main__":
    main()
