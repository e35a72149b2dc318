"""The items of bulk work: motion files, or sentences; which of them are a part, and whether it is done."""

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.parts import PASSING, Part, Plan, folder_of, known_items, rows_of
from lamp.utils.capture.files import SUPPOSED, find_motion_files, read_motion, reason_of
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError
from lamp.utils.capture.take import skeleton_of
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
        skeleton: of an .amc file, a digest of the .asf file that it is read with.
        text, frames, seed: what is to be made; `frames` is None where the model chooses.
    """

    name: str
    path: str = ""
    size: int = 0
    changed: int = 0
    skeleton: str = ""
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
        try:
            stat = os.stat(path)
            skeleton = _skeleton(path) if path.suffix.lower() == ".amc" else ""
        except OSError as error:
            raise UserError(f"{path} was there and cannot be read now ({error.strerror}); start again") from error
        items.append(Item(name, str(path.resolve()), stat.st_size, stat.st_mtime_ns, skeleton))
    return items


def _skeleton(path: Path) -> str:
    """Digest of the skeleton of an .amc file, "" where it has none that can be read, which its reader tells."""
    try:
        return _digest_of(skeleton_of(path))
    except (UserError, OSError):
        return ""


@lru_cache(maxsize=16)  # one skeleton is that of many files
def _digest_of(path: Path) -> str:
    return digest([path.read_bytes()])


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


def fact_of(item: Item) -> str:
    """What makes an item the same one at another start."""
    return f"{item.name}\n{item.text}\n{item.frames}\n"


def in_deliveries(out: Path, items: list[Item]) -> list[list[Item]]:
    """Items in the order in which parts hold them: those of a first start, then what SOURCE had more at a later one.

    So parts stay as they are when SOURCE grows. Where something is gone all items are one delivery, and `begin` refuses
    it.

    Raises:
        UserError: what `out` says of earlier starts is damaged.
    """
    new = {fact_of(item): item for item in items}
    try:
        known = [[new.pop(fact) for fact in delivery] for delivery in known_items(out)]
    except KeyError:
        return [items]
    return [*known, list(new.values())] if new else known


def plan_of(options: BulkOptions, deliveries: list[list[Item]], models: dict[str, str]) -> Plan:
    """What is to be done with items."""
    counts, facts = list(map(len, deliveries)), (fact_of(item) for delivery in deliveries for item in delivery)
    return Plan(options.task, sum(counts), counts, digest(facts), models, options.settings())


def parts_of(deliveries: list[list[Item]], size: int) -> list[list[Item]]:
    """Items of each part; none has those of two deliveries."""
    return [delivery[first : first + size] for delivery in deliveries for first in range(0, len(delivery), size)]


def is_done(out: Path, number: int, items: Iterable[Item]) -> bool:
    """Whether a part is there, of files as they are now, none of which was left out for what may pass."""
    rows = rows_of(folder_of(out, number))
    if rows is None or any(PASSING in row for row in rows):
        return False
    known = {(row["file"], row.get("size", 0), row.get("changed", 0), row.get("skeleton", "")) for row in rows}
    return known == {(item.name, item.size, item.changed, item.skeleton) for item in items}


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
            facts: dict[str, Any] = {"file": item.name, "size": item.size, "changed": item.changed}
            facts |= {"skeleton": item.skeleton} if item.skeleton else {}
            try:
                with reading(item.path, "motion"), torch.inference_mode():
                    found = self._read(item)
            except UserError as error:
                if isinstance(error, UnknownSkeletonError):
                    read.part.draft = error.draft
                reason = reason_of(error, item.path, item.name)
                if _may_pass(error):
                    facts, reason = facts | {PASSING: True}, f"{reason} (the next start tries it again)"
                read.part.rows.append(facts | {"reason": reason})
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


def _may_pass(error: BaseException | None) -> bool:
    """Whether disk, network or memory failed, rather than what is in the file."""
    while error is not None:
        # Readers of damaged archives may seek to places that cannot be; some libraries raise OSError without a number.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            return True
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate memory" in str(error)):
            return True
        error = error.__cause__
    return False
