"""The stage of the stick-figure video: floor, the root's path, shadow and figure, drawn with Pillow and NumPy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lamp.utils.export.checks import checked_joints, skeleton_of
from lamp.utils.export.figure import Figure
from lamp.utils.export.floor import Floor, camera_path
from lamp.utils.export.planes import RGB, Box, Color, ColorSpace, Planes, aligned_boxes, is_empty
from lamp.utils.kinematics.skeleton import KIT, Skeleton

SHADOW: Color = (128, 136, 152)
PATH: Color = (146, 116, 196)

TURN = np.deg2rad(35.0)  # from where the body faces first to where the camera stands
SLANT = (0.35, -0.2)  # a point's shadow moves by this (x, z) for each metre of height
FRAMES_AT_ONCE = 64  # what NumPy works out for all of them together fits in a few MB


@dataclass(frozen=True)
class Style:
    """Look of the images.

    Attributes:
        size: width and height in pixels, made even.
        radius: of a limb, in metres.
        supersample: the figure is drawn this many times larger and averaged down.
    """

    size: tuple[int, int] = (480, 480)
    radius: float = 0.03
    supersample: int = 2


class Scene:
    """A motion on the stage; `frames` draws its images.

    The camera stands still where the whole motion fits in, and otherwise follows the body smoothly.

    Args:
        joints: (T, J, 3), J 22 in metres or 21 in KIT-ML's millimetres.
        fps: frames a second.
        style: sizes.
        space: colours of the images.
    """

    def __init__(
        self, joints: np.ndarray, fps: float = 20.0, style: Style | None = None, space: ColorSpace = RGB
    ) -> None:
        joints = checked_joints(joints)
        self.style = style or Style()
        self.width, self.height = (max(16, int(side) // 2 * 2) for side in self.style.size)
        skeleton = skeleton_of(joints)
        self.joints = _seen_from_camera(joints * (0.001 if skeleton is KIT else 1.0), skeleton)
        self._targets, distance = camera_path(self.joints, fps, self.width / self.height)
        self.floor = Floor(self.width, self.height, distance, self._targets[0, 1], space)
        self.figure = Figure(skeleton, self.floor, self.style.radius, self.style.supersample)
        self._chains = [list(chain) for chain in skeleton.chains]
        self._root_path = self.joints[:, 0] * [1, 0, 1]
        self._still = bool((self._targets == self._targets[0]).all())
        self._path_mask = Image.new("L", (self.width, self.height))
        # Where the camera stands still: the bare floor, and the floor with the path up to the frame `_marked`.
        self._bare: Planes | None = None
        self._stage: Planes | None = None
        self._marked = 0

    def frames(self, indices: Sequence[int]) -> Iterator[Planes]:
        """Images of the frames `indices`, in this order."""
        for start in range(0, len(indices), FRAMES_AT_ONCE):
            chunk = np.asarray(indices[start : start + FRAMES_AT_ONCE])
            targets, joints = self._targets[chunk], self.joints[chunk]
            stages = self._still_stages(chunk) if self._still else self._moving_stages(chunk)
            shadows = self._shadows(joints, targets)
            for planes, shadow, pose in zip(stages, shadows, self.figure.poses(joints - targets[:, None])):
                if shadow is not None:
                    planes.blend(SHADOW, *shadow)
                self.figure.draw(planes, pose)
                yield planes

    def _moving_stages(self, indices: np.ndarray) -> Iterator[Planes]:
        """The floor with the root's path up to each frame, from a camera that moves."""
        for index, stage in zip(indices.tolist(), self.floor.stages(self._targets[indices])):
            pixels, depth = self.floor.project(self._root_path[: index + 1] - self._targets[index])
            box = self._mark_path(pixels[depth > 0.5])
            if box is not None:
                stage.blend(PATH, box, self._path_mask.crop(box))
                self._path_mask.paste(0, box)
            yield stage

    def _still_stages(self, indices: np.ndarray) -> Iterator[Planes]:
        """The same from a camera that stands still: a frame adds its part of the path to the stage before it."""
        pixels = self.floor.project(self._root_path - self._targets[0])[0]
        for index in indices.tolist():
            if self._stage is None or self._marked > index:
                (self._bare,) = self.floor.stages(self._targets[:1])
                self._stage = self._bare.copy()
                self._path_mask.paste(0, (0, 0, self.width, self.height))
                self._marked = 0
            box = self._mark_path(pixels[self._marked : index + 1])
            self._marked = index
            if box is not None:
                # Onto the bare floor: where a coarse pixel holds parts of two segments, it must not be blended twice.
                self._stage.restore(self._bare, box)
                self._stage.blend(PATH, box, self._path_mask.crop(box))
            yield self._stage.copy()

    def _mark_path(self, pixels: np.ndarray) -> Box | None:
        """Draw a line through (N, 2) on the path's mask; the box that holds it, None where there is nothing."""
        if len(pixels) < 2:
            return None
        width = max(1, round(0.02 * self.floor.focal / self.floor.distance))
        ImageDraw.Draw(self._path_mask).line(pixels.astype(np.float32).ravel(), fill=255, width=width)
        box = aligned_boxes(pixels.min(0) - width, pixels.max(0) + width, (self.width, self.height)).tolist()
        return None if is_empty(box) else tuple(box)

    def _shadows(self, joints: np.ndarray, targets: np.ndarray) -> Iterator[tuple[Box, Image.Image] | None]:
        """Where the shadow of each frame lies, and how strong it is there; None where it is out of the picture.

        Args:
            joints: (F, J, 3).
            targets: (F, 3) of the camera.
        """
        ground = joints * [1, 0, 1] + np.maximum(joints[..., 1:2], 0) * [SLANT[0], 0, SLANT[1]]
        pixels, _ = self.floor.project(ground - targets[:, None])
        boxes = aligned_boxes(pixels.min(1) - 12, pixels.max(1) + 12, (self.width, self.height))
        # What gets blurred needs half the resolution only.
        pixels = ((pixels - boxes[:, None, :2]) / 2).astype(np.float32)
        lines = [pixels[:, chain].reshape(len(pixels), -1) for chain in self._chains]
        width = max(1, round(self.style.radius * self.floor.focal / self.floor.distance))
        for box, *frame_lines in zip(boxes.tolist(), *lines):
            if is_empty(box):
                yield None
                continue
            size = (box[2] - box[0], box[3] - box[1])
            mask = Image.new("L", (size[0] // 2, size[1] // 2))
            draw = ImageDraw.Draw(mask)
            for line in frame_lines:
                draw.line(line, fill=170, width=width)
            yield tuple(box), mask.filter(ImageFilter.BoxBlur(1.5)).resize(size, Image.Resampling.NEAREST)


def _seen_from_camera(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The motion turned about Y so that its first facing is `TURN` off the camera's axis."""
    right_hip, left_hip = joints[0, skeleton.face_joints[0]], joints[0, skeleton.face_joints[1]]
    across = left_hip - right_hip
    # A body whose left is along +x faces +z, towards the camera.
    angle = np.arctan2(across[2], across[0]) - TURN
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(joints.astype(np.float64), -1, 0)
    return np.stack((cos * x + sin * z, y, cos * z - sin * x), axis=-1)
