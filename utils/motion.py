"""`Motion`: joint positions with their frame rate and text, saved and loaded by file suffix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamp.utils.errors import UserError, naming
from lamp.utils.export import WRITERS, format_of, writer_of, writing
from lamp.utils.export.checks import checked_joints, skeleton_of
from lamp.utils.export.fit import SkeletonFit, fit_skeleton, fit_skeletons
from lamp.utils.export.layouts import body_joints
from lamp.utils.export.npz import RATES, read_npz
from lamp.utils.files import shown
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.foot_contact import clean_feet
from lamp.utils.reading import is_finite, numbers, read_npy, reading


@dataclass(frozen=True)
class Motion:
    """A human motion.

    Attributes:
        joints: (T, J, 3) float32 positions, Y up; metres for the 22 joints of HumanML3D.
        features: (T, D) float32 motion features, not normalised, if known.
        fps: frames a second.
        text: the prompt or caption.
        meta: anything else that JSON can hold, for instance the seed.
        fit: the rotations that give these joints, if known; dropped where the joints are others.

    Raises:
        UserError: shapes do not fit, or a joint is NaN or infinite.
    """

    joints: np.ndarray
    features: np.ndarray | None = None
    fps: float = 20.0
    text: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    fit: SkeletonFit | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        # As it is kept: a large float64 is infinite in float32.
        with np.errstate(over="ignore"):
            joints = np.asarray(self.joints).astype(np.float32)
        joints = checked_joints(joints, what=f"motion {shown(self.text)}" if self.text else "motion")
        object.__setattr__(self, "joints", joints)
        if self.fit is not None and not np.array_equal(self.fit.joints.astype(np.float32), self.joints):
            object.__setattr__(self, "fit", None)
        if not (self.fps > 0 and is_finite(self.fps)):
            raise UserError(f"fps must be positive, got {self.fps}")
        if self.features is not None:
            features = np.asarray(self.features, dtype=np.float32)
            if features.ndim != 2 or len(features) != len(joints):
                raise UserError(f"features {features.shape} do not go with {len(joints)} frames of joints")
            object.__setattr__(self, "features", features)

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self) / self.fps

    def rotations(self) -> SkeletonFit:
        """The motion as rotations of a rigid skeleton, which follows it within a few millimetres."""
        return self._rotations

    @cached_property
    def _rotations(self) -> SkeletonFit:
        return self.fit or fit_skeleton(self.joints)

    def with_constant_bones(self) -> "Motion":
        """The motion as files of rotations play it: bone lengths constant, within a few millimetres of the original.

        Saved from this, npy and bvh agree. Features are dropped, since they describe the original.
        """
        return self._with_fit(self.rotations())

    def with_foot_cleanup(self) -> "Motion":
        """Constant bones, and feet that stand still on the floor y = 0 while planted; features are dropped."""
        joints = clean_feet(self.with_constant_bones().joints, self.fps)
        return replace(self, joints=joints, features=None)

    def at_rate(self, fps: float) -> "Motion":
        """The motion at another frame rate; rotations are interpolated, not positions, and features are dropped.

        Raises:
            UserError: a rate that cannot be.
        """
        if not RATES[0] <= fps <= RATES[1]:
            raise UserError(f"{fps:g} frames a second; give {RATES[0]:g} to {RATES[1]:g}")
        if fps == self.fps:
            return self
        return replace(self._with_fit(self.rotations().resampled(self.fps, fps)), fps=fps)

    def in_place(self) -> "Motion":
        """The motion without its travel: the root stays above the origin, heights and turns are kept."""
        fit = self.rotations()
        return self._with_fit(fit.with_root(fit.root * [0, 1, 0]))

    def _with_fit(self, fit: SkeletonFit) -> "Motion":
        return replace(self, joints=fit.joints, features=None, fit=fit)

    def save(self, path: str | Path) -> Path:
        """Write a file whose kind the suffix names, one of `WRITERS`: .npy (joints), .npz (everything), .bvh, ...

        The file is written aside and renamed, so it is whole or not there.

        Raises:
            UserError: unknown suffix, or a place that cannot be written to.
        """
        path = Path(path)
        suffix = format_of(path.name)
        if suffix is None or path.name.lower() == suffix:
            raise UserError(f"cannot save a motion as {path.name}: use one of {', '.join(WRITERS)}")
        with writing(path):
            writer_of(suffix)(self, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Motion":
        """Read .npz as written by `save`, or .npy with joints (T, 22 or 21, 3) or features (T, 263 or 251).

        Other layouts of the same joints are read too, see `lamp.utils.export.layouts.body_joints`.

        Raises:
            UserError: no such file, another format, or arrays of other shapes.
        """
        path = Path(path)
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise UserError(f"cannot load a motion from {path.name}: use one of {', '.join(_READERS)}")
        with naming(path), reading(path, f"{path.suffix[1:].lower()} motion"):
            return reader(path)


def with_constant_bones(motions: Sequence[Motion]) -> list[Motion]:
    """`Motion.with_constant_bones` of each of some motions, the same bits in a fraction of the time of one by one."""
    fits = iter(fit_skeletons([motion.joints for motion in motions if motion.fit is None]))
    return [motion._with_fit(motion.fit or next(fits)) for motion in motions]


def _load_npy(path: Path) -> Motion:
    array = numbers(read_npy(path), str(path))
    features = None
    if array.ndim == 2 and array.shape[1] in (263, 251):
        features = array.astype(np.float32)
        array = features_to_joints(torch.from_numpy(features)).numpy()
    joints = body_joints(array, str(path))
    return Motion(joints, features, fps=skeleton_of(joints).fps, meta={"source": path.name})


def _load_npz(path: Path) -> Motion:
    archive = read_npz(path)
    return Motion(body_joints(archive.joints, str(path)), archive.features, archive.fps, archive.text, archive.meta)


_READERS: dict[str, Callable[[Path], Motion]] = {".npy": _load_npy, ".npz": _load_npz}
