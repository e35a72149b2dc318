"""Options of the motion tokenizer's training and evaluation."""

from dataclasses import dataclass, field
from typing import Literal

from lamp.models.vq.losses import FURTHER_LOSSES
from lamp.models.vq.model import RVQConfig
from lamp.options.common import AnimationOptions
from lamp.utils.cli import alias, nested
from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class VQOptions(AnimationOptions):
    """Train the motion tokenizer (RVQ-VAE)."""

    name: str = "rvq"
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    batch_size: int = 256
    """windows a step and process (512 published)"""
    milestones: list[int] = field(default_factory=lambda: [150_000, 250_000])
    """iterations at which the learning rate is multiplied by --gamma"""
    gamma: float = 0.05
    """factor of the learning rate at each of --milestones"""
    start_from: str = ""
    """run, or shipped model, of the same sizes whose weights and statistics training begins with"""
    freeze_codes: bool = False
    """train the decoder alone, so that codes stay what the models made for them know (with --start_from)"""
    window_size: int = 64
    """frames of a training window"""
    epoch_size: int = 0
    """windows an epoch; 0: as many as the data have"""
    feat_bias: float = 5.0
    """how much more the root and contact features weigh in the loss"""
    recons_loss: Literal["l1_smooth", "l1", "l2"] = "l1_smooth"
    """reconstruction loss"""
    commit: float = 0.02
    """weight of the commitment loss"""
    loss_vel: float = field(default=0.5, metadata=alias("--loss_position"))
    """weight of the second reconstruction term, over the local joint positions"""
    further_losses: list[str] = field(default_factory=list)
    """further terms of the loss, each as NAME=WEIGHT: velocity, path"""
    evaluator: str = "evaluator"
    """evaluator for FID in validation, <checkpoints_dir>/<dataset_name>/<evaluator>; without one there is no FID"""
    model: RVQConfig = nested(RVQConfig, skip=("input_width", "quantize_dropout_prob"))
    """sizes of the tokenizer"""
    quantize_dropout_prob: float = field(default=0.2, metadata=alias("--quantize_drop_prob"))
    """probability that a batch uses only the levels up to a random one"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_size % self.model.frames_per_token:
            raise UserError(f"--window_size {self.window_size} is not a multiple of {self.model.frames_per_token}")
        _ = self.loss_weights
        if self.freeze_codes and not self.start_from:
            raise UserError("--freeze_codes keeps the codes of a trained tokenizer: name it with --start_from")

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the further losses by name.

        Raises:
            UserError: an unknown name, or no weight.
        """
        weights = {}
        for term in self.further_losses:
            name, _, weight = term.partition("=")
            try:
                weights[name] = float(weight)
            except ValueError as error:
                raise UserError(f"--further_losses {term}: write NAME=WEIGHT, for instance velocity=0.5") from error
            if name not in FURTHER_LOSSES:
                raise UserError(f"--further_losses {term}: no loss {name!r}; there are {', '.join(FURTHER_LOSSES)}")
        return weights
