"""What an evaluation of text to motion judges: a generator at its checkpoints, or a folder of another's motions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from lamp.data.draws import TestDraws
from lamp.models.checkpoints import model_folder
from lamp.models.pipeline import LaMPPipeline
from lamp.options.eval import EvalT2MOptions
from lamp.stages.motion_folder import MotionFolder, MotionWriter
from lamp.stages.t2m_evaluation import Generator, Source, multimodal_rows
from lamp.utils.run.provenance import model_identity


@dataclass(frozen=True)
class Contestant:
    """What is judged.

    Attributes:
        name: of the checkpoint, or "motions".
        row: its name in the tables.
        source: its motions.
        identity: what the log calls it.
        how: its motions were made.
    """

    name: str
    row: str
    source: Source
    identity: str
    how: str


def load_generators(
    options: EvalT2MOptions, root: Path, names: list[str], device: torch.device, bar: tqdm
) -> Iterator[Contestant]:
    """The generator at each of the checkpoints of the masked transformer."""
    writer = MotionWriter(options.save_motions) if options.save_motions else None
    for name in names:
        pipe = LaMPPipeline.from_runs(
            root, options.name, options.res_name or None, length_name=None, which=name, device=device
        )
        identity = model_identity(model_folder(options.space, name))
        if options.res_name:
            identity += " + " + model_identity(model_folder(root / options.res_name))
        guidance = pipe.guidance.override(options.cond_scale, options.res_cond_scale)
        how = (
            f"{options.time_steps} steps, guidance {guidance.cond_scale:g} (masked) and {guidance.res_cond_scale:g} "
            f"(residual), temperature {options.temperature:g}, seed {options.seed}"
        )
        if options.best_of > 1:
            how += f", the best of {options.best_of} by LaMP's similarity"
        generator = Generator(pipe.with_precision(options.precision), options, bar, writer)
        yield Contestant(name, "generated", generator, identity, how)


def read_folder(folder: Path, splits: Sequence[TestDraws], options: EvalT2MOptions) -> Contestant:
    """The motions of a folder.

    Raises:
        UserError: some are missing, see `MotionFolder`.
    """
    motions = MotionFolder(folder, splits, options.repeat_times)
    for draws in splits:
        for repeat in range(options.repeat_times):
            draw = motions.begin(draws, repeat)
            motions.count_variants(draw, multimodal_rows(draw, draws.labelled, options))
    return Contestant("motions", folder.resolve().name, motions, motions.identity, "motions from files")
