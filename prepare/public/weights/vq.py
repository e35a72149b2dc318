"""Weights of the public motion tokenizers (MoMask RVQ-VAE, LaMP VQ-VAE) under our names."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from lamp.models.vq.encdec import ACTIVATIONS
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.prepare.public.state import TrackedState
from lamp.utils.errors import UserError

# The LaMP release wraps its tokenizer in a module of this name.
LAMP_PREFIX = "vqvae."
# Kept by our codebooks beside the codes; the public files do not have them.
STATISTICS = ("code_sum", "code_count")
_BLOCK = "encoder.model.2.1.model.0."
_FIRST_LEVEL, _SECOND_LEVEL = (f"quantizer.layers.{level}.codebook" for level in (0, 1))


def convert_tokenizer(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[RVQConfig, dict[str, Tensor]]:
    """Configuration and weights of our tokenizer from those of a public one.

    Args:
        state: the public state dict, of MoMask's `RVQVAE` or LaMP's `HumanVQVAE`.
        config: what the tensors' shapes do not tell, under the public option names: `dilation_growth_rate`, `vq_act`,
            `vq_norm`, `mu`, `quantize_dropout_prob`; missing ones get the published values. The file must have
            `num_quantizers` codebooks, if that is given.

    Returns:
        The configuration, and a state dict that `RVQVAE` loads strictly. `mean` and `std` are 0 and 1: the public
        files keep the statistics apart.

    Raises:
        UserError: the state dict is not that of a public tokenizer; lacking and unknown tensors are listed.
    """
    plain = {key.removeprefix(LAMP_PREFIX): value for key, value in state.items()}
    check_levels(plain, config.get("num_quantizers"))
    if _SECOND_LEVEL not in plain and _FIRST_LEVEL in plain:  # a residual quantizer of one level
        plain["quantizer.codebook"] = plain.pop(_FIRST_LEVEL)
    state = TrackedState(plain)
    ours = infer_config(state, config)
    with torch.device("meta"):
        expected = RVQVAE(ours).state_dict()
    converted = {key: state[source] for key in expected if (source := source_name(key, ours)) is not None}
    ignored = [r"quantizer\.layers\.\d+\.codebook"] if ours.shared_codebook else []
    state.finish("the public tokenizer lacks", ignored)
    for key in expected:
        prefix, _, name = key.rpartition(".")
        if name in STATISTICS:
            codebook = converted[f"{prefix}.codebook"]
            converted[key] = codebook.clone() if name == "code_sum" else codebook.new_ones(codebook.shape[0])
    converted |= {"mean": torch.zeros(ours.input_width), "std": torch.ones(ours.input_width)}
    return ours, converted


def levels_in(state: Mapping[str, Tensor]) -> list[int]:
    """Levels whose codebooks a residual tokenizer's state dict has; none of a tokenizer of a single codebook."""
    found = (re.fullmatch(r"quantizer\.layers\.(\d+)\.codebook", key.removeprefix(LAMP_PREFIX)) for key in state)
    return sorted(int(match[1]) for match in found if match)


def check_levels(state: Mapping[str, Tensor], told: int | None) -> None:
    """Make sure that no codebook is missing, which would make a smaller tokenizer of it.

    Args:
        state: of a public tokenizer.
        told: levels that its options say.

    Raises:
        UserError: levels are missing, or there are more or fewer than the options say.
    """
    levels = levels_in(state)
    if levels != list(range(len(levels))):
        missing = sorted(set(range(levels[-1])) - set(levels))
        raise UserError(f"the file lacks the codebooks of levels {missing}, it has {levels}; fetch or save it again")
    if levels and told is not None and told != len(levels):
        raise UserError(
            f"the file has {len(levels)} codebooks, its options say num_quantizers {told}; fetch or save it again, or "
            f"give --num_quantizers {len(levels)} if the options are wrong"
        )


def infer_config(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> RVQConfig:
    """Our configuration of a public state dict (without LaMP's prefix)."""
    codebooks = [state[key] for key in sorted(state) if re.fullmatch(r"quantizer\.(layers\.\d+\.)?codebook", key)]
    needed = ("encoder.model.0.weight", "encoder.model.2.0.weight")
    missing = [key for key in needed if key not in state] + ([] if codebooks else ["quantizer.*codebook"])
    if missing:
        raise UserError(f"these are not the weights of a public motion tokenizer (no {', '.join(missing)})")
    if (activation := config.get("vq_act", "relu")) not in ACTIVATIONS:
        raise UserError(f"--vq_act {activation} is none of {', '.join(ACTIVATIONS)}")
    entry, down = (state[key] for key in needed)
    nb_code, code_dim = codebooks[0].shape
    return RVQConfig(
        input_width=entry.shape[1],
        num_quantizers=len(codebooks),
        nb_code=nb_code,
        code_dim=code_dim,
        width=entry.shape[0],
        down_t=sum(re.fullmatch(r"encoder\.model\.\d+\.0\.weight", key) is not None for key in state),
        stride_t=down.shape[-1] // 2,
        depth=sum(re.fullmatch(r"encoder\.model\.2\.1\.model\.\d+\.conv1\.weight", key) is not None for key in state),
        dilation_growth_rate=config.get("dilation_growth_rate", 3),
        activation=activation,
        norm=_norm(state, config.get("vq_norm")),
        mu=config.get("mu", 0.99),
        shared_codebook=len(codebooks) > 1 and all(torch.equal(codebooks[0], other) for other in codebooks[1:]),
        quantize_dropout_prob=config.get("quantize_dropout_prob", 0.0),
    )


def _norm(state: Mapping[str, Tensor], option: str | None) -> Literal["LN"] | None:
    """Norm of the residual blocks: whether there is one is told by the keys, of which kind only by the options."""
    if f"{_BLOCK}norm1.weight" not in state:
        return None
    if f"{_BLOCK}norm1.running_mean" in state or option in ("GN", "BN"):
        raise UserError("tokenizers with --vq_norm GN or BN are not supported; only LN or none")
    if option != "LN":
        raise UserError(
            "this tokenizer has norms of a kind that its weights do not tell; give --vq_norm LN if it is LN"
        )
    return "LN"


def source_name(key: str, config: RVQConfig) -> str | None:
    """Public name of our parameter `key`; None if the public tokenizers do not store it."""
    module, *path = key.split(".")
    tail = path[-1] if path else ""
    if module in ("mean", "std") or tail in STATISTICS:
        return None
    if module == "quantizer":
        return "quantizer.codebook" if config.num_quantizers == 1 else f"quantizer.layers.{path[1]}.codebook"
    part, last = path[0], 2 + config.down_t
    sequence = {"conv_in": 0, "conv_out": last if module == "encoder" else last + 2, "conv_mid": last}
    if part in sequence:
        return f"{module}.model.{sequence[part]}.{tail}"
    # Stages are sequences: [down, blocks] in the encoder, [blocks, upsampling, convolution] in the decoder.
    stage = 2 + int(path[1])
    if part == "blocks":
        return f"{module}.model.{stage}.{1 if module == 'encoder' else 0}.model.{'.'.join(path[2:])}"
    return f"{module}.model.{stage}.{0 if module == 'encoder' else 2}.{tail}"
