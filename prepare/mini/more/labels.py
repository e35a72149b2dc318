"""Which clips of the sources mini takes, what they show, and their captions.

`more_clips.json`: of each source its clips, by name of the file (with the folder where names alone are not unique), and
"@start-end" in seconds where only a part is taken; each with [action, side, phrase], or a list of these where it shows
several in order. `left_out` are clips that mini has from elsewhere. `test_more` are the clips that are tested on.
`more_actions.json`: other wordings of the actions. Both mark verbs as `actions.json` does.
"""

import random
from dataclasses import dataclass
from typing import Any

from lamp.prepare.mini.captions import compose
from lamp.prepare.mini.tables import MORE_ACTIONS, MORE_CLIPS
from lamp.prepare.texts import OTHER_SIDE

_OWN_PHRASE = 0.6
"""Share of captions whose wording is the clip's own, not its action's."""


@dataclass(frozen=True)
class Shown:
    """What a clip or a part of it shows.

    Attributes:
        action: canonical name, e.g. "side-step".
        side: "left", "right", or "" where the action has none.
        phrase: the clip's own wording, its verbs marked.
    """

    action: str
    side: str
    phrase: str


@dataclass(frozen=True)
class MoreClip:
    """A clip of a source, or a part of it.

    Attributes:
        source: name of the source.
        name: of the clip in its source.
        span: (start, end) in seconds, None for the whole.
        shows: one action, or several in order.
        test: whether it is tested on and never trained on.
    """

    source: str
    name: str
    span: tuple[float, float] | None
    shows: tuple[Shown, ...]
    test: bool = False

    def label(self, mirrored: bool = False) -> str:
        """Key of what it, or its mirror image, shows: `more_side-step_left`, `more_walk-then-crouch`."""
        sides = {side for shown in self.shows if (side := _side(shown.side, mirrored))}
        return "_".join(("more", "-then-".join(shown.action for shown in self.shows), *sorted(sides)))

    def captions(self, rng: random.Random, count: int, mirrored: bool = False) -> list[str]:
        """`count` captions of it, or of its mirror image."""

        def phrase() -> str:
            parts = [_wording(shown, rng).replace("{side}", _side(shown.side, mirrored)) for shown in self.shows]
            return _joined(parts, rng)

        return compose(phrase, rng, count)


def _side(side: str, mirrored: bool) -> str:
    return OTHER_SIDE.get(side, side) if mirrored else side


def _wording(shown: Shown, rng: random.Random) -> str:
    """The clip's own wording, or one of its action's."""
    others = MORE_ACTIONS.get(shown.action, ())
    return rng.choice(others) if others and rng.random() > _OWN_PHRASE else shown.phrase


def _joined(parts: list[str], rng: random.Random) -> str:
    """Several wordings as one, in order."""
    if len(parts) == 1:
        return parts[0]
    *first, last = parts
    link = rng.choice((", then", " and then", ", and then", ", after that", " and"))
    return f"{', '.join(first)}{link} {last}"


def more_clips() -> list[MoreClip]:
    """All clips of `more_clips.json`."""
    tested = set(MORE_CLIPS["test_more"])
    return [
        _clip(source, key, shows, f"{source}/{key}" in tested)
        for source, clips in MORE_CLIPS["clips"].items()
        for key, shows in clips.items()
    ]


def _clip(source: str, key: str, shows: list[Any], test: bool) -> MoreClip:
    name, _, span = key.partition("@")
    start, _, end = span.partition("-")
    rows = shows if isinstance(shows[0], list) else [shows]
    actions = tuple(Shown(*row) for row in rows)
    return MoreClip(source, name, (float(start), float(end)) if span else None, actions, test)
