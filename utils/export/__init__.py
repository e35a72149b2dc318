"""Writers of motion files, one module a format (docs/formats.md).

A new format is one more module with `write(motion, path)`, and a line in `WRITERS`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

WRITERS = {".npy": "npy", ".npz": "npz", ".bvh": "bvh", ".mp4": "video"}
"""By suffix: the module of this folder that writes such files."""
FORMATS = {suffix.split(".")[1]: suffix for suffix in WRITERS}
"""Suffixes by the name of the format, which is what the suffix begins with."""


def suffix_of(name: str) -> str | None:
    """The suffix of `WRITERS` that a file name ends with, of several the longest; None: it is no format of ours."""
    return max((suffix for suffix in WRITERS if name.lower().endswith(suffix)), key=len, default=None)


def writer_of(suffix: str) -> "Callable[[Motion, Path], None]":
    """What writes a motion into a file with a suffix of `WRITERS`; imported now, since some need further libraries."""
    return import_module(f"lamp.utils.export.{WRITERS[suffix]}").write
