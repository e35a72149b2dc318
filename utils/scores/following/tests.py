"""Tests of motions by the names of predicates, as data files hold them.

A test is an object of one entry. Its key is a predicate of `PREDICATES`, its value the parameters, such as
`{"walk": {"direction": "backward"}}`; or the key is one of these, and the value a list of tests (for `not` a test):

all, any, not: of the whole motion.
both: all of them at the same time, that is in one window of 40 % of the motion, 2 s at least.
then: one after the other. The motion can be cut so that each part passes its own test, and the first action has ended
    by then, or the second one has not begun in the first 35 %: a motion that shows both all the time does not pass.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_args

from lamp.utils.errors import UserError
from lamp.utils.files import shown
from lamp.utils.scores.following import arms, moves, postures
from lamp.utils.scores.following.body import FPS, Body

Predicate = Callable[..., bool]
Test = dict[str, Any]

PREDICATES: dict[str, Predicate] = {
    function.__name__: function
    for function in (
        moves.walk,
        moves.run,
        moves.drift,
        moves.turn,
        moves.straight,
        moves.in_place,
        moves.stand_still,
        moves.jump,
        moves.hop,
        moves.balance,
        moves.distance,
        moves.pace,
        moves.steps,
        postures.crouch,
        postures.squat,
        postures.sit,
        postures.seated,
        postures.kneel,
        postures.lie,
        postures.lie_down,
        postures.get_up,
        postures.crawl,
        postures.pick_up,
        postures.bow,
        postures.kick,
        arms.raise_hand,
        arms.hand_up,
        arms.hands_down,
        arms.wave,
        arms.punch,
        arms.throw,
        arms.to_mouth,
        arms.point,
        arms.jumping_jacks,
        arms.dance,
    )
}
"""By name; parameters and meaning are in their docstrings."""
COMPOSED = ("all", "any", "not", "both", "then")
_WINDOW, _SHORTEST_WINDOW = 0.4, 2.0
_PART = 12
_STEP = 4
_LATE = 0.35
_MIRRORED = {"left": "right", "right": "left"}


def passes(test: Test, body: Body) -> bool:
    """Whether a motion passes a test, which `check_test` has checked."""
    ((name, value),) = test.items()
    if name == "all":
        return all(passes(part, body) for part in value)
    if name == "any":
        return any(passes(part, body) for part in value)
    if name == "not":
        return not passes(value, body)
    if name == "both":
        return any(all(passes(part, window) for part in value) for window in _windows(body))
    if name == "then":
        return _in_order(value, body)
    return bool(PREDICATES[name](body, **value))


def _windows(body: Body) -> list[Body]:
    """Overlapping parts of a motion, or the whole where it is short."""
    length = min(len(body), max(round(_WINDOW * len(body)), round(_SHORTEST_WINDOW * FPS)))
    return [body.part(start, start + length) for start in range(0, len(body) - length + 1, _STEP)]


def _in_order(tests: list[Test], body: Body) -> bool:
    first, rest = tests[0], tests[1:]
    if not rest:
        return passes(first, body)
    for cut in range(_PART, len(body) - _PART * len(rest) + 1, _STEP):
        before, after = body.part(0, cut), body.part(cut, len(body))
        if passes(first, before) and _in_order(rest, after):
            ended = not passes(first, after)
            if ended or (cut >= _LATE * len(body) and not passes(rest[0], before)):
                return True
    return False


def mirrored(test: Test) -> Test:
    """The test that the mirror images of motions pass: left and right swapped."""
    ((name, value),) = test.items()
    if name == "not":
        return {name: mirrored(value)}
    if name in COMPOSED:
        return {name: [mirrored(part) for part in value]}
    return {
        name: {key: _MIRRORED.get(given, given) if isinstance(given, str) else given for key, given in value.items()}
    }


def names_in(test: Test) -> set[str]:
    """Predicates that a test asks."""
    ((name, value),) = test.items()
    if name == "not":
        return names_in(value)
    return set().union(*map(names_in, value)) if name in COMPOSED else {name}


def check_test(test: Any) -> None:
    """Make sure that a test can be asked.

    Raises:
        UserError: no such predicate, parameter or value; the message says which there are.
    """
    if not isinstance(test, dict) or len(test) != 1:
        raise UserError(f'{shown(str(test))} is no test; write {{"walk": {{"direction": "forward"}}}} or the like')
    ((name, value),) = test.items()
    if name == "not":
        check_test(value)
    elif name in COMPOSED:
        if not isinstance(value, list) or len(value) < 2:
            raise UserError(f"{name} is of two tests or more; put them into a list")
        for part in value:
            check_test(part)
    elif name not in PREDICATES:
        raise UserError(f"no predicate {shown(name)}; there are {', '.join((*PREDICATES, *COMPOSED))}")
    else:
        _check_parameters(name, value)


def _check_parameters(name: str, given: Any) -> None:
    known = dict(list(inspect.signature(PREDICATES[name]).parameters.items())[1:])
    if not isinstance(given, dict) or given.keys() - known.keys():
        raise UserError(f"{name} takes {', '.join(known) or 'no parameters'}; got {shown(str(given))}")
    for key, parameter in known.items():
        if key not in given:
            if parameter.default is inspect.Parameter.empty:
                raise UserError(f"{name} needs {key}; give one of {', '.join(get_args(parameter.annotation))}")
            continue
        choices, value = get_args(parameter.annotation), given[key]
        if choices and value not in choices:
            raise UserError(f"{name}: {key} {shown(str(value))}; give one of {', '.join(choices)}")
        if not choices and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise UserError(f"{name}: {key} {shown(str(value))}; give a number")
