"""Generate motions from sentences.

    python gen_t2m.py --text_prompt "A person is running on a treadmill." --ext exp1
    python gen_t2m.py --text_path ./assets/text_prompt.txt --ext exp2 --repeat_times 3 --formats npz bvh mp4
    python gen_t2m.py --sequence "a person walks#80" "a person kicks" "a person bows#60" --ext exp3
    python gen_t2m.py --text_prompt "a person runs" --best_of 4 --loop --ext exp4

Without --name and --res_name the models of checkpoints/mini are used, which ship with the code. Output goes to
`generation/<ext>/joints/<i>/sample<i>_repeat<r>_len<n>.npy` (and .npz) and `generation/<ext>/animations/<i>/...` (all
other formats), each with an `_ik` copy whose feet were cleaned up.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.options.gen import GenOptions
from lamp.stages.motion_output import (
    check_output,
    drawing,
    find_character,
    load_pipeline,
    save_all,
    tell_wording,
    warn_of,
)
from lamp.utils.cli import parse, print_options, save_options
from lamp.utils.errors import UserError, main_with_errors, naming
from lamp.utils.files import shown
from lamp.utils.prompts import Prompts, Step, as_prompts, read_prompts, read_steps
from lamp.utils.run.launch import require_one_process
from lamp.utils.threads.garbage import starting

# Torch and the models take a second to import: mistakes on the command line are answered before that.
if TYPE_CHECKING:
    from tqdm import tqdm

    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.motion import Motion

LARGE_TURN = 45.0
"""Degrees that a loop turns beyond whole turns, from which on taking them out is seen."""


def get_prompts(options: GenOptions) -> Prompts:
    """Prompts of the command line or the file, lengths brought into what the models know, with a warning.

    Raises:
        UserError: a file that cannot be read, a sentence without words, or options that do not go with sequences.
    """
    if options.text_path is not None:
        prompts = read_prompts(options.text_path)
    elif options.sequence is not None:
        with naming("--sequence"):
            prompts = as_prompts([read_steps(options.sequence)])
    else:
        frames = options.motion_length or None
        prompts = as_prompts([[Step(" ".join(options.text_prompt.split()), frames)]])
    if prompts.sequences is not None:
        if options.best_of > 1:
            raise UserError("--best_of goes with single sentences, not with sequences; leave it out")
        steps = [[replace(step, frames=_known(step.frames)) for step in steps] for steps in prompts.sequences]
        return replace(prompts, sequences=steps)
    if prompts.lengths is None:
        return prompts
    return replace(prompts, lengths=[frames for length in prompts.lengths if (frames := _known(length)) is not None])


def _known(wanted: int | None) -> int | None:
    """A number of frames that the models know."""
    from lamp.models.sequences import MIN_FRAMES
    from lamp.utils.kinematics.skeleton import MAX_FRAMES

    if wanted is None or MIN_FRAMES <= wanted <= MAX_FRAMES:
        return wanted
    given = min(max(wanted, MIN_FRAMES), MAX_FRAMES)
    print(f"warning: {wanted} frames is outside {MIN_FRAMES} to {MAX_FRAMES}; using {given}", file=sys.stderr)
    return given


def generate(
    pipe: "LaMPPipeline", prompts: Prompts, seeds: Sequence[int], options: GenOptions, bar: "tqdm"
) -> "list[Motion]":
    """A motion for each prompt and seed, those of a prompt in a row."""
    if prompts.sequences is not None:
        motions = []
        for steps in prompts.sequences:
            texts, frames = [step.text for step in steps], [step.frames for step in steps]
            for seed in seeds:
                motions.append(pipe.sequence(texts, frames, seed=seed, **options.editing()))
                bar.update()
        return motions
    # Repeats differ by their seed; a prompt keeps its motion whatever else is in the file.
    texts = [text for text in prompts.texts for _ in seeds]
    lengths = None if prompts.lengths is None else [length for length in prompts.lengths for _ in seeds]
    all_seeds = [seed for _ in prompts.texts for seed in seeds]
    return pipe(
        texts,
        lengths,
        seeds=all_seeds,
        progress=lambda done, total: bar.update(done - bar.n),
        **options.sampling(),
    )


@main_with_errors
def main() -> None:
    """Prompts to motions to files."""
    options = parse(GenOptions)
    require_one_process()
    folder = options.output_dir / options.ext
    check_output(folder)
    print_options(options)
    with drawing(options) as process:
        run(options, folder, process)


def run(options: GenOptions, folder: Path, process: Executor | None) -> None:
    """What `main` does once the options are known and the folder is there; `process` is that of `drawing`."""
    from tqdm import tqdm

    with starting():
        prompts, character = get_prompts(options), find_character(options)
        pipe = load_pipeline(options)
    sentences = [step.text for steps in prompts.sequences or () for step in steps] or prompts.texts
    warn_of(pipe, sentences)
    if options.clauses == "no":
        pipe.wordings = None
    save_options(options, folder / "opt.json")
    seeds = [options.seed + repeat for repeat in range(options.repeat_times)]
    with tqdm(total=len(prompts.texts) * len(seeds), desc="generating", unit="motion", disable=None) as bar:
        motions = generate(pipe, prompts, seeds, options, bar)
    tell_wording(motions)
    if options.loop:
        loops = tqdm(enumerate(motions), total=len(motions), desc="closing", unit="motion", disable=None)
        motions = [pipe.loop(motion, seed=seeds[i % len(seeds)], **options.editing()) for i, motion in loops]
        for motion in motions:
            if abs(motion.meta["turn"]) > LARGE_TURN:
                taken = f"turned by {motion.meta['turn']:.0f} degrees a round, which was taken out"
                print(f"warning: {shown(motion.text)}: the body {taken}; another --seed may turn less", file=sys.stderr)
    for i, motion in enumerate(tqdm(motions, desc="writing", unit="motion", disable=None)):
        index, repeat = divmod(i, options.repeat_times)
        print(f"{motion.text} -> {save_all(motion, folder, index, repeat, options, character, process)}")


if __name__ == "__main__":
    main()
