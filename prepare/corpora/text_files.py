"""Sets that have a text file for each motion, in a folder of the same structure, as Motion-X has.

ROOT/motion_data/smplx_322/SUBSET/.../NAME.npy     (T, 322) numbers of SMPL-X, 30 frames a second, Y up
ROOT/texts/semantic_labels/SUBSET/.../NAME.txt     a sentence a line
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from lamp.data.text import parse_captions
from lamp.prepare.clips import Clip, Job
from lamp.prepare.corpora.smpl import MotionX
from lamp.prepare.corpora.splits import Splits, read_lists
from lamp.prepare.names import clip_names
from lamp.prepare.plan import ClipText, Plan
from lamp.prepare.texts import mirror_caption
from lamp.utils.capture.files import MOTION_SUFFIXES
from lamp.utils.errors import UserError
from lamp.utils.files import files_below
from lamp.utils.reading import decode, reading
from lamp.utils.tagging import clean_caption

MOTION_X_LICENCE = (
    "Motion-X is for non-commercial research only (https://motion-x-dataset.github.io), and so are AMASS and the other "
    "sets in it, each by its own licence. Do not pass this data set on; see docs/corpora.md"
)
_MOTION, _TEXTS = "motion_data/smplx_322", ("texts/semantic_labels", "texts/semantic_label")
_OF_ONE_VIDEO = re.compile(r"[ _-]*clip[ _-]*\d+$", re.IGNORECASE)
ALONE, TIMED, BROKEN = "texts_without_a_motion", "lines_about_a_part_left_out", "broken_lines_left_out"
"""Entries of the report that count what is not used of the texts."""

Reader = Callable[[Path], Tensor]


def plan_motion_x(root: Path, bodies: Path, seed: int, own_mirrors: bool, lists: Path | None = None) -> Plan:
    """Plan of Motion-X, or of as much of it as is there.

    Args:
        root: folder with `motion_data` and `texts`.
        bodies: folder with SMPL-X body models.
        seed: of the splits.
        own_mirrors: take the mirror images that its part `humanml` has; else they are left out.
        lists: folder of its lists train.txt, val.txt and test.txt.

    Raises:
        UserError: the folder has no such layout, or no motion has a text.
    """
    texts = next((root / name for name in _TEXTS if (root / name).is_dir()), None)
    if texts is None or not (root / _MOTION).is_dir():
        raise UserError(f"--source {root} needs the folders {_MOTION} and {_TEXTS[0]}; unpack both there")
    files, hidden = _files(root / _MOTION, (".npy",))
    twins = [] if own_mirrors else [name for name in files if _original(name) in files]
    read = {name: MotionX(bodies) for name in files if name not in set(twins)}
    plan = plan_texts({name: files[name] for name in read}, texts, seed, lists, read)
    plan.source |= {"set": "Motion-X", "licence": MOTION_X_LICENCE, "mirrored_takes_left_out": len(twins)}
    plan.source |= hidden
    plan.source[ALONE] -= sum((texts / f"{name}.txt").is_file() for name in twins)
    return plan


def plan_text_folder(source: Path, texts: Path, seed: int, lists: Path | None, read: Reader | None) -> Plan:
    """Plan for a folder of motion files of any kind and one of texts.

    Args:
        source, texts: the folders.
        seed: of the splits.
        lists: folder of lists of splits.
        read: reader of .npz files; None for arrays of joints.

    Raises:
        UserError: a folder is missing, or no motion has a text.
    """
    for flag, folder in (("source", source), ("texts", texts)):
        if not folder.is_dir():
            raise UserError(f"--{flag} {folder} is not a folder")
    files, hidden = _files(source, MOTION_SUFFIXES)
    readers = {name: read for name, path in files.items() if read is not None and path.suffix.lower() == ".npz"}
    plan = plan_texts(files, texts, seed, lists, readers)
    plan.source |= hidden
    return plan


def plan_texts(
    files: Mapping[str, Path], texts: Path, seed: int, lists: Path | None, read: Mapping[str, Reader]
) -> Plan:
    """Plan for motion files and a folder of texts.

    Clips of one video (`NAME_clip3`) and a motion and its mirror image (`M000012`) are in one split.

    Args:
        files: by their paths without suffix, below their folder.
        texts: folder of text files that are called like them.
        seed: of the splits.
        lists: folder of lists of splits.
        read: readers of some of the files.

    Raises:
        UserError: no motion has a text and a split.
    """
    counts: Counter[str] = Counter(dict.fromkeys((ALONE, TIMED, BROKEN), 0))
    said = {}
    for path in files_below(texts, ".txt"):
        name = path.relative_to(texts).with_suffix("").as_posix()
        if name not in files:
            counts[ALONE] += 1
        elif sentences := read_texts(path, counts):
            said[name] = sentences
    known = read_lists(lists) if lists is not None else None
    split = {name: _split_of(name, known) for name in said} if known is not None else {}
    used = [name for name in sorted(said) if known is None or split[name]]
    if not used:
        first = next(iter(files), "")
        raise UserError(
            f"{texts}: none of {len(files)} motions has a text and a split"
            + (f"; {first} needs {first}.txt with a sentence a line" if first else "")
        )
    by_job = dict(zip(clip_names([f"{name}.txt" for name in used]).values(), used))
    groups = {job: _group(name) for job, name in by_job.items()}
    stated = {job: split[name] for job, name in by_job.items()} if known is not None else None
    splits = Splits(groups, seed, stated)

    def describe(clip: Clip) -> ClipText:
        captions = said[by_job[clip.job]]
        return ClipText(captions, list(map(mirror_caption, captions)), splits.of[clip.job])

    source = {
        "motions": len(files),
        "motions_without_a_text": len(files) - len(said),
        "motions_not_in_the_lists": len(said) - len(used),
        **counts,
    }
    jobs = [Job(files[name], job, read=read.get(name)) for job, name in by_job.items()]
    names = {job: name for job, name in by_job.items() if job != name}
    return Plan(jobs, describe, files=names, resplit=splits.resplit, source=source)


def _split_of(name: str, lists: Mapping[str, str]) -> str:
    """The split of a motion in lists of paths, or in lists of plain names; "" where it is in none."""
    plain = not any("/" in key for key in lists)
    return lists.get(name.rsplit("/", 1)[-1] if plain else name, "")


def read_texts(path: Path, counts: Counter[str] | None = None) -> list[str]:
    """Sentences of a text file, one a line; of lines in HumanML3D's form those about the whole motion.

    Args:
        path: the file.
        counts: gets how many lines of that form are left out, by the reason.

    Raises:
        UserError: it cannot be read.
    """
    with reading(path, "text file"):
        text = decode(path.read_bytes())
    if text.count("#") >= 3:
        parsed = parse_captions(text)
        sentences = [caption.text for caption in parsed.captions if caption.whole]
        if counts is not None:
            counts[TIMED] += len(parsed.captions) - len(sentences)
            counts[BROKEN] += len(parsed.problems)
    else:
        sentences = text.splitlines()
    return list(dict.fromkeys(filter(None, map(clean_caption, sentences))))


def _files(folder: Path, suffixes: tuple[str, ...]) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Files below a folder by their paths without suffix; and for the report those that another of the name hides."""
    found: dict[str, Path] = {}
    hidden = []
    for path in files_below(folder, *suffixes):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            hidden.append(found[name].relative_to(folder).as_posix())
        found[name] = path
    return found, {"motions_hidden_by_another_of_the_name": hidden}


def _original(name: str) -> str:
    """The name whose mirror image `name` would be, "" if it is called like none."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last[1:]}".lstrip("/") if re.fullmatch(r"M\d+", last) else ""


def _group(name: str) -> str:
    """What may not be torn apart: the part of the set, and the video or the recording."""
    last = name.rsplit("/", 1)[-1]
    return f"{name.split('/')[0]}/{_OF_ONE_VIDEO.sub('', (_original(last) or last)).lower()}"
