"""Making motion from motion: one clip after another, other speeds; `utils.kinematics.arms` gives a body other arms.

Joining by a similar pose follows motion graphs (Kovar et al. 2002). All joints are (T, 22, 3) float32, metres, Y up,
20 frames a second, on HumanML3D's skeleton with its bone lengths; results have these lengths too.
"""

from dataclasses import dataclass

import numpy as np
import torch

from lamp.utils.kinematics.arms import NAMES, smoothstep
from lamp.utils.kinematics.features import uniform_skeleton
from lamp.utils.kinematics.skeleton import HUMANML3D

SEAM = 10
"""Frames over which one clip becomes the next."""


@dataclass(frozen=True)
class Seam:
    """How two clips were joined.

    Attributes:
        joints: (T, 22, 3).
        start: first frame of the second clip.
        gap: mean distance of the joints where both were blended, metres.
    """

    joints: np.ndarray
    start: int
    gap: float


def standard(joints: np.ndarray) -> np.ndarray:
    """Joints with the skeleton's bone lengths."""
    lengths = torch.tensor(HUMANML3D.bone_lengths, dtype=torch.float64)
    return uniform_skeleton(torch.from_numpy(joints).double(), HUMANML3D, lengths).float().numpy()


def heading(joints: np.ndarray) -> np.ndarray:
    """Direction (T,) that hips and shoulders face, radians about Y; it grows in a turn to the left."""
    across = joints[:, NAMES["left_hip"]] - joints[:, NAMES["right_hip"]]
    across = across + joints[:, NAMES["left_shoulder"]] - joints[:, NAMES["right_shoulder"]]
    return np.arctan2(-across[:, 2], across[:, 0])


def turned(joints: np.ndarray, angle: float | np.ndarray) -> np.ndarray:
    """Joints turned about Y by an angle, or by one a frame, to the left."""
    cos, sin = np.cos(angle), np.sin(angle)
    cos, sin = (np.asarray(v)[..., None] if np.ndim(v) else v for v in (cos, sin))
    x, y, z = np.moveaxis(joints, -1, 0)
    return np.stack((cos * x + sin * z, y, cos * z - sin * x), axis=-1).astype(np.float32)


def _poses(joints: np.ndarray) -> np.ndarray:
    """Joints (T, 22, 3) as seen by the body: from the floor below its pelvis, facing +Z."""
    ground = joints[:, :1] * np.array([1, 0, 1], dtype=np.float32)
    return turned(joints - ground, -heading(joints))


def join(first: np.ndarray, second: np.ndarray, *, tail: int, head: int, seam: int = SEAM) -> Seam:
    """One clip after another, blended where their poses are most alike.

    Args:
        first, second: clips.
        tail: frames at the end of the first that may be left out.
        head: frames at the beginning of the second that may be left out.
        seam: frames of the blend.
    """
    seam = min(seam, len(first) // 3, len(second) // 3)
    ends = np.arange(max(len(first) - seam - tail, seam), len(first) - seam + 1)  # first frame of the blend
    starts = np.arange(0, min(head, len(second) - 2 * seam) + 1)
    a, b = _poses(first), _poses(second)
    speeds = [np.gradient(pose, axis=0) for pose in (a, b)]
    near = np.zeros((len(ends), len(starts)))
    for k in (0, seam // 2, seam - 1):
        near += _distances(a[ends + k], b[starts + k])
        near += 3 * _distances(speeds[0][ends + k], speeds[1][starts + k])
    i, j = np.unravel_index(near.argmin(), near.shape)
    end, start = int(ends[i]), int(starts[j])
    # Aligned where both weigh the same.
    middle = seam // 2
    second = second[start:]
    second = turned(second, float(heading(first)[end + middle] - heading(second)[middle]))
    shift = first[end + middle, 0] - second[middle, 0]
    shift[1] = 0
    second = second + shift
    share = smoothstep((np.arange(seam) + 1) / (seam + 1))[:, None, None]
    blend = (1 - share) * first[end : end + seam] + share * second[:seam]
    made = np.concatenate((first[:end], blend, second[seam:])).astype(np.float32)
    gap = np.linalg.norm(first[end : end + seam] - second[:seam], axis=-1).mean()
    return Seam(standard(made), end + middle, float(gap))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance of joints between each pose of (N, 22, 3) and each of (M, 22, 3)."""
    return np.linalg.norm(a[:, None] - b[None], axis=-1).mean(-1)


def at_speed(joints: np.ndarray, speed: float) -> np.ndarray:
    """A clip played `speed` times as fast."""
    count = max(2, round((len(joints) - 1) / speed) + 1)
    places = np.linspace(0, len(joints) - 1, count)
    low = np.floor(places).astype(int).clip(max=len(joints) - 2)
    part = (places - low)[:, None, None].astype(np.float32)
    return standard((1 - part) * joints[low] + part * joints[low + 1])


def to_and_fro(joints: np.ndarray, first: int, last: int, frames: int, speed: float) -> np.ndarray:
    """Frames of a part of a clip, played slowly to and fro: a pose that is held."""
    sweep = np.arange(frames) * speed
    length = max(last - first, 1)
    places = first + length * (0.5 - 0.5 * np.cos(np.pi * sweep / length))
    low = np.floor(places).astype(int).clip(max=len(joints) - 2)
    part = (places - low)[:, None, None].astype(np.float32)
    return standard((1 - part) * joints[low] + part * joints[low + 1])


def sliding(joints: np.ndarray) -> np.ndarray:
    """Horizontal speed (T - 1,) of the foot that carries, m/s: of the slower one near its lowest height."""
    feet = [NAMES["left_foot"], NAMES["right_foot"]]
    speed = np.linalg.norm(np.diff(joints[:, feet][..., [0, 2]], axis=0), axis=-1) * HUMANML3D.fps
    height = joints[1:, feet, 1] - joints[:, feet, 1].min()
    return np.where((height < 0.06).any(-1), np.where(height < 0.06, speed, np.inf).min(-1), 0.0)
