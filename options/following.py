"""Options of the benchmark of following."""

from dataclasses import dataclass, field
from pathlib import Path

from lamp.options.gen import ModelOptions
from lamp.utils.cli import IDLE
from lamp.utils.errors import UserError
from lamp.utils.export.npz import RATES


@dataclass(kw_only=True)
class EvalFollowOptions(ModelOptions):
    """Do motions follow their sentences?"""

    repeat_times: int = 3
    """motions of each sentence, from --seed on"""
    groups: list[str] = field(default_factory=list)
    """groups of sentences to ask; by default all"""
    sentences: Path | None = None
    """sentences of your own instead of ours (docs/following.md)"""
    model_length: bool = False
    """let the model choose lengths, rather than ask for those of the sentences"""
    ik: bool = False
    """judge motions after the foot clean-up"""
    motions: Path | None = None
    """judge the motions of another model rather than a generator: folder with a folder or a file for each sentence"""
    fps: float | None = None
    """frames a second of the arrays (.npy) in --motions, if not 20"""
    save_motions: Path | None = None
    """also write the generated motions to this folder, as --motions reads them"""
    export_prompts: Path | None = None
    """only write the sentences as a prompt file, one <text>#<frames> a line"""
    list: bool = False
    """only print the sentences: id, frames, text"""
    sheet: bool = True
    """write contact sheets, a picture of each group"""
    ext: str = "following"
    """name of the output folder"""
    output_dir: Path = Path("./generation")
    """where output folders are"""
    data_root: Path | None = field(default=None, metadata=IDLE)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(repeat_times=1)
        instead = [name for name in ("motions", "export_prompts", "list") if getattr(self, name)]
        if len(instead) > 1:
            raise UserError(f"--{instead[0]} and --{instead[1]} exclude each other; give one")
        if self.save_motions is not None and instead:
            raise UserError(f"--save_motions goes with generating, not with --{instead[0]}; leave one of them out")
        if self.fps is not None:
            if self.motions is None:
                raise UserError("--fps says the rate of the arrays in --motions; give that too, or leave it out")
            low, high = RATES
            if not low <= self.fps <= high:
                raise UserError(f"--fps {self.fps:g} must be {low:g} to {high:g}")
