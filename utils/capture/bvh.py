"""The text of a BVH file as a `Recording`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lamp.utils.capture.recording import Recording, Rig, check_size
from lamp.utils.kinematics.geometry import quat_from_euler

# Seconds a frame: 4 to 1000 frames a second. What is outside has another unit or is broken.
_FRAME_TIMES = (0.001, 0.25)
_KINDS = ("position", "rotation")


@dataclass
class _Hierarchy:
    """The skeleton of a BVH file, and the channels of each joint, in lower case."""

    rig: Rig = field(default_factory=Rig)
    channels: list[list[str]] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Number of channels."""
        return sum(map(len, self.channels))


def parse_bvh(text: str) -> Recording:
    """Read the text of a BVH file.

    Keywords in any case, blanks before colons, joint names with blanks, decimal commas and several roots are read.

    Raises:
        ValueError, IndexError: it is not one; the message says what is wrong.
    """
    if not re.search(r"HIERARCHY|MOTION", text, flags=re.IGNORECASE):
        raise ValueError("no HIERARCHY and no MOTION section")
    # A joint may be called MOTION, and have that in its name.
    parts = re.split(r"(?<!\S)MOTION\s+(?=Frames\b)", text, maxsplit=1, flags=re.IGNORECASE)
    head, motion = parts if len(parts) == 2 else (re.split(r"(?im)(?<!\S)MOTION\s*$", text, maxsplit=1)[0], "")
    hierarchy = _parse_hierarchy(head)
    if not motion:
        raise ValueError("no MOTION section with Frames and Frame Time")
    match = re.match(r"\s*Frames\s*:?\s*(\d{1,9})\s+Frame\s*Time\s*:?\s*(\S+)\s*", motion, flags=re.IGNORECASE)
    if match is None:
        raise ValueError("no number of Frames and Frame Time after MOTION")
    if not hierarchy.width:
        raise ValueError("its joints have no CHANNELS, so nothing moves")
    data = _frames(motion[match.end() :], hierarchy, int(match[1]))
    check_size(len(data), len(hierarchy.rig.names), len(text))
    return Recording(hierarchy.rig, *_channels_to_pose(hierarchy, data), 1.0 / _frame_time(match[2]))


def _frame_time(text: str) -> float:
    value = _number(text, "Frame Time")
    low, high = _FRAME_TIMES
    if not low <= value <= high:
        raise ValueError(f"Frame Time {text} is not the seconds of one frame ({low} to {high}, for instance 0.05)")
    return value


def _number(text: str, what: str) -> float:
    try:
        return float(text.replace(",", ".", 1))
    except ValueError:
        raise ValueError(f"{what} {text[:40]!r} is not a number") from None


def _frames(text: str, hierarchy: _Hierarchy, announced: int) -> Tensor:
    """The channel values (T, W) after the header."""
    width = hierarchy.width
    if "," in text and "." not in text:
        text = text.replace(",", ".")
    words = text.split()
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        raise ValueError(_bad_word(words, width)) from None
    if len(values) < width or len(values) % width:
        raise ValueError(_bad_row(text, width) or f"{len(values)} values do not fill frames of {width} channels")
    rows = len(values) // width
    # Some exporters write a frame more or less than they announce; anything else was cut off or put together.
    if abs(rows - announced) > 1:
        raise ValueError(f"Frames: {announced} but {rows} frames follow; write the right number if all are there")
    return torch.from_numpy(values.reshape(-1, width)[: max(announced, 1)])


def _bad_word(words: list[str], width: int) -> str:
    for i, word in enumerate(words):
        try:
            float(word)
        except ValueError:
            return f"{word[:40]!r}, channel {i % width + 1} of frame {i // width + 1}, is not a number; export it again"
    return "a value is not a number"


def _bad_row(text: str, width: int) -> str:
    """The first line that is not a frame, where frames are lines."""
    counts = [len(line.split()) for line in text.splitlines() if line.strip()]
    wrong = next(((i, count) for i, count in enumerate(counts, start=1) if count != width), None)
    return "" if wrong is None else f"frame {wrong[0]} has {wrong[1]} values, not one for each of {width} channels"


def _parse_hierarchy(text: str) -> _Hierarchy:
    hierarchy, stack = _Hierarchy(), list[int]()
    rig, pending, used = hierarchy.rig, "", dict[str, int]()
    tokens = iter(text.replace("{", " { ").replace("}", " } ").split())
    for token in tokens:
        key = token.upper()
        if key in ("ROOT", "JOINT", "END", "ENDSITE"):
            name = _words_before_brace(tokens)
            if key.startswith("END"):
                name = f"{rig.names[_last(stack, token)]}_end"
            pending = _unused(name, used)
            stack.append(rig.add(pending, stack[-1] if stack else -1))
            hierarchy.channels.append([])
        elif key == "{":
            raise ValueError("a { without a joint before it")
        elif key == "}":
            _last(stack, token)
            stack.pop()
        elif key == "OFFSET":
            rig.offsets[_last(stack, token)] = tuple([_number(_next(tokens), "OFFSET") for _ in range(3)])
        elif key == "CHANNELS":
            joint, count = _last(stack, token), _next(tokens)
            if not count.isdecimal() or int(count) > 6:
                raise ValueError(f"CHANNELS {count[:20]} of {rig.names[joint][:40]!r} is not a number from 0 to 6")
            hierarchy.channels[joint] = [_channel(_next(tokens), rig.names[joint]) for _ in range(int(count))]
    if not rig.names:
        raise ValueError("no joints in HIERARCHY")
    if stack:
        raise ValueError(f"HIERARCHY breaks off inside {rig.names[stack[-1]][:40]!r}")
    return hierarchy


def _next(tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise ValueError("HIERARCHY breaks off")
    return token


def _words_before_brace(tokens: Iterator[str]) -> str:
    """A joint's name, which may hold blanks."""
    words = []
    while (word := _next(tokens)) != "{":
        words.append(word)
    return " ".join(words) or "joint"


def _last(stack: list[int], token: str) -> int:
    if not stack:
        raise ValueError(f"{token} stands outside of any joint")
    return stack[-1]


def _unused(name: str, used: dict[str, int]) -> str:
    """`name`, with a number where it was used before, so that each joint can be told by its name.

    `used` has the last number of each name: thousands of joints of one name are not tried one after the other.
    """
    number, unused = used.get(name, 1), name
    while unused in used:
        number += 1
        unused = f"{name}#{number}"
    used[name] = number
    used.setdefault(unused, 1)
    return unused


def _channel(word: str, joint: str) -> str:
    name = word.lower()
    if name[:1] not in ("x", "y", "z") or name[1:] not in _KINDS:
        raise ValueError(f"unknown channel {word[:40]!r} of {joint[:40]!r}")
    return name


def _channels_to_pose(hierarchy: _Hierarchy, data: Tensor) -> tuple[Tensor, Tensor]:
    """Channel values (T, W) in degrees to local positions (T, N, 3) and rotations (T, N, 4).

    A joint's position channels replace its OFFSET: for roots the two conventions agree (their OFFSET is 0), and files
    with position channels on every joint (Bandai-Namco) repeat the offset in them. Some exporters fill them with zeros
    below the root; there the OFFSET counts.
    """
    position, rotation = hierarchy.rig.rest_pose(len(data))
    by_order: dict[str, list[tuple[int, list[int]]]] = {}
    column = 0
    for joint, channels in enumerate(hierarchy.channels):
        order, columns, places = "", [], {}
        for name in channels:
            if name.endswith("position"):
                places["xyz".index(name[0])] = column
            else:
                order += name[0]
                columns.append(column)
            column += 1
        if hierarchy.rig.parents[joint] < 0 or data[:, list(places.values())].any():
            for axis, place in places.items():
                position[:, joint, axis] = data[:, place]
        if order:
            by_order.setdefault(order, []).append((joint, columns))
    for order, entries in by_order.items():
        angles = torch.deg2rad(data[:, [columns for _, columns in entries]])
        rotation[:, [joint for joint, _ in entries]] = quat_from_euler(angles, order)
    return position, rotation
