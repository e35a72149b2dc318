"""Options of looking at motions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lamp.utils.cli import positional
from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class ViewOptions:
    """Look at motions in a browser."""

    files: list[Path] = field(metadata=positional("FILE"))
    """motion files: .npy, .npz, .bvh, .amc, or folders of them; several stand side by side"""
    out: Path | None = None
    """page to write; by default generation/view/<name of the first file>.html"""
    title: str = ""
    """title of the page; by default the prompt of a single motion"""
    open: bool = True
    """open the page in the browser"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the files; found, and of arrays checked to be +y, when not given"""
    unit: float | None = None
    """metres in the unit of captures, for instance 0.01; told by the length of the legs when not given"""
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the file"""

    def __post_init__(self) -> None:
        if self.unit is not None and not 1e-6 <= self.unit <= 1e3:
            raise UserError(f"--unit {self.unit:g} must be the metres in a unit, for instance 0.01 for centimetres")
        if self.out is None:
            first = self.files[0]
            self.out = Path("generation/view") / f"{first.stem or first.resolve().name or 'motions'}.html"
        if self.out.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--out {self.out} must end in .html")
        if self.out.is_dir():
            raise UserError(f"--out {self.out} is a folder; name a file in it")
