"""Public LaMP Q-Former weights under our names.

Three kinds of public file hold a Q-Former: the pretraining file (motion side and heads), the text-to-motion file (the
same Q-Former with the projection of the text condition, no heads), and both merged into one state dict, which is what
a complete model needs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamp.models.lamp.model import LaMPConfig
from lamp.prepare.public.state import TrackedState
from lamp.utils.errors import UserError

CONDITION_LENGTH = 49
TEXT_LENGTH = 32
# What the files hold beside the Q-Former: tokenizer, motion encoder, masked transformer; and tied or unused tensors.
IGNORED = (
    r"(vq_model|motion_encoder|input_process|position_enc|seqTransEncoder|cond_emb|output_process|token_emb)\..*",
    r"(clip2qformer|clip_model)\..*",
    r"Qformer\.cls\.predictions\.(bias|decoder\.weight)",
    r"Qformer\.bert\.embeddings\.position_ids",
)
# The text-to-motion file carries the language head along without using it.
IGNORED_WITHOUT_MOTION = (r"Qformer\.cls\..*",)
_WORDS = "Qformer.bert.embeddings.word_embeddings.weight"
# Heads of the published model (BERT-base) by its width.
PUBLISHED_HEADS = {768: 12}
_LAYER_NUMBER = r"Qformer\.bert\.encoder\.layer\.(\d+)\..+"
_CROSSING_NUMBER = r"Qformer\.bert\.encoder\.layer\.(\d+)\.crossattention\..+"
_EMBEDDINGS = {
    "former.word_embedding.weight": "word_embeddings.weight",
    "former.position_embedding.weight": "position_embeddings.weight",
    "former.embedding_norm.weight": "LayerNorm.weight",
    "former.embedding_norm.bias": "LayerNorm.bias",
}


def convert_qformer(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[LaMPConfig, dict[str, Tensor]]:
    """Rename a public Q-Former.

    Args:
        state: public state dict; the other known parts of the files (tokenizer, masked transformer) are ignored.
        config: what shapes do not tell: `bert.num_attention_heads` (12 if the width is BERT-base's) and `max_txt_len`
            (32).

    Returns:
        Our configuration, with the public variants switched on, and the tensors of `LaMP`.

    Raises:
        UserError: the state dict holds no Q-Former, or tensors are lacking or unknown, which are listed.
    """
    anchors = [key for key in state if key.endswith(_WORDS)]
    if not anchors:
        raise UserError(f"the weights hold no Q-Former (no {_WORDS}); give a LaMP pretraining or text-to-motion file")
    start = anchors[0].removesuffix(_WORDS)
    state = TrackedState({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
    tensors = {"former.query_tokens": state["query_tokens"]}
    tensors |= {new: state[f"Qformer.bert.embeddings.{old}"] for new, old in _EMBEDDINGS.items()}
    for index in range(1 + max(state.numbers(_LAYER_NUMBER), default=0)):
        tensors |= _layer(state, f"Qformer.bert.encoder.layer.{index}.", f"former.layers.{index}.")
    has_motion = "motion_projection" in state
    if "text2former.weight" in state:
        tensors |= _linear(state, "text2former", "text_to_former")
    if has_motion:
        tensors |= _heads(state)
    state.finish("the Q-Former lacks", IGNORED if has_motion else IGNORED + IGNORED_WITHOUT_MOTION)
    _check_tied(state, has_motion)
    return _config(state, config), tensors


def _check_tied(state: TrackedState, has_motion: bool) -> None:
    """The language head must be the word embedding, as it is in ours."""
    head = "Qformer.cls.predictions.decoder.weight"
    if has_motion and head in state and not torch.equal(state[head], state[_WORDS]):
        raise UserError(f"{head} is not {_WORDS}; language heads of their own are not supported")


def _config(state: TrackedState, config: Mapping[str, Any]) -> LaMPConfig:
    vocab_size, hidden = state[_WORDS].shape
    crossing = state.numbers(_CROSSING_NUMBER)
    layers = 1 + max(state.numbers(_LAYER_NUMBER))
    frequency = crossing[1] if len(crossing) > 1 else layers
    if crossing != list(range(0, layers, frequency)):
        raise UserError(f"cross-attention in layers {crossing} is not in every n-th layer, as LaMP has it")
    sizes = {}
    if has_motion := "motion_projection" in state:
        sizes["motion_width"] = state["motion_projection"].shape[0]
        sizes["embed_dim"] = state["motion_proj.weight"].shape[0]
        sizes["nb_code"] = state["motion_cls.weight"].shape[0]
    has_condition = "text2former.weight" in state
    length = TEXT_LENGTH if has_motion or not has_condition else CONDITION_LENGTH
    return LaMPConfig(
        vocab_size=vocab_size,
        hidden_size=hidden,
        num_layers=layers,
        num_heads=_heads_of(hidden, config),
        intermediate_size=state["Qformer.bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_positions=state["Qformer.bert.embeddings.position_embeddings.weight"].shape[0],
        num_query_tokens=state["query_tokens"].shape[1],
        cross_attention_freq=frequency,
        cross_attention_width=state["Qformer.bert.encoder.layer.0.crossattention.self.key.weight"].shape[1],
        motion_norm=False,
        max_text_length=config.get("max_txt_len", length),
        temperature="raw",
        text_condition="embedding",
        condition_length=CONDITION_LENGTH if has_condition else 0,
        has_motion=has_motion,
        has_condition=has_condition,
        **sizes,
    )


def _heads_of(hidden: int, config: Mapping[str, Any]) -> int:
    heads = (config.get("bert") or {}).get("num_attention_heads") or PUBLISHED_HEADS.get(hidden)
    if heads is None:
        raise UserError(f"nothing tells the attention heads of the Q-Former of width {hidden}; give --bert_heads")
    return heads


def _linear(state: TrackedState, old: str, new: str, bias: bool = True) -> dict[str, Tensor]:
    return {f"{new}.{part}": state[f"{old}.{part}"] for part in (("weight", "bias") if bias else ("weight",))}


def _fused(state: TrackedState, old: str, names: tuple[str, ...], new: str) -> dict[str, Tensor]:
    """Several projections of one input as one, rows in the order of `names`."""
    return {f"{new}.{part}": torch.cat([state[f"{old}{name}.{part}"] for name in names]) for part in ("weight", "bias")}


def _residual(state: TrackedState, old: str, new: str) -> dict[str, Tensor]:
    return _linear(state, f"{old}.dense", f"{new}.linear") | _linear(state, f"{old}.LayerNorm", f"{new}.norm")


def _layer(state: TrackedState, old: str, new: str) -> dict[str, Tensor]:
    attention = f"{new}self_attention."
    tensors = _fused(state, f"{old}attention.self.", ("query", "key", "value"), f"{attention}query_key_value")
    tensors |= _residual(state, f"{old}attention.output", f"{attention}output")
    if any(key.startswith(f"{old}crossattention.") for key in state):
        attention = f"{new}cross_attention."
        tensors |= _linear(state, f"{old}crossattention.self.query", f"{attention}query")
        tensors |= _fused(state, f"{old}crossattention.self.", ("key", "value"), f"{attention}key_value")
        tensors |= _residual(state, f"{old}crossattention.output", f"{attention}output")
    for part, suffix in (("text", ""), ("query", "_query")):
        tensors |= _linear(state, f"{old}intermediate{suffix}.dense", f"{new}{part}_feed_forward.linear")
        tensors |= _residual(state, f"{old}output{suffix}", f"{new}{part}_feed_forward.output")
    return tensors


def _heads(state: TrackedState) -> dict[str, Tensor]:
    """Motion side, heads and temperature; public plain matrices multiply from the right."""
    head = "Qformer.cls.predictions."
    tensors = {
        "motion_to_former.weight": state["motion_projection"].t().contiguous(),
        "embedding_to_former.weight": state["text_projection"].t().contiguous(),
        "temperature": state["temp"],
        "language_head.bias": state[f"{head}decoder.bias"],
    }
    tensors |= _linear(state, f"{head}transform.dense", "language_head.linear")
    tensors |= _linear(state, f"{head}transform.LayerNorm", "language_head.norm")
    for old, new in (("motion_proj", "motion_head"), ("text_proj", "text_head"), ("itm_head", "match_head")):
        tensors |= _linear(state, old, new)
    return tensors | _linear(state, "motion_cls", "code_head", bias=False)
