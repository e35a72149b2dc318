"""How plausible a motion looks as physics: sliding feet, floor, jitter, stretching bones. Pure functions on joints.

All take joint positions (..., T, J, 3) in metres, Y up, as tensor or array, with any leading batch dimensions.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.kinematics.skeleton import HUMANML3D, Skeleton


def foot_skating_ratio(
    joints: Tensor | np.ndarray, fps: float, height: float = 0.05, speed: float = 0.5, skeleton: Skeleton = HUMANML3D
) -> Tensor:
    """Share of frames in which a toe on the floor slides (GMD, Karunratanakul et al. 2023, appendix).

    A toe slides when it is below `height` in two successive frames and its horizontal speed is above `speed`, both
    momentarily and in the mean over five frames.

    Returns:
        (...) in 0..1; 0 for a single frame.
    """
    toes = torch.as_tensor(joints)[..., [skeleton.left_foot[1], skeleton.right_foot[1]], :]
    if toes.shape[-3] < 2:
        return toes.new_zeros(toes.shape[:-3])
    moved = _horizontal_speed(toes, fps)
    flat = moved.transpose(-1, -2)
    mean = F.avg_pool1d(flat.reshape(-1, 1, flat.shape[-1]), 5, stride=1, padding=2).reshape(flat.shape)
    low = toes[..., 1] < height
    sliding = low[..., :-1, :] & low[..., 1:, :] & (moved > speed) & (mean.transpose(-1, -2) > speed)
    return sliding.any(-1).to(toes).mean(-1)


def foot_sliding(
    joints: Tensor | np.ndarray, fps: float, height: float = 0.05, skeleton: Skeleton = HUMANML3D
) -> Tensor:
    """Mean horizontal speed (m/s) of toes near the floor, weighted by 2 - 2^(h / height) (Zhang et al. 2018, MANN).

    Unlike the ratio it has no threshold on speed, so it shows small sliding too.

    Returns:
        (...); 0 for a single frame.
    """
    toes = torch.as_tensor(joints)[..., [skeleton.left_foot[1], skeleton.right_foot[1]], :]
    if toes.shape[-3] < 2:
        return toes.new_zeros(toes.shape[:-3])
    weight = 2 - torch.exp2((toes[..., :-1, :, 1] / height).clamp(0, 1))
    return (_horizontal_speed(toes, fps) * weight).mean((-1, -2))


def floor_penetration(joints: Tensor | np.ndarray) -> Tensor:
    """Mean depth (...) in metres of the lowest joint below the floor y = 0; 0 in frames where nothing is below."""
    return (-torch.as_tensor(joints)[..., 1].amin(-1)).clamp_min(0).mean(-1)


def floating(joints: Tensor | np.ndarray) -> Tensor:
    """Mean height (...) in metres of the lowest joint above the floor y = 0; 0 in frames where something is below."""
    return torch.as_tensor(joints)[..., 1].amin(-1).clamp_min(0).mean(-1)


def jitter(joints: Tensor | np.ndarray, fps: float) -> Tensor:
    """Mean jerk (...) in m/s^3 over frames and joints (TransPose, Yi et al. 2021); 0 below four frames."""
    joints = torch.as_tensor(joints)
    if joints.shape[-3] < 4:
        return joints.new_zeros(joints.shape[:-3])
    return (joints.diff(n=3, dim=-3) * fps**3).norm(dim=-1).mean((-1, -2))


def bone_drift(joints: Tensor | np.ndarray, skeleton: Skeleton = HUMANML3D) -> Tensor:
    """Mean distance (...) in metres of each bone's length from its own mean over the motion; 0 for a rigid skeleton."""
    lengths = skeleton.measure_bones(torch.as_tensor(joints))[..., 1:]
    return (lengths - lengths.mean(-2, keepdim=True)).abs().mean((-1, -2))


def _horizontal_speed(points: Tensor, fps: float) -> Tensor:
    """(..., T-1, K) of points (..., T, K, 3)."""
    return points.diff(dim=-3)[..., [0, 2]].norm(dim=-1) * fps


Measure = Callable[[Tensor, Skeleton], Tensor]
MEASURES: dict[str, Measure] = {
    "foot skating": lambda joints, skeleton: foot_skating_ratio(joints, skeleton.fps, skeleton=skeleton),
    "penetration mm": lambda joints, skeleton: 1000 * floor_penetration(joints),
    "floating mm": lambda joints, skeleton: 1000 * floating(joints),
    "jitter m/s^3": lambda joints, skeleton: jitter(joints, skeleton.fps),
    "bone drift mm": lambda joints, skeleton: 1000 * bone_drift(joints, skeleton),
}
"""What evaluations measure of motions (B, T, J, 3) in metres, by the name in their tables; values are (B,)."""
