"""Writers of motion files, one module a format: npy, npz, BVH, stick-figure mp4.

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


def writer_of(suffix: str) -> "Callable[[Motion, Path], None]":
    """What writes a motion into a file with a suffix of `WRITERS`; imported now, since some need further libraries."""
    return import_module(f"lamp.utils.export.{WRITERS[suffix]}").write
