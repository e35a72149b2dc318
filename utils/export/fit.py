"""Joint positions as rotations of a rigid skeleton: an analytic fit with constant bone lengths.

The rest pose is a T-pose: Y up, facing +Z, arms along X, legs down, feet forward, which Blender, VRM and Mixamo
retargeting expect. Bone lengths are the motion's own. BVH, glTF and the other formats of rotations are written from it.
"""

from collections.abc import Sequence
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
def rest_offsets(motions: Sequence[np.ndarray]) -> list[np.ndarray]:
    """T-pose offsets (J, 3) with the mean bone lengths of each of some motions (T, J, 3) of the same joints.

    Where a joint has several children (pelvis, chest), the angles between them are the body's and not ours to choose:
    there the offsets are the mean over frames of the children's arrangement, turned to fit the T-pose best.
    """
    plan, counts = PLANS[motions[0].shape[1]], [len(joints) for joints in motions]
    motion = torch.from_numpy(np.concatenate(motions).astype(np.float64))
    lengths = torch.stack([own.mean(0) for own in plan.skeleton.measure_bones(motion).split(counts)])
    offsets = rest_directions(plan) * lengths[..., None]
    for joint in (plan.spine[0], plan.spine[-1]):
        children = list(plan.children[joint])
        bones = motion[:, children] - motion[:, [joint]]
        template = shape = offsets[:, children]
        for _ in range(2):
            turned = quat_rotate(quat_inverse(kabsch(_by_frame(shape, counts), bones))[:, None], bones)
            mean = torch.stack([own.mean(0) for own in turned.split(counts)])
            shape = F.normalize(mean, dim=-1) * lengths[:, children, None]
        offsets[:, children] = quat_rotate(kabsch(shape, template)[:, None], shape)
    return list(offsets.numpy())


def fit_skeleton(joints: np.ndarray) -> SkeletonFit:
    """Fit a rigid T-pose skeleton of the motion's own mean bone lengths to joint positions (T, J, 3).

    Where the bone lengths of the input vary in time, as those of generated motions do, no rotations reproduce it:
    `joints` of the result is what the files of rotations play back, and what should be saved beside it.
    """
    return fit_skeletons([joints])[0]


def fit_skeletons(motions: Sequence[np.ndarray]) -> list[SkeletonFit]:
    """What `fit_skeleton` makes of each of some motions, bit for bit, in a fraction of the time of one by one."""
    checked = [checked_joints(joints) for joints in motions]
    fits: dict[int, SkeletonFit] = {}
    for joints in {own.shape[1] for own in checked}:
        places = [place for place, own in enumerate(checked) if own.shape[1] == joints]
        alike = [checked[place] for place in places]
        fits.update(zip(places, solve_rotations(alike, rest_offsets(alike))))
    return [fits[place] for place in range(len(checked))]


@one_thread()
def solve_rotations(motions: Sequence[np.ndarray], offsets: Sequence[np.ndarray]) -> list[SkeletonFit]:
    """Rotations of given skeletons that follow joint positions, bone by bone from the root, all frames at once.

    A joint of one child points at it from where the joint has come to be; twist about the bone, which positions leave
    open, follows the hinge of knee and elbow, or else the parent. A joint of several children takes the orientation of
    `align_directions`. Positions agree with what the iterative solver of the public systems converges to.

    Args:
        motions: (T, J, 3) positions to follow; the frames of all are computed as those of one.
        offsets: (J, 3) rest offsets of the skeleton of each.
    """
    plan, counts = PLANS[len(offsets[0])], [len(joints) for joints in motions]
    pelvis, *spine, chest_joint = plan.spine
    target = torch.from_numpy(np.concatenate(motions).astype(np.float64))
    rest = _by_frame(torch.from_numpy(np.stack(offsets).astype(np.float64)), counts)
    absolute: list[Tensor] = [target.new_zeros(0)] * len(plan.parents)
    position: list[Tensor] = [target[:, 0]] * len(plan.parents)
    hinges: dict[int, tuple[Tensor, Tensor]] = {}
    limbs = {chain[0]: (chain, target.new_tensor(axis)) for chain, axis in plan.limbs}

    def orientation(joint: int, place: Tensor) -> Tensor:
        """Of a joint of several children at `place` (T, 3)."""
        children = list(plan.children[joint])
        return align_directions(rest[:, children], target[:, children] - place[:, None], counts)

    chest = orientation(chest_joint, target[:, chest_joint])
    for joint, (parent, children) in enumerate(zip(plan.parents, plan.children)):
        if joint != pelvis:
            position[joint] = position[parent] + quat_rotate(absolute[parent], rest[:, joint])
        if len(children) == 0:
            absolute[joint] = absolute[parent]
            continue
        if len(children) > 1:
            absolute[joint] = orientation(joint, position[joint])
            continue
        before = absolute[parent]
        if joint in spine:
            # The spine's twist between pelvis and chest is shared out evenly.
            share = (spine.index(joint) + 1) / (len(spine) + 1)
            before = quat_slerp(absolute[pelvis], chest, target.new_tensor(share))
        bone = target[:, children[0]] - position[joint]
        turned = quat_rotate(before, rest[:, children[0]])
        absolute[joint] = quat_multiply(quat_between(turned, bone), before)
        if joint in limbs:
            chain, axis = limbs[joint]
            hinge = _hinge_axis(target[:, list(chain)], quat_rotate(absolute[joint], axis), counts)
            hinges[joint] = hinges[chain[1]] = (axis, hinge)
        if joint in hinges:
            axis, hinge = hinges[joint]
            absolute[joint] = quat_from_frames((rest[:, children[0]], axis), (bone, hinge))
    world = torch.stack(absolute, dim=1)
    local = torch.cat((world[:, :1], quat_multiply(quat_inverse(world[:, plan.parents[1:]]), world[:, 1:])), dim=1)
    parts = (local, target[:, 0], torch.stack(position, dim=1))
    each = zip(offsets, *(part.split(counts) for part in parts))
    return [SkeletonFit(own, *(part.numpy().copy() for part in arrays)) for own, *arrays in each]


def _by_frame(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Values (M, ...) of M motions for each of their frames (T, ...)."""
    return values.repeat_interleave(torch.tensor(counts), dim=0)


def _hinge_axis(limb: Tensor, carried: Tensor, counts: Sequence[int]) -> Tensor:
    """Axis (T, 3) about which a knee or elbow flexes, moving continuously with the pose.

    A bent limb shows its axis (with the square of the sine, so that noise at a straight one does not count); for a leg
    the foot shows it too; the rest is led by `carried`, the rest axis carried along without twist. A short filter along
    time bridges the frames in which a limb passes through straight.

    Args:
        limb: (T, 3 or 4, 3) positions: hip, knee, ankle, toe, or shoulder, elbow, wrist.
        carried: (T, 3).
        counts: lengths of the motions of which these frames are.
    """
    bones = F.normalize(limb[:, 1:] - limb[:, :-1], dim=-1)
    bend = torch.linalg.cross(bones[:, 0], bones[:, 1])
    axis = 0.25 * carried + 10.0 * bend * bend.norm(dim=-1, keepdim=True)
    if limb.shape[1] == 4:
        axis = axis + 0.5 * torch.linalg.cross(bones[:, 2], bones[:, 1])
    smooth = [smooth_along_time(own.numpy(), HINGE_SMOOTHING_FRAMES) for own in axis.split(counts)]
    return torch.from_numpy(np.concatenate(smooth))
