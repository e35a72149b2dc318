"""The stage of the stick-figure video: camera, chequered floor, and the figure, drawn with Pillow and NumPy.

The camera looks along -z of its own frame, tilted down and never rolled, and the floor is chequered along the same
axes. So an image row sees one distance on the floor, and the pattern can be drawn antialiased by a few array
operations, however the camera moves.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from utils.export.checks import checked_joints, skeleton_of
from utils.export.smooth import smooth_along_time
from utils.skeleton import KIT, Skeleton

Color = tuple[int, int, int]

LEFT: Color = (52, 106, 210)
RIGHT: Color = (216, 62, 52)
SPINE: Color = (84, 88, 104)
INK: Color = (30, 34, 46)
SHADOW: Color = (128, 136, 152)
PATH: Color = (146, 116, 196)
FLOOR_DARK: Color = (196, 204, 216)
FLOOR_LIGHT: Color = (224, 229, 236)
SKY: Color = (245, 247, 250)

TILE = 0.5  # metres
FOCAL = 1.7  # in image heights
PITCH = np.deg2rad(14.0)
BACK = np.array([0.0, np.sin(PITCH), np.cos(PITCH)])  # from what is looked at to the camera
UP = np.array([0.0, np.cos(PITCH), -np.sin(PITCH)])
TURN = np.deg2rad(35.0)  # from where the body faces first to where the camera stands
SLANT = (0.35, -0.2)  # a point's shadow moves by this (x, z) for each metre of height
# Parts of the image, from its middle, that the figure may fill: sideways, above (the title is there), below.
ROOM = (0.45, 0.35, 0.44)
STILL_DISTANCE = 5.5  # metres; where all of a motion is seen from nearer, the camera stands still
NEAREST = 3.4
FOLLOW_SECONDS = 0.5
TURN_16 = 2**16


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


class Floor:
    """A camera at a fixed height and distance from its target, and the floor y = 0 that it sees."""

    def __init__(self, width: int, height: int, distance: float, target_height: float) -> None:
        self.width, self.height = width, height
        self.focal = FOCAL * height
        self.distance = distance
        v = (height / 2 - np.arange(height) - 0.5) / self.focal
        down = BACK[1] - v * UP[1]
        self.horizon = int(np.count_nonzero(down <= 0.02))
        reach = (target_height + distance * BACK[1]) / down[self.horizon :]
        ahead = distance * BACK[2] - reach * (BACK[2] + v[self.horizon :] * BACK[1])
        u = (np.arange(width) + 0.5 - width / 2) / self.focal
        # A pattern has a period of two tiles; positions are in `TURN_16` parts of a period, so that int16 wraps around.
        self._x = _wrapped(reach[:, None] * u / (2 * TILE))
        self._x_edge = np.clip(TURN_16 * reach / (4 * 2 * TILE * self.focal), 1, TURN_16 / 4)[:, None].astype(np.int16)
        self._z = ahead / (2 * TILE)
        self._z_gain = 4 / np.maximum(np.abs(np.gradient(self._z)), 1e-6)
        # Chequers dissolve into the sky with distance, before they get too fine for the pixels.
        self._haze = np.clip((reach - distance) / (2.2 * distance), 0, 1) ** 1.3

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) and depths (...) of points (..., 3) relative to the camera's target."""
        depth = np.maximum(self.distance - points @ BACK, 0.1)
        scale = self.focal / depth
        pixels = np.stack((self.width / 2 + points[..., 0] * scale, self.height / 2 - points @ UP * scale), axis=-1)
        return pixels, depth

    def render(self, x: float, z: float) -> Image.Image:
        """RGB image of the empty stage with the camera's target above (x, z)."""
        # A triangle wave across each row, cut to -1 ... 1 about the tiles' edges, as steep as a pixel is wide.
        across = self._x + _wrapped(x / (2 * TILE))
        np.abs(across, out=across)
        np.subtract(across, np.int16(TURN_16 // 4), out=across)
        np.clip(across, -self._x_edge, self._x_edge, out=across)
        along = np.clip((0.25 - np.abs((self._z + z / (2 * TILE)) % 1.0 - 0.5)) * self._z_gain, -1, 1)
        # Tones: 0 dark tile, 127 light tile, 255 sky.
        shade = across * (63.5 * (1 - self._haze) * along / self._x_edge[:, 0])[:, None].astype(np.float32)
        shade += (63.5 + (255 - 63.5) * self._haze)[:, None].astype(np.float32)
        tones = np.full((self.height, self.width), 255, dtype=np.uint8)
        tones[self.horizon :] = shade
        image = Image.fromarray(tones)
        image.putpalette(_TONES)
        return image.convert("RGB")


class Scene:
    """A motion on the stage; `frame` draws one image.

    The camera stands still where the whole motion fits in, and otherwise follows the body smoothly.

    Args:
        joints: (T, J, 3), J 22 in metres or 21 in KIT-ML's millimetres.
        fps: frames a second.
        style: sizes.
    """

    def __init__(self, joints: np.ndarray, fps: float = 20.0, style: Style | None = None) -> None:
        joints = checked_joints(joints)
        self.style = style or Style()
        self.width, self.height = (max(16, int(side) // 2 * 2) for side in self.style.size)
        skeleton = skeleton_of(joints)
        self.joints = _seen_from_camera(joints * (0.001 if skeleton is KIT else 1.0), skeleton)
        self.ends = np.array([(skeleton.parents[j], j) for j in range(1, skeleton.num_joints)])
        self.colors = np.array([_color(name) for name in skeleton.joint_names[1:]], dtype=np.float64)
        self.head = skeleton.joint_names.index("head")
        targets, distance = _camera(self.joints, fps, self.width / self.height)
        self.floor = Floor(self.width, self.height, distance, targets[0, 1])
        self._targets = targets
        self._background: tuple[float, float, Image.Image] | None = None

    def frame(self, index: int) -> Image.Image:
        """RGB image of one frame."""
        image = self._stage(index)
        pose = self.joints[index] - self._targets[index]
        pixels, depth = self.floor.project(pose)
        self._draw_path(image, index)
        self._draw_shadow(image, index)
        self._draw_body(image, pixels, depth)
        return image

    def _stage(self, index: int) -> Image.Image:
        x, _, z = self._targets[index]
        if self._background is None or self._background[:2] != (x, z):
            self._background = (x, z, self.floor.render(x, z))
        return self._background[2].copy()

    def _draw_path(self, image: Image.Image, index: int) -> None:
        """Where the root has been, as a line on the floor."""
        path = self.joints[: index + 1, 0] * [1, 0, 1] - self._targets[index]
        pixels, depth = self.floor.project(path)
        pixels = pixels[depth > 0.5]
        if len(pixels) > 1:
            width = max(1, round(0.02 * self.floor.focal / self.floor.distance))
            ImageDraw.Draw(image).line(pixels.ravel().tolist(), fill=PATH, width=width)

    def _draw_shadow(self, image: Image.Image, index: int) -> None:
        pose = self.joints[index]
        ground = pose * [1, 0, 1] + np.maximum(pose[:, 1:2], 0) * [SLANT[0], 0, SLANT[1]]
        pixels, _ = self.floor.project(ground - self._targets[index])
        box = self._box(pixels, margin=12)
        if box is None:
            return
        size = (box[2] - box[0], box[3] - box[1])
        # What gets blurred needs half the resolution only.
        mask = Image.new("L", (size[0] // 2 + 1, size[1] // 2 + 1))
        draw = ImageDraw.Draw(mask)
        local = ((pixels - box[:2]) / 2).tolist()
        width = max(1, round(self.style.radius * self.floor.focal / self.floor.distance))
        for parent, joint in self.ends:
            draw.line((*local[parent], *local[joint]), fill=170, width=width)
        mask = mask.filter(ImageFilter.BoxBlur(1.5)).resize(size, Image.Resampling.NEAREST)
        image.paste(SHADOW, box, mask)

    def _draw_body(self, image: Image.Image, pixels: np.ndarray, depth: np.ndarray) -> None:
        """Limbs as capsules in perspective, the farthest first."""
        radius = self.floor.focal / depth * self.style.radius
        ball, size = pixels[self.head] - (0, 1.6 * radius[self.head]), 3.4 * radius[self.head]
        sides = radius[:, None]
        box = self._box(np.concatenate((pixels - sides, pixels + sides, [ball - size, ball + size])), margin=3)
        if box is None:
            return
        factor = self.style.supersample
        region = image.crop(box)
        canvas = region.resize((region.width * factor, region.height * factor), Image.Resampling.NEAREST)
        draw = ImageDraw.Draw(canvas)
        local = (pixels - box[:2]) * factor
        radius = radius * factor
        middle = depth[self.ends].mean(1)
        fade = np.minimum(0.4 * (middle - middle.min()), 0.4)[:, None]
        fills = self.colors + (np.array(SKY) - self.colors) * fade
        layers = []
        for tones, extra in ((fills + (np.array(INK) - fills) * 0.6, factor), (fills, 0)):
            outlines = _capsules(local[self.ends], radius[self.ends] + extra)
            layers.append((outlines.tolist(), np.round(tones).astype(int).tolist(), extra))
        for bone in np.argsort(-middle, kind="stable").tolist():
            for outlines, tones, extra in layers:
                color = tuple(tones[bone])
                draw.polygon(outlines[bone], fill=color)
                if self.ends[bone, 1] == self.head:
                    _ball(draw, *((ball - box[:2]) * factor), size * factor + extra, color)
        image.paste(canvas.reduce(factor), box[:2])

    def _box(self, pixels: np.ndarray, margin: int) -> tuple[int, int, int, int] | None:
        """Part of the image around `pixels` (N, 2); None if they are outside."""
        low = np.clip(np.floor(pixels.min(0)).astype(int) - margin, 0, (self.width, self.height))
        high = np.clip(np.ceil(pixels.max(0)).astype(int) + margin, 0, (self.width, self.height))
        return None if (high <= low).any() else (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def _seen_from_camera(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The motion turned about Y so that its first facing is `TURN` off the camera's axis."""
    right_hip, left_hip = joints[0, skeleton.face_joints[0]], joints[0, skeleton.face_joints[1]]
    across = left_hip - right_hip
    # A body whose left is along +x faces +z, towards the camera.
    angle = np.arctan2(across[2], across[0]) - TURN
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return joints.astype(np.float64) @ turn.T


def _camera(joints: np.ndarray, fps: float, aspect: float) -> tuple[np.ndarray, float]:
    """What the camera looks at, (T, 3), and from how far."""
    low, high = joints.min((0, 1)), joints.max((0, 1))
    middle = np.broadcast_to((low + high) / 2, (len(joints), 3))
    distance = _distance(joints - middle[:, None], aspect)
    if distance <= STILL_DISTANCE:
        return middle, max(distance, NEAREST)
    smooth = smooth_along_time(joints[:, 0], FOLLOW_SECONDS * fps)
    smooth[:, 1] = middle[:, 1]
    return smooth, max(_distance(joints - smooth[:, None], aspect), NEAREST)


def _distance(points: np.ndarray, aspect: float) -> float:
    """Least distance from which points (..., 3) around the target are all in the picture."""
    side, above, below = (FOCAL / room for room in (ROOM[0] * aspect, ROOM[1], ROOM[2]))
    up = points @ UP
    return float((points @ BACK + np.maximum.reduce((np.abs(points[..., 0]) * side, up * above, -up * below))).max())


def _wrapped(periods: np.ndarray | float) -> np.ndarray:
    """Positions in periods as int16, the whole periods left out."""
    return np.floor(np.asarray(periods) * TURN_16).astype(np.int64).astype(np.int16)


def _color(name: str) -> Color:
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else SPINE


def _capsules(ends: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Outlines (B, 2N) as x, y, x, y, ... of limbs with round ends (B, 2, 2) of given radii (B, 2)."""
    along = ends[:, 1] - ends[:, 0]
    angle = np.arctan2(along[:, 1], along[:, 0])[:, None] + _ARC
    circle = np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    return np.concatenate(
        (ends[:, :1] - circle * radii[:, :1, None], ends[:, 1:] + circle * radii[:, 1:, None]), axis=1
    ).reshape(len(ends), -1)


def _ball(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, color: Color) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)


def _palette() -> bytes:
    """256 RGB colours: 0 dark tile, 127 light tile, 255 sky."""
    stops = np.array([FLOOR_DARK, FLOOR_LIGHT, SKY], dtype=np.float64)
    colors = [np.interp(np.arange(256), (0, 127, 255), channel) for channel in stops.T]
    return np.stack(colors, axis=1).astype(np.uint8).tobytes()


_TONES = _palette()
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)
