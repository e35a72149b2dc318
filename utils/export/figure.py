"""The figure of the stick-figure video: limbs as capsules in perspective, the farthest first."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lamp.utils.export.floor import SKY, Floor
from lamp.utils.export.planes import ALIGN, Box, Color, Planes, aligned_boxes, is_empty
from lamp.utils.kinematics.skeleton import Skeleton

LEFT: Color = (52, 106, 210)
RIGHT: Color = (216, 62, 52)
SPINE: Color = (84, 88, 104)
INK: Color = (30, 34, 46)

# The figure is averaged down in strips, since a box around all of it is mostly empty; so many pixels of the image's
# height make one more of them.
BAND = 120
CLEAR = (0, 0, 0, 0)


@dataclass(frozen=True)
class Pose:
    """What is to be drawn of one frame, in the order of drawing; pixels are those of the supersampled canvas.

    Attributes:
        outlines: (polygons, 2N), x, y, x, y, ..., for each limb's edge and for its inside.
        fills: their colours, with full coverage.
        balls: the head's ellipses, by the index of the polygon that each comes after.
        bands: boxes of the image that hold all of it.
    """

    outlines: np.ndarray
    fills: list[tuple[int, ...]]
    balls: dict[int, list[float]]
    bands: list[Box]


class Figure:
    """Draws the figure.

    Args:
        skeleton: whose bones are drawn.
        floor: the camera.
        radius: of a limb, in metres.
        supersample: the figure is drawn this many times larger and averaged down.
    """

    def __init__(self, skeleton: Skeleton, floor: Floor, radius: float, supersample: int) -> None:
        self.floor = floor
        self.radius = radius
        self.supersample = supersample
        self.ends = np.array([(skeleton.parents[j], j) for j in range(1, skeleton.num_joints)])
        self.head = skeleton.joint_names.index("head")
        self._head_bone = self.ends[:, 1].tolist().index(self.head)
        self._colors = np.stack([floor.space.of(_color(name)) for name in skeleton.joint_names[1:]])
        self._bands_count = max(1, round(floor.height / BAND))
        # Transparent where nothing is drawn; the mode's colours are times their coverage, so they can be averaged.
        self.canvas = Image.new("RGBa", (floor.width * supersample, floor.height * supersample), CLEAR)

    def poses(self, points: np.ndarray) -> Iterator[Pose]:
        """Drawing instructions for points (F, J, 3) relative to the camera's target."""
        pixels, depth = self.floor.project(points)
        radius = self.floor.focal / depth * self.radius
        ball_radius = 3.4 * radius[:, self.head]
        ball = pixels[:, self.head] - np.stack((np.zeros(len(points)), 1.6 * radius[:, self.head]), axis=-1)
        bands = self._bands(pixels, radius, ball, ball_radius)

        middle = depth[:, self.ends].mean(2)
        fade = np.minimum(0.4 * (middle - middle.min(1, keepdims=True)), 0.4)[..., None]
        fills = self._colors + (self.floor.space.of(SKY) - self._colors) * fade
        edges = fills + (self.floor.space.of(INK) - fills) * 0.6
        colors = np.stack((edges, fills), axis=2)
        colors = np.round(np.concatenate((colors, np.full((*colors.shape[:3], 1), 255)), axis=-1)).astype(int)
        factor = self.supersample
        outlines = _capsules(factor * pixels[:, self.ends], factor * radius[:, self.ends], (factor, 0))
        # Pillow reads floats of 32 bits as they are; a list would be of 1500 Python objects a frame.
        outlines = outlines.astype(np.float32)

        order = np.argsort(-middle, axis=1, kind="stable")
        colors, outlines = (np.take_along_axis(v, order[..., None, None], axis=1) for v in (colors, outlines))
        head_at = np.argmax(order == self._head_bone, axis=1)
        centre, sizes = factor * ball[:, None], (factor * ball_radius[:, None] + (factor, 0))[..., None]
        balls = np.concatenate((centre - sizes, centre + sizes), axis=-1)
        for frame in range(len(points)):
            first = 2 * int(head_at[frame])
            yield Pose(
                outlines=outlines[frame].reshape(2 * len(self.ends), -1),
                fills=list(map(tuple, colors[frame].reshape(2 * len(self.ends), -1).tolist())),
                balls={first + layer: box for layer, box in enumerate(balls[frame].tolist())},
                bands=[tuple(band) for band in bands[frame].tolist() if not is_empty(band)],
            )

    def draw(self, planes: Planes, pose: Pose) -> None:
        """Draw one pose over an image."""
        draw = ImageDraw.Draw(self.canvas)
        for index, (outline, fill) in enumerate(zip(pose.outlines, pose.fills)):
            draw.polygon(outline, fill=fill)
            if index in pose.balls:
                draw.ellipse(pose.balls[index], fill=fill)
        for band in pose.bands:
            enlarged = tuple(self.supersample * side for side in band)
            planes.lay(self.canvas.reduce(self.supersample, enlarged), band)
            self.canvas.paste(CLEAR, enlarged)

    def _bands(self, pixels: np.ndarray, radius: np.ndarray, ball: np.ndarray, ball_radius: np.ndarray) -> np.ndarray:
        """Aligned boxes (F, N, 4), one below the other, that hold all limbs; empty ones where there are none.

        Args:
            pixels: (F, J, 2) of the joints.
            radius: (F, J) of the limbs there.
            ball: (F, 2), the head's middle.
            ball_radius: (F,) of the head.
        """
        # The head is a limb of no length here. Rounding and the drawn edge stay within three pixels.
        starts = np.concatenate((pixels[:, self.ends[:, 0]], ball[:, None]), axis=1)
        stops = np.concatenate((pixels[:, self.ends[:, 1]], ball[:, None]), axis=1)
        around = np.concatenate((radius[:, self.ends].max(2), ball_radius[:, None]), axis=1) + 3
        low_y = np.minimum(starts[..., 1], stops[..., 1]) - around
        high_y = np.maximum(starts[..., 1], stops[..., 1]) + around
        parts = np.linspace(0, 1, self._bands_count + 1)
        top, bottom = low_y.min(1, keepdims=True), high_y.max(1, keepdims=True)
        rows = np.clip(np.round((top + (bottom - top) * parts) / ALIGN) * ALIGN, 0, self.floor.height)
        # The part of each limb's axis from which a band can be reached, as fractions of the axis; (F, N, limbs).
        first_row, last_row = rows[:, :-1, None] - around[:, None], rows[:, 1:, None] + around[:, None]
        start_y, rise = starts[:, None, :, 1], (stops - starts)[:, None, :, 1]
        rise = np.where(np.abs(rise) < 1e-6, 1e-6, rise)
        cuts = np.clip(np.stack(((first_row - start_y) / rise, (last_row - start_y) / rise)), 0, 1)
        x = starts[:, None, :, 0] + cuts * (stops - starts)[:, None, :, 0]
        touches = (low_y[:, None] < rows[:, 1:, None]) & (high_y[:, None] > rows[:, :-1, None])
        left = np.where(touches, x.min(0) - around[:, None], np.inf).min(2)
        right = np.where(touches, x.max(0) + around[:, None], -np.inf).max(2)
        size = self.floor.width, self.floor.height
        return aligned_boxes(np.stack((left, rows[:, :-1]), axis=-1), np.stack((right, rows[:, 1:]), axis=-1), size)


def _capsules(ends: np.ndarray, radii: np.ndarray, extras: tuple[float, ...]) -> np.ndarray:
    """Outlines of limbs with round ends.

    Args:
        ends: (..., 2, 2) both ends of each limb.
        radii: (..., 2) of the ends.
        extras: added to the radii, for one outline each.

    Returns:
        (..., len(extras), 2N) as x, y, x, y, ...
    """
    along = ends[..., 1, :] - ends[..., 0, :]
    angle = np.arctan2(along[..., 1], along[..., 0])[..., None] + _ARC
    circle = np.stack((np.cos(angle), np.sin(angle)), axis=-1)[..., None, :, :]
    radii = (radii[..., None, :] + np.array(extras)[:, None])[..., None, None]
    ends = ends[..., None, :, None, :]
    halves = (ends[..., 0, :, :] - circle * radii[..., 0, :, :], ends[..., 1, :, :] + circle * radii[..., 1, :, :])
    outlines = np.concatenate(halves, axis=-2)
    return outlines.reshape(*outlines.shape[:-2], -1)


def _color(name: str) -> Color:
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else SPINE


_ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)
