"""Worker processes that end with the process that started them, however that ends."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
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
    with _ending_with(ProcessPoolExecutor(workers, initializer=_start_worker)) as pool:
        try:
            yield pool
        except BaseException as error:
            if isinstance(error, BrokenProcessPool):
                raise UserError(
                    f"one of {workers} worker processes was killed, most often since memory ran out; give fewer {flag}"
                ) from error
            raise


@contextmanager
def helper(prepare: Callable[[], object]) -> Iterator[ProcessPoolExecutor]:
    """One process that begins at once, with `prepare`, while this one goes on; it has not what this one imported."""
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_leave_signals_to_parent)
    with _ending_with(pool):
        pool.submit(prepare)
        yield pool


@contextmanager
def _ending_with(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """End the processes of a pool at once where an error ends the work that they are part of."""
    before = set(multiprocessing.active_children())
    with pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


def _start_worker() -> None:
    """One thread a process; the parent alone handles Ctrl-C, and no worker outlives it."""
    import torch

    torch.set_num_threads(1)
    _leave_signals_to_parent()


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
