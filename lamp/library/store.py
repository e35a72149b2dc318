"""What a library keeps on disk: a row a segment, appended file by file, so that nothing is lost and nothing done twice.

| file | what |
| --- | --- |
| `library.json` | format, models, folder of the motion files, sizes of the arrays, ways in which files were read |
| `rows.jsonl` | a line a segment: motion file with size and time of change, first and last frame, caption, ... |
| `queries.f16` | (N, nq, W) LaMP's embeddings of each segment, one a query |
| `pooled.f16` | (N, W) their mean, of length 1 |
| `shapes.f16` | (N, S) the motion itself, for telling copies |
| `hidden.json` | rows of files that are no longer there or have changed, and rows that are copies |
| `segments.csv` | captions for a person to correct |

Arrays are written before the lines. A process that is killed in between leaves arrays that are too long and perhaps a
part of a file's lines, which the next one cuts off.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lamp.utils.capture.joint_map import JointMap, joint_map_of
from lamp.utils.capture.upright import AXES
from lamp.utils.errors import UserError, disk_full, is_disk_full
from lamp.utils.files import is_below, read_json, write_json

FORMAT = 1
ARRAYS = ("queries", "pooled", "shapes")
LONGEST_TIME = 1e7
"""Seconds; a later time is a mistake."""


@dataclass(frozen=True)
class Row:
    """A segment of a motion file.

    Attributes:
        file: relative to the folder, with `/`.
        size, changed: of the file, in bytes and nanoseconds, when it was read.
        start, end: seconds in the file.
        caption: what the captioner says of it.
        copy_of: row of which it is nearly a copy; -1: of none.
        part, parts: which of the file's segments it is, of how many.
        way: in which the file was read, a place in `Store.ways`; -1: joints and up axis were found.
    """

    file: str
    size: int
    changed: int
    start: float
    end: float
    caption: str
    copy_of: int
    part: int
    parts: int
    way: int = -1


@dataclass(frozen=True)
class Way:
    """What a person said of files, see `read_motion`."""

    joint_map: JointMap | None = None
    up: str | None = None


class Store:
    """Rows and arrays of a library, opened for reading or appending.

    Args:
        folder: of the library.

    Raises:
        UserError: it is no library, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = _facts(folder)
        self.source = Path(facts["source"])
        self.models: dict[str, str] = facts["models"]
        self.shapes: dict[str, tuple[int, ...]] = {name: tuple(facts["arrays"][name]) for name in ARRAYS}
        self.ways = _ways(facts, folder)
        lines = folder / "rows.jsonl"
        data = lines.read_bytes() if lines.is_file() else b""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
        self._lines = [0, *ends.tolist()]
        self._data = data
        self._drop_half_files()

    def _drop_half_files(self) -> None:
        """Leave out the lines at the end whose file has more, which were not written, and what arrays lack."""
        count = len(self._lines) - 1
        sizes = [self._file(name).stat().st_size if self._file(name).is_file() else 0 for name in ARRAYS]
        whole = min(size // (2 * math.prod(self.shapes[name])) for name, size in zip(ARRAYS, sizes))
        if whole < count and count - whole > 1_000_000:
            raise UserError(f"{self.folder} is a damaged library; make it anew in another folder")
        count = min(count, whole)
        while count and (row := self.row(count - 1)).part != row.parts - 1:
            count -= 1
        del self._lines[count + 1 :]

    def __len__(self) -> int:
        return len(self._lines) - 1

    def row(self, index: int) -> Row:
        """A row.

        Raises:
            UserError: its line is damaged.
        """
        try:
            return _row(json.loads(self._data[self._lines[index] : self._lines[index + 1]]))
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(
                f"{self.folder / 'rows.jsonl'} line {index + 1} is damaged; make the library anew in another folder"
            ) from error

    def rows(self) -> Iterator[Row]:
        """All rows, also of files that are gone."""
        return (self.row(index) for index in range(len(self)))

    def array(self, name: str) -> np.ndarray:
        """(N, ...) float16, mapped from the disk."""
        if not len(self):
            return np.zeros((0, *self.shapes[name]), np.float16)
        return np.memmap(self._file(name), np.float16, "r", shape=(len(self), *self.shapes[name]))

    def way(self, row: Row) -> Way:
        """In which a row's file was read.

        Raises:
            UserError: it is not there.
        """
        if row.way >= len(self.ways):
            raise UserError(f"{self.folder / 'library.json'} is damaged; make the library anew with lamp index")
        return self.ways[row.way] if row.way >= 0 else Way()

    def place_of(self, way: Way) -> int:
        """The place of a way in `ways`, where it is put on the disk, too, if it is new; -1 of what says nothing."""
        if way == Way():
            return -1
        if way not in self.ways:
            facts = _facts(self.folder) | {"ways": [asdict(one) for one in (*self.ways, way)]}
            write_json(self.folder / "library.json", facts)
            self.ways.append(way)
        return self.ways.index(way)

    def gone(self) -> np.ndarray:
        """(N,) bool: rows of files that are no longer there or have changed."""
        return self._hidden("gone")

    def shown(self) -> np.ndarray:
        """(N,) bool: rows that searches may answer."""
        return ~(self._hidden("gone") | self._hidden("copies"))

    def _hidden(self, kind: str) -> np.ndarray:
        mask = np.zeros(len(self), dtype=bool)
        path = self.folder / "hidden.json"
        try:
            for start, stop in read_json(path)[kind] if path.is_file() else ():
                mask[start:stop] = True
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(f"{path} is damaged; remove it and run lamp index again") from error
        return mask

    def hide(self, gone: np.ndarray) -> None:
        """Write which rows are gone (N,), and which are copies of one that is not: the first in place of a gone one."""
        copies, originals = np.zeros(len(self), dtype=bool), np.arange(len(self))
        stand: set[int] = set()
        for place, row in enumerate(self.rows()):
            if 0 <= row.copy_of < place:  # of a copy that stands for its original, it is one of the original
                originals[place] = originals[row.copy_of]
            if not gone[place]:
                original = int(originals[place])
                copies[place] = original in stand
                stand.add(original)
        write_json(self.folder / "hidden.json", {"gone": _runs(gone), "copies": _runs(copies)})

    def append(self, rows: Sequence[Row], arrays: dict[str, np.ndarray]) -> None:
        """Add the segments of whole files; they are on disk when this returns.

        Raises:
            UserError: the disk is full.
        """
        count = len(self)
        text = "".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows).encode()
        try:
            for name in ARRAYS:
                values = np.ascontiguousarray(arrays[name], dtype=np.float16)
                assert values.shape == (len(rows), *self.shapes[name])
                _write_at(self._file(name), 2 * count * int(np.prod(self.shapes[name])), values.tobytes())
            _write_at(self.folder / "rows.jsonl", self._lines[-1], text)
        except OSError as error:
            if is_disk_full(error, self.folder):
                raise disk_full(self.folder) from error
            raise UserError(f"cannot write into {self.folder}: {error.strerror or error}; choose another") from error
        self._data = self._data[: self._lines[-1]] + text
        for row in text.split(b"\n")[:-1]:
            self._lines.append(self._lines[-1] + len(row) + 1)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.f16"

    @classmethod
    def create(cls, folder: Path, source: Path, models: dict[str, str], shapes: dict[str, Sequence[int]]) -> "Store":
        """A new library without rows.

        Raises:
            UserError: the folder cannot be made, or has other things in it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder} is no library, and not empty; choose another folder")
            facts: dict[str, Any] = {"format": FORMAT, "source": str(source), "models": models}
            write_json(folder / "library.json", facts | {"arrays": {name: list(shapes[name]) for name in ARRAYS}})
        except OSError as error:
            raise UserError(f"{folder} cannot be made: {error.strerror or error}; choose another folder") from error
        return cls(folder)


def _row(values: Any) -> Row:
    """A row of the values of its line.

    Raises:
        ValueError, TypeError: they are none.
    """
    row = Row(**values)
    whole = (row.size, row.changed, row.copy_of, row.part, row.parts, row.way)
    texts, times = (row.file, row.caption), (row.start, row.end)
    if not all(type(value) is int for value in whole) or not all(isinstance(value, str) for value in texts):
        raise ValueError(row)
    if not all(isinstance(value, (int, float)) and 0 <= value < LONGEST_TIME for value in times):
        raise ValueError(row)
    if not is_below(row.file) or not 0 <= row.part < row.parts:
        raise ValueError(row)
    return row


def is_library(folder: Path) -> bool:
    """Whether a folder holds a library."""
    return (folder / "library.json").is_file()


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / "library.json"
    if not path.is_file():
        raise UserError(f"{folder} is no library; lamp index FOLDER --out {folder} makes one")
    try:
        facts = read_json(path)
        if facts["format"] != FORMAT:
            raise UserError(f"{folder} is a library of another version; make it anew with lamp index")
        if not all(type(size) is int and 0 < size < 1e6 for name in ARRAYS for size in facts["arrays"][name]):
            raise ValueError
        texts = (facts["source"], *dict(facts["models"]).values())
        if not all(isinstance(text, str) and "\0" not in text for text in texts):
            raise ValueError
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        raise UserError(f"{path} is damaged; make the library anew with lamp index") from error
    return facts


def _ways(facts: dict[str, Any], folder: Path) -> list[Way]:
    path = folder / "library.json"
    try:
        ways = [Way(way["joint_map"], way["up"]) for way in facts.get("ways", [])]
        if not all(way.up is None or way.up in AXES for way in ways):
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged; make the library anew with lamp index") from error
    return [way if way.joint_map is None else Way(joint_map_of(way.joint_map, path), way.up) for way in ways]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and the one after the last of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(int), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2]))


def _write_at(path: Path, place: int, data: bytes) -> None:
    """Write behind what counts; what an earlier process left there is cut off."""
    with open(path, "r+b" if path.is_file() else "wb") as file:
        file.truncate(place)
        file.seek(place)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
