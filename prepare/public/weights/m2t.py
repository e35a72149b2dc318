"""Public LaMP captioner weights (Q-Former states in front of OPT) under our names."""

from typing import Any

from torch import Tensor

from lamp.models.m2t.language import CaptionerConfig
from lamp.utils.errors import UserError

_DECODER = "opt_model.model.decoder."
_HEAD_SIZE = 64
_POSITION_OFFSET = 2
"""Rows of OPT's position table in front of position 0."""


def convert_captioner(state: dict[str, Tensor], config: dict[str, Any]) -> tuple[CaptionerConfig, dict[str, Tensor]]:
    """Rename a public captioner.

    Args:
        state: public state dict with `opt_proj.*` and `opt_model.*`; other parts of the file are ignored.
        config: what shapes do not tell: `num_attention_heads` (default: heads of 64) and `num_queries` (49).

    Returns:
        Our configuration and the tensors of `Captioner`.

    Raises:
        UserError: the state dict holds no captioner.
    """
    if f"{_DECODER}embed_tokens.weight" not in state or "opt_proj.weight" not in state:
        raise UserError("the weights hold no captioner (no opt_proj and opt_model); give a LaMP motion-to-text file")
    words, width = state[f"{_DECODER}embed_tokens.weight"].shape
    layers = {int(key.split(".")[4]) for key in state if key.startswith(f"{_DECODER}layers.")}
    architecture = {
        "model_type": "opt",
        "vocab_size": words,
        "hidden_size": width,
        "word_embed_proj_dim": width,
        "num_hidden_layers": max(layers) + 1,
        "ffn_dim": len(state[f"{_DECODER}layers.0.fc1.weight"]),
        "num_attention_heads": config.get("num_attention_heads", width // _HEAD_SIZE),
        "max_position_embeddings": len(state[f"{_DECODER}embed_positions.weight"]) - _POSITION_OFFSET,
    }
    ours = CaptionerConfig(
        query_dim=state["opt_proj.weight"].shape[1],
        num_queries=config.get("num_queries", 49),
        vocab_size=words,
        llm="opt",
        architecture=architecture,
    )
    names = {"opt_proj.": "projection.", "opt_model.": "language."}
    return ours, {
        new + key.removeprefix(old): value
        for key, value in state.items()
        for old, new in names.items()
        # The head is the word embedding once more.
        if key.startswith(old) and key != "opt_model.lm_head.weight"
    }
