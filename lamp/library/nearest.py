"""The vectors of a library that are nearest to a query: exact for some, by faiss for many.

Up to `EXACT` vectors all are compared. Beyond, `NearestIndex` keeps blocks of inverted lists on disk (faiss
`IndexIVFScalarQuantizer`, a byte a number), which all share one coarse quantizer. A block that is there is not built
again: building resumes where it was stopped, and new vectors need the last block only. The best of a search are
compared again with the vectors themselves.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path
from lamp.utils.packages import need

if TYPE_CHECKING:
    import faiss

EXACT = 100_000
BLOCK = 100_000
LISTS, PROBES = 2048, 48
"""Inverted lists of each block, and how many of them a search reads."""
_SAMPLE = 40 * LISTS
_AGAIN = 20
"""How many times as many candidates as are asked for are compared again."""
_ROWS = 65536


def exact(vectors: np.ndarray, query: np.ndarray, count: int, shown: np.ndarray | None = None) -> np.ndarray:
    """Rows of the `count` vectors (N, W) with the greatest product with a query (W,), the greatest first.

    Args:
        vectors: float16 or float32.
        query: float32.
        count: how many; fewer if there are fewer.
        shown: (N,) bool, which take part.
    """
    scores = products(vectors, query)
    if shown is not None:
        scores[~shown] = -np.inf
    count = min(count, int(np.isfinite(scores).sum()))
    best = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, dtype=int)
    return best[np.lexsort((best, -scores[best]))]


def products(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Product (N,) of each vector with a query."""
    asked = torch.from_numpy(np.ascontiguousarray(query, dtype=np.float32))
    parts = [
        (torch.from_numpy(np.array(vectors[start : start + _ROWS], dtype=np.float32)) @ asked).numpy()
        for start in range(0, len(vectors), _ROWS)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class NearestIndex:
    """Blocks of inverted lists on disk for the vectors of a library.

    Args:
        folder: of the blocks.
        vectors: (N, W) all vectors, of length 1, mapped from the disk.

    Raises:
        UserError: faiss is not installed.
    """

    def __init__(self, folder: Path, vectors: np.ndarray) -> None:
        need("faiss")
        self.folder, self.vectors = folder, vectors
        self._opened: list[tuple[int, int, faiss.Index]] | None = None

    def build(self) -> int:
        """Make the blocks that lack; how many vectors were put in.

        Raises:
            UserError: the disk is full.
        """
        import faiss

        self.folder.mkdir(parents=True, exist_ok=True)
        made = 0
        for start, stop in self._missing():
            index = faiss.read_index(str(self._quantizer()))
            for low in range(start, stop, _ROWS):
                index.add(np.asarray(self.vectors[low : min(low + _ROWS, stop)], dtype=np.float32))
            with atomic_path(self.folder / f"{start}-{stop}.faiss") as aside:
                faiss.write_index(index, str(aside))
            made += stop - start
            for low, high in self._blocks():  # shorter ones that began at the same place
                if low == start and high < stop:
                    (self.folder / f"{low}-{high}.faiss").unlink()
        self._opened = None
        return made

    def search(self, query: np.ndarray, count: int, shown: np.ndarray | None = None) -> np.ndarray:
        """Rows of about the `count` nearest vectors to a query (W,), the nearest first; see `exact`."""
        import faiss

        if self._opened is None:
            flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
            self._opened = [
                (low, high, faiss.read_index(str(self.folder / f"{low}-{high}.faiss"), flags))
                for low, high in self._blocks()
            ]
        asked = np.ascontiguousarray(query[None], dtype=np.float32)
        wanted = max(count * _AGAIN, 100)
        found, covered = [], 0
        for low, high, index in self._opened:
            faiss.extract_index_ivf(index).nprobe = PROBES
            scores, rows = index.search(asked, wanted)
            found.append((scores[0], np.where(rows[0] >= 0, rows[0] + low, -1)))
            covered = max(covered, high)
        if covered < len(self.vectors):  # not in a block yet
            rows = exact(self.vectors[covered:], query, wanted)
            found.append((products(self.vectors[covered:][rows], query), rows + covered))
        scores, rows = (np.concatenate(parts) for parts in zip(*found))
        keep = rows >= 0
        if shown is not None:
            keep &= shown[np.maximum(rows, 0)]
        scores, rows = scores[keep], rows[keep]
        rows = np.sort(rows[np.argsort(-scores, kind="stable")[:wanted]])
        return rows[exact(np.asarray(self.vectors[rows]), query, count)]

    def _quantizer(self) -> Path:
        """The empty index that blocks begin with, trained on the vectors that there were first."""
        import faiss

        path = self.folder / "empty.faiss"
        if not path.is_file():
            take = np.linspace(0, len(self.vectors) - 1, min(len(self.vectors), _SAMPLE)).astype(int)
            index = faiss.index_factory(self.vectors.shape[1], f"IVF{LISTS},SQ8", faiss.METRIC_INNER_PRODUCT)
            index.train(np.asarray(self.vectors[take], dtype=np.float32))
            with atomic_path(path) as aside:
                faiss.write_index(index, str(aside))
        return path

    def _blocks(self) -> list[tuple[int, int]]:
        """First vector and the one after the last of each block on disk."""
        found = [re.fullmatch(r"(\d+)-(\d+)\.faiss", path.name) for path in self.folder.glob("*.faiss")]
        return sorted((int(match[1]), int(match[2])) for match in found if match)

    def _missing(self) -> Iterator[tuple[int, int]]:
        there = set(self._blocks())
        for start in range(0, len(self.vectors), BLOCK):
            block = (start, min(start + BLOCK, len(self.vectors)))
            if block not in there:
                yield block


def index_of(folder: Path, vectors: np.ndarray) -> NearestIndex | None:
    """The index of a library's vectors, if there are so many that it needs one.

    Raises:
        UserError: it needs one, and faiss is not installed, or `lamp index` has not built it.
    """
    if len(vectors) <= EXACT:
        return None
    index = NearestIndex(folder, vectors)
    if not (folder / "empty.faiss").is_file():
        raise UserError(f"{folder.parent} has {len(vectors)} segments and no index of them; run lamp index once more")
    return index
