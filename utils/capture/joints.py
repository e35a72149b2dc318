"""A motion file of any kind as upright joints of the format at 20 frames a second."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lamp.utils.capture.checks import check_array, check_stance
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError, map_joints
from lamp.utils.capture.skeletons import fit_joint_map
from lamp.utils.capture.take import CAPTURE_SUFFIXES, Take, read_recording, to_take
from lamp.utils.capture.upright import find_up, upright
from lamp.utils.errors import UserError
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.reading import reading

FPS = HUMANML3D.fps

# Joints are taken for a calibration pose before a jump faster than this, in m/s for legs as long as an adult's.
_JUMP_SPEED, _LEG_LENGTH = 25.0, 0.82
_CALIBRATION_SECONDS = 0.1
# A pose that is held as still as this for as long as this, and left by such a jump, is one too.
_STILL_SPEED, _STILL_SECONDS, _LEAVING_SPEED = 0.05, 0.3, 10.0


@dataclass(frozen=True)
class CapturedJoints:
    """What a motion file says of the format's joints.

    Attributes:
        joints: (T, 22, 3), Y up, in the file's unit, float64.
        lead_in: seconds that were dropped at the start.
        notes: what was supposed and may be wrong.
        fps: frames a second.
    """

    joints: Tensor
    lead_in: float = 0.0
    notes: tuple[str, ...] = ()
    fps: float = FPS


def read_joints(
    path: str | Path, up: str | None = None, joint_map: JointMap | None = None, fps: float | None = FPS
) -> CapturedJoints:
    """Read a .bvh or .amc file, or an array of joints (.npy, .npz), and check that it is a standing order of a body.

    Args:
        path: the file; see `read_take` and `Motion.load`.
        up: up axis of the file ("+x", "-y", ...), None to find it; arrays are Y up where nothing is said.
        joint_map: from our joints to the capture's, None to choose by names and structure.
        fps: frames a second of a capture's result, by its rotations; None keeps its own.

    Raises:
        UserError: the file cannot be read, no joint map fits, or what it holds cannot be a body.
    """
    path = Path(path)
    is_capture = path.suffix.lower() in CAPTURE_SUFFIXES
    with reading(path, "motion"):
        captured = _read_capture(path, up, joint_map, fps) if is_capture else _read_array(path, up)
        check_stance(captured.joints, str(path))
    return captured


def _read_capture(path: Path, up: str | None, joint_map: JointMap | None, fps: float | None) -> CapturedJoints:
    recording = read_recording(path)
    raw = to_take(recording, path)
    lead_in, notes = 0, []
    if joint_map is None:
        try:
            fit = fit_joint_map(raw)
        except UnknownSkeletonError as error:
            raise UnknownSkeletonError(f"{path}: {error}", error.draft) from error
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        joint_map, lead_in = fit.joint_map, fit.lead_in
        notes += [fit.note] if fit.note else []
    raw_joints = map_joints(raw, joint_map, str(path))
    skip = max(lead_in, calibration_frames(raw_joints, raw.fps))
    take = to_take(recording, path, fps, skip)
    joints = map_joints(take, joint_map, str(path))
    if up is None:
        found = find_up(joints, map_joints(_rest(raw), joint_map, str(path))[0])
        up = found.axis
        notes += [found.note] if found.note else []
    return CapturedJoints(upright(joints, up), skip / raw.fps, tuple(notes), take.fps)


def _rest(take: Take) -> Take:
    """The skeleton's pose without rotations, as a take of one frame."""
    places: list[Tensor] = []
    for parent, offset in zip(take.parents, take.offsets):
        place = torch.tensor(offset, dtype=torch.float64)
        places.append(place if parent < 0 else places[parent] + place)
    return replace(take, positions=torch.stack(places)[None])


def _read_array(path: Path, up: str | None) -> CapturedJoints:
    motion = Motion.load(path)
    joints = torch.from_numpy(motion.joints).double()
    if joints.shape[1] != HUMANML3D.num_joints:
        raise UserError(f"{path} has {joints.shape[1]} joints a frame; the format has {HUMANML3D.num_joints}")
    if len(joints) < 2:
        raise UserError(f"{path} has fewer than two frames")
    check_array(joints, str(path), up)
    if abs(motion.fps / FPS - 1) > 0.01:
        joints = _resampled(joints, motion.fps)
    return CapturedJoints(joints if up is None else upright(joints, up))


def _resampled(joints: Tensor, fps: float) -> Tensor:
    """A motion (T, 22, 3) at 20 frames a second, between frames on straight lines."""
    time = torch.arange(int((len(joints) - 1) / fps * FPS + 1e-6) + 1, dtype=torch.float64) / FPS * fps
    low = time.floor().long().clamp(max=len(joints) - 2)
    return torch.lerp(joints[low], joints[low + 1], (time - low)[:, None, None])


def calibration_frames(joints: Tensor, fps: float) -> int:
    """Raw frames of a calibration pose at the start: those before a jump that no body makes.

    The jump comes within a tenth of a second, or ends a pose that was held without any motion until then.

    Args:
        joints: (T, 22, 3) in any unit and axes.
        fps: frames a second.
    """
    leg = HUMANML3D.measure_bones(joints[0])[list(HUMANML3D.leg_joints)].sum()
    # The unit is not known: a leg's length is the measure.
    speed = (joints[1:] - joints[:-1]).norm(dim=-1).amax(-1) * fps * _LEG_LENGTH / leg
    window = min(len(joints) - 1, max(2, int(_CALIBRATION_SECONDS * fps)))
    jumps = torch.nonzero(speed[:window] > _JUMP_SPEED)
    if len(jumps):
        return int(jumps[-1]) + 1
    moved = torch.nonzero(speed > _STILL_SPEED)
    first = int(moved[0]) if len(moved) else 0
    left_at_once = first >= _STILL_SECONDS * fps and float(speed[first]) > _LEAVING_SPEED
    return first + 1 if left_at_once else 0
