"""What the scripts that make motions have in common: the models that options name, the files of each motion."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.options.gen import ModelOptions, MotionOptions
from lamp.utils.errors import UserError
from lamp.utils.export import writing
from lamp.utils.litter import sweep
from lamp.utils.threads.garbage import starting
from lamp.utils.workers import helper

# Torch and the models take a second to import: mistakes on the command line are answered before that.
if TYPE_CHECKING:
    import numpy as np
    import torch

    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.character.character import Character
    from lamp.utils.motion import Motion

HUMANML3D_JOINTS = 22


def check_output(folder: Path) -> None:
    """Make the output folder before anything is computed.

    Raises:
        UserError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *folder.glob("*/*/")):  # what a killed run left half-written
            sweep(place)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --output_dir") from error


@contextmanager
def drawing(options: MotionOptions) -> Iterator[Executor | None]:
    """A process that draws videos for `save_all`, if the options want any and there is a core for it.

    Open it before PyTorch is imported: meanwhile the process gets ready on another core.
    """
    process = None
    with ExitStack() as stack:
        if ".mp4" in options.suffixes and _cores() > 1:
            with suppress(OSError, ImportError, NotImplementedError):  # no processes to spare, or no semaphores
                process = stack.enter_context(helper(_import_video))
        yield process


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _import_video() -> None:
    import_module("lamp.utils.export.video")


def _draw_in(process: Executor, motion: "Motion", path: Path) -> Callable[[], object]:
    """Have a video drawn; what this returns waits until it is there, and raises what `Motion.save` would."""

    def wait() -> None:
        try:
            with writing(path):
                job.result()
        except BrokenExecutor:  # it was killed in the middle
            sweep(path.parent)
            draw_here()

    draw_here = partial(motion.save, path)
    try:
        job = process.submit(_draw, motion.joints, path, motion.fps, motion.text)
    except BrokenExecutor:  # the process was killed, as the system does where memory runs out
        return draw_here
    return wait


def _draw(joints: "np.ndarray", path: Path, fps: float, title: str) -> None:
    from lamp.utils.export.video import write_mp4

    write_mp4(joints, path, fps, title)


def warn_of(pipe: "LaMPPipeline", prompts: Sequence[str]) -> None:
    """Say on standard error what the models will not understand of prompts."""
    for warning in pipe.notes(prompts) + pipe.unlike_prompts(prompts):
        print(f"warning: {warning}", file=sys.stderr)


def tell_wording(motions: "Sequence[Motion]") -> None:
    """Say on standard error which sentences were made in other words."""
    from lamp.models.sentences.understanding import wording_notes

    for note in wording_notes(motions):
        print(f"note: {note}", file=sys.stderr)


def load_pipeline(options: ModelOptions, device: "torch.device | None" = None) -> "LaMPPipeline":
    """The models that the options name, computing as the options say, on a device of theirs or another."""
    with starting():
        return _load_pipeline(options, device)


def _load_pipeline(options: ModelOptions, device: "torch.device | None") -> "LaMPPipeline":
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.run.device import resolve_device

    device = resolve_device(options.gpu_id) if device is None else device
    if options.name:
        pipe = LaMPPipeline.from_runs(
            options.checkpoints_dir / options.dataset_name,
            options.name,
            options.res_name or None,
            length_name=options.length_name,
            which=options.which_epoch,
            device=device,
        )
    else:
        pipe = LaMPPipeline.from_pretrained(options.models or None, device)
    return pipe.with_precision(options.precision)


def find_character(options: MotionOptions) -> "Character | None":
    """The character that gets each motion, if the options name one."""
    if options.character is None:
        return None
    from lamp.utils.character.character import load_character

    return load_character(options.character, options.character_map)


def save_all(
    motion: "Motion",
    folder: Path,
    index: int,
    repeat: int,
    options: MotionOptions,
    character: "Character | None" = None,
    process: Executor | None = None,
) -> Path:
    """Write the files of one motion, and return the first; `process`, of `drawing`, draws one of its videos."""
    stem = f"sample{index}_repeat{repeat}_len{len(motion)}"
    variants = _variants(motion, options)
    wait: Callable[[], object] | None = None
    # Videos first, so that ffmpeg is at work while the other files are written.
    for mark, variant in variants.items():
        for suffix in sorted(options.suffixes, key=lambda suffix: suffix != ".mp4"):
            # The archive holds features too, and the joints that belong to them.
            chosen = motion if suffix == ".npz" and not mark and not options.in_place else variant
            path = _place(folder, index, f"{stem}{mark}", suffix)
            if suffix == ".mp4" and process is not None and wait is None:
                wait = _draw_in(process, chosen, path)
            else:
                chosen.save(path)
        if character is not None:
            name = f"{stem}{mark}_{character.path.stem}.glb"
            character.save(variant, folder / "animations" / str(index) / name)
    if wait is not None:
        wait()
    return _place(folder, index, f"{stem}{next(iter(variants))}", options.suffixes[0])


def _place(folder: Path, index: int, name: str, suffix: str) -> Path:
    """Where a file goes."""
    room = "joints" if suffix.startswith(".np") or suffix == ".smpl.npz" else "animations"
    return folder / room / str(index) / f"{name}{suffix}"


def _variants(motion: "Motion", options: MotionOptions) -> "dict[str, Motion]":
    """A motion as it is written, by what is added to the files' names: with constant bones, and with cleaned feet."""
    from lamp.utils.looping import LOOP, through_rounds
    from lamp.utils.motion import Motion

    # The foot clean-up is made for HumanML3D's 22 joints, not for KIT-ML's.
    rigid = motion.joints.shape[1] == HUMANML3D_JOINTS
    changes = {"": Motion.with_constant_bones} if rigid else {}
    if options.ik and rigid:
        changes["_ik"] = Motion.with_foot_cleanup
    looped = motion.meta.get(LOOP) is True and motion.features is not None
    variants = {mark: through_rounds(motion, change) if looped else change(motion) for mark, change in changes.items()}
    if options.in_place:
        return {mark: variant.in_place() for mark, variant in (variants or {"": motion}).items()}
    return variants or {"": motion}
