"""Reading raw motion capture (BVH, ASF/AMC) as joint positions.

A file becomes a `Take`: every joint's position in every frame at the asked rate, resampled on the rotations so
that bones keep their lengths, in the file's own unit and axes. `lamp.utils.capture.joint_map` turns it into the 22
joints of the format.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lamp.utils.errors import UserError
from lamp.utils.kinematics.geometry import quat_from_euler, quat_inverse, quat_multiply, quat_rotate, quat_slerp


@dataclass
class Take:
    """Motion capture of one performer.

    Attributes:
        names: joint names; the end of a chain is called `<parent>_end`.
        parents: parent of each joint, -1 for the root.
        positions: (T, N, 3) in the file's unit and axes.
        fps: frames a second.
    """

    names: list[str]
    parents: list[int]
    positions: Tensor
    fps: float


@dataclass
class _Rig:
    """A skeleton while its file is read: offsets, channels and, for ASF, axis rotations and degrees of freedom."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[tuple[float, ...]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)

    def add(self, name: str, parent: int, offset: tuple[float, ...], channels: list[str]) -> int:
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append(offset)
        self.channels.append(channels)
        return len(self.names) - 1


def read_take(path: str | Path, fps: float | None = None, skip: int = 0) -> Take:
    """Read a .bvh file, or an .amc file with the .asf of its subject beside it.

    Args:
        path: `X.bvh`, or `SUBJECT_N.amc` next to `SUBJECT.asf` (or the folder's only .asf).
        fps: resample to this rate; None keeps the file's.
        skip: raw frames to drop at the start (lead-ins of some exports).

    Raises:
        UserError: the file cannot be read as motion capture.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        if path.suffix.lower() == ".bvh":
            rig, position, rotation, rate = _parse_bvh(text)
        elif path.suffix.lower() == ".amc":
            rig, position, rotation, rate = _parse_amc(text, _find_asf(path))
        else:
            raise UserError(f"{path} is neither .bvh nor .amc")
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"{path} is not a readable {path.suffix[1:].upper()} file: {error}") from error
    position, rotation = position[skip:], rotation[skip:]
    if len(position) < 2:
        raise UserError(f"{path} has fewer than two frames")
    if not (torch.isfinite(position).all() and torch.isfinite(rotation).all()):
        raise UserError(f"{path} holds values that are not finite")
    if fps is not None:
        position, rotation = _resample(position, rotation, rate, fps)
    positions = _forward(position, rotation, rig.parents)
    return Take(rig.names, rig.parents, positions, fps or rate)


def _parse_bvh(text: str) -> tuple[_Rig, Tensor, Tensor, float]:
    """Rig, local positions (T, N, 3), local rotations (T, N, 4) and frames a second of a BVH text."""
    head, _, motion = text.partition("MOTION")
    if not motion:
        raise ValueError("no MOTION section")
    rig = _parse_hierarchy(head)
    match = re.match(r"\s*Frames:\s*(\d+)\s*Frame\s+Time:\s*(\S+)\s*", motion)
    if match is None:
        raise ValueError("no Frames and Frame Time after MOTION")
    frames, frame_time = int(match[1]), float(match[2])
    width = sum(len(c) for c in rig.channels)
    values = np.array(motion[match.end() :].split(), dtype=np.float64)
    if frame_time <= 0 or len(values) < width or len(values) % width:
        raise ValueError(f"{len(values)} motion values do not fill frames of {width} channels")
    # Some exporters write a frame more or less than they announce; the rows decide.
    data = torch.from_numpy(values.reshape(-1, width)[: max(frames, 1)])
    return rig, *_channels_to_pose(rig, data), 1.0 / frame_time


def _parse_hierarchy(text: str) -> _Rig:
    rig, stack, pending = _Rig(), [], None
    tokens = iter(text.split())
    for token in tokens:
        key = token.upper()
        if key in ("ROOT", "JOINT"):
            pending = next(tokens)
        elif key == "END":
            next(tokens)
            pending = f"{rig.names[stack[-1]]}_end"
        elif key == "{":
            if pending is None:
                raise ValueError("a { without a joint before it")
            stack.append(rig.add(pending, stack[-1] if stack else -1, (0.0, 0.0, 0.0), []))
            pending = None
        elif key == "}":
            stack.pop()
        elif key == "OFFSET":
            rig.offsets[stack[-1]] = tuple(float(next(tokens)) for _ in range(3))
        elif key == "CHANNELS":
            rig.channels[stack[-1]] = [next(tokens).lower() for _ in range(int(next(tokens)))]
    if not rig.names:
        raise ValueError("no joints in HIERARCHY")
    return rig


def _channels_to_pose(rig: _Rig, data: Tensor) -> tuple[Tensor, Tensor]:
    """Channel values (T, W) in degrees to local positions (T, N, 3) and rotations (T, N, 4).

    A joint's position channels replace its OFFSET: for roots the two conventions agree (their OFFSET is 0), and files
    with position channels on every joint (Bandai-Namco) repeat the offset in them.
    """
    frames, joints = len(data), len(rig.names)
    position = data.new_tensor(rig.offsets).expand(frames, joints, 3).clone()
    rotation = data.new_zeros(frames, joints, 4)
    rotation[..., 0] = 1.0
    by_order: dict[str, list[tuple[int, list[int]]]] = {}
    column = 0
    for joint, channels in enumerate(rig.channels):
        order, columns = "", []
        for name in channels:
            if name.endswith("position"):
                position[:, joint, "xyz".index(name[0])] = data[:, column]
            elif name.endswith("rotation"):
                order += name[0]
                columns.append(column)
            else:
                raise ValueError(f"unknown channel {name}")
            column += 1
        if order:
            by_order.setdefault(order, []).append((joint, columns))
    for order, entries in by_order.items():
        angles = torch.deg2rad(data[:, [columns for _, columns in entries]])
        rotation[:, [joint for joint, _ in entries]] = quat_from_euler(angles, order)
    return position, rotation


def _find_asf(path: Path) -> str:
    """Text of the skeleton file that belongs to an .amc file."""
    subject = path.with_name(path.stem.split("_")[0] + ".asf")
    if not subject.is_file():
        others = sorted(path.parent.glob("*.asf"))
        if len(others) != 1:
            raise UserError(f"{path} needs its skeleton {subject.name} beside it")
        subject = others[0]
    return subject.read_text(encoding="utf-8", errors="replace")


def _parse_amc(text: str, asf: str) -> tuple[_Rig, Tensor, Tensor, float]:
    """Like `_parse_bvh`, for an AMC text and its ASF skeleton; a joint is the end of the bone of its name."""
    bones, tree = _parse_asf(asf)
    rig = _Rig()
    rig.add("root", -1, (0.0, 0.0, 0.0), [])
    for parent, children in tree:
        for child in children:
            direction, length = bones[child]["direction"], bones[child]["length"]
            rig.add(child, rig.names.index(parent), tuple(length * d for d in direction), [])
    frames = re.split(r"^\s*\d+\s*$", text, flags=re.MULTILINE)[1:]
    rows = [{line[0]: [float(v) for v in line[1:]] for line in map(str.split, f.splitlines()) if line} for f in frames]
    count, joints = len(rows), len(rig.names)
    position = torch.tensor(rig.offsets, dtype=torch.float64).expand(count, joints, 3).clone()
    rotation = torch.zeros(count, joints, 4, dtype=torch.float64)
    rotation[..., 0] = 1.0
    root = torch.tensor([row["root"] for row in rows], dtype=torch.float64)
    position[:, 0] = root[:, :3]
    # ASF order XYZ turns about x first: R = Rz Ry Rx.
    rotation[:, 0] = quat_from_euler(torch.deg2rad(root[:, [5, 4, 3]]), "zyx")
    for joint, name in enumerate(rig.names[1:], start=1):
        dof = bones[name]["dof"]
        angles = torch.zeros(count, 3, dtype=torch.float64)
        if dof:
            values = torch.tensor([row[name] for row in rows], dtype=torch.float64)
            for i, axis in enumerate(dof):
                angles[:, "zyx".index(axis[1])] = values[:, i]
        local = quat_from_euler(torch.deg2rad(angles), "zyx")
        axis = quat_from_euler(torch.deg2rad(torch.tensor(bones[name]["axis"][::-1], dtype=torch.float64)), "zyx")
        rotation[:, joint] = quat_multiply(quat_multiply(axis, local), quat_inverse(axis))
    # A bone's rotation moves its own end, not only its children: shift offsets into the rotated frame.
    position[:, 1:] = quat_rotate(rotation[:, 1:], position[:, 1:])
    return rig, position, rotation, 120.0


def _parse_asf(text: str) -> tuple[dict[str, dict], list[tuple[str, list[str]]]]:
    """Bones by name (direction, length, axis, dof) and the hierarchy as (parent, children) in file order."""
    bones: dict[str, dict] = {}
    for block in re.findall(r"\bbegin\b(.*?)\bend\b", text.partition(":bonedata")[2].partition(":hierarchy")[0], re.S):
        lines = {parts[0]: parts[1:] for parts in map(str.split, block.splitlines()) if parts}
        bones[lines["name"][0]] = {
            "direction": [float(v) for v in lines["direction"]],
            "length": float(lines["length"][0]),
            "axis": [float(v) for v in lines["axis"][:3]],
            "dof": lines.get("dof", []),
        }
    tree = [
        (parts[0], parts[1:])
        for parts in map(str.split, text.partition(":hierarchy")[2].splitlines())
        if len(parts) > 1
    ]
    if not bones or not tree:
        raise ValueError("the .asf skeleton has no bonedata or hierarchy")
    return bones, tree


def _resample(position: Tensor, rotation: Tensor, rate: float, fps: float) -> tuple[Tensor, Tensor]:
    """Interpolate local positions linearly and local rotations spherically at `fps`."""
    duration = (len(position) - 1) / rate
    time = torch.arange(int(duration * fps + 1e-6) + 1, dtype=torch.float64) / fps * rate
    low = time.floor().long().clamp(max=len(position) - 2)
    t = time - low
    mixed = torch.lerp(position[low], position[low + 1], t[:, None, None])
    return mixed, quat_slerp(rotation[low], rotation[low + 1], t[:, None])


def _forward(position: Tensor, rotation: Tensor, parents: list[int]) -> Tensor:
    """Global joint positions (T, N, 3) of local positions and rotations."""
    absolute, place = [rotation[:, 0]], [position[:, 0]]
    for joint in range(1, len(parents)):
        parent = parents[joint]
        place.append(place[parent] + quat_rotate(absolute[parent], position[:, joint]))
        absolute.append(quat_multiply(absolute[parent], rotation[:, joint]))
    return torch.stack(place, dim=1)
