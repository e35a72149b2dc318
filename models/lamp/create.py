"""A new LaMP: its sizes, its vocabulary and where its language side starts from."""

import dataclasses
from pathlib import Path

import torch

from lamp.models.fast import speed_up
from lamp.models.lamp.init import Selection, config_for_bert, initialize_from_bert
from lamp.models.lamp.model import LaMP, LaMPConfig
from lamp.models.lamp.text import TextBatch, TextTokenizer
from lamp.models.lamp.types import LaMPBatch
from lamp.models.vq.model import RVQConfig
from lamp.utils.errors import UserError
from lamp.utils.run.seed import RandomStream

SCRATCH = "none"
_FROM_BERT = ("vocab_size", "hidden_size", "num_heads", "intermediate_size", "max_positions")


def create_lamp(
    config: LaMPConfig, tokenizer: RVQConfig, bert: str, *, vocab: Path | None = None, layers: Selection = "first"
) -> LaMP:
    """LaMP for a motion tokenizer, its language side from a BERT checkpoint.

    Args:
        config: sizes; those of the checkpoint are taken from there, those of the motion side from the tokenizer.
        tokenizer: of the motion tokenizer.
        bert: folder or hub id of the checkpoint; "none" starts from scratch.
        vocab: with "none" the WordPiece vocabulary, a word a line.
        layers: which layers a shallower LaMP takes, see `initialize_from_bert`.

    Raises:
        UserError: the checkpoint cannot be had, or there is no vocabulary.
    """
    config = dataclasses.replace(config, motion_width=tokenizer.code_dim, nb_code=tokenizer.nb_code)
    if bert != SCRATCH:
        kept = {field.name for field in dataclasses.fields(config)}.difference(_FROM_BERT)
        model = speed_up(LaMP(config_for_bert(bert, **{name: getattr(config, name) for name in kept})))
        report = initialize_from_bert(model, bert, selection=layers)
        print(f"language side from {report.source}, layers {report.layers}, {report.words} words")
        return model
    if vocab is None:
        raise UserError("--bert none needs --vocab FILE, a WordPiece vocabulary")
    words = TextTokenizer(vocab.read_text(encoding="utf-8").split("\n"))
    model = speed_up(LaMP(dataclasses.replace(config, vocab_size=len(words))))
    model.tokenizer = words
    return model


def freeze_unused(model: LaMP) -> None:
    """Take the gradients from those parameters that no loss of a weight above 0 depends on."""
    two = torch.arange(2, device=model.device)
    text = TextBatch(torch.stack([two, two.flip(0)]), torch.ones(2, 2, dtype=torch.bool, device=model.device))
    features = torch.zeros(2, 1, model.config.motion_width, device=model.device)
    with RandomStream(0, devices=True):
        model(LaMPBatch(features, torch.ones_like(two), two[:, None], text, two))
    model.idle.freeze()
