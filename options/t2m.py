"""Options of the generators' training: masked and residual transformer, length estimator."""

from dataclasses import dataclass, field
from typing import Literal

from lamp.models.t2m.masked import MaskedConfig
from lamp.models.t2m.residual import ResidualConfig
from lamp.models.text_condition import CLIP_SOURCE
from lamp.options.common import TrainOptions
from lamp.utils.cli import alias
from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class GeneratorOptions(TrainOptions):
    """Options of every stage that is conditioned on text."""

    vq_name: str = "vq_name"
    """tokenizer that turns motions into tokens"""
    lamp_name: str = "lamp_name"
    """LaMP model that encodes the text"""
    text_encoder: Literal["lamp", "clip"] = "lamp"
    """text encoder: LaMP, or CLIP's as the baseline of the paper"""
    clip_source: str = CLIP_SOURCE
    """with --text_encoder clip: hub id or folder of the CLIP model"""


@dataclass(kw_only=True)
class T2MOptions(GeneratorOptions):
    """Train the masked or the residual transformer."""

    name: str = "mtrans_name"
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    transformer: Literal["masked", "residual"] = "masked"
    """which of the two to train; they can be trained at the same time"""
    max_epoch: int = 500
    """epochs to train"""
    weight_decay: float = 1e-5
    """AdamW's weight decay"""
    latent_dim: int = MaskedConfig.latent_dim
    """width of the transformer"""
    ff_size: int = MaskedConfig.ff_size
    """width of the feed-forward layers"""
    n_layers: int = field(default=MaskedConfig.num_layers, metadata=alias("--num_layers"))
    """layers"""
    n_heads: int = field(default=MaskedConfig.num_heads, metadata=alias("--num_heads"))
    """attention heads"""
    token_dim: int = MaskedConfig.code_dim
    """width of the token embedding"""
    dropout: float = MaskedConfig.dropout
    """dropout rate"""
    cond_drop_prob: float = 0.2
    """share of training samples whose text is dropped, for classifier-free guidance"""
    attention: Literal["causal", "full", "soft"] = "causal"
    """masked transformer: LaMP's causal attention, MoMask's full, or the public LaMP code's"""
    evaluator: str = "evaluator"
    """evaluator for FID in validation, <checkpoints_dir>/<dataset_name>/<evaluator>; without one there is no FID"""
    share_weight: bool = ResidualConfig.share_weight
    """residual transformer: neighbouring levels share embedding and output tables"""

    def __post_init__(self) -> None:
        super().__post_init__()
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
