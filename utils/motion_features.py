"""Motion features of any `Motion`: its own where it has some, otherwise made from its joints."""

import itertools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import FeatureLayout, joints_to_features
from lamp.utils.kinematics.geometry import frames_between
from lamp.utils.kinematics.skeleton import Skeleton
from lamp.utils.motion import Motion


def motion_features(motion: Motion, skeleton: Skeleton) -> Tensor:
    """Features (T, D) at the skeleton's frame rate, not normalised.

    Joints are brought to the skeleton's bone lengths, if it has any, and T joints give T - 1 frames of features.

    Args:
        motion: with features, or joints as they are in the data (Y up).
        skeleton: of the data.

    Raises:
        UserError: it has other joints.
    """
    joints = torch.from_numpy(motion.joints)
    if joints.shape[1] != skeleton.num_joints:
        raise UserError(
            f"the motion has {joints.shape[1]} joints, these models know {skeleton.num_joints}; "
            "use models of that skeleton (--name, --dataset_name)"
        )
    at_rate = abs(motion.fps / skeleton.fps - 1) < 0.01
    if motion.features is not None and at_rate and motion.features.shape[1] == FeatureLayout(len(joints[0])).dim:
        return torch.from_numpy(motion.features).float()
    joints = joints if at_rate else _resample(joints, motion.fps, skeleton.fps)
    if len(joints) < 2:
        return torch.zeros(0, FeatureLayout(skeleton.num_joints).dim)
    lengths = None if skeleton.bone_lengths is None else torch.tensor(skeleton.bone_lengths)
    return joints_to_features(joints, skeleton, lengths, repair_turns=True)


@dataclass(frozen=True)
class FeatureReader:
    """What models read of motions; it needs no model, so that other processes can do it.

    Attributes:
        skeleton: of the models' data.
        unit: frames of a token.
        max_frames: that the models read of a motion; None for all.
    """

    skeleton: Skeleton
    unit: int
    max_frames: int | None = None

    def parts(self, motion: Motion) -> list[tuple[float, float, Motion]]:
        """Start and end in seconds of equal parts, none longer than `max_frames`, and the parts."""
        longest = len(motion) if self.max_frames is None else self.max_frames / self.skeleton.fps * motion.fps
        count = max(1, -(-len(motion) // int(longest)))
        edges = [len(motion) * k // count for k in range(count + 1)]
        features = motion.features
        return [
            (
                start / motion.fps,
                end / motion.fps,
                replace(
                    motion,
                    joints=motion.joints[start:end],
                    features=None if features is None else features[start:end],
                ),
            )
            for start, end in itertools.pairwise(edges)
        ]

    def is_cut(self, motion: Motion) -> bool:
        """Whether a motion is so long that only its beginning is read."""
        return self.max_frames is not None and (motion.seconds * self.skeleton.fps >= self.max_frames + 2 * self.unit)

    def features(self, motion: Motion) -> Tensor:
        """Features (T, D) of what is read of a motion, T a multiple of a token's frames.

        Raises:
            UserError: another skeleton, too short, or values that are not finite.
        """
        features = motion_features(motion, self.skeleton)
        frames = len(features) if self.max_frames is None else min(len(features), self.max_frames)
        frames = frames // self.unit * self.unit
        if not frames:
            raise UserError(f"the motion has too few frames ({len(motion)}); at least {self.unit + 1} are needed")
        features = features[:frames]
        if not features.isfinite().all():
            frame = int((~features.isfinite()).any(1).nonzero()[0])
            raise UserError(f"the motion's frame {frame} has a value that is not finite, or bones of no length")
        return features


def _resample(joints: Tensor, fps: float, wanted: float) -> Tensor:
    """Joints (T, J, 3) at another frame rate, linearly interpolated."""
    low, high, share = frames_between(len(joints), fps, wanted)
    return torch.lerp(joints[low], joints[high], share.float()[:, None, None])
