"""The two skeletons of the field, HumanML3D's 22 SMPL joints and KIT-ML's 21 MMM joints (Guo et al. 2022)."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

# Drawing needs the skeletons without PyTorch, which takes longer to import than a video to draw.
if TYPE_CHECKING:
    from torch import Tensor

MAX_FRAMES = 196
"""Longest motion of the format, in frames (9.8 s): HumanML3D and KIT-ML cut there, and models know no longer ones."""
_AXES = {"0": (0, 0, 0), "+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0), "+z": (0, 0, 1)}


@dataclass(frozen=True)
class Skeleton:
    """A kinematic tree and the joint indices that the motion features need.

    Attributes:
        joint_names: names in order.
        chains: kinematic chains, each a path of joint indices; the first joint of a chain is in an earlier one or 0.
        bone_axes: direction of each joint's bone in the rest pose, one of `+x -x +y -y +z`, or `0` for the root.
        face_joints: right hip, left hip, right shoulder, left shoulder.
        left_foot, right_foot: ankle and toe.
        leg_joints: the two joints whose bone lengths give the scale of a body.
        mirror_pairs: (left, right) joints swapped by mirroring.
        contact_threshold: squared displacement a frame below which a foot joint is in contact.
        bone_lengths: of the target skeleton, in the data's unit; None where the user's data must give them.
        millimetres: millimetres in the data's unit.
    """

    name: str
    joint_names: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    bone_axes: tuple[str, ...]
    face_joints: tuple[int, int, int, int]
    left_foot: tuple[int, int]
    right_foot: tuple[int, int]
    leg_joints: tuple[int, int]
    mirror_pairs: tuple[tuple[int, int], ...]
    contact_threshold: float
    fps: float
    bone_lengths: tuple[float, ...] | None
    millimetres: float = 1000.0

    @property
    def num_joints(self) -> int:
        """Number of joints J."""
        return len(self.joint_names)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint, -1 for the root."""
        parents = [-1] * self.num_joints
        for chain in self.chains:
            for parent, child in itertools.pairwise(chain):
                parents[child] = parent
        return tuple(parents)

    @cached_property
    def rotation_parents(self) -> tuple[int, ...]:
        """Joint whose running rotation a bone's local rotation refers to: the one before it in its chain.

        It is 0 (the root) for the first bone of every chain, also of chains that start at the chest: the format's way.
        """
        parents = [0] * self.num_joints
        for chain in self.chains:
            for parent, child in itertools.pairwise(chain[1:]):
                parents[child] = parent
        return tuple(parents)

    @cached_property
    def depth_order(self) -> tuple[tuple[int, ...], ...]:
        """Joints grouped by depth in the tree, root first, so that a level can be computed at once."""
        depth = [0] * self.num_joints
        for chain in self.chains:
            for parent, child in itertools.pairwise(chain):
                depth[child] = depth[parent] + 1
        return tuple(tuple(j for j in range(self.num_joints) if depth[j] == d) for d in range(max(depth) + 1))

    @cached_property
    def mirror_order(self) -> tuple[int, ...]:
        """Index of each joint's mirror image."""
        order = list(range(self.num_joints))
        for left, right in self.mirror_pairs:
            order[left], order[right] = right, left
        return tuple(order)

    @cached_property
    def rest_axes(self) -> tuple[tuple[int, bool], ...]:
        """Axis (0, 1 or 2) of each joint's bone in the rest pose and whether it points to the negative side."""
        return tuple((max("xyz".find(axis[-1]), 0), axis[0] == "-") for axis in self.bone_axes)

    def rest_directions(self, like: "Tensor") -> "Tensor":
        """Unit bone directions (J, 3) of the rest pose with the type and device of `like`."""
        return like.new_tensor([_AXES[axis] for axis in self.bone_axes])

    def measure_bones(self, joints: "Tensor") -> "Tensor":
        """Bone lengths (..., J) of joint positions (..., J, 3); 0 for the root."""
        parents = [0, *self.parents[1:]]
        return (joints - joints[..., parents, :]).norm(dim=-1)


def _axes(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HUMANML3D = Skeleton(
    name="humanml3d",
    joint_names=(
        "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
        "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    ),
    chains=((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20)),
    bone_axes=_axes("0 +x -x +y -y -y +y -y -y +y +z +z +y +x -x +z -y -y -y -y -y -y"),
    face_joints=(2, 1, 17, 16),
    left_foot=(7, 10),
    right_foot=(8, 11),
    leg_joints=(5, 8),
    mirror_pairs=((1, 2), (4, 5), (7, 8), (10, 11), (13, 14), (16, 17), (18, 19), (20, 21)),
    contact_threshold=0.002,
    fps=20.0,
    # Bone lengths of the format's target skeleton (first frame of HumanML3D clip 000021), metres.
    bone_lengths=(
        0.0, 0.103074, 0.109883, 0.131568, 0.393623, 0.390188, 0.14319, 0.432433, 0.425643, 0.057365, 0.143382,
        0.149419, 0.21936, 0.137487, 0.143383, 0.103039, 0.131614, 0.122984, 0.25684, 0.263092, 0.266012, 0.269876,
    ),
)  # fmt: skip

KIT = Skeleton(
    name="kit",
    joint_names=(
        "root", "spine", "chest", "neck", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
        "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", "left_heel", "left_toe", "right_hip",
        "right_knee", "right_ankle", "right_heel", "right_toe",
    ),
    chains=((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10)),
    bone_axes=_axes("0 +y +y +y +y +x -y -y -x -y -y +x -y -y +z +z -x -y -y +z +z"),
    face_joints=(11, 16, 5, 8),
    left_foot=(19, 20),
    right_foot=(14, 15),
    leg_joints=(17, 18),
    mirror_pairs=((5, 8), (6, 9), (7, 10), (11, 16), (12, 17), (13, 18), (14, 19), (15, 20)),
    contact_threshold=0.05,
    fps=12.5,
    bone_lengths=None,
    millimetres=1.0,
)  # fmt: skip

SKELETONS = {skeleton.num_joints: skeleton for skeleton in (HUMANML3D, KIT)}
"""By number of joints."""
