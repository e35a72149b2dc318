"""Convert motion files: npy, npz, BVH and AMC in, any format out.

    python convert.py walk.bvh walk.npz
    python convert.py generation/exp1/joints/0/sample0_repeat0_len120.npy walk.bvh --fps 30 --in_place
    python convert.py my_captures my_joints --to npy
    python convert.py walk.bvh hero_walks.glb --character hero.glb

What is read is checked to be a body, see `caption.py` for the kinds of files. Results are upright (Y up) and in metres
(KIT-ML's 21 joints: in their own unit where the format has joints, in metres elsewhere). docs/formats.md describes the
formats. Of a folder, files that cannot be read are left out, each with its reason.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from lamp.options.convert import ConvertOptions
from lamp.utils.capture.files import find_motion_files, read_in_metres, tell_left_out
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError, load_joint_map
from lamp.utils.capture.upright import join_up
from lamp.utils.character.character import load_character
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors, told
from lamp.utils.export import FORMATS
from lamp.utils.motion import Motion
from lamp.utils.run.launch import require_one_process


def plan(options: ConvertOptions) -> dict[Path, Path]:
    """For each file to read the file to write.

    Raises:
        UserError: no motion files, or some would be written over each other or over what is read.
    """
    files = find_motion_files(options.source, "IN")
    if not options.source.is_dir():
        plans = {path: options.out for path in files.values()}
    else:
        suffix = FORMATS[options.to]
        plans = {path: (options.out / path.relative_to(options.source)).with_suffix(suffix) for path in files.values()}
    sources = {path.resolve() for path in plans}
    writers: dict[Path, Path] = {}
    for path, target in plans.items():
        if target.resolve() in sources:
            raise UserError(f"{target} would be written over a file that is read; name another OUT")
        if (other := writers.setdefault(target, path)) != path:
            raise UserError(f"{other.name} and {path.name} would both become {target}; convert one of them by itself")
    return plans


def read(path: Path, options: ConvertOptions, joint_map: JointMap | None) -> Motion:
    """A motion in metres, as the options have it; what was supposed of the file is printed.

    Raises:
        UserError: it cannot be read, or is no body's.
    """
    motion = read_in_metres(path, joint_map, options.up, options.unit)
    if options.fps is not None:
        motion = motion.at_rate(options.fps)
    return motion.in_place() if options.in_place else motion


@main_with_errors
def main() -> None:
    """Files to files."""
    options = parse(ConvertOptions, join_up(sys.argv[1:]))
    require_one_process()
    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    character = load_character(options.character, options.character_map)
    plans = plan(options)
    left_out: list[tuple[str, Mapping[str, object]]] = []
    for path, target in plans.items():
        try:
            motion = read(path, options, joint_map)
        except UserError as error:
            left_out.append((str(error), error.draft if isinstance(error, UnknownSkeletonError) else {}))
            if len(plans) > 1:
                print(f"left out: {told(error)}", file=sys.stderr)
            continue
        written = motion.save(target) if character is None else character.save(motion, target)
        print(f"{path} -> {written} ({len(motion)} frames, {motion.fps:g} a second)", flush=True)
    tell_left_out(left_out, len(plans), "converted")


if __name__ == "__main__":
    main()
