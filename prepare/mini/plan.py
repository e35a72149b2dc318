"""The `mini` data set: which clips of the public captures it takes, their labels, captions and splits."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamp.prepare.clips import Clip, Job
from lamp.prepare.mini.captions import (
    Label,
    captions_for,
    captions_for_animated_drawings,
    parse_bandai_name,
)
from lamp.prepare.mini.cmu import describe_cmu, find_captures, read_clips, shipped_clips, with_humanml3d_captions
from lamp.prepare.mini.more.plan import MorePlan
from lamp.prepare.mini.tables import ANIMATED_DRAWINGS
from lamp.prepare.plan import ClipText, Plan
from lamp.prepare.texts import mirror_caption
from lamp.utils.errors import UserError
from lamp.utils.files import files_below

# Held out of training in every form, with their mirror images: whole styles of set 1 and these cells of set 2.
UNSEEN_STYLES = ("proud", "childish")
UNSEEN_NAMES = (
    "dataset-2_walk_exhausted",
    "dataset-2_run_elderly",
    "dataset-2_walk-turn-left_masculine",
    "dataset-2_walk-turn-right_masculine",
    "dataset-2_wave-left-hand_youthful",
    "dataset-2_wave-right-hand_youthful",
    "dataset-2_wave-both-hands_feminine",
    "dataset-2_raise-up-left-hand_active",
    "dataset-2_raise-up-right-hand_active",
    "dataset-2_raise-up-both-hands_normal",
)
TRAIN_CAPTIONS = 6
TEST_CAPTIONS = 3
SEEN_FRACTION = 0.1
VALIDATION_FRACTION = 0.05
# A label with 100 times the clips of another is drawn 100 ** 0.4 = 6 times as often.
BALANCE = 0.4


@dataclass(frozen=True)
class MiniSources:
    """What mini is made of.

    Attributes:
        bandai_namco: folder below which the `dataset-*.bvh` files lie.
        cmu: folder below which the CMU .bvh, .amc and .asf files lie.
        animated_drawings: folder below which AnimatedDrawings' BVH examples lie; None to leave them out.
        humanml3d: clone of HumanML3D's repository, whose captions the held-out CMU clips have; None for those of their
            labels.
        cmu_labels: JSON list of CMU clips instead of our own, see `lamp.prepare.mini.cmu.read_clips`.
        more: folders of the sources of `lamp.prepare.mini.more`, by name.
    """

    bandai_namco: Path
    cmu: Path
    animated_drawings: Path | None = None
    humanml3d: Path | None = None
    cmu_labels: Path | None = None
    more: Mapping[str, Path] = field(default_factory=dict)


def plan_mini(sources: MiniSources, seed: int) -> Plan:
    """Plan of the mini data set.

    Args:
        sources: files to make it of.
        seed: of captions and the validation split.

    Raises:
        UserError: a folder holds no such files.
    """
    takes = [path for path in files_below(sources.bandai_namco, ".bvh") if path.match("dataset-*_*")]
    takes.sort(key=lambda path: path.stem)
    if not takes:
        raise UserError(f"--bandai_namco {sources.bandai_namco} holds no dataset-*.bvh files")
    splits = _bandai_splits([path.stem for path in takes], seed)
    clips = shipped_clips() if sources.cmu_labels is None else read_clips(sources.cmu_labels)
    if sources.humanml3d is not None:
        clips = with_humanml3d_captions(clips, sources.humanml3d)
    captures = find_captures(sources.cmu, clips)
    by_job = {f"cmu_{clip.name}": clip for _, clip in captures}
    jobs = [Job(path, path.stem) for path in takes]
    jobs += [Job(path, f"cmu_{clip.name}", clip.spans) for path, clip in captures]
    jobs += [Job(path, f"drawings_{path.stem}") for path in _drawings(sources.animated_drawings)]
    more = MorePlan(sources.more)
    jobs += more.jobs

    def describe(clip: Clip) -> ClipText:
        rng = random.Random(f"{seed} {clip.id}")
        if clip.job in splits:
            return _describe_bandai(parse_bandai_name(clip.job), splits[clip.job], rng)
        if clip.job in by_job:
            return describe_cmu(by_job[clip.job], clip.job, clip.segment, rng)
        if clip.job in more:
            return more.describe(clip, rng)
        texts = captions_for_animated_drawings(clip.job.removeprefix("drawings_"))
        return ClipText(texts, list(map(mirror_caption, texts)), label=clip.job, mirrored_label=clip.job)

    return Plan(jobs, describe, BALANCE)


def _drawings(folder: Path | None) -> list[Path]:
    """AnimatedDrawings' BVH examples below a folder."""
    if folder is None:
        print("no --animated_drawings DIR: the six BVH examples of AnimatedDrawings are left out")
        return []
    files = [path for path in files_below(folder, ".bvh") if path.stem in ANIMATED_DRAWINGS]
    if not files:
        raise UserError(f"--animated_drawings {folder} holds none of {', '.join(ANIMATED_DRAWINGS)} (.bvh)")
    return list({path.stem: path for path in files}.values())


def _bandai_splits(stems: list[str], seed: int) -> dict[str, str]:
    """Split of each Bandai-Namco take."""
    unseen = {parse_bandai_name(f"{name}_001").key for name in UNSEEN_NAMES}
    cells: dict[str, list[str]] = defaultdict(list)
    splits = {}
    for stem in stems:
        label = parse_bandai_name(stem)
        if label.style in UNSEEN_STYLES or label.key in unseen or label.mirrored().key in unseen:
            splits[stem] = "test_unseen"
        else:
            cells[re.sub(r"_\d+$", "", stem)].append(stem)
    rest = []
    for cell, takes in sorted(cells.items()):
        takes = sorted(takes)
        held = -(-len(takes) // round(1 / SEEN_FRACTION)) if cell.startswith("dataset-2") else 0
        splits.update(dict.fromkeys(takes[len(takes) - held :], "test_seen"))
        rest += takes[: len(takes) - held]
    rng = random.Random(seed)
    validation = set(rng.sample(rest, round(VALIDATION_FRACTION * len(rest))))
    splits.update({stem: "val" if stem in validation else "train" for stem in rest})
    return splits


def _describe_bandai(label: Label, split: str, rng: random.Random) -> ClipText:
    test = split.startswith("test")
    count = TEST_CAPTIONS if test else TRAIN_CAPTIONS
    style = 1.0 if test else 0.9

    def write(who: Label) -> tuple[list[str], list[str]]:
        common = captions_for(who, rng, count, style_probability=style, phrasing="train")
        reserved = captions_for(who, rng, count, style_probability=style, phrasing="heldout") if test else []
        return common, reserved

    captions, heldout = write(label)
    mirrored, heldout_mirrored = write(label.mirrored())
    return ClipText(captions, mirrored, split, heldout, heldout_mirrored, label.key, label.mirrored().key)
