"""The library's table of captions, which a person corrects and `build_dataset --captions` reads.

What a person changed, added or took out stays so as long as the motion file stays as it is.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamp.data.caption_table import CaptionRow, read_caption_table
from lamp.library.store import Row, Store
from lamp.utils.files import atomic_path, read_json, write_json
from lamp.utils.reading import reading

TABLE, REPLACED = "segments.csv", "segments_replaced.csv"
_KNOWN = "segments.json"
"""Size and time of change of each file whose rows the table has, or had before a person took them out; then the parts
that were copies and got rows of their own, since what they were copies of has left."""


def read_table(folder: Path) -> dict[str, list[CaptionRow]]:
    """Rows of a library's table by file; none where there is no table yet, or nothing in it.

    Raises:
        UserError: a line that cannot be read.
    """
    path = folder / TABLE
    if not path.is_file() or len(path.read_text(encoding="utf-8-sig", errors="replace").strip().splitlines()) < 2:
        return {}
    return read_caption_table(path)


def update_table(store: Store) -> str:
    """Bring the table to what the library holds, and say in a line what became of a person's corrections, if any.

    Rows of files that are new or have changed are written anew, those of files that are gone leave; where a person had
    changed such rows, they are kept in `segments_replaced.csv`.
    """
    table, known = read_table(store.folder), _known(store.folder)
    gone, shown = store.gone(), store.shown()
    now: dict[str, list[Row]] = {}
    before: dict[str, list[Row]] = {}
    seen: dict[str, list[Row]] = {}
    for index, row in enumerate(store.rows()):
        (before if gone[index] else now).setdefault(row.file, []).append(row)
        if shown[index]:
            seen.setdefault(row.file, []).append(row)
    rows: dict[str, list[CaptionRow]] = {}
    lost: list[CaptionRow] = []
    for file in sorted({*table, *now}):
        mine = now.get(file)
        same = mine is not None and known.get(file, [])[:2] == [mine[0].size, mine[0].changed]
        if same or (mine is None and file not in known):
            rows[file] = list(table.get(file, ()))  # as the person left it
            had, spans = known.get(file, [])[2:], {(row.start, row.end) for row in rows[file]}
            back = [_caption(row) for row in seen.get(file, ()) if row.copy_of >= 0 and row.part not in had]
            rows[file] += [row for row in back if (row.start, row.end) not in spans]
            continue
        written = {_span(row) for row in map(_caption, before.get(file, ()))}
        lost += [row for row in table.get(file, ()) if file in known and _span(row) not in written]
        rows[file] = [_caption(row) for row in seen.get(file, ())]
    if lost:
        old = read_caption_table(store.folder / REPLACED) if (store.folder / REPLACED).is_file() else {}
        _write(store.folder / REPLACED, [*(row for some in old.values() for row in some), *lost])
    _write(store.folder / TABLE, [row for some in rows.values() for row in some])
    alone = {file: [row.part for row in some if row.copy_of >= 0] for file, some in seen.items()}
    facts = {file: [some[0].size, some[0].changed, *alone.get(file, ())] for file, some in now.items()}
    write_json(store.folder / _KNOWN, facts)
    return f"{len(lost)} corrected rows of files that changed or left are in {REPLACED}" if lost else ""


def corrected(table: Mapping[str, Sequence[CaptionRow]], row: Row) -> str:
    """The caption that the table has for a segment, or the captioner's."""
    mine = _caption(row)
    spans = {(other.start, other.end): other.caption for other in table.get(row.file, ())}
    return spans.get((mine.start, mine.end), mine.caption)


def _caption(row: Row) -> CaptionRow:
    whole = row.parts == 1
    return CaptionRow(row.file, row.caption, 0.0 if whole else round(row.start, 3), 0.0 if whole else round(row.end, 3))


def _span(row: CaptionRow) -> tuple[float, float, str]:
    return (row.start, row.end, row.caption)


def _known(folder: Path) -> dict[str, list[int]]:
    path = folder / _KNOWN
    if not path.is_file():
        return {}
    with reading(path, "list of files"):
        return {
            name: [int(size), int(changed), *map(int, parts)]
            for name, (size, changed, *parts) in read_json(path).items()
        }


def _write(path: Path, rows: Sequence[CaptionRow]) -> None:
    splits = any(row.split for row in rows)
    with atomic_path(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "caption", "start", "end", *(["split"] if splits else [])))
        for row in rows:
            span = ("", "") if row.whole else (f"{row.start:g}", f"{row.end:g}")
            writer.writerow((row.file, row.caption, *span, *([row.split] if splits else [])))
