"""A contact sheet: strips of frames of many motions in one picture, each with a mark and a line of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lamp.utils.export.scene import INK, SKY, Scene, Style
from lamp.utils.files import atomic_path

FRAME = (92, 116)
"""Pixels of a frame."""
FRAMES = 7
GREEN, RED = (24, 140, 72), (200, 48, 40)
_LINE, _GAP = 15, 10


@dataclass(frozen=True)
class Strip:
    """A motion of the sheet.

    Attributes:
        joints: (T, 22, 3) metres at 20 frames a second, Y up.
        good: whether it passed; that is the colour of its border.
    """

    joints: np.ndarray
    good: bool


def save_sheet(rows: Sequence[tuple[str, Sequence[Strip]]], path: Path) -> None:
    """Write a PNG: a row of strips below each text, seven frames a strip from the first to the last.

    Args:
        rows: text and motions.
        path: of the picture.
    """
    strip = FRAMES * FRAME[0]
    columns = max(len(strips) for _, strips in rows)
    height = FRAME[1] + _LINE + _GAP
    sheet = Image.new("RGB", (columns * (strip + _GAP) + _GAP, len(rows) * height + _GAP), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, (text, strips) in enumerate(rows):
        top = _GAP + row * height
        pen.text((_GAP, top - 3), text, fill=INK, font=font)
        for column, motion in enumerate(strips):
            left = _GAP + column * (strip + _GAP)
            sheet.paste(_draw(motion.joints), (left, top + _LINE))
            edge = (left - 2, top + _LINE - 2, left + strip + 1, top + _LINE + FRAME[1] + 1)
            pen.rectangle(edge, outline=GREEN if motion.good else RED, width=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as aside:
        sheet.save(aside, format="PNG", optimize=True)


def _draw(joints: np.ndarray) -> Image.Image:
    """Frames of a motion side by side. The camera goes with the body, so that it is never small."""
    strip = Image.new("RGB", (FRAMES * FRAME[0], FRAME[1]), SKY)
    scene = Scene(joints, style=Style(size=FRAME, radius=0.035))
    for place, frame in enumerate(np.linspace(0, len(joints) - 1, FRAMES).round().astype(int).tolist()):
        strip.paste(Image.frombytes("RGB", scene.size, scene.draw(frame)), (place * FRAME[0], 0))
    return strip
