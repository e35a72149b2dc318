"""Options of the captioner's evaluation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lamp.options.bert import BertOptions
from lamp.options.common import DataOptions
from lamp.options.m2t import DecodingOptions, IdleOptions
from lamp.utils.cli import IDLE, alias
from lamp.utils.errors import UserError
from lamp.utils.scores.published import MOTION_TO_TEXT


@dataclass(kw_only=True)
class IdleEvalOptions(IdleOptions):
    """Flags of the public code that mean nothing in the evaluation, each with the reason."""

    vq_name: str | None = field(default=None, metadata=IDLE)  # LaMP knows its tokenizer
    num_layers: int | None = field(default=None, metadata=IDLE)  # a property of the captioner
    embed_dim_gpt: int | None = field(default=None, metadata=IDLE)  # a property of the captioner
    n_head_gpt: int | None = field(default=None, metadata=IDLE)  # a property of the captioner
    block_size: int | None = field(default=None, metadata=IDLE)  # a property of the captioner
    ff_rate: float | None = field(default=None, metadata=IDLE)  # a property of the captioner
    drop_out_rate: float | None = field(default=None, metadata=IDLE)  # for training only
    total_iter: int | None = field(default=None, metadata=IDLE)  # for training only
    lr_scheduler: list[int] | None = field(default=None, metadata=IDLE)  # for training only
    lr: float | None = field(default=None, metadata=IDLE)  # for training only
    eval_iter: int | None = field(default=None, metadata=IDLE)  # for training only
    pkeep: float | None = field(default=None, metadata=IDLE)  # for training only


@dataclass(kw_only=True)
class M2TEvalOptions(DataOptions, DecodingOptions, BertOptions, IdleEvalOptions):
    """Evaluate the captioner (motion to text)."""

    name: str = field(default="m2t_name", metadata=alias("--exp_name"))
    """run of the captioner; with --resume_trans the name of the log instead"""
    resume_trans: str = ""
    """run of the captioner, where --name names the log"""
    dataset_name: str = field(default="t2m", metadata=alias("--dataname"))
    """t2m (HumanML3D), kit (KIT-ML), mini (the shipped one), or a name of your own for dataset/<name> or --data_root"""
    which_epoch: str = field(default="best", metadata=alias("--checkpoint"))
    """checkpoint of the captioner: best, latest, or another folder of its space"""
    evaluator: str = "evaluator"
    """evaluator that gives R-precision and MM-Dist, <checkpoints_dir>/<dataset_name>/<evaluator>"""
    split: list[str] = field(default_factory=list)
    """splits to evaluate; by default test, on mini test_seen and test_unseen"""
    protocol: Literal["raw", "tm2t", "both"] = "both"
    """texts as written, or lower-case lemmas and up to three true captions (TM2T)"""
    repeat_times: int = 20
    """repetitions of R-precision and MM-Dist"""
    max_samples: int = 0
    """motions of a split at most, for a quick look; 0: all"""
    baselines: bool = False
    """also score the true caption of the nearest training text by LaMP, and the most frequent training caption"""
    t2m_name: str = ""
    """run of a masked transformer: also LaMP-BertScore of motions that it generates from the true captions"""
    res_name: str = ""
    """run of the residual transformer that belongs to --t2m_name"""
    compare: bool = False
    """print the published rows for t2m beside ours"""
    ext: str = ""
    """name of the log, <space>/eval/<ext>.log; by default --name with --resume_trans, otherwise "captions" """

    def __post_init__(self) -> None:
        self.ext = self.ext or (self.name if self.resume_trans else "captions")
        super().__post_init__()
        self.at_least(repeat_times=1)
        if self.max_samples < 0 or self.max_samples == 1:
            raise UserError("--max_samples must be 0 (all) or at least 2")
        if self.compare and self.dataset_name not in MOTION_TO_TEXT:
            raise UserError(f"--compare: no published numbers for {self.dataset_name}, only for t2m")
        if self.num_captions != 1:
            raise UserError("--num_captions: an evaluation scores one caption a motion")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: the captioner's language model and the scores of texts."""
        return "transformers", "pycocoevalcap"

    @property
    def captioner(self) -> str:
        """Run of the captioner."""
        return self.resume_trans or self.name

    @property
    def space(self) -> Path:
        """Folder of the captioner's run."""
        return Path(self.checkpoints_dir) / self.dataset_name / self.captioner
