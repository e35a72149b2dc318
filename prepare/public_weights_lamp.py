"""Public LaMP Q-Former weights under our names.

Three kinds of public file hold a Q-Former: the pretraining file (motion side and heads), the text-to-motion file (the
same Q-Former with the projection of the text condition, no heads), and both merged into one state dict, which is what
a complete model needs.
"""

from typing import Any

import torch
from torch import Tensor

from models.lamp.model import LaMPConfig
from utils.errors import UserError

PUBLIC_CONDITION_LENGTH = 49
_ANCHOR = "Qformer.bert.embeddings.word_embeddings.weight"
_HEAD_SIZE = 64


def convert_qformer(state: dict[str, Tensor], config: dict[str, Any]) -> tuple[LaMPConfig, dict[str, Tensor]]:
    """Rename a public Q-Former.

    Args:
        state: public state dict; other parts of the file (tokenizer, masked transformer) are ignored.
        config: what shapes do not tell: `bert.num_attention_heads` (default: heads of 64) and `max_txt_len` (32).

    Returns:
        Our configuration, with the public variants switched on, and the tensors of `LaMP`.

    Raises:
        UserError: the state dict holds no Q-Former.
    """
    anchors = [key for key in state if key.endswith(_ANCHOR)]
    if not anchors:
        raise UserError(f"the weights hold no Q-Former (no {_ANCHOR}); give a LaMP pretraining or text-to-motion file")
    start = anchors[0].removesuffix(_ANCHOR)
    state = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
    ours = _config(state, config)
    tensors = {"former.query_tokens": state["query_tokens"]}
    tensors |= {new: state[f"Qformer.bert.embeddings.{old}"] for new, old in _EMBEDDINGS.items()}
    for index in range(ours.num_layers):
        tensors |= _layer(state, f"Qformer.bert.encoder.layer.{index}.", f"former.layers.{index}.")
    if ours.has_condition:
        tensors |= _linear(state, "text2former", "text_to_former")
    if ours.has_motion:
        tensors |= _heads(state)
    return ours, tensors


_EMBEDDINGS = {
    "former.word_embedding.weight": "word_embeddings.weight",
    "former.position_embedding.weight": "position_embeddings.weight",
    "former.embedding_norm.weight": "LayerNorm.weight",
    "former.embedding_norm.bias": "LayerNorm.bias",
}


def _config(state: dict[str, Tensor], config: dict[str, Any]) -> LaMPConfig:
    vocab_size, hidden = state[_ANCHOR].shape
    layers = 1 + max(int(key.split(".")[4]) for key in state if key.startswith("Qformer.bert.encoder.layer."))
    crossing = [i for i in range(layers) if f"Qformer.bert.encoder.layer.{i}.crossattention.self.key.weight" in state]
    sizes = {}
    if has_motion := "motion_projection" in state:
        sizes["motion_width"] = state["motion_projection"].shape[0]
        sizes["embed_dim"] = state["motion_proj.weight"].shape[0]
        sizes["nb_code"] = state["motion_cls.weight"].shape[0]
    has_condition = "text2former.weight" in state
    return LaMPConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        num_layers=layers,
        num_heads=config.get("bert", {}).get("num_attention_heads", hidden // _HEAD_SIZE),
        intermediate_size=state["Qformer.bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_positions=state["Qformer.bert.embeddings.position_embeddings.weight"].shape[0],
        num_query_tokens=state["query_tokens"].shape[1],
        cross_attention_freq=crossing[1] if len(crossing) > 1 else layers,
        cross_attention_width=state["Qformer.bert.encoder.layer.0.crossattention.self.key.weight"].shape[1],
        motion_norm=False,
        max_text_length=config.get("max_txt_len", 32),
        temperature="raw",
        text_condition="embedding",
        condition_length=PUBLIC_CONDITION_LENGTH if has_condition else 0,
        has_motion=has_motion,
        has_condition=has_condition,
        **sizes,
    )


def _linear(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {f"{new}.{part}": state[f"{old}.{part}"] for part in ("weight", "bias") if f"{old}.{part}" in state}


def _fused(state: dict[str, Tensor], old: str, names: tuple[str, ...], new: str) -> dict[str, Tensor]:
    """Several projections of one input as one, rows in the order of `names`."""
    return {f"{new}.{part}": torch.cat([state[f"{old}{name}.{part}"] for name in names]) for part in ("weight", "bias")}


def _residual(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return _linear(state, f"{old}.dense", f"{new}.linear") | _linear(state, f"{old}.LayerNorm", f"{new}.norm")


def _layer(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    attention = f"{new}self_attention."
    tensors = _fused(state, f"{old}attention.self.", ("query", "key", "value"), f"{attention}query_key_value")
    tensors |= _residual(state, f"{old}attention.output", f"{attention}output")
    if f"{old}crossattention.self.query.weight" in state:
        attention = f"{new}cross_attention."
        tensors |= _linear(state, f"{old}crossattention.self.query", f"{attention}query")
        tensors |= _fused(state, f"{old}crossattention.self.", ("key", "value"), f"{attention}key_value")
        tensors |= _residual(state, f"{old}crossattention.output", f"{attention}output")
    for part, suffix in (("text", ""), ("query", "_query")):
        tensors |= _linear(state, f"{old}intermediate{suffix}.dense", f"{new}{part}_feed_forward.linear")
        tensors |= _residual(state, f"{old}output{suffix}", f"{new}{part}_feed_forward.output")
    return tensors


def _heads(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Motion side, heads and temperature; public plain matrices multiply from the right."""
    head = "Qformer.cls.predictions."
    tensors = {
        "motion_to_former.weight": state["motion_projection"].T.contiguous(),
        "embedding_to_former.weight": state["text_projection"].T.contiguous(),
        "temperature": state["temp"],
        "language_head.bias": state[f"{head}decoder.bias"],
    }
    tensors |= _linear(state, f"{head}transform.dense", "language_head.linear")
    tensors |= _linear(state, f"{head}transform.LayerNorm", "language_head.norm")
    for old, new in (
        ("motion_proj", "motion_head"),
        ("text_proj", "text_head"),
        ("itm_head", "match_head"),
        ("motion_cls", "code_head"),
    ):
        tensors |= _linear(state, old, new)
    return tensors
