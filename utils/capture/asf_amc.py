"""The texts of an AMC file and of its ASF skeleton (Acclaim's formats, used by the CMU database) as a `Recording`."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from lamp.utils.capture.recording import Recording, Rig
from lamp.utils.kinematics.geometry import quat_from_euler, quat_inverse, quat_multiply, quat_rotate

AMC_FPS = 120.0
"""The files do not say their rate; the CMU database's is this."""


@dataclass
class _Bone:
    """A bone of an ASF skeleton.

    Attributes:
        direction, length: from its start to its end, in the skeleton's axes.
        axis: Euler angles in degrees, about x, y and z, of the axes that its rotations turn about.
        dof: names of its degrees of freedom, "rx", "ry" or "rz", in the order of an AMC line.
    """

    direction: list[float]
    length: float
    axis: list[float]
    dof: list[str]


@dataclass
class _Skeleton:
    """Bones by name, and the hierarchy as (parent, children) in the order of the file."""

    bones: dict[str, _Bone]
    tree: list[tuple[str, list[str]]]


def parse_amc(text: str, asf: str) -> Recording:
    """Read the text of an AMC file with the text of its skeleton; a joint is the end of the bone of its name.

    Raises:
        ValueError, IndexError, KeyError: they are none, or do not belong together.
    """
    skeleton = _parse_asf(asf)
    rig = _rig(skeleton)
    frames = re.split(r"^\s*\d+\s*$", text, flags=re.MULTILINE)[1:]
    rows = [{line[0]: [float(v) for v in line[1:]] for line in map(str.split, f.splitlines()) if line} for f in frames]
    position, rotation = rig.rest_pose(len(rows))
    root = torch.tensor([row["root"] for row in rows], dtype=torch.float64)
    position[:, 0] = root[:, :3]
    # ASF order XYZ turns about x first: R = Rz Ry Rx.
    rotation[:, 0] = quat_from_euler(torch.deg2rad(root[:, [5, 4, 3]]), "zyx")
    for joint, name in enumerate(rig.names[1:], start=1):
        rotation[:, joint] = _bone_rotation(name, skeleton.bones[name], rows)
    # A bone's rotation moves its own end, not only its children: shift offsets into the rotated frame.
    position[:, 1:] = quat_rotate(rotation[:, 1:], position[:, 1:])
    return Recording(rig, position, rotation, AMC_FPS)


def _rig(skeleton: _Skeleton) -> Rig:
    rig = Rig()
    rig.add("root", -1)
    for parent, children in skeleton.tree:
        for child in children:
            bone = skeleton.bones[child]
            rig.add(child, rig.names.index(parent), tuple(bone.length * d for d in bone.direction))
    return rig


def _bone_rotation(name: str, bone: _Bone, rows: list[dict[str, list[float]]]) -> Tensor:
    """Rotations (T, 4) of a bone: its angles turn about the bone's own axes."""
    angles = torch.zeros(len(rows), 3, dtype=torch.float64)
    if bone.dof:
        values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        for i, degree in enumerate(bone.dof):
            angles[:, "zyx".index(degree[1])] = values[:, i]
    local = quat_from_euler(torch.deg2rad(angles), "zyx")
    axis = quat_from_euler(torch.deg2rad(torch.tensor(bone.axis[::-1], dtype=torch.float64)), "zyx")
    return quat_multiply(quat_multiply(axis, local), quat_inverse(axis))


def _parse_asf(text: str) -> _Skeleton:
    bones = {}
    for block in re.findall(r"\bbegin\b(.*?)\bend\b", text.partition(":bonedata")[2].partition(":hierarchy")[0], re.S):
        lines = {parts[0]: parts[1:] for parts in map(str.split, block.splitlines()) if parts}
        bones[lines["name"][0]] = _Bone(
            direction=[float(v) for v in lines["direction"]],
            length=float(lines["length"][0]),
            axis=[float(v) for v in lines["axis"][:3]],
            dof=lines.get("dof", []),
        )
    lines_of_tree = map(str.split, text.partition(":hierarchy")[2].splitlines())
    tree = [(parts[0], parts[1:]) for parts in lines_of_tree if len(parts) > 1]
    if not bones or not tree:
        raise ValueError("the .asf skeleton has no bonedata or hierarchy")
    return _Skeleton(bones, tree)
