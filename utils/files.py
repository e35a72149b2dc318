"""Writing files so that a crash or a full disk never leaves a half-written one behind."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamp.utils.errors import UserError

LONGEST_NAME = 200
"""Characters of a name of a file or folder; file systems take 255 bytes, and suffixes are added."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); on success it replaces `path`, on failure it is removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; on success it replaces `folder` whole, on failure it is removed."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    aside.mkdir()
    try:
        yield aside
        old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
        if folder.exists():
            os.replace(folder, old)
        os.replace(aside, folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


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


def is_plain_name(name: str) -> bool:
    """Whether a name given by a user can become a file or folder, and only one right where it is put."""
    return (
        0 < len(name) <= LONGEST_NAME
        and name not in (".", "..")
        and not any(character in "/\\:" or ord(character) < 32 for character in name)
    )


def shown(name: str, longest: int = 60) -> str:
    """A user's word for a message: quoted, and cut where it is long."""
    return repr(name if len(name) <= longest else f"{name[:longest]}...")
