"""The `mini` data set: which clips of the two public captures it takes, their labels, captions and splits."""

import json
import random
import re
from collections import defaultdict
from pathlib import Path

from lamp.prepare.build_dataset import ClipText, Plan
from lamp.prepare.clips import Clip, Job
from lamp.prepare.mini.captions import (
    Label,
    captions_for,
    captions_for_animated_drawings,
    captions_for_cmu,
    knows_cmu_label,
    mirror_caption,
    parse_bandai_name,
)
from lamp.utils.errors import UserError

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
# CMU clips that are tested on, never trained on.
HELD_OUT_CMU = frozenset(
    "01_03 01_05 01_07 02_06 05_01 05_10 05_11 05_14 05_19 06_05 06_06 06_12 06_13 06_15 07_12 08_06 09_06 09_08 "
    "10_05 13_30 13_33 13_34 13_37 13_38 13_39".split()
)
TRAIN_CAPTIONS = 6
TEST_CAPTIONS = 3
SEEN_FRACTION = 0.1
VALIDATION_FRACTION = 0.05
# A label with 100 times the clips of another is drawn 100 ** 0.4 = 6 times as often.
BALANCE = 0.4


def plan_mini(bandai_namco: Path, cmu: Path, cmu_labels: Path | None, seed: int) -> Plan:
    """Plan of the mini data set.

    Args:
        bandai_namco: folder below which the `dataset-*.bvh` files lie.
        cmu: folder below which the CMU .bvh, .amc and .asf files lie; AnimatedDrawings' BVH examples are used when
            they are there too.
        cmu_labels: JSON list of the CMU clips with label, captions and the held-out mark; None to look for
            `labels_cmu.json` in or beside `cmu`, else for the database's `CMU-INDEX.md`.
        seed: of captions and the validation split.

    Raises:
        UserError: a folder holds no such files.
    """
    takes = sorted(bandai_namco.rglob("dataset-*_*.bvh"), key=lambda path: path.stem)
    if not takes:
        raise UserError(f"--bandai_namco {bandai_namco} holds no dataset-*.bvh files")
    entries = _cmu_entries(cmu, cmu_labels)
    jobs = [Job(path, path.stem) for path in takes]
    splits = _bandai_splits([path.stem for path in takes], seed)
    by_name = {}
    for path, entry in entries:
        spans = ()
        if entry["held_out"]:
            spans = tuple(
                (int(c["start_frame"]) / 20.0, int(c["end_frame"]) / 20.0) for c in entry["humanml3d_captions"]
            )
        name = f"cmu_{path.stem}"
        by_name[name] = entry
        jobs.append(Job(path, name, spans))
    drawings = sorted(path for root in {cmu, cmu.parent} for path in root.glob("**/animated_drawings/*/*.bvh"))
    jobs += [Job(path, f"drawings_{path.stem}") for path in dict.fromkeys(drawings)]

    def describe(clip: Clip) -> ClipText | str:
        rng = random.Random(f"{seed} {clip.id}")
        if clip.job.startswith("dataset-"):
            return _describe_bandai(parse_bandai_name(clip.job), splits[clip.job], rng)
        if clip.job.startswith("cmu_"):
            return _describe_cmu(by_name[clip.job], clip, rng)
        texts = captions_for_animated_drawings(clip.job.removeprefix("drawings_"))
        key = clip.job
        return ClipText(texts, [mirror_caption(t) for t in texts], "train", [], [], key, key)

    return Plan(jobs, describe, BALANCE)


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


def _describe_cmu(entry: dict, clip: Clip, rng: random.Random) -> ClipText:
    if entry["held_out"] and entry["humanml3d_captions"]:
        texts = entry["humanml3d_captions"][clip.segment]
        captions = [c.strip() for c in texts["captions"] if c.strip()]
        mirrored = [c.strip() for c in texts["mirror_captions"] if c.strip()] or [mirror_caption(c) for c in captions]
        return ClipText(captions, mirrored, "test_cmu", [], [], clip.job, f"{clip.job}_mirrored")
    split = "test_cmu" if entry["held_out"] else "train"
    captions = captions_for_cmu(entry, rng, TRAIN_CAPTIONS)
    key = "cmu_" + re.sub(r"[^a-z0-9]+", "_", entry["cmu_label"].lower()).strip("_")
    sided = any(mirror_caption(c) != c for c in captions)
    mirrored = [mirror_caption(c) for c in captions]
    return ClipText(captions, mirrored, split, [], [], key, f"{key}_mirrored" if sided else key)


def _cmu_entries(cmu: Path, labels: Path | None) -> list[tuple[Path, dict]]:
    """(file, what is known of it) of every CMU clip that mini uses."""
    files = {path.name: path for suffix in ("bvh", "amc") for path in sorted(cmu.rglob(f"*.{suffix}"))}
    entries = _read_labels(cmu, labels)
    chosen, missing = [], []
    for entry in entries:
        # Subject 01 climbs on a playground that the motion alone does not show.
        if entry["file"].startswith("01_") and not entry["file"].startswith("01_01"):
            continue
        if entry["file"] in files:
            chosen.append((files[entry["file"]], entry))
        else:
            missing.append(entry["file"])
    if missing:
        print(f"{len(missing)} CMU clips of the label list are not in {cmu}, the first {missing[:3]}")
    if not chosen:
        raise UserError(f"--cmu {cmu} holds none of the labelled clips (files such as 02_01.bvh)")
    return chosen


def _read_labels(cmu: Path, labels: Path | None) -> list[dict]:
    """Label, held-out mark and captions of CMU clips: from a JSON list, or from the database's own index.

    The index has no captions and no marks: the held-out clips are then `HELD_OUT_CMU`, with captions from the label.
    """
    places = [labels] if labels else [cmu / "labels_cmu.json", cmu.parent / "labels_cmu.json"]
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        return json.loads(found.read_text(encoding="utf-8"))
    index = next(iter(sorted(cmu.rglob("CMU-INDEX*"))), None)
    if labels is not None or index is None:
        raise UserError(f"no CMU labels at {places[0]} and no CMU-INDEX.md in {cmu}; name the file with --cmu_labels")
    names = {path.stem: path.name for suffix in ("bvh", "amc") for path in cmu.rglob(f"*.{suffix}")}
    rows = re.findall(r"^\**(\d+_\d+)\**[ \t]+(.+?)\s*$", index.read_text(encoding="utf-8", errors="replace"), re.M)
    return [
        {"file": names[stem], "cmu_label": label, "held_out": stem in HELD_OUT_CMU, "humanml3d_captions": []}
        for stem, label in rows
        if stem in names and knows_cmu_label(label)
    ]
