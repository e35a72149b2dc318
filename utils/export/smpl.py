"""An archive in the manner of AMASS: rotations of SMPL's first 22 joints, for simulators and robot retargeting.

| key | shape | type | what |
| --- | --- | --- | --- |
| `poses` | (T, 156) | float32 | axis-angle of SMPL+H's 52 joints, radians; hands (from 66 on) flat |
| `root_orient`, `pose_body` | (T, 3), (T, 63) | float32 | the first 22 joints once more, as SMPL-X archives have them |
| `trans` | (T, 3) | float32 | metres; the pelvis is `trans` + SMPL's own place of the pelvis |
| `betas` | (16,) | float32 | all 0: the mean body |
| `gender` | () | str | "neutral" |
| `mocap_framerate`, `mocap_frame_rate` | () | float64 | frames a second |
| `scale` | () | float64 | factor from the motion's path to that of the mean body, whose legs have another length |
| `text` | () | str | the prompt |

As in AMASS Z is up. No body model is needed: rotations are solved on the joints of the mean body. Wrists, head and
toes do not turn against their parents, since positions do not tell. docs/formats.md states the error.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamp.utils.errors import UserError
from lamp.utils.export.fit import SkeletonFit, solve_rotations
from lamp.utils.export.npz import write_arrays
from lamp.utils.kinematics.geometry import quat_multiply
from lamp.utils.kinematics.skeleton import HUMANML3D

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

PELVIS = np.array([-0.0018, -0.2233, 0.0282])
"""Where SMPL's neutral mean body has its pelvis, metres, Y up."""
# Places of its joints in their parents' frames, metres, as published with EDGE (Tseng et al. 2023).
OFFSETS = np.array([
    [0, 0, 0], [0.0695, -0.0914, -0.0068], [-0.0677, -0.0905, -0.0043], [-0.0025, 0.1090, -0.0267],
    [0.0343, -0.3752, -0.0045], [-0.0383, -0.3826, -0.0089], [0.0055, 0.1352, 0.0011], [-0.0136, -0.3980, -0.0437],
    [0.0158, -0.3984, -0.0423], [0.0015, 0.0529, 0.0254], [0.0264, -0.0558, 0.1193], [-0.0254, -0.0481, 0.1233],
    [-0.0028, 0.2139, -0.0429], [0.0788, 0.1217, -0.0341], [-0.0818, 0.1188, -0.0386], [0.0052, 0.0650, 0.0513],
    [0.0910, 0.0305, -0.0089], [-0.0960, 0.0326, -0.0091], [0.2596, -0.0128, -0.0275], [-0.2537, -0.0133, -0.0214],
    [0.2492, 0.0090, -0.0012], [-0.2553, 0.0078, -0.0056],
])  # fmt: skip
_LEGS = [4, 5, 7, 8]
_POSES = 156
TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True)
class SmplMotion:
    """A motion of the mean body.

    Attributes:
        fit: rotations, and places of its joints, Y up.
        scale: of the body's legs to those of the motion.
    """

    fit: SkeletonFit
    scale: float


def solve(joints: np.ndarray) -> SmplMotion:
    """Rotations of the mean body that follow joints (T, 22, 3), on a path in proportion to its legs.

    Raises:
        UserError: other joints.
    """
    if joints.shape[1] != HUMANML3D.num_joints:
        raise UserError(
            f"SMPL archives need HumanML3D's 22 joints, got {joints.shape[1]}; save npz, bvh or glb instead"
        )
    legs = HUMANML3D.measure_bones(torch.from_numpy(joints.astype(np.float64)))[:, _LEGS].mean(0).sum()
    scale = float(np.linalg.norm(OFFSETS[_LEGS], axis=-1).sum() / max(float(legs), 1e-6))
    (fit,) = solve_rotations([joints.astype(np.float64) * scale], [OFFSETS])
    return SmplMotion(fit, scale)


def write(motion: "Motion", path: Path) -> None:
    """Write a motion of the 22 joints on SMPL's mean body."""
    body = solve(motion.with_constant_bones().joints)
    rotations = torch.from_numpy(body.fit.rotations)
    quarter = rotations.new_tensor([0.5**0.5, 0.5**0.5, 0.0, 0.0])  # about X: Y up becomes Z up
    rotations = torch.cat((quat_multiply(quarter, rotations[:, :1]), rotations[:, 1:]), dim=1)
    poses = np.zeros((len(motion), _POSES), dtype=np.float32)
    poses[:, :66] = axis_angle(rotations.numpy()).reshape(len(motion), -1)
    arrays = {
        "poses": poses,
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "trans": (body.fit.root @ TO_Z_UP.T - PELVIS).astype(np.float32),
        "betas": np.zeros(16, dtype=np.float32),
        "gender": np.str_("neutral"),
        "mocap_framerate": np.float64(motion.fps),
        "mocap_frame_rate": np.float64(motion.fps),
        "scale": np.float64(body.scale),
        "text": np.str_(motion.text),
    }
    write_arrays(arrays, path)


def axis_angle(quats: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), of length at most pi, of unit quaternions (..., 4) as (w, x, y, z)."""
    quats = np.where(quats[..., :1] < 0, -quats, quats)
    sine = np.linalg.norm(quats[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quats[..., :1])
    return quats[..., 1:] * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-12), 2.0)
