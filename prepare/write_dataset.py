"""Writing a data set in the HumanML3D layout from finished clips."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lamp.prepare.texts import caption_line, tag_captions
from lamp.utils.files import write_json
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints, normalization_std
from lamp.utils.kinematics.skeleton import HUMANML3D

LAYOUT = FeatureLayout(HUMANML3D.num_joints)
REPORT_FILE = "report.json"


@dataclass
class Entry:
    """A clip, or its mirror image, as it is written.

    Attributes:
        id: name of its files.
        features: (T, 263) float32.
        captions, heldout, label: see `lamp.prepare.plan.ClipText`.
        split: see there too; several are joined by "+".
    """

    id: str
    features: np.ndarray
    captions: list[str]
    heldout: list[str]
    split: str
    label: str


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

    def filled(self) -> dict[str, Any]:
        """What there is to say; `files` and `notes` only where there are any."""
        return {key: value for key, value in asdict(self).items() if value or key not in ("files", "notes")}


def write_dataset(
    folder: Path,
    kept: list[Entry],
    dropped: list[tuple[str, str]],
    balance: float,
    files: Mapping[str, str] = MappingProxyType({}),
    notes: Mapping[str, list[str]] = MappingProxyType({}),
) -> Report:
    """Write features, joints, texts, splits, statistics, labels, sampling weights and the report of a data set.

    Args:
        folder: empty folder.
        kept: clips, with their mirror images.
        dropped: (clip or file, reason) of those left out.
        balance: see `Plan`.
        files, notes: see `Report`.
    """
    for name in ("new_joint_vecs", "new_joints", "texts"):
        (folder / name).mkdir()
    if any(entry.heldout for entry in kept):
        (folder / "texts_heldout").mkdir()
    for entry in tqdm(kept, unit="clip", desc="writing"):
        np.save(folder / "new_joint_vecs" / f"{entry.id}.npy", entry.features)
        joints = features_to_joints(torch.from_numpy(entry.features)).numpy()
        np.save(folder / "new_joints" / f"{entry.id}.npy", joints)
    _write_texts(folder, kept)
    splits = _write_splits(folder, kept)
    train = [entry for entry in kept if "train" in entry.split.split("+")] or kept
    frames = torch.from_numpy(np.concatenate([entry.features for entry in train])).double()
    np.save(folder / "Mean.npy", frames.mean(0).float().numpy())
    std = normalization_std(frames.std(0, correction=0), LAYOUT).float().clamp_min(1e-4)
    np.save(folder / "Std.npy", std.numpy())
    labels = {entry.id: entry.label for entry in kept if entry.label}
    if labels:
        counts = Counter(labels.values())
        write_json(folder / "labels.json", labels)
        weights = {clip: round(counts[label] ** (balance - 1.0), 6) for clip, label in labels.items()}
        write_json(folder / "weights.json", weights)
    report = Report(
        clips=len(kept),
        hours=round(sum(len(entry.features) for entry in kept) / HUMANML3D.fps / 3600, 3),
        splits=splits,
        labels=len(set(labels.values())),
        dropped=len(dropped),
        reasons=dict(Counter(_reason_kind(reason) for _, reason in dropped).most_common()),
        dropped_clips=[{"clip": name, "reason": reason} for name, reason in dropped],
        files=dict(files),
        notes=dict(notes),
    )
    write_json(folder / REPORT_FILE, report.filled())
    return report


def _reason_kind(reason: str) -> str:
    """A reason without its numbers, so that equal ones are counted together."""
    return " ".join(word for word in reason.split() if not any(c.isdigit() for c in word))


def _write_texts(folder: Path, kept: list[Entry]) -> None:
    """texts/ID.txt (and texts_heldout/): each caption with its tagged words, for the whole clip."""
    for name, kind in (("texts", "captions"), ("texts_heldout", "heldout")):
        captions = sorted({caption for entry in kept for caption in getattr(entry, kind)})
        if not captions:
            continue
        print(f"tagging {len(captions)} captions", flush=True)
        tagged = dict(zip(captions, tag_captions(captions)))
        for entry in kept:
            lines = [caption_line(caption, tagged[caption]) for caption in getattr(entry, kind)]
            (folder / name / f"{entry.id}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


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
