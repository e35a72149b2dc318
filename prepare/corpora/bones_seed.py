"""BONES-SEED as it is published: BVH of the SOMA skeleton, a table of takes with texts, and labels along time.

The layout was read off the data set's card, its viewer (github.com/bones-studio/seed-viewer) and public code that loads
it; files are found by their names, so that a part of the set is enough:

    ROOT/metadata/seed_metadata_v004.csv                     a row for each take
    ROOT/metadata/seed_metadata_v002_temporal_labels.jsonl   {"filename": ..., "events": [{start_time, end_time, ...}]}
    ROOT/soma_uniform/bvh/DATE/FILENAME.bvh                   or soma_proportional, 77 joints, 120 frames a second
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lamp.prepare.clips import Clip, Job
from lamp.prepare.corpora.splits import Splits, by_name, read_lists
from lamp.prepare.corpora.timeline import Event, in_order, read_timeline, within
from lamp.prepare.names import clip_names
from lamp.prepare.plan import ClipText, Plan
from lamp.prepare.texts import mirror_caption
from lamp.utils.errors import UserError
from lamp.utils.files import files_below
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.reading import reading
from lamp.utils.tagging import clean_caption

LICENCE = (
    "BONES-SEED Dataset License Agreement (https://bones.studio/info/seed-license): for academic users and qualifying "
    "startups only; its timeline labels are by NVIDIA, CC BY 4.0. Do not pass this data set on; see docs/corpora.md"
)
TEXTS = (
    *(f"content_natural_desc_{i}" for i in range(1, 5)),
    "content_short_description",
    "content_short_description_2",
)
"""Columns of a take's texts, up to six."""
BODIES = ("soma_uniform", "soma_proportional")
"""Folders with BVH, the first that is there is taken: one skeleton for all takes, or each performer's own."""
FPS = HUMANML3D.fps
_NOTHING = ("", "nan", "none", "null")
_OTHER_SIDE = {"l": "r", "r": "l", "left": "right", "right": "left"}
_SIDE = re.compile(r"(?<![A-Za-z])(l|r|left|right)(?![A-Za-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Take:
    """A row of the table.

    Attributes:
        name: of the file, unique.
        place: path of the file that the row names, below the root.
        mirrored: whether it is another take's mirror image.
        content: what is done, the same for all performers and repetitions.
        texts: sentences about it.
    """

    name: str
    place: str
    mirrored: bool
    content: str
    texts: tuple[str, ...]


def plan_bones_seed(root: Path, seed: int, own_mirrors: bool, lists: Path | None = None) -> Plan:
    """Plan of BONES-SEED, or of as much of it as is there.

    Takes of one content, by whatever performer, are in one split; so are those of the other side's.

    Args:
        root: folder with `metadata` and `soma_uniform` or `soma_proportional`.
        seed: of the splits.
        own_mirrors: take the set's own mirror images; else they are left out, as clips are mirrored here.
        lists: folder of published lists of splits.

    Raises:
        UserError: the folder has no such layout, or none of the files.
    """
    files = _find_files(root)
    rows = list(_read_table(root))
    takes = [take for take in rows if own_mirrors or not take.mirrored]
    paths = {take.name: path for take in takes if (path := _file_of(take, files)) is not None}
    known = by_name(read_lists(lists)) if lists is not None else None
    fit = (take for take in takes if take.name in paths and take.texts and (known is None or take.name in known))
    used = list({take.name: take for take in fit}.values())
    if not used:
        raise UserError(
            f"{root}: none of {len(takes)} takes of the table has a file, a text and a split; the first is "
            f"{takes[0].place if takes else 'missing'}; unpack the archives in that folder"
        )
    by_job = dict(zip(clip_names([f"{take.name}.bvh" for take in used]).values(), used))
    events = read_timeline(root / "metadata", {take.name for take in used})
    source: dict[str, object] = {
        "set": "BONES-SEED",
        "licence": LICENCE,
        "takes_in_the_table": len(rows),
        "mirrored_takes_left_out": len(rows) - len(takes),
        "takes_without_a_file": len(takes) - len(paths),
        "takes_without_a_text": sum(not take.texts for take in takes),
        "takes_not_in_the_lists": 0 if known is None else sum(take.name not in known for take in takes),
        "takes": len(used),
        "timeline_labels": sum(map(len, events.values())),
    }
    told = _Telling(by_job, events, source)
    groups = {job: _SIDE.sub("*", take.content).lower() for job, take in by_job.items()}
    splits = Splits(groups, seed, None if known is None else {job: known[take.name] for job, take in by_job.items()})

    def describe(clip: Clip) -> ClipText:
        return told.text(clip, splits.of[clip.job])

    jobs = [Job(paths[take.name], job) for job, take in by_job.items()]
    names = {job: f"{take.name}.bvh" for job, take in by_job.items() if job != take.name}
    return Plan(jobs, describe, files=names, resplit=splits.resplit, source=source)


class _Telling:
    """What is said of clips, and how often of what kind; counted in `source`."""

    def __init__(self, takes: Mapping[str, Take], events: Mapping[str, list[Event]], source: dict[str, object]) -> None:
        self._takes, self._events, self._source = takes, events, source
        self._used = self._whole = 0

    def text(self, clip: Clip, split: str) -> ClipText:
        """What is said of a clip: of a whole take its texts, of a piece of a long one the labels that lie in it."""
        take = self._takes[clip.job]
        seconds = len(clip.features) / FPS
        parts, whole = within(self._events.get(take.name, []), clip.start, seconds)
        self._used += len(parts) + len(whole)
        if clip.whole:
            captions = [*take.texts, *whole]
        elif parts or whole:
            captions = [in_order([*whole, *(text for text, _, _ in parts)])]
        else:
            captions, self._whole = list(take.texts), self._whole + 1
        self._source["timeline_labels_used"] = self._used
        self._source["pieces_with_the_text_of_the_whole_take"] = self._whole
        captions = list(dict.fromkeys(captions))
        return ClipText(
            captions,
            list(map(mirror_caption, captions)),
            split,
            label=take.content,
            mirrored_label=other_side(take.content),
            timed=parts,
            timed_mirrored=[(mirror_caption(text), start, end) for text, start, end in parts],
        )


def other_side(content: str) -> str:
    """The content of the mirror image: "step_L" of "step_R"."""

    def swap(match: re.Match[str]) -> str:
        word = _OTHER_SIDE[match[0].lower()]
        return word.upper() if match[0].isupper() else word.capitalize() if match[0][0].isupper() else word

    return _SIDE.sub(swap, content)


def _find_files(root: Path) -> dict[str, Path]:
    """BVH files of the set, by name and by folder and name.

    Raises:
        UserError: there are none.
    """
    for body in BODIES:
        if (root / body).is_dir() and (paths := files_below(root / body, ".bvh")):
            return {path.stem: path for path in paths} | {f"{path.parent.name}/{path.stem}": path for path in paths}
    packed = next((path for body in BODIES for path in sorted(root.glob(f"{body}.tar*"))), None)
    unpack = f"tar -xf {packed.name}" if packed else f"unpack {BODIES[0]}.tar.gz"
    raise UserError(f"--source {root} has no .bvh below {' or '.join(BODIES)}; {unpack} in that folder")


def _file_of(take: Take, files: Mapping[str, Path]) -> Path | None:
    """The file of a take. Paths of the table are looked up, never followed."""
    folder = PurePosixPath(take.place.replace("\\", "/")).parent.name
    return files.get(f"{folder}/{take.name}") or files.get(take.name)


def _read_table(root: Path) -> Iterator[Take]:
    """Takes of the newest table.

    Raises:
        UserError: there is none, or it lacks columns.
    """
    tables = sorted((root / "metadata").glob("seed_metadata_v*.csv"))
    if not tables:
        raise UserError(f"--source {root} has no metadata/seed_metadata_v*.csv; download the folder metadata, too")
    with reading(tables[-1], "table of takes"), tables[-1].open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = set(rows.fieldnames or ())
        texts = [column for column in TEXTS if column in columns]
        if "filename" not in columns or not texts:
            raise UserError(f"{tables[-1]} lacks the column filename, or all of {', '.join(TEXTS)}")
        for row in rows:
            name = (row["filename"] or "").strip()
            if not name:
                continue
            said = (clean_caption(row[column] or "") for column in texts)
            yield Take(
                name,
                next((row[f"move_{body}_path"] or "" for body in BODIES if f"move_{body}_path" in columns), ""),
                (row.get("is_mirror") or "").strip().lower() in ("true", "1", "1.0"),
                (row.get("content_name") or "").strip() or re.sub(r"(_\d+)?__[A-Za-z]\d+(_M)?$", "", name),
                tuple(dict.fromkeys(text for text in said if text.lower() not in _NOTHING)),
            )
