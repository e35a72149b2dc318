"""Text over the stick-figure video, drawn with Pillow."""

import textwrap
from functools import cache

from PIL import Image, ImageDraw, ImageFont

# Tried in this order; Pillow's own font, which has Latin letters only, comes last.
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf", "Helvetica.ttc")
MOST_LINES = 3


def draw_title(image: Image.Image, title: str, color: tuple[int, int, int]) -> None:
    """Write a title at the top of an RGB image; wrapped, and cut after three lines."""
    text = " ".join("".join(char if char.isprintable() else " " for char in title).split())
    if not text:
        return
    font = _font(max(10, image.height // 26))
    step = font.getbbox("Ag")[3] * 1.25
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(_wrap(text, font, room=0.92 * image.width)):
        draw.text((image.width / 2, 8 + row * step), line, fill=color, font=font, anchor="ma")


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> list[str]:
    """At most `MOST_LINES` lines, as long as fits in `room` pixels; a word longer than a line is broken."""
    lines: list[str] = []
    for letters in range(max(1, int(room / font.getlength("i"))), 0, -1):
        lines = textwrap.wrap(text, letters, max_lines=MOST_LINES, placeholder="…")
        if max(map(font.getlength, lines)) <= room:
            break
    return lines


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
