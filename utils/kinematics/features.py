"""The motion features of HumanML3D and KIT-ML: joint positions to features and back (Guo et al. 2022, section 4).

A feature vector of a frame holds, in this order: root yaw velocity (1), root velocity on the floor (2), root height
(1), local joint positions 3(J-1), local joint rotations 6(J-1), joint velocities 3J, foot contacts 4 (left ankle, left
toe, right ankle, right toe). All functions take any leading batch dimensions and stay on the device of their input.
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.kinematics.geometry import gaussian_smooth, length, matrix_from_6d, quat_to_matrix
from lamp.utils.kinematics.inverse_kinematics import local_rotations
from lamp.utils.kinematics.skeleton import Skeleton

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
    """Horizontal facing direction (..., 3) of poses (..., J, 3): unit leftward x up, so not longer than 1.

    Args:
        joints: joint positions.
        skeleton: gives hips and shoulders.
        hips_reversed: the convention of the format's inverse kinematics, which subtracts the hips the other way.
    """
    left = _leftward(joints.transpose(-1, -2)[..., None], skeleton, hips_reversed)
    x, _, z = (left / length(left, dim=-2))[..., 0].unbind(-1)
    # left x up
    return torch.stack((-z, torch.zeros_like(x), x), dim=-1)


def _leftward(tracks: Tensor, skeleton: Skeleton, hips_reversed: bool = False) -> Tensor:
    """The direction across the body to its left (..., 3, T), of any length."""
    right_hip, left_hip, right_shoulder, left_shoulder = (tracks.select(-2, joint) for joint in skeleton.face_joints)
    hips = right_hip - left_hip if hips_reversed else left_hip - right_hip
    return hips - right_shoulder + left_shoulder


def _turn_to_front(left_x: Tensor, left_z: Tensor) -> Tensor:
    """Angle about +Y that turns the facing direction, left x up, to +Z."""
    # Nearly opposite to +Z rounding decides the side: taken as exactly opposite, and half a turn one way.
    return torch.where(left_z.abs() < -3e-4 * left_x, math.pi, torch.atan2(left_z, left_x))


def _turned(x: Tensor, z: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Points (x, z) turned about +Y by an angle given by cosine and sine."""
    return (cos * x).addcmul_(sin, z), (cos * z).addcmul_(sin, x, value=-1)


def _to_tracks(joints: Tensor) -> Tensor:
    """Joints (..., T, J, 3) as tracks (..., 3, J, T): each coordinate of each joint contiguous in time."""
    return joints.transpose(-1, -3).contiguous()


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
    return _to_tracks(_uniform(_to_tracks(joints), skeleton, bone_lengths))


def _uniform(tracks: Tensor, skeleton: Skeleton, bone_lengths: Tensor) -> Tensor:
    """Tracks (..., 3, J, T) with the target skeleton's bone lengths (J,), see `uniform_skeleton`."""
    tree = _tree(skeleton, tracks.dtype, tracks.device)
    bones = tracks - tracks.index_select(-2, tree.parents)
    lengths = length(bones, dim=-3)
    a, b = skeleton.leg_joints
    # The rest direction of a leg bone is an axis, so its largest absolute offset is its length.
    source = lengths[..., a, 0] + lengths[..., b, 0]
    # A body of no size has no scale, nor finite positions.
    scale = torch.where(source > 1e-12, (bone_lengths[a] + bone_lengths[b]) / source, math.nan)
    steps = bones * (bone_lengths[:, None] / lengths)
    steps[..., 0, :] = tracks[..., 0, :] * scale[..., None]
    return tree.paths @ steps


@dataclass(frozen=True)
class _Tree:
    """A skeleton's indices as tensors.

    Attributes:
        parents: (J,); 0 for the root.
        paths: (J, J), 1 where a joint (column) is on the way from the root to another (row), both included: positions
            are its product with the root's position and the bone vectors.
        feet: (4,) ankle and toe of the left, then of the right foot.
    """

    parents: Tensor
    paths: Tensor
    feet: Tensor


@lru_cache
@torch.inference_mode(False)  # what is made in inference mode could not be used by autograd later
def _tree(skeleton: Skeleton, dtype: torch.dtype, device: torch.device) -> _Tree:
    """The tree of a skeleton, built once."""
    paths = torch.eye(skeleton.num_joints, dtype=dtype)
    for chain in skeleton.chains:
        for parent, joint in itertools.pairwise(chain):
            paths[joint] += paths[parent]
    return _Tree(
        parents=torch.tensor((0, *skeleton.parents[1:]), device=device),
        paths=paths.to(device),
        feet=torch.tensor(skeleton.left_foot + skeleton.right_foot, device=device),
    )


def canonicalize(joints: Tensor, skeleton: Skeleton, bone_lengths: Tensor | None = None) -> Tensor:
    """Steps 1 to 4 of the format: target skeleton, lowest point on the floor, first root at x = z = 0, facing +Z.

    Args:
        joints: (..., T, J, 3).
        bone_lengths: (J,) of the target skeleton; None keeps the body's own.
    """
    return _to_tracks(_canonical(_to_tracks(joints), skeleton, bone_lengths))


def _canonical(tracks: Tensor, skeleton: Skeleton, bone_lengths: Tensor | None) -> Tensor:
    """Canonical tracks (..., 3, J, T), see `canonicalize`."""
    if bone_lengths is not None:
        tracks = _uniform(tracks, skeleton, bone_lengths.to(tracks))
    left = _leftward(tracks[..., :1], skeleton)
    turn = _turn_to_front(left[..., :1, :], left[..., 2:, :])
    x, y, z = tracks.unbind(-3)
    x, z = _turned(x - x[..., :1, :1], z - z[..., :1, :1], turn.cos(), turn.sin())
    return torch.stack((x, y - y.amin((-1, -2), keepdim=True), z), dim=-3)


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
    _check(joints, skeleton)
    return _features(_to_tracks(joints), skeleton, repair_turns)


def _check(joints: Tensor, skeleton: Skeleton) -> None:
    """ValueError unless joints are (..., T >= 2, J, 3)."""
    if joints.shape[-2:] != (skeleton.num_joints, 3) or joints.shape[-3] < 2:
        raise ValueError(f"expected joints (..., T >= 2, {skeleton.num_joints}, 3), got {tuple(joints.shape)}")


def _features(tracks: Tensor, skeleton: Skeleton, repair_turns: bool) -> Tensor:
    """Features (..., T-1, D) of canonical tracks (..., 3, J, T), see `extract_features`."""
    turn = _smooth_turn_to_front(tracks, skeleton)
    cos, sin = turn.cos(), turn.sin()
    here = tracks[..., :-1].contiguous()
    displacement = tracks[..., 1:] - here
    rotations = local_rotations(here, cos[..., :-1], sin[..., :-1], skeleton)

    (x, y, z), (dx, dy, dz) = here.unbind(-3), displacement.unbind(-3)
    # Local positions of joints 1..J-1 and displacements of all joints turn alike.
    local_x = torch.cat((x[..., 1:, :] - x[..., :1, :], dx), dim=-2)
    local_z = torch.cat((z[..., 1:, :] - z[..., :1, :], dz), dim=-2)
    local_x, local_z = _turned(local_x, local_z, cos[..., None, :-1], sin[..., None, :-1])
    local = torch.stack((local_x, torch.cat((y[..., 1:, :], dy), dim=-2), local_z), dim=-2)
    step = _turned(dx[..., :1, :], dz[..., :1, :], cos[..., None, 1:], sin[..., None, 1:])

    feet = displacement.index_select(-2, _tree(skeleton, tracks.dtype, tracks.device).feet)
    contacts = ((feet * feet).sum(-3) < skeleton.contact_threshold).to(tracks.dtype)
    others = skeleton.num_joints - 1
    rows = (
        _yaw_velocity(turn, repair_turns)[..., None, :],
        *step,
        y[..., :1, :],
        local[..., :others, :, :].flatten(-3, -2),
        rotations,
        local[..., others:, :, :].flatten(-3, -2),
        contacts,
    )
    return torch.cat(rows, dim=-2).transpose(-1, -2).contiguous()


def _smooth_turn_to_front(tracks: Tensor, skeleton: Skeleton) -> Tensor:
    """Angle (..., T) that turns each frame's smoothed facing to +Z; the first is set to 0 (the format's way)."""
    left = _leftward(tracks, skeleton, hips_reversed=True)
    left = left[..., ::2, :] / length(left, dim=-2)
    turn = _turn_to_front(*gaussian_smooth(left, FACING_SMOOTHING_FRAMES).unbind(-2))
    turn[..., 0] = 0
    return turn


def _yaw_velocity(turn: Tensor, repair_turns: bool) -> Tensor:
    """Half the angle (..., T-1) by which the root's turn to +Z changes in a frame, within +-pi / 2."""
    change = (turn[..., 1:] - turn[..., :-1]) / 2
    turns = (change / math.pi).round()
    short = change.sub(turns, alpha=math.pi)
    # The format takes the arcsine of the change's sine, which is the long way's mirror image where it is past pi / 2.
    return short if repair_turns else torch.where(turns == 0, short, -short)


def joints_to_features(
    joints: Tensor, skeleton: Skeleton, bone_lengths: Tensor | None = None, repair_turns: bool = False
) -> Tensor:
    """Any motion (..., T, J, 3) to features (..., T-1, D): `canonicalize`, then `extract_features`."""
    _check(joints, skeleton)
    return _features(_canonical(_to_tracks(joints), skeleton, bone_lengths), skeleton, repair_turns)


def recover_root(features: Tensor) -> tuple[Tensor, Tensor]:
    """Root rotation (..., T, 4), turning the facing to +Z, and root position (..., T, 3) of features (..., T, D)."""
    path = _root_path(features)
    zero = torch.zeros_like(path.x)
    root = torch.stack((path.half_angle.cos(), zero, path.half_angle.sin(), zero), dim=-1)
    return root, torch.stack((path.x, features[..., 3], path.z), dim=-1)


class _RootPath(NamedTuple):
    """Half the angle that turns the facing to +Z, the whole one's cosine and sine, and the root's x and z; (..., T)."""

    half_angle: Tensor
    cos: Tensor
    sin: Tensor
    x: Tensor
    z: Tensor


def _root_path(features: Tensor) -> _RootPath:
    """The root's way over the floor: the sums of the velocities of features (..., T, D)."""
    half_velocity, x, z = F.pad(features[..., :-1, :3], (0, 0, 1, 0)).unbind(-1)
    half_angle = half_velocity.cumsum(-1)
    angle = half_angle + half_angle
    cos, sin = angle.cos(), angle.sin()
    x, z = _turned(x, z, cos, -sin)
    return _RootPath(half_angle, cos, sin, x.cumsum(-1), z.cumsum(-1))


def features_to_joints(features: Tensor) -> Tensor:
    """Joint positions (..., T, J, 3) of features (..., T, D) from the local positions ("recover from RIC").

    Raises:
        ValueError: D is not a dimension of the format.
    """
    layout = FeatureLayout.of_dim(features.shape[-1])
    _, cos, sin, path_x, path_z = (part.unsqueeze(-1) for part in _root_path(features))
    x, y, z = features[..., layout.positions].unflatten(-1, (layout.num_joints - 1, 3)).unbind(-1)
    # The root only turns about the vertical: a plane rotation, a fifth of the work of one by quaternions.
    turned_x = torch.addcmul(path_x, cos, x).addcmul_(sin, z, value=-1)
    turned_z = torch.addcmul(path_z, sin, x).addcmul_(cos, z)
    root = torch.stack((path_x, features[..., layout.root_height], path_z), dim=-1)
    return torch.cat((root, torch.stack((turned_x, y, turned_z), dim=-1)), dim=-2)


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
