"""Checks shared by all writers, so that a bad motion is named instead of written."""

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.kinematics.skeleton import SKELETONS, Skeleton


def skeleton_of(joints: np.ndarray) -> Skeleton:
    """Skeleton of joints (..., J, 3): HumanML3D's for 22, KIT-ML's for 21."""
    return SKELETONS[joints.shape[-2]]


def checked_joints(joints: np.ndarray, what: str = "motion") -> np.ndarray:
    """`joints` as a floating-point array (T, J, 3), if that is what they are.

    Args:
        joints: joint positions.
        what: name of the motion for the message.

    Raises:
        UserError: wrong shape, no frames, or a value that is not finite.
    """
    joints = np.asarray(joints)
    if joints.ndim != 3 or joints.shape[2] != 3 or joints.shape[1] not in SKELETONS or len(joints) == 0:
        raise UserError(f"{what}: expected joints of shape (frames >= 1, 22 or 21, 3), got {joints.shape}")
    if not np.issubdtype(joints.dtype, np.floating):
        joints = joints.astype(np.float32)
    if not np.isfinite(joints).all():
        frame, joint = np.argwhere(~np.isfinite(joints))[0][:2]
        name = skeleton_of(joints).joint_names[joint]
        raise UserError(f"{what}: joint {name} of frame {frame} is NaN or infinite; generate or load the motion again")
    return joints
