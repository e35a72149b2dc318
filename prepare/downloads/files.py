"""What arrives from the network is checked before it is used: archives are unpacked aside, files must open.

Nothing is executed here: checkpoints and pickles are looked at, not loaded.
"""

import contextlib
import errno
import lzma
import os
import pickle
import pickletools
import re
import shutil
import stat
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from lamp.prepare.downloads.transfer import LinkError

# Ten times the largest of the public archives.
_UNPACKED_LIMIT = 10 << 30
# Opcodes that name or call something; a list of words or a dict of numbers needs none of them.
_CALLING_OPCODES = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}
# How PyTorch's format before 1.6 begins: its magic number as a pickle (torch/serialization.py).
_OLD_CHECKPOINT = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)[:-1]
# What zipfile, tarfile and their decompressors raise for damaged files.
_DAMAGE: tuple[type[Exception], ...] = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error)
_DAMAGE += (EOFError, ValueError, IndexError, NotImplementedError, RuntimeError)
# What NumPy raises for the header of an array.
_DAMAGE += (tokenize.TokenError, SyntaxError, KeyError, TypeError, OverflowError)


@contextlib.contextmanager
def _damage(message: str) -> Iterator[None]:
    """Turn what the readers of archives raise for a damaged file into a `LinkError`."""
    try:
        yield
    except _DAMAGE as error:
        raise LinkError(f"{message} ({error})") from error
    except OSError as error:
        # gzip reports damage without a number, a damaged index asks for an impossible place, a member has no name;
        # the rest is the disk's.
        if error.errno in (None, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise LinkError(f"{message} ({error})") from error
        raise


def is_archive(path: Path) -> bool:
    """Whether `path` is a zip or tar archive by its content; PyTorch's checkpoints, zip files too, are none.

    Raises:
        LinkError: it is a damaged one.
    """
    with _damage("is not a complete archive"):
        return not _is_torch_zip(path) if zipfile.is_zipfile(path) else tarfile.is_tarfile(path)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive (by its content, not its name) into `folder`; links in it are left out.

    Raises:
        LinkError: it is broken, has a path outside the folder, or unpacks to too much.
    """
    with _damage("is not a complete archive"):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                entries = opened.infolist()
                _refuse_unsafe({info.filename: info.file_size for info in entries})
                opened.extractall(folder, [info for info in entries if not stat.S_ISLNK(info.external_attr >> 16)])
        else:
            with tarfile.open(archive) as tar:
                # Pythons before 3.10.12 and 3.11.4 have no filters; names are checked and links left out in any case.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                members = tar.getmembers()
                _refuse_unsafe({info.name: info.size for info in members})
                tar.extractall(folder, [info for info in members if info.isreg()])


def _refuse_unsafe(sizes: Mapping[str, int]) -> None:
    """Refuse an archive, by the names and sizes of its members, that would write elsewhere or fill the disk."""
    for name in sizes:
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match("[A-Za-z]:", name):
            raise LinkError(f"is not safe to unpack: it has a path outside its folder ({name})")
    if sum(sizes.values()) > _UNPACKED_LIMIT:
        raise LinkError(f"unpacks to more than {_UNPACKED_LIMIT >> 30} GB; not the expected archive")


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
    """Make sure that a file is what its name says: an array, a pickle of plain data, a PyTorch checkpoint.

    Raises:
        LinkError: it is not, or is damaged.
    """
    if path.stat().st_size == 0:
        raise LinkError(f"{path.name} is empty")
    if path.suffix == ".npy":
        with _damage(f"{path.name} is not a NumPy array"):
            np.load(path, mmap_mode="r", allow_pickle=False)
    elif path.suffix == ".pkl":
        # Lists, dicts, strings and numbers only: such a pickle can be loaded without running foreign code.
        with _damage(f"{path.name} is not a pickle"):
            opcodes = {opcode.name for opcode, _, _ in pickletools.genops(path.read_bytes())}
        if calling := opcodes & _CALLING_OPCODES:
            raise LinkError(f"{path.name} holds more than plain data ({', '.join(sorted(calling))})")
    elif path.suffix in (".tar", ".pth"):
        with _damage(f"{path.name} is damaged"), path.open("rb") as file:
            if zipfile.is_zipfile(path) and _is_torch_zip(path):
                with zipfile.ZipFile(path) as archive:
                    if damaged := archive.testzip():
                        raise LinkError(f"{path.name} is damaged ({damaged})")
            elif file.read(len(_OLD_CHECKPOINT)) != _OLD_CHECKPOINT:
                raise LinkError(f"{path.name} is not a PyTorch checkpoint")


def _is_torch_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(PurePosixPath(name).name == "data.pkl" for name in archive.namelist())


def move_aside(path: Path, suffix: str) -> Path:
    """Rename `path` to a free name beside it and return that."""
    aside, number = path.with_name(f"{path.name}.{suffix}"), 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.{suffix}{number}")
    shutil.move(path, aside)
    return aside
