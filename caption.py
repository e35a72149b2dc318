"""Describe motions in words: motion files in, captions out.

    python caption.py --motion walk.bvh
    python caption.py --motion my_bvh --out captions.csv --windows

Files: features .npy (T, 263 or 251), joints .npy or .npz (T, 22 or 21, 3; metres, Y up, 20 frames a second unless the
.npz says otherwise), BVH (and ASF/AMC) at any frame rate of a skeleton that `lamp.prepare.build_dataset` knows or that
--joint_map describes. Without --name the models of checkpoints/mini are used, which ship with the code. Of a motion
longer than the models know (9.8 seconds) the beginning is described, or with --windows every part. The CSV is a table
of captions as `lamp.prepare.build_dataset --captions` reads it.
"""

import csv
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lamp.options.m2t import CaptionOptions
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path, write_json

CAPTURES = (".bvh", ".amc")
SUFFIXES = (".npy", ".npz", *CAPTURES)


@dataclass
class Described:
    """Captions of a file, or of its part from `start` to `end` (seconds; both 0 for the whole or its beginning)."""

    file: str
    captions: list[str]
    start: float = 0.0
    end: float = 0.0
    note: str = ""


@dataclass
class Skipped:
    """A file that could not be described, and why."""

    file: str
    reason: str


def find_files(path: Path) -> list[Path]:
    """The motion file, or those of a folder and the folders below it.

    Raises:
        UserError: there is none.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise UserError(f"--motion {path}: no motion files ({', '.join(SUFFIXES)}) in this folder")
        return files
    if not path.is_file():
        raise UserError(f"--motion {path}: no such file or folder")
    if path.suffix.lower() not in SUFFIXES:
        kind = path.suffix or "a file without suffix"
        raise UserError(f"--motion {path}: cannot read {kind}; use {', '.join(SUFFIXES)} or a folder of them")
    return [path]


def read_motion(path: Path, joint_map: "JointMap | None") -> "Motion":  # noqa: F821 - imported late, see main
    """The motion of a file.

    Raises:
        UserError: it holds none.
    """
    import torch

    from lamp.prepare.clips import FPS, CutOptions, load_joints
    from lamp.utils.motion import Motion

    if path.suffix.lower() not in CAPTURES:
        try:
            return Motion.load(path)
        except (EOFError, AttributeError, TypeError) as error:
            raise UserError(f"{path} is empty or no plain {path.suffix[1:]} array; save it with numpy") from error
    joints, _ = load_joints(path, CutOptions(joint_map=joint_map))
    if not torch.isfinite(joints).all():
        raise UserError(f"{path} has a joint that is NaN or infinite")
    return Motion(joints.float().numpy(), fps=FPS)


def describe(
    pipe: "CaptionPipeline",  # noqa: F821
    files: Sequence[tuple[str, Path]],
    options: CaptionOptions,
) -> Iterator[Described | Skipped]:
    """Captions of some files, by name and path, in one batch."""
    from lamp.utils.capture.joint_map import load_joint_map

    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    rows: list[Described | Skipped] = []
    motions = []
    for name, path in files:
        try:
            motion = read_motion(path, joint_map)
            parts = pipe.parts(motion) if options.windows else [(0.0, 0.0, motion)]
            for _, _, part in parts:
                pipe.features(part)
        except UserError as error:
            reason = str(error).replace(str(path), name)
            # Readers name the file in their own way; here it stands in front.
            rows.append(Skipped(name, reason.removeprefix(f"{name}: ").removeprefix(f"{name} is ")))
            continue
        cut = pipe.is_cut(motion) and not options.windows
        note = f"the first {pipe.max_frames} of {len(motion)} frames; --windows describes all" if cut else ""
        for start, end, part in parts:
            whole = len(parts) == 1
            rows.append(Described(name, [], 0.0 if whole else start, 0.0 if whole else end, note))
            motions.append(part)
    how = {"num_beams": options.num_beams, "top_p": options.top_p, "temperature": options.temperature}
    captions = iter(
        pipe(motions, seed=options.seed, batch_size=options.batch_size, num_captions=options.num_captions, **how)
    )
    for row in rows:
        if isinstance(row, Described):
            row.captions = next(captions)
        yield row


def show(row: Described | Skipped) -> None:
    """Print captions, or on stderr why there are none."""
    if isinstance(row, Skipped):
        print(f"left out: {row.file}: {row.reason}", file=sys.stderr)
        return
    if row.note:
        print(f"note: {row.file}: {row.note}", file=sys.stderr)
    part = f" {row.start:.1f}-{row.end:.1f} s" if row.end else ""
    for caption in row.captions:
        print(f"{row.file}{part}: {caption}", flush=True)


def write(path: Path, rows: Sequence[Described | Skipped]) -> None:
    """Write captions as JSON, with the files left out, or as CSV."""
    described = [row for row in rows if isinstance(row, Described)]
    try:
        if path.suffix.lower() == ".json":
            skipped = [asdict(row) for row in rows if isinstance(row, Skipped)]
            write_json(path, {"captions": [asdict(row) for row in described], "skipped": skipped})
            return
        with atomic_path(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("file", "caption", "start", "end"))
            for row in described:
                table.writerows((row.file, text, round(row.start, 3), round(row.end, 3)) for text in row.captions)
    except OSError as error:
        raise UserError(f"--out {path}: cannot write there ({error.strerror})") from error


def check_writable(path: Path) -> None:
    """Make the folder of an output file before anything is computed.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f"--out {path}: cannot write there ({error.strerror})") from error


def load_pipeline(options: CaptionOptions) -> "CaptionPipeline":  # noqa: F821
    """The models that the options name."""
    from lamp.models.m2t.pipeline import CaptionPipeline
    from lamp.utils.run.device import resolve_device

    device = resolve_device(options.gpu_id)
    if options.name:
        root = options.checkpoints_dir / options.dataset_name
        pipe = CaptionPipeline.from_runs(root, options.name, options.which_epoch, device)
    else:
        pipe = CaptionPipeline.from_pretrained(options.models or None, device)
    return pipe.with_precision(options.precision)


@main_with_errors
def main() -> None:
    """Files to captions."""
    options = parse(CaptionOptions)
    files = find_files(options.motion)
    folder = options.motion if options.motion.is_dir() else options.motion.parent
    named = [(file.relative_to(folder).as_posix(), file) for file in files]
    if options.out is not None:
        check_writable(options.out)
    pipe = load_pipeline(options)
    rows: list[Described | Skipped] = []
    for start in range(0, len(named), options.batch_size):
        for row in describe(pipe, named[start : start + options.batch_size], options):
            rows.append(row)
            if options.motion.is_dir() or isinstance(row, Described):
                show(row)
    skipped = [row for row in rows if isinstance(row, Skipped)]
    if len(skipped) == len(rows):
        more = f" ({len(rows)} files, none could be described)" if len(rows) > 1 else ""
        raise UserError(f"{skipped[0].file}: {skipped[0].reason}{more}")
    if skipped:
        print(f"{len(skipped)} of {len(files)} files left out", file=sys.stderr)
    if options.out is not None:
        write(options.out, rows)


if __name__ == "__main__":
    main()
