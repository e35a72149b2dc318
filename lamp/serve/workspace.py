"""`Workspace`: generating, describing and converting motions as files that all lie below one folder."""

import os
import re
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamp.models.pipeline import MIN_FRAMES, LaMPPipeline
from lamp.utils.capture.files import MOTION_SUFFIXES, read_motion
from lamp.utils.errors import UserError
from lamp.utils.export import FORMATS, WRITERS, suffix_of
from lamp.utils.files import files_below, shown
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.motion import Motion

LONGEST_PROMPT = 1000  # characters; the text encoder reads far fewer
MOST_CAPTIONS = 10


@dataclass(frozen=True)
class Saved:
    """A motion that was written.

    Attributes:
        files: names relative to the workspace's folder.
        seconds: duration.
        frames: number of frames, at `fps` a second.
        fps: frames a second.
        warnings: what the models did not understand of the prompt.
    """

    files: list[str]
    seconds: float
    frames: int
    fps: float
    warnings: list[str]


class Workspace:
    """What other programs may ask for.

    Nothing outside of the folder is read or written. Requests are answered one at a time.

    Args:
        folder: made if it is not there.
        load: gives the models; called at the first request that needs them.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, folder: Path, load: Callable[[], LaMPPipeline]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--folder {folder} cannot be made: {error.strerror}; choose another") from error
        self.folder = folder.resolve()
        self._load, self._lock = load, threading.Lock()
        self._pipe: LaMPPipeline | None = None

    def generate(
        self, prompt: str, seconds: float | None, seed: int, formats: Sequence[str], clean_feet: bool = True
    ) -> Saved:
        """Generate a motion and write it in some formats.

        Args:
            prompt: what the person does.
            seconds: duration; None lets the models choose.
            seed: the same prompt, duration and seed give the same motion.
            formats: suffixes without their dot.
            clean_feet: feet stand still while they are planted.

        Raises:
            UserError: a prompt, duration, seed or format that cannot be.
        """
        prompt = " ".join(prompt.split())
        if not prompt or len(prompt) > LONGEST_PROMPT:
            raise UserError(f"the prompt has {len(prompt)} characters; write 1 to {LONGEST_PROMPT} of what is done")
        if seed < 0:
            raise UserError(f"seed {seed} must not be negative")
        writers = _suffixes(formats)
        with self._lock:
            pipe = self._models()
            frames = None if seconds is None else _frames(seconds, pipe.fps)
            (motion,) = pipe(prompt, frames, seed=seed)
            warnings = pipe.cut_prompts([prompt]) + pipe.foreign_prompts([prompt])
        if motion.joints.shape[1] == HUMANML3D.num_joints:
            motion = motion.with_foot_cleanup() if clean_feet else motion.with_constant_bones()
        words = "_".join(re.findall(r"[a-z0-9]+", prompt.lower()))[:48] or "motion"
        # Other prompts of the same words, seeds and durations are other files.
        mark = zlib.crc32(f"{prompt} {seed} {len(motion)} {clean_feet}".encode())
        return self._save(motion, f"{words}_{mark:08x}", writers, warnings)

    def describe(self, file: str, count: int) -> list[str]:
        """Captions of a motion file, the best first.

        Raises:
            UserError: a file that is outside or not there, or holds no motion that can be described.
        """
        if not 1 <= count <= MOST_CAPTIONS:
            raise UserError(f"{count} captions; ask for 1 to {MOST_CAPTIONS}")
        motion = read_motion(self._existing(file))
        with self._lock:
            return self._models().caption([motion], num_beams=max(count, 3), num_captions=count)[0]

    def files(self) -> list[str]:
        """Motion files below the folder."""
        found = files_below(self.folder, *MOTION_SUFFIXES, *WRITERS)
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    def place(self, file: str) -> Path:
        """A path below the folder.

        Raises:
            UserError: it is outside, also by way of a link.
        """
        try:
            path = (self.folder / file).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{shown(file)} is no file name; name one below the folder") from error
        if not file or path == self.folder or not path.is_relative_to(self.folder):
            raise UserError(f"{shown(file)} is not below the folder that this server may use")
        return path

    def _existing(self, file: str) -> Path:
        path = self.place(file)
        if not os.path.isfile(path):  # unlike Path.is_file, also where a name is too long for the disk
            raise UserError(f"there is no file {shown(file)}; list_files tells which there are")
        return path

    def _models(self) -> LaMPPipeline:
        if self._pipe is None:
            self._pipe = self._load()
        return self._pipe

    def _save(self, motion: Motion, stem: str, suffixes: Sequence[str], warnings: list[str]) -> Saved:
        files = [motion.save(self.place(stem + suffix)).relative_to(self.folder).as_posix() for suffix in suffixes]
        return Saved(files, round(motion.seconds, 3), len(motion), motion.fps, warnings)


def _suffixes(formats: Sequence[str]) -> list[str]:
    """Suffixes of formats, or of suffixes themselves, in any case, each once."""
    if not formats:
        raise UserError(f"no format; the formats are {', '.join(FORMATS)}")
    names = {suffix: name for name, suffix in FORMATS.items()}
    return list(dict.fromkeys(suffix_of(names.get(name, name)) for name in map(str.lower, formats)))


def _frames(seconds: float, fps: float) -> int:
    shortest, longest = MIN_FRAMES / fps, MAX_FRAMES / fps
    if not shortest <= seconds <= longest:
        raise UserError(f"{seconds:g} seconds; the models make {shortest:g} to {longest:g}")
    return round(seconds * fps)
