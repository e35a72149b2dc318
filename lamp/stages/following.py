"""The benchmark of following: motions of sentences, generated or of files, to verdicts, tables and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.options.following import EvalFollowOptions
from lamp.utils.capture.files import MOTION_SUFFIXES, read_motion
from lamp.utils.errors import UserError, naming
from lamp.utils.files import atomic_path
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.report.sheet import Strip, save_sheet
from lamp.utils.run.provenance import digest
from lamp.utils.scores.following.score import Verdict, judge
from lamp.utils.scores.following.sentences import SHIPPED, Sentence, read_sentences

if TYPE_CHECKING:
    from lamp.models.pipeline import LaMPPipeline

CLEANED = "_ik"
"""End of the names of files that are copies with cleaned feet, which `gen_t2m.py` writes beside the originals."""


def chosen_sentences(options: EvalFollowOptions) -> list[Sentence]:
    """The sentences that the options ask for.

    Raises:
        UserError: a file that is wrong, or a group that is not there.
    """
    sentences = read_sentences(options.sentences or SHIPPED)
    there = list(dict.fromkeys(sentence.group for sentence in sentences))
    if unknown := [group for group in options.groups if group not in there]:
        raise UserError(f"--groups {unknown[0]}: no such group; there are {', '.join(there)}")
    return [sentence for sentence in sentences if not options.groups or sentence.group in options.groups]


def write_prompts(sentences: Sequence[Sentence], path: Path) -> None:
    """Write a prompt file, as `gen_t2m.py --text_path` reads it; line i is sentence i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as aside:
        aside.write_text("".join(f"{one.text}#{one.frames}\n" for one in sentences), encoding="utf-8")


def generate(
    pipe: "LaMPPipeline", sentences: Sequence[Sentence], options: EvalFollowOptions, done: Callable[[int, int], None]
) -> list[list[Motion]]:
    """Motions of each sentence, as many as `repeat_times` says; `done` is called with how many are made, and of all."""
    seeds = [options.seed + repeat for repeat in range(options.repeat_times)]
    texts = [sentence.text for sentence in sentences for _ in seeds]
    lengths = None if options.model_length else [sentence.frames for sentence in sentences for _ in seeds]
    made = pipe(texts, lengths, seeds=seeds * len(sentences), progress=done, **options.sampling())
    return [made[start : start + len(seeds)] for start in range(0, len(made), len(seeds))]


def find_motions(folder: Path, sentences: Sequence[Sentence]) -> list[list[Path]]:
    """Motion files of each sentence.

    They are those of the folder `<id>`, or of the folder `<number>` (the line in the prompt file, from 0, as
    `gen_t2m.py` calls it), sorted by name, or the one file `<id>.npy` (or .npz, .bvh). Copies with cleaned feet
    (`*_ik.npy`) are left out.

    Raises:
        UserError: there is no such folder, or none of a sentence.
    """
    if not folder.is_dir():
        raise UserError(f"--motions {folder}: no such folder")
    found = [_files_of(folder, str(number), sentence.id) for number, sentence in enumerate(sentences)]
    if missing := [sentence.id for sentence, files in zip(sentences, found) if not files]:
        raise UserError(
            f"--motions {folder} lacks {len(missing)} of {len(sentences)} sentences, such as {missing[0]}; "
            "--list prints them, a folder or file by the id of each is needed"
        )
    return found


def _files_of(folder: Path, number: str, name: str) -> list[Path]:
    for place in (folder / name, folder / number):
        if place.is_dir():
            files = [path for path in place.iterdir() if path.suffix.lower() in MOTION_SUFFIXES]
            return sorted(path for path in files if not path.stem.endswith(CLEANED))
    single = (folder / f"{name}{suffix}" for suffix in MOTION_SUFFIXES)
    return [path for path in single if path.is_file()][:1]


def read_motions(files: Sequence[Path], fps: float | None) -> list[Motion]:
    """Motions of one sentence; arrays have `fps` frames a second, if that is given.

    Raises:
        UserError: a file holds no motion, or one of other joints than HumanML3D's 22.
    """
    motions = []
    for path in files:
        motion = read_motion(path)
        if motion.joints.shape[1] != HUMANML3D.num_joints:
            raise UserError(
                f"{path} has {motion.joints.shape[1]} joints a frame; give HumanML3D's {HUMANML3D.num_joints}"
            )
        is_array = path.suffix.lower() == ".npy"
        motions.append(replace(motion, fps=fps, features=None) if fps and is_array else motion)
    return motions


def judge_all(sentences: Sequence[Sentence], motions: Sequence[Sequence[Motion]], clean: bool) -> list[list[Verdict]]:
    """Verdict on every motion, after the foot clean-up if `clean`.

    Raises:
        UserError: a motion cannot be judged; the message names its sentence.
    """
    verdicts = []
    for sentence, row in zip(sentences, motions, strict=True):
        with naming(f"motion of {sentence.id}"):
            cleaned = [motion.with_foot_cleanup() if clean else motion for motion in row]
            verdicts.append([judge(sentence, motion.joints, motion.fps) for motion in cleaned])
    return verdicts


def save_motions(sentences: Sequence[Sentence], motions: Sequence[Sequence[Motion]], folder: Path) -> None:
    """Write motions as `find_motions` finds them: `<folder>/<id>/<repetition>.npz`."""
    for sentence, row in zip(sentences, motions, strict=True):
        for repeat, motion in enumerate(row):
            motion.save(folder / sentence.id / f"{repeat}.npz")


def save_sheets(sentences: Sequence[Sentence], verdicts: Sequence[Sequence[Verdict]], folder: Path) -> list[Path]:
    """Write `sheet_<group>.png` for each group: every motion as frames, in green if it follows, in red if not."""
    paths = []
    for group in dict.fromkeys(sentence.group for sentence in sentences):
        rows = [
            (f"{sentence.id}: {sentence.text}", [Strip(verdict.joints, verdict.good) for verdict in row])
            for sentence, row in zip(sentences, verdicts)
            if sentence.group == group
        ]
        paths.append(folder / f"sheet_{group}.png")
        save_sheet(rows, paths[-1])
    return paths


def identity(sentences: Sequence[Sentence]) -> str:
    """Digest of what is asked and how it is tested, so that only numbers of the same benchmark are compared."""
    return f"sentences@{digest(str(sentence) for sentence in sentences)}"
