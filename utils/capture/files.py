"""Motion files of every kind that the project reads, alone or in folders, as `Motion`."""

from pathlib import Path

from lamp.utils.capture.joint_map import JointMap
from lamp.utils.capture.joints import FPS, read_joints
from lamp.utils.capture.take import CAPTURE_SUFFIXES
from lamp.utils.errors import UserError
from lamp.utils.export.checks import checked_joints
from lamp.utils.motion import Motion

ARRAY_SUFFIXES = (".npy", ".npz")
MOTION_SUFFIXES = (*ARRAY_SUFFIXES, *CAPTURE_SUFFIXES)


def find_motion_files(path: Path, flag: str = "--motion") -> dict[str, Path]:
    """A motion file, or those of a folder and the folders below it, by their names relative to the folder.

    Args:
        path: a file, whose folder is the one it lies in, or a folder.
        flag: what the user gave `path` with, for errors.

    Raises:
        UserError: there is none.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in MOTION_SUFFIXES and file.is_file())
        if not files:
            raise UserError(f"{flag} {path}: no motion files ({', '.join(MOTION_SUFFIXES)}) in this folder")
        return {file.relative_to(path).as_posix(): file for file in files}
    if not path.is_file():
        raise UserError(f"{flag} {path}: no such file or folder")
    if path.suffix.lower() not in MOTION_SUFFIXES:
        kind = path.suffix or "a file without suffix"
        raise UserError(f"{flag} {path}: cannot read {kind}; use {', '.join(MOTION_SUFFIXES)} or a folder of them")
    return {path.name: path}


def read_motion(path: str | Path, joint_map: JointMap | None = None) -> Motion:
    """Read a motion file of any kind.

    Arrays are read by `Motion.load`. Captures (.bvh; .amc with its .asf) have any skeleton, up axis, unit and frame
    rate; they become the 22 joints of the format at 20 frames a second, Y up, still in the file's unit.

    Args:
        path: the file.
        joint_map: of a capture, from our joints to the file's; None to choose by joint names.

    Raises:
        UserError: it holds no motion.
    """
    path = Path(path)
    if path.suffix.lower() in CAPTURE_SUFFIXES:
        joints = read_joints(path, joint_map=joint_map).joints.float().numpy()
        return Motion(checked_joints(joints, what=str(path)), fps=FPS)
    return Motion.load(path)
