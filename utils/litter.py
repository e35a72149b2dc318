"""Names of files and folders that are being written, and what of them a killed process left behind."""

import os
import re
import shutil
import socket
import uuid
import zlib
from functools import cache, lru_cache
from pathlib import Path

_MARK = re.compile(
    r"\.(?P<target>.+)\.tmp-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}(?P<old>\.old)?(\.[^.]*)?", re.DOTALL
)
_LONGEST_STEM = 60
_under_way: set[Path] = set()
"""What this process itself is writing."""


def name_aside(target: Path, suffix: str = "", cut: bool = False) -> Path:
    """A name beside `target` that says who writes it: `.<target>.tmp-<host>-<process>-<number><suffix>`.

    Args:
        target: file or folder that is to be written.
        suffix: end of the name.
        cut: shorten the target's name, which then cannot be told from the result.
    """
    name = target.name[:_LONGEST_STEM] if cut else target.name
    aside = target.with_name(f".{name}.tmp-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{suffix}")
    _under_way.add(aside)
    return aside


def done_with(aside: Path) -> None:
    """Say that what had this name is gone."""
    _under_way.discard(aside)


def public_name(name: str) -> str:
    """The name of what is written under a name that `name_aside` gave; other names stay."""
    found = _MARK.fullmatch(name)
    return found["target"] if found else name


def standing(folder: Path) -> Path:
    """Where the contents of `folder` are: there, or put aside for the moment in which they are being replaced."""
    if folder.exists() or not folder.parent.is_dir():
        return folder
    found = (path for path in folder.parent.glob(".*.old") if _target(path) == folder.name)
    return max(found, key=lambda path: path.stat().st_mtime, default=folder)


def sweep(parent: Path) -> None:
    """Remove what killed processes were writing in a folder, and put back what they were just replacing.

    What a living process writes, or one on another machine, stays. Nothing is an error: who cannot write here cannot
    have left anything.
    """
    try:
        left = [path for path in parent.iterdir() if _is_abandoned(path)]
    except OSError:
        return
    for path in sorted(left, key=lambda path: path.name.endswith(".old"), reverse=True):
        target = parent / (_target(path) or "")
        try:
            if _target(path) is not None and not target.exists():
                os.replace(path, target)
        except OSError:
            continue
        remove(path)


@lru_cache(maxsize=256)  # an app saves into a new folder for each download
def sweep_once(parent: Path) -> None:
    """`sweep`, once in the life of this process."""
    sweep(parent)


def remove(path: Path) -> None:
    """Remove a file or a whole folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return


def _target(path: Path) -> str | None:
    """Name of the folder whose contents were put aside under this name; None if they were not."""
    found = _MARK.fullmatch(path.name)
    return found["target"] if found and found["old"] else None


def _is_abandoned(path: Path) -> bool:
    found = _MARK.fullmatch(path.name)
    if found is None or found["host"] != _host() or path in _under_way:
        return False
    return int(found["pid"]) == os.getpid() or not is_running(int(found["pid"]), path)


def is_running(pid: int, evidence: Path) -> bool:
    """Whether the process that wrote `evidence` still runs; another one may have got its number since."""
    import psutil  # seldom needed, so not imported with everything else

    try:
        return psutil.Process(pid).create_time() <= evidence.lstat().st_mtime + 1
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


@cache
def _host() -> str:
    """This machine, as eight hexadecimal digits."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
