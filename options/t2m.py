"""Options of the generators' training: masked and residual transformer, length estimator."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from lamp.models.layers import Condition
from lamp.models.t2m.masked import MaskedConfig
from lamp.models.t2m.residual import ResidualConfig
from lamp.models.text_condition import CLIP_SOURCE, SENTENCE_SOURCE, TextEncoder
from lamp.options.common import AnimationOptions, TrainOptions
from lamp.utils.cli import Shorthand, alias
from lamp.utils.errors import UserError

LAMP: dict[str, Any] = {"latent_dim": 512, "n_heads": 8, "max_epoch": 2000, "milestones": [60_000], "gamma": 0.05}
"""What LaMP's public training options have other than MoMask's."""
MOMASK: dict[str, Any] = {"latent_dim": 384, "n_heads": 6, "max_epoch": 500, "milestones": [50_000], "gamma": 0.1}
"""The same of MoMask."""


@dataclass(kw_only=True)
class GeneratorOptions(TrainOptions):
    """Options of every stage that is conditioned on text."""

    vq_name: str = "vq_name"
    """tokenizer that turns motions into tokens"""
    lamp_name: str = "lamp_name"
    """LaMP model that encodes the text"""
    text_encoder: TextEncoder = "lamp"
    """text encoder: LaMP; CLIP's as the baseline of the paper; a frozen sentence embedding; or contrastive, the text
    side alone of the LaMP that --lamp_name names"""
    sentence_source: str = SENTENCE_SOURCE
    """with --text_encoder sentence: hub id or folder of a sentence embedding model"""
    clip_source: str = CLIP_SOURCE
    """with --text_encoder clip: hub id or folder of the CLIP model"""
    condition: Condition = "sentence"
    """what is read of a text: LaMP's one vector for the sentence, or one for each word, which goes with
    --attention full; all parts of a system read the same"""
    conditions_dir: Path | None = None
    """folder that keeps what the text encoder says of the data's captions: trainings with the same encoder, one after
    the other, encode them once; without it, each training encodes them as it needs them"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.condition == "words" and self.text_encoder not in ("lamp", "sentence"):
            raise UserError("--condition words needs --text_encoder lamp or sentence; leave one of them out")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: CLIP and sentence embeddings come through transformers."""
        return (*super().packages, *(("transformers",) if self.text_encoder in ("clip", "sentence") else ()))


@dataclass(kw_only=True)
class T2MOptions(GeneratorOptions, AnimationOptions):
    """Train the masked or the residual transformer.

    Sizes and schedule are those of LaMP's public options.
    """

    shorthands: ClassVar[tuple[Shorthand, ...]] = (
        Shorthand(
            "size",
            "published sizes and schedule to start from, which other flags change: lamp, the default, or momask "
            "(384 wide, 6 heads, 500 epochs, learning rate x 0.1 at 50000 iterations)",
            {"lamp": LAMP, "momask": MOMASK},
        ),
    )
    name: str = "mtrans_name"
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    transformer: Literal["masked", "residual"] = "masked"
    """which of the two to train; they can be trained at the same time"""
    max_epoch: int = LAMP["max_epoch"]
    """epochs to train"""
    milestones: list[int] = field(default_factory=lambda: list(LAMP["milestones"]))
    """iterations at which the learning rate is multiplied by --gamma"""
    gamma: float = LAMP["gamma"]
    """factor of the learning rate at each of --milestones"""
    weight_decay: float = 1e-5
    """AdamW's weight decay"""
    latent_dim: int = LAMP["latent_dim"]
    """width of the transformer"""
    ff_size: int = MaskedConfig.ff_size
    """width of the feed-forward layers"""
    n_layers: int = field(default=MaskedConfig.num_layers, metadata=alias("--num_layers"))
    """layers"""
    n_heads: int = field(default=LAMP["n_heads"], metadata=alias("--num_heads"))
    """attention heads"""
    token_dim: int = MaskedConfig.code_dim
    """width of the token embedding"""
    dropout: float = MaskedConfig.dropout
    """dropout rate"""
    cond_drop_prob: float = 0.2
    """share of training samples whose text is dropped, for classifier-free guidance"""
    attention: Literal["causal", "full", "soft"] = "causal"
    """masked transformer: LaMP's causal attention, MoMask's full, or the public LaMP code's"""
    start_from: str = ""
    """run, or shipped model, of the same sizes whose weights training begins with"""
    evaluator: str = "evaluator"
    """evaluator for FID in validation, <checkpoints_dir>/<dataset_name>/<evaluator>; without one there is no FID"""
    share_weight: bool = ResidualConfig.share_weight
    """residual transformer: neighbouring levels share embedding and output tables"""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(latent_dim=1, ff_size=1, n_layers=1, n_heads=1, token_dim=1)
        for name in ("dropout", "cond_drop_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name} {getattr(self, name)} must be a share, from 0 to 1")
        if self.condition == "words" and self.transformer == "masked" and self.attention != "full":
            raise UserError("--condition words needs --attention full, for words are looked at from everywhere")
        if self.latent_dim % self.n_heads:
            raise UserError(f"--latent_dim {self.latent_dim} is not a multiple of --n_heads {self.n_heads}")


@dataclass(kw_only=True)
class LengthOptions(GeneratorOptions):
    """Train the length estimator."""

    name: str = "length_estimator"
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    max_epoch: int = 20
    """epochs to train"""
    warm_up_iter: int = 100
    """iterations over which the learning rate rises from 0"""
