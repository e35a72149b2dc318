"""From one motion file to clips of the format: upright, cut, filtered, on the floor, as features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lamp.utils.capture.checks import check_stance
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError
from lamp.utils.capture.joints import FPS, CapturedJoints, read_joints
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import canonicalize, extract_features, mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.reading import reading

_END_TOLERANCE = 0.5
"""Seconds by which a part may end after its take: captions are rounded."""


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
    """One motion file to process.

    Attributes:
        path: the file.
        name: prefix of the clips' ids.
        segments: (start, end) in seconds of the parts to keep; empty for the whole take.
        read: reader of a file that is neither motion capture nor an array of our joints: joints (T, 22, 3) of a
            person, Y up, 20 frames a second.
        max_speed: metres a second that its joints may reach, where that is more than the options say.
        level: whether it must stand on one level floor; not for who climbs, lies or turns somersaults.
        hold: whether its last pose is held where a clip would be too short.
    """

    path: Path
    name: str
    segments: tuple[tuple[float, float], ...] = ()
    read: Callable[[Path], Tensor] | None = None
    max_speed: float = 0.0
    level: bool = True
    hold: bool = False


@dataclass
class Clip:
    """A finished clip: canonical features, and those of its mirror image.

    Attributes:
        id: name of its files.
        job: name of its `Job`.
        segment: index of the segment it was cut from, -1 for the whole take.
        features, mirrored: (T, 263) float32.
        start: second of the file at which it begins.
        whole: whether it is all of its segment, or of the take, rather than one of several pieces of it.
    """

    id: str
    job: str
    segment: int
    features: np.ndarray
    mirrored: np.ndarray
    start: float = 0.0
    whole: bool = True


@dataclass
class JobResult:
    """What became of a file.

    Attributes:
        clips: those that are fit.
        dropped: (clip or file name, reason).
        unread: whether the file could not be read at all.
        notes: what was supposed of it and may be wrong.
        draft: of a file whose skeleton is not known, a joint map to fill in.
    """

    clips: list[Clip] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    unread: bool = False
    notes: list[str] = field(default_factory=list)
    draft: dict[str, object] = field(default_factory=dict)


def process_job(job: Job, options: CutOptions) -> JobResult:
    """Read, map, cut and filter one file. A file that cannot be read is dropped with the reason."""
    result = JobResult()
    try:
        with reading(job.path, "motion"):
            if job.read is None:
                captured = read_joints(job.path, options.up, options.joint_map)
            else:
                captured = CapturedJoints(job.read(job.path))
                check_stance(captured.joints, str(job.path))
            _cut(job, captured, options, result)
    except UserError as error:
        # Nothing of a file that breaks off in the middle of the work.
        draft = error.draft if isinstance(error, UnknownSkeletonError) else {}
        return JobResult(dropped=[(job.name, str(error))], unread=True, draft=draft)
    result.notes = list(captured.notes)
    return result


def _cut(job: Job, captured: CapturedJoints, options: CutOptions, result: JobResult) -> None:
    """Cut and filter the joints of a file."""
    joints = captured.joints
    seconds = captured.lead_in + (len(joints) - 1) / FPS
    for segment, frames, suffix in _pieces(len(joints), job.segments, captured.lead_in):
        name, piece = f"{job.name}{suffix}", joints[frames]
        if segment >= 0 and (end := job.segments[segment][1]) > seconds + _END_TOLERANCE:
            result.dropped.append((name, f"its part ends at {end:g} s, the take at {seconds:.2f} s"))
            continue
        if job.hold:
            piece = _held(piece, options.min_frames + 1)
        if len(piece) - 1 < options.min_frames:
            result.dropped.append((name, f"shorter than {options.min_frames} frames"))
            continue
        canonical = _to_format(piece)
        if reason := broken(canonical, options, job):
            result.dropped.append((name, reason))
            continue
        both = (_features(canonical), _features(mirror_joints(canonical, HUMANML3D)))
        result.clips.append(
            Clip(name, job.name, segment, *both, captured.lead_in + frames.start / FPS, "_p" not in suffix)
        )


def _pieces(length: int, segments: Sequence[tuple[float, float]], lead_in: float) -> list[tuple[int, slice, str]]:
    """Parts of a take of `length` frames, none longer than the model's maximum: (segment index, frames, id suffix)."""
    parts = [(-1, 0, length)]
    if segments:
        spans = [(max(0, round((a - lead_in) * FPS)), round((b - lead_in) * FPS) + 1) for a, b in segments]
        # A part that begins or ends after the take is empty or shorter, as slices are.
        parts = [(i, min(a, length), max(min(a, length), min(b, length))) for i, (a, b) in enumerate(spans)]
    pieces = []
    for index, first, stop in parts:
        count = max(1, -(-(stop - first - 1) // MAX_FRAMES))
        edges = np.linspace(0, stop - first - 1, count + 1).astype(int)
        for k in range(count):
            suffix = (f"_s{index}" if len(parts) > 1 else "") + (f"_p{k}" if count > 1 else "")
            pieces.append((index, slice(first + int(edges[k]), first + int(edges[k + 1]) + 1), suffix))
    return pieces


def _held(joints: Tensor, frames: int) -> Tensor:
    """Joints (T, 22, 3) whose last pose is held until there are `frames` at least."""
    missing = max(0, frames - len(joints))
    return torch.cat((joints, joints[-1:].expand(missing, -1, -1)))


def _to_format(joints: Tensor) -> Tensor:
    lengths = joints.new_tensor(HUMANML3D.bone_lengths)
    return canonicalize(joints, HUMANML3D, lengths)


def _features(canonical: Tensor) -> np.ndarray:
    # Mirroring turns a body that faces +Z to another that does: canonicalize again costs nothing and keeps it exact.
    return extract_features(canonicalize(canonical, HUMANML3D), HUMANML3D, repair_turns=True).float().numpy()


def broken(canonical: Tensor, options: CutOptions, job: Job | None = None) -> str | None:
    """Why a canonical clip (T, 22, 3) is not fit for training, or None.

    Args:
        canonical: the clip.
        options: limits.
        job: of the clip; may let pass more.
    """
    speed = float((canonical[1:] - canonical[:-1]).norm(dim=-1).max()) * FPS
    if speed > max(options.max_speed, job.max_speed if job else 0.0):
        return f"a joint moves at {speed:.0f} m/s"
    feet = list(HUMANML3D.left_foot + HUMANML3D.right_foot)
    height = float(canonical[:, feet, 1].amin(-1).median())
    if height > options.max_float and (job is None or job.level):
        return f"feet {100 * height:.0f} cm above the lowest point in half of the frames (stairs, seat or climbing)"
    return None
