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
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

WINDOW = 0.2
"""Seconds between looks at what others do; processor times are counted in hundredths."""
BUSY, QUIET = 0.25, 0.1
"""Cores that others use of those that we need, from which on threads yield, and below which they spin again."""
MAPS = Path("/proc/self/maps")
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
        self._last = self._look()
        self._holder: threading.Thread | None = None
        self._release = threading.Event()

    @property
    def on(self) -> bool:
        """Whether they do."""
        return self._holder is not None

    def mind(self) -> None:
        """Look at what other processes do, at most once in `WINDOW` seconds; call it before each piece of work."""
        if not CAN or time.monotonic() - self._last.clock < WINDOW or not self._lock.acquire(blocking=False):
            return
        try:
            now = self._look()
            cores = self.wanted(self._last, now)
            self._last = now
            if cores > BUSY and not self.on:
                self._begin()
            elif cores < QUIET and self.on:
                self.end()
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
            return
        ready, self._release = threading.Event(), threading.Event()
        release = self._release
        nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # of null, in each of the threads

        def hold() -> None:
            openmp.GOMP_parallel(nothing, None, len(os.sched_getaffinity(0)) + 1, 0)
            ready.set()
            release.wait()  # its threads end with this one

        self._holder = threading.Thread(target=hold, name="more threads than cores", daemon=True)
        self._holder.start()
        ready.wait()

    @staticmethod
    def _look() -> Look:
        cores = os.sched_getaffinity(0) if CAN else ()
        times = psutil.cpu_times(percpu=True) if CAN else []
        used = sum(sum(times[core][:8]) - times[core].idle - times[core].iowait for core in cores if core < len(times))
        return Look(time.monotonic(), used, time.process_time())


def gnu_openmp() -> ctypes.CDLL | None:
    """The library whose threads PyTorch uses here, if it is GNU's."""
    names = [line.split(maxsplit=5)[5].strip() for line in MAPS.read_text().splitlines() if "libgomp" in line]
    found = sorted({name for name in names if name.startswith("/")}, key=lambda name: "torch" not in name)
    if not found:
        return None
    library = ctypes.CDLL(found[0])
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
