"""Describe motions in words: motion files in, captions out.

    python caption.py --motion walk.bvh
    python caption.py --motion my_bvh --out captions.csv --windows

Files: features .npy (T, 263 or 251), joints .npy or .npz (T, 22 or 21, 3; metres, Y up or as --up says, 20 frames a
second unless the .npz says otherwise), BVH (and ASF/AMC) at any frame rate of a skeleton that
`lamp.prepare.build_dataset` recognises or that --joint_map describes. Without --name the models of checkpoints/mini are
used, which ship with the code. Of a motion longer than the models know (9.8 seconds) the beginning is described, or
with --windows every part. The CSV is a table of captions as `lamp.prepare.build_dataset --captions` reads it.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lamp.data.caption_table import Described, Skipped, check_writable, write_captions
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.options.m2t import CaptionOptions
from lamp.stages.captions import load_captioner, write_captions_of
from lamp.utils.capture.files import SUPPOSED, find_motion_files, read_motion, reason_of, tell_left_out
from lamp.utils.capture.joint_map import UnknownSkeletonError, load_joint_map
from lamp.utils.capture.upright import join_up
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors, told
from lamp.utils.motion import Motion
from lamp.utils.reading import reading
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process


def parts_of(pipe: CaptionPipeline, name: str, motion: Motion, windows: bool) -> list[tuple[Described, Motion]]:
    """What is described of a motion file, each with a row that has no captions yet.

    Raises:
        UserError: something of the motion cannot be described.
    """
    if windows and len(parts := pipe.parts(motion)) > 1:
        chosen = [(Described(name, [], start, end), part) for start, end, part in parts]
    else:
        cut = pipe.is_cut(motion) and not windows
        note = f"the first {pipe.max_frames} of {len(motion)} frames; --windows describes all" if cut else ""
        chosen = [(Described(name, [], note=note), motion)]
    chosen[0][0].note = "; ".join(filter(None, (chosen[0][0].note, *map(str, motion.meta.get(SUPPOSED, ())))))
    for _, part in chosen:
        pipe.features(part)
    return chosen


def describe(pipe: CaptionPipeline, files: dict[str, Path], options: CaptionOptions) -> Iterator[Described | Skipped]:
    """Captions of some files, by name and path, in one batch."""
    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    rows: list[Described | Skipped] = []
    motions: list[Motion] = []
    for name, path in files.items():
        try:
            with reading(path, "motion"):
                motion = read_motion(path, joint_map, options.up)
                parts = parts_of(pipe, name, motion, options.windows)
        except UserError as error:
            draft = error.draft if isinstance(error, UnknownSkeletonError) else {}
            rows.append(Skipped(name, reason_of(error, path, name), draft))
            continue
        rows += [row for row, _ in parts]
        motions += [part for _, part in parts]
    captions = iter(write_captions_of(pipe, motions, options))
    for row in rows:
        if isinstance(row, Described):
            row.captions = next(captions)
        yield row


def show(row: Described | Skipped) -> None:
    """Print captions, or on stderr why there are none."""
    if isinstance(row, Skipped):
        print(f"left out: {told(f'{row.file}: {row.reason}')}", file=sys.stderr)
        return
    if row.note:
        print(f"note: {row.file}: {row.note}", file=sys.stderr)
    part = f" {row.start:.1f}-{row.end:.1f} s" if row.end else ""
    for caption in row.captions:
        print(f"{row.file}{part}: {caption}", flush=True)


def batches(files: dict[str, Path], size: int) -> Iterator[dict[str, Path]]:
    """The files, `size` at a time."""
    rest = iter(files.items())
    while batch := dict(islice(rest, size)):
        yield batch


@main_with_errors
def main() -> None:
    """Files to captions."""
    options = parse(CaptionOptions, join_up(sys.argv[1:]))
    require_one_process()
    files = find_motion_files(options.motion)
    if options.out is not None:
        check_writable(options.out)
    pipe = load_captioner(options, resolve_device(options.gpu_id))
    rows: list[Described | Skipped] = []
    for batch in batches(files, options.batch_size):
        for row in describe(pipe, batch, options):
            rows.append(row)
            if options.motion.is_dir() or isinstance(row, Described):
                show(row)
    skipped = [row for row in rows if isinstance(row, Skipped)]
    tell_left_out([(f"{row.file}: {row.reason}", row.draft) for row in skipped], len(files), "described")
    if options.out is not None:
        write_captions(options.out, rows)


if __name__ == "__main__":
    main()
