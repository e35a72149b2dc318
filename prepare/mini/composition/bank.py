"""The clips of a data set by what they show."""

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lamp.prepare.mini.tables import ACTIONS, CMU_ACTIONS, MORE_ACTIONS, STYLES, WORDINGS
from lamp.prepare.mini.wording import Act
from lamp.utils.errors import UserError
from lamp.utils.files import read_json

SIDES = ("left", "right", "both")


@dataclass(frozen=True)
class Clip:
    """A clip: its name, what it shows, and joints (T, 22, 3)."""

    name: str
    act: Act
    joints: np.ndarray


class Bank:
    """Clips of a split, drawn by action, then style, then take, so that none swamps the others.

    Args:
        root: folder of a data set with joints and labels.
        split: whose clips.
    """

    def __init__(self, root: Path, split: str) -> None:
        self.root = root
        try:
            labels: dict[str, str] = read_json(root / "labels.json")
            names = (root / f"{split}.txt").read_text(encoding="utf-8").split()
        except (OSError, ValueError) as error:
            raise UserError(f"{root} is no data set with labels and a split {split} ({error})") from error
        self._acts = {name: act for name in names if (act := act_of(labels.get(name, ""))) is not None}
        found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name, act in self._acts.items():
            found[act.action, act.side][act.style].append(name)
        self._found = found

    def sides(self, action: str) -> list[str]:
        """Sides on which there are clips of an action."""
        return [side for known, side in self._found if known == action]

    def has(self, action: str) -> bool:
        """Whether there are clips of an action."""
        return bool(self.sides(action))

    def draw(self, rng: random.Random, action: str, side: str | None = None) -> Clip:
        """A clip of an action, on a side or on any."""
        side = rng.choice(self.sides(action)) if side is None else side
        styles = self._found[action, side]
        name = rng.choice(styles[rng.choice(sorted(styles))])
        return Clip(name, self._acts[name], np.load(self.root / "new_joints" / f"{name}.npy"))


def act_of(label: str) -> Act | None:
    """What a label of the mini data set stands for; None where it is no single action."""
    source, _, rest = label.partition("_")
    if source == "cmu":
        name = CMU_ACTIONS.get(label.removesuffix("_mirrored"))
        return None if name is None else Act(name)
    if source == "more":
        action, _, side = rest.partition("_")
        return Act(action, side) if _is_known(action) and side in ("", *SIDES) else None
    parts = label.split("_")
    if parts[0] not in ACTIONS or parts[-1] not in STYLES:
        return None
    return Act(parts[0], parts[1] if len(parts) == 3 else "", parts[-1])


def acts_of(label: str) -> tuple[Act, ...]:
    """What a label of the mini data set stands for, in order; nothing where that is unknown or which side is whose."""
    act = act_of(label)
    if act is not None:
        return (act,)
    source, _, rest = label.partition("_")
    names, *sides = rest.split("_")
    parts = names.split("-then-")
    if source != "more" or len(parts) not in (2, 3) or not all(map(_is_known, parts)):
        return ()
    sided = [name for name in parts if any("{side}" in text for text in _phrases(name))]
    if len(sides) > 1 or (sides and len(sided) != 1):
        return ()
    return tuple(Act(name, sides[0] if sides and name in sided else "") for name in parts)


def _is_known(action: str) -> bool:
    return action in WORDINGS["actions"] or action in MORE_ACTIONS


def _phrases(action: str) -> list[str]:
    return [*WORDINGS["actions"].get(action, {"train": ()})["train"], *MORE_ACTIONS.get(action, ())]


def actions(acts: Iterable[Act]) -> str:
    """Names of actions, for a label."""
    return "+".join(act.action + (f"-{act.side}" if act.side else "") for act in acts)
