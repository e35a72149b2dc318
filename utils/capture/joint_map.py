"""Joint maps: which joints of a capture skeleton, or points between them, are the 22 of the format."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lamp.utils.capture.joint_names import END, joint_keys, plain_key
from lamp.utils.capture.take import Take
from lamp.utils.errors import UserError
from lamp.utils.files import shown, write_json
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.reading import decode, reading

# A target joint is a source joint, or (a, b, t): the point that lies t of the way from a to b, for joints that the
# source lacks or gives no length of their own.
Source = str | tuple[str, str, float]
JointMap = dict[str, Source]


class UnknownSkeletonError(UserError):
    """No joint map is known for a skeleton.

    Attributes:
        draft: a joint map as far as it is known, to be filled in by the user; see `write_draft`.
    """

    def __init__(self, message: str, draft: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.draft = dict(draft or {})

    def __reduce__(self) -> tuple[type["UnknownSkeletonError"], tuple[str, Mapping[str, object]]]:
        # Raised in a worker process; the default would lose the draft.
        return type(self), (str(self), self.draft)


def write_draft(draft: Mapping[str, object], folder: Path | None = None) -> Path:
    """Write a joint map to fill in to a new file of the current folder, or another, and return its name."""
    folder, number = folder or Path(), 1
    path = folder / "joint_map.json"
    while path.exists():
        number += 1
        path = folder / f"joint_map_{number}.json"
    write_json(path, dict(draft))
    return path


def load_joint_map(path: str | Path) -> JointMap:
    """Read a user's joint map: JSON object from our 22 joint names to source names or [a, b, t].

    Keys that begin with "_" are comments.

    Raises:
        UserError: unreadable, not of this form, or a joint is missing or unknown.
    """
    with reading(path, "joint map"):
        table = json.loads(decode(Path(path).read_bytes()))
    return joint_map_of(table, path)


def joint_map_of(table: object, path: str | Path) -> JointMap:
    """The joint map of what its JSON holds, see `load_joint_map`; `path` names it in errors.

    Raises:
        UserError: it is none.
    """
    wanted = set(HUMANML3D.joint_names)
    if not isinstance(table, dict):
        raise UserError(f"joint map {path} must be a JSON object from our 22 joint names to yours")
    table = {key: value for key, value in table.items() if not key.startswith("_")}
    if missing := [name for name in HUMANML3D.joint_names if name not in table]:
        raise UserError(f"joint map {path} must name exactly our 22 joints; missing {_few(missing)}")
    if unknown := sorted(set(table) - wanted):
        raise UserError(f"joint map {path} must name exactly our 22 joints; unknown {_few(unknown)}")
    return {joint: _source(path, joint, value) for joint, value in table.items()}


def _few(names: Sequence[str], limit: int = 5) -> str:
    """The first names of a list, for a message."""
    return ", ".join(map(shown, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _source(path: str | Path, joint: str, value: object) -> Source:
    match value:
        case "":
            raise UserError(f"joint map {path}: {joint} is still empty; fill in the name of a joint of your skeleton")
        case str():
            return value
        case [str(a), str(b), int(t) | float(t)] if abs(t) <= 10:
            return a, b, float(t)
    text = shown(repr(value))
    raise UserError(f'joint map {path}: {joint} must be a name, or ["NAME", "NAME", share of the way], not {text}')


def source_names(source: Source) -> tuple[str, ...]:
    """The joints that a source speaks of."""
    return (source,) if isinstance(source, str) else source[:2]


def map_joints(take: Take, table: JointMap, what: str = "the skeleton") -> Tensor:
    """Positions (T, 22, 3) of the format's joints, in the take's unit and axes.

    Names of the table may leave out the prefix that all joints of the skeleton share ("mixamorig:"); `what` names the
    file in errors.

    Raises:
        UserError: the skeleton lacks joints of the table.
    """
    index = {name: i for i, name in enumerate(take.names)}
    by_key: dict[str, list[int]] = {}
    for i, key in enumerate(joint_keys(take.names)):
        by_key.setdefault(key, []).append(i)
    places, missing = {}, []
    for name in dict.fromkeys(name for source in table.values() for name in source_names(source)):
        found = [index[name]] if name in index else by_key.get(plain_key(name), [])
        if len(found) != 1:
            missing.append(name)
        else:
            places[name] = found[0]
    if missing:
        there = _few([name for name in take.names if not name.endswith(END)])
        raise UserError(
            f"{what}: the joint map's {_few(missing, 3)} are not there, or not only once; there are {there}"
        )
    columns = []
    for joint in HUMANML3D.joint_names:
        source = table[joint]
        if isinstance(source, str):
            columns.append(take.positions[:, places[source]])
        else:
            a, b, t = source
            columns.append(torch.lerp(take.positions[:, places[a]], take.positions[:, places[b]], t))
    return torch.stack(columns, dim=1)
