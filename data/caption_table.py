"""Tables of captions of motion files: CSV that `caption.py` writes and `build_dataset --captions` reads, and JSON.

The CSV has the columns file, caption, start, end (seconds; both 0 for the whole file) and, if one likes, split.
"""

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path, write_json


@dataclass(frozen=True)
class CaptionRow:
    """A row of a caption table.

    Attributes:
        file: name of the motion file, relative to its folder.
        caption: what it shows.
        start, end: seconds of the part that the caption speaks of; both 0 for the whole file.
        split: split of a data set, "" if the table does not say.
    """

    file: str
    caption: str
    start: float = 0.0
    end: float = 0.0
    split: str = ""

    @property
    def whole(self) -> bool:
        """Whether the caption speaks of the whole file."""
        return self.end <= 0


@dataclass
class Described:
    """Captions of a file, or of its part from `start` to `end` (seconds; both 0 for the whole or its beginning)."""

    file: str
    captions: list[str]
    start: float = 0.0
    end: float = 0.0
    note: str = ""


@dataclass
class Skipped:
    """A file that could not be described, and why."""

    file: str
    reason: str


def read_caption_table(path: Path) -> dict[str, list[CaptionRow]]:
    """Rows of a caption table by file name.

    Raises:
        UserError: the file cannot be read, or a column or a value is missing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    table: dict[str, list[CaptionRow]] = {}
    for number, row in enumerate(rows, start=2):
        file, caption = row.get("file"), (row.get("caption") or "").strip()
        if not file or not caption:
            raise UserError(f"{path} line {number}: needs columns file and caption, both filled")
        try:
            start, end = float(row.get("start") or 0), float(row.get("end") or 0)
        except ValueError as error:
            raise UserError(f"{path} line {number}: start and end must be seconds") from error
        table.setdefault(file, []).append(CaptionRow(file, caption, start, end, row.get("split") or ""))
    if not table:
        raise UserError(f"{path} has no rows; it needs a header line file,caption and a line a caption")
    return table


def check_writable(path: Path, flag: str = "--out") -> None:
    """Make the folder of an output file before anything is computed.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f"{flag} {path}: cannot write there ({error.strerror})") from error


def write_captions(path: Path, rows: Sequence[Described | Skipped], flag: str = "--out") -> None:
    """Write captions as JSON, with the files left out, or, where `path` does not end in .json, as a caption table.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        if path.suffix.lower() == ".json":
            _write_json(path, rows)
        else:
            _write_csv(path, rows)
    except OSError as error:
        raise UserError(f"{flag} {path}: cannot write there ({error.strerror})") from error


def _write_json(path: Path, rows: Sequence[Described | Skipped]) -> None:
    captions = [asdict(row) for row in rows if isinstance(row, Described)]
    write_json(path, {"captions": captions, "skipped": [asdict(row) for row in rows if isinstance(row, Skipped)]})


def _write_csv(path: Path, rows: Sequence[Described | Skipped]) -> None:
    with atomic_path(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "caption", "start", "end"))
        for row in rows:
            if isinstance(row, Described):
                table.writerows((row.file, text, round(row.start, 3), round(row.end, 3)) for text in row.captions)
