"""Folders of motion files into a library: new and changed files are read, what is gone is hidden."""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lamp.library.reader import MotionReader, copies, shape_of
from lamp.library.store import Row, Store, Way, is_library
from lamp.library.table import read_table, update_table
from lamp.models.lamp.embedder import pooled
from lamp.utils.capture.files import find_motion_files, read_motion
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError
from lamp.utils.errors import UserError, told
from lamp.utils.reading import reading

TOGETHER = 32
"""Segments from which on what was read is written, whole files at a time; a killed process loses what was not."""
_ROWS = 65536
_NEAR = 0.95
"""Cosine of embeddings from which on two segments are compared joint by joint."""


@dataclass
class Report:
    """What became of a folder.

    Attributes:
        files: motion files in it.
        read: of these, read now; the others were known.
        segments, copies: made now, and which of them are copies.
        gone: files that were known and have left or changed.
        left_out: for each file that could not be read its reason, and what is known of its joint map.
        note: what became of a person's corrections.
    """

    files: int = 0
    read: int = 0
    segments: int = 0
    copies: int = 0
    gone: int = 0
    left_out: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    note: str = ""


@dataclass
class _Waiting:
    """Segments of whole files that are not in the library yet."""

    rows: list[Row] = field(default_factory=list)
    features: list[Tensor] = field(default_factory=list)


def open_store(folder: Path, source: Path, reader: MotionReader) -> Store:
    """The library in a folder, or a new one.

    Raises:
        UserError: it was made of another folder, or by other models.
    """
    if not is_library(folder):
        return Store.create(folder, source.resolve(), reader.models, reader.shapes)
    store = Store(folder)
    check_models(store, reader)
    if store.source != source.resolve():
        raise UserError(f"{folder} is the library of {store.source}, not of {source}; choose another --out")
    return store


def check_models(store: Store, reader: MotionReader) -> None:
    """Make sure that a library's embeddings and a reader's can be compared.

    Raises:
        UserError: other models made the library.
    """
    if store.models != reader.models:
        made, here = (", ".join(sorted(models.values())) for models in (store.models, reader.models))
        raise UserError(f"{store.folder} was made by {made}, not {here}; name those --models, or index anew")


def index(
    store: Store,
    reader: MotionReader,
    joint_map: JointMap | None = None,
    up: str | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Report:
    """Bring a library to what its folder holds now.

    Args:
        store: the library.
        reader: the models.
        joint_map, up: of the files, see `read_motion`.
        say: called with a line for each file that is left out.

    Raises:
        UserError: no motion files, the table of captions cannot be read, or the disk is full.
    """
    read_table(store.folder)  # a person's mistake in it comes first
    found = {
        unicodedata.normalize("NFC", name): path for name, path in find_motion_files(store.source, "FOLDER").items()
    }
    stats = {name: (os.stat(path).st_size, os.stat(path).st_mtime_ns) for name, path in found.items()}
    report = Report(files=len(found))
    gone = store.gone()
    known: set[str] = set()
    left: set[str] = set()
    for place, row in enumerate(store.rows()):
        if gone[place]:
            continue
        if stats.get(row.file) == (row.size, row.changed):
            known.add(row.file)
        else:
            gone[place] = True
            left.add(row.file)
    report.gone = len(left)
    store.hide(gone)
    waiting, way = _Waiting(), Way(joint_map, up)
    place_of_way = store.place_of(way)
    todo = [name for name in sorted(found) if name not in known]
    for name in tqdm(todo, desc="index", unit="file", leave=False, disable=None):
        try:
            with reading(found[name], "motion"):
                _read(name, found[name], stats[name], reader, waiting, way, place_of_way)
        except UserError as error:
            draft = error.draft if isinstance(error, UnknownSkeletonError) else {}
            report.left_out.append((str(error), draft))
            say(f"left out: {told(error)}")
            continue
        report.read += 1
        if len(waiting.rows) >= TOGETHER:
            _write(store, reader, waiting, report)
    _write(store, reader, waiting, report)
    everything = np.zeros(len(store), dtype=bool)
    everything[: len(gone)] = gone
    store.hide(everything)
    report.note = update_table(store)
    return report


def _read(
    name: str,
    path: Path,
    stat: tuple[int, int],
    reader: MotionReader,
    waiting: _Waiting,
    way: Way,
    place_of_way: int,
) -> None:
    motion = read_motion(path, way.joint_map, way.up)
    features = reader.features(motion)
    cuts, fps = reader.cut(features), reader.captioner.skeleton.fps
    for part, (start, stop) in enumerate(cuts):
        row = Row(name, *stat, start / fps, stop / fps, "", -1, part, len(cuts), place_of_way)
        waiting.rows.append(row)
        waiting.features.append(features[start:stop])


def _write(store: Store, reader: MotionReader, waiting: _Waiting, report: Report) -> None:
    """Describe what waits and put it into the library."""
    if not waiting.rows:
        return
    queries = reader.embed(waiting.features)
    means = pooled(queries).numpy().astype(np.float16)
    shapes = np.stack([shape_of(part, reader.captioner.skeleton) for part in waiting.features]).astype(np.float16)
    originals = list(_originals(store, means, shapes))
    new = [place for place, original in enumerate(originals) if original < 0]
    captions: dict[int, str] = {}
    if new:
        captions = dict(zip(new, reader.captions([waiting.features[place] for place in new])))
    base = len(store)
    rows = []
    for place, (row, original) in enumerate(zip(waiting.rows, originals)):
        if original >= base:
            caption = captions[original - base]
        else:
            caption = captions[place] if original < 0 else store.row(original).caption
        rows.append(replace(row, caption=caption, copy_of=original))
    store.append(rows, {"queries": queries.numpy(), "pooled": means, "shapes": shapes})
    report.segments += len(rows)
    report.copies += len(rows) - len(new)
    waiting.rows.clear()
    waiting.features.clear()


def _originals(store: Store, means: np.ndarray, shapes: np.ndarray) -> Iterator[int]:
    """For each new segment the row that it is a copy of, or -1; copies of copies are of the first."""
    base = len(store)
    near = _near(store, means)
    mine: list[int] = []
    for place, shape in enumerate(shapes):
        rows = near[place]
        alike = rows[copies(store.array("shapes")[rows], shape)] if len(rows) else rows
        among = [other for other in mine if copies(shapes[[other]], shape)[0]]
        if len(alike):
            yield int(alike[0])
        elif among:
            yield base + among[0]
        else:
            mine.append(place)
            yield -1


def _near(store: Store, means: np.ndarray) -> list[np.ndarray]:
    """For each of some embeddings the rows of the library whose embedding is much the same."""
    shown, known = store.shown(), store.array("pooled")
    wanted = torch.from_numpy(means).float()
    found: list[list[np.ndarray]] = [[np.zeros(0, dtype=int)] for _ in means]
    for start in range(0, len(known), _ROWS):
        alike = wanted @ torch.from_numpy(known[start : start + _ROWS].astype(np.float32)).T > _NEAR
        for place, rows in enumerate(alike.numpy() & shown[start : start + _ROWS]):
            found[place].append(start + np.flatnonzero(rows))
    return [np.concatenate(parts) for parts in found]
