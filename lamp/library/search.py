"""`Library`: which segments show what a sentence says, or move as another motion does."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lamp.library.indexing import check_models
from lamp.library.nearest import exact, index_of
from lamp.library.reader import MotionReader
from lamp.library.store import Store
from lamp.library.table import corrected, read_table
from lamp.models.lamp.embedder import pooled
from lamp.models.lamp.losses import similarity
from lamp.utils.capture.files import read_noted
from lamp.utils.capture.joints import FPS
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion

ALL_QUERIES = 20_000
"""Segments up to which every one is compared by all of its queries; beyond, the best `SHORTLIST` by their means."""
SHORTLIST = 1000
MOST = 1000
"""Answers."""


@dataclass(frozen=True)
class Answer:
    """A segment that was found.

    Attributes:
        file: relative to the library's folder.
        start, end: seconds in the file.
        score: cosine of LaMP's embeddings, 1 at most.
        caption: what the captioner, or a person, says of it.
        row: its number in the library.
    """

    file: str
    start: float
    end: float
    score: float
    caption: str
    row: int


class Library:
    """A searchable library of motion.

    Example:
        >>> library = Library.open("my_library")
        >>> library.search("someone waves", count=3)[0].file
        'greetings/wave_03.bvh'

    Args:
        store: what is on disk.
        reader: the models.

    Raises:
        UserError: other models made the library.
    """

    def __init__(self, store: Store, reader: MotionReader) -> None:
        check_models(store, reader)
        self.store, self.reader = store, reader
        self.source = store.source
        self._shown = store.shown()
        self._pooled, self._queries = store.array("pooled"), store.array("queries")
        self._index = index_of(store.folder / "nearest", self._pooled)
        self._table = read_table(store.folder)

    @classmethod
    def open(
        cls, folder: str | Path, models: str | Path | None = None, device: torch.device | str = "cpu"
    ) -> "Library":
        """Open what `lamp index` made.

        Args:
            folder: of the library.
            models: folder or hub id; None takes the models that ship with the code.
            device: where to compute.

        Raises:
            UserError: it is no library, or was made by other models.
        """
        store = Store(Path(folder))
        return cls(store, MotionReader(models, device))

    def __len__(self) -> int:
        """Segments that can be found."""
        return int(self._shown.sum())

    def search(self, query: str | Motion, count: int = 10) -> list[Answer]:
        """The segments that fit best, the best first.

        Args:
            query: a sentence, or a motion, of which the first 9.8 seconds count.
            count: how many.

        Raises:
            UserError: an empty sentence, or a motion that the models cannot read.
        """
        if not 1 <= count <= MOST:
            raise UserError(f"{count} answers; ask for 1 to {MOST}")
        if isinstance(query, str):
            if not query.strip():
                raise UserError("the sentence to search for is empty; write what the person does")
            asked = self.reader.texts([query])
            few = len(self) <= ALL_QUERIES
            rows = np.flatnonzero(self._shown) if few else self._nearest(asked[0].numpy(), max(count, SHORTLIST))
            scores = self._match(asked, rows)
        else:
            asked = pooled(self.reader.embed([self.reader.features(query)]))
            rows = self._nearest(asked[0].numpy(), count)
            scores = np.asarray(self._pooled[rows], dtype=np.float32) @ asked[0].numpy()
        order = np.lexsort((rows, -scores))[:count]
        return [self._answer(int(rows[place]), float(scores[place])) for place in order]

    def motion(self, answer: Answer) -> Motion:
        """The segment itself, read from its file as it was when the library was made: in metres, Y up.

        Captures have 20 frames a second, arrays their own.

        Raises:
            UserError: the file is not there any more.
        """
        way = self.store.way(self.store.row(answer.row))
        motion, _ = read_noted(self.source / answer.file, way.joint_map, way.up, fps=FPS)
        start, stop = round(answer.start * motion.fps), round(answer.end * motion.fps)
        return Motion(motion.joints[start : stop + 1], fps=motion.fps, text=answer.caption)

    def _nearest(self, asked: np.ndarray, count: int) -> np.ndarray:
        if self._index is not None:
            return self._index.search(asked, count, self._shown)
        return exact(self._pooled, asked, count, self._shown)

    def _match(self, asked: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """Similarity (N,) of a sentence to segments: the best of their queries, as LaMP was trained."""
        parts = [rows[start : start + 512] for start in range(0, len(rows), 512)]
        scores = [similarity(asked, torch.from_numpy(self._queries[part].astype(np.float32)))[0] for part in parts]
        return torch.cat(scores).numpy() if scores else np.zeros(0, np.float32)

    def _answer(self, place: int, score: float) -> Answer:
        row = self.store.row(place)
        return Answer(row.file, row.start, row.end, round(score, 4), corrected(self._table, row), place)


def lines(answers: Sequence[Answer]) -> list[str]:
    """Answers for a person to read."""
    width = max((len(answer.file) for answer in answers), default=0)
    return [
        f"{answer.score:6.3f}  {answer.file:<{width}}  {answer.start:6.1f} - {answer.end:5.1f} s  {answer.caption}"
        for answer in answers
    ]
