"""How hard joints accelerate where motions were joined, and inside: sequences, edits and loops of the shipped models.

python -m benchmarks.seams
python -m benchmarks.seams --candidates 1
"""

import argparse
import itertools
from collections.abc import Iterator

import numpy as np

from lamp.models.pipeline import LaMPPipeline
from lamp.utils.errors import main_with_errors
from lamp.utils.looping import rounds

TEXTS = (
    "a person walks forward",
    "a person waves with the right hand",
    "a person runs",
    "a person kicks",
    "a person bows",
    "someone dances",
    "a tired person walks",
    "a person punches",
    "a person jumps",
    "a person turns left",
)
FRAMES, NEAR = 80, 13
"""Frames of a sentence, and how far from a seam an acceleration belongs to it."""


def accelerations(joints: np.ndarray, fps: float) -> np.ndarray:
    """Mean over the joints of their acceleration in m/s^2, (T - 2,), of positions (T, J, 3)."""
    return np.linalg.norm(np.diff(joints, n=2, axis=0) * fps**2, axis=-1).mean(1)


def greatest(values: np.ndarray, edges: list[int]) -> tuple[list[float], list[float]]:
    """The greatest acceleration at each seam, and inside each part between them, away from seams and ends."""
    at = [float(values[edge - NEAR : edge + NEAR - 2].max()) for edge in edges]
    bounds = [0, *edges, len(values) + 2]
    inside = [float(values[a + NEAR : b - NEAR - 2].max()) for a, b in itertools.pairwise(bounds) if b - a > 3 * NEAR]
    return at, inside


def measure(pipe: LaMPPipeline, count: int, candidates: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """Kind, and accelerations at seams and inside, of `count` motions of each kind."""
    for seed in range(count):
        texts = [TEXTS[i] for i in np.random.RandomState(seed).choice(len(TEXTS), 3, replace=False)]
        made = pipe.sequence(texts, [FRAMES] * 3, seed=seed, candidates=candidates)
        yield "sequence", *greatest(accelerations(made.joints, made.fps), [FRAMES, 2 * FRAMES])
        (source,) = pipe(texts[0], 120, seed=seed)
        own = greatest(accelerations(source.joints, source.fps), [])[1]
        for kind, section in (("in-between", (40, 80)), ("prefix", (0, 44)), ("suffix", (76, 120))):
            made = pipe.edit(source, texts[1], section, seed=seed, candidates=candidates)
            edges = [edge for edge in section if 0 < edge < 120]
            yield kind, greatest(accelerations(made.joints, made.fps), edges)[0], own
        (source,) = pipe(texts[0], FRAMES, seed=seed)
        loop = rounds(pipe.loop(source, seed=seed, candidates=candidates), 2)
        yield "loop", *greatest(accelerations(loop.joints, loop.fps), [FRAMES])


@main_with_errors
def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="motions of each kind")
    parser.add_argument("--candidates", type=int, default=8, help="ways that are tried at each seam")
    options = parser.parse_args()
    found: dict[str, tuple[list[float], list[float]]] = {}
    for kind, at, inside in measure(LaMPPipeline.from_pretrained(), options.count, options.candidates):
        seams, insides = found.setdefault(kind, ([], []))
        seams += at
        insides += inside
    print("greatest acceleration, mean over joints, m/s^2: mean / 90 % / greatest of all")
    for kind, both in found.items():
        cells = [f"{np.mean(some):5.1f} / {np.quantile(some, 0.9):5.1f} / {max(some):5.1f}" for some in both]
        print(f"{kind:<12} at seams {cells[0]}   inside {cells[1]}")


if __name__ == "__main__":
    main()
