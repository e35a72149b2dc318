"""A few validation motions as a model in training makes them, always the same ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor, nn

from lamp.data.loaders import Stats, evaluation_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec
from lamp.options.common import AnimationOptions
from lamp.utils.export.scene import Style
from lamp.utils.export.video import render_frames, write_mp4
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from lamp.utils.viewer.page import save_page, viewer_page

PAGE = "motions.html"
POSES = 8
SIDE = 160
"""Pixels of a pose in TensorBoard's image."""

Model = TypeVar("Model", bound=nn.Module, contravariant=True)
# (model, batch with features as in the data, a seed for each motion) to features (B, T, D) as in the data.
Make = Callable[[Model, TextMotionBatch, list[int]], Tensor]


class Animations(Generic[Model]):
    """Shows made motions beside those of the data; see `lamp.utils.run.runs.Animation`.

    Args:
        options: how often, how many, and the seed.
        spec: data set, of whose validation split motions are taken, spread evenly over it.
        make: makes a motion for each of the data's.
        made: what their titles call them.
    """

    def __init__(self, options: AnimationOptions, spec: DatasetSpec, make: Make[Model], made: str) -> None:
        self.every, self._make, self._made, self._fps = options.animate_every_e, make, made, spec.fps
        dataset = evaluation_loader(spec, "val", batch_size=1, stats=Stats.plain(spec.feature_dim)).dataset
        chosen = np.linspace(0, len(dataset) - 1, min(options.animate_motions, len(dataset))).round().astype(int)
        self._batch: TextMotionBatch = dataset.__getitems__(chosen.tolist())
        self._seeds = [options.seed + i for i in range(len(chosen))]
        self._real = self._motions(self._batch.motion)

    def __call__(self, model: Model, folder: Path, heading: str) -> np.ndarray:
        """Write `motions.html` with pairs of motions and `motion_<number>.mp4` of each that was made.

        Returns:
            Image (H, W, 3) uint8: a row of poses of each motion, that of the data above the one that was made.

        Raises:
            UserError: what was made is not finite.
        """
        made = self._motions(self._make(model, self._batch, self._seeds).cpu())
        pairs = list(zip(self._real, made))
        shown = [
            (motion, f"{kind}: {motion.text}")
            for pair in pairs
            for motion, kind in zip(pair, ("data", self._made), strict=True)
        ]
        save_page(viewer_page(shown, heading), folder / PAGE)
        for number, motion in enumerate(made, start=1):
            write_mp4(motion.joints, folder / f"motion_{number}.mp4", motion.fps, motion.text)
        return np.concatenate([_poses(motion) for pair in pairs for motion in pair])

    def _motions(self, features: Tensor) -> list[Motion]:
        joints = features_to_joints(features)
        return [
            Motion(joints[i, :frames].numpy(), fps=self._fps, text=caption)
            for i, (frames, caption) in enumerate(zip(self._batch.lengths.tolist(), self._batch.captions))
        ]


def _poses(motion: Motion) -> np.ndarray:
    """A row (SIDE, POSES * SIDE, 3) of poses, spread evenly over a motion."""
    frames = np.linspace(0, len(motion) - 1, POSES).round().astype(int).tolist()
    images = render_frames(motion.joints, frames, motion.fps, style=Style((SIDE, SIDE)))
    return np.concatenate([np.asarray(image) for image in images], axis=1)
