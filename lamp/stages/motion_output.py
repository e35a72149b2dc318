"""What the scripts that make motions have in common: the models that options name, the files of each motion."""

from pathlib import Path
from typing import TYPE_CHECKING

from lamp.options.gen import ModelOptions, MotionOptions
from lamp.utils.errors import UserError
from lamp.utils.litter import sweep

# Torch and the models take a second to import: mistakes on the command line are answered before that.
if TYPE_CHECKING:
    import torch

    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.character.character import Character
    from lamp.utils.motion import Motion

HUMANML3D_JOINTS = 22


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


def load_pipeline(options: ModelOptions, device: "torch.device | None" = None) -> "LaMPPipeline":
    """The models that the options name, computing as the options say, on a device of theirs or another."""
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.run.device import resolve_device

    device = resolve_device(options.gpu_id) if device is None else device
    if options.name:
        pipe = LaMPPipeline.from_runs(
            options.checkpoints_dir / options.dataset_name,
            options.name,
            options.res_name or None,
            length_name=options.length_name,
            which=options.which_epoch,
            device=device,
        )
    else:
        pipe = LaMPPipeline.from_pretrained(options.models or None, device)
    return pipe.with_precision(options.precision)


def find_character(options: MotionOptions) -> "Character | None":
    """The character that gets each motion, if the options name one."""
    if options.character is None:
        return None
    from lamp.utils.character.character import load_character

    return load_character(options.character, options.character_map)


def save_all(
    motion: "Motion",
    folder: Path,
    index: int,
    repeat: int,
    options: MotionOptions,
    character: "Character | None" = None,
) -> Path:
    """Write the files of one motion, and return the first."""
    stem = f"sample{index}_repeat{repeat}_len{len(motion)}"
    variants = _variants(motion, options)
    files = []
    for mark, variant in variants.items():
        for suffix in options.suffixes:
            # The archive holds features too, and the joints that belong to them.
            chosen = motion if suffix == ".npz" and not mark and not options.in_place else variant
            room = "joints" if suffix.startswith(".np") or suffix == ".smpl.npz" else "animations"
            files.append(chosen.save(folder / room / str(index) / f"{stem}{mark}{suffix}"))
        if character is not None:
            name = f"{stem}{mark}_{character.path.stem}.glb"
            files.append(character.save(variant, folder / "animations" / str(index) / name))
    return files[0]


def _variants(motion: "Motion", options: MotionOptions) -> "dict[str, Motion]":
    """A motion as it is written, by what is added to the files' names: with constant bones, and with cleaned feet."""
    from lamp.utils.looping import LOOP, through_rounds
    from lamp.utils.motion import Motion

    # The foot clean-up is made for HumanML3D's 22 joints, not for KIT-ML's.
    rigid = motion.joints.shape[1] == HUMANML3D_JOINTS
    changes = {"": Motion.with_constant_bones} if rigid else {}
    if options.ik and rigid:
        changes["_ik"] = Motion.with_foot_cleanup
    looped = motion.meta.get(LOOP) is True and motion.features is not None
    variants = {mark: through_rounds(motion, change) if looped else change(motion) for mark, change in changes.items()}
    if options.in_place:
        return {mark: variant.in_place() for mark, variant in (variants or {"": motion}).items()}
    return variants or {"": motion}
