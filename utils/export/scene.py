"""The stage of the stick-figure video, drawn with aggdraw: chequered floor, the root's path, shadow and body."""

from bisect import bisect_right
from dataclasses import dataclass

import aggdraw
import numpy as np
from PIL import Image

from lamp.utils.export.camera import BACK, Camera
from lamp.utils.export.checks import checked_joints, skeleton_of
from lamp.utils.export.title import draw_title
from lamp.utils.kinematics.skeleton import KIT, Skeleton

LEFT, RIGHT, SPINE = (52, 106, 210), (216, 62, 52), (84, 88, 104)
INK, PATH = (30, 34, 46), (146, 116, 196)
SHADOW = aggdraw.Brush((40, 48, 64), 80)
DARK, LIGHT, SKY = (196, 204, 216), (224, 229, 236), (245, 247, 250)

TURN = np.deg2rad(35.0)  # from where the body faces first to where the camera stands
SLANT = (0.35, -0.2)  # a point's shadow moves by this (x, z) for each metre of height
HEAD_RADIUS = 3.4  # in limbs' radii
PATH_WIDTH, PATH_STEP = 0.02, 0.05  # metres
TILE = 0.5  # metres
HAZE_DISTANCE = 3.2  # in distances of the target; from here on the floor looks like the sky
FINEST_TILE = 1.5  # pixels from front to back; where tiles would be smaller, the floor looks like the sky too
HALF_CIRCLE = np.linspace(-np.pi / 2, np.pi / 2, 10)


@dataclass(frozen=True)
class Style:
    """Look of the images.

    Attributes:
        size: width and height in pixels, made even.
        radius: of a limb, in metres.
    """

    size: tuple[int, int] = (480, 480)
    radius: float = 0.03


class Scene:
    """A motion on the stage.

    Args:
        joints: (T, J, 3), J 22 in metres or 21 in KIT-ML's millimetres.
        fps: frames a second.
        title: text above the figure.
        style: sizes.

    Attributes:
        size: width and height of the images in pixels.

    Raises:
        UserError: wrong shape, or a joint that is not finite.
    """

    def __init__(self, joints: np.ndarray, fps: float = 20.0, title: str = "", style: Style | None = None) -> None:
        joints = checked_joints(joints)
        self.style = style or Style()
        width, height = (max(16, int(side) // 2 * 2) for side in self.style.size)
        self.size = (width, height)
        skeleton = skeleton_of(joints)
        self.joints = _seen_from_camera(joints * (0.001 if skeleton is KIT else 1.0), skeleton)
        self.camera = Camera(self.joints, fps, self.size)
        self._root_path = self.joints[:, 0] * [1, 0, 1]
        # A point each step away from the one before, however long and slow the motion is.
        self._path_frames = [0]
        for frame, place in enumerate(self._root_path):
            if np.abs(place - self._root_path[self._path_frames[-1]]).max() >= PATH_STEP:
                self._path_frames.append(frame)
        # The last limb is the head, a ball: no longer than wide, around a point of its own.
        self._head, self._neck = (skeleton.joint_names.index(name) for name in ("head", "neck"))
        ball = skeleton.num_joints
        self._limbs = np.array([(skeleton.parents[j], j) for j in range(1, ball)] + [(ball, ball)])
        names = [*skeleton.joint_names[1:], "head"]
        fills = [LEFT if n.startswith("left") else RIGHT if n.startswith("right") else SPINE for n in names]
        self._fills, self._edges = np.array(fills), _mix(np.array(fills), INK, 0.6)
        # Depths between which the floor is seen, in metres along the camera's axis.
        self._floor_start, self._floor_end = self.camera.floor_depths()[-1], self._end_of_floor()
        self._canvas = aggdraw.Draw("RGB", self.size)
        self._background = self._draw_background(title)

    def stage(self, frame: int) -> aggdraw.Draw:
        """The canvas with the empty stage as the camera sees it in a frame."""
        self._canvas.frombytes(self._background)
        if not self.camera.still:
            self._draw_tiles(frame)
        return self._canvas

    def draw(self, frame: int) -> bytes:
        """A frame as RGB bytes, row by row."""
        self.stage(frame)
        self._draw_path(frame)
        self._draw_shadow(frame)
        self._draw_body(frame)
        return self._canvas.tobytes()

    def _draw_background(self, title: str) -> bytes:
        """What no frame changes: light ground that fades into the sky, the title, tiles under a camera at rest."""
        rows = _mix(LIGHT, SKY, self._haze(self.camera.floor_depths())[:, None]).round().astype(np.uint8)
        image = Image.fromarray(np.repeat(rows[:, None], self.size[0], axis=1))
        draw_title(image, title, INK)
        self._canvas.frombytes(image.tobytes())
        if self.camera.still:
            self._draw_tiles(0)
        return self._canvas.tobytes()

    def _end_of_floor(self) -> float:
        eye = max(self.camera.targets[0, 1] + self.camera.distance * BACK[1], 1e-6)  # metres above the floor
        return min(HAZE_DISTANCE * self.camera.distance, float(np.sqrt(self.camera.focal * eye * TILE / FINEST_TILE)))

    def _haze(self, depths: np.ndarray) -> np.ndarray:
        """How much (0 to 1) of the sky's colour the floor has at depths (...), in metres along the camera's axis."""
        start = min(self.camera.distance, self._floor_end / 2)
        return np.clip((depths - start) / (self._floor_end - start), 0, 1)

    def _draw_tiles(self, frame: int) -> None:
        """The dark tiles that the camera sees; they stay where they are in the world."""
        if self._floor_start >= self._floor_end:
            return
        camera, (x, y, z) = self.camera, self.camera.targets[frame]
        half_width = self._floor_end * self.size[0] / camera.focal / 2
        eye_z = z + (camera.distance + y * BACK[1]) / BACK[2]  # where depth 0 meets the floor
        columns = _borders(x - half_width, x + half_width)
        rows = _borders(eye_z - self._floor_end / BACK[2], eye_z - self._floor_start / BACK[2])
        corners = np.zeros((len(rows), len(columns), 3))
        corners[..., 0], corners[..., 2] = columns, rows[:, None]
        pixels, depths = camera.project(corners, frame)
        quads = np.concatenate((pixels[:-1, :-1], pixels[:-1, 1:], pixels[1:, 1:], pixels[1:, :-1]), axis=-1)
        haze = self._haze((depths[:-1] + depths[1:]) / 2)[:, 0]
        dark = np.rint((rows[:-1, None] + columns[:-1]) / TILE) % 2 == 0
        dark &= (quads[..., ::2].max(-1) > 0) & (quads[..., ::2].min(-1) < self.size[0])
        for row in np.flatnonzero(haze < 1):
            brush = aggdraw.Brush(tuple(_mix(DARK, SKY, haze[row]).round().astype(int).tolist()))
            for quad in quads[row, dark[row]].tolist():
                self._canvas.polygon(quad, brush)

    def _draw_path(self, frame: int) -> None:
        """The root's way over the floor up to a frame."""
        passed = self._path_frames[: bisect_right(self._path_frames, frame)]
        pixels, depth = self.camera.project(self._root_path[passed], frame)
        # What is behind the camera or lost in the haze divides the path.
        (seen,) = np.nonzero((depth > 0.5) & (depth < HAZE_DISTANCE * self.camera.distance))
        pen = aggdraw.Pen(PATH, max(1.0, PATH_WIDTH * self.camera.focal / self.camera.distance))
        for run in np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1):
            if len(run) > 1:
                self._canvas.line(pixels[run].ravel().tolist(), pen)

    def _draw_shadow(self, frame: int) -> None:
        joints = self.joints[frame]
        ground = joints * [1, 0, 1] + np.maximum(joints[:, 1:2], 0) * [SLANT[0], 0, SLANT[1]]
        pixels, depth = self.camera.project(ground, frame)
        radii = self.style.radius * self.camera.focal / depth
        # One path for all limbs: where they overlap, the shadow is not darker.
        path = aggdraw.Path()
        for (x, y), *others in _capsules(pixels[self._limbs[:-1]], radii[self._limbs[:-1]]).tolist():
            path.moveto(x, y)
            for x, y in others:
                path.lineto(x, y)
            path.close()
        self._canvas.path(path, SHADOW)

    def _draw_body(self, frame: int) -> None:
        """Limbs and head, the farthest first; the farther ones are paler."""
        joints = self.joints[frame]
        upright = joints[self._head] - joints[self._neck]
        upright = upright / max(float(np.linalg.norm(upright)), 1e-6)
        ball = joints[self._head] + 1.6 * self.style.radius * upright
        pixels, depth = self.camera.project(np.concatenate((joints, [ball])), frame)
        radii = self.style.radius * self.camera.focal / depth
        radii[-1] *= HEAD_RADIUS
        middle = depth[self._limbs].mean(1)
        middle[-1] = min(middle[self._head - 1], middle[-1]) - 1e-3  # in front of the bone that ends in it
        paler = np.minimum(0.4 * (middle - middle.min()), 0.4)[:, None]
        fills, edges = (_mix(colors, SKY, paler).round().astype(int) for colors in (self._fills, self._edges))
        outlines = _capsules(pixels[self._limbs], radii[self._limbs]).reshape(len(self._limbs), -1)
        for limb in np.argsort(-middle, kind="stable").tolist():
            pen = aggdraw.Pen(tuple(edges[limb].tolist()), max(1.0, self.size[1] / 480))
            self._canvas.polygon(outlines[limb].tolist(), pen, aggdraw.Brush(tuple(fills[limb].tolist())))


def _mix(start: np.ndarray | tuple[int, int, int], end: tuple[int, int, int], part: np.ndarray | float) -> np.ndarray:
    """Colours that are `part` of the way from one to the other."""
    return np.asarray(start) + (np.asarray(end) - start) * part


def _borders(low: float, high: float) -> np.ndarray:
    """Borders (N,) of the tiles that cover a range, in metres; tile i has its middle at `i * TILE`."""
    return (np.arange(np.floor(low / TILE), np.ceil(high / TILE) + 2) - 0.5) * TILE


def _capsules(ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Outlines (limbs, N, 2) of limbs with round ends, given both ends (limbs, 2, 2) and radii there (limbs, 2)."""
    along = ends[:, 1] - ends[:, 0]
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None] + HALF_CIRCLE
    circle = np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    start, stop = ends[:, None, 0], ends[:, None, 1]
    return np.concatenate((start - circle * radii[:, :1, None], stop + circle * radii[:, 1:, None]), axis=1)


def _seen_from_camera(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The motion turned about Y so that its first facing is `TURN` off the camera's axis."""
    right_hip, left_hip = joints[0, skeleton.face_joints[0]], joints[0, skeleton.face_joints[1]]
    across = left_hip - right_hip
    # A body whose left is along +x faces +z, towards the camera.
    angle = np.arctan2(across[2], across[0]) - TURN
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(joints.astype(np.float64), -1, 0)
    return np.stack((cos * x + sin * z, y, cos * z - sin * x), axis=-1)
