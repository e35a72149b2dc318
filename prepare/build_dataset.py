"""Build a data set in the HumanML3D layout from raw motion capture.

A folder of your own, BVH (or ASF/AMC) files or arrays of joints, and a table of captions:

    python -m lamp.prepare.build_dataset --source my_bvh --captions captions.csv --out dataset/mine

The `mini` data set, from public downloads (git clones or unpacked archives):

    python -m lamp.prepare.build_dataset --preset mini --bandai_namco DIR --cmu DIR --animated_drawings DIR \
        --humanml3d DIR --out dataset/mini

A big public set as it is published, or the part of it that is there (docs/corpora.md tells licences and time):

    python -m lamp.prepare.build_dataset --preset bones_seed --source bones-seed --out dataset/seed --workers 16
    python -m lamp.prepare.build_dataset --preset motion_x --source datasets --body_models bodies --out dataset/x
    python -m lamp.prepare.build_dataset --source amass --texts texts --body_models bodies --out dataset/amass
"""

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from lamp.prepare.clips import Clip, CutOptions, Job, JobResult, process_job
from lamp.prepare.corpora.bones_seed import plan_bones_seed
from lamp.prepare.corpora.smpl import Amass
from lamp.prepare.corpora.text_files import plan_motion_x, plan_text_folder
from lamp.prepare.mini.more.sources import SOURCES
from lamp.prepare.mini.plan import MiniSources, plan_mini
from lamp.prepare.names import MIRROR_PREFIX
from lamp.prepare.own_captures import plan_folder
from lamp.prepare.plan import ClipText, Plan
from lamp.prepare.write_dataset import REPORT_FILE, Entry, Remarks, Report, write_dataset
from lamp.utils.capture.joint_map import load_joint_map, write_draft
from lamp.utils.capture.upright import AXES, join_up
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable
from lamp.utils.tagging import find_spacy_model
from lamp.utils.workers import worker_pool

_NAMED = 5
"""Files that are named on the screen; the report has all."""
_UNDER_WAY = 8
"""Files of each process that are handed out ahead."""


def run_jobs(jobs: Sequence[Job], options: CutOptions, workers: int) -> Iterator[JobResult]:
    """Process files in several processes, with a progress bar, results in the order of the jobs.

    No more than a few files a process are on their way, so that memory does not grow with their number.
    """
    work = partial(process_job, options=options)
    if workers <= 1:
        yield from tqdm(map(work, jobs), total=len(jobs), unit="file", desc="motion")
        return
    with worker_pool(workers) as pool, tqdm(total=len(jobs), unit="file", desc="motion") as bar:
        left = iter(jobs)
        under_way = deque(pool.submit(work, job) for job in islice(left, _UNDER_WAY * workers))
        while under_way:
            yield under_way.popleft().result()
            bar.update()
            under_way.extend(pool.submit(work, job) for job in islice(left, 1))


@dataclass
class _Gathered:
    """What became of all files: what was dropped, and what the user should hear.

    Attributes:
        plan: of the data set.
        mirror: whether clips are written with their mirror images.
        remarks: what the data set is written by, filled in here.
        jobs: job of each entry, by id.
        unread: files that could not be read.
        draft: a joint map to fill in, of the first file whose skeleton is not known.
    """

    plan: Plan
    mirror: bool
    remarks: Remarks = field(init=False)
    jobs: dict[str, str] = field(default_factory=dict)
    unread: list[tuple[str, str]] = field(default_factory=list)
    draft: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        resplit = None if self.plan.resplit is None else self._resplit
        self.remarks = Remarks([], self.plan.balance, self.plan.files, {}, self.plan.source, resplit)

    def entries(self, results: Iterable[JobResult]) -> Iterator[Entry]:
        """Clips of the files, as they come.

        Raises:
            UserError: there are none.
        """
        for job, result in zip(self.plan.jobs, results):
            self.remarks.dropped += result.dropped
            self.unread += result.dropped if result.unread else []
            self.draft = self.draft or result.draft
            if result.notes:
                self.remarks.notes[job.name] = result.notes
            for clip in result.clips:
                text = self.plan.describe(clip)
                if isinstance(text, str):
                    self.remarks.dropped.append((clip.id, text))
                else:
                    yield from self._both(clip, text)
        self._tell()
        if not self.jobs:
            reasons = "; ".join(f"{name}: {reason[:150]}" for name, reason in self.remarks.dropped[:1])
            raise UserError(f"no clip was left of {len(self.plan.jobs)} files ({reasons})")

    def _both(self, clip: Clip, text: ClipText) -> Iterator[Entry]:
        """A clip, and its mirror image if there shall be one."""
        self.jobs[clip.id] = self.jobs[f"{MIRROR_PREFIX}{clip.id}"] = clip.job
        yield Entry(clip.id, clip.features, text.captions, text.heldout, text.split, text.label, text.timed)
        if self.mirror:
            said = (text.mirrored, text.heldout_mirrored, text.split, text.mirrored_label, text.timed_mirrored)
            yield Entry(f"{MIRROR_PREFIX}{clip.id}", clip.mirrored, *said)

    def _resplit(self, splits: dict[str, str]) -> dict[str, str]:
        assert self.plan.resplit is not None
        by_job = self.plan.resplit(list(dict.fromkeys(self.jobs[name] for name in splits)))
        return {name: by_job[self.jobs[name]] for name in splits}

    def _tell(self) -> None:
        """Name on stderr what could not be read and what was supposed, the first of each, and how many there are."""
        for name, reason in self.unread[:_NAMED]:
            print(f"left out: {name}: {reason}", file=sys.stderr)
        if self.unread:
            print(f"{len(self.unread)} of {len(self.plan.jobs)} files could not be used", file=sys.stderr)
        notes = self.remarks.notes
        for name, lines in list(notes.items())[:_NAMED]:
            print(f"note: {name}: {'; '.join(lines)}", file=sys.stderr)
        if len(notes) > _NAMED:
            print(f"note: the same of {len(notes) - _NAMED} more files", file=sys.stderr)
        if self.draft:
            print(f"{write_draft(self.draft)} is a joint map to fill in for --joint_map", file=sys.stderr)


def build(plan: Plan, out: Path, options: CutOptions, workers: int, mirror: bool = True) -> Report:
    """Write the data set of `plan` to the folder `out`, replacing it whole, and return the report.

    Raises:
        UserError: no clip was left, or `out` holds something else than an earlier build.
    """
    check_replaceable(out, REPORT_FILE)
    gathered = _Gathered(plan, mirror)
    gathered.remarks.workers = workers
    with atomic_folder(out) as folder:
        return write_dataset(folder, gathered.entries(run_jobs(plan.jobs, options, workers)), gathered.remarks)


def parse_arguments(argv: Iterable[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("mini", "bones_seed", "motion_x"), help="build a known data set")
    parser.add_argument("--bandai_namco", type=Path, help="mini: folder with the Bandai-Namco BVH files (searched)")
    parser.add_argument("--cmu", type=Path, help="mini: folder with the CMU clips, BVH or AMC (searched)")
    parser.add_argument("--animated_drawings", type=Path, help="mini: clone of AnimatedDrawings, six BVH examples")
    parser.add_argument("--humanml3d", type=Path, help="mini: clone of HumanML3D, for captions of held-out CMU clips")
    parser.add_argument("--cmu_labels", type=Path, help="mini: another list of CMU clips, labels and captions (JSON)")
    for name, source in SOURCES.items():
        parser.add_argument(f"--{name}", type=Path, help=f"mini: folder with {source.what} (searched)")
    parser.add_argument(
        "--source", type=Path, help="your folder of .bvh, .amc, or joints in .npy or .npz; or the set's"
    )
    parser.add_argument("--captions", type=Path, help="CSV with columns file,caption[,start,end,split]")
    parser.add_argument("--texts", type=Path, help="instead of --captions: folder with NAME.txt for each motion")
    parser.add_argument("--body_models", type=Path, help="folder with smplh/ or smplx/: .npz are AMASS's recordings")
    parser.add_argument("--splits", type=Path, help="folder with the published train.txt, test.txt, ... of a set")
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


def _plan(args: argparse.Namespace) -> Plan:
    """What the command line says a data set is made of.

    Raises:
        UserError: something is not given, or does not go together.
    """
    if args.preset == "mini":
        return plan_mini(_mini_sources(args), args.seed)
    if args.preset is not None and args.source is None:
        raise UserError(f"--preset {args.preset} needs --source DIR, the folder that the set is unpacked in")
    if args.body_models is not None and not args.body_models.is_dir():
        raise UserError(f"--body_models {args.body_models} is not a folder")
    if args.preset == "bones_seed":
        return plan_bones_seed(args.source, args.seed, args.no_mirror, args.splits)
    if args.preset == "motion_x":
        if args.body_models is None:
            raise UserError("--preset motion_x needs --body_models DIR with smplx/SMPLX_NEUTRAL.npz")
        return plan_motion_x(args.source, args.body_models, args.seed, args.no_mirror, args.splits)
    read = Amass(args.body_models) if args.body_models is not None else None
    if args.source and args.texts and not args.captions:
        return plan_text_folder(args.source, args.texts, args.seed, args.splits, read)
    if args.source and args.captions and not args.texts and not args.splits:
        return plan_folder(args.source, args.captions, args.seed, read)
    raise UserError("give --source DIR and --captions FILE.csv (which has the splits) or --texts DIR, or --preset NAME")


@main_with_errors
def main() -> None:
    """Build and print the report."""
    args = parse_arguments(sys.argv[1:])
    find_spacy_model()  # captions are tagged last, when all motion is done
    plan = _plan(args)
    if "licence" in plan.source:
        print(f"note: {plan.source['licence']}", file=sys.stderr)
    options = CutOptions(
        min_frames=args.min_frames or (24 if args.preset == "mini" else 40),
        max_speed=args.max_speed,
        max_float=args.max_float,
        # BONES-SEED's pose without rotations is none of a body, which a look for the up axis would go by.
        up=args.up or ("+y" if args.preset == "bones_seed" else None),
        joint_map=load_joint_map(args.joint_map) if args.joint_map else None,
    )
    report = build(plan, args.out, options, args.workers, mirror=not args.no_mirror)
    print(json.dumps({key: value for key, value in report.filled().items() if key != "dropped_clips"}, indent=2))
    print(f"wrote {args.out}; every dropped clip and its reason is in {args.out / REPORT_FILE}")


if __name__ == "__main__":
    main()
