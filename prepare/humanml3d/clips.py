"""From recordings to clips of HumanML3D, written one by one so that a build can be interrupted at any time."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamp.data.spec import SPECS
from lamp.prepare.check_data import BUILD_STATE
from lamp.prepare.humanml3d.amass import BodyJoints, body_joints, choose_body, read_take
from lamp.prepare.humanml3d.sources import HUMANACT12, LEAD_IN, Cut, Recording, Source
from lamp.utils.errors import UserError, brief
from lamp.utils.files import atomic_path, check_replaceable, read_json, write_json
from lamp.utils.kinematics.features import features_to_joints, joints_to_features, mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.reading import numbers
from lamp.utils.workers import worker_pool

REPORT_FILE = "report.json"
VECTORS, JOINTS = "new_joint_vecs", "new_joints"
_HEADER = 128  # bytes of an .npy file before its numbers


@dataclass(frozen=True)
class Job:
    """A recording of which clips are to be made."""

    recording: Recording
    source: Source


@dataclass(frozen=True)
class Dropped:
    """A clip that was not made."""

    clip: str
    reason: str
    detail: str


@dataclass
class JobResult:
    """What became of a recording: clips asked for, and facts for the report."""

    clips: int
    dropped: list[Dropped] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    rate: str = ""
    gender: str = ""


@dataclass(frozen=True)
class Work:
    """What a process needs for every recording."""

    out: Path
    bodies: Mapping[str, BodyJoints]
    repair_turns: bool

    def __call__(self, job: Job) -> JobResult:
        """Make and write the clips of one recording."""
        result = JobResult(len(job.recording.cuts))
        try:
            joints = self._joints(job, result)
        except UserError as error:
            result.dropped += [Dropped(cut.name, "unreadable source", str(error)) for cut in job.recording.cuts]
            return result
        for cut in job.recording.cuts:
            clip = joints if job.recording.subset == HUMANACT12 else joints[cut.start : cut.end]
            if len(clip) < cut.end - cut.start:
                result.cut_off.append(f"{cut.name}: {len(clip)} of {cut.end - cut.start} frames")
            reason = self._make(cut, clip)
            if reason:
                result.dropped.append(Dropped(cut.name, reason, f"{job.recording.label}, {len(clip)} frames"))
        return result

    def _joints(self, job: Job, result: JobResult) -> Tensor:
        """Joints (T, 22, 3) of the whole recording without its lead-in."""
        if job.recording.subset == HUMANACT12:
            return _read_joints(job.source)
        take = read_take(job.source.path)
        result.rate, result.gender = f"{take.source_fps:g} to {take.fps:.4g}", take.gender
        return body_joints(take, choose_body(take, self.bodies))[LEAD_IN.get(job.recording.subset, 0) :]

    def _make(self, cut: Cut, joints: Tensor) -> str:
        """Write a clip and its mirror image, or say why not."""
        if len(joints) < 2:
            return "too short"
        both = torch.stack((joints, mirror_joints(joints, HUMANML3D)))
        lengths = both.new_tensor(HUMANML3D.bone_lengths)
        features = joints_to_features(both, HUMANML3D, lengths, repair_turns=self.repair_turns).float()
        if not features.isfinite().all():
            return "not finite"
        for name, values in zip((cut.name, f"M{cut.name}"), features):
            save_array(self.out / JOINTS / f"{name}.npy", features_to_joints(values))
            save_array(self.out / VECTORS / f"{name}.npy", values)
        return ""


def _read_joints(source: Source) -> Tensor:
    try:
        joints = numbers(source.load_array(), f"{source.path} {source.member}")
    except UserError:
        raise
    except Exception as error:  # a damaged archive makes its reader fail in any way
        raise UserError(f"{source.path} {source.member} cannot be read ({brief(error)})") from error
    if joints.ndim != 3 or joints.shape[1] < HUMANML3D.num_joints or joints.shape[2] != 3:
        raise UserError(f"{source.path} {source.member} has shape {joints.shape}, not (T, 22 or more, 3)")
    return torch.from_numpy(joints[:, : HUMANML3D.num_joints].astype(np.float64))


def save_array(path: Path, values: Tensor) -> None:
    """Write a .npy file atomically.

    Raises:
        UserError: it cannot be written.
    """
    try:
        with atomic_path(path) as aside:
            np.save(aside, values.numpy())
    except OSError as error:
        raise UserError(f"cannot write {path} ({error}); free space and run the same command again") from error


def run_jobs(jobs: list[Job], work: Work, workers: int) -> Iterator[JobResult]:
    """Results in the order of the jobs."""
    if workers <= 1 or len(jobs) <= 1:
        yield from map(work, jobs)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        yield from pool.map(work, jobs, chunksize=max(1, min(8, len(jobs) // workers)))


class Folder:
    """The data folder while it is built."""

    def __init__(self, root: Path, options: dict[str, Any]) -> None:
        """Start or resume a build.

        Raises:
            UserError: the folder holds something else, or was built with other options.
        """
        self.root = root
        check_replaceable(root, BUILD_STATE)
        state = root / BUILD_STATE
        if state.is_file():
            before = read_json(state)["options"]
            for key, value in options.items():
                if None not in (before.get(key), value) and before[key] != value:
                    raise UserError(
                        f"{root} was built with another {key} ({before[key]}, now {value}); name another --out folder"
                    )
            options = {key: before.get(key) if value is None else value for key, value in options.items()}
        self.options = options
        for name in (VECTORS, JOINTS):
            (root / name).mkdir(parents=True, exist_ok=True)
            for left_over in (root / name).glob(".*.npy"):
                left_over.unlink()
        self.write_state(complete=False)

    def write_state(self, complete: bool) -> None:
        """Record the options; a folder that is not complete cannot be trained on, as it has no statistics."""
        if not complete:
            for name in ("Mean.npy", "Std.npy", REPORT_FILE):
                (self.root / name).unlink(missing_ok=True)
        write_json(self.root / BUILD_STATE, {"options": self.options, "complete": complete})

    def whole(self) -> set[str]:
        """Clips whose features and joints are both there and of one length."""
        vectors, joints = (_sizes(self.root / name) for name in (VECTORS, JOINTS))
        dim, coordinates = SPECS["t2m"].feature_dim, 3 * HUMANML3D.num_joints
        return {
            name
            for name, size in vectors.items()
            if size > _HEADER and (size - _HEADER) * coordinates == (joints.get(name, 0) - _HEADER) * dim
        }


def _sizes(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name.removesuffix(".npy"): entry.stat().st_size for entry in entries}
