"""Motion archives: npz files with documented keys.

| key | shape | type | what |
| --- | --- | --- | --- |
| `joints` | (T, J, 3) | float32 | positions, Y up; metres for 22 joints |
| `features` | (T, D) | float32 | HumanML3D or KIT-ML features, not normalised; absent if unknown |
| `fps` | () | float64 | frames a second |
| `text` | () | str | the prompt |
| `meta` | () | str | JSON object of anything else |
"""

import json
import zipfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path

if TYPE_CHECKING:
    from lamp.utils.motion import Motion


@dataclass(frozen=True)
class MotionArchive:
    """Content of a motion npz."""

    joints: np.ndarray
    features: np.ndarray | None = None
    fps: float = 20.0
    text: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def write(motion: "Motion", path: Path) -> None:
    """Write all that is known of a motion."""
    write_npz(MotionArchive(motion.joints, motion.features, motion.fps, motion.text, motion.meta), path)


def write_npz(archive: MotionArchive, path: str | Path) -> None:
    """Write an archive, compressed."""
    save = partial(
        np.savez_compressed,
        joints=archive.joints.astype(np.float32),
        fps=np.float64(archive.fps),
        text=np.str_(archive.text),
        meta=np.str_(json.dumps(archive.meta, ensure_ascii=False)),
    )
    with atomic_path(path) as aside, aside.open("wb") as file:
        if archive.features is None:
            save(file)
        else:
            save(file, features=archive.features.astype(np.float32))


def read_npz(path: str | Path) -> MotionArchive:
    """Read an archive; only `joints` is required.

    Raises:
        UserError: not an npz file, or without `joints`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "joints" not in arrays:
                raise UserError(f"{path} has no array 'joints' but {sorted(arrays)}; rename the array of positions")
            return MotionArchive(
                joints=arrays["joints"],
                features=arrays["features"] if "features" in arrays else None,
                fps=float(arrays["fps"]) if "fps" in arrays else 20.0,
                text=str(arrays["text"]) if "text" in arrays else "",
                meta=json.loads(str(arrays["meta"])) if "meta" in arrays else {},
            )
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path} is not a motion archive ({error}); give an npz that Motion.save wrote") from error
