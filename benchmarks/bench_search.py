"""Time and recall of a library's search among very many vectors.

    python -m benchmarks.bench_search --motions my_captures --count 1000000 --width 512

The recipe: the real embeddings of the segments (LaMP of the shipped models, 256 numbers) are taken to `--width`
by one random matrix with orthonormal columns. Each is repeated as often as needed, with noise of length 0.35 added, and
of length 1 again. So every vector has real neighbours and a crowd of near ones. Queries are 200 further such vectors.
Recall@10 is the share of the exact ten nearest (by float16 vectors) that the index finds.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from lamp.library.indexing import index, open_store
from lamp.library.nearest import NearestIndex, exact
from lamp.library.reader import MotionReader

NOISE = 0.35
QUERIES = 200


def real_embeddings(folder: Path, work: Path) -> np.ndarray:
    """(N, W) embeddings of a folder's segments."""
    reader = MotionReader()
    store = open_store(work / "library", folder, reader)
    index(store, reader)
    return np.array(store.array("pooled"), dtype=np.float32)


def crowd(real: np.ndarray, count: int, draws: np.random.Generator) -> np.ndarray:
    """(count, W) perturbed vectors of length 1, float32."""
    vectors = real[draws.integers(len(real), size=count)]
    vectors += draws.normal(size=vectors.shape).astype(np.float32) * np.float32(NOISE / real.shape[1] ** 0.5)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    """Build, search, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motions", type=Path, required=True, help="folder of motion files")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        work, draws = Path(place), np.random.default_rng(0)
        real = real_embeddings(options.motions, work)
        wide = np.linalg.qr(draws.normal(size=(options.width, real.shape[1])))[0].astype(np.float32)
        real = real @ wide.T
        vectors = np.memmap(work / "pooled.f16", np.float16, "w+", shape=(options.count, options.width))
        for start in range(0, options.count, 100_000):
            stop = min(start + 100_000, options.count)
            vectors[start:stop] = crowd(real, stop - start, draws)
        queries = crowd(real, QUERIES, draws)
        began = time.perf_counter()
        found = NearestIndex(work / "nearest", vectors)
        found.build()
        built = time.perf_counter() - began
        size = sum(path.stat().st_size for path in (work / "nearest").iterdir())
        found.search(queries[0], 10)
        times, hits = [], 0
        for query in queries:
            began = time.perf_counter()
            rows = found.search(query, 10)
            times.append(time.perf_counter() - began)
            hits += len({*rows} & {*exact(vectors, query, 10)})
        milliseconds = np.percentile(np.array(times) * 1000, [50, 95])
        print(
            f"{options.count} vectors of width {options.width} from {len(real)} real ones: built in {built:.0f} s, "
            f"{size / 1e6:.0f} MB; a query {milliseconds[0]:.1f} ms (95 %: {milliseconds[1]:.1f}); "
            f"recall@10 {hits / QUERIES / 10:.3f}"
        )


if __name__ == "__main__":
    main()
