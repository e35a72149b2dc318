"""Options of the evaluations of generators and of retrieval."""

from dataclasses import dataclass, field

from options.common import CommonOptions
from options.gen import SamplingOptions
from utils.cli import alias


@dataclass(kw_only=True)
class RetrievalOptions(CommonOptions):
    """Retrieval"""

    which_epoch: str = field(default="best", metadata=alias("--checkpoint"))
    """checkpoint of the model that --name names"""
    split: list[str] = field(default_factory=lambda: ["test"])
    """splits to evaluate"""
    draws: int = 60
    """draws of one motion a label"""
    heldout_texts: bool = False
    """use the data set's captions in wording that training never used (texts_heldout)"""


@dataclass(kw_only=True)
class EvalT2MOptions(RetrievalOptions, SamplingOptions):
    """Evaluate text to motion."""

    name: str = "mtrans_name"
    """run of the masked transformer; its space gets eval/<ext>.log"""
    res_name: str = ""
    """run of the residual transformer"""
    length_name: str = "length_estimator"
    """run of the length estimator (lengths are those of the real motions)"""
    ext: str = "evaluation"
    """name of the log, <space>/eval/<ext>.log"""
    motions_per_label: int = 4
    """motions generated for each label (action) of a split"""


@dataclass(kw_only=True)
class EvalRetrievalOptions(RetrievalOptions):
    """Evaluate retrieval between text and motion."""

    name: str = "lamp_name"
    """run of LaMP; its space gets eval/<ext>.log"""
    vq_name: str = ""
    """tokenizer; by default the one LaMP was trained with"""
    ext: str = "retrieval"
    """name of the log, <space>/eval/<ext>.log"""
    batch_size: int = 64
    """motions at a time"""
