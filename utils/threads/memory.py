"""Memory that a process has freed and the C library keeps, in pieces, for later.

A server's many threads free arrays of all sizes; between those that live on, glibc keeps what is free. Without a word
from outside, the process grows by hundreds of MB that nobody uses.
"""

import ctypes
import functools
import threading
import time
from collections.abc import Callable

SECONDS = 10.0
"""From one look for free memory to the next; a look takes about 0.05 s."""
_last = -SECONDS
_lock = threading.Lock()


def give_back() -> bool:
    """Give free memory back to the system, at most every `SECONDS`; whether that was done.

    Only glibc can; elsewhere nothing is done.
    """
    global _last
    trim = _malloc_trim()
    if trim is None:
        return False
    with _lock:
        if time.monotonic() - _last < SECONDS:
            return False
        _last = time.monotonic()
    trim(0)
    return True


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # another C library; Windows has no library without a name
        return None
