"""The motion features of HumanML3D and KIT-ML: joint positions to features and back (Guo et al. 2022, section 4).

A feature vector of a frame holds, in this order: root yaw velocity (1), root velocity on the floor (2), root height
(1), local joint positions 3(J-1), local joint rotations 6(J-1), joint velocities 3J, foot contacts 4 (left ankle, left
toe, right ankle, right toe). All functions take any leading batch dimensions and stay on the device of their input.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from utils.geometry import (
    gaussian_smooth,
    matrix_from_6d,
    quat_between,
    quat_identity,
    quat_inverse,
    quat_multiply,
    quat_rotate,
    quat_to_6d,
    quat_to_matrix,
)
from utils.skeleton import Skeleton

FACING_SMOOTHING_FRAMES = 20.0


@dataclass(frozen=True)
class FeatureLayout:
    """Named slices of a feature vector for a skeleton of `num_joints` joints."""

    num_joints: int

    @property
    def yaw_velocity(self) -> slice:
        """Root yaw velocity, half angle in radians a frame."""
        return slice(0, 1)

    @property
    def root_velocity(self) -> slice:
        """Root velocity (x, z) in the root's frame."""
        return slice(1, 3)

    @property
    def root_height(self) -> slice:
        """Height of the root."""
        return slice(3, 4)

    @property
    def positions(self) -> slice:
        """Positions of joints 1..J-1 in the root's frame."""
        return slice(4, 4 + 3 * (self.num_joints - 1))

    @property
    def rotations(self) -> slice:
        """6D rotations of joints 1..J-1."""
        start = self.positions.stop
        return slice(start, start + 6 * (self.num_joints - 1))

    @property
    def velocities(self) -> slice:
        """Velocities of all joints in the root's frame."""
        start = self.rotations.stop
        return slice(start, start + 3 * self.num_joints)

    @property
    def contacts(self) -> slice:
        """Foot contacts."""
        start = self.velocities.stop
        return slice(start, start + 4)

    @property
    def dim(self) -> int:
        """Number of features D: 263 for 22 joints, 251 for 21."""
        return self.contacts.stop

    @property
    def groups(self) -> dict[str, slice]:
        """All slices by name, in order; normalisation averages the standard deviation over each."""
        names = ("yaw_velocity", "root_velocity", "root_height", "positions", "rotations", "velocities", "contacts")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of_dim(cls, dim: int) -> "FeatureLayout":
        """Layout of D-dimensional features; ValueError if no skeleton has that many."""
        joints, rest = divmod(dim + 1, 12)
        if rest:
            raise ValueError(f"{dim} is not a feature dimension of the format (263 for HumanML3D, 251 for KIT-ML)")
        return cls(joints)


def facing(joints: Tensor, skeleton: Skeleton, hips_reversed: bool = False) -> Tensor:
    """Horizontal facing direction (..., 3) of poses (..., J, 3): up x unit across, so not longer than 1.

    Args:
        joints: joint positions.
        skeleton: gives hips and shoulders.
        hips_reversed: the convention of the format's inverse kinematics, which subtracts the hips the other way.
    """
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    hips = joints[..., right_hip, :] - joints[..., left_hip, :]
    if hips_reversed:
        hips = -hips
    across = F.normalize(hips + joints[..., right_shoulder, :] - joints[..., left_shoulder, :], dim=-1)
    # up x across
    return torch.stack((across[..., 2], torch.zeros_like(across[..., 0]), -across[..., 0]), dim=-1)


def root_rotation(joints: Tensor, skeleton: Skeleton, smooth: bool) -> Tensor:
    """Quaternions (..., T, 4) that turn each frame's facing to +Z; the first is set to identity (the format's way)."""
    forward = facing(joints, skeleton, hips_reversed=True)
    if smooth:
        forward = F.normalize(gaussian_smooth(forward, FACING_SMOOTHING_FRAMES), dim=-1)
    root = quat_between(forward, forward.new_tensor([0.0, 0.0, 1.0]))
    root[..., 0, :] = quat_identity(like=root)
    return root


def inverse_kinematics(joints: Tensor, root: Tensor, skeleton: Skeleton) -> Tensor:
    """Local rotations of a motion by the format's inverse kinematics.

    Args:
        joints: (..., T, J, 3).
        root: (..., T, 4) from `root_rotation`.

    Returns:
        (..., T, J, 4); joint 0 is `root`, another joint's rotation is that of the bone that ends at it.
    """
    parents = torch.tensor(skeleton.parents[1:], device=joints.device)
    bones = F.normalize(joints[..., 1:, :] - joints[..., parents, :], dim=-1)
    absolute = torch.cat((root[..., None, :], quat_between(skeleton.rest_directions(joints)[1:], bones)), dim=-2)
    before = torch.tensor(skeleton.rotation_parents[1:], device=joints.device)
    local = quat_multiply(quat_inverse(absolute[..., before, :]), absolute[..., 1:, :])
    return torch.cat((root[..., None, :], local), dim=-2)


def forward_kinematics(matrices: Tensor, root_position: Tensor, skeleton: Skeleton, bone_lengths: Tensor) -> Tensor:
    """Joint positions of local rotations in the format's convention.

    Args:
        matrices: (..., J, 3, 3) local rotations, joint 0 the root's.
        root_position: (..., 3).
        bone_lengths: (J,).

    Returns:
        (..., J, 3).
    """
    offsets = skeleton.rest_directions(root_position) * bone_lengths[:, None]
    absolute: list[Tensor] = [matrices[..., 0, :, :]] + [matrices[..., 0, :, :]] * (skeleton.num_joints - 1)
    positions: list[Tensor] = [root_position] * skeleton.num_joints
    for chain in skeleton.chains:
        for parent, joint in itertools.pairwise(chain):
            absolute[joint] = absolute[skeleton.rotation_parents[joint]] @ matrices[..., joint, :, :]
            positions[joint] = positions[parent] + absolute[joint] @ offsets[joint]
    return torch.stack(positions, dim=-2)


def uniform_skeleton(joints: Tensor, skeleton: Skeleton, bone_lengths: Tensor) -> Tensor:
    """Retarget a motion to the target skeleton's bone lengths; the root path scales with leg length.

    In the format's inverse and forward kinematics each bone keeps its direction, so the result is each bone's
    direction times the target length, summed along the chains.

    Args:
        joints: (..., T, J, 3).
        bone_lengths: (J,) of the target.

    Returns:
        (..., T, J, 3).
    """
    a, b = skeleton.leg_joints
    source = skeleton.measure_bones(joints[..., 0, :, :])
    # The rest direction of a leg bone is an axis, so its largest absolute offset is its length.
    scale = (bone_lengths[a] + bone_lengths[b]) / (source[..., a] + source[..., b])
    parents = torch.tensor(skeleton.parents[1:], device=joints.device)
    bones = F.normalize(joints[..., 1:, :] - joints[..., parents, :], dim=-1) * bone_lengths[1:, None]
    positions: list[Tensor] = [joints[..., 0, :] * scale[..., None, None]] * skeleton.num_joints
    for chain in skeleton.chains:
        for parent, joint in itertools.pairwise(chain):
            positions[joint] = positions[parent] + bones[..., joint - 1, :]
    return torch.stack(positions, dim=-2)


def canonicalize(joints: Tensor, skeleton: Skeleton, bone_lengths: Tensor | None = None) -> Tensor:
    """Steps 1 to 4 of the format: target skeleton, lowest point on the floor, first root at x = z = 0, facing +Z.

    Args:
        joints: (..., T, J, 3).
        bone_lengths: (J,) of the target skeleton; None keeps the body's own.
    """
    if bone_lengths is not None:
        joints = uniform_skeleton(joints, skeleton, bone_lengths.to(joints))
    joints = joints - joints.new_tensor([0.0, 1.0, 0.0]) * joints[..., 1].amin((-1, -2))[..., None, None, None]
    joints = joints - joints.new_tensor([1.0, 0.0, 1.0]) * joints[..., :1, :1, :]
    turn = quat_between(facing(joints[..., 0, :, :], skeleton), joints.new_tensor([0.0, 0.0, 1.0]))
    return quat_rotate(turn[..., None, None, :], joints)


def extract_features(joints: Tensor, skeleton: Skeleton, repair_turns: bool = False) -> Tensor:
    """Steps 5 to 9 of the format: features of a canonical motion.

    Args:
        joints: (..., T, J, 3), T >= 2.
        repair_turns: take the short way when the facing crosses -Z. The published features do not (their path breaks
            there, by up to a metre); on for new data, off to reproduce published features.

    Returns:
        (..., T-1, D) features.

    Raises:
        ValueError: fewer than two frames or a wrong number of joints.
    """
    if joints.shape[-2:] != (skeleton.num_joints, 3) or joints.shape[-3] < 2:
        raise ValueError(f"expected joints (..., T >= 2, {skeleton.num_joints}, 3), got {tuple(joints.shape)}")
    root = root_rotation(joints, skeleton, smooth=True)
    rotations = quat_to_6d(inverse_kinematics(joints, root, skeleton)[..., :-1, 1:, :])

    displacement = joints[..., 1:, :, :] - joints[..., :-1, :, :]
    # The root turns about the vertical only, so that points are turned by a plane rotation.
    w, y = root[..., 0], root[..., 2]
    cos, sin = (w * w - y * y)[..., None], (2 * w * y)[..., None]
    step = _turned(cos[..., 1:, :], sin[..., 1:, :], displacement[..., :1, :])[..., 0, :]
    turn_y = y[..., 1:] * w[..., :-1] - w[..., 1:] * y[..., :-1]
    if repair_turns:
        turn_w = w[..., 1:] * w[..., :-1] + y[..., 1:] * y[..., :-1]
        turn_y = torch.where(turn_w < 0, -turn_y, turn_y)
    yaw_velocity = torch.arcsin(turn_y.clamp(-1, 1))[..., None]

    local = joints[..., :-1, 1:, :] - joints[..., :-1, :1, :] * joints.new_tensor([1.0, 0.0, 1.0])
    turned = _turned(cos[..., :-1, :], sin[..., :-1, :], torch.cat((local, displacement), dim=-2))

    feet = list(skeleton.left_foot + skeleton.right_foot)
    contacts = (displacement[..., feet, :].square().sum(-1) < skeleton.contact_threshold).to(joints)
    return torch.cat(
        (
            yaw_velocity,
            step[..., ::2],
            joints[..., :-1, 0, 1:2],
            turned[..., : skeleton.num_joints - 1, :].flatten(-2),
            rotations.flatten(-2),
            turned[..., skeleton.num_joints - 1 :, :].flatten(-2),
            contacts,
        ),
        dim=-1,
    )


def _turned(cos: Tensor, sin: Tensor, points: Tensor) -> Tensor:
    """Points (..., J, 3) turned about the vertical by angles given by cosine and sine (..., 1)."""
    x, height, z = points.unbind(-1)
    return torch.stack((cos * x + sin * z, height, cos * z - sin * x), dim=-1)


def joints_to_features(
    joints: Tensor, skeleton: Skeleton, bone_lengths: Tensor | None = None, repair_turns: bool = False
) -> Tensor:
    """Any motion (..., T, J, 3) to features (..., T-1, D): `canonicalize`, then `extract_features`."""
    return extract_features(canonicalize(joints, skeleton, bone_lengths), skeleton, repair_turns=repair_turns)


def recover_root(features: Tensor) -> tuple[Tensor, Tensor]:
    """Root rotation (..., T, 4), turning the facing to +Z, and root position (..., T, 3) of features (..., T, D)."""
    half_angle = _half_angles(features)
    zero = torch.zeros_like(half_angle)
    root = torch.stack((half_angle.cos(), zero, half_angle.sin(), zero), dim=-1)
    x, z = _root_path(features, (2 * half_angle).cos(), (2 * half_angle).sin())
    return root, torch.stack((x, features[..., 3], z), dim=-1)


def _half_angles(features: Tensor) -> Tensor:
    """Half the angle (..., T) by which each frame's root is turned."""
    return F.pad(features[..., :-1, 0], (1, 0)).cumsum(-1)


def _root_path(features: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Root positions x and z (..., T), from the velocities in the root's frame and its angle's cosine and sine."""
    step = F.pad(features[..., :-1, 1:3], (0, 0, 1, 0))
    x, z = step[..., 0], step[..., 1]
    return (cos * x - sin * z).cumsum(-1), (sin * x + cos * z).cumsum(-1)


def features_to_joints(features: Tensor) -> Tensor:
    """Joint positions (..., T, J, 3) of features (..., T, D) from the local positions ("recover from RIC").

    Raises:
        ValueError: D is not a dimension of the format.
    """
    layout = FeatureLayout.of_dim(features.shape[-1])
    angle = 2 * _half_angles(features)
    cos, sin = angle.cos(), angle.sin()
    path_x, path_z = _root_path(features, cos, sin)
    local = features[..., layout.positions].unflatten(-1, (layout.num_joints - 1, 3))
    x, z = local[..., 0], local[..., 2]
    # The root only turns about the vertical: a plane rotation, a fifth of the work of one by quaternions.
    turned_x = torch.addcmul(path_x[..., None], cos[..., None], x).addcmul(sin[..., None], z, value=-1)
    turned_z = torch.addcmul(path_z[..., None], sin[..., None], x).addcmul(cos[..., None], z)
    joints = features.new_empty(*features.shape[:-1], layout.num_joints, 3)
    joints[..., 0, 0], joints[..., 0, 1], joints[..., 0, 2] = path_x, features[..., 3], path_z
    joints[..., 1:, 0], joints[..., 1:, 1], joints[..., 1:, 2] = turned_x, local[..., 1], turned_z
    return joints


def features_to_joints_by_rotation(features: Tensor, skeleton: Skeleton, bone_lengths: Tensor) -> Tensor:
    """Joint positions (..., T, J, 3) of features (..., T, D) from the rotations and a skeleton's bone lengths (J,)."""
    layout = FeatureLayout(skeleton.num_joints)
    root, position = recover_root(features)
    sixd = features[..., layout.rotations].unflatten(-1, (skeleton.num_joints - 1, 6))
    matrices = torch.cat((quat_to_matrix(root)[..., None, :, :], matrix_from_6d(sixd)), dim=-3)
    return forward_kinematics(matrices, position, skeleton, bone_lengths.to(features))


def mirror_joints(joints: Tensor, skeleton: Skeleton) -> Tensor:
    """Mirror image (left <-> right) of a motion (..., J, 3)."""
    return joints[..., list(skeleton.mirror_order), :] * joints.new_tensor([-1.0, 1.0, 1.0])


def normalization_std(std: Tensor, layout: FeatureLayout) -> Tensor:
    """Std of the format: within each feature group the mean of the group's standard deviations (D,)."""
    smooth = std.clone()
    for group in layout.groups.values():
        smooth[group] = std[group].mean()
    return smooth
