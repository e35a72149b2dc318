"""Rotations that exporting needs beyond `kinematics.geometry`; quaternions are (w, x, y, z), tensors float64."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.kinematics.geometry import matrix_to_quat, quat_rotate, quat_to_euler_zyx

_changing = threading.Lock()
_inside, _usual = 0, 1
"""Who is inside `one_thread`, and the number of torch's threads when nobody was."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread inside: for a few hundred poses, waking the others takes longer than the work.

    Python's threads that begin meanwhile take the number over, so what they find is not what they leave behind: all
    leave the number that the first one found.
    """
    global _inside, _usual
    with _changing:
        if _inside == 0:
            _usual = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _changing:
            _inside -= 1
            torch.set_num_threads(_usual)


def quat_from_frames(rest: tuple[Tensor, Tensor], posed: tuple[Tensor, Tensor]) -> Tensor:
    """Rotations (T, 4) that take rest frames to posed frames.

    Args:
        rest: bone directions (T, 3) and the hinge axis (3,), which need not be perpendicular.
        posed: the same two (T, 3); the bone direction is met exactly, the hinge axis as well as that allows.
    """
    return matrix_to_quat(_frame(*posed) @ _frame(rest[0], rest[1].expand_as(rest[0])).transpose(-1, -2))


def _frame(bone: Tensor, hinge: Tensor) -> Tensor:
    bone = F.normalize(bone, dim=-1)
    hinge = F.normalize(_reject(hinge, bone), dim=-1)
    return torch.stack((hinge, bone, torch.linalg.cross(hinge, bone)), dim=-1)


def _reject(v: Tensor, axis: Tensor) -> Tensor:
    """Part of vectors (..., 3) perpendicular to a unit axis (..., 3)."""
    return v - (v * axis).sum(-1, keepdim=True) * axis


def kabsch(source: Tensor, target: Tensor) -> Tensor:
    """Rotations (T, 4) that best turn vectors (T, K, 3), or (K, 3), onto (T, K, 3) in least squares (Kabsch 1976)."""
    source, target = torch.broadcast_tensors(source, target)
    u, _, vt = torch.linalg.svd(target.transpose(-1, -2) @ source)
    flip = torch.ones_like(u[..., 0])
    flip[..., 2] = torch.linalg.det(u @ vt)
    return matrix_to_quat((u * flip[..., None, :]) @ vt)


def align_directions(
    source: Tensor, target: Tensor, counts: Sequence[int] | None = None, iterations: int = 50
) -> Tensor:
    """Rotations (T, 4) at which the shortest rotations left from each source to its target cancel on average.

    This is where the public joints-to-BVH code settles at a joint of several children: unlike least squares, a bone
    counts by its direction and not by its length. The start is the least-squares fit, so rigid sets are done at once.

    Args:
        source: (K, 3) or (T, K, 3) rest vectors.
        target: (T, K, 3).
        counts: lengths of the motions of which the T frames are, one after the other; None: all are of one. The
            iterations of a motion end when all of its frames are done, whatever the others need.
    """
    source, target = F.normalize(source, dim=-1), F.normalize(target, dim=-1)
    turned = quat_rotate(kabsch(source, target)[..., None, :], source)
    # In NumPy: hundreds of operations on so little are faster without torch's overhead and threads. Frames come last,
    # (3, K, T), so that loops are long.
    bones, wanted = (np.ascontiguousarray(some.numpy().T) for some in (turned, target))
    edges = np.cumsum([0, *([len(target)] if counts is None else counts)])
    running = np.arange(len(edges) - 1)
    frames: slice | np.ndarray = slice(None)
    for _ in range(iterations):
        some, aim = bones[..., frames], wanted[..., frames]
        axis = _cross(some, aim)
        sin = _norm(axis)
        turn = axis * (np.arctan2(sin, _dot(some, aim)) / np.maximum(sin, 1e-12))
        turn = turn.mean(1, keepdims=True)
        bones[..., frames] = _turned(some, turn)
        lengths = np.diff(edges)[running]
        largest = np.maximum.reduceat(np.abs(turn).max((0, 1)), np.cumsum([0, *lengths[:-1]]))
        if (done := largest < 1e-8).any():
            running = running[~done]
            if not len(running):
                break
            frames = np.concatenate([np.arange(edges[i], edges[i + 1]) for i in running])
    return kabsch(source, torch.from_numpy(np.ascontiguousarray(bones.T)))


def _turned(vectors: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Vectors (3, ...) rotated by rotation vectors (3, ...), by Rodrigues' formula."""
    angle = _norm(turn)
    axis = turn / np.maximum(angle, 1e-12)
    along = axis * _dot(axis, vectors)
    return along + (vectors - along) * np.cos(angle) + _cross(axis, vectors) * np.sin(angle)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of vectors (3, ...)."""
    return np.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)])


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product of vectors (3, ...)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _norm(a: np.ndarray) -> np.ndarray:
    """Length of vectors (3, ...)."""
    return np.sqrt(_dot(a, a))


EULER_ORDERS = ("ZYX", "ZXY", "YXZ", "YZX", "XYZ", "XZY")
_LARGE_STEP = math.radians(10.0)


def continuous_euler(q: Tensor, order: str = "ZYX") -> Tensor:
    """Euler angles (T, ..., 3) in radians without jumps along time, in the order of `order`.

    Every rotation has the two forms (a, b, c) and (a + pi, pi - b, c + pi), each up to whole turns. Changing the form
    between two frames costs the same from either, so the running choice is the parity of the changes that pay off.

    Args:
        q: unit quaternions (T, ..., 4).
        order: axes as a BVH file lists its channels, for instance "ZYX": R = Rz Ry Rx.
    """
    # Renaming the axes makes any order ZYX; a renaming that is a reflection turns all angles round.
    first, second, third = ("XYZ".index(axis) + 1 for axis in order)
    sign = 1.0 if order in ("ZYX", "XZY", "YXZ") else -1.0
    renamed = torch.stack((q[..., 0], sign * q[..., third], sign * q[..., second], sign * q[..., first]), dim=-1)
    angles = sign * quat_to_euler_zyx(renamed)
    other = angles * angles.new_tensor([1.0, -1.0, 1.0]) + math.pi

    def distance(a: Tensor, b: Tensor) -> Tensor:
        turn = torch.remainder(b - a + math.pi, 2 * math.pi) - math.pi
        return turn.square().sum(-1)

    change = distance(angles[:-1], other[1:]) < distance(angles[:-1], angles[1:])
    flipped = F.pad(change.movedim(0, -1).cumsum(-1) % 2, (1, 0)).movedim(-1, 0).bool()
    angles = torch.where(flipped[..., None], other, angles)
    turns = torch.round((angles[1:] - angles[:-1]) / (2 * math.pi)).cumsum(0)
    return torch.cat((angles[:1], angles[1:] - 2 * math.pi * turns))


def smoothest_euler(q: Tensor) -> tuple[str, Tensor]:
    """An order of Euler angles that keeps away from gimbal lock in all joints, and the angles without jumps.

    Near the lock angles move by half a turn while the joint hardly does: so does ZYX in a body that faces +-X, or an
    arm that points forward. ZYX is kept where its steps are small, or no other order halves the greatest. All joints
    have one order, since not every reader of BVH files expects several.

    Args:
        q: unit quaternions (T, J, 4).

    Returns:
        The order, and angles (T, J, 3) in radians.
    """
    angles = {order: continuous_euler(q, order) for order in EULER_ORDERS}
    steps = {order: float(turns.diff(dim=0).abs().max()) if len(q) > 1 else 0.0 for order, turns in angles.items()}
    usual, best = EULER_ORDERS[0], min(EULER_ORDERS, key=lambda order: steps[order])
    order = usual if steps[usual] < max(_LARGE_STEP, 2 * steps[best]) else best
    return order, angles[order]
