"""A user's own folder of motion with a table of captions, as the plan of a data set."""

import random
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from lamp.data.caption_table import CaptionRow, read_caption_table
from lamp.prepare.clips import Clip, Job
from lamp.prepare.names import clip_names
from lamp.prepare.plan import ClipText, Plan
from lamp.prepare.texts import mirror_caption
from lamp.utils.capture.files import MOTION_SUFFIXES
from lamp.utils.errors import UserError
from lamp.utils.files import files_below, shown

NEEDED = ("train", "val", "test")
"""Splits that training and evaluation need."""


def plan_folder(source: Path, captions: Path, seed: int, read: Callable[[Path], Tensor] | None = None) -> Plan:
    """Plan for a user's folder of motion files and caption table; split 80/5/15 by file unless the table says.

    Args:
        source: the folder.
        captions: the table.
        seed: of the splits.
        read: reader of .npz files, see `Job`; None for arrays of joints.

    Raises:
        UserError: the folder or the table cannot be read, or they do not fit each other.
    """
    if not source.is_dir():
        raise UserError(f"--source {source} is not a folder")
    table = read_caption_table(captions)
    paths = _files(source, captions, list(table))
    names = sorted(table)
    splits, stated = _splits(names, seed), {name: _stated(rows) for name, rows in table.items()}
    segments = {name: sorted({(row.start, row.end) for row in rows if not row.whole}) for name, rows in table.items()}
    by_job = {job: name for name, job in clip_names(names).items()}
    readers = {name: read if paths[name].suffix.lower() == ".npz" else None for name in names}
    jobs = [Job(paths[name], job, tuple(segments[name]), readers[name]) for job, name in by_job.items()]

    def describe(clip: Clip) -> ClipText:
        name = by_job[clip.job]
        part = segments[name][clip.segment] if clip.segment >= 0 else None
        rows = [row for row in table[name] if part is None or row.whole or (row.start, row.end) == part]
        texts = [row.caption for row in rows]
        return ClipText(texts, [mirror_caption(text) for text in texts], stated[name] or splits[name])

    def resplit(jobs_left: list[str]) -> dict[str, str]:
        now = {job: stated[by_job[job]] or splits[by_job[job]] for job in jobs_left}
        return filled(now, [job for job in jobs_left if not stated[by_job[job]]], seed)

    files = {job: name for job, name in by_job.items() if job != Path(name).with_suffix("").as_posix()}
    return Plan(jobs, describe, files=files, resplit=resplit)


def _files(source: Path, captions: Path, names: list[str]) -> dict[str, Path]:
    """The file of each name of a table.

    Raises:
        UserError: some are not there.
    """
    # macOS keeps names decomposed, tables mostly have them composed.
    found = {
        unicodedata.normalize("NFC", path.relative_to(source).as_posix()): path
        for path in files_below(source, *MOTION_SUFFIXES)
    }
    if missing := [name for name in names if name not in found]:
        first = ", ".join(shown(name) for name in missing[:3])
        kinds = ", ".join(MOTION_SUFFIXES)
        raise UserError(
            f"{captions} names {len(missing)} motion files ({kinds}) that {source} lacks, the first {first}"
        )
    if extra := sorted(set(found) - set(names)):
        print(f"{len(extra)} files without a caption are left out, the first {', '.join(map(shown, extra[:3]))}")
    return found


def _stated(rows: list[CaptionRow]) -> str:
    """The split that a file's rows name, or ""."""
    return next((row.split for row in rows if row.split), "")


def _splits(names: list[str], seed: int) -> dict[str, str]:
    """Split of each file: 15 % test, 5 % validation."""
    order = random.Random(seed).sample(names, len(names))
    shares = {name: i / len(order) for i, name in enumerate(order)}
    return {name: "test" if p < 0.15 else "val" if p < 0.2 else "train" for name, p in shares.items()}


def filled(splits: Mapping[str, str], free: Sequence[str], seed: int) -> dict[str, str]:
    """The splits, with files moved from a larger one to each that training and evaluation need and that has none.

    Where there are fewer files than splits, one file is in several, "train+val", and a warning says so.

    Args:
        splits: of each file that has clips.
        free: files that may be moved.
        seed: of the choice.
    """
    splits = dict(splits)
    for split in _lacking(splits):
        sizes = Counter(splits.values())
        if movable := [job for job in free if sizes[splits[job]] > 1]:
            largest = max(sizes[splits[job]] for job in movable)
            chosen = [job for job in movable if sizes[splits[job]] == largest]
            splits[random.Random(f"{seed} {split}").choice(chosen)] = split
    if (lacking := _lacking(splits)) and free:
        shared = free[-1]
        splits[shared] = "+".join((splits[shared], *lacking))
        print(
            f"warning: {len(splits)} files with clips are too few for train, val and test: clips of {shared} are in "
            f"{splits[shared].replace('+', ' and ')}, so that scores on them say nothing of new motion",
            file=sys.stderr,
        )
    elif lacking:
        print(
            f"warning: the table puts no clip that is left into {' or '.join(lacking)}; training needs train and val, "
            "evaluation test",
            file=sys.stderr,
        )
    return splits


def _lacking(splits: dict[str, str]) -> list[str]:
    there = {"test" if split.startswith("test_") else split for split in splits.values()}
    return [split for split in NEEDED if split not in there]
