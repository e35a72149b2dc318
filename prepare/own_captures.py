"""A user's own folder of motion capture with a table of captions, as the plan of a data set."""

import random
from pathlib import Path

from lamp.data.caption_table import read_caption_table
from lamp.prepare.clips import Clip, Job
from lamp.prepare.plan import ClipText, Plan
from lamp.prepare.texts import mirror_caption
from lamp.utils.capture.take import CAPTURE_SUFFIXES
from lamp.utils.errors import UserError


def plan_folder(source: Path, captions: Path, seed: int) -> Plan:
    """Plan for a user's folder of captures and caption table; split 80/5/15 by file unless the table says.

    Raises:
        UserError: the folder or the table cannot be read, or they do not fit each other.
    """
    if not source.is_dir():
        raise UserError(f"--source {source} is not a folder")
    table = read_caption_table(captions)
    if missing := [name for name in table if not (source / name).is_file()]:
        raise UserError(f"{captions} names {len(missing)} files that {source} lacks, the first {missing[:3]}")
    files = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.suffix.lower() in CAPTURE_SUFFIXES}
    if extra := sorted(files - set(table)):
        print(f"{len(extra)} files without a caption are left out, the first {extra[:3]}")
    names = sorted(table)
    splits = _splits(names, seed)
    segments = {name: sorted({(row.start, row.end) for row in rows if not row.whole}) for name, rows in table.items()}
    by_job = {Path(name).with_suffix("").as_posix().replace("/", "_"): name for name in names}
    if len(by_job) != len(names):
        raise UserError("two files of the table have the same name; rename one")
    jobs = [Job(source / name, job, tuple(segments[name])) for job, name in by_job.items()]

    def describe(clip: Clip) -> ClipText:
        name = by_job[clip.job]
        part = segments[name][clip.segment] if clip.segment >= 0 else None
        rows = [row for row in table[name] if part is None or row.whole or (row.start, row.end) == part]
        split = next((row.split for row in rows if row.split), splits[name])
        texts = [row.caption for row in rows]
        return ClipText(texts, [mirror_caption(text) for text in texts], split)

    return Plan(jobs, describe)


def _splits(names: list[str], seed: int) -> dict[str, str]:
    """Split of each file: 15 % test, 5 % validation."""
    order = random.Random(seed).sample(names, len(names))
    shares = {name: i / len(order) for i, name in enumerate(order)}
    return {name: "test" if p < 0.15 else "val" if p < 0.2 else "train" for name, p in shares.items()}
