"""The CMU clips of the `mini` data set: which they are, what is held out, and their captions.

Which clips, their labels and the parts that are tested on are in `cmu_clips.json`. Clips that are trained on have
captions written for their label. Held-out clips have HumanML3D's where its caption files are given, else their label's.
"""

import random
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lamp.data.text import parse_captions
from lamp.prepare.humanml3d.sources import copy_texts
from lamp.prepare.mini.captions import captions_for_cmu
from lamp.prepare.mini.tables import CMU_CLIPS
from lamp.prepare.plan import ClipText
from lamp.prepare.texts import mirror_caption
from lamp.utils.errors import UserError
from lamp.utils.files import files_below, read_json
from lamp.utils.kinematics.skeleton import HUMANML3D

CAPTIONS = 6
TEXT_PLACES = ("HumanML3D/texts", "HumanML3D/texts.zip", "texts", "texts.zip")
"""Where HumanML3D's caption files are in a clone of its repository, or in a data set of its layout."""


@dataclass(frozen=True)
class Segment:
    """A part of a CMU clip that is a clip of HumanML3D.

    Attributes:
        clip: its name there.
        start, end: frames, 20 a second.
        captions, mirrored: HumanML3D's, of the clip and of its mirror image; empty if not known.
    """

    clip: str
    start: int
    end: int
    captions: tuple[str, ...] = ()
    mirrored: tuple[str, ...] = ()


@dataclass(frozen=True)
class CmuClip:
    """A clip of the CMU database.

    Attributes:
        name: subject and trial, e.g. "02_01".
        label: in the database's index.
        held_out: whether it is tested on and never trained on.
        segments: of a held-out clip the parts to test on; empty for the whole.
    """

    name: str
    label: str
    held_out: bool = False
    segments: tuple[Segment, ...] = ()

    @property
    def spans(self) -> tuple[tuple[float, float], ...]:
        """Start and end of the segments in seconds."""
        return tuple((part.start / HUMANML3D.fps, part.end / HUMANML3D.fps) for part in self.segments)


def shipped_clips() -> list[CmuClip]:
    """The clips of `cmu_clips.json`, which the shipped models were trained and tested with; without captions."""
    clips = []
    for name, entry in CMU_CLIPS.items():
        part = entry.get("humanml3d_clip")
        segments = () if part is None else (Segment(str(part), int(entry["start"]), int(entry["end"])),)
        clips.append(CmuClip(name, str(entry["label"]), bool(segments), segments))
    return clips


def read_clips(path: Path) -> list[CmuClip]:
    """Clips of a user's JSON list.

    Each entry has `file` ("02_01.bvh") and `cmu_label`, and may have `held_out` and `humanml3d_captions`: a list of
    objects with `id`, `start_frame` and `end_frame` (20 a second), `captions` and `mirror_captions`. Of subject 01 only
    01_01 is taken, as in our own list.

    Raises:
        UserError: it cannot be read or is not of this form.
    """
    try:
        clips = [_clip(entry) for entry in read_json(path)]
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read --cmu_labels {path}: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        form = "a list of objects with file, cmu_label, held_out and humanml3d_captions"
        raise UserError(f"--cmu_labels {path} must be {form} ({type(error).__name__}: {error})") from error
    return [clip for clip in clips if clip.name == "01_01" or not clip.name.startswith("01_")]


def _clip(entry: dict[str, Any]) -> CmuClip:
    held_out = bool(entry.get("held_out", False))
    parts = entry.get("humanml3d_captions", []) if held_out else []
    segments = tuple(
        Segment(
            str(part.get("id", "")),
            int(part["start_frame"]),
            int(part["end_frame"]),
            _filled(part["captions"]),
            _filled(part.get("mirror_captions", [])),
        )
        for part in parts
    )
    return CmuClip(Path(entry["file"]).stem, entry["cmu_label"], held_out, segments)


def _filled(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text.strip() for text in texts if text.strip())


def with_humanml3d_captions(clips: list[CmuClip], humanml3d: Path) -> list[CmuClip]:
    """The clips, their segments with HumanML3D's captions: those that speak of the whole HumanML3D clip.

    Args:
        clips: of `shipped_clips`.
        humanml3d: clone of HumanML3D's repository, or a data set in its layout.

    Raises:
        UserError: it has no caption files, or not those of the segments.
    """
    source = next((humanml3d / place for place in TEXT_PLACES if (humanml3d / place).exists()), None)
    if source is None:
        raise UserError(f"--humanml3d {humanml3d} has none of {', '.join(TEXT_PLACES)}")
    names = [prefix + part.clip for clip in clips for part in clip.segments for prefix in ("", "M")]
    with tempfile.TemporaryDirectory() as folder:
        if missing := copy_texts(source, names, Path(folder)):
            raise UserError(f"--humanml3d: {source} lacks {len(missing)} caption files, the first {missing[:3]}")
        texts = {name: _captions_of(Path(folder) / f"{name}.txt") for name in names}
    if empty := [name for name in names if not texts[name]]:
        raise UserError(f"--humanml3d: {source} has no caption of the whole clip in {empty[:3]}")
    return [
        replace(
            clip,
            segments=tuple(
                replace(part, captions=texts[part.clip], mirrored=texts["M" + part.clip]) for part in clip.segments
            ),
        )
        for clip in clips
    ]


def _captions_of(path: Path) -> tuple[str, ...]:
    parsed = parse_captions(path.read_text(encoding="utf-8", errors="replace"))
    return tuple(caption.text for caption in parsed.captions if caption.whole)


def find_captures(folder: Path, clips: list[CmuClip]) -> list[tuple[Path, CmuClip]]:
    """The .bvh file of each clip below `folder`, or else its .amc file.

    Raises:
        UserError: there is none of any clip.
    """
    files = {path.stem: path for suffix in ("amc", "bvh") for path in files_below(folder, f".{suffix}")}
    if missing := [clip.name for clip in clips if clip.name not in files]:
        print(f"{len(missing)} of {len(clips)} CMU clips are not in {folder}, the first {missing[:3]}")
    if len(missing) == len(clips):
        raise UserError(f"--cmu {folder} holds none of the CMU clips of mini (files such as 02_01.bvh)")
    return [(files[clip.name], clip) for clip in clips if clip.name in files]


def label_key(label: str) -> str:
    """Key of a label of the CMU database's index in labels.json: `cmu_walk_stride` of "walk/stride"."""
    return "cmu_" + re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def describe_cmu(clip: CmuClip, name: str, segment: int, rng: random.Random) -> ClipText:
    """What mini says of a part of a CMU clip.

    Args:
        clip: the clip.
        name: of its job.
        segment: index of the part, -1 for the whole.
        rng: source of the choice among the label's captions.
    """
    split = "test_cmu" if clip.held_out else "train"
    part = clip.segments[segment] if segment >= 0 else None
    if part is not None and part.captions:
        mirrored = part.mirrored or tuple(map(mirror_caption, part.captions))
        return ClipText(list(part.captions), list(mirrored), split, label=name, mirrored_label=f"{name}_mirrored")
    captions = captions_for_cmu(clip.label, rng, CAPTIONS)
    mirrored_captions = [mirror_caption(caption) for caption in captions]
    key = label_key(clip.label)
    sided = mirrored_captions != captions
    return ClipText(captions, mirrored_captions, split, label=key, mirrored_label=f"{key}_mirrored" if sided else key)
