"""The text of a BVH file as a `Recording`."""

import re
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lamp.utils.capture.recording import Recording, Rig
from lamp.utils.kinematics.geometry import quat_from_euler


@dataclass
class _Hierarchy:
    """The skeleton of a BVH file, and the channels of each joint, in lower case."""

    rig: Rig = field(default_factory=Rig)
    channels: list[list[str]] = field(default_factory=list)


def parse_bvh(text: str) -> Recording:
    """Read the text of a BVH file.

    Raises:
        ValueError, IndexError: it is not one.
    """
    head, _, motion = text.partition("MOTION")
    if not motion:
        raise ValueError("no MOTION section")
    hierarchy = _parse_hierarchy(head)
    match = re.match(r"\s*Frames:\s*(\d+)\s*Frame\s+Time:\s*(\S+)\s*", motion)
    if match is None:
        raise ValueError("no Frames and Frame Time after MOTION")
    frames, frame_time = int(match[1]), float(match[2])
    width = sum(len(c) for c in hierarchy.channels)
    values = np.array(motion[match.end() :].split(), dtype=np.float64)
    if frame_time <= 0 or len(values) < width or len(values) % width:
        raise ValueError(f"{len(values)} motion values do not fill frames of {width} channels")
    # Some exporters write a frame more or less than they announce; the rows decide.
    data = torch.from_numpy(values.reshape(-1, width)[: max(frames, 1)])
    return Recording(hierarchy.rig, *_channels_to_pose(hierarchy, data), 1.0 / frame_time)


def _parse_hierarchy(text: str) -> _Hierarchy:
    hierarchy, stack = _Hierarchy(), list[int]()
    rig, pending = hierarchy.rig, ""
    tokens = iter(text.split())

    def following() -> str:
        token = next(tokens, None)
        if token is None:
            raise ValueError("HIERARCHY breaks off")
        return token

    for token in tokens:
        key = token.upper()
        if key in ("ROOT", "JOINT"):
            pending = following()
        elif key == "END":
            following()
            pending = f"{rig.names[stack[-1]]}_end"
        elif key == "{":
            if not pending:
                raise ValueError("a { without a joint before it")
            stack.append(rig.add(pending, stack[-1] if stack else -1))
            hierarchy.channels.append([])
            pending = ""
        elif key == "}":
            stack.pop()
        elif key == "OFFSET":
            rig.offsets[stack[-1]] = tuple([float(following()) for _ in range(3)])
        elif key == "CHANNELS":
            hierarchy.channels[stack[-1]] = [following().lower() for _ in range(int(following()))]
    if not rig.names:
        raise ValueError("no joints in HIERARCHY")
    return hierarchy


def _channels_to_pose(hierarchy: _Hierarchy, data: Tensor) -> tuple[Tensor, Tensor]:
    """Channel values (T, W) in degrees to local positions (T, N, 3) and rotations (T, N, 4).

    A joint's position channels replace its OFFSET: for roots the two conventions agree (their OFFSET is 0), and files
    with position channels on every joint (Bandai-Namco) repeat the offset in them.
    """
    position, rotation = hierarchy.rig.rest_pose(len(data))
    by_order: dict[str, list[tuple[int, list[int]]]] = {}
    column = 0
    for joint, channels in enumerate(hierarchy.channels):
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
