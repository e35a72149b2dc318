"""Rotations on batched tensors. Quaternions are (w, x, y, z) and of unit length; 6D is Zhou et al. 2019."""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


def quat_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of quaternions (..., 4) x (..., 4), broadcast."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        dim=-1,
    )


def quat_inverse(q: Tensor) -> Tensor:
    """Inverse of unit quaternions (..., 4)."""
    return q * q.new_tensor([1.0, -1.0, -1.0, -1.0])


def quat_rotate(q: Tensor, v: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by unit quaternions (..., 4), broadcast."""
    w, xyz = q[..., :1], q[..., 1:]
    xyz, v = torch.broadcast_tensors(xyz, v)
    t = 2.0 * torch.linalg.cross(xyz, v)
    return v + w * t + torch.linalg.cross(xyz, t)


def quat_identity(*shape: int, like: Tensor) -> Tensor:
    """Identity quaternions (*shape, 4) with the type and device of `like`."""
    q = like.new_zeros(*shape, 4)
    q[..., 0] = 1.0
    return q


def quat_between(a: Tensor, b: Tensor) -> Tensor:
    """Shortest rotation (..., 4) from vectors a to b (..., 3), which need not be of unit length.

    Opposite vectors have no shortest rotation: half a turn about an axis perpendicular to `a` is returned.
    Vectors of no length give the identity.
    """
    a, b = torch.broadcast_tensors(a, b)
    xyz = torch.linalg.cross(a, b)
    scale = (a.square().sum(-1, keepdim=True) * b.square().sum(-1, keepdim=True)).sqrt()
    dot = (a * b).sum(-1, keepdim=True)
    # scale + dot cancels near opposite vectors; (scale + dot)(scale - dot) = |a x b|^2 does not.
    w = torch.where(dot < 0, xyz.square().sum(-1, keepdim=True) / (scale - dot).clamp_min(1e-30), scale + dot)
    # Below this the rounding of the cross product is worse than taking the vectors as exactly opposite.
    opposite = (dot < 0) & (xyz.norm(dim=-1, keepdim=True) <= 3e-4 * scale)
    q = torch.cat((torch.where(scale > 0, w, 1.0), xyz), dim=-1)
    if opposite.any():
        q = torch.where(opposite, F.pad(_perpendicular(a), (1, 0)), q)
    return F.normalize(q, dim=-1)


def _perpendicular(a: Tensor) -> Tensor:
    """A vector (..., 3) perpendicular to `a`: of those the nearest to +Y, so that half a turn keeps a body upright."""
    square = a.square().sum(-1, keepdim=True)
    up, side = a.new_tensor([0.0, 1.0, 0.0]), a.new_tensor([1.0, 0.0, 0.0])
    axis = up * square - a * a[..., 1:2]
    steep = a[..., 1:2].square() > 0.999 * square
    return torch.where(steep, side * square - a * a[..., :1], axis)


def quat_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    w, x, y, z = q.unbind(-1)
    return torch.stack(
        (
            1 - 2 * (y * y + z * z),
            2 * (x * y - z * w),
            2 * (x * z + y * w),
            2 * (x * y + z * w),
            1 - 2 * (x * x + z * z),
            2 * (y * z - x * w),
            2 * (x * z - y * w),
            2 * (y * z + x * w),
            1 - 2 * (x * x + y * y),
        ),
        dim=-1,
    ).unflatten(-1, (3, 3))


def matrix_to_quat(m: Tensor) -> Tensor:
    """Unit quaternions (..., 4), w >= 0, of rotation matrices (..., 3, 3)."""
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # Four equivalent forms, each exact up to a factor; the one with the largest factor is best conditioned.
    factors = torch.stack(
        (1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22), dim=-1
    ).clamp_min(0)
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 1, 0] + m[..., 0, 1], m[..., 0, 2] + m[..., 2, 0], m[..., 2, 1] + m[..., 1, 2]
    forms = torch.stack(
        (
            torch.stack((factors[..., 0], a, b, c), dim=-1),
            torch.stack((a, factors[..., 1], d, e), dim=-1),
            torch.stack((b, d, factors[..., 2], f), dim=-1),
            torch.stack((c, e, f, factors[..., 3]), dim=-1),
        ),
        dim=-2,
    )
    best = factors.argmax(-1)[..., None, None].expand(*forms.shape[:-2], 1, 4)
    q = F.normalize(forms.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(q[..., :1] < 0, -q, q)


def matrix_from_6d(sixd: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of continuous 6D (..., 6), by Gram-Schmidt (Zhou et al. 2019, eq. 15)."""
    x = F.normalize(sixd[..., :3], dim=-1)
    z = F.normalize(torch.linalg.cross(x, sixd[..., 3:]), dim=-1)
    y = torch.linalg.cross(z, x)
    return torch.stack((x, y, z), dim=-1)


def quat_from_yaw(angle: Tensor) -> Tensor:
    """Quaternions (..., 4) that turn about +Y by `angle` (...) radians."""
    zero = torch.zeros_like(angle)
    return torch.stack((torch.cos(angle / 2), zero, torch.sin(angle / 2), zero), dim=-1)


def quat_from_euler(angles: Tensor, order: str) -> Tensor:
    """Quaternions (..., 4) of Euler angles.

    Args:
        angles: (..., len(order)) radians, in the order of `order`.
        order: axes as a BVH file lists its channels, for instance "ZYX": R = Rz Ry Rx.
    """
    q = quat_identity(*angles.shape[:-1], like=angles)
    for i, axis in enumerate(order.lower()):
        half = angles[..., i] / 2
        single = torch.zeros_like(q)
        single[..., 0] = torch.cos(half)
        single[..., 1 + "xyz".index(axis)] = torch.sin(half)
        q = quat_multiply(q, single)
    return q


def quat_to_euler_zyx(q: Tensor) -> Tensor:
    """Euler angles (..., 3) radians, columns z, y, x with R = Rz Ry Rx, of unit quaternions (..., 4)."""
    w, x, y, z = q.unbind(-1)
    sin_y = (2 * (w * y - z * x)).clamp(-1, 1)
    angle_z = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    angle_x = torch.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    angle_y = torch.asin(sin_y)
    # At +-90 degrees z and x turn about the same axis: put the whole turn into z.
    locked = sin_y.abs() > 1 - 1e-6
    angle_z = torch.where(locked, 2 * torch.atan2(z, w), angle_z)
    angle_x = torch.where(locked, torch.zeros_like(angle_x), angle_x)
    return torch.stack((angle_z, angle_y, angle_x), dim=-1)


def quat_slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation (..., 4) from a (t = 0) to b (t = 1), the short way; t broadcasts over (...)."""
    dot = (a * b).sum(-1, keepdim=True)
    b = torch.where(dot < 0, -b, b)
    angle = torch.arccos(dot.abs().clamp(max=1.0))
    sin = torch.sin(angle)
    t = t[..., None]
    near = sin < 1e-4
    safe = torch.where(near, torch.ones_like(sin), sin)
    wa = torch.where(near, 1 - t, torch.sin((1 - t) * angle) / safe)
    wb = torch.where(near, t, torch.sin(t * angle) / safe)
    return F.normalize(wa * a + wb * b, dim=-1)


def frames_between(count: int, fps: float, wanted: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where the frames of another frame rate lie among `count` frames.

    Returns:
        For each new frame the frames before and after it, int64, and its share of the way between them, float64.
    """
    frames = int((count - 1) / fps * wanted + 1e-6) + 1
    time = torch.arange(frames, dtype=torch.float64) * fps / wanted
    low = time.long().clamp(max=max(count - 2, 0))
    return low, (low + 1).clamp(max=count - 1), time - low


def length(x: Tensor, dim: int) -> Tensor:
    """Length of vectors along `dim`, which stays as 1; never 0, so that one can divide by it and differentiate.

    Many times faster than `torch.linalg.vector_norm` where `dim` is not the last.
    """
    return (x * x).sum(dim, keepdim=True).clamp_min(1e-36).sqrt()


SMOOTHING_BLOCK = 64
"""Frames that `gaussian_smooth` computes by one product."""


def gaussian_smooth(x: Tensor, sigma: float) -> Tensor:
    """Gaussian filter along time, edges repeated; the kernel is cut at 4 sigma.

    Args:
        x: (..., T).
        sigma: in frames.
    """
    # A block of frames at a time is a small matrix product; a convolution's set-up costs more than the sums themselves.
    weights = _smoothing_weights(sigma, x.dtype, x.device)
    span, frames = len(weights), x.shape[-1]
    radius = (span - SMOOTHING_BLOCK) // 2
    missing = -frames % SMOOTHING_BLOCK
    padded = F.pad(x.reshape(-1, frames), (radius, radius + missing), mode="replicate")
    blocks = padded.unfold(-1, span, SMOOTHING_BLOCK).reshape(-1, span)
    return (blocks @ weights).view(len(padded), -1)[:, :frames].reshape(x.shape)


@lru_cache
@torch.inference_mode(False)  # what is made in inference mode could not be used by autograd later
def _smoothing_weights(sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (block + 2 radius, block) of the frames around a block for each frame of the block."""
    radius = math.ceil(4 * sigma - 0.5)
    frames = torch.arange(SMOOTHING_BLOCK + 2 * radius, dtype=torch.float64)[:, None]
    distance = frames - radius - torch.arange(SMOOTHING_BLOCK)
    kernel = torch.exp(-0.5 * (distance / sigma) ** 2).where(distance.abs() <= radius, 0.0)
    return (kernel / kernel.sum(0)).to(dtype).to(device)
