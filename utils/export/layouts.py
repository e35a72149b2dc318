"""The layouts in which other programs save joint positions, brought to (T, 22 or 21, 3)."""

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.export.checks import checked_joints
from lamp.utils.kinematics.skeleton import HUMANML3D, SKELETONS

# SMPL's 24 joints, SMPL-H's 52 and SMPL-X's 55 begin with the 22 of the format; hands, jaw and eyes follow.
_SMPL_BODIES = (24, 52, 55)
# Bones of a body keep their lengths: greatest spread of a leg bone over the frames, as a part of its mean length.
_BONE_SPREAD = 0.25


def body_joints(array: np.ndarray, what: str) -> np.ndarray:
    """Joint positions (T, J, 3) of an array in any usual layout.

    Read are (T, J, 3), J x 3 numbers a frame, (J, 3, T) as MDM has it, a leading 1 before any of these, and the 24, 52
    or 55 joints of SMPL's bodies, of which the first 22 are kept. Where the layout could be something else (rotations
    have 66 numbers a frame too), bones must keep their lengths.

    Args:
        array: as it stands in a file.
        what: name of the file for messages.

    Raises:
        UserError: no such layout, or no positions.
    """
    joints, counts = array, (*SKELETONS, *_SMPL_BODIES)
    one_frame = [(count, 3) for count in counts]
    while joints.ndim > 2 and len(joints) == 1 and joints.shape[1:] not in one_frame:
        joints = joints[0]
    if joints.ndim == 4:
        raise UserError(f"{what} holds {len(joints)} motions, shape {joints.shape}; save each to a file of its own")
    if joints.ndim == 3 and joints.shape[1] == 3 and joints.shape[0] in counts:
        joints = joints.transpose(2, 0, 1)
    if joints.ndim == 2 and joints.shape[1] in [3 * count for count in counts]:
        joints = joints.reshape(len(joints), -1, 3)
    if joints.ndim == 3 and joints.shape[1:] in [(count, 3) for count in _SMPL_BODIES]:
        joints = joints[:, : HUMANML3D.num_joints]
    joints = checked_joints(joints, what=what)
    if joints.shape != array.shape and not _bones_keep_lengths(joints):
        raise UserError(
            f"{what}, shape {array.shape}, is no row of joint positions, bones change their lengths (SMPL's rotations "
            "look like this); save positions (frames, 22, 3)"
        )
    return joints


def _bones_keep_lengths(joints: np.ndarray) -> bool:
    """Whether a thigh and a shin of a motion (T, J, 3) are as long in all frames, and longer than nothing."""
    skeleton = SKELETONS[joints.shape[1]]
    legs = list(skeleton.leg_joints)
    lengths = np.linalg.norm(joints[:, legs] - joints[:, [skeleton.parents[joint] for joint in legs]], axis=-1)
    return bool((lengths.std(0) <= _BONE_SPREAD * lengths.mean(0)).all() and (lengths.mean(0) > 0).all())
