"""CMU clips as exponential maps: the files of Li et al. 2018 (Convolutional Sequence to Sequence Model ...)."""

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamp.prepare.mini.more.frames import blended, check_columns, pose_chain, resampled
from lamp.utils.kinematics.geometry import quat_identity

_LEAD_IN = 10
"""Lines at the start, of which the first is the rest pose, that are left out."""
_METRES = 0.0254 / 0.45
"""Metres of a unit of the CMU database."""
_NECK, _SHOULDERS = 16, (21, 30)
_COLLARS, _TO_SHOULDER = (13, 14), 0.3
"""Our collars, which in these files lie on the neck, are put this far on the way from it to the shoulders."""


@lru_cache
def _skeleton() -> dict[str, Any]:
    return json.loads(files(__package__).joinpath("cmu_skeleton.json").read_text(encoding="utf-8"))


def read_exponential_maps(path: Path) -> Tensor:
    """Joints (T, 22, 3) of a .txt file of exponential maps, metres, Y up, 20 frames a second.

    A line has 117 numbers: root position, then an exponential map of each of 38 joints. The files follow the
    convention of row vectors: a rotation is the inverse of its exponential map's.

    Raises:
        UserError: the table has another shape, or values that are not finite.
    """
    skeleton = _skeleton()
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2))[_LEAD_IN:]
    check_columns(table, 3 + 3 * len(skeleton["parent"]), str(path))
    turns = _inverse_exponential(table[:, 3:].unflatten(1, (-1, 3)))
    offsets = torch.tensor(skeleton["offset"], dtype=torch.float64)
    places, _ = pose_chain(skeleton["parent"], offsets, turns, (table[:, :3], turns[:, 0]))
    joints = places[:, skeleton["joints"]]
    for collar, shoulder in zip(_COLLARS, _SHOULDERS):
        joints[:, collar] = blended(places, _NECK, shoulder, _TO_SHOULDER)
    return resampled(joints * _METRES, skeleton["fps"])


def _inverse_exponential(maps: Tensor) -> Tensor:
    """Unit quaternions (..., 4) of the inverse rotations of exponential maps (..., 3)."""
    angle = maps.norm(dim=-1, keepdim=True)
    axis = maps / angle.clamp_min(1e-12)
    turned = torch.cat(((angle / 2).cos(), -(angle / 2).sin() * axis), dim=-1)
    return torch.where(angle > 0, turned, quat_identity(like=maps))
