"""The texts of an AMC file and of its ASF skeleton (Acclaim's formats, used by the CMU database) as a `Recording`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lamp.utils.capture.recording import Recording, Rig, check_size
from lamp.utils.kinematics.geometry import quat_from_euler, quat_inverse, quat_multiply, quat_rotate

AMC_FPS = 120.0
"""The files do not say their rate; the CMU database's is this."""
_ROOT_CHANNELS = ("tx", "ty", "tz", "rx", "ry", "rz")


@dataclass
class _Bone:
    """A bone of an ASF skeleton.

    Attributes:
        direction, length: from its start to its end, in the skeleton's axes.
        axis: Euler angles in degrees, about x, y and z, of the axes that its rotations turn about.
        order: the axes' order, "xyz" turns about x first.
        dof: names of its degrees of freedom, "rx", "ry" or "rz", in the order of an AMC line.
    """

    direction: tuple[float, ...]
    length: float
    axis: dict[str, float]
    order: str
    dof: list[str]


@dataclass
class _Skeleton:
    """What an ASF file says.

    Attributes:
        bones: by name.
        tree: (parent, children) in the order of the file.
        root_channels: what the numbers of an AMC file's root line are, "tx" to "rz".
        root_order: order of the root's rotations, "xyz" turns about x first.
        radians: whether angles are in radians.
    """

    bones: dict[str, _Bone] = field(default_factory=dict)
    tree: list[tuple[str, list[str]]] = field(default_factory=list)
    root_channels: tuple[str, ...] = _ROOT_CHANNELS
    root_order: str = "xyz"
    radians: bool = False


def parse_amc(text: str, asf: str) -> Recording:
    """Read the text of an AMC file with the text of its skeleton; a joint is the end of the bone of its name.

    Raises:
        ValueError, IndexError, KeyError: they are none, or do not belong together.
    """
    skeleton = _parse_asf(asf)
    rig = _rig(skeleton)
    header, *frames = re.split(r"^\s*\d+\s*$", text, flags=re.MULTILINE)
    check_size(len(frames), len(rig.names), len(text) + len(asf))
    rows = _rows(frames, skeleton)
    # The motion file's own word on its angles counts; without one its skeleton's.
    units = re.findall(r":\s*(DEGREES|RADIANS)", header, flags=re.IGNORECASE)
    radians = units[-1].upper() == "RADIANS" if units else skeleton.radians
    position, rotation = rig.rest_pose(len(rows))
    root = torch.tensor([row["root"] for row in rows], dtype=torch.float64)
    columns = {name: root[:, i] for i, name in enumerate(skeleton.root_channels)}
    for axis, name in enumerate(("tx", "ty", "tz")):
        position[:, 0, axis] = columns.get(name, torch.zeros(len(rows), dtype=torch.float64))
    rotation[:, 0] = _rotation({name[1]: columns[name] for name in columns if name[0] == "r"}, skeleton, radians)
    for joint, name in enumerate(rig.names[1:], start=1):
        rotation[:, joint] = _bone_rotation(name, skeleton, rows, radians)
    # A bone's rotation moves its own end, not only its children: shift offsets into the rotated frame.
    position[:, 1:] = quat_rotate(rotation[:, 1:], position[:, 1:])
    return Recording(rig, position, rotation, AMC_FPS)


def _rows(frames: list[str], skeleton: _Skeleton) -> list[dict[str, list[float]]]:
    """The numbers of each bone in each frame, complete.

    Raises:
        ValueError: a bone of the skeleton is missing, is none of it, or has another number of values.
    """
    if not frames:
        raise ValueError("no frames (a line with the frame's number, then a line a bone)")
    wanted = {name: len(bone.dof) for name, bone in skeleton.bones.items() if bone.dof}
    wanted["root"] = len(skeleton.root_channels)
    rows = []
    for number, frame in enumerate(frames, start=1):
        row = {}
        for words in map(str.split, frame.splitlines()):
            if not words:
                continue
            try:
                row[words[0]] = [float(word) for word in words[1:]]
            except ValueError:
                raise ValueError(f"frame {number}: {' '.join(words)[:60]!r} is not a bone with its angles") from None
        if lacking := sorted(set(wanted) - set(row)):
            raise ValueError(f"frame {number} lacks {lacking[0]!r}; the file is cut off, or of another skeleton")
        if wrong := [name for name, values in row.items() if len(values) != wanted.get(name, 0)]:
            count, name = len(row[wrong[0]]), wrong[0][:40]
            raise ValueError(f"frame {number}: {name!r} has {count} values, in the skeleton {wanted.get(name, 0)}")
        rows.append(row)
    return rows


def _rig(skeleton: _Skeleton) -> Rig:
    rig = Rig()
    places = {"root": rig.add("root", -1)}
    for parent, children in skeleton.tree:
        if parent not in places:
            raise ValueError(f"the .asf hierarchy hangs bones on {parent[:40]!r} before that one is hung on anything")
        for child in children:
            if child in places or child not in skeleton.bones:
                raise ValueError(f"the .asf hierarchy names {child[:40]!r} twice, or a bone without bonedata")
            bone = skeleton.bones[child]
            places[child] = rig.add(child, places[parent], tuple(bone.length * d for d in bone.direction))
    return rig


def _rotation(angles: dict[str, Tensor], skeleton: _Skeleton, radians: bool, order: str = "") -> Tensor:
    """Rotations (T, 4) of angles (T,) by axis; with order XYZ it turns about x first: R = Rz Ry Rx."""
    backwards = (order or skeleton.root_order)[::-1]
    some = next(iter(angles.values()))
    stacked = torch.stack([angles.get(axis, torch.zeros_like(some)) for axis in backwards], dim=-1)
    return quat_from_euler(stacked if radians else torch.deg2rad(stacked), backwards)


def _bone_rotation(name: str, skeleton: _Skeleton, rows: list[dict[str, list[float]]], radians: bool) -> Tensor:
    """Rotations (T, 4) of a bone: its angles turn about the bone's own axes."""
    bone = skeleton.bones[name]
    angles = {"x": torch.zeros(len(rows), dtype=torch.float64)}
    if bone.dof:
        values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        angles |= {degree[1]: values[:, i] for i, degree in enumerate(bone.dof)}
    local = _rotation(angles, skeleton, radians, bone.order)
    turns = {axis: torch.tensor(value, dtype=torch.float64) for axis, value in bone.axis.items()}
    axis = _rotation(turns, skeleton, skeleton.radians, bone.order)
    return quat_multiply(quat_multiply(axis, local), quat_inverse(axis))


def _parse_asf(text: str) -> _Skeleton:
    skeleton = _Skeleton()
    sections = _sections(text)
    for words in sections.get("units", []):
        if words[0] == "angle":
            skeleton.radians = words[1].lower().startswith("rad")
    for words in sections.get("root", []):
        if words[0] == "order":
            skeleton.root_channels = tuple(word.lower() for word in words[1:])
            if set(skeleton.root_channels) - set(_ROOT_CHANNELS) or not set("xyz") & {
                name[1] for name in skeleton.root_channels if name[0] == "r"
            }:
                raise ValueError(f"the .asf root's order {' '.join(words[1:])[:60]!r} is not of TX TY TZ RX RY RZ")
        elif words[0] == "axis":
            skeleton.root_order = _order(words[1])
        elif words[0] == "orientation" and any(float(word) for word in words[1:]):
            raise ValueError("the .asf root has an orientation other than 0 0 0, which is not read; export it upright")
    for block in _blocks(sections.get("bonedata", [])):
        _add_bone(block, skeleton)
    skeleton.tree = [(words[0], words[1:]) for words in sections.get("hierarchy", []) if len(words) > 1]
    if not skeleton.bones or not skeleton.tree:
        raise ValueError("the .asf skeleton has no bonedata or hierarchy")
    return skeleton


def _sections(text: str) -> dict[str, list[list[str]]]:
    """The words of each line, by the `:name` that they stand below, in lower case."""
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for words in map(str.split, text.splitlines()):
        if words and words[0].startswith(":"):
            current = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            current.append(words)
    return sections


def _blocks(lines: list[list[str]]) -> Iterator[dict[str, list[str]]]:
    """What stands between each `begin` and `end`: the words of each line by its first."""
    block: dict[str, list[str]] = {}
    for words in lines:
        if words[0] == "begin":
            block = {}
        elif words[0] == "end":
            yield block
        else:
            block.setdefault(words[0], words[1:])


def _add_bone(block: dict[str, list[str]], skeleton: _Skeleton) -> None:
    name = " ".join(block.get("name", ["without a name"]))
    for key, count in (("name", 1), ("direction", 3), ("length", 1), ("axis", 3)):
        if len(block.get(key, ())) < count:
            raise ValueError(f"the .asf bone {name[:40]!r} has no {key}")
    dof = [word.lower() for word in block.get("dof", [])]
    if set(dof) - {"rx", "ry", "rz"}:
        raise ValueError(f"the .asf bone {name[:40]!r} has dof {' '.join(dof)[:40]}; only rx, ry and rz are read")
    skeleton.bones[name] = _Bone(
        direction=tuple(float(v) for v in block["direction"][:3]),
        length=float(block["length"][0]),
        axis={axis: float(v) for axis, v in zip("xyz", block["axis"])},
        order=_order(block["axis"][3]) if len(block["axis"]) > 3 else "xyz",
        dof=dof,
    )


def _order(word: str) -> str:
    if sorted(word.lower()) != ["x", "y", "z"]:
        raise ValueError(f"the .asf file's axis {word[:20]!r} is not an order of X, Y and Z")
    return word.lower()
