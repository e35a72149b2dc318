"""Joint positions to BVH text: an analytic fit of a skeleton with constant bone lengths, and the writer.

The rest pose of the file is a T-pose: Y up, facing +Z, arms along X, legs down, feet forward, which Blender and Mixamo
retargeting expect. Bone lengths are the motion's own.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.errors import UserError
from lamp.utils.export.checks import checked_joints
from lamp.utils.export.rotations import align_directions, continuous_euler_zyx, kabsch, one_thread, quat_from_frames
from lamp.utils.export.smooth import smooth_along_time
from lamp.utils.files import atomic_path
from lamp.utils.kinematics.geometry import quat_between, quat_inverse, quat_multiply, quat_rotate, quat_slerp
from lamp.utils.kinematics.skeleton import HUMANML3D

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

# Names and depth-first order of the file, with each joint's index in the motion.
BVH_JOINTS: tuple[tuple[str, int], ...] = (
    ("Hips", 0), ("LeftUpLeg", 1), ("LeftLeg", 4), ("LeftFoot", 7), ("LeftToe", 10),
    ("RightUpLeg", 2), ("RightLeg", 5), ("RightFoot", 8), ("RightToe", 11),
    ("Spine", 3), ("Spine1", 6), ("Spine2", 9), ("Neck", 12), ("Head", 15),
    ("LeftShoulder", 13), ("LeftArm", 16), ("LeftForeArm", 18), ("LeftHand", 20),
    ("RightShoulder", 14), ("RightArm", 17), ("RightForeArm", 19), ("RightHand", 21),
)  # fmt: skip

PARENTS = HUMANML3D.parents
CHILDREN = tuple(tuple(c for c, p in enumerate(PARENTS) if p == j) for j in range(22))
PELVIS, CHEST = 0, 9
HINGE_SMOOTHING_FRAMES = 2.0

# Direction of the bone that ends at each joint in a T-pose; spine, neck, collars and hips as in a human body at rest,
# so that retargeting does not bend the character's.
_REST: dict[int, tuple[float, float, float]] = {
    1: (0.60, -0.80, 0.0), 2: (-0.60, -0.80, 0.0), 3: (0.0, 1.0, -0.2), 4: (0, -1, 0), 5: (0, -1, 0), 6: (0, 1, 0),
    7: (0, -1, 0), 8: (0, -1, 0), 9: (0, 0.9, 0.43), 10: (0, -0.4, 0.92), 11: (0, -0.4, 0.92), 12: (0, 1.0, -0.2),
    13: (0.55, 0.80, -0.2), 14: (-0.55, 0.80, -0.2), 15: (0, 0.8, 0.6), 16: (0.95, 0.3, -0.1),
    17: (-0.95, 0.3, -0.1), 18: (1, 0, 0), 19: (-1, 0, 0), 20: (1, 0, 0), 21: (-1, 0, 0),
}  # fmt: skip

# Upper bone's joint, its lower neighbours, and the rest axis about which knee or elbow flexes.
_LIMBS: tuple[tuple[tuple[int, ...], tuple[float, float, float]], ...] = (
    ((1, 4, 7, 10), (1, 0, 0)), ((2, 5, 8, 11), (1, 0, 0)), ((16, 18, 20), (0, -1, 0)), ((17, 19, 21), (0, 1, 0)),
)  # fmt: skip


@dataclass(frozen=True)
class SkeletonFit:
    """A motion as rotations of a rigid skeleton, in the motion's joint order.

    Attributes:
        offsets: (22, 3) rest offset of each joint from its parent; 0 for the root.
        rotations: (T, 22, 4) local rotations; a joint's rotation turns the bones to its children.
        root: (T, 3) root positions.
        joints: (T, 22, 3) forward kinematics of the above.
    """

    offsets: np.ndarray
    rotations: np.ndarray
    root: np.ndarray
    joints: np.ndarray


@cache
def rest_directions() -> Tensor:
    """Unit bone directions (22, 3) of the T-pose, float64."""
    directions = torch.zeros(22, 3, dtype=torch.float64)
    for joint, direction in _REST.items():
        directions[joint] = F.normalize(torch.tensor(direction, dtype=torch.float64), dim=0)
    return directions


@one_thread()
def rest_offsets(joints: np.ndarray) -> np.ndarray:
    """T-pose offsets (22, 3) with the mean bone lengths of a motion (T, 22, 3).

    Where a joint has several children (pelvis, chest), the angles between them are the body's and not ours to choose:
    there the offsets are the mean over frames of the children's arrangement, turned to fit the T-pose best.
    """
    motion = torch.from_numpy(joints.astype(np.float64))
    lengths = HUMANML3D.measure_bones(motion).mean(0)
    offsets = rest_directions() * lengths[:, None]
    for joint in (PELVIS, CHEST):
        children = list(CHILDREN[joint])
        bones = motion[:, children] - motion[:, [joint]]
        template = shape = offsets[children]
        for _ in range(2):
            turned = quat_rotate(quat_inverse(kabsch(shape, bones))[:, None], bones)
            shape = F.normalize(turned.mean(0), dim=-1) * lengths[children, None]
        offsets[children] = quat_rotate(kabsch(shape, template)[None], shape)
    return offsets.numpy()


def fit_skeleton(joints: np.ndarray) -> SkeletonFit:
    """Fit a rigid T-pose skeleton of the motion's own mean bone lengths to joint positions (T, 22, 3).

    Where the bone lengths of the input vary in time, as those of generated motions do, no rotations reproduce it:
    `joints` of the result is what the BVH file plays back, and what should be saved beside it.
    """
    joints = _human_joints(joints)
    return solve_rotations(joints, rest_offsets(joints))


@one_thread()
def solve_rotations(joints: np.ndarray, offsets: np.ndarray) -> SkeletonFit:
    """Rotations of a given skeleton that follow joint positions, bone by bone from the root, all frames at once.

    A joint of one child points at it from where the joint has come to be; twist about the bone, which positions leave
    open, follows the hinge of knee and elbow, or else the parent. A joint of several children takes the orientation of
    `align_directions`. Positions agree with what the iterative solver of the public systems converges to.

    Args:
        joints: (T, 22, 3) positions to follow.
        offsets: (22, 3) rest offsets of the skeleton.
    """
    target = torch.from_numpy(joints.astype(np.float64))
    rest = torch.from_numpy(offsets.astype(np.float64))
    absolute: list[Tensor] = [target.new_zeros(0)] * 22
    position: list[Tensor] = [target[:, 0]] * 22
    hinges: dict[int, tuple[Tensor, Tensor]] = {}
    limbs = {chain[0]: (chain, target.new_tensor(axis)) for chain, axis in _LIMBS}
    chest = _orientation(target[:, CHEST], target, rest, CHEST)
    for joint, (parent, children) in enumerate(zip(PARENTS, CHILDREN)):
        if joint != PELVIS:
            position[joint] = position[parent] + quat_rotate(absolute[parent], rest[joint])
        if len(children) == 0:
            absolute[joint] = absolute[parent]
            continue
        if len(children) > 1:
            absolute[joint] = _orientation(position[joint], target, rest, joint)
            continue
        before = absolute[parent]
        if joint in (3, 6):
            # The spine's twist between pelvis and chest is shared out evenly.
            before = quat_slerp(absolute[PELVIS], chest, target.new_tensor(1 / 3 if joint == 3 else 2 / 3))
        child = rest[children[0]]
        bone = target[:, children[0]] - position[joint]
        absolute[joint] = quat_multiply(quat_between(quat_rotate(before, child), bone), before)
        if joint in limbs:
            chain, axis = limbs[joint]
            hinge = _hinge_axis(target[:, list(chain)], quat_rotate(absolute[joint], axis))
            hinges[joint] = hinges[chain[1]] = (axis, hinge)
        if joint in hinges:
            axis, hinge = hinges[joint]
            absolute[joint] = quat_from_frames((child, axis), (bone, hinge))
    world = torch.stack(absolute, dim=1)
    local = torch.cat((world[:, :1], quat_multiply(quat_inverse(world[:, PARENTS[1:]]), world[:, 1:])), dim=1)
    return SkeletonFit(offsets, local.numpy(), target[:, 0].numpy(), torch.stack(position, dim=1).numpy())


def _orientation(position: Tensor, target: Tensor, rest: Tensor, joint: int) -> Tensor:
    """Orientation (T, 4) of a joint of several children at `position` (T, 3)."""
    children = list(CHILDREN[joint])
    return align_directions(rest[children], target[:, children] - position[:, None])


def _hinge_axis(limb: Tensor, carried: Tensor) -> Tensor:
    """Axis (T, 3) about which a knee or elbow flexes, moving continuously with the pose.

    A bent limb shows its axis (with the square of the sine, so that noise at a straight one does not count); for a leg
    the foot shows it too; the rest is led by `carried`, the rest axis carried along without twist. A short filter along
    time bridges the frames in which a limb passes through straight.

    Args:
        limb: (T, 3 or 4, 3) positions: hip, knee, ankle, toe, or shoulder, elbow, wrist.
        carried: (T, 3).
    """
    bones = F.normalize(limb[:, 1:] - limb[:, :-1], dim=-1)
    bend = torch.linalg.cross(bones[:, 0], bones[:, 1])
    axis = 0.25 * carried + 10.0 * bend * bend.norm(dim=-1, keepdim=True)
    if limb.shape[1] == 4:
        axis = axis + 0.5 * torch.linalg.cross(bones[:, 2], bones[:, 1])
    return torch.from_numpy(smooth_along_time(axis.numpy(), HINGE_SMOOTHING_FRAMES))


def write(motion: "Motion", path: Path) -> None:
    """Write a motion of the 22 joints as BVH."""
    text = format_bvh(motion.fit or fit_skeleton(motion.joints), motion.fps)
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="ascii")


def to_bvh(joints: np.ndarray, fps: float) -> str:
    """BVH text of joint positions (T, 22, 3) in metres; channels Z, Y, X in degrees with R = Rz Ry Rx."""
    return format_bvh(fit_skeleton(joints), fps)


@one_thread()
def format_bvh(fit: SkeletonFit, fps: float) -> str:
    """BVH text of a fitted motion; 6 decimals."""
    order = [index for _, index in BVH_JOINTS]
    angles = continuous_euler_zyx(torch.from_numpy(fit.rotations[:, order]))
    angles = np.rad2deg(angles.numpy()).reshape(len(angles), -1)
    # Adding 0 after rounding turns -0.0 into 0.0.
    rows = np.round(np.concatenate((fit.root, angles), axis=1), 6) + 0.0
    line = "%.6f " * rows.shape[1] + "\n"
    motion = "".join(line % tuple(row) for row in rows.tolist())
    hierarchy = "\n".join(_hierarchy_lines(fit.offsets, 0, depth=0))
    return f"HIERARCHY\n{hierarchy}\nMOTION\nFrames: {len(rows)}\nFrame Time: {1 / fps:.6f}\n{motion}"


def _hierarchy_lines(offsets: np.ndarray, joint: int, depth: int) -> list[str]:
    names = {index: name for name, index in BVH_JOINTS}
    tab = "\t" * depth
    offset = "OFFSET {:.6f} {:.6f} {:.6f}"
    rotation = "Zrotation Yrotation Xrotation"
    channels = f"CHANNELS 6 Xposition Yposition Zposition {rotation} " if joint == 0 else f"CHANNELS 3 {rotation}"
    head = f"{'JOINT' if depth else 'ROOT'} {names[joint]}"
    lines = [f"{tab}{head}", f"{tab}{{", f"{tab}\t{offset.format(*(offsets[joint] + 0.0))}", f"{tab}\t{channels}"]
    for child in sorted(CHILDREN[joint], key=[index for _, index in BVH_JOINTS].index):
        lines += _hierarchy_lines(offsets, child, depth=depth + 1)
    if not CHILDREN[joint]:
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\t{offset.format(0, 0, 0)}", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"]


def _human_joints(joints: np.ndarray) -> np.ndarray:
    joints = checked_joints(joints)
    if joints.shape[1] != 22:
        raise UserError(f"BVH needs the 22 joints of HumanML3D, got {joints.shape[1]}; save npy, npz or mp4 instead")
    return joints
