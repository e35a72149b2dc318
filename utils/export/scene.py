"""The stage of the stick-figure video, drawn with Pillow: floor, the root's path, shadow, and limbs as capsules."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lamp.utils.export.camera import Camera
from lamp.utils.export.checks import checked_joints, skeleton_of
from lamp.utils.export.floor import HAZE_DISTANCE, SKY, Floor
from lamp.utils.kinematics.skeleton import KIT, Skeleton

LEFT, RIGHT, SPINE = (52, 106, 210), (216, 62, 52), (84, 88, 104)
INK, SHADOW, PATH = (30, 34, 46), (128, 136, 152), (146, 116, 196)

TURN = np.deg2rad(35.0)  # from where the body faces first to where the camera stands
SLANT = (0.35, -0.2)  # a point's shadow moves by this (x, z) for each metre of height
HEAD_RADIUS = 3.4  # in limbs' radii
PATH_WIDTH, PATH_STEP = 0.02, 0.03  # metres
HALF_CIRCLE = np.linspace(-np.pi / 2, np.pi / 2, 8)
STRIP = 120  # rows
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Style:
    """Look of the images.

    Attributes:
        size: width and height in pixels, made even.
        radius: of a limb, in metres.
        supersample: path and figure are drawn this many times larger and averaged down.
    """

    size: tuple[int, int] = (480, 480)
    radius: float = 0.03
    supersample: int = 2


class Scene:
    """A motion on the stage.

    Args:
        joints: (T, J, 3), J 22 in metres or 21 in KIT-ML's millimetres.
        fps: frames a second.
        style: sizes.

    Raises:
        UserError: wrong shape, or a joint that is not finite.
    """

    def __init__(self, joints: np.ndarray, fps: float = 20.0, style: Style | None = None) -> None:
        joints = checked_joints(joints)
        self.style = style or Style()
        self.width, self.height = (max(16, int(side) // 2 * 2) for side in self.style.size)
        skeleton = skeleton_of(joints)
        self.joints = _seen_from_camera(joints * (0.001 if skeleton is KIT else 1.0), skeleton)
        self.camera = Camera(self.joints, fps, (self.width, self.height))
        self._floor = Floor(self.camera)
        still = (self.camera.targets == self.camera.targets[0]).all()
        self._stage = self._floor.draw(0) if still else None
        self._chains = [list(chain) for chain in skeleton.chains]
        self._root_path = self.joints[:, 0] * [1, 0, 1]
        # One frame of the path for each step along it, however long and slow the motion is.
        travelled = np.linalg.norm(np.diff(self._root_path, axis=0, prepend=self._root_path[:1]), axis=-1).cumsum()
        self._path_frames = np.flatnonzero(np.diff(travelled // PATH_STEP, prepend=-1))
        # The last limb is the head, a ball: no longer than wide, around a point of its own.
        self._head, self._neck = (skeleton.joint_names.index(name) for name in ("head", "neck"))
        ball = skeleton.num_joints
        self._limbs = np.array([(skeleton.parents[j], j) for j in range(1, ball)] + [(ball, ball)])
        names = [*skeleton.joint_names[1:], "head"]
        fills = np.array([LEFT if n.startswith("left") else RIGHT if n.startswith("right") else SPINE for n in names])
        self._colors = np.stack((fills + (np.array(INK) - fills) * 0.6, fills), axis=1)  # (limbs, 2, 3) edge, inside

    def draw(self, frame: int) -> Image.Image:
        """RGB image of a frame."""
        image = self._floor.draw(frame) if self._stage is None else self._stage.copy()
        self._draw_path(image, frame)
        self._draw_shadow(image, frame)
        self._draw_figure(image, frame)
        return image

    def _draw_path(self, image: Image.Image, frame: int) -> None:
        """The root's way over the floor up to a frame."""
        passed = self._path_frames[: np.searchsorted(self._path_frames, frame)]
        points = self._root_path[np.append(passed, frame)]
        pixels, depth = self.camera.project(points, frame)
        # What is behind the camera or lost in the haze divides the path.
        (seen,) = np.nonzero((depth > 0.5) & (depth < HAZE_DISTANCE * self.camera.distance))
        runs = np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1)
        width = PATH_WIDTH * self.camera.focal / self.camera.distance
        box = self._box(pixels[seen], margin=width)
        if box is None:
            return
        factor = self.style.supersample
        mask = Image.new("L", (factor * (box[2] - box[0]), factor * (box[3] - box[1])))
        draw = ImageDraw.Draw(mask)
        pixels = factor * (pixels - box[:2])
        for run in runs:
            draw.line(pixels[run].ravel().tolist(), fill=255, width=max(factor, round(factor * width)))
        image.paste(PATH, box, mask.reduce(factor))

    def _draw_shadow(self, image: Image.Image, frame: int) -> None:
        joints = self.joints[frame]
        ground = joints * [1, 0, 1] + np.maximum(joints[:, 1:2], 0) * [SLANT[0], 0, SLANT[1]]
        pixels, _ = self.camera.project(ground, frame)
        width = self.style.radius * self.camera.focal / self.camera.distance
        box = self._box(pixels, margin=4 * width)
        if box is None:
            return
        # At half the resolution, which the blur hides.
        size = (box[2] - box[0], box[3] - box[1])
        mask = Image.new("L", (-(-size[0] // 2), -(-size[1] // 2)))
        draw = ImageDraw.Draw(mask)
        for chain in self._chains:
            draw.line(((pixels[chain] - box[:2]) / 2).ravel().tolist(), fill=170, width=max(1, round(width)))
        mask = mask.filter(ImageFilter.BoxBlur(0.3 * width))
        image.paste(SHADOW, box, mask.resize(size, Image.Resampling.NEAREST))

    def _draw_figure(self, image: Image.Image, frame: int) -> None:
        """Limbs and head, the farthest first; the farther ones are paler."""
        joints = self.joints[frame]
        upright = joints[self._head] - joints[self._neck]
        upright = upright / max(float(np.linalg.norm(upright)), 1e-6)
        pixels, depth = self.camera.project(
            np.concatenate((joints, [joints[self._head] + 1.6 * self.style.radius * upright])), frame
        )
        radii = self.camera.focal / depth * self.style.radius
        radii[-1] *= HEAD_RADIUS
        middle = depth[self._limbs].mean(1)
        middle[-1] = min(middle[self._head - 1], middle[-1]) - 1e-3  # in front of the bone that ends in it
        edge = max(1.0, self.height / 480)
        outlines = _capsules(pixels[self._limbs], radii[self._limbs], np.array([edge, 0]))
        fade = np.minimum(0.4 * (middle - middle.min()), 0.4)[:, None, None]
        colors = (self._colors + (np.array(SKY) - self._colors) * fade).round().astype(int)
        order = np.argsort(-middle, kind="stable")
        self._fill(image, outlines[order], colors[order])

    def _fill(self, image: Image.Image, outlines: np.ndarray, colors: np.ndarray) -> None:
        """Draw polygons (limbs, E, N, 2) in colours (limbs, E, 3), one after another, antialiased.

        In strips of the image, each as wide as the limbs in it: a box around the whole figure is mostly empty.
        """
        factor = self.style.supersample
        low, high = outlines.min((1, 2)) - 1, outlines.max((1, 2)) + 1
        for top in range(0, self.height, STRIP):
            inside = (low[:, 1] < top + STRIP) & (high[:, 1] > top)
            corners = np.concatenate((low[inside], high[inside]))
            corners[:, 1] = corners[:, 1].clip(top, top + STRIP)
            box = self._box(corners, margin=0)
            if box is None:
                continue
            # Enlarged without interpolation and averaged down again, what is around the figure stays as it is.
            part = image.crop(box)
            part = part.resize((factor * part.width, factor * part.height), Image.Resampling.NEAREST)
            draw = ImageDraw.Draw(part)
            shapes = (factor * (outlines[inside] - box[:2])).reshape(-1, 2 * outlines.shape[2]).tolist()
            for shape, color in zip(shapes, colors[inside].reshape(-1, 3).tolist()):
                draw.polygon(shape, fill=tuple(color))
            image.paste(part.reduce(factor), box)

    def _box(self, pixels: np.ndarray, margin: float) -> Box | None:
        """Box around points (N, 2), cut to the image; None where nothing is left."""
        if len(pixels) == 0:
            return None
        size = (self.width, self.height)
        left, top = np.clip(np.floor(pixels.min(0) - margin), 0, size).astype(int).tolist()
        right, bottom = np.clip(np.ceil(pixels.max(0) + margin), 0, size).astype(int).tolist()
        return (left, top, right, bottom) if left < right and top < bottom else None


def _capsules(ends: np.ndarray, radii: np.ndarray, extras: np.ndarray) -> np.ndarray:
    """Outlines (limbs, E, N, 2) of limbs with round ends.

    Args:
        ends: (limbs, 2, 2) pixels of both ends.
        radii: (limbs, 2) of the ends, in pixels.
        extras: (E,) added to the radii, for one outline each.
    """
    along = ends[:, 1] - ends[:, 0]
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None] + HALF_CIRCLE
    circle = np.stack((np.cos(angle), np.sin(angle)), axis=-1)[:, None]
    first, second = np.moveaxis((radii[:, None] + extras[:, None])[..., None, None], 2, 0)
    start, stop = ends[:, None, None, 0], ends[:, None, None, 1]
    return np.concatenate((start - circle * first, stop + circle * second), axis=2)


def _seen_from_camera(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The motion turned about Y so that its first facing is `TURN` off the camera's axis."""
    right_hip, left_hip = joints[0, skeleton.face_joints[0]], joints[0, skeleton.face_joints[1]]
    across = left_hip - right_hip
    # A body whose left is along +x faces +z, towards the camera.
    angle = np.arctan2(across[2], across[0]) - TURN
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(joints.astype(np.float64), -1, 0)
    return np.stack((cos * x + sin * z, y, cos * z - sin * x), axis=-1)
