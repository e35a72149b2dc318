"""Build a data set in the HumanML3D layout from raw motion capture.

A folder of your own, BVH (or ASF/AMC) files or arrays of joints, and a table of captions:

    python -m lamp.prepare.build_dataset --source my_bvh --captions captions.csv --out dataset/mine

The `mini` data set, from public downloads (git clones or unpacked archives):

    python -m lamp.prepare.build_dataset --preset mini --bandai_namco DIR --cmu DIR --animated_drawings DIR \
        --humanml3d DIR --out dataset/mini
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from lamp.prepare.clips import CutOptions, Job, JobResult, process_job
from lamp.prepare.mini.more.sources import SOURCES
from lamp.prepare.mini.plan import MiniSources, plan_mini
from lamp.prepare.names import MIRROR_PREFIX
from lamp.prepare.own_captures import plan_folder
from lamp.prepare.plan import Plan
from lamp.prepare.write_dataset import REPORT_FILE, Entry, Report, write_dataset
from lamp.utils.capture.joint_map import load_joint_map, write_draft
from lamp.utils.capture.upright import AXES, join_up
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable
from lamp.utils.tagging import find_spacy_model
from lamp.utils.workers import worker_pool

_NAMED = 5
"""Files that are named on the screen; the report has all."""


def run_jobs(jobs: list[Job], options: CutOptions, workers: int) -> Iterator[JobResult]:
    """Process files in several processes, with a progress bar, results in the order of the jobs."""
    work = partial(process_job, options=options)
    if workers <= 1:
        yield from tqdm(map(work, jobs), total=len(jobs), unit="file", desc="motion")
        return
    with worker_pool(workers) as pool:
        yield from tqdm(pool.map(work, jobs, chunksize=8), total=len(jobs), unit="file", desc="motion")


@dataclass
class _Gathered:
    """What became of all files: entries to write, what was dropped, and what the user should hear.

    Attributes:
        kept: clips, with their mirror images.
        jobs: job of each entry, by id.
        dropped: (clip or file, reason).
        unread: files that could not be read.
        notes: of files what was supposed.
        draft: a joint map to fill in, of the first file whose skeleton is not known.
    """

    kept: list[Entry] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    draft: dict[str, object] = field(default_factory=dict)

    def add(self, job: Job, result: JobResult, plan: Plan, mirror: bool) -> None:
        """Take in what became of a file."""
        self.dropped += result.dropped
        self.unread += result.dropped if result.unread else []
        self.draft = self.draft or result.draft
        if result.notes:
            self.notes[job.name] = result.notes
        for clip in result.clips:
            text = plan.describe(clip)
            if isinstance(text, str):
                self.dropped.append((clip.id, text))
                continue
            self.jobs[clip.id] = self.jobs[f"{MIRROR_PREFIX}{clip.id}"] = clip.job
            self.kept.append(Entry(clip.id, clip.features, text.captions, text.heldout, text.split, text.label))
            if mirror:
                mirrored = (text.mirrored, text.heldout_mirrored, text.split, text.mirrored_label)
                self.kept.append(Entry(f"{MIRROR_PREFIX}{clip.id}", clip.mirrored, *mirrored))

    def tell(self, files: int) -> None:
        """Name on stderr what could not be read and what was supposed, the first of each, and how many there are."""
        for name, reason in self.unread[:_NAMED]:
            print(f"left out: {name}: {reason}", file=sys.stderr)
        if self.unread:
            print(f"{len(self.unread)} of {files} files could not be used", file=sys.stderr)
        for name, notes in list(self.notes.items())[:_NAMED]:
            print(f"note: {name}: {'; '.join(notes)}", file=sys.stderr)
        if len(self.notes) > _NAMED:
            print(f"note: the same of {len(self.notes) - _NAMED} more files", file=sys.stderr)
        if self.draft:
            print(f"{write_draft(self.draft)} is a joint map to fill in for --joint_map", file=sys.stderr)


def build(plan: Plan, out: Path, options: CutOptions, workers: int, mirror: bool = True) -> Report:
    """Write the data set of `plan` to the folder `out`, replacing it whole, and return the report.

    Raises:
        UserError: no clip was left, or `out` holds something else than an earlier build.
    """
    check_replaceable(out, REPORT_FILE)
    gathered = _Gathered()
    for job, result in zip(plan.jobs, run_jobs(plan.jobs, options, workers)):
        gathered.add(job, result, plan, mirror)
    gathered.tell(len(plan.jobs))
    kept, dropped = gathered.kept, gathered.dropped
    if not kept:
        reasons = "; ".join(f"{name}: {reason[:150]}" for name, reason in dropped[:1])
        raise UserError(f"no clip was left of {len(plan.jobs)} files ({reasons})")
    if plan.resplit is not None:
        splits = plan.resplit(list(dict.fromkeys(gathered.jobs.values())))
        kept = [replace(entry, split=splits[gathered.jobs[entry.id]]) for entry in kept]
    with atomic_folder(out) as folder:
        report = write_dataset(folder, kept, dropped, plan.balance, plan.files, gathered.notes)
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
    for name, source in SOURCES.items():
        parser.add_argument(f"--{name}", type=Path, help=f"mini: folder with {source.what} (searched)")
    parser.add_argument("--source", type=Path, help="your folder of .bvh, .amc, or joints in .npy or .npz")
    parser.add_argument("--captions", type=Path, help="CSV with columns file,caption[,start,end,split]")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, replaced whole")
    parser.add_argument("--joint_map", type=Path, help="JSON map from our 22 joint names to yours")
    parser.add_argument("--up", choices=AXES, help="up axis; found when not given (arrays: +y)")
    parser.add_argument("--min_frames", type=int, help="shortest clip at 20 fps (40; mini 24)")
    parser.add_argument("--max_speed", type=float, default=12.0, help="m/s above which a take is broken")
    parser.add_argument("--max_float", type=float, default=0.10, help="m that feet may be off the floor")
    parser.add_argument("--no_mirror", action="store_true", help="do not add mirrored copies")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="of captions and splits")
    return parser.parse_args(join_up(sys.argv[1:] if argv is None else list(argv)))


def _mini_sources(args: argparse.Namespace) -> MiniSources:
    """What the command line says mini is made of.

    Raises:
        UserError: a folder is not given or not there.
    """
    if args.bandai_namco is None or args.cmu is None:
        raise UserError("--preset mini needs --bandai_namco DIR and --cmu DIR")
    for flag in ("bandai_namco", "cmu", "animated_drawings", "humanml3d", *SOURCES):
        folder = getattr(args, flag)
        if folder is not None and not folder.is_dir():
            raise UserError(f"--{flag} {folder} is not a folder")
    if args.cmu_labels is not None and args.humanml3d is not None:
        raise UserError("--cmu_labels brings captions of its own; leave out --humanml3d")
    more = {name: folder for name in SOURCES if (folder := getattr(args, name)) is not None}
    return MiniSources(args.bandai_namco, args.cmu, args.animated_drawings, args.humanml3d, args.cmu_labels, more)


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
    print(json.dumps({key: value for key, value in report.filled().items() if key != "dropped_clips"}, indent=2))
    print(f"wrote {args.out}; every dropped clip and its reason is in {args.out / REPORT_FILE}")


if __name__ == "__main__":
    main()
