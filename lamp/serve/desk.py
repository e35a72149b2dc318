"""`Desk`: requests take turns; few may wait, and each can be cancelled."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lamp.utils.errors import UserError

LOOK = 0.2
"""Seconds between looks at whether the desk was closed."""


class BusyError(UserError):
    """Too many requests wait already, or the server is being stopped."""


class CancelledError(UserError):
    """Somebody cancelled this request."""


@dataclass(eq=False)
class _Place:
    """A request in the line; `eq=False`, since two may have no name."""

    job: str
    cancelled: bool = False


class Desk:
    """Requests are served one at a time, in the order in which they came.

    Args:
        waiting: requests that may wait for the one that is served.
    """

    def __init__(self, waiting: int) -> None:
        self.most = waiting + 1
        """Requests that are served or wait at most."""
        self._line: deque[_Place] = deque()
        self._moved, self._closed = threading.Condition(), False

    def __len__(self) -> int:
        """Requests that are served or wait."""
        return len(self._line)

    def __bool__(self) -> bool:
        """A desk is one, also while nobody is there."""
        return True

    @contextmanager
    def turn(self, job: str = "") -> Iterator[Callable[[], None]]:
        """Wait for the turn. What is given raises where the request was cancelled; call it now and then.

        Args:
            job: a name to cancel it by.

        Raises:
            BusyError: too many wait, or the desk was closed.
            CancelledError: it was cancelled.
            UserError: another request has this name.
        """
        mine = _Place(job)

        def check() -> None:
            if self._closed:
                raise BusyError("the server is being stopped; ask again when it was started anew")
            if mine.cancelled:
                raise CancelledError("cancelled")

        with self._moved:
            check()
            if len(self._line) >= self.most:
                raise BusyError("too many requests are waiting; try again in a minute")
            if job and any(other.job == job for other in self._line):
                raise UserError("your last request is still being answered; wait for it or cancel it")
            self._line.append(mine)
        try:
            with self._moved:
                while self._line[0] is not mine:
                    self._moved.wait(LOOK)
                    check()
            check()
            yield check
        finally:
            with self._moved:
                self._line.remove(mine)
                self._moved.notify_all()

    def cancel(self, job: str) -> bool:
        """Cancel a request that waits or is being served; False: there is none of this name."""
        with self._moved:
            found = [place for place in self._line if job and place.job == job]
            for place in found:
                place.cancelled = True
            self._moved.notify_all()
        return bool(found)

    def close(self) -> None:
        """Refuse what waits and what comes, and cancel what is served; handlers of signals may call it."""
        self._closed = True
