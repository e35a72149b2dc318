"""Worker processes that end with the process that started them, however that ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from lamp.utils.errors import UserError


@contextmanager
def worker_pool(workers: int, flag: str = "--workers") -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each. An error, Ctrl-C or SIGTERM ends them at once rather than after their work.

    Args:
        workers: how many.
        flag: what the user gave them with, for errors.

    Raises:
        UserError: one was killed, as the system does where memory runs out.
    """
    before = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        try:
            yield pool
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise UserError(
                    f"one of {workers} worker processes was killed, most often since memory ran out; give fewer {flag}"
                ) from error
            raise


def _start_worker() -> None:
    """One thread a process; the parent alone handles Ctrl-C, and no worker outlives it."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
