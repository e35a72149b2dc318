"""All motions of a data folder in one memory-mapped array, and all its captions in one memory-mapped file.

HumanML3D is 58,456 small files; opening them takes minutes on a cold disk. The first use concatenates them beside the
data; later uses map the result. Motions and captions are each keyed by names, sizes and times of their files, so that a
change rebuilds them.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from tqdm import tqdm

from lamp.data.captions import CaptionStore, mapped, read_lines, write_lines
from lamp.data.corpus.names import ChosenNames
from lamp.data.spec import DatasetSpec, is_sharded
from lamp.data.text import Caption, parse_captions
from lamp.utils.errors import UserError
from lamp.utils.files import atomic_folder, read_json, write_json
from lamp.utils.reading import numbers, read_npy

CACHE_VERSION = 2
FRAMES_FILE = "frames.npy"
INDEX_FILE = "index.json"

logger = logging.getLogger(__name__)


class FrameRows(Protocol):
    """Rows (F, D) of all clips one after the other: an array, or what is indexed like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class MotionCache:
    """Motions and captions of a data folder.

    Attributes:
        folders: where motions and captions of the cache lie.
        frames: (F, D) float32, all clips one after the other; memory-mapped, read-only.
        names: clip ids, in order.
        rows: index of each clip id.
        offsets, lengths: (N,) first row and number of rows of each clip.
        captions: of each clip that has a text file.
        problems: what was left out, by kind, each entry naming a file.
    """

    folders: tuple[Path, Path]
    frames: FrameRows
    names: Sequence[str]
    rows: Mapping[str, int]
    offsets: np.ndarray
    lengths: np.ndarray
    captions: CaptionStore
    problems: dict[str, list[str]]

    def find(self, names: Sequence[str]) -> np.ndarray:
        """Rows (n,) of those of some clips that there are."""
        if isinstance(names, ChosenNames):
            return names.rows
        return np.array([self.rows[name] for name in names if name in self.rows], dtype=np.int64)

    def caption_places(self, rows: np.ndarray) -> np.ndarray:
        """Where the captions of some clips are: places (n, 2) of the first and of the one after the last."""
        bounds, numbers = self.captions.bounds, self.captions.numbers
        if numbers is self.rows:
            found = rows
        else:
            found = np.array([numbers.get(self.names[row], -1) for row in rows], dtype=np.int64)
        return np.stack((bounds[found], bounds[found + 1]), axis=1) * (found >= 0)[:, None]

    def motion(self, name: str) -> np.ndarray:
        """Features (T, D) of a clip; a read-only view."""
        row = self.rows[name]
        return self.frames[self.offsets[row] : self.offsets[row] + self.lengths[row]]

    def __reduce__(self) -> tuple[Callable[..., "MotionCache"], tuple[Path, Path]]:
        # A spawned worker maps the file again; the default would copy the frames through a pipe.
        return _read, self.folders


def open_cache(spec: DatasetSpec) -> MotionCache:
    """The cache of a data folder, built if it is missing or out of date; of a folder of shards, what it has.

    Raises:
        UserError: the folder has no usable motion, or no place can be written for the cache.
    """
    if is_sharded(spec):
        from lamp.data.corpus.shards import open_shards  # which needs what is here

        return open_shards(spec)
    motions, texts = list_files(spec.motion_folder, ".npy"), list_files(spec.text_folder, ".txt")
    motion_part = _part(
        spec.root, "motions", (spec.feature_dim, motions), lambda folder: _build_motions(spec, motions, folder)
    )
    text_part = _part(
        spec.root, spec.text_folder.name, ("lines", texts), lambda folder: _build_captions(spec, texts, folder)
    )
    return _read(motion_part, text_part)


def _part(root: Path, kind: str, facts: object, build: Callable[[Path], dict[str, list[str]]]) -> Path:
    """Folder of one part of the cache; where it does not exist yet, `build` fills it and returns what it left out."""
    key = f"{kind}-{hashlib.blake2b(repr((CACHE_VERSION, facts)).encode(), digest_size=8).hexdigest()}"
    homes = _homes(root)
    for home in homes:
        if (home / key).is_dir():
            return home / key
    chosen = next((home for home in homes if _writable(home)), None)
    if chosen is None:
        raise UserError(f"none of {', '.join(map(str, homes))} can be written; make one of them writable for the cache")
    with _one_process(chosen):
        if (chosen / key).is_dir():  # another process built it meanwhile
            return chosen / key
        try:
            with atomic_folder(chosen / key) as aside:
                problems = build(aside)
        except OSError as error:
            raise UserError(f"cannot build the cache in {chosen} ({error}); free space or make it writable") from error
        for old in chosen.glob(f"{kind}-*"):
            if old.name != key:
                shutil.rmtree(old, ignore_errors=True)
    for text, entries in problems.items():
        logger.warning("%s: %d %s (%s)", root, len(entries), text, shorten(entries))
    return chosen / key


@contextmanager
def _one_process(folder: Path) -> Iterator[None]:
    """Context that one process of a machine is in at a time; the others wait for it.

    Where a folder cannot be locked (Windows, some network file systems) nobody waits, and each builds for itself.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def shorten(entries: list[str], limit: int = 5) -> str:
    """The first entries of a list, for a message."""
    return ", ".join(entries[:limit]) + (", ..." if len(entries) > limit else "")


def _homes(root: Path) -> list[Path]:
    """Places for the cache in order of preference: beside the data, else in the user's cache folder."""
    digest = hashlib.blake2b(str(root.resolve()).encode(), digest_size=8).hexdigest()
    return [root / ".cache", Path.home() / ".cache" / "lamp" / digest]


def _writable(home: Path) -> bool:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(home, os.W_OK)


def list_files(folder: Path, suffix: str) -> dict[str, tuple[int, int]]:
    """Size and modification time of each file of a folder, by stem, in order of name."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        found = {
            entry.name[: -len(suffix)]: (entry.stat().st_size, entry.stat().st_mtime_ns)
            for entry in entries
            if entry.name.endswith(suffix) and not entry.name.startswith(".")
        }
    return dict(sorted(found.items()))


def _build_motions(spec: DatasetSpec, names: Iterable[str], folder: Path) -> dict[str, list[str]]:
    """Write frames and index into `folder`."""
    used: list[str] = []
    lengths: list[int] = []
    problems: dict[str, list[str]] = {}
    with open(folder / FRAMES_FILE, "wb") as file:
        _write_header(file, 0, spec.feature_dim)
        for name, motion in read_motions(spec, list(names), problems):
            used.append(name)
            lengths.append(len(motion))
            file.write(motion.data)
        file.seek(0)
        _write_header(file, sum(lengths), spec.feature_dim)
    if not used:
        first = next(iter(problems.values()), [f"{spec.motion_folder} is empty"])[0]
        raise UserError(
            f"{spec.root} has no motion with {spec.feature_dim} features ({first}); "
            f"check --data_root, and that --dataset_name {spec.name} is the right format"
        )
    write_json(folder / INDEX_FILE, {"names": used, "lengths": lengths, "problems": problems})
    return problems


def _build_captions(spec: DatasetSpec, names: Iterable[str], folder: Path) -> dict[str, list[str]]:
    """Write the captions into `folder`."""
    problems: dict[str, list[str]] = {}
    used = list(names)
    write_lines(folder, read_captions(spec, used, problems))
    write_json(folder / INDEX_FILE, {"names": used, "problems": problems})
    return problems


def read_captions(spec: DatasetSpec, names: list[str], problems: dict[str, list[str]]) -> Iterator[list[Caption]]:
    """Captions of each clip; broken lines are entered in `problems`."""
    for name in tqdm(names, desc="reading captions", disable=None):
        parsed = parse_captions((spec.text_folder / f"{name}.txt").read_text(encoding="utf-8-sig", errors="replace"))
        if parsed.problems:
            problems.setdefault("broken caption lines", []).extend(f"{name}.txt {text}" for text in parsed.problems)
        yield parsed.captions


def read_motions(
    spec: DatasetSpec, names: list[str], problems: dict[str, list[str]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and float32 features (T, D) of each usable clip; the others are entered in `problems`."""
    for name in tqdm(names, desc="reading motions", disable=None):
        try:
            motion = numbers(read_npy(spec.motion_folder / f"{name}.npy"), name)
        except (UserError, OSError) as error:
            problems.setdefault("unreadable motions", []).append(f"{name}.npy: {error}")
            continue
        if motion.ndim != 2 or motion.shape[1] != spec.feature_dim or not len(motion):
            problems.setdefault("motions of a wrong shape", []).append(f"{name}.npy has shape {motion.shape}")
            continue
        with np.errstate(over="ignore"):  # what is too large is infinite, which is left out
            motion = np.ascontiguousarray(motion, dtype=np.float32)
        if not np.isfinite(motion).all():
            problems.setdefault("motions with NaN or infinity", []).append(f"{name}.npy")
            continue
        yield name, motion


def _write_header(file: BinaryIO, rows: int, columns: int) -> None:
    """Header of an .npy file; NumPy pads it so that it keeps its size when the first axis grows."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, columns)}
    np.lib.format.write_array_header_1_0(file, header)


@lru_cache(maxsize=8)
def _read(motion_part: Path, text_part: Path) -> MotionCache:
    index, texts = read_json(motion_part / INDEX_FILE), read_json(text_part / INDEX_FILE)
    lengths = np.array(index["lengths"], dtype=np.int64)
    numbers = {name: number for number, name in enumerate(texts["names"])}
    return MotionCache(
        folders=(motion_part, text_part),
        frames=mapped(motion_part / FRAMES_FILE),
        names=tuple(index["names"]),
        rows={name: row for row, name in enumerate(index["names"])},
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        captions=CaptionStore(text_part, numbers, read_lines(text_part)),
        problems=index["problems"] | texts["problems"],
    )
