"""Options of the evaluation of retrieval."""

from dataclasses import dataclass, field
from typing import Literal

from lamp.options.common import DataOptions
from lamp.utils.cli import alias
from lamp.utils.errors import UserError
from lamp.utils.scores.published import RETRIEVAL

Protocol = Literal["small_batches", "all", "all_with_threshold"]


@dataclass(kw_only=True)
class EvalRetrievalOptions(DataOptions):
    """Evaluate retrieval between text and motion."""

    name: str = "lamp_name"
    """run of LaMP; its space gets eval/<ext>.log"""
    vq_name: str = ""
    """tokenizer; by default the one LaMP was trained with"""
    which_epoch: str = field(default="best", metadata=alias("--checkpoint"))
    """checkpoint in the space of --name: best, latest, or another folder of it"""
    split: list[str] = field(default_factory=list)
    """splits to evaluate; by default test, on mini test_seen and test_unseen"""
    heldout_texts: bool = False
    """use the data set's captions in wording that training never used (texts_heldout)"""
    ext: str = "retrieval"
    """name of the log, <space>/eval/<ext>.log"""
    batch_size: int = 64
    """motions at a time; does not change results"""
    protocol: list[Protocol] = field(default_factory=lambda: ["small_batches", "all", "all_with_threshold"])
    """pools of 32; the whole split, own clip only; the whole split, nearly equal texts count as hits"""
    draws: int | None = None
    """draws of the small batches; by default 60 where the data have labels and 1, as in the field, elsewhere"""
    rerank: int = 5
    """best candidates of each query to re-rank by similarity and match head together; 0: none"""
    threshold: float = 0.95
    """least similarity of nearly equal texts"""
    sentence_model: str = ""
    """folder or hub id of a sentence encoder that measures it; by default the cosine of the texts' bags of lemmas"""
    nearest: bool = False
    """also name a motion's label by its nearest training motion, without any model"""
    max_samples: int = 0
    """samples of a split, drawn at random, for a quick look; 0: all"""
    compare: bool = False
    """print the published LaMP beside the small batches"""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UserError: a value that cannot be.
        """
        super().__post_init__()
        self.at_least(batch_size=1, rerank=0, max_samples=0)
        if self.draws is not None and self.draws < 1:
            raise UserError(f"--draws {self.draws} must be at least 1")
        if not 0 < self.threshold <= 1:
            raise UserError(f"--threshold {self.threshold} must be above 0 and at most 1")
        if self.compare and self.dataset_name not in RETRIEVAL:
            raise UserError(f"--compare: no published numbers for {self.dataset_name}, only for {', '.join(RETRIEVAL)}")
        if self.compare and "small_batches" not in self.protocol:
            raise UserError("--compare: what is published are small batches; add small_batches to --protocol")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: sentence encoders come through transformers."""
        return ("transformers",) if self.sentence_model else ()
