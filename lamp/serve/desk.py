"""`Desk`: requests take turns, those of a kind together; few may wait, and each can be cancelled."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from lamp.utils.errors import UserError

LOOK = 0.2
"""Seconds between looks at whether the desk was closed."""
GATHER, LONGEST = 0.01, 0.1
"""Seconds for which a turn waits for a further request, anew after each one that comes, and in all."""


class BusyError(UserError):
    """Too many requests wait already, or the server is being stopped."""


class CancelledError(UserError):
    """Somebody cancelled this request."""


Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Kind(Generic[Item, Result]):
    """Requests that can be computed together.

    Attributes:
        key: those with an equal key go together.
        compute: results of items, one for each; the second argument raises where nobody wants them any more.
        most: sum of the sizes of what is computed together.
    """

    key: Hashable
    compute: Callable[[Sequence[Item], Callable[[], None]], Sequence[Result]]
    most: int


@dataclass(eq=False)
class _Place:
    """A request in the line; `eq=False`, since two may have no name."""

    job: str
    cancelled: bool = False
    kind: Kind[Any, Any] | None = None
    item: Any = None
    size: int = 1
    taken: bool = False
    """Somebody else computes for it."""
    results: list[Any] = field(default_factory=list)
    """What came out, once it is there."""


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
        with self._in_line(mine):
            self._wait(mine)
            yield lambda: self._check(mine)

    def together(self, job: str, kind: Kind[Item, Result], item: Item, size: int = 1) -> Result:
        """The result of an item, computed with those of its kind that wait at the same time.

        Whose turn it is computes for those behind it, too. Where that fails, it computes for itself, and they wait on.

        Args:
            job: a name to cancel it by.
            kind: how it is computed, and with what.
            item: what is computed.
            size: how much of `kind.most` it takes.

        Raises:
            BusyError, CancelledError, UserError: as `turn`, or what computing raises.
        """
        mine = _Place(job, kind=kind, item=item, size=size)
        with self._in_line(mine):
            self._wait(mine)
            if not mine.results:
                self._gather(mine, kind)
                self._serve(mine, self._company(mine, kind), kind)
            self._check(mine)
            return mine.results[0]

    def _gather(self, mine: _Place, kind: Kind[Any, Any]) -> None:
        """Wait as long as requests keep coming: of those that come at once, the first would be computed alone."""
        end = time.monotonic() + LONGEST
        with self._moved:
            there = 0
            while there < len(self._line) and time.monotonic() < end:
                there = len(self._line)
                alike = [place.size for place in self._line if place.kind is not None and place.kind.key == kind.key]
                if sum(alike) >= kind.most:
                    break
                self._moved.wait_for(lambda: len(self._line) > there, GATHER)  # noqa: B023
        self._check(mine)

    def _company(self, mine: _Place, kind: Kind[Any, Any]) -> list[_Place]:
        """A request and those behind it that are computed with it."""
        with self._moved:
            company, size = [mine], mine.size
            for other in self._line if mine.kind is not None else ():
                alike = other.kind is not None and other.kind.key == kind.key
                if other is not mine and alike and not other.cancelled and size + other.size <= kind.most:
                    other.taken, size = True, size + other.size
                    company.append(other)
        return company

    def _serve(self, mine: _Place, company: list[_Place], kind: Kind[Any, Any]) -> None:
        def check() -> None:
            if self._closed or all(place.cancelled for place in company):
                self._check(mine)

        results: Sequence[Any] | None = None
        try:
            results = kind.compute([place.item for place in company], check)
        except (BusyError, CancelledError):
            raise
        except Exception:
            if len(company) == 1:
                raise
        finally:
            with self._moved:
                for place in self._line:
                    place.taken = False
        if results is None:  # outside of the handler, whose traceback keeps what the batch had in memory
            for place in company:
                place.kind = None  # who is at fault is not known: each goes alone
            results, company = kind.compute([mine.item], lambda: self._check(mine)), [mine]
        with self._moved:
            for place, result in zip(company, results, strict=True):
                place.results.append(result)
            self._moved.notify_all()

    @contextmanager
    def _in_line(self, mine: _Place) -> Iterator[None]:
        """Stand in line, if there is room."""
        with self._moved:
            self._check(mine)
            if len(self._line) >= self.most:
                raise BusyError("too many requests are waiting; try again in a minute")
            if mine.job and any(other.job == mine.job for other in self._line):
                raise UserError("your last request is still being answered; wait for it or cancel it")
            self._line.append(mine)
            self._moved.notify_all()
        try:
            yield
        finally:
            with self._moved:
                self._line.remove(mine)
                self._moved.notify_all()

    def _wait(self, mine: _Place) -> None:
        """Until it is the turn of a request, or somebody computed for it."""
        with self._moved:
            while not mine.results and (mine.taken or self._line[0] is not mine):
                self._moved.wait(LOOK)
                self._check(mine)
        self._check(mine)

    def _check(self, mine: _Place) -> None:
        if self._closed:
            raise BusyError("the server is being stopped; ask again when it was started anew")
        if mine.cancelled:
            raise CancelledError("cancelled")

    def cancel(self, job: str) -> bool:
        """Cancel a request that waits or is being served; False: there is none of this name."""
        with self._moved:
            found = [place for place in self._line if job and place.job == job]
            for place in found:
                # The name is free again, though the place may compute for others for a while.
                place.cancelled, place.job = True, ""
            self._moved.notify_all()
        return bool(found)

    def close(self) -> None:
        """Refuse what waits and what comes, and cancel what is served; handlers of signals may call it."""
        self._closed = True
