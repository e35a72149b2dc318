"""Motion features of any `Motion`: its own where it has some, otherwise made from its joints."""

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


def _resample(joints: Tensor, fps: float, wanted: float) -> Tensor:
    """Joints (T, J, 3) at another frame rate, linearly interpolated."""
    low, high, share = frames_between(len(joints), fps, wanted)
    return torch.lerp(joints[low], joints[high], share.float()[:, None, None])
