"""What HumanML3D is made from: its index of clips, the recordings of AMASS and HumanAct12, captions and split files."""

import csv
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path, files_below
from lamp.utils.reading import check_packed, npy_of_bytes, one_line, read_names, read_npy, reading

HUMANACT12 = "humanact12"
SPLITS = ("train", "val", "test", "train_val", "all")
# Subsets in the index, by their folders' names when HumanML3D was made -> other names of today.
ALIASES: dict[str, tuple[str, ...]] = {
    "ACCAD": (),
    "BMLhandball": (),
    "BMLmovi": (),
    "BioMotionLab_NTroje": ("BMLrub",),
    "CMU": (),
    "DFaust_67": ("DFaust",),
    "EKUT": (),
    "Eyes_Japan_Dataset": (),
    "HumanEva": (),
    "KIT": (),
    "MPI_HDM05": ("HDM05",),
    "MPI_Limits": ("PosePrior",),
    "MPI_mosh": ("MoSh",),
    "SFU": (),
    "SSM_synced": ("SSM",),
    "TotalCapture": (),
    "Transitions_mocap": ("Transitions",),
}
_LARGEST_MEMBER = 64 << 20
_CANONICAL = {alias.lower(): name for name, aliases in ALIASES.items() for alias in (name, *aliases)}
_CANONICAL[HUMANACT12] = HUMANACT12
# Frames at 20 a second that HumanML3D leaves out at the start of each recording, before the index counts.
LEAD_IN = {"Eyes_Japan_Dataset": 60, "MPI_HDM05": 60, "TotalCapture": 20, "MPI_Limits": 20, "Transitions_mocap": 10}


@dataclass(frozen=True)
class Cut:
    """A clip: its id, and its frames of a recording (at 20 a second, after the lead-in)."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Source:
    """A file, or a member of a zip archive."""

    path: Path
    member: str = ""

    def load_array(self) -> np.ndarray:
        """The array of an .npy file.

        Raises:
            UserError: it is no plain array, or unpacks to too much.
            Exception: what the reader of archives says of a damaged one.
        """
        if not self.member:
            return read_npy(self.path)
        with zipfile.ZipFile(self.path) as archive:
            return npy_of_bytes(_unpacked(archive, self.path, self.member), f"{self.path} {self.member}")


@dataclass(frozen=True)
class Recording:
    """Clips of one recording.

    Attributes:
        subset: of AMASS, or "humanact12".
        path: below the subset's folder, without a suffix.
        cuts: its clips.
    """

    subset: str
    path: str
    cuts: tuple[Cut, ...]

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.subset}/{self.path}"


def read_index(path: Path) -> list[Recording]:
    """Recordings of an index.csv (source_path, start_frame, end_frame, new_name), in order of their first clips.

    Raises:
        UserError: the file cannot be read or a row is broken.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the index {path} ({error}); give HumanML3D's index.csv with --index") from error
    cuts: dict[tuple[str, str], list[Cut]] = {}
    names: set[str] = set()
    for number, row in enumerate(rows, start=2):
        try:
            name = PurePosixPath(row["new_name"]).stem
            parts = PurePosixPath(row["source_path"].replace("\\", "/")).with_suffix("").parts
            subset, below = _split_path(parts)
            cut = Cut(name, int(row["start_frame"]), int(row["end_frame"]))
            if f"{name}.npy" != row["new_name"] or not name.isalnum() or name in names:
                raise ValueError(f"new_name {row['new_name']} is not <letters and digits>.npy or is there twice")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{path} line {number} is broken ({error}); get HumanML3D's index.csv again") from error
        names.add(name)
        cuts.setdefault((subset, below), []).append(cut)
    if not cuts:
        raise UserError(f"{path} has no rows; get HumanML3D's index.csv again")
    return [Recording(subset, below, tuple(found)) for (subset, below), found in cuts.items()]


def _split_path(parts: Sequence[str]) -> tuple[str, str]:
    """Subset and path below it of a path's parts: the subset is the last folder with a subset's name."""
    at = max((i for i, part in enumerate(parts[:-1]) if part.lower() in _CANONICAL), default=-1)
    if at < 0:
        raise ValueError(f"{'/'.join(parts)} has no folder of a known subset")
    return _CANONICAL[parts[at].lower()], "/".join(parts[at + 1 :])


def choose_subsets(names: Iterable[str]) -> set[str]:
    """Subsets by names or aliases.

    Raises:
        UserError: an unknown name.
    """
    names = list(names)
    if unknown := [name for name in names if name.lower() not in _CANONICAL]:
        raise UserError(f"--only {' '.join(unknown)}: unknown; it takes {', '.join([*ALIASES, HUMANACT12])}")
    return {_CANONICAL[name.lower()] for name in names}


def find_amass(folders: Sequence[Path]) -> dict[str, Source]:
    """Recordings below some folders, by `recording_key`s.

    Raises:
        UserError: a folder does not exist.
    """
    found: dict[str, Source] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--amass {folder} is not a folder; give the one with the unpacked AMASS subsets")
        for file in files_below(folder, ".npz", follow_links=True):
            parts = (folder.resolve().name, *file.relative_to(folder).with_suffix("").parts)
            try:
                subset, below = _split_path(parts)
            except ValueError:
                continue
            for key in recording_keys(subset, below):
                found.setdefault(key, Source(file))
    return found


def recording_keys(subset: str, path: str) -> tuple[str, str]:
    """A recording's exact name, and one that does not care about case, blanks and the ending of AMASS' releases."""
    loose = path.lower().replace(" ", "_").removesuffix("_poses").removesuffix("_stageii")
    return f"{subset}/{path}", f"{subset}//{loose}"


def find_humanact12(path: Path) -> dict[str, Source]:
    """Joint files of HumanAct12 in a folder or zip archive, by `recording_keys`.

    Raises:
        UserError: neither.
    """
    if path.is_dir():
        sources = {file.stem: Source(file) for file in files_below(path, ".npy") if not file.name.startswith(".")}
    else:
        sources = {stem: Source(path, member) for stem, member in _members(path, ".npy").items()}
    # The index has the folder humanact12 twice, so the path below the subset is the file's name.
    return {recording_keys(HUMANACT12, stem)[0]: source for stem, source in sources.items()}


def _members(path: Path, suffix: str) -> dict[str, str]:
    """Members of a zip archive by stem, without what macOS adds.

    Raises:
        UserError: it is not an archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # damaged indices make zipfile fail in more ways than its own error
        what = f"neither a folder nor a zip archive ({one_line(error)})"
        raise UserError(f"{path} is {what}; in a git clone, `git lfs pull` may be due") from error
    paths = [PurePosixPath(name) for name in names if "__MACOSX" not in name]
    return {p.stem: str(p) for p in paths if p.suffix == suffix and not p.name.startswith(".")}


@dataclass(frozen=True)
class Published:
    """What HumanML3D's repository has; None where it was not given.

    Attributes:
        index: index.csv.
        texts: folder or zip of the captions.
        splits: folder of the split files.
        humanact12: folder or zip of HumanAct12's joints.
        reference: folder with Mean.npy, Std.npy and an example clip, to compare the result with.
    """

    index: Path | None = None
    texts: Path | None = None
    splits: Path | None = None
    humanact12: Path | None = None
    reference: Path | None = None


def find_published(clone: Path | None, given: Published) -> Published:
    """Paths in a clone of HumanML3D's repository, those that were given by themselves first.

    Raises:
        UserError: a path does not exist, or there is no index.
    """
    if clone is not None and not clone.is_dir():
        raise UserError(f"--humanml3d {clone} is not a folder; git clone https://github.com/EricGuo5513/HumanML3D")
    candidates = {
        "index": ("index.csv",),
        "texts": ("HumanML3D/texts", "HumanML3D/texts.zip"),
        "splits": ("HumanML3D",),
        "humanact12": ("pose_data/humanact12", "pose_data/humanact12.zip"),
        "reference": ("HumanML3D",),
    }
    paths: dict[str, Path | None] = {}
    for name, places in candidates.items():
        path = getattr(given, name)
        if path is not None and not path.exists():
            raise UserError(f"--{name} {path} does not exist")
        if path is None and clone is not None:
            path = next((clone / place for place in places if (clone / place).exists()), None)
        paths[name] = path
    if paths["index"] is None:
        raise UserError("no index.csv; give --humanml3d DIR, a clone of HumanML3D's repository, or --index FILE")
    return Published(**paths)


def copy_texts(source: Path, names: Sequence[str], folder: Path) -> list[str]:
    """Put the caption files of some clips into `folder` and return the clips without one.

    Raises:
        UserError: `source` is neither a folder nor a zip archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        files: Mapping[str, Path] = {file.stem: file for file in files_below(source, ".txt")}
        for name in names:
            if name in files:
                write_if_new(folder / f"{name}.txt", files[name].read_bytes())
        return [name for name in names if name not in files]
    members = _members(source, ".txt")
    with reading(source, "zip archive of captions"), zipfile.ZipFile(source) as archive:
        for name in names:
            if name in members:
                write_if_new(folder / f"{name}.txt", _unpacked(archive, source, members[name]))
    return [name for name in names if name not in members]


def copy_splits(source: Path, made: set[str], folder: Path) -> dict[str, int]:
    """Put the split files into `folder`, without clips that were not made; returns the clips of each file.

    Raises:
        UserError: there is none.
    """
    counts = {}
    for split in SPLITS:
        path = source / f"{split}.txt"
        if path.is_file():
            names = [name for name in read_names(path) if name in made]
            write_if_new(folder / path.name, "".join(f"{name}\n" for name in names).encode())
            counts[split] = len(names)
    if not counts:
        raise UserError(f"--splits {source} has none of {', '.join(f'{split}.txt' for split in SPLITS)}")
    return counts


def _unpacked(archive: zipfile.ZipFile, path: Path, member: str) -> bytes:
    """A member of an archive.

    Raises:
        UserError: it is larger than any that is expected, or than the archive.
    """
    check_packed([archive.getinfo(member)], path)
    if archive.getinfo(member).file_size > _LARGEST_MEMBER:
        raise UserError(f"{path}: {member} unpacks to more than {_LARGEST_MEMBER >> 20} MiB; get the archive again")
    return archive.read(member)


def write_if_new(path: Path, content: bytes) -> None:
    """Write a file atomically unless it has that content, so that its time (and what depends on it) stays."""
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_path(path) as aside:
        aside.write_bytes(content)
