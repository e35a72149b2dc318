"""Tables of captions of motion files: CSV that `caption.py` writes and `build_dataset --captions` reads, and JSON.

The CSV has the columns file, caption and, if one likes, start, end (seconds; both 0 or empty for the whole file) and
split (train, val, test or test_<word>).
"""

import csv
import io
import re
import sys
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lamp.data.text import LONGEST
from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path, shown, write_json
from lamp.utils.reading import decode, reading

# Spellings of the columns, in lower case.
_COLUMNS = {
    **dict.fromkeys(("file", "filename", "file name", "file_name"), "file"),
    **dict.fromkeys(("caption", "captions", "text", "description"), "caption"),
    **{name: name for name in ("start", "end", "split")},
}
# A split becomes the name of a file of the data set.
_SPLIT = re.compile(r"train|val|test|test_[a-z0-9_-]{1,40}")


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
    """A file that could not be described, and why; for an unknown skeleton with a joint map to fill in."""

    file: str
    reason: str
    draft: dict[str, object] = field(default_factory=dict)


def read_caption_table(path: Path) -> dict[str, list[CaptionRow]]:
    """Rows of a caption table by file name.

    Commas, semicolons, tabs or bars between columns, the header in any case, and UTF-8, UTF-16 and plain Windows-1252
    are read. What could be read in two ways is not guessed.

    Raises:
        UserError: the file cannot be read, or a line is not clear; the message names the line and the remedy.
    """
    with reading(path, "caption table"):
        text = _text(path)
    lines = text.split("\n")
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.lower().startswith("sep=")), None)
    if first is None:
        raise UserError(f"{path} is empty; it needs a header line file,caption and a line a caption")
    delimiter, columns = _header(path, lines[first])
    table: dict[str, list[CaptionRow]] = {}
    rows = csv.reader(io.StringIO("\n".join(lines[first + 1 :])), delimiter=delimiter, strict=True)
    start = first + 2
    try:
        for fields in rows:
            number, start = start, first + 2 + rows.line_num
            if any(field.strip() for field in fields):
                row = _row(f"{path} line {number}", fields, columns, delimiter)
                table.setdefault(row.file, []).append(row)
    except csv.Error as error:
        raise UserError(f'{path} line {start}: {error}; a quoted caption needs a " at both ends') from error
    if not table:
        raise UserError(f"{path} has no rows; it needs a header line file,caption and a line a caption")
    _check_splits(path, table)
    return table


def _text(path: Path) -> str:
    """Text of a table, its lines ended by "\\n".

    Raises:
        UserError: its encoding is not clear.
    """
    data = path.read_bytes()
    text = decode(data)
    if "\ufffd" in text:
        # Excel on Windows. Single foreign letters in English text are safe to read; whole foreign words are some other
        # encoding's.
        if re.search(rb"[\x80-\xff]{2}|[\x81\x8d\x8f\x90\x9d]", data):
            line = text[: text.index("\ufffd")].count("\n") + 1
            raise UserError(f"{path} line {line}: not UTF-8; save it as UTF-8 (Excel: CSV UTF-8) and try again")
        text = data.decode("cp1252")
        print(f"note: {path} is not UTF-8 and read as Windows-1252", file=sys.stderr)
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def _header(path: Path, line: str) -> tuple[str, dict[str, int]]:
    """Delimiter and place of each column that a header line names.

    Raises:
        UserError: it has no columns file and caption.
    """
    for delimiter in ",;\t|":
        names = [word.strip().strip('"').strip().lower() for word in line.split(delimiter)]
        columns: dict[str, int] = {}
        for place, name in enumerate(names):
            key = _COLUMNS.get(name, name)
            if key in columns and key in _COLUMNS.values():
                raise UserError(f"{path}: two columns {key!r} in the header {shown(line.strip())}; keep one")
            columns[key] = place
        if {"file", "caption"} <= set(columns):
            if unused := sorted(set(columns) - set(_COLUMNS.values()) - {""}):
                print(f"note: {path}: columns {', '.join(unused[:5])[:100]} are not used", file=sys.stderr)
            return delimiter, columns | {"": len(names)}
    raise UserError(
        f"{path}: the first line {shown(line.strip())} must name the columns: file,caption[,start,end,split]"
    )


def _row(where: str, fields: list[str], columns: dict[str, int], delimiter: str) -> CaptionRow:
    """A row of a table; `columns[""]` is their number."""
    if any(field.strip() for field in fields[columns[""] :]):
        raise UserError(
            f"{where}: {len(fields)} columns instead of {columns['']}; put a text that holds {delimiter!r} in "
            'double quotes: "walks, then waves"'
        )
    values = {key: fields[place].strip() if place < len(fields) else "" for key, place in columns.items() if key}
    file = unicodedata.normalize("NFC", values["file"]).replace("\\", "/").removeprefix("./")
    if not file or not values["caption"]:
        raise UserError(f"{where}: needs columns file and caption, both filled")
    if ".." in file.split("/") or file.startswith("/") or file[1:2] == ":":
        raise UserError(f"{where}: file {shown(file)} is not below the folder; name it relative to it")
    start, end = _span(where, values.get("start", ""), values.get("end", ""), delimiter)
    split = values.get("split", "").lower()
    if split and not _SPLIT.fullmatch(split):
        raise UserError(f"{where}: split {shown(split)} is none of train, val, test, test_<word>")
    return CaptionRow(file, values["caption"], start, end, split)


def _span(where: str, start: str, end: str, delimiter: str) -> tuple[float, float]:
    """Start and end in seconds; both 0 for the whole file."""
    if not start and not end:
        return 0.0, 0.0
    if not (start and end):
        raise UserError(f"{where}: start {start or 'empty'} and end {end or 'empty'}; give both in seconds, or neither")
    try:
        a, b = (float(word if delimiter == "," else word.replace(",", ".")) for word in (start, end))
    except ValueError:
        raise UserError(f"{where}: start {shown(start)} and end {shown(end)} must be seconds") from None
    if a == b == 0:
        return 0.0, 0.0
    if not 0 <= a < b <= LONGEST:
        raise UserError(f"{where}: start {a:g} and end {b:g} are no part of a take; end must come after start")
    return a, b


def _check_splits(path: Path, table: dict[str, list[CaptionRow]]) -> None:
    for file, rows in table.items():
        if len(named := sorted({row.split for row in rows if row.split})) > 1:
            raise UserError(f"{path}: {shown(file)} is in splits {' and '.join(named[:3])}; a file belongs to one")


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
    skipped = [{"file": row.file, "reason": row.reason} for row in rows if isinstance(row, Skipped)]
    write_json(path, {"captions": captions, "skipped": skipped})


def _write_csv(path: Path, rows: Sequence[Described | Skipped]) -> None:
    with atomic_path(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "caption", "start", "end"))
        for row in rows:
            if isinstance(row, Described):
                table.writerows((row.file, text, round(row.start, 3), round(row.end, 3)) for text in row.captions)
