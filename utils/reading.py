"""Reading files that other programs wrote: text in any common encoding, arrays whose headers may lie.

Whatever is wrong with a file becomes one line that names it, and no file makes us ask for memory that its own size does
not justify.
"""

import io
import math
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lamp.utils.errors import UserError, brief

LONGEST_REASON = 200
"""Characters of a library's own message that are passed on."""
_NPY_MAGIC = b"\x93NUMPY"
# Version 3 differs from 2 in names of fields only, which motion has none of.
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
# A zip file can unpack to a thousand times its size; motions pack to a half, or, where nobody moves, to a hundredth.
_SMALL, _MOST_PACKED = 64 << 20, 200
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into a `UserError` of one line that names it.

    Args:
        path: the file.
        what: it should be, for instance "BVH file".

    Raises:
        UserError: anything failed; a `UserError` passes as it is.
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"no file {path}; check the path") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or one_line(error)}") from error
    except Exception as error:
        # Damaged files make parsers fail in more ways than can be listed: TokenError, zlib.error, RecursionError, ...
        raise UserError(f"{path} is not a readable {what}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """What an error says, on one line and not too long; its kind where it says nothing."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return brief(error, LONGEST_REASON)


def decode(data: bytes) -> str:
    """Text of a file that may be UTF-8 or UTF-16, with or without a byte order mark; other bytes become U+FFFD."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    # UTF-16 without a mark: every other byte of plain English or of numbers is zero.
    half = len(data) // 2
    if half and data[1::2].count(0) > 0.7 * half:
        return data.decode("utf-16-le", errors="replace")
    if half and data[::2].count(0) > 0.7 * half:
        return data.decode("utf-16-be", errors="replace")
    return data.decode("utf-8", errors="replace")


def read_names(path: str | Path) -> list[str]:
    """Words of a UTF-8 file, as split files list clips.

    Raises:
        UserError: it cannot be read.
    """
    with reading(path, "list of names"):
        return Path(path).read_text(encoding="utf-8-sig").split()


def read_npy(path: str | Path) -> np.ndarray:
    """The array of an .npy file. Python objects in it are never unpickled.

    Raises:
        UserError: it is no plain array, or its header does not go with its size.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; save the array again")
    with reading(path, "npy array"), path.open("rb") as file:
        return read_npy_stream(file, path.stat().st_size, str(path))


def read_npy_stream(file: BinaryIO, size: int, what: str) -> np.ndarray:
    """The array of an open .npy file of `size` bytes; `what` names it in errors.

    Raises:
        UserError: it is no plain array, or its header does not go with `size`.
        Exception: what NumPy says of a damaged header.
    """
    if file.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
        raise UserError(f"{what} is not a plain npy array; save it with numpy.save")
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise UserError(f"{what} is of no known version of the npy format; it is damaged, save it again")
    # NumPy believes the length that stands here, and asks for as much memory.
    count = 2 if version == (1, 0) else 4
    if int.from_bytes(file.read(count), "little") > size:
        raise UserError(f"{what} breaks off in its header; save it again")
    file.seek(-count, 1)
    shape, fortran, dtype = _NPY_HEADERS[version](file)
    if dtype.hasobject:
        raise UserError(
            f"{what} holds pickled Python objects (as MDM's results.npy), which are never opened here; save its "
            "positions alone: numpy.save('joints.npy', numpy.load(FILE, allow_pickle=True).item()['motion'][0])"
        )
    needed, there = math.prod(map(int, shape)) * dtype.itemsize, size - file.tell()
    if needed != there or dtype.itemsize == 0:
        raise UserError(f"{what} announces shape {_shown(shape)}, {needed} bytes, and holds {there}; it is damaged")
    flat = np.frombuffer(bytearray(file.read(there)), dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def is_finite(number: float) -> bool:
    """Whether a number, which may be an integer of any size, is neither NaN nor beyond what a float can hold."""
    return abs(number) <= sys.float_info.max


def check_packed(members: Iterable[zipfile.ZipInfo], path: Path) -> None:
    """Make sure that members of a zip file lie in it: so many bytes are asked for before any is read.

    Raises:
        UserError: the index says that one is larger than the whole file.
    """
    size = path.stat().st_size
    for member in members:
        if member.compress_size > size - member.header_offset:
            raise UserError(f"{path}: {brief(member.filename, 60)} goes beyond the file's end; get the file again")


def npz_members(archive: zipfile.ZipFile, path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays `keys` of an .npz file, as far as it has them; called in the context of `reading`.

    Raises:
        UserError: they unpack to more than files of this size do, or one is no plain array.
    """
    found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    there = [key for key in keys if key in found]
    limit = max(_SMALL, _MOST_PACKED * path.stat().st_size)
    if sum(found[key].file_size for key in there) > limit:
        raise UserError(f"{path} unpacks to more than {limit >> 20} MiB, which no file of its size does")
    check_packed((found[key] for key in there), path)
    return {key: npy_of_bytes(archive.read(found[key]), f"{path} ({key})") for key in there}


def numbers(array: np.ndarray, what: str) -> np.ndarray:
    """`array`, if it holds real numbers.

    Raises:
        UserError: it holds text, complex numbers, dates, ...
    """
    if array.dtype.kind not in "fiu":
        raise UserError(f"{what} holds {array.dtype}, not real numbers; save positions as float32")
    return array


def _shown(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 60 else f"{text[:60]}..."


def npy_of_bytes(data: bytes, what: str) -> np.ndarray:
    """The array of the bytes of an .npy file; see `read_npy_stream`."""
    return read_npy_stream(io.BytesIO(data), len(data), what)
