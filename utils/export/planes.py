"""Images as three planes, in RGB for stills or in the YCbCr of a video, and what is drawn on them.

Averaging and blending are linear, so the same drawing gives the same picture in both: only the colours are converted,
once, and a video needs no conversion of its pixels.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

Color = tuple[int, int, int]  # RGB
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels

ALIGN = 2  # boxes start and end at multiples of this, so that they cover whole pixels of every plane


@dataclass(frozen=True)
class ColorSpace:
    """What three planes hold.

    Attributes:
        matrix: rows of (red, green, blue) weights, a plane each.
        offset: added to each plane.
        coarse: the second and the third plane are this many times smaller in width and height.
    """

    matrix: tuple[tuple[float, float, float], ...]
    offset: tuple[float, float, float]
    coarse: int

    def of(self, color: Color) -> np.ndarray:
        """Values (3,) of an RGB colour, not rounded."""
        return np.array(self.matrix) @ np.array(color, dtype=np.float64) + self.offset


@cache  # a few colours, for every frame again
def _rounded(space: ColorSpace, color: Color) -> tuple[int, ...]:
    return tuple(np.round(space.of(color)).astype(int).tolist())


def _bt601() -> tuple[tuple[float, float, float], ...]:
    """Rows from RGB to the limited range (16 to 235, and 128 ± 112), which players assume of a file without tags."""
    luma = np.array([0.299, 0.587, 0.114])
    blue, red = np.eye(3)[2] - luma, np.eye(3)[0] - luma
    rows = np.stack((219 / 255 * luma, 112 / 255 * blue / blue[2], 112 / 255 * red / red[0]))
    return tuple(map(tuple, rows.tolist()))


RGB = ColorSpace(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0), 1)
YCBCR = ColorSpace(_bt601(), (16.0, 128.0, 128.0), 2)


class Planes:
    """An image as one "L" image for each plane of a colour space."""

    def __init__(self, space: ColorSpace, planes: list[Image.Image]) -> None:
        self.space = space
        self.planes = planes
        self._scales = (1, space.coarse, space.coarse)

    def copy(self) -> "Planes":
        """The same image with pixels of its own."""
        return Planes(self.space, [plane.copy() for plane in self.planes])

    def buffers(self) -> list[bytes]:
        """The planes' pixels; for `YCBCR`, one after another, this is what ffmpeg calls yuv420p."""
        return [plane.tobytes() for plane in self.planes]

    def image(self) -> Image.Image:
        """An RGB image of `RGB` planes."""
        return Image.merge("RGB", self.planes)

    def restore(self, other: "Planes", box: Box) -> None:
        """Take an aligned box over from another image of this size."""
        for plane, source, scale in zip(self.planes, other.planes, self._scales):
            place = _shrunk(box, scale)
            plane.paste(source.crop(place), place)

    def blend(self, color: Color, box: Box, mask: Image.Image) -> None:
        """Paint an RGB colour as strongly as the "L" image `mask` says, which is as large as the aligned `box`."""
        masks = {scale: mask if scale == 1 else mask.reduce(scale) for scale in set(self._scales)}
        for plane, value, scale in zip(self.planes, _rounded(self.space, color), self._scales):
            plane.paste(value, _shrunk(box, scale), masks[scale])

    def lay(self, layer: Image.Image, box: Box) -> None:
        """Lay an "RGBa" image over an aligned box, which is as large; its colours are of this space."""
        for scale in sorted(set(self._scales)):
            # Averaged while colours are still times their coverage, which is what the mode's small "a" means.
            resized = (layer if scale == 1 else layer.reduce(scale)).convert("RGBA")
            cover = resized.getchannel("A")
            for index, plane in enumerate(self.planes):
                if self._scales[index] == scale:
                    plane.paste(resized.getchannel(index), _shrunk(box, scale), cover)


def aligned_boxes(low: np.ndarray, high: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The aligned boxes (..., 4) around points `low` to `high` (..., 2), cut to an image of even `size`."""
    low = np.floor(low / ALIGN) * ALIGN
    high = np.ceil(high / ALIGN) * ALIGN
    return np.concatenate((np.clip(low, 0, size), np.clip(high, 0, size)), axis=-1).astype(int)


def is_empty(box: Box) -> bool:
    """Whether nothing lies in a box: what it was drawn around is out of the image."""
    return box[0] >= box[2] or box[1] >= box[3]


def _shrunk(box: Box, scale: int) -> Box:
    left, top, right, bottom = box
    return left // scale, top // scale, right // scale, bottom // scale
