"""From one capture file to clips of the format: upright, cut, filtered, on the floor, as features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lamp.utils.capture.joint_map import (
    JOINT_MAPS,
    LEAD_IN_FRAMES,
    JointMap,
    check_handedness,
    choose_joint_map,
    map_joints,
    upright,
)
from lamp.utils.capture.mocap import read_take
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import canonicalize, extract_features, mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D

FPS = HUMANML3D.fps
MAX_FRAMES = 196


@dataclass(frozen=True)
class CutOptions:
    """How takes become clips.

    Attributes:
        min_frames: shorter clips are dropped.
        max_speed: metres a second; a joint faster than this marks a broken take.
        max_float: metres; a clip whose lowest foot joint is higher than this in half of its frames does not stand on
            one level floor (stairs, ladders, seats) and is dropped.
        up: up axis of the files, None to find it.
        joint_map: from our joints to the files', None to choose by joint names.
    """

    min_frames: int = 40
    max_speed: float = 12.0
    max_float: float = 0.10
    up: str | None = None
    joint_map: JointMap | None = None


@dataclass(frozen=True)
class Job:
    """One capture file to process.

    Attributes:
        path: the file.
        name: prefix of the clips' ids.
        segments: (start, end) in seconds of the parts to keep; empty for the whole take.
    """

    path: Path
    name: str
    segments: tuple[tuple[float, float], ...] = ()


@dataclass
class Clip:
    """A finished clip: canonical features, and those of its mirror image.

    Attributes:
        id: name of its files.
        job: name of its `Job`.
        segment: index of the segment it was cut from, -1 for the whole take.
        features, mirrored: (T, 263) float32.
    """

    id: str
    job: str
    segment: int
    features: np.ndarray
    mirrored: np.ndarray


@dataclass
class JobResult:
    """Clips of a file, and what was dropped: (clip or file name, reason)."""

    clips: list[Clip] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)


def process_job(job: Job, options: CutOptions) -> JobResult:
    """Read, map, cut and filter one file. A file that cannot be read is dropped with the reason."""
    result = JobResult()
    try:
        joints, lead_in = load_joints(job.path, options)
    except UserError as error:
        result.dropped.append((job.name, str(error)))
        return result
    if not check_handedness(joints):
        result.dropped.append((job.name, "toes point backwards: left and right, or the axes, are swapped"))
        return result
    for segment, piece, suffix in _pieces(joints, job.segments, lead_in):
        name = f"{job.name}{suffix}"
        if len(piece) - 1 < options.min_frames:
            result.dropped.append((name, f"shorter than {options.min_frames} frames"))
            continue
        canonical = _to_format(piece)
        if reason := broken(canonical, options):
            result.dropped.append((name, reason))
            continue
        result.clips.append(
            Clip(name, job.name, segment, _features(canonical), _features(mirror_joints(canonical, HUMANML3D)))
        )
    return result


def load_joints(path: Path, options: CutOptions) -> tuple[Tensor, float]:
    """Upright joints (T, 22, 3) at 20 fps in the file's unit, and the seconds dropped at the start.

    Raises:
        UserError: the file cannot be read or no joint map fits.
    """
    take = read_take(path)
    table, name = options.joint_map, ""
    if table is None:
        name = choose_joint_map(take.names)
        table = JOINT_MAPS[name]
    raw = map_joints(take, table)
    skip = max(LEAD_IN_FRAMES.get(name, 0), _rest_pose_frames(raw, take.fps))
    take_20 = read_take(path, fps=FPS, skip=skip)
    return upright(map_joints(take_20, table), options.up), skip / take.fps


def _rest_pose_frames(joints: Tensor, fps: float) -> int:
    """Raw frames of a calibration pose at the start: those before a jump that no body makes.

    Args:
        joints: (T, 22, 3) in any unit and axes.
    """
    window = min(len(joints) - 1, max(2, int(0.1 * fps)))
    leg = HUMANML3D.measure_bones(joints[0])[list(HUMANML3D.leg_joints)].sum()
    # Legs are about 0.82 m; relative to them no limb moves at 25 m/s.
    step = (joints[1 : window + 1] - joints[:window]).norm(dim=-1).amax(-1) * fps * 0.82 / leg
    jumps = torch.nonzero(step > 25.0)
    return int(jumps[-1]) + 1 if len(jumps) else 0


def _pieces(joints: Tensor, segments: Sequence[tuple[float, float]], lead_in: float) -> list[tuple[int, Tensor, str]]:
    """Parts of a take, none longer than the model's maximum: (segment index, joints, id suffix)."""
    parts = [(-1, joints)]
    if segments:
        frames = [(max(0, round((a - lead_in) * FPS)), round((b - lead_in) * FPS)) for a, b in segments]
        parts = [(i, joints[a : b + 1]) for i, (a, b) in enumerate(frames)]
    pieces = []
    for index, part in parts:
        count = max(1, -(-(len(part) - 1) // MAX_FRAMES))
        edges = np.linspace(0, len(part) - 1, count + 1).astype(int)
        for k in range(count):
            suffix = (f"_s{index}" if len(parts) > 1 else "") + (f"_p{k}" if count > 1 else "")
            pieces.append((index, part[edges[k] : edges[k + 1] + 1], suffix))
    return pieces


def _to_format(joints: Tensor) -> Tensor:
    lengths = joints.new_tensor(HUMANML3D.bone_lengths)
    return canonicalize(joints, HUMANML3D, lengths)


def _features(canonical: Tensor) -> np.ndarray:
    # Mirroring turns a body that faces +Z to another that does: canonicalize again costs nothing and keeps it exact.
    return extract_features(canonicalize(canonical, HUMANML3D), HUMANML3D, repair_turns=True).float().numpy()


def broken(canonical: Tensor, options: CutOptions) -> str | None:
    """Why a canonical clip (T, 22, 3) is not fit for training, or None."""
    speed = float((canonical[1:] - canonical[:-1]).norm(dim=-1).max()) * FPS
    if speed > options.max_speed:
        return f"a joint moves at {speed:.0f} m/s"
    feet = list(HUMANML3D.left_foot + HUMANML3D.right_foot)
    height = float(canonical[:, feet, 1].amin(-1).median())
    if height > options.max_float:
        return f"feet {100 * height:.0f} cm above the lowest point in half of the frames (stairs, seat or climbing)"
    return None
