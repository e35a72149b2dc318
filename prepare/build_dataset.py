"""Build a data set in the HumanML3D layout from raw motion capture.

A folder of your own, BVH (or ASF/AMC) files and a table of captions:

    python -m lamp.prepare.build_dataset --source my_bvh --captions captions.csv --out dataset/mine

The `mini` data set, from public downloads (git clones or unpacked archives):

    python -m lamp.prepare.build_dataset --preset mini --bandai_namco DIR --cmu DIR --animated_drawings DIR \
        --humanml3d DIR --out dataset/mini
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lamp.prepare.clips import CutOptions, Job, JobResult, process_job
from lamp.prepare.mini.plan import MiniSources, plan_mini
from lamp.prepare.own_captures import plan_folder
from lamp.prepare.plan import Plan
from lamp.prepare.write_dataset import REPORT_FILE, Entry, Report, write_dataset
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable
from lamp.utils.tagging import find_spacy_model
from lamp.utils.workers import worker_pool


def run_jobs(jobs: list[Job], options: CutOptions, workers: int) -> Iterator[JobResult]:
    """Process files in several processes, with a progress bar, results in the order of the jobs."""
    work = partial(process_job, options=options)
    if workers <= 1:
        yield from tqdm(map(work, jobs), total=len(jobs), unit="file", desc="motion")
        return
    with worker_pool(workers) as pool:
        yield from tqdm(pool.map(work, jobs, chunksize=8), total=len(jobs), unit="file", desc="motion")


def build(plan: Plan, out: Path, options: CutOptions, workers: int, mirror: bool = True) -> Report:
    """Write the data set of `plan` to the folder `out`, replacing it whole, and return the report.

    Raises:
        UserError: no clip was left, or `out` holds something else than an earlier build.
    """
    check_replaceable(out, REPORT_FILE)
    dropped: list[tuple[str, str]] = []
    kept: list[Entry] = []
    jobs: dict[str, str] = {}
    for result in run_jobs(plan.jobs, options, workers):
        dropped += result.dropped
        for clip in result.clips:
            text = plan.describe(clip)
            if isinstance(text, str):
                dropped.append((clip.id, text))
                continue
            jobs[clip.id] = jobs[f"M{clip.id}"] = clip.job
            kept.append(Entry(clip.id, clip.features, text.captions, text.heldout, text.split, text.label))
            if mirror:
                mirrored = (text.mirrored, text.heldout_mirrored, text.split, text.mirrored_label)
                kept.append(Entry(f"M{clip.id}", clip.mirrored, *mirrored))
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped[:3])
        raise UserError(f"no clip was left of {len(plan.jobs)} files ({reasons})")
    if plan.resplit is not None:
        splits = plan.resplit(list(dict.fromkeys(jobs.values())))
        kept = [replace(entry, split=splits[jobs[entry.id]]) for entry in kept]
    with atomic_folder(out) as folder:
        report = write_dataset(folder, kept, dropped, plan.balance, plan.files)
    return report


def parse_arguments(argv: Iterable[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("mini",), help="build a known data set")
    parser.add_argument("--bandai_namco", type=Path, help="mini: folder with the Bandai-Namco BVH files (searched)")
    parser.add_argument("--cmu", type=Path, help="mini: folder with the CMU clips, BVH or AMC (searched)")
    parser.add_argument("--animated_drawings", type=Path, help="mini: clone of AnimatedDrawings, six BVH examples")
    parser.add_argument("--humanml3d", type=Path, help="mini: clone of HumanML3D, for captions of held-out CMU clips")
    parser.add_argument("--cmu_labels", type=Path, help="mini: another list of CMU clips, labels and captions (JSON)")
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


def _mini_sources(args: argparse.Namespace) -> MiniSources:
    """What the command line says mini is made of.

    Raises:
        UserError: a folder is not given or not there.
    """
    if args.bandai_namco is None or args.cmu is None:
        raise UserError("--preset mini needs --bandai_namco DIR and --cmu DIR")
    for flag in ("bandai_namco", "cmu", "animated_drawings", "humanml3d"):
        folder = getattr(args, flag)
        if folder is not None and not folder.is_dir():
            raise UserError(f"--{flag} {folder} is not a folder")
    if args.cmu_labels is not None and args.humanml3d is not None:
        raise UserError("--cmu_labels brings captions of its own; leave out --humanml3d")
    return MiniSources(args.bandai_namco, args.cmu, args.animated_drawings, args.humanml3d, args.cmu_labels)


@main_with_errors
def main() -> None:
    """Build and print the report."""
    args = parse_arguments(sys.argv[1:])
    find_spacy_model()  # captions are tagged last, when all motion is done
    if args.preset == "mini":
        plan, shortest = plan_mini(_mini_sources(args), args.seed), 24
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
    print(json.dumps({key: value for key, value in asdict(report).items() if key != "dropped_clips"}, indent=2))
    print(f"wrote {args.out}; every dropped clip and its reason is in {args.out / REPORT_FILE}")


if __name__ == "__main__":
    main()
