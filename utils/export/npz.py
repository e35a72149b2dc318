"""Motion archives: npz files with documented keys.

| key | shape | type | what |
| --- | --- | --- | --- |
| `joints` | (T, J, 3) | float32 | positions, Y up; metres for 22 joints, millimetres for KIT-ML's 21 |
| `features` | (T, D) | float32 | HumanML3D or KIT-ML features, not normalised; absent if unknown |
| `rotations` | (T, J, 4) | float32 | local rotations (w, x, y, z) of the skeleton below, which follows `joints` |
| `root` | (T, 3) | float32 | translation of the root, in the unit of `joints` |
| `offsets` | (J, 3) | float32 | rest pose (a T-pose that faces +Z): place of each joint in its parent's frame |
| `parents` | (J,) | int64 | parent of each joint, -1 for the root |
| `joint_names` | (J,) | str | names |
| `foot_contacts` | (T, 4) | bool | planted: left ankle, left toe, right ankle, right toe |
| `fps` | () | float64 | frames a second |
| `text` | () | str | the prompt |
| `seed` | () | int64 | of a motion that was generated; absent otherwise |
| `model` | () | str | the generator, name and digest of its weights; absent if unknown |
| `meta` | () | str | JSON object of anything else, `seed` and `model` once more |
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.export.fit import SkeletonFit
from lamp.utils.files import atomic_path
from lamp.utils.kinematics.foot_contact import FEET, detect_contacts, floor_height
from lamp.utils.reading import npz_members, numbers, reading

if TYPE_CHECKING:
    from lamp.utils.motion import Motion


_KEYS = ("joints", "features", "fps", "text", "meta")
RATES = (1.0, 1000.0)
"""Frames a second that a file may have; what is outside is a mistake, and would be resampled to no end."""


@dataclass(frozen=True)
class MotionArchive:
    """Content of a motion npz."""

    joints: np.ndarray
    features: np.ndarray | None = None
    fps: float = 20.0
    text: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def write(motion: "Motion", path: Path) -> None:
    """Write all that is known of a motion."""
    fit = motion.rotations()
    arrays: dict[str, Any] = {
        "joints": motion.joints.astype(np.float32),
        "fps": np.float64(motion.fps),
        "text": np.str_(motion.text),
        "meta": np.str_(json.dumps(motion.meta, ensure_ascii=False)),
        "rotations": fit.rotations.astype(np.float32),
        "root": fit.root.astype(np.float32),
        "offsets": fit.offsets.astype(np.float32),
        "parents": np.array(fit.plan.parents, dtype=np.int64),
        "joint_names": np.array(fit.plan.skeleton.joint_names),
        "foot_contacts": foot_contacts(fit, motion.fps),
    }
    seed, model = motion.meta.get("seed"), motion.meta.get("model")
    if isinstance(seed, int) and abs(seed) < 2**63:
        arrays["seed"] = np.int64(seed)
    if isinstance(model, str):
        arrays["model"] = np.str_(model)
    if motion.features is not None:
        arrays["features"] = motion.features.astype(np.float32)
    write_arrays(arrays, path)


def foot_contacts(fit: SkeletonFit, fps: float) -> np.ndarray:
    """Which foot joints are planted, (T, 4) bool: left ankle, left toe, right ankle, right toe."""
    roles = fit.plan.roles
    # As a body of 22 joints, all but the feet in the root, so that KIT-ML's is measured alike.
    joints = np.repeat(fit.joints[:, :1], 22, axis=1)
    joints[:, FEET] = fit.joints[:, [roles[f"{side}{part}"] for side in ("left", "right") for part in ("Foot", "Toes")]]
    joints *= fit.millimetres / 1000
    joints[..., 1] -= floor_height(joints, fps)
    return detect_contacts(joints, fps)


def write_arrays(arrays: Mapping[str, Any], path: str | Path) -> None:
    """Write arrays by their keys, compressed."""
    save: Any = np.savez_compressed  # NumPy's types do not allow for arrays by name
    with atomic_path(path) as aside, aside.open("wb") as file:
        save(file, **arrays)


def read_npz(path: str | Path) -> MotionArchive:
    """Read an archive; only `joints` is required.

    Raises:
        UserError: not an npz file, without `joints`, or with values of another type than the table above says.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; save the motion again")
    with reading(path, "motion archive"), zipfile.ZipFile(path) as archive:
        found = {name.removesuffix(".npy") for name in archive.namelist()}
        if "joints" not in found:
            raise UserError(_no_joints(path, found))
        arrays = npz_members(archive, path, _KEYS)
        return MotionArchive(
            joints=numbers(arrays["joints"], f"{path}: joints"),
            features=numbers(arrays["features"], f"{path}: features") if "features" in arrays else None,
            fps=_rate(arrays.get("fps"), path),
            text=str(arrays["text"]) if "text" in arrays else "",
            meta=_meta(arrays.get("meta"), path),
        )


def _no_joints(path: Path, keys: set[str]) -> str:
    """What to do with an archive of something else."""
    if "poses" in keys or {"global_orient", "body_pose"} & keys:
        return (
            f"{path} holds SMPL rotations (as AMASS), not positions; give joints (frames, 22, 3), which the program "
            "that made it, or lamp.prepare.build_humanml3d with the SMPL model (docs/humanml3d.md), computes"
        )
    names = ", ".join(sorted(keys)[:8])[:100]
    return f"{path} has no array 'joints' but {names or 'nothing'}; rename the array of positions (frames, 22, 3)"


def _rate(array: np.ndarray | None, path: Path) -> float:
    if array is None:
        return 20.0
    if array.size != 1:
        raise UserError(f"{path}: fps has shape {array.shape}; it must be one number")
    rate = float(numbers(array, f"{path}: fps").reshape(()))
    low, high = RATES
    if not low <= rate <= high:
        raise UserError(f"{path}: fps is {rate:g}; frames a second are {low:g} to {high:g}")
    return rate


def _meta(array: np.ndarray | None, path: Path) -> dict[str, Any]:
    if array is None:
        return {}
    meta = json.loads(str(array))
    if not isinstance(meta, dict):
        raise UserError(f"{path}: meta must be a JSON object")
    return meta
