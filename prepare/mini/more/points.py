"""Sources whose files hold positions: ACCAD (BVH), SkillMimic (.pt), box climbing (.npy)."""

import io
from pathlib import Path

import torch
from torch import Tensor

from lamp.prepare.mini.more.frames import blended, check_columns, resampled, y_up
from lamp.utils.capture.checks import find_unit
from lamp.utils.capture.joints import read_joints
from lamp.utils.errors import UserError
from lamp.utils.reading import read_npy

_SKILLMIMIC_FPS, _SKILLMIMIC_COLUMNS, _SKILLMIMIC_POINTS = 60, 337, slice(165, 324)
# Of the 53 joints, which are SMPL-X's of body and hands: pelvis, left leg, right leg, four of the trunk, neck, head,
# left arm and fingers, right arm and fingers.
_SKILLMIMIC_JOINTS = (0, 1, 5, 9, 2, 6, 10, 3, 7, 11, 4, 8, 13, 15, 34, 14, 16, 35, 17, 36, 18, 37)
_BOX_FPS, _BOX_POINTS = 120, 53
# Pelvis, spine, chest, neck, head, left arm and fingers, right arm and fingers, left leg, right leg; spine2, which
# they lack, is half way between spine (1) and chest (2).
_BOX_JOINTS = (0, 43, 47, 1, 44, 48, 2, 45, 49, 2, 46, 50, 3, 5, 24, 4, 6, 25, 7, 26, 8, 27)
_SPINE2 = 6


def read_accad(path: Path) -> Tensor:
    """Joints (T, 22, 3) of an ACCAD .bvh file, metres, Y up, 20 frames a second.

    Raises:
        UserError: see `read_joints`.
    """
    joints = read_joints(path, up="+y").joints
    return joints * find_unit(joints)[0]


def read_skillmimic(path: Path) -> Tensor:
    """Joints (T, 22, 3) of a SkillMimic .pt file, metres, Y up, 20 frames a second.

    Nothing but tensors is unpickled.

    Raises:
        UserError: the tensor has another shape, or values that are not finite.
        Exception: what torch says of a damaged file.
    """
    table = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    if not isinstance(table, Tensor):
        raise UserError(f"{path} holds no tensor; take the .pt files of skillmimic/data/motions")
    check_columns(table, _SKILLMIMIC_COLUMNS, str(path))
    points = table[:, _SKILLMIMIC_POINTS].double().unflatten(1, (-1, 3))
    return resampled(y_up(points[:, list(_SKILLMIMIC_JOINTS)]), _SKILLMIMIC_FPS)


def read_box_climbing(path: Path) -> Tensor:
    """Joints (T, 22, 3) of a box climbing .npy file, metres, Y up, 20 frames a second.

    Raises:
        UserError: the array has another shape, or values that are not finite.
    """
    points = torch.from_numpy(read_npy(path)).double()
    if points.ndim != 3 or points.shape[1:] != (_BOX_POINTS, 3):
        raise UserError(f"{path}: expected (T, {_BOX_POINTS}, 3) positions, got {tuple(points.shape)}")
    check_columns(points.flatten(1), 3 * _BOX_POINTS, str(path))
    joints = points[:, list(_BOX_JOINTS)]
    joints[:, _SPINE2] = blended(points, 1, 2, 0.5)
    return resampled(y_up(joints), _BOX_FPS)
