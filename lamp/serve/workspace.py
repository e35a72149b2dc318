"""`Workspace`: generating, describing, converting and finding motions as files that all lie below one folder."""

import os
import re
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamp.library.reader import MotionReader
from lamp.library.search import Library
from lamp.library.store import Store
from lamp.models.pipeline import LaMPPipeline
from lamp.models.sentences.understanding import wording_notes
from lamp.models.sequences import MIN_FRAMES
from lamp.utils.capture.files import MOTION_SUFFIXES, read_motion, read_noted
from lamp.utils.character.character import Character
from lamp.utils.errors import UserError
from lamp.utils.export import FORMATS, WRITERS, suffix_of
from lamp.utils.files import files_below, shown
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.motion import Motion

LONGEST_PROMPT = 1000  # characters; the text encoder reads far fewer
MOST_CAPTIONS = 10
MOST_FOUND = 50


@dataclass(frozen=True)
class Saved:
    """A motion that was written.

    Attributes:
        files: names relative to the workspace's folder.
        seconds: duration.
        frames: number of frames, at `fps` a second.
        fps: frames a second.
        warnings: what of the prompt is not understood, or made in other words; what was supposed of a file and may be
            wrong.
    """

    files: list[str]
    seconds: float
    frames: int
    fps: float
    warnings: list[str]


@dataclass(frozen=True)
class Found:
    """A segment of a library.

    Attributes:
        file: relative to the workspace's folder where it lies below it, else to the folder that was indexed.
        below: whether it lies below the workspace's folder, so that further requests may name it.
        start, end: seconds in the file.
        score: cosine of LaMP's embeddings, 1 at most.
        caption: what the captioner, or a person, says of it.
    """

    file: str
    below: bool
    start: float
    end: float
    score: float
    caption: str


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
        self._reader: MotionReader | None = None

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
            warnings = pipe.notes([prompt]) + pipe.unlike_prompts([prompt]) + wording_notes([motion])
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

    def search(self, library: str, prompt: str = "", file: str = "", count: int = 5) -> list[Found]:
        """Segments of a library that show what a sentence says, or move as a motion does, the best first.

        Args:
            library: folder that `lamp index` made.
            prompt: the sentence.
            file: motion file, instead of a sentence.
            count: how many.

        Raises:
            UserError: neither a sentence nor a file or both, a name that is outside or not there, or a folder that is
                no library, or one of other models.
        """
        if bool(prompt.strip()) == bool(file):
            raise UserError("search by a sentence or by a motion file; give one of them")
        if len(prompt) > LONGEST_PROMPT or not 1 <= count <= MOST_FOUND:
            raise UserError(f"write at most {LONGEST_PROMPT} characters, and ask for 1 to {MOST_FOUND} segments")
        query = read_motion(self._existing(file)) if file else prompt
        folder = self.place(library)
        for path in folder.rglob("*"):
            self._within(path, library)
        store = Store(folder)
        with self._lock:
            opened = Library(store, self._models_of_libraries())
            answers = opened.search(query, count)
        found = []
        for answer in answers:
            path = (opened.source / answer.file).resolve()
            below = path.is_relative_to(self.folder)
            name = path.relative_to(self.folder).as_posix() if below else answer.file
            found.append(Found(name, below, answer.start, answer.end, answer.score, answer.caption))
        return found

    def convert(
        self, file: str, out: str, fps: float | None = None, in_place: bool = False, character: str = ""
    ) -> Saved:
        """Write a motion file in another format, at another frame rate, in place or on a character.

        Args:
            file: motion file.
            out: file to write, whose suffix names the format.
            fps: frames a second of the result; None keeps the file's own.
            in_place: take the travel out.
            character: rigged humanoid (.glb, .vrm) that gets the motion.

        Raises:
            UserError: a name that is outside or not there, a file that holds no motion or no character, one to write
                that is there already or of no format, or a rate that cannot be.
        """
        source, target = self._existing(file), self.place(out)
        figure = Character(self._existing(character)) if character else None
        # Of two requests for one file the second is refused, not written over the first.
        with self._lock:
            if os.path.lexists(target):
                raise UserError(f"{shown(out)} is there already; name another file to write")
            motion, notes = read_noted(source)
            if fps is not None:
                motion = motion.at_rate(fps)
            if in_place:
                motion = motion.in_place()
            written = motion.save(target) if figure is None else figure.save(motion, target)
        return self._saved(motion, [written], notes)

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
        if not file or path == self.folder:
            raise UserError(f"{shown(file)} is no file name; name one below the folder")
        return self._within(path, file)

    def _within(self, path: Path, name: str) -> Path:
        """Where a path leads to, which must be below the folder."""
        path = path.resolve()
        if not path.is_relative_to(self.folder):
            raise UserError(f"{shown(name)} is not below the folder that this server may use")
        return path

    def _existing(self, file: str) -> Path:
        path = self.place(file)
        if not os.path.isfile(path):  # unlike Path.is_file, also where a name is too long for the disk
            raise UserError(f"there is no file {shown(file)}; list_files tells which there are")
        if path.suffix.lower() == ".amc":  # which is read with a skeleton beside it
            for skeleton in files_below(path.parent, ".asf"):
                self._within(skeleton, file)
        return path

    def _models(self) -> LaMPPipeline:
        if self._pipe is None:
            self._pipe = self._load()
        return self._pipe

    def _models_of_libraries(self) -> MotionReader:
        if self._reader is None:
            self._reader = MotionReader.of(self._models())
        return self._reader

    def _save(self, motion: Motion, stem: str, suffixes: Sequence[str], warnings: list[str]) -> Saved:
        return self._saved(motion, [motion.save(self.place(stem + suffix)) for suffix in suffixes], warnings)

    def _saved(self, motion: Motion, paths: Sequence[Path], warnings: list[str]) -> Saved:
        files = [path.relative_to(self.folder).as_posix() for path in paths]
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
