"""Poses of SMPL bodies in big sets, AMASS's .npz and Motion-X's .npy, as joints of the format."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamp.prepare.humanml3d.amass import (
    NUM_BETAS,
    NUM_JOINTS,
    BodyJoints,
    load_body,
    pose_joints,
    quat_from_rotation_vector,
)
from lamp.utils.errors import UserError
from lamp.utils.kinematics.geometry import frames_between
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.reading import numbers, read_npy, reading

FPS = HUMANML3D.fps
MOTION_X_FPS, MOTION_X_WIDTH = 30.0, 322
_TRANSLATION, _SHAPE = 309, 312
"""Columns of Motion-X's frames: rotations of 22 joints first, then hands and face, then these."""
_WIDTHS = {156: "smplh", 165: "smplx"}
"""Numbers of a frame of AMASS's `poses`, by body model."""


@lru_cache(maxsize=8)
def find_body(folder: Path, model: str, gender: str) -> BodyJoints:
    """The joints of a body model below a folder: "smplh" or "smplx"; "male", "female" or "neutral".

    Raises:
        UserError: it is not there, or is another model.
    """
    places = [f"{model}/{gender}/model.npz", f"{gender}/model.npz"]
    if model == "smplx":
        places = [f"smplx/SMPLX_{gender.upper()}.npz", f"SMPLX_{gender.upper()}.npz", places[0]]
    for place in places:
        if (folder / place).is_file():
            return load_body(folder / place)
    page = "https://smpl-x.is.tue.mpg.de" if model == "smplx" else "https://mano.is.tue.mpg.de"
    raise UserError(f"--body_models {folder} has no {places[0]}; register at {page}, download it and unpack it there")


@dataclass(frozen=True)
class MotionX:
    """Reader of Motion-X's arrays; body models lie below `bodies`."""

    bodies: Path

    def __call__(self, path: Path) -> Tensor:
        """Joints (T, 22, 3) of an array (T, 322), metres, Y up, 20 frames a second.

        Raises:
            UserError: it is no such array, or there is no body model.
        """
        frames = numbers(read_npy(path), str(path))
        if frames.ndim != 2 or frames.shape[1] != MOTION_X_WIDTH or len(frames) < 2:
            raise UserError(f"{path} has shape {frames.shape}, not (T, {MOTION_X_WIDTH}) with two frames or more")
        place, shape = frames[:, _TRANSLATION:_SHAPE], frames[0, _SHAPE:]
        return _joints(path, frames, place, find_body(self.bodies, "smplx", "neutral").rest(_real(shape)), MOTION_X_FPS)


@dataclass(frozen=True)
class Amass:
    """Reader of AMASS's recordings, SMPL+H or SMPL-X; body models lie below `bodies`."""

    bodies: Path

    def __call__(self, path: Path) -> Tensor:
        """Joints (T, 22, 3) of a recording, metres, Y up, 20 frames a second.

        Raises:
            UserError: it is no recording of such a body, or there is no body model.
        """
        with reading(path, "AMASS recording"), np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files if key in _KEYS}
        rate = next((found[key] for key in ("mocap_framerate", "mocap_frame_rate") if key in found), None)
        if rate is None or not {"poses", "trans", "betas", "gender"} <= set(found):
            raise UserError(f"{path} lacks poses, trans, betas, gender or mocap_framerate: no AMASS recording")
        poses, place, shape, fps = found["poses"], found["trans"], found["betas"], float(rate)
        model = _WIDTHS.get(poses.shape[-1], "") if poses.ndim == 2 else ""
        if not model or len(poses) < 2 or place.shape != (len(poses), 3) or shape.shape < (NUM_BETAS,):
            raise UserError(
                f"{path} has poses {poses.shape}, trans {place.shape} and betas {shape.shape}; "
                "download AMASS as 'SMPL+H G' or 'SMPL-X G'"
            )
        # Also false for a rate that is not a number.
        if not FPS - 1e-6 <= fps < 1e5:
            raise UserError(f"{path} has {fps:g} frames a second; at least {FPS:g} are needed")
        body = find_body(self.bodies, model, _gender(found))
        joints = _joints(path, poses, place, body.rest(_real(shape)), fps)
        return joints[..., [0, 2, 1]] * joints.new_tensor([-1.0, 1.0, 1.0])  # Z up; negated, so that left stays left


_KEYS = ("poses", "trans", "betas", "gender", "mocap_framerate", "mocap_frame_rate")


def _gender(found: Mapping[str, Any]) -> str:
    """ "male" or "female" as a recording has it, which may be bytes; everybody else takes HumanML3D's female body."""
    text = found["gender"].item()
    text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    return "male" if text == "male" else "female"


def _real(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float64))


def _joints(path: Path, poses: np.ndarray, place: np.ndarray, rest: Tensor, fps: float) -> Tensor:
    """Joints (T, 22, 3) at 20 frames a second from rotation vectors (T, 66 or more) and translations (T, 3).

    Raises:
        UserError: some are not finite.
    """
    step = round(fps / FPS)
    if abs(fps / step / FPS - 1) < 0.005:  # 60, 59.94, 100, 120 Hz: nothing lies between frames
        poses, place, fps = poses[::step], place[::step], FPS
    turns, places = _real(poses[:, : 3 * NUM_JOINTS]), _real(place)
    if not bool(turns.isfinite().all() and places.isfinite().all()):
        raise UserError(f"{path} holds values that are not finite")
    joints = pose_joints(quat_from_rotation_vector(turns.unflatten(1, (NUM_JOINTS, 3))), places, rest)
    low, high, share = frames_between(len(joints), fps, FPS)
    return torch.lerp(joints[low], joints[high], share[:, None, None])
