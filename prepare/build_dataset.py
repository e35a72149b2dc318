"""Build a data set in the HumanML3D layout from raw motion capture.

A folder of your own, BVH (or ASF/AMC) files and a table of captions:

    python -m lamp.prepare.build_dataset --source my_bvh --captions captions.csv --out dataset/mine

The `mini` data set, from the two public downloads (git clones or unpacked archives):

    python -m lamp.prepare.build_dataset --preset mini --bandai_namco DIR --cmu DIR --out dataset/mini
"""

import argparse
import csv
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lamp.prepare.clips import Clip, CutOptions, Job, JobResult, process_job
from lamp.prepare.mini.captions import caption_line, mirror_caption, tag_captions
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable, write_json
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints, normalization_std

LAYOUT = FeatureLayout(22)
REPORT_FILE = "report.json"


@dataclass
class ClipText:
    """What a data set says of a clip.

    Attributes:
        captions, mirrored: of the clip and of its mirror image.
        heldout, heldout_mirrored: captions in wording that training never uses, for a test of language.
        split: "train", "val", "test", or "test_<part>", which is also in "test".
        label, mirrored_label: key of the action; equal labels are the same action.
        group: clips of a group share a sampling weight.
    """

    captions: list[str]
    mirrored: list[str]
    split: str = "train"
    heldout: list[str] = field(default_factory=list)
    heldout_mirrored: list[str] = field(default_factory=list)
    label: str = ""
    mirrored_label: str = ""


@dataclass
class Plan:
    """Jobs of a data set, a function that describes a finished clip (None: drop it), and the sampling exponent.

    A label's clips are drawn in proportion to (clips of the label) ** `balance` in all: 1 is uniform over clips, 0
    uniform over labels.
    """

    jobs: list[Job]
    describe: Callable[[Clip], ClipText | str]
    balance: float = 1.0


@dataclass
class Entry:
    """A clip, or its mirror image, as it is written."""

    id: str
    features: np.ndarray
    captions: list[str]
    heldout: list[str]
    split: str
    label: str


def run_jobs(jobs: list[Job], options: CutOptions, workers: int) -> Iterator[JobResult]:
    """Process files in several processes, with a progress bar, results in the order of the jobs."""
    work = partial(process_job, options=options)
    if workers <= 1:
        yield from tqdm(map(work, jobs), total=len(jobs), unit="file", desc="motion")
        return
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from tqdm(pool.map(work, jobs, chunksize=8), total=len(jobs), unit="file", desc="motion")


def build(plan: Plan, out: Path, options: CutOptions, workers: int, mirror: bool = True) -> dict:
    """Write the data set of `plan` to the folder `out`, replacing it whole, and return the report.

    Raises:
        UserError: no clip was left, or `out` holds something else than an earlier build.
    """
    check_replaceable(out, REPORT_FILE)
    dropped: list[tuple[str, str]] = []
    kept: list[Entry] = []
    for result in run_jobs(plan.jobs, options, workers):
        dropped += result.dropped
        for clip in result.clips:
            text = plan.describe(clip)
            if isinstance(text, str):
                dropped.append((clip.id, text))
                continue
            kept.append(Entry(clip.id, clip.features, text.captions, text.heldout, text.split, text.label))
            if mirror:
                mirrored = (text.mirrored, text.heldout_mirrored, text.split, text.mirrored_label)
                kept.append(Entry(f"M{clip.id}", clip.mirrored, *mirrored))
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped[:3])
        raise UserError(f"no clip was left of {len(plan.jobs)} files ({reasons})")
    with atomic_folder(out) as folder:
        report = _write(folder, kept, dropped, plan)
    return report


def _write(folder: Path, kept: list[Entry], dropped: list[tuple[str, str]], plan: Plan) -> dict:
    for name in ("new_joint_vecs", "new_joints", "texts"):
        (folder / name).mkdir()
    if any(entry.heldout for entry in kept):
        (folder / "texts_heldout").mkdir()
    for entry in tqdm(kept, unit="clip", desc="writing"):
        np.save(folder / "new_joint_vecs" / f"{entry.id}.npy", entry.features)
        joints = features_to_joints(torch.from_numpy(entry.features)).numpy()
        np.save(folder / "new_joints" / f"{entry.id}.npy", joints)
    _write_texts(folder, kept)
    splits = _write_splits(folder, kept)
    train = [entry for entry in kept if entry.split == "train"] or kept
    frames = torch.from_numpy(np.concatenate([entry.features for entry in train])).double()
    np.save(folder / "Mean.npy", frames.mean(0).float().numpy())
    std = normalization_std(frames.std(0, correction=0), LAYOUT).float().clamp_min(1e-4)
    np.save(folder / "Std.npy", std.numpy())
    labels = {entry.id: entry.label for entry in kept if entry.label}
    if labels:
        counts = Counter(labels.values())
        write_json(folder / "labels.json", labels)
        weights = {clip: round(counts[label] ** (plan.balance - 1.0), 6) for clip, label in labels.items()}
        write_json(folder / "weights.json", weights)
    report = {
        "clips": len(kept),
        "hours": round(sum(len(entry.features) for entry in kept) / 20 / 3600, 3),
        "splits": splits,
        "labels": len(set(labels.values())),
        "dropped": len(dropped),
        "reasons": dict(Counter(_reason_kind(reason) for _, reason in dropped).most_common()),
        "dropped_clips": [{"clip": name, "reason": reason} for name, reason in dropped],
    }
    write_json(folder / REPORT_FILE, report)
    return report


def _reason_kind(reason: str) -> str:
    """A reason without its numbers, so that equal ones are counted together."""
    return " ".join(word for word in reason.split() if not any(c.isdigit() for c in word))


def _write_texts(folder: Path, kept: list[Entry]) -> None:
    """texts/ID.txt (and texts_heldout/): each caption with its tagged words, for the whole clip."""
    for name, kind in (("texts", "captions"), ("texts_heldout", "heldout")):
        captions = sorted({caption for entry in kept for caption in getattr(entry, kind)})
        if not captions:
            continue
        print(f"tagging {len(captions)} captions", flush=True)
        tagged = dict(zip(captions, tag_captions(captions)))
        for entry in kept:
            lines = [caption_line(caption, tagged[caption]) for caption in getattr(entry, kind)]
            (folder / name / f"{entry.id}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_splits(folder: Path, kept: list[Entry]) -> dict[str, int]:
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for entry in kept:
        parts.setdefault(entry.split, []).append(entry.id)
        if entry.split.startswith("test_"):
            parts["test"].append(entry.id)
    parts["train_val"] = parts["train"] + parts["val"]
    parts["all"] = [entry.id for entry in kept]
    for split, ids in parts.items():
        (folder / f"{split}.txt").write_text("".join(f"{i}\n" for i in ids), encoding="utf-8")
    return {split: len(ids) for split, ids in parts.items()}


def read_caption_table(path: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of a CSV with columns file, caption and optionally start, end (seconds) and split, by file name.

    Raises:
        UserError: the file cannot be read, or a column or a value is missing.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    table: dict[str, list[dict[str, str]]] = {}
    for number, row in enumerate(rows, start=2):
        if not row.get("file") or not (row.get("caption") or "").strip():
            raise UserError(f"{path} line {number}: needs columns file and caption, both filled")
        try:
            row["start"], row["end"] = float(row.get("start") or 0), float(row.get("end") or 0)
        except ValueError as error:
            raise UserError(f"{path} line {number}: start and end must be seconds") from error
        table.setdefault(row["file"], []).append(row)
    if not table:
        raise UserError(f"{path} has no rows; it needs a header line file,caption and a line a caption")
    return table


def plan_folder(source: Path, captions: Path, seed: int) -> Plan:
    """Plan for a user's folder of captures and caption table; split 80/5/15 by file unless the table says."""
    if not source.is_dir():
        raise UserError(f"--source {source} is not a folder")
    table = read_caption_table(captions)
    if missing := [name for name in table if not (source / name).is_file()]:
        raise UserError(f"{captions} names {len(missing)} files that {source} lacks, the first {missing[:3]}")
    files = {str(p.relative_to(source)) for pattern in ("*.bvh", "*.amc", "*.BVH") for p in source.rglob(pattern)}
    if extra := sorted(files - set(table)):
        print(f"{len(extra)} files without a caption are left out, the first {extra[:3]}")
    names = sorted(table)
    order = random.Random(seed).sample(names, len(names))
    position = {name: i / len(order) for i, name in enumerate(order)}
    segments = {name: sorted({(r["start"], r["end"]) for r in rows if r["end"] > 0}) for name, rows in table.items()}
    jobs = [
        Job(source / name, Path(name).with_suffix("").as_posix().replace("/", "_"), tuple(segments[name]))
        for name in names
    ]
    by_job = dict(zip((job.name for job in jobs), names))
    if len(by_job) != len(names):
        raise UserError("two files of the table have the same name; rename one")

    def describe(clip: Clip) -> ClipText | str:
        name = by_job[clip.job]
        part = segments[name][clip.segment] if clip.segment >= 0 else None
        rows = [r for r in table[name] if part is None or r["end"] <= 0 or (r["start"], r["end"]) == part]
        split = next((r["split"] for r in rows if r.get("split")), None)
        if split is None:
            p = position[name]
            split = "test" if p < 0.15 else "val" if p < 0.2 else "train"
        texts = [row["caption"].strip() for row in rows]
        return ClipText(texts, [mirror_caption(text) for text in texts], split)

    return Plan(jobs, describe)


def parse_arguments(argv: Iterable[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("mini",), help="build a known data set")
    parser.add_argument("--bandai_namco", type=Path, help="mini: folder with the Bandai-Namco BVH files (searched)")
    parser.add_argument("--cmu", type=Path, help="mini: folder with the CMU clips, labels.json beside or inside")
    parser.add_argument("--cmu_labels", type=Path, help="mini: labels of the CMU clips (JSON)")
    parser.add_argument("--source", type=Path, help="your folder of .bvh or .amc files")
    parser.add_argument("--captions", type=Path, help="CSV with columns file,caption[,start,end,split]")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, replaced whole")
    parser.add_argument("--joint_map", type=Path, help="JSON map from our 22 joint names to yours")
    parser.add_argument("--up", choices=("+x", "-x", "+y", "-y", "+z", "-z"), help="up axis; found when not given")
    parser.add_argument("--min_frames", type=int, help="shortest clip at 20 fps (40; mini 24)")
    parser.add_argument("--max_speed", type=float, default=12.0, help="m/s above which a take is broken")
    parser.add_argument("--max_float", type=float, default=0.10, help="m that feet may be off the floor")
    parser.add_argument("--no_mirror", action="store_true", help="do not add mirrored copies")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="of captions and splits")
    return parser.parse_args(None if argv is None else list(argv))


@main_with_errors
def main() -> None:
    """Build and print the report."""
    args = parse_arguments(sys.argv[1:])
    if args.preset == "mini":
        from lamp.prepare.mini.plan import plan_mini

        if args.bandai_namco is None or args.cmu is None:
            raise UserError("--preset mini needs --bandai_namco DIR and --cmu DIR")
        plan, shortest = plan_mini(args.bandai_namco, args.cmu, args.cmu_labels, args.seed), 24
    elif args.source and args.captions:
        plan, shortest = plan_folder(args.source, args.captions, args.seed), 40
    else:
        raise UserError("give --source DIR and --captions FILE.csv, or --preset mini")
    options = CutOptions(
        min_frames=args.min_frames or shortest,
        max_speed=args.max_speed,
        max_float=args.max_float,
        up=args.up,
        joint_map=load_joint_map(args.joint_map) if args.joint_map else None,
    )
    report = build(plan, args.out, options, args.workers, mirror=not args.no_mirror)
    print(json.dumps({key: value for key, value in report.items() if key != "dropped_clips"}, indent=2))
    print(f"wrote {args.out}; every dropped clip and its reason is in {args.out / REPORT_FILE}")


if __name__ == "__main__":
    main()
