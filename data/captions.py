"""Captions of many clips, which stay on the disk until one is asked for.

A folder holds C captions of M clips, those of a clip one after the other: `bounds.npy` (M + 1,) says where each clip's
begin. `order.npy` (C,) has them in another order, in each clip those of the whole clip first; `times.npy` (C, 2) has
their seconds in that order. What they say are lines of JSON (`captions.jsonl`, which begin where `lines.npy` says) or,
in shards, a table of Arrow.
"""

import json
import tokenize
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lamp.data.text import Caption

CAPTIONS_FILE = "captions.jsonl"
_LINES_FILE = "lines.npy"
_INDEX_FILES = ("bounds.npy", "order.npy", "times.npy")

Read = Callable[[Sequence[int]], list[Caption]]
"""Gives captions by their numbers."""


class CaptionStore(Mapping[str, tuple[Caption, ...]]):
    """Captions by clip id.

    Args:
        folder: where their index is.
        numbers: which of the clips each id is.
        read: what gives the captions.

    Attributes:
        bounds, times: see the module.
    """

    def __init__(self, folder: Path, numbers: Mapping[str, int], read: Read) -> None:
        self.bounds, self._order, self.times = (mapped(folder / name) for name in _INDEX_FILES)
        self.numbers, self._read = numbers, read

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __contains__(self, name: object) -> bool:
        return name in self.numbers

    def __getitem__(self, name: str) -> tuple[Caption, ...]:
        number = self.numbers[name]
        return tuple(self._read(range(self.bounds[number], self.bounds[number + 1])))

    def at(self, places: np.ndarray) -> list[Caption]:
        """Captions at some places (n,) of the order in which those of whole clips come first."""
        return self._read(self._order[places].tolist())


class IndexWriter:
    """Collects the index of captions that are written one clip after the other."""

    def __init__(self) -> None:
        self._bounds, self._order, self._times = array("q", [0]), array("q"), array("d")

    def add(self, captions: Sequence[Caption]) -> None:
        """Enter a clip."""
        first = self._bounds[-1]
        for place in sorted(range(len(captions)), key=lambda place: not captions[place].whole):
            self._order.append(first + place)
            self._times.extend((captions[place].start, captions[place].end))
        self._bounds.append(first + len(captions))

    def save(self, folder: Path) -> None:
        """Write the files."""
        values = (np.array(self._bounds), np.array(self._order), np.array(self._times).reshape(-1, 2))
        for name, value in zip(_INDEX_FILES, values, strict=True):
            np.save(folder / name, value)


def write_lines(folder: Path, clips: Iterator[Sequence[Caption]]) -> None:
    """Write the captions of clips as lines of JSON, and their index."""
    index, lines = IndexWriter(), array("q", [0])
    with open(folder / CAPTIONS_FILE, "wb") as file:
        for captions in clips:
            index.add(captions)
            for caption in captions:
                fields = (caption.text, " ".join(caption.tokens), caption.start, caption.end)
                lines.append(lines[-1] + file.write(f"{json.dumps(fields, ensure_ascii=False)}\n".encode()))
    np.save(folder / _LINES_FILE, np.array(lines))
    index.save(folder)


def read_lines(folder: Path) -> Read:
    """What reads the captions that `write_lines` wrote."""
    lines, path = mapped(folder / _LINES_FILE), folder / CAPTIONS_FILE
    text = np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.empty(0, np.uint8)

    def read(numbers: Sequence[int]) -> list[Caption]:
        found = (json.loads(text[lines[number] : lines[number + 1]].tobytes()) for number in numbers)
        return [Caption(words, tags.split(), start, end) for words, tags, start, end in found]

    return read


def mapped(path: Path) -> np.ndarray:
    """A memory-mapped array as a plain view: indexing a memmap object itself is slower.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no array.
    """
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except EOFError as error:  # NumPy's word for an empty file
        raise ValueError(f"{path.name} is empty") from error
    except (tokenize.TokenError, SyntaxError) as error:  # of a header
        raise ValueError(f"{path.name} is not an array") from error
