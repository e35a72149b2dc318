"""Stick-figure video of a motion, piped straight into the ffmpeg that comes with imageio-ffmpeg."""

import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lamp.utils.errors import UserError
from lamp.utils.export.figure import INK
from lamp.utils.export.planes import YCBCR, Box, Planes, aligned_boxes
from lamp.utils.export.scene import Scene, Style
from lamp.utils.files import atomic_path

# Tried in this order; Pillow's own font, which has Latin letters only, comes last.
FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf", "Helvetica.ttc")
TITLE_LINES = 3
FRAMES_AHEAD = 16
# x264's step, the same for all frames. Its -crf would look at every frame once more to choose one, for a quarter of its
# time; at 24 it settles between 18 and 23 for people who walk, 47 dB and more of the drawn image in either case.
QUANTIZER = 21


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
    scene = Scene(joints, fps, style, YCBCR)
    frames = _titled(scene.frames(range(len(joints))), _title_mask(title, scene.width, scene.height))
    with atomic_path(path) as aside:
        _encode(frames, aside, size=(scene.width, scene.height), fps=fps)


def render_frames(
    joints: np.ndarray, indices: Sequence[int], fps: float = 20.0, title: str = "", style: Style | None = None
) -> list[Image.Image]:
    """RGB images of the frames `indices` of a motion, as they are in its video."""
    scene = Scene(joints, fps, style)
    caption = _title_mask(title, scene.width, scene.height)
    return [planes.image() for planes in _titled(scene.frames(indices), caption)]


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
        title: text above the first frame.
        style: sizes of one frame.
    """
    style = style or Style(size=(288, 288))
    scene = Scene(joints, fps, style)
    indices = np.unique(np.linspace(0, len(joints) - 1, count).round().astype(int)).tolist()
    caption = _title_mask(title, scene.width, scene.height)
    columns = min(4, len(indices))
    sheet = Image.new("RGB", (columns * scene.width, -(-len(indices) // columns) * scene.height), "white")
    for place, (index, planes) in enumerate(zip(indices, scene.frames(indices))):
        if place == 0 and caption is not None:
            planes.blend(INK, *caption)
        image = planes.image()
        stamp = f"{index / fps:.1f} s"
        ImageDraw.Draw(image).text((8, scene.height - 22), stamp, fill=INK, font=_font(14))
        sheet.paste(image, (place % columns * scene.width, place // columns * scene.height))
    with atomic_path(path) as aside:
        sheet.save(aside)


def _encode(frames: Iterable[Planes], path: Path, size: tuple[int, int], fps: float) -> None:
    """Pipe images in `YCBCR` through ffmpeg into an mp4 that starts playing before it is loaded whole."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command += ["-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-", "-an"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-qp", str(QUANTIZER)]
    command += ["-movflags", "+faststart", str(path)]
    # A file takes any amount of messages; a pipe that nobody reads would block.
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=messages)
        try:
            _feed(frames, process.stdin)
        except BrokenPipeError:
            pass  # ffmpeg ended early; its exit code and message say why
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        if code != 0:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise UserError(f"ffmpeg could not write {path.name}: {lines[-1]}; save npy or bvh, or check the disk")


def _feed(frames: Iterable[Planes], pipe: IO[bytes]) -> None:
    """Write all images into a pipe and close it; the next ones are drawn while it is full."""
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(1) as writer:
        for frame in frames:
            waiting.append(writer.submit(pipe.writelines, frame.buffers()))
            if len(waiting) > FRAMES_AHEAD:
                waiting.popleft().result()
        for write in waiting:
            write.result()
    pipe.close()


def _titled(frames: Iterable[Planes], caption: tuple[Box, Image.Image] | None) -> Iterator[Planes]:
    """The images, each with the title over it."""
    for planes in frames:
        if caption is not None:
            planes.blend(INK, *caption)
        yield planes


def _title_mask(title: str, width: int, height: int) -> tuple[Box, Image.Image] | None:
    """Where the title lies in an image, and how strongly each pixel there takes its colour; None without a title."""
    words = "".join(char if char.isprintable() else " " for char in title).split()
    if not words:
        return None
    font = _font(max(10, height // 26))
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    lines = _wrap(words, lambda text: measure.textlength(text, font=font), room=0.92 * width)
    step = font.getbbox("Ag")[3] * 1.25
    mask = Image.new("L", (width, min(height, int(step * len(lines) + 12))))
    draw = ImageDraw.Draw(mask)
    for row, line in enumerate(lines):
        draw.text((width / 2, 8 + row * step), line, fill=255, font=font, anchor="ma")
    inked = mask.getbbox()
    if inked is None:
        return None
    box = tuple(aligned_boxes(np.array(inked[:2]), np.array(inked[2:]), (width, height)).tolist())
    return box, mask.crop(box)


def _wrap(words: list[str], measure: Callable[[str], float], room: float) -> list[str]:
    """Lines of at most `room`, `TITLE_LINES` of them at most; a word longer than a line is broken."""
    lines = [""]
    for word in words:
        joined = f"{lines[-1]} {word}".strip()
        if measure(joined) <= room:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for char in word:
            if lines[-1] and measure(lines[-1] + char) > room:
                lines.append("")
            lines[-1] += char
        if len(lines) > TITLE_LINES:
            break
    if len(lines) > TITLE_LINES:
        last = lines[TITLE_LINES - 1]
        while last and measure(last + "…") > room:
            last = last[:-1]
        lines = [*lines[: TITLE_LINES - 1], last + "…"]
    return lines


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    for name in FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
