"""Edit a motion: make sections of it anew from a text, and keep the rest.

    python edit_t2m.py --source_motion walk.bvh --mask_edit_section 0.2,0.5 --text_prompt "a person kicks" --ext edit1
    python edit_t2m.py --source_motion walk.npz --mask_edit_section 0,40 2s,3.5s --text_prompt "a person waves"
    python edit_t2m.py --source_motion walk.npy --motion_length 160 --text_prompt "a person sits down"

Sections with a point are parts of the motion, whole numbers frames at 20 a second, and numbers with an s seconds.
Without --name and --res_name the models of checkpoints/mini are used. Output goes to
`editing/<ext>/joints/0/sample0_repeat<r>_len<n>.npy` and `editing/<ext>/animations/0/...`, as that of gen_t2m.py.
"""

import sys
from pathlib import Path

from lamp.options.gen import EditOptions
from lamp.stages.motion_output import check_output, find_character, load_pipeline, save_all, tell_wording, warn_of
from lamp.utils.capture.files import SUPPOSED, find_motion_files, read_motion, tell_left_out
from lamp.utils.capture.joint_map import UnknownSkeletonError, load_joint_map
from lamp.utils.capture.upright import join_up
from lamp.utils.cli import parse, print_options, save_options
from lamp.utils.errors import UserError, main_with_errors, naming
from lamp.utils.motion import Motion
from lamp.utils.run.launch import require_one_process


def read_source(options: EditOptions) -> tuple[Path, Motion]:
    """The motion file of the options, and its motion; what was supposed of it is printed.

    Raises:
        UserError: there is no such file, it is a folder, or holds no motion.
    """
    path = options.source_motion
    if path is None or path.is_dir():
        raise UserError(f"--source_motion {path} is a folder; name one motion file of it")
    find_motion_files(path, "--source_motion")
    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    try:
        motion = read_motion(path, joint_map, options.up)
    except UnknownSkeletonError as error:
        tell_left_out([(str(error), error.draft)], 1, "edited")
        raise
    for note in motion.meta.get(SUPPOSED, ()):
        print(f"note: {path.name}: {note}", file=sys.stderr)
    return path, motion


@main_with_errors
def main() -> None:
    """A motion file and a text to motions to files."""
    options = parse(EditOptions, join_up(sys.argv[1:]))
    require_one_process()
    folder = options.output_dir / options.ext
    path, source = read_source(options)
    check_output(folder)
    print_options(options)
    character, pipe = find_character(options), load_pipeline(options)
    warn_of(pipe, [options.text_prompt])
    save_options(options, folder / "opt.json")
    sections, unit = options.sections()
    for repeat in range(options.repeat_times):
        with naming(path):
            motion = pipe.edit(
                source,
                " ".join(options.text_prompt.split()),
                sections,
                unit=unit,
                length=options.motion_length or None,
                seed=options.seed + repeat,
                candidates=options.candidates,
                residual=options.use_res_model,
                keep_frames=options.keep_frames,
                **options.editing(),
            )
        if repeat == 0:
            tell_wording([motion])
        anew = ", ".join(f"{start} to {end - 1}" for start, end in motion.meta["sections"])
        print(f"frames {anew} made anew -> {save_all(motion, folder, 0, repeat, options, character)}")


if __name__ == "__main__":
    main()
