"""Stick-figure video of a motion, piped straight into the ffmpeg that comes with imageio-ffmpeg."""

import subprocess
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lamp.utils.errors import UserError
from lamp.utils.export.scene import INK, Box, Scene, Style
from lamp.utils.files import atomic_path

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

# Tried in this order; Pillow's own font, which has Latin letters only, comes last.
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf", "Helvetica.ttc")
TITLE_LINES = 3
# x264's step, the same for all frames. Its -crf would look at every frame once more to choose one, for a quarter of its
# time; at 24 it settles between 18 and 23 for people who walk, 47 dB and more of the drawn image in either case.
QUANTIZER = 21
PIPE_BYTES = 2**20  # on Linux: an image of the default size fits, so the next is drawn while ffmpeg reads


def write(motion: "Motion", path: Path) -> None:
    """Write a video of a motion, its text as the title."""
    write_mp4(motion.joints, path, fps=motion.fps, title=motion.text)


def write_mp4(
    joints: np.ndarray, path: str | Path, fps: float = 20.0, title: str = "", style: Style | None = None
) -> None:
    """Write an H.264 video of a motion.

    Args:
        joints: (T, J, 3), J 22 in metres or 21 in KIT-ML's millimetres.
        path: the mp4 file.
        fps: frames a second.
        title: text above the figure; wrapped, and cut after three lines.
        style: sizes.

    Raises:
        UserError: a joint is not finite, or ffmpeg fails (its last line is quoted).
    """
    scene = Scene(joints, fps, style)
    images = _draw_frames(scene, range(len(joints)), title)
    with atomic_path(path) as aside:
        _encode(images, aside, size=(scene.width, scene.height), fps=fps)


def render_frames(
    joints: np.ndarray, indices: Sequence[int], fps: float = 20.0, title: str = "", style: Style | None = None
) -> list[Image.Image]:
    """RGB images of the frames `indices` of a motion, as they are in its video."""
    return list(_draw_frames(Scene(joints, fps, style), indices, title))


def contact_sheet(
    joints: np.ndarray,
    path: str | Path,
    count: int = 8,
    fps: float = 20.0,
    title: str = "",
    style: Style | None = None,
) -> None:
    """Write one PNG with `count` evenly spaced frames of a motion side by side, four to a row.

    Args:
        joints: (T, J, 3).
        path: the png file.
        count: number of frames; fewer if the motion is shorter.
        fps: frames a second, for the time under each frame.
        title: text above each frame.
        style: sizes of one frame.
    """
    indices = np.unique(np.linspace(0, len(joints) - 1, count).round().astype(int)).tolist()
    images = render_frames(joints, indices, fps, title, style or Style(size=(288, 288)))
    width, height = images[0].size
    columns = min(4, len(images))
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "white")
    for place, (index, image) in enumerate(zip(indices, images)):
        ImageDraw.Draw(image).text((8, height - 22), f"{index / fps:.1f} s", fill=INK, font=_font(14))
        sheet.paste(image, (place % columns * width, place // columns * height))
    with atomic_path(path) as aside:
        sheet.save(aside)


def _draw_frames(scene: Scene, indices: Iterable[int], title: str) -> Iterator[Image.Image]:
    """Images of frames, each with the title over it."""
    caption = _title_mask(title, scene.width, scene.height)
    for index in indices:
        image = scene.draw(index)
        if caption is not None:
            image.paste(INK, *caption)
        yield image


def _encode(images: Iterable[Image.Image], path: Path, size: tuple[int, int], fps: float) -> None:
    """Pipe RGB images through ffmpeg into an mp4 that starts playing before it is loaded whole.

    Raises:
        UserError: ffmpeg fails.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-", "-an", "-pix_fmt", "yuv420p"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-qp", str(QUANTIZER)]
    command += ["-movflags", "+faststart", str(path)]
    # A file takes any amount of messages; a pipe that nobody reads would block.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages, pipesize=PIPE_BYTES)
        try:
            complete = _feed(images, process)
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        if code != 0 or not complete:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise UserError(f"ffmpeg could not write {path.name}: {lines[-1]}; save npy or bvh, or check the disk")


def _feed(images: Iterable[Image.Image], process: subprocess.Popen[bytes]) -> bool:
    """Write images into the standard input of ffmpeg; False if it stopped reading, which its messages explain."""
    assert process.stdin is not None
    for image in images:
        pixels = image.tobytes()
        try:
            process.stdin.write(pixels)
        except OSError:  # a broken pipe, which Windows reports as an invalid argument
            return False
    process.stdin.close()
    return True


def _title_mask(title: str, width: int, height: int) -> tuple[Box, Image.Image] | None:
    """Where the title lies in an image, and how strongly each pixel there takes its colour; None without a title."""
    text = " ".join("".join(char if char.isprintable() else " " for char in title).split())
    if not text:
        return None
    font = _font(max(10, height // 26))
    lines = _wrap(text, font, room=0.92 * width)
    step = font.getbbox("Ag")[3] * 1.25
    mask = Image.new("L", (width, min(height, int(step * len(lines) + 12))))
    draw = ImageDraw.Draw(mask)
    for row, line in enumerate(lines):
        draw.text((width / 2, 8 + row * step), line, fill=255, font=font, anchor="ma")
    box = mask.getbbox()
    return None if box is None else (box, mask.crop(box))


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> list[str]:
    """At most `TITLE_LINES` lines, as long as fits in `room` pixels; a word longer than a line is broken."""
    lines: list[str] = []
    for letters in range(max(1, int(room / font.getlength("i"))), 0, -1):
        lines = textwrap.wrap(text, letters, max_lines=TITLE_LINES, placeholder="…")
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
