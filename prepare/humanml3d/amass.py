"""AMASS recordings (SMPL+H) to joint positions: only the joints of the body model are needed, not its surface.

SMPL (Loper et al. 2015, sections 3.2 and 3.3): the joints at rest are a linear function of the shape, the pose turns
them about their parents. The hands do not move the 22 body joints, and HumanML3D leaves DMPL coefficients out.
"""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.errors import UserError
from lamp.utils.kinematics.geometry import quat_multiply, quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D

NUM_JOINTS = HUMANML3D.num_joints
NUM_BETAS = 10
POSE_WIDTH = 156  # 52 joints of SMPL+H
GENDERS = ("male", "female")
# What numpy raises for files that are damaged or of another kind.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class NotSmplhError(UserError):
    """The file is not an SMPL+H recording of AMASS at all."""


@dataclass(frozen=True)
class BodyJoints:
    """Joints of a body model in its rest pose as a function of the shape.

    Attributes:
        template: (22, 3) float64, of the mean shape.
        directions: (22, 3, 10), change with each shape coefficient.
    """

    template: Tensor
    directions: Tensor

    def rest(self, betas: Tensor) -> Tensor:
        """Rest positions (22, 3) of a body with shape coefficients (>= 10,)."""
        return self.template + self.directions @ betas[:NUM_BETAS]


@dataclass(frozen=True)
class Take:
    """A recording.

    Attributes:
        rotations: (T, 22, 3) float64, rotation vectors of the joints relative to their parents.
        translation: (T, 3) metres, Z up.
        betas: (>= 10,) shape coefficients.
        gender: as the file has it.
        fps: of these frames.
        source_fps: of the file.
    """

    rotations: Tensor
    translation: Tensor
    betas: Tensor
    gender: str
    fps: float
    source_fps: float


def load_bodies(folder: Path) -> dict[str, BodyJoints]:
    """The male and the female SMPL+H model of a folder with `smplh/<gender>/model.npz` or `<gender>/model.npz`.

    Raises:
        UserError: a model is missing or is not SMPL+H.
    """
    return {gender: load_body(_body_path(folder, gender)) for gender in GENDERS}


def _body_path(folder: Path, gender: str) -> Path:
    candidates = [folder / "smplh" / gender / "model.npz", folder / gender / "model.npz"]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(
        f"--body_models {folder} has no smplh/{gender}/model.npz: register at https://mano.is.tue.mpg.de, download the "
        "'Extended SMPL+H model' (the one 'used in AMASS project', .npz files) and unpack it there, so that "
        f"{folder}/smplh/male/model.npz and {folder}/smplh/female/model.npz exist"
    )


def load_body(path: Path) -> BodyJoints:
    """The body joints of an SMPL+H or SMPL-X model in an .npz file.

    Raises:
        UserError: it is another model, or cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            regressor = np.asarray(file["J_regressor"], dtype=np.float64)[:NUM_JOINTS]
            vertices = np.asarray(file["v_template"], dtype=np.float64)
            shapes = np.asarray(file["shapedirs"], dtype=np.float64)[..., :NUM_BETAS]
            # The root's parent is written as the largest unsigned number.
            parents = np.asarray(file["kintree_table"]).astype(np.int64)[0, :NUM_JOINTS]
        if regressor.shape != (NUM_JOINTS, len(vertices)) or shapes.shape != (len(vertices), 3, NUM_BETAS):
            raise ValueError(f"J_regressor {regressor.shape}, v_template {vertices.shape}, shapedirs {shapes.shape}")
        if tuple(parents[1:]) != HUMANML3D.parents[1:]:
            raise ValueError("kintree_table is not SMPL's")
    except UNREADABLE as error:
        raise UserError(
            f"{path} is not an SMPL+H body model ({error}); it needs the .npz of the 'Extended SMPL+H model' from "
            "https://mano.is.tue.mpg.de, or of SMPL-X, not SMPL or a .pkl file"
        ) from error
    directions = np.einsum("jv,vcb->jcb", regressor, shapes)
    return BodyJoints(torch.from_numpy(regressor @ vertices), torch.from_numpy(directions))


def read_take(path: Path, fps: float = HUMANML3D.fps) -> Take:
    """Read a recording and keep every n-th frame, n = floor(rate / fps): HumanML3D's rule, so 250 Hz become 20.8.

    Raises:
        NotSmplhError: of another body model, or no recording.
        UserError: damaged, or slower than `fps`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            rate_key = next((key for key in ("mocap_framerate", "mocap_frame_rate") if key in file), None)
            if rate_key is None or not {"poses", "trans", "betas", "gender"} <= set(file.files):
                raise NotSmplhError(f"{path} lacks poses, trans, betas, gender or mocap_framerate: no AMASS recording")
            poses, translation = file["poses"], file["trans"]
            betas, gender, source_fps = file["betas"], file["gender"], float(file[rate_key])
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read ({error}); unpack it again") from error
    if poses.ndim != 2 or poses.shape[1] != POSE_WIDTH:
        raise NotSmplhError(f"{path} has poses {poses.shape}, not (T, 156): download AMASS as 'SMPL+H G', not SMPL-X")
    if translation.shape != (len(poses), 3) or betas.ndim != 1 or len(betas) < NUM_BETAS:
        raise UserError(f"{path} has trans {translation.shape} and betas {betas.shape}; unpack it again")
    # Also false for a rate that is not a number.
    if not fps <= source_fps < 1e5:
        raise UserError(f"{path} has {source_fps:g} frames a second; at least {fps:g} are needed")
    step = int(source_fps / fps)
    return Take(
        rotations=torch.from_numpy(poses[::step, : 3 * NUM_JOINTS].astype(np.float64)).unflatten(1, (NUM_JOINTS, 3)),
        translation=torch.from_numpy(translation[::step].astype(np.float64)),
        betas=torch.from_numpy(betas.astype(np.float64)),
        gender=str(gender),
        fps=source_fps / step,
        source_fps=source_fps,
    )


def choose_body(take: Take, bodies: Mapping[str, BodyJoints]) -> BodyJoints:
    """The body that HumanML3D takes: the female one for everybody who is not exactly "male"."""
    return bodies["male" if take.gender == "male" else "female"]


def body_joints(take: Take, body: BodyJoints) -> Tensor:
    """Joints (T, 22, 3) of a recording, float64, in HumanML3D's axes: Y up, and x negated, so that left stays left."""
    joints = pose_joints(quat_from_rotation_vector(take.rotations), take.translation, body.rest(take.betas))
    return joints[..., [0, 2, 1]] * joints.new_tensor([-1.0, 1.0, 1.0])


def quat_from_rotation_vector(vector: Tensor) -> Tensor:
    """Quaternions (..., 4) of rotation vectors (..., 3): their direction is the axis, their length the angle."""
    half = vector.norm(dim=-1, keepdim=True) / 2
    # sinc(x) = sin(pi x) / (pi x) has no trouble at zero.
    return F.normalize(torch.cat((half.cos(), torch.sinc(half / torch.pi) / 2 * vector), dim=-1), dim=-1)


def pose_joints(rotations: Tensor, translation: Tensor, rest: Tensor) -> Tensor:
    """Forward kinematics of SMPL.

    Args:
        rotations: (T, 22, 4) quaternions relative to the parents; the root's turns about the pelvis.
        translation: (T, 3).
        rest: (22, 3).

    Returns:
        (T, 22, 3).
    """
    absolute, positions = rotations.clone(), rest.expand(len(rotations), -1, -1).clone()
    positions[:, 0] += translation
    for level in HUMANML3D.depth_order[1:]:
        joints, parents = list(level), [HUMANML3D.parents[joint] for joint in level]
        absolute[:, joints] = quat_multiply(absolute[:, parents], rotations[:, joints])
        positions[:, joints] = positions[:, parents] + quat_rotate(absolute[:, parents], rest[joints] - rest[parents])
    return positions
