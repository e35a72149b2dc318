"""Bulk work in one process: the parts that are missing, one after the other, read ahead by others."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lamp.data.caption_table import Described, Skipped, write_captions
from lamp.options.corpora.bulk import BulkOptions
from lamp.stages.bulk.items import Item, is_done
from lamp.stages.bulk.parts import Part, all_rows, write_part
from lamp.stages.bulk.tasks import Task
from lamp.utils.workers import worker_pool

AHEAD = 2
"""Parts for each reading process that may wait for the models."""
TABLE = "captions.csv"


@dataclass
class Report:
    """What was done now.

    Attributes:
        items: of the parts that were computed.
        left_out: a line for each of them that has no result, and what is known of its joint map.
    """

    items: int = 0
    left_out: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def add(self, items: int, left_out: Iterable[str], draft: dict[str, object]) -> None:
        """Count a part."""
        self.items += items
        self.left_out += [(line, draft) for line in left_out]


def missing_parts(options: BulkOptions, parts: list[list[Item]]) -> list[int]:
    """Numbers of the parts of this process's share that are not there, or are of files that have changed."""
    index, count = options.share()
    return [number for number in range(index, len(parts), count) if not is_done(options.out, number, parts[number])]


def work(task: Task, options: BulkOptions, parts: list[list[Item]], numbers: list[int], bar: tqdm) -> Report:
    """Compute some parts and write each as soon as it is there.

    Raises:
        UserError: the disk is full.
    """
    report = Report()
    for number, read in zip(numbers, _read_ahead(task, options, parts, numbers)):
        part = compute(task, options.out, number, read)
        report.add(len(parts[number]), part.left_out, part.draft)
        bar.update(len(parts[number]))
    return report


def compute(task: Task, out: Path, number: int, read: Any) -> Part:
    """A part of what was read, which is on disk when this returns."""
    part = task(read)
    write_part(out, number, part)
    return part


def _read_ahead(task: Task, options: BulkOptions, parts: list[list[Item]], numbers: list[int]) -> Iterator[Any]:
    """What the task reads of each part, in order; by processes of their own if the options say so."""
    wanted = (parts[number] for number in numbers)
    if not options.num_workers:
        yield from map(task.read, wanted)
        return
    with worker_pool(options.num_workers, "--num_workers") as pool:
        waiting = deque(pool.submit(task.read, part) for part in islice(wanted, AHEAD * options.num_workers))
        while waiting:
            read = waiting.popleft().result()
            waiting += [pool.submit(task.read, part) for part in islice(wanted, 1)]
            yield read


def write_table(out: Path) -> None:
    """All captions as one table, as `lamp.prepare.build_dataset --captions` reads it."""
    rows: list[Described | Skipped] = [
        Described(row["file"], row["captions"], row.get("start", 0.0), row.get("end", 0.0))
        for _, row in all_rows(out)
        if "captions" in row
    ]
    write_captions(out / TABLE, rows)
