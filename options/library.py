"""Options of libraries of motion: making and searching them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lamp.utils.cli import positional
from lamp.utils.errors import UserError

MOST_ANSWERS = 1000


@dataclass(kw_only=True)
class LibraryModelOptions:
    """Models"""

    models: str = ""
    """folder or hub id with tokenizer, lamp and m2t; by default the shipped checkpoints/mini"""
    gpu_id: int | None = None
    """GPU, -1 for the CPU; by default the best device"""

    def __post_init__(self) -> None:
        if self.gpu_id is not None and self.gpu_id < -1:
            raise UserError(f"--gpu_id {self.gpu_id}: give a GPU's number, or -1 for the CPU")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: captioners are language models of transformers."""
        return ("transformers",)


@dataclass(kw_only=True)
class IndexOptions(LibraryModelOptions):
    """Make a library of a folder of motion files, or bring it up to date."""

    folder: Path = field(metadata=positional("FOLDER"))
    """folder of motion files: .bvh, .amc (with its .asf), .npy, .npz; folders below it count too"""
    out: Path = Path("library")
    """folder of the library"""
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the files"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the files; found, and of arrays checked to be +y, when not given"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.folder.is_dir():
            raise UserError(f"FOLDER {self.folder} is not a folder; name one with motion files")
        if self.out.resolve() == self.folder.resolve():
            raise UserError(f"--out {self.out} is FOLDER itself; choose another folder")


@dataclass(kw_only=True)
class SearchOptions(LibraryModelOptions):
    """Search a library of motion by a sentence or a motion."""

    query: str = field(metadata=positional("QUERY"))
    """a sentence, or the path of a motion file, whose like is searched for"""
    library: Path = Path("library")
    """folder that lamp index made"""
    count: int = 10
    """how many answers"""
    json: bool = False
    """print the answers as JSON"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.count <= MOST_ANSWERS:
            raise UserError(f"--count {self.count}: give 1 to {MOST_ANSWERS}")
        if not self.query.strip():
            raise UserError("QUERY is empty; write what the person does")
