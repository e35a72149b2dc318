"""Options of language-motion pretraining."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lamp.models.lamp.model import LaMPConfig
from lamp.options.common import TrainOptions
from lamp.utils.cli import nested
from lamp.utils.errors import UserError


@dataclass(kw_only=True)
class LaMPOptions(TrainOptions):
    """Train LaMP, the language-motion model."""

    name: str = "lamp_name"
    """name of the run; its space is <checkpoints_dir>/<dataset_name>/<name>"""
    vq_name: str = "vq_name"
    """tokenizer whose frozen encoder gives the motion features"""
    start_from: str = ""
    """run, or shipped model, whose weights, sizes and vocabulary training begins with, instead of --bert"""
    bert: str = "bert-base-uncased"
    """BERT-family weights to start from: a folder or a hub id; its sizes are taken over; "none" starts from scratch"""
    bert_layers: Literal["first", "even"] = "first"
    """with fewer layers than --bert has: its lowest, or layers spread from the first to the last"""
    max_epoch: int = 100
    """epochs to train"""
    lr: float = 1e-4
    """highest learning rate"""
    min_lr: float = 1e-5
    """learning rate at the end of the cosine"""
    start_lr: float = 1e-6
    """learning rate at the start of the warm-up"""
    weight_decay: float = 0.05
    """AdamW's weight decay, not on biases and norms"""
    alternate_losses: bool = False
    """compute the contrastive loss in every step and one of the other three, at three times its weight, in turn at
    random: the same sum on average for about half the time"""
    freeze_words: bool = False
    """keep the word embeddings of --bert, so that words the captions lack keep their place among those they have"""
    random_captions: bool = True
    """draw one of a motion's captions at random; otherwise its first"""
    model: LaMPConfig = nested(
        LaMPConfig, skip=("vocab_size", "motion_width", "nb_code", "temperature", "has_motion", "has_condition")
    )
    """sizes of LaMP, those of --bert replaced by its own"""
    vocab: Path | None = None
    """with --bert none: a WordPiece vocab.txt"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bert == "none" and self.vocab is None:
            raise UserError("--bert none needs --vocab FILE, a WordPiece vocabulary")

    @property
    def packages(self) -> tuple[str, ...]:
        """Optional packages: weights of BERT come through transformers."""
        needs_bert = self.bert != "none" and not self.start_from
        return (*super().packages, *(("transformers",) if needs_bert else ()))
