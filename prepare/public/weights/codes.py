"""Weights of the public motion-code GPT (`trans_base`, `trans_head` of LaMP's motion-to-text file) under our names.

It continues motion codes after one condition vector: pre-norm blocks of GPT-2's kind with exact GELU. The public
captioner carries it along without using it.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamp.models.m2t.language import CaptionerConfig
from lamp.prepare.public.state import TrackedState
from lamp.utils.errors import UserError

# Heads of the published size by its width.
PUBLISHED_HEADS = {1024: 16}
IGNORED = (r"trans_(base|head)\.blocks\.\d+\.attn\.mask",)
_BASE, _HEAD = "trans_base.", "trans_head."
# Public linear layers of a block, and GPT-2's, which keep their weights transposed.
_LINEAR = {"attn.proj": "attn.c_proj", "mlp.0": "mlp.c_fc", "mlp.2": "mlp.c_proj"}


def convert_code_gpt(
    state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[CaptionerConfig, dict[str, Tensor]]:
    """The code GPT as a captioner whose "words" are the codes, the last one the end.

    Args:
        state: public state dict.
        config: what shapes do not tell: the heads, as `n_head`, `n_head_gpt` or `n_heads` (16 of the published 1024).

    Raises:
        UserError: tensors are lacking or unknown, which are listed, or nothing tells the heads.
    """
    state = TrackedState(state)
    tensors = {f"projection.{part}": state[f"{_BASE}cond_emb.{part}"] for part in ("weight", "bias")}
    positions, words = state[f"{_BASE}pos_embed.embed"], state[f"{_BASE}tok_emb.weight"]
    head = state[f"{_HEAD}head.weight"]
    count = 0
    for module in (_BASE, _HEAD):
        for block in range(1 + max(state.numbers(rf"{re.escape(module)}blocks\.(\d+)\..+"), default=0)):
            tensors |= _block(state, f"{module}blocks.{block}.", f"language.transformer.h.{count}.")
            count += 1
    tensors |= {f"language.transformer.ln_f.{part}": state[f"{_HEAD}ln_f.{part}"] for part in ("weight", "bias")}
    state.finish("the public weights lack", IGNORED)
    classes, width = head.shape
    tensors["language.lm_head.weight"] = head
    # One word more than there are classes: a padding that is never predicted.
    tensors["language.transformer.wte.weight"] = words[:classes].contiguous()
    tensors["language.transformer.wpe.weight"] = positions[:, 0].contiguous()
    architecture = {
        "model_type": "gpt2",
        "vocab_size": classes,
        "n_positions": len(positions),
        "n_embd": width,
        "n_layer": count,
        "n_head": _heads(width, config),
        "n_inner": len(state[f"{_BASE}blocks.0.mlp.0.weight"]),
        "activation_function": "gelu",
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": classes - 1,
    }
    ours = CaptionerConfig(
        query_dim=state[f"{_BASE}cond_emb.weight"].shape[1],
        num_queries=1,
        vocab_size=classes,
        llm="gpt2",
        block_size=len(positions) - 1,
        architecture=architecture,
    )
    return ours, tensors


def _block(state: TrackedState, old: str, new: str) -> dict[str, Tensor]:
    tensors = {}
    for part in ("weight", "bias"):
        for number in (1, 2):
            tensors[f"{new}ln_{number}.{part}"] = state[f"{old}ln{number}.{part}"]
        for public, ours in _LINEAR.items():
            tensors[f"{new}{ours}.{part}"] = state[f"{old}{public}.{part}"].t().contiguous()
        packed = torch.cat([state[f"{old}attn.{name}.{part}"] for name in ("query", "key", "value")])
        tensors[f"{new}attn.c_attn.{part}"] = packed.t().contiguous()
    return tensors


def _heads(width: int, config: Mapping[str, Any]) -> int:
    said = next((config[name] for name in ("n_heads", "n_head", "n_head_gpt") if config.get(name)), None)
    heads = said or PUBLISHED_HEADS.get(width)
    if heads is None:
        raise UserError(f"nothing tells the attention heads of the GPT of width {width}; give --n_heads")
    if width % heads:
        raise UserError(f"--n_heads {heads} does not divide the width {width}")
    return heads
