"""AMASS recordings (SMPL+H) to joint positions: only the joints of the body model are needed, not its surface.

SMPL (Loper et al. 2015, sections 3.2 and 3.3): the joints at rest are a linear function of the shape, the pose turns
them about their parents. The hands do not move the 22 body joints, and HumanML3D leaves DMPL coefficients out.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.errors import UserError, brief
from lamp.utils.kinematics.geometry import quat_multiply, quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.reading import npz_members, numbers, reading

NUM_JOINTS = HUMANML3D.num_joints
NUM_BETAS = 10
POSE_WIDTH = 156  # 52 joints of SMPL+H
GENDERS = ("male", "female")
_RATES = ("mocap_framerate", "mocap_frame_rate")


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


def _arrays(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of an .npz file, as far as it has them.

    Raises:
        UserError: it cannot be read.
    """
    with reading(path, "npz file"), zipfile.ZipFile(path) as archive:
        return npz_members(archive, path, keys)


def load_body(path: Path) -> BodyJoints:
    """The body joints of an SMPL+H or SMPL-X model in an .npz file.

    Raises:
        UserError: it is another model, or cannot be read.
    """
    try:
        arrays = _arrays(path, ("J_regressor", "v_template", "shapedirs", "kintree_table"))
        regressor = arrays["J_regressor"].astype(np.float64)[:NUM_JOINTS]
        vertices = arrays["v_template"].astype(np.float64)
        shapes = arrays["shapedirs"].astype(np.float64)[..., :NUM_BETAS]
        # The root's parent is written as the largest unsigned number.
        parents = arrays["kintree_table"].astype(np.int64)[0, :NUM_JOINTS]
        count = len(vertices)
        wanted = ((count, 3), (NUM_JOINTS, count), (count, 3, NUM_BETAS))
        if (vertices.shape, regressor.shape, shapes.shape) != wanted:
            raise ValueError(f"J_regressor {regressor.shape}, v_template {vertices.shape}, shapedirs {shapes.shape}")
        if tuple(parents[1:]) != HUMANML3D.parents[1:]:
            raise ValueError("kintree_table is not SMPL's")
    except (UserError, ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise UserError(
            f"{path} is not an SMPL+H body model ({brief(error)}); it needs the .npz of the 'Extended SMPL+H model' "
            "from https://mano.is.tue.mpg.de, or of SMPL-X, not SMPL or a .pkl file"
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
        file = _arrays(path, ("poses", "trans", "betas", "gender", *_RATES))
        rate_key = next((key for key in _RATES if key in file), None)
        if rate_key is None or not {"poses", "trans", "betas", "gender"} <= set(file):
            raise NotSmplhError(f"{path} lacks poses, trans, betas, gender or mocap_framerate: no AMASS recording")
        poses, translation, betas = (numbers(file[key], f"{path}: {key}") for key in ("poses", "trans", "betas"))
        gender, source_fps = file["gender"], float(numbers(file[rate_key], f"{path}: {rate_key}"))
    except NotSmplhError:
        raise
    except (UserError, ValueError, TypeError, OSError) as error:
        raise UserError(f"{path} cannot be read ({brief(error)}); unpack it again") from error
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
