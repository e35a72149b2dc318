"""What the formats of rotations need to know of the two skeletons: names, T-pose, hinges, roles."""

from dataclasses import dataclass
from functools import cached_property

from lamp.utils.kinematics.skeleton import HUMANML3D, KIT, Skeleton


@dataclass(frozen=True, eq=False)
class BodyPlan:
    """A skeleton as files of rotations have it.

    Attributes:
        skeleton: the joints and their tree.
        bones: joint, name in files, and name among VRM's humanoid bones ("" for none), depth first.
        rest: direction of the bone that ends at each joint in a T-pose. Spine, neck, collars and hips are as in a human
            body at rest, so that retargeting does not bend the character's.
        limbs: of each arm and leg the joints from shoulder or hip on, and the rest axis about which it flexes.
        spine: joints from the pelvis to the one that the arms hang on.
    """

    skeleton: Skeleton
    bones: tuple[tuple[int, str, str], ...]
    rest: dict[int, tuple[float, float, float]]
    limbs: tuple[tuple[tuple[int, ...], tuple[float, float, float]], ...]
    spine: tuple[int, ...]

    @property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint, -1 for the root."""
        return self.skeleton.parents

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Children of each joint."""
        count = self.skeleton.num_joints
        return tuple(tuple(child for child in range(count) if self.parents[child] == joint) for joint in range(count))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Joints in the depth-first order of the files."""
        return tuple(joint for joint, _, _ in self.bones)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name in files of each joint."""
        return tuple(name for _, name, _ in sorted(self.bones))

    @cached_property
    def roles(self) -> dict[str, int]:
        """Joints by VRM's name of the bone that they turn."""
        return {role: joint for joint, _, role in self.bones if role}


_ARM_AXES = ((0, -1, 0), (0, 1, 0))
_LEG_AXIS = (1, 0, 0)

HUMAN_PLAN = BodyPlan(
    HUMANML3D,
    bones=(
        (0, "Hips", "hips"),
        (1, "LeftUpLeg", "leftUpperLeg"), (4, "LeftLeg", "leftLowerLeg"), (7, "LeftFoot", "leftFoot"),
        (10, "LeftToe", "leftToes"),
        (2, "RightUpLeg", "rightUpperLeg"), (5, "RightLeg", "rightLowerLeg"), (8, "RightFoot", "rightFoot"),
        (11, "RightToe", "rightToes"),
        (3, "Spine", "spine"), (6, "Spine1", "chest"), (9, "Spine2", "upperChest"), (12, "Neck", "neck"),
        (15, "Head", "head"),
        (13, "LeftShoulder", "leftShoulder"), (16, "LeftArm", "leftUpperArm"), (18, "LeftForeArm", "leftLowerArm"),
        (20, "LeftHand", "leftHand"),
        (14, "RightShoulder", "rightShoulder"), (17, "RightArm", "rightUpperArm"),
        (19, "RightForeArm", "rightLowerArm"), (21, "RightHand", "rightHand"),
    ),
    rest={
        1: (0.60, -0.80, 0.0), 2: (-0.60, -0.80, 0.0), 3: (0.0, 1.0, -0.2), 4: (0, -1, 0), 5: (0, -1, 0), 6: (0, 1, 0),
        7: (0, -1, 0), 8: (0, -1, 0), 9: (0, 0.9, 0.43), 10: (0, -0.4, 0.92), 11: (0, -0.4, 0.92), 12: (0, 1.0, -0.2),
        13: (0.55, 0.80, -0.2), 14: (-0.55, 0.80, -0.2), 15: (0, 0.8, 0.6), 16: (0.95, 0.3, -0.1),
        17: (-0.95, 0.3, -0.1), 18: (1, 0, 0), 19: (-1, 0, 0), 20: (1, 0, 0), 21: (-1, 0, 0),
    },
    limbs=(
        ((1, 4, 7, 10), _LEG_AXIS), ((2, 5, 8, 11), _LEG_AXIS), ((16, 18, 20), _ARM_AXES[0]),
        ((17, 19, 21), _ARM_AXES[1]),
    ),
    spine=(0, 3, 6, 9),
)  # fmt: skip

KIT_PLAN = BodyPlan(
    KIT,
    bones=(
        (0, "Hips", "hips"),
        (11, "LeftUpLeg", "leftUpperLeg"), (12, "LeftLeg", "leftLowerLeg"), (13, "LeftFoot", "leftFoot"),
        (14, "LeftToe", "leftToes"), (15, "LeftToeTip", ""),
        (16, "RightUpLeg", "rightUpperLeg"), (17, "RightLeg", "rightLowerLeg"), (18, "RightFoot", "rightFoot"),
        (19, "RightToe", "rightToes"), (20, "RightToeTip", ""),
        (1, "Spine", "spine"), (2, "Spine1", "chest"), (3, "Spine2", "upperChest"), (4, "Head", "head"),
        (5, "LeftArm", "leftUpperArm"), (6, "LeftForeArm", "leftLowerArm"), (7, "LeftHand", "leftHand"),
        (8, "RightArm", "rightUpperArm"), (9, "RightForeArm", "rightLowerArm"), (10, "RightHand", "rightHand"),
    ),
    rest={
        1: (0, 1, -0.1), 2: (0, 1, 0), 3: (0, 1, 0.1), 4: (0, 0.95, 0.3), 5: (1, 0, -0.1), 6: (1, 0, 0), 7: (1, 0, 0),
        8: (-1, 0, -0.1), 9: (-1, 0, 0), 10: (-1, 0, 0), 11: (0.75, -0.65, 0), 12: (0, -1, 0), 13: (0, -1, 0),
        14: (0, -0.35, 0.93), 15: (0, -0.1, 0.99), 16: (-0.75, -0.65, 0), 17: (0, -1, 0), 18: (0, -1, 0),
        19: (0, -0.35, 0.93), 20: (0, -0.1, 0.99),
    },
    limbs=(
        ((11, 12, 13, 14), _LEG_AXIS), ((16, 17, 18, 19), _LEG_AXIS), ((5, 6, 7), _ARM_AXES[0]),
        ((8, 9, 10), _ARM_AXES[1]),
    ),
    spine=(0, 1, 2, 3),
)  # fmt: skip

PLANS = {plan.skeleton.num_joints: plan for plan in (HUMAN_PLAN, KIT_PLAN)}
"""By number of joints."""
