"""The items of bulk work: motion files, or sentences; which of them are a part, and whether it is done."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.parts import Part, Plan, folder_of, rows_of
from lamp.utils.capture.files import SUPPOSED, find_motion_files, read_motion, reason_of
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError
from lamp.utils.errors import UserError
from lamp.utils.files import LONGEST_NAME
from lamp.utils.motion_features import FeatureReader
from lamp.utils.prompts import read_prompts
from lamp.utils.reading import reading
from lamp.utils.run.provenance import digest


@dataclass(frozen=True)
class Item:
    """A motion file, or a motion that is to be made.

    Attributes:
        name: of the file, relative to SOURCE, or of the motion.
        path: of the file.
        size, changed: of the file, in bytes and nanoseconds.
        text, frames, seed: what is to be made; `frames` is None where the model chooses.
    """

    name: str
    path: str = ""
    size: int = 0
    changed: int = 0
    text: str = ""
    frames: int | None = None
    seed: int = 0


def find_items(options: BulkOptions) -> list[Item]:
    """All items of SOURCE, in the order in which parts hold them.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    if options.task == "generate":
        return _motions_to_make(options)
    items = []
    for name, path in sorted(find_motion_files(options.source, "SOURCE").items()):
        if len(name.encode()) > 20 * LONGEST_NAME:
            raise UserError(f"SOURCE {options.source}: the path {name[:60]}... is too long; rename its folders")
        stat = os.stat(path)
        items.append(Item(name, str(path.resolve()), stat.st_size, stat.st_mtime_ns))
    return items


def _motions_to_make(options: BulkOptions) -> list[Item]:
    prompts = read_prompts(options.source, "SOURCE")
    if prompts.sequences is not None:
        raise UserError(f"SOURCE {options.source} has sequences (' > '), for which there is gen_t2m.py; take them out")
    lengths: Sequence[int | None] = prompts.lengths or [None] * len(prompts.texts)
    return [
        Item(f"sample{i:07d}_repeat{repeat}.npy", text=text, frames=frames, seed=options.seed + repeat)
        for i, (text, frames) in enumerate(zip(prompts.texts, lengths))
        for repeat in range(options.repeat_times)
    ]


def plan_of(options: BulkOptions, items: list[Item], models: dict[str, str]) -> Plan:
    """What is to be done with items."""
    facts = (f"{item.name}\n{item.text}\n{item.frames}\n" for item in items)
    return Plan(options.task, len(items), digest(facts), models, options.settings())


def items_of(items: list[Item], number: int, size: int) -> list[Item]:
    """Those of a part."""
    return items[number * size : (number + 1) * size]


def is_done(out: Path, number: int, items: Iterable[Item]) -> bool:
    """Whether a part is there, of files as they are now."""
    rows = rows_of(folder_of(out, number))
    if rows is None:
        return False
    known = {(row["file"], row.get("size", 0), row.get("changed", 0)) for row in rows}
    return known == {(item.name, item.size, item.changed) for item in items}


@dataclass
class Read:
    """What was read of the files of a part.

    Attributes:
        part: its rows, in which `place` is that of the features, or a reason why there are none.
        features: (T, D) of each motion, or part of one, not normalised.
    """

    part: Part
    features: list[Any]


@dataclass(frozen=True)
class FileReader:
    """Reads motion files for models; it holds no model, so that other processes can do it.

    Attributes:
        reader: of what the models know.
        windows: read long motions part by part.
        joint_map, up: of the files, see `read_motion`.
    """

    reader: FeatureReader
    windows: bool
    joint_map: JointMap | None
    up: str | None

    def __call__(self, items: list[Item]) -> Read:
        """Features, as arrays, of some files; those that cannot be read are left out with a reason."""
        read = Read(Part(), [])
        for item in items:
            facts = {"file": item.name, "size": item.size, "changed": item.changed}
            try:
                with reading(item.path, "motion"), torch.inference_mode():
                    found = self._read(item)
            except UserError as error:
                if isinstance(error, UnknownSkeletonError):
                    read.part.draft = error.draft
                read.part.rows.append(facts | {"reason": reason_of(error, item.path, item.name)})
                continue
            for row, features in found:
                read.part.rows.append(facts | row | {"place": len(read.features)})
                read.features.append(features)
        return read

    def _read(self, item: Item) -> list[tuple[dict[str, Any], Any]]:
        motion = read_motion(item.path, self.joint_map, self.up)
        notes = list(map(str, motion.meta.get(SUPPOSED, ())))
        if self.windows and len(parts := self.reader.parts(motion)) > 1:
            rows = [({"start": start, "end": end}, self.reader.features(part)) for start, end, part in parts]
        else:
            if self.reader.is_cut(motion):
                notes.append(f"the first {self.reader.max_frames} of {len(motion)} frames; --windows reads all")
            rows = [({}, self.reader.features(motion))]
        note = {"note": "; ".join(notes)} if notes else {}
        return [(note | row, features.numpy()) for row, features in rows]
