"""Options of editing motions."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lamp.options.gen import MotionOptions
from lamp.utils.cli import alias
from lamp.utils.errors import UserError
from lamp.utils.files import shown

_NUMBER = re.compile(r"(\d{1,9}(?:\.\d*)?|\.\d+)(s?)")


@dataclass(kw_only=True)
class EditOptions(MotionOptions):
    """Edit a motion: make sections of it anew from a text."""

    source_motion: Path | None = None
    """motion file: .npy (features or joints), .npz, .bvh, .amc (with its .asf)"""
    mask_edit_section: list[str] = field(default_factory=list, metadata=alias("-msec"))
    """sections "start,end" that are made anew: 0.2,0.5 with a point is a part of the motion, 40,80 are frames (20 a
    second; KIT-ML 12.5), 2s,3.5s seconds"""
    text_prompt: str = ""
    """what happens in the sections"""
    motion_length: int = 0
    """frames of the result: what the source lacks is made anew, too, and what it has too much is left out; 0: the
    source's"""
    use_res_model: bool = True
    """make the residual levels of the sections, too; without them they are coarse"""
    keep_frames: bool = True
    """outside the sections the source's own frames, not what its tokens make of them"""
    candidates: int = 8
    """ways to make a section that are tried; the one with the smoothest borders is taken"""
    output_dir: Path = Path("./editing")
    """where output folders are"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the source; found, and of arrays checked to be +y, when not given"""
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the source"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source_motion is None:
            raise UserError("--source_motion is missing; name the motion file to edit")
        if not self.text_prompt.strip():
            raise UserError("--text_prompt is missing; write what happens in the sections")
        if not self.mask_edit_section and not self.motion_length:
            raise UserError("--mask_edit_section is missing; give start,end of what is to be made anew, like 0.2,0.5")
        if self.candidates < 1:
            raise UserError(f"--candidates {self.candidates} must be at least 1")
        if self.best_of > 1:
            raise UserError("--best_of makes whole motions; --candidates says how many ways are tried here")
        self.sections()

    def sections(self) -> tuple[list[tuple[float, float]], Literal["frames", "seconds", "fraction"]]:
        """Starts and ends of --mask_edit_section, and their unit.

        Raises:
            UserError: one is no section, or they have several units.
        """
        found = [_section(text) for text in self.mask_edit_section]
        units = {unit for _, _, unit in found}
        if len(units) > 1:
            raise UserError(f"--mask_edit_section has {' and '.join(sorted(units))}; give all sections in one unit")
        return [(start, end) for start, end, _ in found], units.pop() if units else "frames"


def _section(text: str) -> tuple[float, float, Literal["frames", "seconds", "fraction"]]:
    """Start, end and unit of a section."""
    parts = [_NUMBER.fullmatch(part.strip()) for part in text.split(",")]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        raise UserError(
            f"--mask_edit_section {shown(text)} is no section; write start,end like 0.2,0.5 or 40,80 or 2s,3.5s"
        )
    start, end = (float(part[1]) for part in parts if part is not None)
    seconds = {part[2] for part in parts if part is not None}
    if len(seconds) > 1 and start:
        raise UserError(f"--mask_edit_section {shown(text)} has two units; write start,end like 2s,3.5s")
    if "s" in seconds:
        return start, end, "seconds"
    return start, end, "fraction" if "." in text else "frames"
