"""Threads that wait for each other give the processor away where other programs want it.

A thread of OpenMP that has done its part of an operation spins until the others have done theirs: the fastest way while
each has a processor core of its own. Where another program has taken one, it spins for as long as that program may run,
at each of thousands of operations, and a motion takes ten times as long. Not to spin costs a third where nobody else
computes; so it is done where others do. GNU's OpenMP, which PyTorch brings on Linux, hardly spins once it has started
more threads than there are cores. That is brought about here by threads that do nothing, for as long as it helps. What
is computed stays the same, bit for bit, for as many threads compute it.
"""

import ctypes
import os
import re
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch

WINDOW, STALE = 0.2, 1.0
"""Seconds between looks at what others do, for processor times are counted in hundredths; and after which a look says
nothing of now, if this process did little meanwhile."""
BUSY, QUIET = 0.25, 0.1
"""Cores that others use of those that we need, from which on threads yield, and below which they spin again."""
SHARE = 0.05
"""Part of all cores by which these two are greater where there are many cores: so wrong are the times in a window."""
MAPS, STATISTICS = Path("/proc/self/maps"), Path("/proc/stat")
CAN = (
    sys.platform == "linux"
    and os.environ.get("LAMP_FAST", "1") != "0"
    and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ)
)
"""Whether this is done here: who says how threads wait is not contradicted."""


@dataclass(frozen=True)
class Look:
    """Seconds so far: on the clock, used of our cores by all processes, and by this one."""

    clock: float
    used: float
    own: float


class Yielding:
    """Whether threads of this process yield, for as long as others need its cores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = Look(-STALE, 0, 0)
        self._holder: threading.Thread | None = None
        self._release = threading.Event()
        self._cannot = not CAN

    @property
    def on(self) -> bool:
        """Whether they do."""
        return self._holder is not None

    def mind(self) -> None:
        """Look at what other processes do, at most once in `WINDOW` seconds; call it before each piece of work.

        Where that is not possible, nothing changes: no error of this is one of the work.
        """
        if self._cannot or time.monotonic() - self._last.clock < WINDOW or not self._lock.acquire(blocking=False):
            return
        try:
            before, self._last = self._last, self._look()
            if self._last.clock - before.clock > max(STALE, 2 * (self._last.own - before.own)):
                return
            cores, spare = self.wanted(before, self._last), SHARE * len(os.sched_getaffinity(0))
            if cores > max(BUSY, spare) and not self.on and torch.get_num_threads() > 1:
                self._begin()
            elif cores < max(QUIET, spare / 2) and self.on:
                self.end()
        except (OSError, RuntimeError, AttributeError):
            self._cannot = True
        finally:
            self._lock.release()

    @staticmethod
    def wanted(before: Look, after: Look) -> float:
        """Cores that other processes used between two looks, of those that our threads need."""
        seconds = after.clock - before.clock
        others = (after.used - before.used - (after.own - before.own)) / seconds
        return others - (len(os.sched_getaffinity(0)) - torch.get_num_threads())

    def end(self) -> None:
        """Spin again."""
        if self._holder is not None:
            self._release.set()
            self._holder.join()
            self._holder = None

    def _begin(self) -> None:
        openmp = gnu_openmp()
        if openmp is None:
            self._cannot = True
            return
        ready, release = threading.Event(), threading.Event()
        nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # of null, in each of the threads
        # With those of PyTorch, one more than there are cores.
        count = max(2, len(os.sched_getaffinity(0)) - torch.get_num_threads() + 2)

        def hold() -> None:
            openmp.GOMP_parallel(nothing, None, count, 0)
            ready.set()
            release.wait()  # its threads end with this one

        holder = threading.Thread(target=hold, name="more threads than cores", daemon=True)
        holder.start()
        ready.wait(10)
        self._holder, self._release = holder, release

    @staticmethod
    def _look() -> Look:
        cores, used = {f"cpu{core}" for core in os.sched_getaffinity(0)}, 0
        for line in STATISTICS.read_text().splitlines():
            name, *ticks = line.split()
            if name in cores:
                user, nice, system, _, _, *others = map(int, ticks[:8])  # not idle, not waiting for a disk
                used += user + nice + system + sum(others)
        return Look(time.monotonic(), used / os.sysconf("SC_CLK_TCK"), time.process_time())


def gnu_openmp() -> ctypes.CDLL | None:
    """The library whose threads PyTorch uses here, if it is GNU's.

    Raises:
        OSError: it is not there any more.
    """
    found = sorted(set(re.findall(r"/\S.*/libgomp[^/\n]*\.so\S*$", MAPS.read_text(), re.MULTILINE)))
    own = [path for path in found if "/torch/lib/" in path]
    if not found or (len(found) > 1 and not own):  # several, and which is PyTorch's is not known
        return None
    library = ctypes.CDLL((own or found)[0])
    library.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    library.GOMP_parallel.restype = None
    return library


_of_this_process = Yielding()


def mind_others() -> None:
    """Let threads yield while other processes need their cores, and spin while not; see `Yielding.mind`."""
    _of_this_process.mind()


def _forked() -> None:
    """The child of a fork has none of its parent's threads."""
    global _of_this_process
    _of_this_process = Yielding()


if CAN:
    os.register_at_fork(after_in_child=_forked)
