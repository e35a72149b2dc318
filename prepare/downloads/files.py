"""What arrives from the network is checked before it is used: archives are unpacked aside, files must open.

Nothing is executed here: checkpoints and pickles are looked at, not loaded.
"""

import lzma
import pickle
import pickletools
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from lamp.prepare.downloads.open import LinkError
from lamp.utils.errors import UserError

# Ten times the largest of the public archives.
_UNPACKED_LIMIT = 10 << 30
# Opcodes that name or call something; a list of words or a dict of numbers needs none of them.
_CALLING_OPCODES = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}
# How PyTorch's format before 1.6 begins: its magic number as a pickle (torch/serialization.py).
_OLD_CHECKPOINT = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True)
class _Member:
    """One file of an archive."""

    name: str
    content: IO[bytes]


def is_archive(path: Path) -> bool:
    """Whether `path` is a zip or tar archive by its content; PyTorch's checkpoints, zip files too, are none."""
    if zipfile.is_zipfile(path):
        return not _is_torch_zip(path)
    return tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (by its content, not its name) into `folder`; links in it are left out.

    Raises:
        LinkError: it is broken, or has a path outside the folder.
        UserError: the disk is full.
    """
    opened = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive)
    room = _UNPACKED_LIMIT
    try:
        for member in opened:
            target = folder / _safe_path(member.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                while block := member.content.read(1 << 20):
                    room -= len(block)
                    if room < 0:
                        raise LinkError(f"unpacks to more than {_UNPACKED_LIMIT >> 30} GB; not the expected archive")
                    file.write(block)
    except _BROKEN as error:
        raise LinkError(f"is not a complete archive ({error})") from error
    except OSError as error:
        # gzip reports damage as OSError without a number; those of the disk have one.
        if error.errno is None:
            raise LinkError(f"is not a complete archive ({error})") from error
        raise UserError(f"cannot unpack {archive.name} in {folder.parent}: {error.strerror}") from error


def find_root(folder: Path, anchor: str) -> Path:
    """Folder in which the content begins: archives differ in the folders around it.

    Args:
        folder: unpacked archive.
        anchor: path of a file below the folder that is wanted.

    Raises:
        LinkError: there is no such file.
    """
    depth = len(PurePosixPath(anchor).parts)
    found = [path for path in folder.rglob(PurePosixPath(anchor).name) if path.as_posix().endswith("/" + anchor)]
    if not found:
        raise LinkError(f"is another file than expected: {anchor} is not in it")
    return min(found, key=lambda path: len(path.parts)).parents[depth - 1]


def check_file(path: Path) -> None:
    """Make sure that a file is what its name says.

    Raises:
        LinkError: it is not, or is damaged.
    """
    if path.stat().st_size == 0:
        raise LinkError(f"{path.name} is empty")
    check = {".npy": _check_array, ".pkl": _check_plain_pickle, ".tar": _check_checkpoint, ".pth": _check_checkpoint}
    if path.suffix in check:
        check[path.suffix](path)


def _check_array(path: Path) -> None:
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise LinkError(f"{path.name} is not a NumPy array ({error})") from error


def _check_plain_pickle(path: Path) -> None:
    """Lists, dicts, strings and numbers only: such a pickle can be loaded without running foreign code."""
    try:
        opcodes = {opcode.name for opcode, _, _ in pickletools.genops(path.read_bytes())}
    except ValueError as error:
        raise LinkError(f"{path.name} is not a pickle ({error})") from error
    if calling := opcodes & _CALLING_OPCODES:
        raise LinkError(f"{path.name} holds more than plain data ({', '.join(sorted(calling))})")


def _check_checkpoint(path: Path) -> None:
    """PyTorch's zip format with right checksums, or its older format, by its first bytes."""
    if zipfile.is_zipfile(path) and _is_torch_zip(path):
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise LinkError(f"{path.name} is damaged ({damaged})")
        return
    with path.open("rb") as file:
        if file.read(len(_OLD_CHECKPOINT)) != _OLD_CHECKPOINT:
            raise LinkError(f"{path.name} is not a PyTorch checkpoint")


def _is_torch_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(PurePosixPath(name).name == "data.pkl" for name in archive.namelist())


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            _safe_path(info.filename)
            if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                with archive.open(info) as content:
                    yield _Member(info.filename, content)


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            _safe_path(info.name)
            content = archive.extractfile(info) if info.isreg() else None
            if content is not None:
                with content:
                    yield _Member(info.name, content)


def _safe_path(name: str) -> Path:
    """A member's path, inside whatever folder it is joined to."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match("[A-Za-z]:", name):
        raise LinkError(f"is not safe to unpack: it has a path outside its folder ({name})")
    return Path(*[part for part in parts if part not in ("", ".")])


def move_aside(path: Path, suffix: str) -> Path:
    """Rename `path` to a free name beside it and return that."""
    aside, number = path.with_name(f"{path.name}.{suffix}"), 1
    while aside.exists() or aside.is_symlink():
        number += 1
        aside = path.with_name(f"{path.name}.{suffix}{number}")
    shutil.move(path, aside)
    return aside
