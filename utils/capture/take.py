"""Raw motion capture files (BVH, ASF/AMC) as joint positions, in the file's own unit and axes."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from lamp.utils.capture.asf_amc import parse_amc
from lamp.utils.capture.bvh import parse_bvh
from lamp.utils.capture.recording import Recording
from lamp.utils.errors import UserError
from lamp.utils.reading import decode, reading

CAPTURE_SUFFIXES = (".bvh", ".amc")
_FARTHEST = 1e9


@dataclass
class Take:
    """Motion capture of one performer.

    Attributes:
        names: joint names; the end of a chain is called `<parent>_end`.
        parents: parent of each joint, -1 for the root.
        positions: (T, N, 3) in the file's unit and axes.
        fps: frames a second.
        offsets: place of each joint in its parent's frame, if known: the rest pose, where a file keeps one.
    """

    names: list[str]
    parents: list[int]
    positions: Tensor
    fps: float
    offsets: list[tuple[float, ...]] = field(default_factory=list)


def read_take(path: str | Path, fps: float | None = None, skip: int = 0) -> Take:
    """Read a .bvh file, or an .amc file with the .asf of its subject beside it.

    Args:
        path: `X.bvh`, or `SUBJECT_....amc` next to `SUBJECT.asf` (or the folder's only .asf).
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
    suffix = path.suffix.lower()
    if suffix not in CAPTURE_SUFFIXES:
        raise UserError(f"{path} is neither .bvh nor .amc")
    with reading(path, f"{suffix[1:].upper()} file"):
        text = decode(path.read_bytes())
        return parse_bvh(text) if suffix == ".bvh" else parse_amc(text, decode(skeleton_of(path).read_bytes()))


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
    positions = recording.global_positions()
    if not positions.isfinite().all() or positions.abs().max() > _FARTHEST:
        raise UserError(f"{path} holds positions beyond all measure; export it again")
    return Take(recording.rig.names, recording.rig.parents, positions, recording.fps, recording.rig.offsets)


def skeleton_of(path: Path) -> Path:
    """The skeleton file that belongs to an .amc file: SUBJECT.asf of SUBJECT_anything.amc, or the only one.

    HDM05 names HDM_bd_walk_001_120.amc for HDM_bd.asf, CMU 02_01.amc for 02.asf: the longest name that fits.

    Raises:
        UserError: there is none beside it.
    """
    skeletons = sorted(file for file in path.parent.iterdir() if file.suffix.lower() == ".asf")
    fitting = [file for file in skeletons if f"{path.stem}_".lower().startswith(f"{file.stem}_".lower())]
    if not fitting and len(skeletons) == 1:
        fitting = skeletons
    if not fitting:
        others = f"; there are {', '.join(file.name for file in skeletons[:3])}" if skeletons else ""
        raise UserError(f"{path} needs its skeleton {path.stem.split('_')[0]}.asf beside it{others}")
    return max(fitting, key=lambda file: len(file.stem))
