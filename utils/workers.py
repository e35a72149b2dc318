"""Worker processes that end with the process that started them, however that ends."""

import multiprocessing
import os
import signal
import sys
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
    """One process that begins at once, with `prepare`, while this one goes on; it has not what this one imported.

    What it is at when an error ends the work here is ended by `SystemExit`, so that it leaves no half of a file.
    """
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_start_helper)
    with _ending_with(pool):
        with _without_main(), _without_interrupts():
            pool.submit(prepare)
        yield pool


@contextmanager
def _without_main() -> Iterator[None]:
    """Start processes inside that do not run what was started here again: a user's script, a program from stdin."""
    main = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start processes inside that ignore a terminal's Ctrl-C from their first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


def _start_helper() -> None:
    _leave_signals_to_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
