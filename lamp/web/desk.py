"""`Desk`: requests take turns; few may wait, and each can be cancelled."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lamp.utils.errors import UserError

LOOK = 0.05
"""Seconds between looks at whether a waiting request was cancelled."""


class BusyError(UserError):
    """Too many requests wait already."""


class CancelledError(UserError):
    """Somebody cancelled this request."""


class Desk:
    """One request at a time.

    Args:
        waiting: requests that may wait for the one that is served.
    """

    def __init__(self, waiting: int) -> None:
        self._most = waiting + 1
        self._count, self._state, self._work = 0, threading.Lock(), threading.Lock()
        self._jobs: dict[str, threading.Event] = {}

    @contextmanager
    def turn(self, job: str = "") -> Iterator[Callable[[], None]]:
        """Wait for the turn. What is given raises where the request was cancelled; call it now and then.

        Args:
            job: a name to cancel it by.

        Raises:
            BusyError: too many wait.
            CancelledError: it was cancelled.
            UserError: another request has this name.
        """
        cancelled = threading.Event()
        with self._state:
            if self._count >= self._most:
                raise BusyError("too many requests are waiting; try again in a minute")
            if job and job in self._jobs:
                raise UserError("your last request is still being answered; wait for it or cancel it")
            self._count += 1
            if job:
                self._jobs[job] = cancelled

        def check() -> None:
            if cancelled.is_set():
                raise CancelledError("cancelled")

        try:
            while not self._work.acquire(timeout=LOOK):
                check()
            try:
                check()
                yield check
            finally:
                self._work.release()
        finally:
            with self._state:
                self._count -= 1
                self._jobs.pop(job, None)

    def cancel(self, job: str) -> bool:
        """Cancel a request that waits or is being served; False: there is none of this name."""
        with self._state:
            event = self._jobs.get(job)
            if event is not None:
                event.set()
        return event is not None
