"""Writers of motion files, one module a format (docs/formats.md).

A new format is one more module with `write(motion, path)`, and a line in `WRITERS`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.utils.errors import UserError
from lamp.utils.files import shown

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

WRITERS = {
    ".npy": "export.npy",
    ".npz": "export.npz",
    ".bvh": "export.bvh",
    ".glb": "gltf.glb",
    ".vrma": "gltf.vrma",
    ".smpl.npz": "export.smpl",
    ".mp4": "export.video",
    ".html": "viewer.page",
}
"""By the end of a file's name: the module of `lamp.utils` that writes such files."""
FORMATS = {suffix.split(".")[1]: suffix for suffix in WRITERS}
"""Suffixes by the name of the format, which is what the suffix begins with."""


def suffix_of(name: str, flag: str = "") -> str:
    """The suffix of a format that a user names; `flag` is what it was given with, for the error.

    Raises:
        UserError: there is no such format.
    """
    if name not in FORMATS:
        raise UserError(f"{flag} {shown(name)}: the formats are {', '.join(FORMATS)}".lstrip())
    return FORMATS[name]


def format_of(name: str) -> str | None:
    """The suffix of `WRITERS` that a file name ends with, of several the longest; None: it is no format of ours."""
    return max((suffix for suffix in WRITERS if name.lower().endswith(suffix)), key=len, default=None)


def writer_of(suffix: str) -> "Callable[[Motion, Path], None]":
    """What writes a motion into a file with a suffix of `WRITERS`; imported now, since some need further libraries."""
    return import_module(f"lamp.utils.{WRITERS[suffix]}").write


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write a file inside.

    Raises:
        UserError: the system cannot.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
