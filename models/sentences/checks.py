"""`Check`: whether a motion does the action of its sentence, as far as joints tell; if not, it is made anew.

A generator that does what a sentence says in half of its motions does it in 98 %, if up to `TRIES` are made and the
first one is taken that does. The judge is no network, but the predicates on joints of `utils.scores.following`.
Choosing among samples by a verifier is usual for language models (Cobbe et al. 2021, arXiv 2110.14168).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar

from lamp.utils.errors import UserError
from lamp.utils.scores.following import tests
from lamp.utils.scores.following.body import Body
from lamp.utils.scores.following.tests import Test, check_test, mirrored

ROUNDS = ((1,), (2, 3), (4, 5, 6))
"""Tries that are made together: what is computed in vain takes less time than one after the other."""
TRIES = ROUNDS[-1][-1]
"""Motions that are made of a sentence at most."""
IN_OTHER_WORDS = (2, 4, 6)
"""Tries in which a sentence has other words: at some length the best ones of all may always fail."""

Made = TypeVar("Made")


class Tried(TypedDict):
    """What came of the checks of a sentence, for a motion's `meta`."""

    sentence: str
    action: str
    tries: int
    passed: bool


class ActionTest(TypedDict):
    """What a motion of an action must do, see `Check`."""

    test: Test
    upright: bool


@dataclass(frozen=True)
class Check:
    """What a motion of a sentence must do.

    Attributes:
        sentence: as it was typed.
        action: that it says.
        test: of the body, see `utils.scores.following.tests`.
        upright: the trunk must not tilt: who turns round in a somersault, or bows with raised hands, would pass tests.
    """

    sentence: str
    action: str
    test: Test
    upright: bool

    def passes(self, body: Body) -> bool:
        """Whether a body does it."""
        return (not self.upright or body.upright) and tests.passes(self.test, body)


def test_of_side(test: Test, side: str | None) -> Test:
    """The test of an action on a side, from that of the left one; of either side if none is told."""
    other = mirrored(test)
    if other == test or side == "left":
        return test
    return other if side == "right" else {"any": [test, other]}


def test_of_times(test: Test, times: int) -> Test | None:
    """The test of an action that is done so often; None where the action cannot be counted."""
    if times == 1:
        return test
    ((name, parameters),) = test.items()
    counts = name in tests.PREDICATES and "times" in inspect.signature(tests.PREDICATES[name]).parameters
    return {name: parameters | {"times": times}} if counts else None


def until_passed(
    checks: Sequence[Check | None],
    make: Callable[[list[int], list[int]], Sequence[Made]],
    passes: Callable[[Check, Made], bool],
) -> tuple[list[Made], list[Tried | None]]:
    """Make something of each sentence, and anew what does not pass its check; where nothing does, the first is kept.

    Args:
        checks: of each sentence; None where there is nothing to check.
        make: of some sentences by their places, each in one of its tries, from 1 on.
        passes: whether what was made passes its check.

    Returns:
        What was made, and what came of each check.
    """
    made: dict[int, Made] = {}
    tries = dict.fromkeys(range(len(checks)), 1)
    failed = list(tries)
    for numbers in ROUNDS:
        asked = [(row, number) for row in failed for number in numbers]
        if not asked:
            break
        passed = set()
        for (row, number), one in zip(asked, make(*map(list, zip(*asked))), strict=True):
            check = checks[row]
            if row in passed:
                continue
            tries[row] = number
            if check is None or passes(check, one):
                made[row] = one
                passed.add(row)
            made.setdefault(row, one)
        failed = [row for row in failed if row not in passed]
    told = [
        None
        if check is None
        else Tried(sentence=check.sentence, action=check.action, tries=tries[row], passed=row not in failed)
        for row, check in enumerate(checks)
    ]
    return [made[row] for row in tries], told


def are_tests(table: object) -> bool:
    """Whether it is a table of `ActionTest` that can be asked."""
    if not isinstance(table, dict):
        return False
    for entry in table.values():
        if not isinstance(entry, dict) or entry.keys() != {"test", "upright"} or not isinstance(entry["upright"], bool):
            return False
        try:
            check_test(entry["test"])
        except UserError:
            return False
    return True
