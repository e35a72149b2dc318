"""Options of the evaluators' training."""

from dataclasses import dataclass, field
from pathlib import Path

from lamp.models.evaluator import EvaluatorConfig
from lamp.options.common import TrainOptions
from lamp.utils.cli import nested
from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class EvaluatorOptions(TrainOptions):
    """Train the evaluators of text and motion."""

    name: str = "evaluator"
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    batch_size: int = 32
    """pairs a step and process"""
    max_epoch: int = 300
    """epochs to train text and motion encoder"""
    lr: float = 1e-4
    """learning rate of both parts"""
    warm_up_iter: int = 0
    """iterations over which the learning rate rises from 0"""
    grad_clip: float = 0.5
    """largest norm of the gradient of text and motion encoder"""
    margin: float = 10.0
    """distance beyond which motions of other texts are not pushed further away"""
    all_negatives: bool = False
    """push every pair from all others of the batch in each step, rather than from one other at random"""
    movement_epoch: int = 270
    """epochs to train the movement auto-encoder before"""
    movement_batch_size: int = 128
    """windows a step and process, of the movement auto-encoder"""
    movement_window: int = 24
    """frames of its windows"""
    movement_epoch_size: int = 0
    """windows an epoch; 0: as many as the data have"""
    lambda_sparsity: float = 0.001
    """weight of the size of its movement vectors"""
    lambda_smooth: float = 0.001
    """weight of the difference of successive movement vectors"""
    feat_bias: float = 5.0
    """how much more root and contact features weigh"""
    glove: Path | None = None
    """word vectors: a folder with the public our_vab files, or a GloVe text file; by default ./glove if it has them,
    otherwise vectors made from letters ("hashed")"""
    model: EvaluatorConfig = nested(EvaluatorConfig, skip=("input_width", "max_frames", "word_vectors", "num_words"))
    """sizes of the evaluators"""
    milestones: list[int] = field(default_factory=list)
    """iterations at which the learning rate is multiplied by --gamma"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(movement_epoch=1, movement_batch_size=1)
        if self.movement_window < 4 or self.movement_window % 4:
            raise UserError(f"--movement_window {self.movement_window} must be a multiple of 4")
        if self.batch_size < 2:
            raise UserError("--batch_size must be at least 2: a pair needs another to be told from")
