"""Weights of the public masked and residual transformers and length estimators under our names.

Sizes come from the tensors; what tensors do not tell (heads, dropout) comes from the public options.
"""

import re
from typing import Any

import torch
from torch import Tensor

from models.t2m.length import LengthConfig
from models.t2m.masked import MaskedConfig
from models.t2m.residual import ResidualConfig
from utils.errors import UserError

_TRUNK = {
    "input_process.poseEmbedding": "encoder.input_projection",
    "cond_emb": "encoder.condition_projection",
    "output_process.dense": "head.dense",
    "output_process.LayerNorm": "head.norm",
    "output_process.poseFinal": "head.output",
}
_LAYER = {
    "self_attn.in_proj_": "qkv.",
    "self_attn.out_proj.": "out.",
    "linear1.": "linear1.",
    "linear2.": "linear2.",
    "norm1.": "norm1.",
    "norm2.": "norm2.",
}
_LAYER_KEY = re.compile(r"seqTransEncoder\.layers\.(\d+)\.(.+)(weight|bias)")


def _take(state: dict[str, Tensor], key: str) -> Tensor:
    if key not in state:
        raise UserError(f"the public weights lack {key}; this is not a checkpoint of the kind asked for")
    return state[key]


def _convert_trunk(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Encoder, condition and head; other entries (the frozen text encoder, position tables) are left out."""
    converted = {
        f"{ours}.{part}": _take(state, f"{public}.{part}")
        for public, ours in _TRUNK.items()
        for part in ("weight", "bias")
    }
    for key, value in state.items():
        if match := _LAYER_KEY.fullmatch(key):
            layer, name, part = match.groups()
            converted[f"encoder.layers.{layer}.{_LAYER[name]}{part}"] = value
    return converted


def _sizes(converted: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Any]:
    """Config entries common to both transformers."""
    latent_dim, code_dim = converted["encoder.input_projection.weight"].shape
    layers = {key.split(".")[2] for key in converted if key.startswith("encoder.layers.")}
    sizes = {
        "code_dim": code_dim,
        "latent_dim": latent_dim,
        "ff_size": _take(converted, "encoder.layers.0.linear1.weight").shape[0],
        "num_layers": len(layers),
        "cond_dim": converted["encoder.condition_projection.weight"].shape[1],
    }
    public_names = {"num_heads": "n_heads", "dropout": "dropout", "cond_drop_prob": "cond_drop_prob"}
    for ours, public in public_names.items():
        for name in (ours, public):
            if name in config:
                sizes[ours] = config[name]
    return sizes


def convert_masked(state: dict[str, Tensor], config: dict[str, Any]) -> tuple[MaskedConfig, dict[str, Tensor]]:
    """Masked transformer of MoMask (full attention) or, with a Q-Former inside, of LaMP (soft attention).

    Args:
        state: public state dict.
        config: public options: `num_heads` or `n_heads`, `dropout`, `cond_drop_prob`.
    """
    converted = _convert_trunk(state)
    converted["token_embedding.weight"] = _take(state, "token_emb.weight")
    has_qformer = any(key.startswith("Qformer.") for key in state)
    ours = MaskedConfig(
        num_tokens=converted["head.output.weight"].shape[0],
        attention="soft" if has_qformer else "full",
        **_sizes(converted, config),
    )
    return ours, converted


def convert_residual(state: dict[str, Tensor], config: dict[str, Any]) -> tuple[ResidualConfig, dict[str, Tensor]]:
    """Residual transformer of MoMask or LaMP, shared or unshared tables.

    Args:
        state: public state dict.
        config: public options: `num_heads` or `n_heads`, `dropout`, `cond_drop_prob`.
    """
    converted = _convert_trunk(state)
    # The public level embedding is a linear layer on a one-hot.
    converted["level_embedding.weight"] = (
        _take(state, "quant_emb.weight").T + _take(state, "quant_emb.bias")
    ).contiguous()
    shared = "embed_proj_shared_weight" in state
    if shared:
        tables = ("token_embed_weight_", "embed_proj_shared_weight", "output_proj_weight_")
        converted["code_tables"] = torch.cat([_take(state, key) for key in tables])
    else:
        levels = converted["level_embedding.weight"].shape[0] - 1
        converted["code_tables"] = _take(state, "token_embed_weight")[:levels]
        converted["output_tables"] = _take(state, "output_proj_weight")[:levels]
        converted["output_bias"] = _take(state, "output_proj_bias")[:levels]
    ours = ResidualConfig(
        num_tokens=converted["code_tables"].shape[1] - 1,
        num_quantizers=converted["level_embedding.weight"].shape[0],
        share_weight=shared,
        predict_pad=True,
        double_projection=not shared,
        **_sizes(converted, config),
    )
    return ours, converted


def convert_length(
    state: dict[str, Tensor], config: dict[str, Any] | None = None
) -> tuple[LengthConfig, dict[str, Tensor]]:
    """Length estimator of the T2M / MoMask family (its `output` stack of linear, LayerNorm, leaky ReLU)."""
    numbers = sorted({int(key.split(".")[1]) for key in state if key.startswith("output.")})
    linear = [number for number in numbers if _take(state, f"output.{number}.weight").dim() == 2]
    converted = {}
    for index, number in enumerate(linear):
        # Ours has a block of linear, LayerNorm, leaky ReLU, dropout each.
        for offset in (0, 1):
            if number + offset in numbers:
                for part in ("weight", "bias"):
                    converted[f"layers.{4 * index + offset}.{part}"] = _take(state, f"output.{number + offset}.{part}")
    if not linear:
        raise UserError("the public weights lack output.0.weight; this is not a length estimator")
    shapes = [state[f"output.{number}.weight"].shape for number in linear]
    ours = LengthConfig(
        cond_dim=shapes[0][1],
        hidden_dims=tuple(shape[0] for shape in shapes[:-1]),
        num_classes=shapes[-1][0],
        **({"dropout": config["dropout"]} if config and "dropout" in config else {}),
    )
    return ours, converted
