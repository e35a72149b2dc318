"""Build HumanML3D's data folder from AMASS, as its public notebooks do.

    git clone https://github.com/EricGuo5513/HumanML3D ../HumanML3D
    python -m lamp.prepare.build_humanml3d --amass AMASS_DIR --body_models BODY_DIR --humanml3d ../HumanML3D \
        --out dataset/HumanML3D --workers 8

AMASS_DIR holds the unpacked subsets (CMU/, KIT/, ...; "SMPL+H G"), BODY_DIR the "Extended SMPL+H model"
(smplh/male/model.npz, smplh/female/model.npz). The clone gives the index, captions, split files and HumanAct12; each
can be given by itself. `--dry_run` says what would be found. Interrupted, or with more subsets, the same command goes
on where it stopped. docs/humanml3d.md goes through it step by step.
"""

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lamp.data.cache import open_cache
from lamp.data.spec import SPECS, DatasetSpec
from lamp.prepare.check_data import compare_published, load_stats_files, measure_stats, stats_distance
from lamp.prepare.humanml3d.amass import BodyJoints, NotSmplhError, load_bodies, read_take
from lamp.prepare.humanml3d.clips import (
    REPORT_FILE,
    VECTORS,
    Dropped,
    Folder,
    Job,
    JobResult,
    Work,
    run_jobs,
    save_array,
)
from lamp.prepare.humanml3d.sources import (
    HUMANACT12,
    Published,
    Recording,
    Source,
    choose_subsets,
    copy_splits,
    copy_texts,
    find_amass,
    find_humanact12,
    find_published,
    read_index,
    recording_keys,
)
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import write_json
from lamp.utils.reading import read_npy

FORMAT = 1
PUBLISHED_FRAMES = 4_117_392  # of all clips with mirror images, as HumanML3D's notebook printed
_EXAMPLE = "012314"  # the clip published with HumanML3D's code


@dataclass(frozen=True)
class Plan:
    """What to build: recordings of the index, chosen ones only, and where they are."""

    recordings: list[Recording]
    sources: Mapping[str, Source]

    def source(self, recording: Recording) -> Source | None:
        """File of a recording, if it was found."""
        keys = recording_keys(recording.subset, recording.path)
        return next((self.sources[key] for key in keys if key in self.sources), None)

    def table(self) -> str:
        """Recordings found and clips possible of each subset."""
        rows = []
        for subset in sorted({recording.subset for recording in self.recordings}, key=str.lower):
            mine = [recording for recording in self.recordings if recording.subset == subset]
            found = [recording for recording in mine if self.source(recording)]
            clips = sum(len(recording.cuts) for recording in found)
            rows.append(f"{subset:<20} {len(found):>6,} of {len(mine):>6,} recordings, {clips:>6,} clips")
        return "\n".join(rows)

    def check(self) -> None:
        """Read one recording of each subset, so that wrong files fail before hours of work.

        Raises:
            UserError: nothing was found, or it is AMASS of another body model.
        """
        found: dict[str, Source] = {}
        for recording in self.recordings:
            if source := self.source(recording):
                found.setdefault(recording.subset, source)
        if not found:
            raise UserError(
                f"none of {len(self.recordings):,} recordings was found, for instance {self.recordings[0].label}.npz; "
                "--amass is the folder with the unpacked subsets, --humanact12 that with HumanAct12's joint files"
            )
        for subset, source in found.items():
            if subset != HUMANACT12:
                try:
                    read_take(source.path)
                except NotSmplhError:
                    raise
                except UserError:
                    continue


def build(plan: Plan, work: Work, published: Published, workers: int) -> dict[str, Any]:
    """Write all missing clips, then captions, splits, statistics and the report, which is returned.

    Raises:
        UserError: no clip could be made, the disk is full, or the folder holds something else.
    """
    folder = Folder(work.out, _fingerprint(published, work))
    before = folder.whole()
    jobs, dropped = _jobs(plan, before)
    results = []
    total = sum(len(job.recording.cuts) for job in jobs)
    with tqdm(total=total, unit="clip", desc="motion") as bar:
        for result in run_jobs(jobs, work, workers):
            results.append(result)
            dropped += result.dropped
            bar.update(result.clips)
    made = folder.whole()
    if not made:
        reasons = "; ".join(f"{item.clip}: {item.reason} ({item.detail})" for item in dropped[:3])
        raise UserError(f"no clip could be made ({reasons})")
    report = _finish(folder, made, published)
    report |= _of_this_run(plan, results, before, made)
    report |= {
        "dropped": len(dropped),
        "reasons": dict(Counter(item.reason for item in dropped).most_common()),
        "dropped_clips": [vars(item) for item in dropped],
    }
    write_json(folder.root / REPORT_FILE, report)
    folder.write_state(complete=True)
    return report


def _fingerprint(published: Published, work: Work) -> dict[str, Any]:
    """What clips depend on; None where it was not needed yet."""
    arrays = [a.numpy().tobytes() for _, b in sorted(work.bodies.items()) for a in (b.template, b.directions)]
    index = published.index.read_bytes() if published.index else b""
    return {
        "format": FORMAT,
        "index": hashlib.blake2b(index, digest_size=8).hexdigest(),
        "body model": hashlib.blake2b(b"".join(arrays), digest_size=8).hexdigest() if arrays else None,
        "--repair_turns": work.repair_turns,
    }


def _jobs(plan: Plan, whole: set[str]) -> tuple[list[Job], list[Dropped]]:
    """Recordings with clips still to be made, and the clips whose recording is missing."""
    jobs, missing = [], []
    for recording in plan.recordings:
        cuts = tuple(cut for cut in recording.cuts if not {cut.name, f"M{cut.name}"} <= whole)
        source = plan.source(recording)
        if cuts and source is None:
            missing += [Dropped(cut.name, "missing source", recording.label) for cut in cuts]
        elif cuts and source is not None:
            jobs.append(Job(replace(recording, cuts=cuts), source))
    # In the order of the disk.
    return sorted(jobs, key=lambda job: (str(job.source.path), job.source.member)), missing


def _finish(folder: Folder, made: set[str], published: Published) -> dict[str, Any]:
    """Captions, split files and statistics."""
    spec = replace(SPECS["t2m"], root=folder.root)
    report: dict[str, Any] = {"notes": []}
    if published.texts is None:
        report["notes"].append(f"no captions were given (--humanml3d or --texts); training needs {spec.text_folder}")
    elif missing := copy_texts(published.texts, sorted(made), spec.text_folder):
        report["notes"].append(f"{len(missing):,} clips have no captions, the first {', '.join(missing[:5])}")
    splits: dict[str, int] = {}
    if published.splits is None:
        report["notes"].append("no split files were given (--humanml3d or --splits); training needs train.txt, ...")
    else:
        splits = copy_splits(published.splits, made, folder.root)
    cache = open_cache(spec)
    stats = measure_stats(cache, spec, cache.names)
    save_array(folder.root / "Mean.npy", stats.mean)
    save_array(folder.root / "Std.npy", stats.std.clamp_min(1e-4))
    frames = len(cache.frames)
    report |= {
        "clips": len(made),
        "frames": frames,
        "hours": round(frames / spec.fps / 3600, 3),
        "splits": splits,
        "published": compare_published("t2m", {**splits, "all": len(made)})
        + f"; {frames:,} of {PUBLISHED_FRAMES:,} frames",
        "distance_from_published": _compare_reference(spec, published),
    }
    return report


def _compare_reference(spec: DatasetSpec, published: Published) -> dict[str, float | str]:
    """Distances from what HumanML3D's repository has of its own data: Mean.npy and Std.npy, and one clip."""
    found: dict[str, float | str] = {}
    if published.reference is None:
        return found
    files = [published.reference / name for name in ("Mean.npy", "Std.npy")]
    theirs, ours = (root / VECTORS / f"{_EXAMPLE}.npy" for root in (published.reference, spec.root))
    try:
        if all(file.is_file() for file in files):
            own = load_stats_files([spec.root / file.name for file in files], spec)
            found["statistics, in standard deviations"] = stats_distance(own, load_stats_files(files, spec))
        if theirs.is_file() and ours.is_file():
            a, b = read_npy(theirs), read_npy(ours)
            same = a.shape == b.shape
            found[f"features of {_EXAMPLE}"] = float(np.abs(a - b).max()) if same else f"{b.shape}, not {a.shape}"
    except (UserError, OSError, ValueError) as error:
        # Not worth the loss of a long build; in a clone without git-lfs these are text files.
        found["not compared"] = str(error)
    return found


def _of_this_run(plan: Plan, results: list[JobResult], before: set[str], made: set[str]) -> dict[str, Any]:
    subsets: dict[str, str] = {}
    for subset in sorted({recording.subset for recording in plan.recordings}, key=str.lower):
        names = [cut.name for recording in plan.recordings if recording.subset == subset for cut in recording.cuts]
        subsets[subset] = f"{sum(name in made for name in names):,} of {len(names):,}"
    cut_off = [text for result in results for text in result.cut_off]
    return {
        "subsets": subsets,
        "this_run": {
            "written": len(made - before),
            "already_there": len(before),
            "frame_rates": dict(Counter(result.rate for result in results if result.rate).most_common()),
            "genders": dict(Counter(result.gender for result in results if result.gender).most_common()),
            "shorter_than_the_index_says": {"clips": len(cut_off), "first": cut_off[:20]},
        },
    }


def parse_arguments(argv: Iterable[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amass", type=Path, nargs="+", default=[], help="folders with unpacked AMASS subsets")
    parser.add_argument("--body_models", type=Path, help="folder with smplh/male/model.npz and smplh/female/model.npz")
    parser.add_argument("--humanml3d", type=Path, help="clone of HumanML3D's repository")
    parser.add_argument("--index", type=Path, help="index.csv, if not the clone's")
    parser.add_argument("--texts", type=Path, help="folder or zip of the captions, if not the clone's")
    parser.add_argument("--splits", type=Path, help="folder of train.txt, val.txt, ..., if not the clone's")
    parser.add_argument("--humanact12", type=Path, help="folder or zip of HumanAct12's joints, if not the clone's")
    parser.add_argument("--out", type=Path, default=SPECS["t2m"].root, help="data folder to build")
    parser.add_argument("--only", nargs="+", default=[], metavar="SUBSET", help="these subsets only")
    parser.add_argument("--repair_turns", action="store_true", help="mend broken paths, which the published data have")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="processes")
    parser.add_argument("--dry_run", action="store_true", help="say what was found and stop")
    return parser.parse_args(None if argv is None else list(argv))


def make_plan(args: argparse.Namespace, published: Published) -> Plan:
    """Plan of a command line.

    Raises:
        UserError: wrong paths or names.
    """
    if published.index is None:
        raise UserError("no index.csv; give --humanml3d or --index")
    chosen = choose_subsets(args.only)
    recordings = [r for r in read_index(published.index) if not chosen or r.subset in chosen]
    sources = find_amass(args.amass)
    if published.humanact12 is not None and (not chosen or HUMANACT12 in chosen):
        sources |= find_humanact12(published.humanact12)
    return Plan(recordings, sources)


@main_with_errors
def main() -> None:
    """Build and print the report."""
    args = parse_arguments(sys.argv[1:])
    # Both for speed, as several processes work, and for the same result however many they are.
    torch.set_num_threads(1)
    given = Published(args.index, args.texts, args.splits, args.humanact12)
    published = find_published(args.humanml3d, given)
    plan = make_plan(args, published)
    print(plan.table(), flush=True)
    plan.check()
    bodies: dict[str, BodyJoints] = {}
    if any(recording.subset != HUMANACT12 and plan.source(recording) for recording in plan.recordings):
        if args.body_models is None:
            raise UserError("AMASS needs --body_models DIR, the folder with smplh/male/model.npz")
        bodies = load_bodies(args.body_models)
    if args.dry_run:
        return
    report = build(plan, Work(args.out, bodies, args.repair_turns), published, args.workers)
    print(json.dumps({key: value for key, value in report.items() if key != "dropped_clips"}, indent=2))
    print(f"wrote {args.out}; every dropped clip and its reason is in {args.out / REPORT_FILE}")


if __name__ == "__main__":
    main()
