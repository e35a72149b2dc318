"""Options of the evaluations of tokenizers and generators."""

from dataclasses import dataclass, field
from pathlib import Path

from lamp.options.bert import BertOptions
from lamp.options.common import DataOptions
from lamp.options.gen import SamplingOptions
from lamp.utils.cli import alias
from lamp.utils.errors import UserError
from lamp.utils.scores.published import TEXT_TO_MOTION


@dataclass(kw_only=True)
class ProtocolOptions(DataOptions):
    """Protocol"""

    which_epoch: str = field(default="best", metadata=alias("--checkpoint"))
    """checkpoint in the space of --name: best, latest, another folder of it, or all"""
    split: list[str] = field(default_factory=list)
    """splits to evaluate; by default test, on mini test_seen and test_unseen"""
    repeat_times: int = 20
    """repetitions; each draws captions and crops anew"""
    max_samples: int = 0
    """motions of a repetition at most, for a quick look; 0: all that the protocol asks for"""
    batch_size: int = 64
    """motions at a time; does not change results"""
    compare: bool = False
    """print the published rows for t2m and kit beside ours"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(repeat_times=1, batch_size=1)
        if self.max_samples < 0 or self.max_samples == 1:
            raise UserError("--max_samples must be 0 (all) or at least 2")
        if self.compare and self.dataset_name not in TEXT_TO_MOTION:
            raise UserError(f"--compare: no published numbers for {self.dataset_name}, only for t2m and kit")


@dataclass(kw_only=True)
class EvalEvaluatorOptions(ProtocolOptions):
    """Evaluate an evaluator on real motions."""

    name: str = "evaluator"
    """the evaluator; its space gets eval/<ext>.log"""
    ext: str = "real_motions"
    """name of the log, <space>/eval/<ext>.log"""


@dataclass(kw_only=True)
class EvalVQOptions(ProtocolOptions):
    """Evaluate a motion tokenizer's reconstruction."""

    evaluator: str = "evaluator"
    """evaluator that gives FID and R-precision, <checkpoints_dir>/<dataset_name>/<evaluator>"""
    name: str = "vq_name"
    """run of the tokenizer; its space gets eval/<ext>.log"""
    per_clip: bool = False
    """also report the error of every clip"""
    nearest: bool = False
    """also report the error of answering with the nearest training motion"""
    ext: str = "reconstruction"
    """name of the log, <space>/eval/<ext>.log"""


@dataclass(kw_only=True)
class EvalT2MOptions(ProtocolOptions, SamplingOptions, BertOptions):
    """Evaluate text to motion."""

    evaluator: str = "evaluator"
    """evaluator that gives FID and R-precision, <checkpoints_dir>/<dataset_name>/<evaluator>"""
    name: str = "mtrans_name"
    """run of the masked transformer; its space gets eval/<ext>.log"""
    res_name: str = ""
    """run of the residual transformer"""
    batch_size: int = 64
    """motions at a time; does not change results"""
    mm_batches: int = 3
    """batches of 32 texts of each repetition whose multimodality is measured; 0: none; on labelled data (mini) all
    labels, a part in each repetition"""
    mm_motions: int = 30
    """motions of each of these texts"""
    m2t_name: str = ""
    """run of a captioner: also LaMP-BertScore, how its captions of the motions of one repetition match their texts"""
    motions: Path | None = None
    """judge the motions of another model rather than a generator: folder with a motion file (.npy, .npz, .bvh) for each
    test id, see docs/protocol.md; the log goes to <folder>/eval/<ext>.log"""
    save_motions: Path | None = None
    """also write the generated motions to this folder, as --motions reads them"""
    write_prompts: Path | None = None
    """only write the table (.csv) of what a model is to generate for --motions: file, frames and text"""
    heldout_texts: bool = False
    """use the data set's captions in wording that training never used (texts_heldout)"""
    ext: str = "evaluation"
    """name of the log, <space>/eval/<ext>.log"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(mm_batches=0, mm_motions=2)
        places = {name: getattr(self, name) for name in ("motions", "save_motions", "write_prompts")}
        given = [f"--{name}" for name, place in places.items() if place is not None]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} exclude each other; give one")
        if self.save_motions is not None and self.which_epoch == "all":
            raise UserError("--save_motions holds the motions of one checkpoint, not of --which_epoch all")
        if self.write_prompts is not None and self.write_prompts.suffix.lower() != ".csv":
            raise UserError(f"--write_prompts {self.write_prompts} must end in .csv")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: LaMP-BertScore needs a captioner."""
        return ("transformers",) if self.m2t_name else ()

    @property
    def space(self) -> Path:
        """Folder of the run that is evaluated, or of the motions."""
        return super().space if self.motions is None else self.motions
