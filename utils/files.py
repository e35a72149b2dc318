"""Writing files so that a crash or a full disk never leaves a half-written one behind."""

import ctypes
import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamp.utils.errors import UserError, disk_full, is_disk_full
from lamp.utils.litter import done_with, name_aside, remove, sweep, sweep_once

LONGEST_NAME = 200
"""Bytes of a name of a file or folder; file systems take 255, and suffixes are added."""
_MANY = 200
"""Files from which on everything is written to disk at once rather than file by file."""
_TRIES = 5


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); on success it replaces `path`, on failure it is removed.

    A symbolic link stays one: what it points to is replaced. What a killed process was writing there is removed.

    Raises:
        UserError: the disk is full.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_once(path.parent)
    aside = name_aside(path.with_suffix(""), path.suffix, cut=True)
    try:
        yield aside
        _flush(aside)
        os.replace(aside, path)
        _flush(path.parent)
    except (OSError, RuntimeError) as error:
        if is_disk_full(error, path):
            raise disk_full(path) from error
        raise
    finally:
        aside.unlink(missing_ok=True)
        done_with(aside)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; on success it replaces `folder` whole, on failure it is removed.

    Where the system can exchange two folders (Linux, macOS) there is no moment without `folder`. Elsewhere there is
    one, in which its contents have another name, see `lamp.utils.litter.standing`; if the process is killed in it,
    the next one puts them back. A symbolic link stays one: what it points to is replaced.

    Raises:
        UserError: the disk is full.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    aside = name_aside(folder)
    try:
        aside.mkdir()
        yield aside
        flush_tree(aside)
        _replace_folder(aside, folder)
        _flush(folder.parent)
    except (OSError, RuntimeError) as error:
        if is_disk_full(error, folder):
            raise disk_full(folder) from error
        raise
    finally:
        remove(aside)
        done_with(aside)


def _replace_folder(aside: Path, folder: Path) -> None:
    """Put `aside` where `folder` is; what was there is removed, or has the name of `aside` then."""
    for attempt in range(_TRIES):
        if folder.is_dir() and _exchange(aside, folder):
            return
        old = name_aside(folder, ".old")
        try:
            if folder.exists():
                os.replace(folder, old)
            os.replace(aside, folder)
            return
        except BaseException as error:
            if old.exists() and not folder.exists():
                os.replace(old, folder)
            # Another process that replaced the same folder meanwhile is no reason to fail.
            if not isinstance(error, OSError) or attempt == _TRIES - 1:
                raise
        finally:
            if folder.exists():
                remove(old)
            done_with(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; whether system and file system can."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return library.renamex_np(os.fsencode(one), os.fsencode(other), 2) == 0  # RENAME_SWAP
        here = -100  # AT_FDCWD
        return library.renameat2(here, os.fsencode(one), here, os.fsencode(other), 2) == 0  # RENAME_EXCHANGE
    except (AttributeError, OSError, TypeError):  # an old C library, or Windows
        return False


def _flush(path: Path) -> None:
    """Have a file, or a folder's list of names, written to the disk itself."""
    if path.is_dir() and os.name == "nt":
        return  # folders cannot be opened there
    try:
        number = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        # Not every file system can do this, for folders above all; but what it cannot keep is an error.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise


def flush_tree(folder: Path) -> None:
    """Have everything below a folder written to the disk itself."""
    # Of folders the lists of names, after what they name.
    found = [(Path(parent), names) for parent, _, names in os.walk(folder, topdown=False)]
    paths = [path for parent, names in found for path in (*(parent / name for name in names), parent)]
    if len(paths) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        _flush(path)


def check_replaceable(folder: str | Path, marker: str) -> None:
    """Make sure that replacing `folder` loses nothing but what the same tool wrote there.

    Args:
        folder: to be replaced whole.
        marker: file that the tool leaves in its folders.

    Raises:
        UserError: the folder holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / marker).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and was not made by this command; name another --out folder")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a UTF-8 JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def files_below(folder: str | Path, *suffixes: str, follow_links: bool = False) -> list[Path]:
    """Files in a folder and the folders below it, sorted; those with some suffixes (".bvh") in any case, or all.

    Raises:
        UserError: one of the folders cannot be listed, so that what is in it would be left out without a word.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot list {error.filename}: {error.strerror}; make the folder readable") from error

    walk = os.walk(folder, onerror=refuse, followlinks=follow_links)
    paths = (Path(parent) / name for parent, _, names in walk for name in names)
    return sorted(path for path in paths if (not suffixes or path.suffix.lower() in suffixes) and path.is_file())


def is_plain_name(name: str) -> bool:
    """Whether a name given by a user can become a file or folder, and only one right where it is put."""
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= LONGEST_NAME
        and name not in (".", "..")
        and not any(character in "/\\:" or ord(character) < 32 for character in name)
    )


def is_below(name: str) -> bool:
    """Whether a name with / in it, relative to a folder, leads to a place below that folder."""
    return bool(name) and "\0" not in name and not name.startswith("/") and ".." not in name.split("/")


def shown(name: str, longest: int = 60) -> str:
    """A user's word for a message: quoted, and cut where it is long."""
    return repr(name if len(name) <= longest else f"{name[:longest]}...")
