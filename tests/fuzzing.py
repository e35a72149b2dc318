"""What the tests of readers share: damaged copies of good files, and a watch over what reading one does.

The suite draws a few of each, always the same; `LAMP_FUZZ=3000` in the environment asks for as many of each, drawn anew
each time, and prints what was read in which time and memory (`.ci/nightly`).
"""

import contextlib
import copy
import json
import os
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from lamp.utils.errors import UserError

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

ASKED = os.environ.get("LAMP_FUZZ", "")
SECONDS, BYTES = 2.0, 200 << 20
"""What reading a file may take: of the processor's time, and of memory beside what the process had."""
_EVENTS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pickle.find_class"}
_EVENTS |= {"socket.connect", "socket.bind"}
"""What no reader does: start a program, ask the network, find a class for a pickle."""
_CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "os.chmod"}
"""What readers do in their own folder only."""
# Words that readers stumble over, put in the place of others.
WORDS = (
    b'nan inf -inf 1e308 1e-320 1e9 -1 0 99999999999 9 { } [ ] MOTION ROOT JOINT End OFFSET CHANNELS 0 3 6 null "" # '
    b"Frames: Frame Time: begin end :root :units rad ../x /etc/passwd \xff\xfe \x00 \xe2\x80\xa8"
).split(b" ")
# Values of JSON that readers stumble over.
_CONSTANTS: list[Any] = [None, True, False, "", "x", "../x", "a\0b", "9" * 5000, "\ud800", -1, 0, 3, 99999, 10**30]
_CONSTANTS += [10**400, 1e308, 1e-320, -0.0, [], [[1]], [0, 0, 0], [10**9] * 3, {}, {"a": 1}]
ODD = st.sampled_from(_CONSTANTS) | st.floats(allow_nan=True, allow_infinity=True)


def fuzz(share: float = 1.0) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a test that is given drawn inputs: a part of what is asked for, where an input takes long."""
    return hypothesis.settings(
        max_examples=max(2, round(float(ASKED or "40") * share)),
        derandomize=not ASKED,
        deadline=None,
        database=None,
        # An input that fails is shown as it is: making it smaller takes minutes where files are read.
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def damaged(seed: bytes) -> st.SearchStrategy[bytes]:
    """Copies of a good file, cut, with bits flipped, words exchanged, parts left out or doubled; or any bytes."""
    place = st.integers(0, max(len(seed) - 1, 0))
    kinds = st.sampled_from(["cut", "flip", "word", "drop", "double", "put"])
    edit = st.tuples(kinds, place, st.integers(1, 400), st.sampled_from(WORDS) | st.binary(max_size=8))

    def apply(edits: list[tuple[str, int, int, bytes]]) -> bytes:
        data = seed
        for kind, at, size, new in edits:
            at = min(at, len(data))
            if kind == "cut":
                data = data[: at + 1]
            elif kind == "flip":
                data = data[:at] + bytes(b ^ (1 << size % 8) for b in data[at : at + 1]) + data[at + 1 :]
            elif kind == "word":
                # Whole words, so that what follows keeps its meaning.
                start = max(data.rfind(b" ", 0, at), data.rfind(b"\n", 0, at), 0)
                ends = [end for end in (data.find(b" ", at), data.find(b"\n", at)) if end >= 0]
                data = data[: start + 1] + new + data[min(ends, default=len(data)) :]
            elif kind == "drop":
                data = data[:at] + data[at + size :]
            elif kind == "double":
                data = data[: at + size] + data[at:]
            else:
                data = data[:at] + new + data[at + len(new) :]
        return data

    return st.one_of(st.lists(edit, min_size=1, max_size=4).map(apply), st.binary(max_size=200))


def ways(value: object, path: tuple = ()) -> list[tuple]:
    """Ways to all entries of a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(way for key, below in inner for way in ways(below, (*path, key)))]


def changed(document: Any, *left_out: str) -> st.SearchStrategy[Any]:
    """Copies of a JSON document, up to three entries of which are others or gone; those in `left_out` stay."""
    found = [way for way in ways(document) if way and way[0] not in left_out]
    change = st.tuples(st.sampled_from(found), ODD, st.booleans())

    def apply(changes: list[tuple[tuple, Any, bool]]) -> Any:
        result = copy.deepcopy(document)
        for way, value, gone in changes:
            entry: Any = result
            with contextlib.suppress(KeyError, IndexError, TypeError):
                for key in way[:-1]:
                    entry = entry[key]
                if gone and value is None:
                    del entry[way[-1]]
                else:
                    entry[way[-1]] = copy.deepcopy(value)
        return result

    return st.lists(change, min_size=1, max_size=3).map(apply)


def any_json(document: Any, *left_out: str) -> st.SearchStrategy[bytes]:
    """A JSON file, damaged as bytes or in its entries, nested to no end, or of something else."""
    good = json.dumps(document).encode()
    whole = changed(document, *left_out) | ODD
    deep = st.sampled_from([b"[" * 100_000, b'{"a": ' * 5000])
    return st.one_of(whole.map(lambda value: json.dumps(value).encode()), damaged(good), deep)


@dataclass
class Seen:
    """What was read so far, and what it took at most."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    mib: float = 0.0

    def add(self, other: dict[str, Any]) -> None:
        """Put the counts of another process to these."""
        self.inputs, self.refused = self.inputs + other["inputs"], self.refused + other["refused"]
        self.seconds, self.mib = max(self.seconds, other["seconds"]), max(self.mib, other["mib"])

    def facts(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def line(self) -> str:
        """For a person."""
        return (
            f"{self.inputs} damaged files: {self.refused} refused by name, {self.inputs - self.refused} read; "
            f"the slowest took {self.seconds:.2f} s of the processor, the largest {self.mib:.0f} MiB"
        )


SEEN = Seen()


class _Watch:
    """An audit hook, which cannot be taken away again: it looks while there is a folder."""

    def __init__(self) -> None:
        self.folder = ""
        self.found: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.folder:
            return
        if event in _EVENTS:
            self.found.append(f"{event} {arguments}"[:200])
        elif event == "open":
            path, mode, flags = arguments
            writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            if (isinstance(flags, int) and flags & writes) or set("wax+") & set(mode or ""):
                self._inside(event, path)
        elif event in _CHANGES:
            # Relative to an open folder, which `shutil.rmtree` opened as one of those inside.
            if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
                return
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self._inside(event, path)

    def _inside(self, event: str, path: object) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        place = os.path.realpath(os.fsdecode(path))
        # Modules that are imported at the first use are compiled then.
        if not f"{place}{os.sep}".startswith(self.folder) and place != os.devnull and "__pycache__" not in place:
            self.found.append(f"{event} {place}")


_WATCH = _Watch()


@contextlib.contextmanager
def watched(folder: Path, most: int = BYTES, seconds: float = SECONDS) -> Iterator[None]:
    """What is done inside stays inside `folder`, runs nothing, and takes at most so much memory and time."""
    before = _resident(reset=True)
    tracemalloc.start()
    began = time.process_time()
    _WATCH.folder, _WATCH.found = os.path.realpath(folder) + os.sep, []
    try:
        yield
    finally:
        _WATCH.folder = ""
        took = time.process_time() - began
        peak = max(tracemalloc.get_traced_memory()[1], _resident() - before)
        tracemalloc.stop()
    SEEN.inputs += 1
    SEEN.seconds, SEEN.mib = max(SEEN.seconds, took), max(SEEN.mib, peak / (1 << 20))
    assert not _WATCH.found, _WATCH.found
    assert peak < most, f"{peak >> 20} MiB"
    assert took < seconds, f"{took} s"


def _resident(reset: bool = False) -> int:
    """The most memory that this process had since the last reset, in bytes; 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except OSError:
        return 0


def check(
    read: Callable[[Path], object],
    path: Path,
    data: bytes,
    named: str = "",
    most: int = BYTES,
    folder: Path | None = None,
) -> None:
    """Read `data` as the file `path`: it succeeds or fails by name, without a look at anything else.

    Args:
        read: the reader.
        path: where the file is put.
        data: the file.
        named: what a refusal must name instead of the file.
        most: bytes of memory.
        folder: where the reader may write; the file's own by default.
    """
    path.write_bytes(data)
    with watched(folder or path.parent, most), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(path)
        except UserError as error:
            SEEN.refused += 1
            text = str(error)
            assert (named or path.name) in text and "\n" not in text, text
            assert len(text) < 450 + 2 * len(str(path)), text
