"""The joint map of a skeleton: the best fit of the tables of known exporters, else what its structure says.

The tables are in `skeletons.json`: names of exporters' joints, "|" between other spellings, "{}" for the side. A table
without spine1 to spine3 takes them from the chain between pelvis and neck, however many joints that has.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from lamp.utils.capture.joint_map import JointMap, Source, UnknownSkeletonError, source_names
from lamp.utils.capture.joint_names import END, joint_keys, plain_key
from lamp.utils.capture.structure import map_by_structure
from lamp.utils.capture.take import Take
from lamp.utils.capture.tree import Tree, spine_sources
from lamp.utils.errors import UserError
from lamp.utils.files import read_json, shown
from lamp.utils.kinematics.skeleton import HUMANML3D

SPINE = ("spine1", "spine2", "spine3")
_NECK_TO_HEAD = 0.6
"""Where the head's joint lies between that of the neck and the top of the head, for skeletons that have only these."""
_NEAR = 6
"""Joints of a table that a skeleton must have for the table to be named in an error."""


@dataclass(frozen=True)
class Table:
    """Joint names of an exporter.

    Attributes:
        name: of the table.
        entries: for each of our joints that the table knows, its sources in order of preference.
        requires: joints without which the skeleton is another exporter's.
        skips: joints of the spine that the table passes over on purpose.
        lead_in: raw frames to drop at the start: these exports begin in a T-pose, some with an after-swing.
    """

    name: str
    entries: dict[str, list[Source]]
    requires: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    lead_in: int = 0


@dataclass(frozen=True)
class Fit:
    """A joint map for a skeleton.

    Attributes:
        name: of the table, or "structure".
        joint_map: from our joints to those of the skeleton, by their own names.
        lead_in: see `Table`.
        note: what was supposed, "" if all was known.
    """

    name: str
    joint_map: JointMap
    lead_in: int = 0
    note: str = ""


@dataclass
class _Trial:
    """How a table fits a skeleton: what was found, what lacks, how many of our joints have a joint of their own."""

    table: Table
    found: JointMap = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    exact: bool = False
    own: int = 0


@lru_cache(maxsize=1)
def tables() -> dict[str, Table]:
    """The known tables by name, in order of preference among those that fit as well."""
    raw = read_json(Path(__file__).with_name("skeletons.json"))
    return {name: _table(name, entry) for name, entry in raw.items()}


def _table(name: str, raw: dict[str, Any]) -> Table:
    entries = {joint: _sources(value, "") for joint, value in raw["center"].items()}
    for side, word in zip(("left", "right"), raw["sides"]):
        entries |= {f"{side}_{joint}": _sources(value, word) for joint, value in raw["sided"].items()}
    return Table(name, entries, tuple(raw.get("requires", ())), tuple(raw.get("skips", ())), raw.get("lead_in", 0))


def _sources(value: str | list[Any], side: str) -> list[Source]:
    if isinstance(value, str):
        return [name.format(side) for name in value.split("|")]
    a, b, t = value
    return [(a.format(side), b.format(side), t)]


def fit_joint_map(take: Take) -> Fit:
    """The joint map that fits a skeleton best.

    Raises:
        UnknownSkeletonError: none fits, with the nearest table, what lacks and a draft of a map.
        UserError: the file holds several performers.
    """
    trees = [tree for tree in Tree.of(take).roots() if len(tree.joints) > 1]
    fits = [fit for tree in trees if (fit := _fit(tree)) is not None]
    if len(fits) > 1:
        raise UserError(f"it holds {len(fits)} performers (several ROOTs); export each to a file of its own")
    if fits:
        return fits[0]
    raise _unknown(max(trees, key=lambda tree: len(tree.joints), default=Tree.of(take)))


def _fit(tree: Tree) -> Fit | None:
    trials = [trial for table in tables().values() if not (trial := _try(table, tree)).lacking]
    if trials:
        # The first of the best: max keeps the order of the tables.
        best = max(trials, key=lambda trial: (trial.exact, trial.own))
        return Fit(best.table.name, best.found, best.table.lead_in if best.exact else 0)
    found = map_by_structure(tree)
    return None if found is None else Fit("structure", *found)


class _Names:
    """Joints of a skeleton by comparable name."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @cached_property
    def by_key(self) -> dict[str, int]:
        """First joint of each comparable name."""
        keys = joint_keys([self.tree.names[joint] for joint in self.tree.joints])
        return dict(reversed(list(zip(keys, self.tree.joints))))

    def find(self, source: Source) -> Source | None:
        """A source of a table in the skeleton's own names; None if a joint is not there."""
        found = [self.by_key.get(plain_key(name)) for name in source_names(source)]
        if any(joint is None for joint in found):
            return None
        own = [self.tree.names[joint] for joint in found if joint is not None]
        return own[0] if isinstance(source, str) else (own[0], own[1], source[2])


def _try(table: Table, tree: Tree) -> _Trial:
    trial, names = _Trial(table), _Names(tree)
    if any(names.find(name) is None for name in table.requires):
        trial.lacking = list(HUMANML3D.joint_names)
        return trial
    for joint, sources in table.entries.items():
        if found := next((own for source in sources if (own := names.find(source)) is not None), None):
            trial.found[joint] = found
    trial.own = len(trial.found)
    _supply_ends(trial.found, tree)
    for needed in ("pelvis", "neck", "head"):
        if needed not in trial.found:
            trial.lacking.append(needed)
    for side in ("left", "right"):
        limbs = ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
        trial.lacking += [f"{side}_{limb}" for limb in limbs if f"{side}_{limb}" not in trial.found]
    if not trial.lacking:
        trial.lacking = _out_of_order(trial.found, tree)
    if not trial.lacking:
        _supply_trunk(trial, tree, names)
    return trial


def _supply_ends(found: JointMap, tree: Tree) -> None:
    """Toes and head that have no joint of their own, from the ends of the chains."""
    for side in ("left", "right"):
        ankle = found.get(f"{side}_ankle")
        if f"{side}_foot" not in found and isinstance(ankle, str) and (toe := tree.only_child(ankle)):
            found[f"{side}_foot"] = toe
    neck = found.get("neck")
    if "head" not in found and isinstance(neck, str) and (top := tree.only_child(neck)):
        found["head"] = (neck, top, _NECK_TO_HEAD) if top.endswith(END) else top


def _out_of_order(found: JointMap, tree: Tree) -> list[str]:
    """Joints that do not hang on those that they should; then names mean something else than the table says."""
    chains = [("neck", "head")]
    for side in ("left", "right"):
        chains += [(f"{side}_{a}", f"{side}_{b}") for a, b in (("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"))]
        chains += [(f"{side}_{a}", f"{side}_{b}") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))]
    return [b for a, b in chains if not tree.hangs_on(source_names(found[b])[-1], source_names(found[a])[0])]


def _supply_trunk(trial: _Trial, tree: Tree, names: _Names) -> None:
    """Spine and collars: the table's where it explains the whole chain, else points along the chain."""
    found = trial.found
    pelvis, neck = source_names(found["pelvis"])[0], source_names(found["neck"])[0]
    trunk = tree.between(pelvis, neck)
    used = {name for source in found.values() for name in source_names(source)}
    used |= {own for name in trial.table.skips if isinstance(own := names.find(name), str)}
    trial.exact = trial.own == HUMANML3D.num_joints and set(trunk) <= used
    if not trial.exact:
        found.update(zip(SPINE, spine_sources(tree, pelvis, trunk, neck)))
    for side in ("left", "right"):
        shoulder = source_names(found[f"{side}_shoulder"])[0]
        if f"{side}_collar" not in found:
            found[f"{side}_collar"] = (trunk[-1] if trunk else neck, shoulder, 0.5)


def _unknown(tree: Tree) -> UnknownSkeletonError:
    """The error of a skeleton that nothing fits, with the nearest table and a map to fill in."""
    trials = [_try(table, tree) for table in tables().values()]
    nearest = max(trials, key=lambda trial: len(trial.found))
    names = [tree.names[joint] for joint in tree.joints]
    pelvis, neck = nearest.found.get("pelvis"), nearest.found.get("neck")
    if isinstance(pelvis, str) and isinstance(neck, str) and tree.hangs_on(neck, pelvis):
        nearest.found.update(zip(SPINE, spine_sources(tree, pelvis, tree.between(pelvis, neck), neck)))
    draft: dict[str, object] = {"_joints": names}
    draft |= {joint: nearest.found.get(joint, "") for joint in HUMANML3D.joint_names}
    given = ", ".join(shown(name, 30) for name in names[:4])
    if len(nearest.found) < _NEAR:
        text = f"no joint map fits a skeleton of {len(names)} joints ({given}, ...)"
    else:
        lacking = ", ".join([joint for joint in nearest.lacking if joint not in SPINE][:4])
        text = (
            f"no joint map fits a skeleton with joints {given}, ...; nearest is {nearest.table.name}, but for {lacking}"
        )
    return UnknownSkeletonError(f"{text}; give one with --joint_map FILE.json", draft)
