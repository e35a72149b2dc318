"""Stick-figure video of a motion, piped straight into the ffmpeg that comes with imageio-ffmpeg."""

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np
from PIL import Image

from lamp.utils.errors import UserError
from lamp.utils.export.scene import Scene, Style
from lamp.utils.files import atomic_path

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

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
    scene = Scene(joints, fps, title, style)
    with atomic_path(path) as aside:
        _encode(map(scene.draw, range(len(joints))), aside, scene.size, fps)


def render_frames(
    joints: np.ndarray, indices: Sequence[int], fps: float = 20.0, title: str = "", style: Style | None = None
) -> list[Image.Image]:
    """RGB images of the frames `indices` of a motion, as they are in its video."""
    scene = Scene(joints, fps, title, style)
    return [Image.frombytes("RGB", scene.size, scene.draw(index)) for index in indices]


def _encode(images: Iterable[bytes], path: Path, size: tuple[int, int], fps: float) -> None:
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


def _feed(images: Iterable[bytes], process: subprocess.Popen[bytes]) -> bool:
    """Write images into the standard input of ffmpeg; False if it stopped reading, which its messages explain."""
    assert process.stdin is not None
    for image in images:
        try:
            process.stdin.write(image)
        except OSError:  # a broken pipe, which Windows reports as an invalid argument
            return False
    process.stdin.close()
    return True
