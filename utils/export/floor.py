"""The chequered floor of the stick-figure video."""

import numpy as np
from PIL import Image

from lamp.utils.export.camera import BACK, UP, Camera

DARK, LIGHT, SKY = (196, 204, 216), (224, 229, 236), (245, 247, 250)

PERIOD = 1.0  # metres; two tiles
HAZE_DISTANCE = 3.2  # in distances of the target; from here on the floor looks like the sky
HORIZON = 0.02  # metres that a ray falls in one metre; flatter ones see the sky


class Floor:
    """The plane y = 0 with chequers that stay where they are in the world.

    A pixel's tone is the mean of the pattern over the pixel: the product of one antialiased square wave along x and one
    along z. Chequers dissolve into the sky with distance, and where they get too fine for the pixels.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        slope = (camera.height / 2 - np.arange(camera.height) - 0.5) / camera.focal
        down = BACK[1] - slope * UP[1]
        # Metres along the camera's axis to the floor, for each row.
        reach = (camera.targets[0, 1] + camera.distance * BACK[1]) / np.maximum(down, HORIZON)
        haze = np.clip((reach / camera.distance - 1) / (HAZE_DISTANCE - 1), 0, 1)
        # Rows above this one are all sky; the slope along z needs two rows.
        first_row = min(int(np.count_nonzero(haze == 1)), camera.height - 2)
        slope, reach, haze = (rows[first_row:] for rows in (slope, reach, haze))
        right = (np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal
        self._x = np.outer(reach / PERIOD, right).astype(np.float32)
        self._z = (camera.distance * BACK[2] + reach * (slope * UP[2] - BACK[2])) / PERIOD
        # A pixel's width and depth on the floor, in periods.
        across, deep = reach / camera.focal / PERIOD, np.abs(np.gradient(self._z))
        self._x_gain, self._z_gain = (2 / across).astype(np.float32)[:, None], 2 / deep
        haze = np.maximum(haze**1.3, np.clip(4 * np.maximum(across, deep) - 1, 0, 1))
        # Of the palette: 0 is a dark tile, 127 a light one, 255 the sky.
        self._contrast = 63.5 * (1 - haze)
        self._middle = (63.5 + (255 - 63.5) * haze).astype(np.float32)[:, None]
        self._sky = np.full((first_row, camera.width), 255, dtype=np.uint8)
        stops = np.array((DARK, LIGHT, SKY)).T
        palette = np.stack([np.interp(np.arange(256), (0, 127, 255), values) for values in stops], axis=1)
        self._palette = palette.round().astype(np.uint8).tobytes()

    def draw(self, frame: int) -> Image.Image:
        """RGB image of the empty stage as the camera sees it in a frame."""
        x, _, z = self._camera.targets[frame] / PERIOD % 1.0
        rows = self._contrast * _square_wave(self._z + z, self._z_gain)
        tones = _square_wave(self._x + np.float32(x), self._x_gain)
        tones *= rows.astype(np.float32)[:, None]
        tones += self._middle
        image = Image.fromarray(np.concatenate((self._sky, tones.astype(np.uint8))))
        image.putpalette(self._palette)
        return image.convert("RGB")


def _square_wave(position: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Wave of period 1 between -1 and 1, its edges blurred over one pixel of 2 / `gain` periods; takes `position`."""
    position -= np.rint(position)
    np.abs(position, out=position)
    position -= 0.25
    position *= gain
    return np.clip(position, -1, 1, out=position)
