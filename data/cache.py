"""All motions of a data folder in one memory-mapped array, and all its captions in one file.

HumanML3D is 58,456 small files; opening them takes minutes on a cold disk. The first use concatenates them beside the
data; later uses map the result. Motions and captions are each keyed by names, sizes and times of their files, so that a
change rebuilds them.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from lamp.data.spec import DatasetSpec
from lamp.data.text import Caption, parse_captions
from lamp.utils.errors import UserError
from lamp.utils.files import atomic_folder, read_json, write_json
from lamp.utils.reading import numbers, read_npy

CACHE_VERSION = 2
FRAMES_FILE = "frames.npy"
INDEX_FILE = "index.json"
CAPTIONS_FILE = "captions.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MotionCache:
    """Motions and captions of a data folder.

    Attributes:
        folders: where motions and captions of the cache lie.
        frames: (F, D) float32, all clips one after the other; memory-mapped, read-only.
        names: clip ids.
        offsets, lengths: (N,) first row and number of rows of each clip.
        captions: of each clip that has a text file.
        problems: what was left out, by kind, each entry naming a file.
    """

    folders: tuple[Path, Path]
    frames: np.ndarray
    names: tuple[str, ...]
    offsets: np.ndarray
    lengths: np.ndarray
    captions: dict[str, tuple[Caption, ...]]
    problems: dict[str, list[str]]

    @cached_property
    def rows(self) -> dict[str, int]:
        """Index of each clip id."""
        return {name: row for row, name in enumerate(self.names)}

    def motion(self, name: str) -> np.ndarray:
        """Features (T, D) of a clip; a read-only view."""
        row = self.rows[name]
        return self.frames[self.offsets[row] : self.offsets[row] + self.lengths[row]]

    def __reduce__(self) -> tuple[Callable[..., "MotionCache"], tuple[Path, Path]]:
        # A spawned worker maps the file again; the default would copy the frames through a pipe.
        return _read, self.folders


def open_cache(spec: DatasetSpec) -> MotionCache:
    """The cache of a data folder, built if it is missing or out of date.

    Raises:
        UserError: the folder has no usable motion, or no place can be written for the cache.
    """
    motions, texts = _files(spec.motion_folder, ".npy"), _files(spec.text_folder, ".txt")
    motion_part = _part(
        spec.root, "motions", (spec.feature_dim, motions), lambda folder: _build_motions(spec, motions, folder)
    )
    text_part = _part(spec.root, spec.text_folder.name, texts, lambda folder: _build_captions(spec, texts, folder))
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


def _files(folder: Path, suffix: str) -> dict[str, tuple[int, int]]:
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
        for name, motion in _motions(spec, list(names), problems):
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
    captions, broken = {}, []
    for name in tqdm(list(names), desc="reading captions", disable=None):
        parsed = parse_captions((spec.text_folder / f"{name}.txt").read_text(encoding="utf-8-sig", errors="replace"))
        captions[name] = [(c.text, " ".join(c.tokens), c.start, c.end) for c in parsed.captions]
        broken += [f"{name}.txt {text}" for text in parsed.problems]
    problems = {"broken caption lines": broken} if broken else {}
    # Without indentation: HumanML3D has 87,000 captions.
    text = json.dumps({"captions": captions, "problems": problems}, ensure_ascii=False)
    (folder / CAPTIONS_FILE).write_text(text, encoding="utf-8")
    return problems


def _motions(spec: DatasetSpec, names: list[str], problems: dict[str, list[str]]) -> Iterator[tuple[str, np.ndarray]]:
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
    index, texts = read_json(motion_part / INDEX_FILE), read_json(text_part / CAPTIONS_FILE)
    lengths = np.array(index["lengths"], dtype=np.int64)
    captions = {
        name: tuple(Caption(text, tags.split(), start, end) for text, tags, start, end in entries)
        for name, entries in texts["captions"].items()
    }
    return MotionCache(
        folders=(motion_part, text_part),
        # A plain array view: indexing a memmap object itself is slower.
        frames=np.asarray(np.load(motion_part / FRAMES_FILE, mmap_mode="r")),
        names=tuple(index["names"]),
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        captions=captions,
        problems=index["problems"] | texts["problems"],
    )
