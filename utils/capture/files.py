"""Motion files of every kind that the project reads, alone or in folders, as `Motion`."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lamp.utils.capture.checks import check_array, check_motion, check_stance, find_unit
from lamp.utils.capture.joint_map import JointMap, write_draft
from lamp.utils.capture.joints import FPS, read_joints
from lamp.utils.capture.take import CAPTURE_SUFFIXES
from lamp.utils.capture.upright import upright
from lamp.utils.errors import UserError
from lamp.utils.export.checks import checked_joints
from lamp.utils.files import files_below
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.reading import reading

ARRAY_SUFFIXES = (".npy", ".npz")
SUPPOSED = "supposed"
"""Key of a motion's `meta`: lines of what was supposed when its capture was read."""
MOTION_SUFFIXES = (*ARRAY_SUFFIXES, *CAPTURE_SUFFIXES)


def find_motion_files(path: Path, flag: str = "--motion") -> dict[str, Path]:
    """A motion file, or those of a folder and the folders below it, by their names relative to the folder.

    Names that begin with a dot are passed over: macOS keeps such files beside others,
    and what is being written is called so.

    Args:
        path: a file, whose folder is the one it lies in, or a folder.
        flag: what the user gave `path` with, for errors.

    Raises:
        UserError: there is none.
    """
    if path.is_dir():
        below = {file.relative_to(path): file for file in files_below(path, *MOTION_SUFFIXES)}
        files = {name: file for name, file in below.items() if not any(part.startswith(".") for part in name.parts)}
        if not files:
            raise UserError(f"{flag} {path}: no motion files ({', '.join(MOTION_SUFFIXES)}) in this folder")
        # A name that is no text in the system's encoding would stop whatever prints or writes it.
        return {os.fsencode(name.as_posix()).decode(errors="replace"): file for name, file in files.items()}
    if not path.is_file():
        raise UserError(f"{flag} {path}: no such file or folder")
    if path.suffix.lower() not in MOTION_SUFFIXES:
        kind = path.suffix or "a file without suffix"
        raise UserError(f"{flag} {path}: cannot read {kind}; use {', '.join(MOTION_SUFFIXES)} or a folder of them")
    return {path.name: path}


def reason_of(error: UserError, path: str | Path, name: str) -> str:
    """Why a file could not be read, to stand after its name: readers name the file in their own way."""
    return str(error).replace(str(path), name).removeprefix(f"{name}: ").removeprefix(f"{name} is ")


def tell_left_out(
    left_out: Sequence[tuple[str, Mapping[str, object]]], total: int, done: str, elsewhere: bool = False
) -> None:
    """Say at the end how many files were left out, and write a joint map to fill in where a skeleton was unknown.

    Args:
        left_out: for each such file its reason, and what is known of its joint map, see `UnknownSkeletonError`.
        total: number of files.
        done: what was to be done with them.
        elsewhere: other files have results already, or another process is at them.

    Raises:
        UserError: all were left out, and nothing is there from elsewhere.
    """
    if draft := next((draft for _, draft in left_out if draft), None):
        print(f"{write_draft(draft)} is a joint map to fill in for --joint_map", file=sys.stderr)
    if len(left_out) == total and not elsewhere:
        more = f" ({total} files, none could be {done})" if total > 1 else ""
        raise UserError(f"{left_out[0][0]}{more}")
    if left_out:
        print(f"{len(left_out)} of {total} files left out", file=sys.stderr)


def read_motion(
    path: str | Path, joint_map: JointMap | None = None, up: str | None = None, fps: float | None = FPS
) -> Motion:
    """Read a motion file of any kind, and check that it can be a body.

    Arrays are read by `Motion.load`, Y up and in metres. Captures (.bvh; .amc with its .asf) have any skeleton, up
    axis, unit and frame rate; they become the 22 joints of the format at 20 frames a second, or `fps`, Y up, still in
    the file's unit. What was supposed of a file and may be wrong is in `meta[SUPPOSED]`.

    Args:
        path: the file.
        joint_map: of a capture, from our joints to the file's; None to choose by names and structure.
        up: up axis of the file ("+x", "-y", ...); None finds that of a capture, and checks that an array's is +Y.
        fps: frames a second of a capture's result; None keeps the file's own.

    Raises:
        UserError: it holds no motion, or none of a body.
    """
    path = Path(path)
    with reading(path, "motion"):
        if path.suffix.lower() in CAPTURE_SUFFIXES:
            captured = read_joints(path, up, joint_map, fps)
            # At about the format's rate, at which a glitch of a single frame is no flight.
            step = max(1, round(captured.fps / FPS))
            check_motion(captured.joints[::step], captured.fps / step, str(path))
            array = checked_joints(captured.joints.float().numpy(), what=str(path))
            return Motion(array, fps=captured.fps, meta={SUPPOSED: list(captured.notes)} if captured.notes else {})
        motion = Motion.load(path)
        if motion.joints.shape[1] != HUMANML3D.num_joints:
            return motion
        joints = torch.from_numpy(motion.joints)
        check_array(joints, str(path), up)
        if up not in (None, "+y", "y"):
            joints = upright(joints, up)
            motion = replace(motion, joints=joints.numpy(), features=None)
        check_stance(joints, str(path))
        check_motion(joints, motion.fps, str(path))
        return motion


def read_in_metres(
    path: str | Path, joint_map: JointMap | None = None, up: str | None = None, unit: float | None = None
) -> Motion:
    """Read a motion file as `read_noted` does; what was supposed of the file is printed, since it may be wrong.

    Raises:
        UserError: it holds no motion, or none of a body.
    """
    motion, notes = read_noted(path, joint_map, up, unit)
    for note in notes:
        print(f"note: {path}: {note}", file=sys.stderr)
    return motion


def read_noted(
    path: str | Path,
    joint_map: JointMap | None = None,
    up: str | None = None,
    unit: float | None = None,
    fps: float | None = None,
) -> tuple[Motion, list[str]]:
    """Read a motion file as `read_motion` does, and bring a capture to metres.

    Args:
        path: the file.
        joint_map: of a capture, from our joints to the file's.
        up: up axis of the file.
        unit: metres in the unit of a capture; None tells it by the length of the legs.
        fps: frames a second of a capture's result; None keeps the file's own.

    Returns:
        The motion, and what was supposed of the file, which may be wrong.

    Raises:
        UserError: it holds no motion, or none of a body.
    """
    motion = read_motion(path, joint_map, up, fps)
    notes = list(motion.meta.get(SUPPOSED, ()))
    if Path(path).suffix.lower() in CAPTURE_SUFFIXES:
        metres, note = (unit, "") if unit else find_unit(torch.from_numpy(motion.joints))
        # Files tell the time of a frame with few digits.
        fps = round(motion.fps) if abs(motion.fps - round(motion.fps)) < 1e-3 * motion.fps else motion.fps
        motion = replace(motion, joints=motion.joints * metres, fps=float(fps))
        notes += [note] if note else []
    return motion, notes
