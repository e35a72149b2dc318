"""A capture file as upright joints of the format at 20 frames a second."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lamp.utils.capture.joint_map import (
    JOINT_MAPS,
    LEAD_IN_FRAMES,
    JointMap,
    choose_joint_map,
    map_joints,
    upright,
)
from lamp.utils.capture.take import read_recording, to_take
from lamp.utils.kinematics.skeleton import HUMANML3D

FPS = HUMANML3D.fps

# Joints are taken for a calibration pose before a jump faster than this, in m/s for legs as long as an adult's.
_JUMP_SPEED, _LEG_LENGTH = 25.0, 0.82
_CALIBRATION_SECONDS = 0.1


@dataclass(frozen=True)
class CapturedJoints:
    """What a capture file says of the format's joints.

    Attributes:
        joints: (T, 22, 3), Y up, 20 frames a second, in the file's unit, float64.
        lead_in: seconds that were dropped at the start.
    """

    joints: Tensor
    lead_in: float


def read_joints(path: str | Path, up: str | None = None, joint_map: JointMap | None = None) -> CapturedJoints:
    """Read a .bvh or .amc file.

    Args:
        path: the file; see `read_take`.
        up: up axis of the file ("+x", "-y", ...), None to find it.
        joint_map: from our joints to the file's, None to choose by joint names.

    Raises:
        UserError: the file cannot be read, or no joint map fits.
    """
    recording = read_recording(path)
    raw = to_take(recording, path)
    lead_in = 0
    if joint_map is None:
        name = choose_joint_map(raw.names)
        joint_map, lead_in = JOINT_MAPS[name], LEAD_IN_FRAMES.get(name, 0)
    skip = max(lead_in, calibration_frames(map_joints(raw, joint_map), raw.fps))
    take = to_take(recording, path, FPS, skip)
    return CapturedJoints(upright(map_joints(take, joint_map), up), skip / raw.fps)


def calibration_frames(joints: Tensor, fps: float) -> int:
    """Raw frames of a calibration pose at the start: those before a jump that no body makes.

    Args:
        joints: (T, 22, 3) in any unit and axes.
        fps: frames a second.
    """
    window = min(len(joints) - 1, max(2, int(_CALIBRATION_SECONDS * fps)))
    leg = HUMANML3D.measure_bones(joints[0])[list(HUMANML3D.leg_joints)].sum()
    # The unit is not known: a leg's length is the measure.
    speed = (joints[1 : window + 1] - joints[:window]).norm(dim=-1).amax(-1) * fps * _LEG_LENGTH / leg
    jumps = torch.nonzero(speed > _JUMP_SPEED)
    return int(jumps[-1]) + 1 if len(jumps) else 0
