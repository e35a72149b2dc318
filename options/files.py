"""Options of motion files: other formats, looking at them, libraries of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lamp.utils.cli import positional
from lamp.utils.errors import UserError
from lamp.utils.export import WRITERS, format_of, suffix_of
from lamp.utils.export.npz import RATES

MOST_ANSWERS = 1000


@dataclass(kw_only=True)
class ConvertOptions:
    """Convert motion files."""

    source: Path = field(metadata=positional("IN"))
    """motion file: .npy (features or joints), .npz, .bvh, .amc (with its .asf); or a folder of them"""
    out: Path = field(metadata=positional("OUT"))
    """file to write, whose suffix names the format; for a folder IN a folder, with --to"""
    to: str = ""
    """format of the files of a folder: npy npz bvh mp4 ... (docs/formats.md)"""
    fps: float | None = None
    """frames a second of the result, by interpolated rotations; by default the file's own"""
    in_place: bool = False
    """take the travel out: the root stays above the origin"""
    up: Literal["+x", "-x", "+y", "-y", "+z", "-z"] | None = None
    """up axis of the files; found, and of arrays checked to be +y, when not given"""
    unit: float | None = None
    """metres in the unit of captures, for instance 0.01; told by the length of the legs when not given"""
    joint_map: Path | None = None
    """for a skeleton with other joint names: JSON from our 22 joint names to those of the file"""
    character: Path | None = None
    """rigged humanoid (.glb, .vrm) that gets the motion; OUT is the same file with an animation"""
    character_map: Path | None = None
    """for a character with other bone names: JSON from our 22 joint names to those of its bones"""

    def __post_init__(self) -> None:
        low, high = RATES
        if self.fps is not None and not low <= self.fps <= high:
            raise UserError(f"--fps {self.fps:g} must be {low:g} to {high:g}")
        if self.unit is not None and not 1e-6 <= self.unit <= 1e3:
            raise UserError(f"--unit {self.unit:g} must be the metres in a unit, for instance 0.01 for centimetres")
        if self.character_map is not None and self.character is None:
            raise UserError("--character_map goes with --character")
        if self.character is not None:
            self._check_character()
        if self.to:
            suffix_of(self.to, "--to")
        if self.source.is_dir():
            if not self.to:
                raise UserError(f"{self.source} is a folder; name the format of its files with --to, for instance bvh")
            if self.out.is_file():
                raise UserError(f"OUT {self.out} is a file; for a folder IN name a folder")
        elif self.to:
            raise UserError("--to goes with a folder IN; the format of a single file is the suffix of OUT")
        elif self.out.is_dir() or (self.character is None and format_of(self.out.name) is None):
            raise UserError(f"OUT {self.out} must end in one of {', '.join(WRITERS)}")

    def _check_character(self) -> None:
        if self.source.is_dir():
            if self.to != "glb":
                raise UserError("--character goes with --to glb")
        elif self.out.suffix.lower() not in (".glb", ".vrm"):
            raise UserError(f"OUT {self.out} must end in .glb or .vrm with --character")


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
