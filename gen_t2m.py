"""Generate motions from sentences.

    python gen_t2m.py --text_prompt "A person is running on a treadmill." --ext exp1
    python gen_t2m.py --text_path ./assets/text_prompt.txt --ext exp2 --repeat_times 3 --formats npz bvh mp4

Without --name and --res_name the models of checkpoints/mini are used, which ship with the code. Output goes to
`generation/<ext>/joints/<i>/sample<i>_repeat<r>_len<n>.npy` (and .npz) and `generation/<ext>/animations/<i>/...` (all
other formats), each with an `_ik` copy whose feet were cleaned up.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.options.gen import GenOptions
from lamp.utils.cli import parse, print_options, save_options
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.litter import sweep
from lamp.utils.prompts import Prompts, read_prompts
from lamp.utils.run.launch import require_one_process

# Torch and the models take a second to import: mistakes on the command line are answered before that.
if TYPE_CHECKING:
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.character.character import Character
    from lamp.utils.motion import Motion

HUMANML3D_JOINTS = 22


def get_prompts(options: GenOptions) -> Prompts:
    """Prompts of the command line or the file, lengths brought into what the models know, with a warning."""
    from lamp.models.pipeline import MIN_FRAMES
    from lamp.utils.kinematics.skeleton import MAX_FRAMES

    if options.text_path is not None:
        prompts = read_prompts(options.text_path)
    else:
        lengths = [options.motion_length] if options.motion_length else None
        prompts = Prompts([" ".join(options.text_prompt.split())], lengths)
    if prompts.lengths is None:
        return prompts
    clamped = [min(max(n, MIN_FRAMES), MAX_FRAMES) for n in prompts.lengths]
    for wanted, given in zip(prompts.lengths, clamped):
        if wanted != given:
            print(f"warning: {wanted} frames is outside {MIN_FRAMES} to {MAX_FRAMES}; using {given}", file=sys.stderr)
    return replace(prompts, lengths=clamped)


def check_output(folder: Path) -> None:
    """Make the output folder before anything is computed.

    Raises:
        UserError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in (folder, *folder.glob("*/*/")):  # what a killed run left half-written
            sweep(place)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --output_dir") from error


def load_pipeline(options: GenOptions) -> "LaMPPipeline":
    """The models that the options name."""
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.run.device import resolve_device

    device = resolve_device(options.gpu_id)
    if options.name:
        return LaMPPipeline.from_runs(
            options.checkpoints_dir / options.dataset_name,
            options.name,
            options.res_name or None,
            length_name=options.length_name,
            which=options.which_epoch,
            device=device,
        )
    return LaMPPipeline.from_pretrained(options.models or None, device)


def save_all(
    motion: "Motion", folder: Path, index: int, repeat: int, options: GenOptions, character: "Character | None" = None
) -> Path:
    """Write the files of one motion, and return the first."""
    stem = f"sample{index}_repeat{repeat}_len{len(motion)}"
    rigid = motion.joints.shape[1] == HUMANML3D_JOINTS
    plain = motion.with_constant_bones() if rigid else motion
    variants = {"": plain}
    # The foot clean-up is made for HumanML3D's 22 joints, not for KIT-ML's.
    if options.ik and rigid:
        variants["_ik"] = plain.with_foot_cleanup()
    files = []
    for mark, variant in variants.items():
        for suffix in options.suffixes:
            # The archive holds features too, and the joints that belong to them.
            chosen = motion if suffix == ".npz" and not mark else variant
            room = "joints" if suffix.startswith(".np") or suffix == ".smpl.npz" else "animations"
            files.append(chosen.save(folder / room / str(index) / f"{stem}{mark}{suffix}"))
        if character is not None:
            name = f"{stem}{mark}_{character.path.stem}.glb"
            files.append(character.save(variant, folder / "animations" / str(index) / name))
    return files[0]


@main_with_errors
def main() -> None:
    """Prompts to motions to files."""
    options = parse(GenOptions)
    require_one_process()
    folder = options.output_dir / options.ext
    check_output(folder)
    print_options(options)
    from tqdm import tqdm

    prompts = get_prompts(options)
    character = None
    if options.character is not None:
        from lamp.utils.character.character import load_character

        character = load_character(options.character, options.character_map)
    pipe = load_pipeline(options).with_precision(options.precision)
    for warning in pipe.cut_prompts(prompts.texts) + pipe.foreign_prompts(prompts.texts):
        print(f"warning: {warning}", file=sys.stderr)
    save_options(options, folder / "opt.json")
    # Repeats differ by their seed; a prompt keeps its motion whatever else is in the file.
    texts = [text for text in prompts.texts for _ in range(options.repeat_times)]
    lengths = None
    if prompts.lengths is not None:
        lengths = [length for length in prompts.lengths for _ in range(options.repeat_times)]
    seeds = [options.seed + repeat for _ in prompts.texts for repeat in range(options.repeat_times)]
    with tqdm(total=len(texts), desc="generating", unit="motion", disable=None) as bar:
        motions = pipe(
            texts,
            lengths,
            seeds=seeds,
            **options.sampling(),
            progress=lambda done, total: bar.update(done - bar.n),
        )
    for i, motion in enumerate(tqdm(motions, desc="writing", unit="motion", disable=None)):
        index, repeat = divmod(i, options.repeat_times)
        print(f"{motion.text} -> {save_all(motion, folder, index, repeat, options, character)}")


if __name__ == "__main__":
    main()
