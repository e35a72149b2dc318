"""Joint positions as rotations of a rigid skeleton: an analytic fit with constant bone lengths.

The rest pose is a T-pose: Y up, facing +Z, arms along X, legs down, feet forward, which Blender, VRM and Mixamo
retargeting expect. Bone lengths are the motion's own. BVH, glTF and the other formats of rotations are written from it.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.export.body_plan import PLANS, BodyPlan
from lamp.utils.export.checks import checked_joints
from lamp.utils.export.rotations import align_directions, kabsch, one_thread, quat_from_frames
from lamp.utils.export.smooth import smooth_along_time
from lamp.utils.kinematics.geometry import (
    frames_between,
    quat_between,
    quat_inverse,
    quat_multiply,
    quat_rotate,
    quat_slerp,
)

HINGE_SMOOTHING_FRAMES = 2.0


@dataclass(frozen=True)
class SkeletonFit:
    """A motion as rotations of a rigid skeleton, in the motion's joint order and unit.

    Attributes:
        offsets: (J, 3) rest offset of each joint from its parent; 0 for the root.
        rotations: (T, J, 4) local rotations (w, x, y, z); a joint's rotation turns the bones to its children.
        root: (T, 3) root positions.
        joints: (T, J, 3) forward kinematics of the above.
    """

    offsets: np.ndarray
    rotations: np.ndarray
    root: np.ndarray
    joints: np.ndarray

    @property
    def plan(self) -> BodyPlan:
        """Names and rest pose of the skeleton."""
        return PLANS[len(self.offsets)]

    @property
    def millimetres(self) -> float:
        """Millimetres in the unit of offsets and positions."""
        return self.plan.skeleton.millimetres

    @cached_property
    def rest_joints(self) -> np.ndarray:
        """Joints (J, 3) of the T-pose with the root at the origin."""
        still = np.zeros((1, len(self.offsets), 4))
        still[..., 0] = 1.0
        return forward(self.offsets, still, np.zeros((1, 3)))[0]

    def resampled(self, fps: float, wanted: float) -> "SkeletonFit":
        """The motion at `wanted` frames a second instead of `fps`; rotations go on great circles, so bones keep their
        lengths, which they would not if positions were interpolated.
        """
        low, high, share = frames_between(len(self.root), fps, wanted)
        root, rotations = torch.from_numpy(self.root), torch.from_numpy(self.rotations)
        root = torch.lerp(root[low], root[high], share[:, None])
        rotations = quat_slerp(rotations[low], rotations[high], share[:, None])
        joints = forward(self.offsets, rotations.numpy(), root.numpy())
        return SkeletonFit(self.offsets, rotations.numpy(), root.numpy(), joints)

    def with_root(self, root: np.ndarray) -> "SkeletonFit":
        """The same rotations with the root elsewhere (T, 3)."""
        return replace(self, root=root, joints=self.joints + (root - self.root)[:, None])


def world_rotations(rotations: Tensor, plan: BodyPlan) -> list[Tensor]:
    """Orientation (T, 4) of each joint, of local rotations (T, J, 4)."""
    absolute = [rotations[:, 0]]
    for joint, parent in enumerate(plan.parents[1:], start=1):
        absolute.append(quat_multiply(absolute[parent], rotations[:, joint]))
    return absolute


def forward(offsets: np.ndarray, rotations: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Joints (T, J, 3) of local rotations (T, J, 4) and root positions (T, 3) on rest offsets (J, 3)."""
    plan, rest, position = PLANS[len(offsets)], torch.from_numpy(offsets), [torch.from_numpy(root)]
    absolute = world_rotations(torch.from_numpy(rotations), plan)
    for joint, parent in enumerate(plan.parents[1:], start=1):
        position.append(position[parent] + quat_rotate(absolute[parent], rest[joint]))
    return torch.stack(position, dim=1).numpy()


def rest_directions(plan: BodyPlan = PLANS[22]) -> Tensor:
    """Unit bone directions (J, 3) of the T-pose, float64."""
    directions = torch.zeros(plan.skeleton.num_joints, 3, dtype=torch.float64)
    for joint, direction in plan.rest.items():
        directions[joint] = F.normalize(torch.tensor(direction, dtype=torch.float64), dim=0)
    return directions


@one_thread()
def rest_offsets(joints: np.ndarray) -> np.ndarray:
    """T-pose offsets (J, 3) with the mean bone lengths of a motion (T, J, 3).

    Where a joint has several children (pelvis, chest), the angles between them are the body's and not ours to choose:
    there the offsets are the mean over frames of the children's arrangement, turned to fit the T-pose best.
    """
    motion, plan = torch.from_numpy(joints.astype(np.float64)), PLANS[joints.shape[1]]
    lengths = plan.skeleton.measure_bones(motion).mean(0)
    offsets = rest_directions(plan) * lengths[:, None]
    for joint in (plan.spine[0], plan.spine[-1]):
        children = list(plan.children[joint])
        bones = motion[:, children] - motion[:, [joint]]
        template = shape = offsets[children]
        for _ in range(2):
            turned = quat_rotate(quat_inverse(kabsch(shape, bones))[:, None], bones)
            shape = F.normalize(turned.mean(0), dim=-1) * lengths[children, None]
        offsets[children] = quat_rotate(kabsch(shape, template)[None], shape)
    return offsets.numpy()


def fit_skeleton(joints: np.ndarray) -> SkeletonFit:
    """Fit a rigid T-pose skeleton of the motion's own mean bone lengths to joint positions (T, J, 3).

    Where the bone lengths of the input vary in time, as those of generated motions do, no rotations reproduce it:
    `joints` of the result is what the files of rotations play back, and what should be saved beside it.
    """
    joints = checked_joints(joints)
    return solve_rotations(joints, rest_offsets(joints))


@one_thread()
def solve_rotations(joints: np.ndarray, offsets: np.ndarray) -> SkeletonFit:
    """Rotations of a given skeleton that follow joint positions, bone by bone from the root, all frames at once.

    A joint of one child points at it from where the joint has come to be; twist about the bone, which positions leave
    open, follows the hinge of knee and elbow, or else the parent. A joint of several children takes the orientation of
    `align_directions`. Positions agree with what the iterative solver of the public systems converges to.

    Args:
        joints: (T, J, 3) positions to follow.
        offsets: (J, 3) rest offsets of the skeleton.
    """
    plan = PLANS[len(offsets)]
    pelvis, *spine, chest_joint = plan.spine
    target = torch.from_numpy(joints.astype(np.float64))
    rest = torch.from_numpy(offsets.astype(np.float64))
    absolute: list[Tensor] = [target.new_zeros(0)] * len(offsets)
    position: list[Tensor] = [target[:, 0]] * len(offsets)
    hinges: dict[int, tuple[Tensor, Tensor]] = {}
    limbs = {chain[0]: (chain, target.new_tensor(axis)) for chain, axis in plan.limbs}
    chest = _orientation(target[:, chest_joint], target, rest, plan, chest_joint)
    for joint, (parent, children) in enumerate(zip(plan.parents, plan.children)):
        if joint != pelvis:
            position[joint] = position[parent] + quat_rotate(absolute[parent], rest[joint])
        if len(children) == 0:
            absolute[joint] = absolute[parent]
            continue
        if len(children) > 1:
            absolute[joint] = _orientation(position[joint], target, rest, plan, joint)
            continue
        before = absolute[parent]
        if joint in spine:
            # The spine's twist between pelvis and chest is shared out evenly.
            share = (spine.index(joint) + 1) / (len(spine) + 1)
            before = quat_slerp(absolute[pelvis], chest, target.new_tensor(share))
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
    local = torch.cat((world[:, :1], quat_multiply(quat_inverse(world[:, plan.parents[1:]]), world[:, 1:])), dim=1)
    return SkeletonFit(offsets, local.numpy(), target[:, 0].numpy(), torch.stack(position, dim=1).numpy())


def _orientation(position: Tensor, target: Tensor, rest: Tensor, plan: BodyPlan, joint: int) -> Tensor:
    """Orientation (T, 4) of a joint of several children at `position` (T, 3)."""
    children = list(plan.children[joint])
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
