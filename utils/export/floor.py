"""The camera of the stick-figure video and the chequered floor that it sees.

The camera looks along -z of its own frame, tilted down and never rolled, and the floor is chequered along the same
axes. So an image row sees one distance on the floor, and the pattern can be drawn antialiased by a few array
operations, however the camera moves.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from lamp.utils.export.planes import Color, ColorSpace, Planes
from lamp.utils.export.smooth import smooth_along_time

FLOOR_DARK: Color = (196, 204, 216)
FLOOR_LIGHT: Color = (224, 229, 236)
SKY: Color = (245, 247, 250)

TILE = 0.5  # metres
FOCAL = 1.7  # in image heights
PITCH = np.deg2rad(14.0)
BACK = np.array([0.0, np.sin(PITCH), np.cos(PITCH)])  # from what is looked at to the camera
UP = np.array([0.0, np.cos(PITCH), -np.sin(PITCH)])
# Parts of the image, from its middle, that the figure may fill: sideways, above (the title is there), below.
ROOM = (0.45, 0.35, 0.44)
STILL_DISTANCE = 5.5  # metres; where all of a motion is seen from nearer, the camera stands still
NEAREST = 3.4
FOLLOW_SECONDS = 0.5
HAZE_DISTANCE = 3.2  # in distances of the target; from here on the floor looks like the sky
HORIZON = 0.02  # metres that a ray falls in one metre; flatter ones see the sky
TURN_16 = 2**16
QUARTER = TURN_16 // 4


class Floor:
    """A camera at a fixed height and distance from its target, and the floor y = 0 that it sees.

    Args:
        width: of the image, in pixels, even.
        height: of the image, in pixels, even.
        distance: metres from the target.
        target_height: metres of the target above the floor.
        space: colours of the images.
    """

    def __init__(self, width: int, height: int, distance: float, target_height: float, space: ColorSpace) -> None:
        self.width, self.height = width, height
        self.focal = FOCAL * height
        self.distance = distance
        self.space = space
        colors = np.stack([space.of(color) for color in (FLOOR_DARK, FLOOR_LIGHT, SKY)], axis=1)
        fine, coarse = [colors[:1]], [colors[1:]]
        if space.coarse == 1:
            fine, coarse = [colors], []
        self._patterns = [
            _Pattern(width // scale, height // scale, distance, target_height, stops)
            for scale, planes in ((1, fine), (space.coarse, coarse))
            for stops in planes
        ]

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (..., 2) and depths (...) of points (..., 3) relative to the camera's target."""
        depth = np.maximum(self.distance - _along(points, BACK), 0.1)
        scale = self.focal / depth
        x, y = self.width / 2 + points[..., 0] * scale, self.height / 2 - _along(points, UP) * scale
        return np.stack((x, y), axis=-1), depth

    def stages(self, targets: np.ndarray) -> Iterator[Planes]:
        """The empty stage with the camera's target above or below each of (F, 3)."""
        for parts in zip(*(pattern.draw(targets[:, 0], targets[:, 2]) for pattern in self._patterns)):
            yield Planes(self.space, [plane for part in parts for plane in part])


class _Pattern:
    """The chequers in planes of one resolution.

    Args:
        width: of the planes, in their pixels.
        height: of the planes.
        distance: metres from the camera to its target.
        target_height: metres of the target above the floor.
        stops: (planes, 3) values of a dark tile, of a light one and of the sky.
    """

    def __init__(self, width: int, height: int, distance: float, target_height: float, stops: np.ndarray) -> None:
        focal = FOCAL * height
        v = (height / 2 - np.arange(height) - 0.5) / focal
        down = BACK[1] - v * UP[1]
        reach = (target_height + distance * BACK[1]) / np.maximum(down, HORIZON)
        # Rows above this one are all sky; the slope along z needs two rows.
        sky = (down <= HORIZON) | (reach >= HAZE_DISTANCE * distance)
        self.first_row = min(int(np.count_nonzero(sky)), height - 2)
        v, reach = v[self.first_row :], reach[self.first_row :]
        u = (np.arange(width) + 0.5 - width / 2) / focal
        # A pattern has a period of two tiles; positions are in `TURN_16` parts of a period, so that int16 wraps around.
        self._x = _wrapped(reach[:, None] * u / (2 * TILE))
        # Half the width of a pixel; the pattern is blurred over it.
        self._x_edge = np.clip(TURN_16 * reach / (4 * 2 * TILE * focal), 1, QUARTER)
        self._z = (distance * BACK[2] - reach * (BACK[2] + v * BACK[1])) / (2 * TILE)
        self._z_gain = 4 / np.maximum(np.abs(np.gradient(self._z)), 1e-6)
        # Chequers dissolve into the sky with distance, before they get too fine for the pixels.
        haze = np.clip((reach - distance) / ((HAZE_DISTANCE - 1) * distance), 0, 1) ** 1.3
        tones = np.stack((255 * haze, 127 + 128 * haze))
        dark, light = np.stack([np.interp(tones, (0, 127, 255), values) for values in stops], axis=1)
        self._middle, self._contrast = (light + dark) / 2, (light - dark) / 2  # (planes, rows)
        self._planes = [np.full((height, width), round(values[2]), dtype=np.uint8) for values in stops]
        self._work = np.empty((2, *self._x.shape), dtype=np.uint16)

    def draw(self, x: np.ndarray, z: np.ndarray) -> Iterator[list[Image.Image]]:
        """The planes with the camera's target above each (x, z) of two (F,)."""
        periods = (self._z + z[:, None] / (2 * TILE)) % 1.0  # (F, rows)
        along = np.clip((0.25 - np.abs(periods - 0.5)) * self._z_gain, -1, 1)
        contrast = 256 * self._contrast * along[:, None]  # (F, planes, rows)
        # A triangle wave across each row, cut about the tiles' edges so that it times an integer is the contrast. In
        # 1/256 of a level, with 16 bits that wrap around: sums that end within them may leave them on the way.
        gain = np.maximum(np.round(np.abs(contrast) / self._x_edge), 1)
        cut = np.round(np.abs(contrast) / gain)
        gain *= np.sign(contrast)
        start = 256 * self._middle + 128 - gain * QUARTER
        rows = np.stack((QUARTER - cut, QUARTER + cut, gain, start), axis=2).astype(np.int64).astype(np.uint16)
        wave, work = self._work
        for shift, values in zip(_wrapped(x / (2 * TILE)), rows[..., None]):
            np.add(self._x, shift, out=wave.view(np.int16))
            np.abs(wave.view(np.int16), out=wave.view(np.int16))
            images = []
            for plane, (low, high, factor, summand) in zip(self._planes, values):
                np.maximum(wave, low, out=work)
                np.minimum(work, high, out=work)
                np.multiply(work, factor, out=work)
                np.add(work, summand, out=work)
                np.right_shift(work, 8, out=work)
                plane[self.first_row :] = work
                # `frombuffer` would share memory that the next image overwrites.
                images.append(Image.frombytes("L", plane.shape[::-1], plane))
            yield images


def camera_path(joints: np.ndarray, fps: float, aspect: float) -> tuple[np.ndarray, float]:
    """What the camera looks at, (T, 3), and from how far; joints (T, J, 3) in metres."""
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
    up = _along(points, UP)
    return float(
        (_along(points, BACK) + np.maximum.reduce((np.abs(points[..., 0]) * side, up * above, -up * below))).max()
    )


def _along(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """How far points (..., 3) lie along `BACK` or `UP`, which have no x.

    Not a matrix product: after each of those, the threads of NumPy's BLAS wait in a loop and take the cores that draw
    and encode.
    """
    return points[..., 1] * direction[1] + points[..., 2] * direction[2]


def _wrapped(periods: np.ndarray | float) -> np.ndarray:
    """Positions in periods as int16, the whole periods left out."""
    return np.floor(np.asarray(periods) * TURN_16).astype(np.int64).astype(np.int16)
