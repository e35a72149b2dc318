"""The reference motions of DeepMimic's humanoid, which the package pybullet carries: acrobatics, getting up, crawling.

A frame has 44 numbers: seconds, root position, root rotation, then the joints of the humanoid, each a quaternion
(w, x, y, z), or one angle about the z axis for knees and elbows. Y is up and the humanoid faces +X.
"""

import json
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lamp.prepare.mini.more.frames import FPS, check_columns, pose_chain
from lamp.utils.errors import UserError
from lamp.utils.kinematics.geometry import quat_identity, quat_inverse, quat_multiply, quat_rotate, quat_slerp
from lamp.utils.kinematics.skeleton import HUMANML3D

_COLUMNS = 44
# Joint, parent, place in the parent's frame in metres (humanoid.urdf of pybullet_data, a quarter of its units), and how
# many numbers of a frame it has. Joints without any are ours: they are fixed to their parents.
_JOINTS: tuple[tuple[str, str, tuple[float, float, float], int], ...] = (
    ("pelvis", "", (0, 0, 0), 4),
    ("chest", "pelvis", (0, 0.236151, 0), 4),
    ("neck", "chest", (0, 0.223894, 0), 4),
    ("right_hip", "pelvis", (0, 0, 0.084887), 4),
    ("right_knee", "right_hip", (0, -0.421546, 0), 1),
    ("right_ankle", "right_knee", (0, -0.40987, 0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.2435, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0, -0.274788, 0), 1),
    ("left_hip", "pelvis", (0, 0, -0.084887), 4),
    ("left_knee", "left_hip", (0, -0.421546, 0), 1),
    ("left_ankle", "left_knee", (0, -0.40987, 0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.2435, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0, -0.274788, 0), 1),
    ("spine1", "pelvis", (0, 0.1, 0), 0),
    ("spine2", "chest", (0, 0.02, 0), 0),
    ("spine3", "chest", (0, 0.06, 0), 0),
    ("head", "neck", (0, 0.12, 0), 0),
    ("left_collar", "chest", (-0.01, 0.17, -0.07), 0),
    ("right_collar", "chest", (-0.01, 0.17, 0.07), 0),
    ("left_foot", "left_ankle", (0.115, -0.05, 0), 0),
    ("right_foot", "right_ankle", (0.115, -0.05, 0), 0),
    ("left_wrist", "left_elbow", (0, -0.258947, 0), 0),
    ("right_wrist", "right_elbow", (0, -0.258947, 0), 0),
)
_NAMES = [name for name, *_ in _JOINTS]
_CYCLES = ("humanoid3d_walk", "humanoid3d_run")
"""Takes of one cycle, which are repeated; many others say that they wrap and do not."""
_LONG = 3.0
"""Seconds to which a cycle is repeated at least."""


def read_humanoid(path: Path) -> Tensor:
    """Joints (T, 22, 3) of a .txt file, metres, Y up, 20 frames a second.

    Raises:
        UserError: it has no frames of 44 numbers, or no time passes.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("Frames"), list):
        raise UserError(f"{path} has no Frames; take the humanoid's files of pybullet_data/data/motions")
    table = torch.tensor(content["Frames"], dtype=torch.float64)
    check_columns(table, _COLUMNS, str(path))
    place, turns, time = table[:, 1:4], _turns(table), table[:-1, 0].cumsum(0)
    time = torch.cat((time.new_zeros(1), time))
    if not bool((table[:-1, 0] > 0).all()):
        raise UserError(f"{path}: the durations of its frames must be positive")
    if path.stem in _CYCLES:
        place, turns, time = _repeated(place, turns, time)
    wanted = torch.arange(int(float(time[-1]) * FPS + 1e-6) + 1, dtype=torch.float64) / FPS
    low = (torch.searchsorted(time, wanted, right=True) - 1).clamp(0, len(time) - 2)
    share = ((wanted - time[low]) / (time[low + 1] - time[low])).clamp(0, 1)
    place = torch.lerp(place[low], place[low + 1], share[:, None])
    turns = quat_slerp(turns[low], turns[low + 1], share[:, None])
    parents = [_NAMES.index(parent) if parent else -1 for _, parent, *_ in _JOINTS]
    offsets = torch.tensor([offset for _, _, offset, _ in _JOINTS], dtype=torch.float64)
    joints, _ = pose_chain(parents, offsets, turns, (place, turns[:, 0]))
    return joints[:, [_NAMES.index(name) for name in HUMANML3D.joint_names]]


def _turns(table: Tensor) -> Tensor:
    """Local rotations (T, J, 4) of the joints of frames (T, 44)."""
    turns = quat_identity(len(table), len(_JOINTS), like=table)
    column = 4
    for joint, (*_, count) in enumerate(_JOINTS):
        numbers = table[:, column : column + count]
        if count == 4:
            turns[:, joint] = normalize(numbers, dim=-1)
        elif count == 1:
            turns[:, joint, 0], turns[:, joint, 3] = (numbers[:, 0] / 2).cos(), (numbers[:, 0] / 2).sin()
        column += count
    return turns


def _repeated(place: Tensor, turns: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A cycle of a walk, one after the other: each begins where the last ended, and heads where it headed."""
    times = int(-(-_LONG // float(time[-1])))
    heading = _heading(quat_multiply(turns[-1, 0], quat_inverse(turns[0, 0])))
    places, rotations, seconds, turn = [place], [turns], [time], heading
    for _ in range(1, times):
        step = quat_rotate(turn, place - place[0])
        step[:, 1] = place[:, 1] - place[0, 1]
        places.append(
            step[1:] + places[-1][-1] * step.new_tensor([1.0, 0.0, 1.0]) + place[0] * step.new_tensor([0, 1, 0])
        )
        next_turns = turns.clone()
        next_turns[:, 0] = quat_multiply(turn, turns[:, 0])
        rotations.append(next_turns[1:])
        seconds.append(seconds[-1][-1] + time[1:])
        turn = quat_multiply(heading, turn)
    return torch.cat(places), torch.cat(rotations), torch.cat(seconds)


def _heading(turn: Tensor) -> Tensor:
    """The part of a rotation (4,) about the Y axis."""
    return normalize(turn * turn.new_tensor([1.0, 0.0, 1.0, 0.0]), dim=-1)
