"""Weights of the public masked and residual transformers and length estimators under our names.

Sizes come from the tensors; what tensors do not tell (heads, dropout) comes from the public options.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lamp.models.t2m.length import LengthConfig
from lamp.models.t2m.masked import MaskedConfig
from lamp.models.t2m.residual import ResidualConfig
from lamp.prepare.public.state import TrackedState
from lamp.utils.errors import UserError

LACKS = "the public weights lack"
# The frozen text encoders, and what the public code keeps but does not use.
IGNORED = (
    r"clip_model\..*",
    r"position_enc\.pe",
    r"Qformer\..*",
    r"query_tokens",
    r"text2former\..*",
    r"clip2qformer\..*",
)
# Heads of the published models by their width.
PUBLISHED_HEADS = {384: 6, 512: 8}
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
_LAYER_NUMBER = r"seqTransEncoder\.layers\.(\d+)\..+"
# Our config entries and the names that the public options have for them.
_OPTIONS = {
    "num_heads": ("n_heads", "num_heads"),
    "dropout": ("dropout",),
    "cond_drop_prob": ("cond_drop_prob",),
}
_SIZES = {
    "latent_dim": ("latent_dim",),
    "ff_size": ("ff_size",),
    "num_layers": ("n_layers", "num_layers"),
}


def _convert_trunk(state: TrackedState) -> dict[str, Tensor]:
    """Encoder, condition and head."""
    converted = {
        f"{ours}.{part}": state[f"{public}.{part}"] for public, ours in _TRUNK.items() for part in ("weight", "bias")
    }
    for layer in range(1 + max(state.numbers(_LAYER_NUMBER), default=0)):
        for public, ours in _LAYER.items():
            for part in ("weight", "bias"):
                source = f"seqTransEncoder.layers.{layer}.{public}{part}"
                converted[f"encoder.layers.{layer}.{ours}{part}"] = state[source]
    return converted


def _first(config: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((config[name] for name in names if config.get(name) is not None), None)


def _sizes(converted: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """Config entries common to both transformers.

    Raises:
        UserError: the options are those of other weights, or nothing tells the heads.
    """
    latent_dim, code_dim = converted["encoder.input_projection.weight"].shape
    sizes: dict[str, Any] = {
        "latent_dim": latent_dim,
        "ff_size": converted["encoder.layers.0.linear1.weight"].shape[0],
        "num_layers": len({key.split(".")[2] for key in converted if key.startswith("encoder.layers.")}),
    }
    for ours, names in _SIZES.items():
        if (said := _first(config, names)) not in (None, sizes[ours]):
            raise UserError(f"the options say {names[0]} {said}, the weights {sizes[ours]}; is it their opt.txt?")
    sizes |= {"code_dim": code_dim, "cond_dim": converted["encoder.condition_projection.weight"].shape[1]}
    sizes |= {ours: said for ours, names in _OPTIONS.items() if (said := _first(config, names)) is not None}
    heads = sizes.setdefault("num_heads", PUBLISHED_HEADS.get(latent_dim))
    if heads is None:
        raise UserError(f"nothing tells the attention heads of width {latent_dim}; give --n_heads, or --opt opt.txt")
    if not isinstance(heads, int) or heads < 1 or latent_dim % heads:
        raise UserError(f"--n_heads {heads} does not divide the width {latent_dim}")
    return sizes


def convert_masked(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[MaskedConfig, dict[str, Tensor]]:
    """Masked transformer of MoMask (full attention) or, with a Q-Former inside, of LaMP (soft attention).

    Args:
        state: public state dict.
        config: public options: `n_heads` or `num_heads` (else the published ones), `dropout`, `cond_drop_prob`; and
            `attention`, ours, in place of what the keys tell.

    Raises:
        UserError: tensors are lacking or unknown, which are listed, or the options do not fit.
    """
    state = TrackedState(state)
    converted = _convert_trunk(state)
    converted["token_embedding.weight"] = state["token_emb.weight"]
    state.finish(LACKS, IGNORED)
    has_qformer = any(key.startswith("Qformer.") for key in state)
    ours = MaskedConfig(
        num_tokens=converted["head.output.weight"].shape[0],
        attention=config.get("attention") or ("soft" if has_qformer else "full"),
        **_sizes(converted, config),
    )
    return ours, converted


def convert_residual(
    state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[ResidualConfig, dict[str, Tensor]]:
    """Residual transformer of MoMask or LaMP, shared or unshared tables.

    Args:
        state: public state dict.
        config: public options, see `convert_masked`.

    Raises:
        UserError: tensors are lacking or unknown, which are listed, or the options do not fit.
    """
    state = TrackedState(state)
    converted = _convert_trunk(state)
    shared = any(key in state for key in ("embed_proj_shared_weight", "token_embed_weight_"))
    names = ("token_embed_weight", "output_proj_weight", "output_proj_bias")
    if shared:
        names = ("token_embed_weight_", "embed_proj_shared_weight", "output_proj_weight_")
    tables = [state[name] for name in names]
    level, bias = state["quant_emb.weight"], state["quant_emb.bias"]
    state.finish(LACKS, IGNORED)
    # The public level embedding is a linear layer on a one-hot.
    converted["level_embedding.weight"] = (level.T + bias).contiguous()
    if shared:
        converted["code_tables"] = torch.cat(tables)
    else:
        # The public biases have one row more than there are levels to predict.
        for name, table in zip(("code_tables", "output_tables", "output_bias"), tables):
            converted[name] = table[: level.shape[1] - 1].contiguous()
    ours = ResidualConfig(
        num_tokens=converted["code_tables"].shape[1] - 1,
        num_quantizers=level.shape[1],
        share_weight=shared,
        predict_pad=True,
        double_projection=not shared,
        **_sizes(converted, config),
    )
    return ours, converted


def convert_length(
    state: Mapping[str, Tensor], config: Mapping[str, Any] | None = None
) -> tuple[LengthConfig, dict[str, Tensor]]:
    """Length estimator of the T2M / MoMask family (its `output` stack of linear, LayerNorm, leaky ReLU).

    Raises:
        UserError: tensors are lacking or unknown, which are listed.
    """
    state = TrackedState(state)
    numbers = state.numbers(r"output\.(\d+)\.(?:weight|bias)")
    linear = [n for n in numbers if f"output.{n}.weight" in state and state[f"output.{n}.weight"].dim() == 2] or [0]
    converted = {}
    for index, number in enumerate(linear):
        # Ours has a block of linear, LayerNorm, leaky ReLU, dropout each; the last has the linear layer only.
        for offset in (0,) if number == linear[-1] else (0, 1):
            for part in ("weight", "bias"):
                converted[f"layers.{4 * index + offset}.{part}"] = state[f"output.{number + offset}.{part}"]
    state.finish(LACKS, IGNORED)
    shapes = [state[f"output.{number}.weight"].shape for number in linear]
    ours = LengthConfig(
        cond_dim=shapes[0][1],
        hidden_dims=tuple(shape[0] for shape in shapes[:-1]),
        num_classes=shapes[-1][0],
        **({"dropout": config["dropout"]} if config and "dropout" in config else {}),
    )
    return ours, converted
