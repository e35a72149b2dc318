"""Writing a data set in the HumanML3D layout from finished clips."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamp.prepare.texts import caption_line, tag_captions
from lamp.utils.errors import UserError
from lamp.utils.files import write_json
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints, normalization_std
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.workers import worker_pool

LAYOUT = FeatureLayout(HUMANML3D.num_joints)
REPORT_FILE = "report.json"
TAGGED_AT_ONCE = 2000
"""Captions that a process tags before it takes others."""
VECTORS, JOINTS = "new_joint_vecs", "new_joints"


@dataclass
class Entry:
    """A clip, or its mirror image, as it is written.

    Attributes:
        id: name of its files.
        features: (T, 263) float32.
        captions, heldout, label: see `lamp.prepare.plan.ClipText`.
        split: see there too; several are joined by "+".
        timed: captions of parts of the clip, with their first and last second.
    """

    id: str
    features: np.ndarray
    captions: list[str]
    heldout: list[str]
    split: str
    label: str
    timed: list[tuple[str, float, float]] = field(default_factory=list)


@dataclass
class Report:
    """What a data set holds, and what was left out of it.

    Attributes:
        clips: number of clips, mirror images included.
        hours: their length in all.
        splits: clips of each split.
        labels: number of labels.
        dropped: number of clips and files left out.
        reasons: how often each kind of reason was given.
        dropped_clips: name and reason of each.
        files: name of the file of clips that could not be called like it, by the beginning of their ids.
        notes: of files what was supposed and may be wrong.
        source: of a public set, what was found of it and what its licence is.
    """

    clips: int
    hours: float
    splits: dict[str, int]
    labels: int
    dropped: int
    reasons: dict[str, int]
    dropped_clips: list[dict[str, str]]
    files: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)

    def filled(self) -> dict[str, Any]:
        """What there is to say; `files`, `notes` and `source` only where there are any."""
        return {key: value for key, value in asdict(self).items() if value or key not in ("files", "notes", "source")}


@dataclass
class Remarks:
    """What else a data set is written by; it may be filled in while its clips come, and is read after the last.

    Attributes:
        dropped: (clip or file, reason) of those left out.
        balance: see `lamp.prepare.plan.Plan`.
        files, notes, source: see `Report`.
        resplit: another split for each clip, from (id, split) of all, or None to keep them.
        workers: processes that tag captions.
    """

    dropped: list[tuple[str, str]] = field(default_factory=list)
    balance: float = 1.0
    files: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    resplit: Callable[[dict[str, str]], dict[str, str]] | None = None
    workers: int = 1


@dataclass
class _Moments:
    """Mean and sum of squared deviations of frames that come in pieces (Chan et al. 1979, equation 2.1)."""

    count: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    squares: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def add(self, frames: np.ndarray) -> None:
        """Take in frames (T, D)."""
        values = frames.astype(np.float64)
        mean, count = values.mean(0), len(values)
        squares = ((values - mean) ** 2).sum(0)
        if not self.count:
            self.count, self.mean, self.squares = count, mean, squares
            return
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + squares + apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total


def write_dataset(folder: Path, clips: Iterable[Entry], remarks: Remarks | None = None) -> Report:
    """Write features, joints, texts, splits, statistics, labels, sampling weights and the report of a data set.

    Clips are written as they come; of their motion nothing is kept in memory.

    Args:
        folder: empty folder.
        clips: with their mirror images.
        remarks: what else there is to say; read when the clips are through.

    Raises:
        UserError: there is no clip.
    """
    remarks = remarks or Remarks()
    for name in (VECTORS, JOINTS, "texts"):
        (folder / name).mkdir()
    kept, frames = list[Entry](), dict[str, int]()
    for entry in clips:
        np.save(folder / VECTORS / f"{entry.id}.npy", entry.features)
        np.save(folder / JOINTS / f"{entry.id}.npy", features_to_joints(torch.from_numpy(entry.features)).numpy())
        frames[entry.id] = len(entry.features)
        kept.append(replace(entry, features=np.zeros((0, 0), np.float32)))
    if not kept:
        raise UserError("no clip was left; the reasons are above")
    if remarks.resplit is not None:
        splits = remarks.resplit({entry.id: entry.split for entry in kept})
        kept = [replace(entry, split=splits[entry.id]) for entry in kept]
    _write_texts(folder, kept, remarks.workers)
    sizes = _write_splits(folder, kept)
    _write_statistics(folder, [entry.id for entry in kept if "train" in entry.split.split("+")] or list(frames))
    labels = {entry.id: entry.label for entry in kept if entry.label}
    if labels:
        counts = Counter(labels.values())
        write_json(folder / "labels.json", labels)
        weights = {clip: round(counts[label] ** (remarks.balance - 1.0), 6) for clip, label in labels.items()}
        write_json(folder / "weights.json", weights)
    report = Report(
        clips=len(kept),
        hours=round(sum(frames.values()) / HUMANML3D.fps / 3600, 3),
        splits=sizes,
        labels=len(set(labels.values())),
        dropped=len(remarks.dropped),
        reasons=dict(Counter(_reason_kind(reason) for _, reason in remarks.dropped).most_common()),
        dropped_clips=[{"clip": name, "reason": reason} for name, reason in remarks.dropped],
        files=dict(remarks.files),
        notes=dict(remarks.notes),
        source=dict(remarks.source),
    )
    write_json(folder / REPORT_FILE, report.filled())
    return report


def _write_statistics(folder: Path, names: Iterable[str]) -> None:
    """Mean.npy and Std.npy of the frames of some clips that are written."""
    moments = _Moments()
    for name in names:
        moments.add(np.load(folder / VECTORS / f"{name}.npy"))
    np.save(folder / "Mean.npy", moments.mean.astype(np.float32))
    spread = torch.from_numpy(moments.squares / moments.count).sqrt()
    np.save(folder / "Std.npy", normalization_std(spread, LAYOUT).float().clamp_min(1e-4).numpy())


def _reason_kind(reason: str) -> str:
    """A reason without its numbers, so that equal ones are counted together."""
    return " ".join(word for word in reason.split() if not any(c.isdigit() for c in word))


def _write_texts(folder: Path, kept: list[Entry], workers: int) -> None:
    """texts/ID.txt (and texts_heldout/): each caption with its tagged words, and the seconds that it speaks of."""
    if any(entry.heldout for entry in kept):
        (folder / "texts_heldout").mkdir()
    for name in ("texts", "texts_heldout"):
        lines = {entry.id: _said(entry, name) for entry in kept}
        captions = sorted({caption for said in lines.values() for caption, _, _ in said})
        if not captions:
            continue
        print(f"tagging {len(captions)} captions", flush=True)
        tagged = dict(zip(captions, _tags(captions, workers)))
        for clip, said in lines.items():
            text = "\n".join(caption_line(caption, tagged[caption], start, end) for caption, start, end in said)
            (folder / name / f"{clip}.txt").write_text(text + "\n", encoding="utf-8")


def _tags(captions: list[str], workers: int) -> Iterator[str]:
    """Tagged forms of captions, in order; many are shared among processes."""
    parts = [captions[i : i + TAGGED_AT_ONCE] for i in range(0, len(captions), TAGGED_AT_ONCE)]
    if workers <= 1 or len(parts) <= 1:
        yield from tag_captions(captions)
        return
    with worker_pool(min(workers, len(parts))) as pool:
        for tags in pool.map(tag_captions, parts):
            yield from tags


def _said(entry: Entry, folder: str) -> list[tuple[str, float, float]]:
    """Captions of a clip for one of the two folders; 0 to 0 is the whole clip."""
    if folder == "texts_heldout":
        return [(caption, 0.0, 0.0) for caption in entry.heldout]
    return [*((caption, 0.0, 0.0) for caption in entry.captions), *entry.timed]


def _write_splits(folder: Path, kept: list[Entry]) -> dict[str, int]:
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for entry in kept:
        for split in entry.split.split("+"):
            parts.setdefault(split, []).append(entry.id)
            if split.startswith("test_"):
                parts["test"].append(entry.id)
    parts["train_val"] = list(dict.fromkeys(parts["train"] + parts["val"]))
    parts["all"] = [entry.id for entry in kept]
    for split, ids in parts.items():
        (folder / f"{split}.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
    return {split: len(ids) for split, ids in parts.items()}
