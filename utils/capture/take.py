"""Raw motion capture files (BVH, ASF/AMC) as joint positions, in the file's own unit and axes."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lamp.utils.capture.asf_amc import parse_amc
from lamp.utils.capture.bvh import parse_bvh
from lamp.utils.capture.recording import Recording
from lamp.utils.errors import UserError

CAPTURE_SUFFIXES = (".bvh", ".amc")


@dataclass
class Take:
    """Motion capture of one performer.

    Attributes:
        names: joint names; the end of a chain is called `<parent>_end`.
        parents: parent of each joint, -1 for the root.
        positions: (T, N, 3) in the file's unit and axes.
        fps: frames a second.
    """

    names: list[str]
    parents: list[int]
    positions: Tensor
    fps: float


def read_take(path: str | Path, fps: float | None = None, skip: int = 0) -> Take:
    """Read a .bvh file, or an .amc file with the .asf of its subject beside it.

    Args:
        path: `X.bvh`, or `SUBJECT_N.amc` next to `SUBJECT.asf` (or the folder's only .asf).
        fps: resample to this rate, on the rotations, so that bones keep their lengths; None keeps the file's.
        skip: raw frames to drop at the start (lead-ins of some exports).

    Raises:
        UserError: the file cannot be read as motion capture.
    """
    return to_take(read_recording(path), path, fps, skip)


def read_recording(path: str | Path) -> Recording:
    """Like `read_take`: the file's skeleton and poses as they are, which `to_take` makes positions of.

    Raises:
        UserError: the file cannot be read as motion capture.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        if path.suffix.lower() == ".bvh":
            return parse_bvh(text)
        if path.suffix.lower() == ".amc":
            return parse_amc(text, _skeleton_text(path))
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"{path} is not a readable {path.suffix[1:].upper()} file: {error}") from error
    raise UserError(f"{path} is neither .bvh nor .amc")


def to_take(recording: Recording, path: str | Path, fps: float | None = None, skip: int = 0) -> Take:
    """Joint positions of a recording; see `read_take`. `path` names it in errors.

    Raises:
        UserError: fewer than two frames, or values that are not finite.
    """
    recording = recording.without_first(skip)
    if len(recording) < 2:
        raise UserError(f"{path} has fewer than two frames")
    if not recording.is_finite:
        raise UserError(f"{path} holds values that are not finite")
    if fps is not None:
        recording = recording.resampled(fps)
    return Take(recording.rig.names, recording.rig.parents, recording.global_positions(), recording.fps)


def _skeleton_text(path: Path) -> str:
    """Text of the skeleton file that belongs to an .amc file."""
    subject = path.with_name(path.stem.split("_")[0] + ".asf")
    if not subject.is_file():
        others = sorted(path.parent.glob("*.asf"))
        if len(others) != 1:
            raise UserError(f"{path} needs its skeleton {subject.name} beside it")
        subject = others[0]
    return subject.read_text(encoding="utf-8", errors="replace")
