"""Python's collector of garbage, which is in the way while a command starts and ends.

PyTorch and the models are hundreds of thousands of objects that live as long as the process. The collector would look
through all of them for garbage several times while they are made, and once more at the end, each time for 0.1 to 0.4 s.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def starting() -> Iterator[None]:
    """Import and load inside: nobody looks for garbage there, nor later among what is alive at the end of this."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def leave_at_exit() -> None:
    """Leave to the system, when Python ends, what is alive then; however often this is called."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
