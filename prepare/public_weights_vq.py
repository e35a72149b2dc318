"""Weights of the public motion tokenizers (MoMask RVQ-VAE, LaMP VQ-VAE) under our names."""

import re
from typing import Any

import torch
from torch import Tensor

from models.vq.model import RVQVAE, RVQConfig
from utils.errors import UserError

# The LaMP release wraps its tokenizer in a module of this name.
LAMP_PREFIX = "vqvae."
# Kept by our codebooks beside the codes; the public files do not have them.
STATISTICS = ("code_sum", "code_count")


def convert_tokenizer(state: dict[str, Tensor], config: dict[str, Any]) -> tuple[RVQConfig, dict[str, Tensor]]:
    """Configuration and weights of our tokenizer from those of a public one.

    Args:
        state: the public state dict, of MoMask's `RVQVAE` or LaMP's `HumanVQVAE`.
        config: what the tensors' shapes do not tell, under the public option names: `dilation_growth_rate`, `vq_act`,
            `vq_norm`, `mu`, `quantize_dropout_prob`; missing ones get the published values.

    Returns:
        The configuration, and a state dict that `RVQVAE` loads strictly. `mean` and `std` are 0 and 1: the public
        files keep the statistics apart.

    Raises:
        UserError: the state dict is not that of a public tokenizer.
    """
    state = {key.removeprefix(LAMP_PREFIX): value for key, value in state.items()}
    ours = infer_config(state, config)
    with torch.device("meta"):
        expected = RVQVAE(ours).state_dict()
    converted, used = {}, set()
    for key, tensor in expected.items():
        source = public_name(key, ours)
        if source in state and state[source].shape == tensor.shape:
            converted[key] = state[source].float()
            used.add(source)
        elif source is not None:
            raise UserError(f"the public tokenizer lacks {source} of shape {tuple(tensor.shape)}")
    if ours.shared_codebook:
        used |= {key for key in state if key.startswith("quantizer.layers.")}
    if left := sorted(set(state) - used):
        raise UserError(f"the public tokenizer has unknown tensors {left[:5]}")
    for key in expected:
        prefix, _, name = key.rpartition(".")
        if name in STATISTICS:
            codebook = converted[f"{prefix}.codebook"]
            converted[key] = codebook.clone() if name == "code_sum" else codebook.new_ones(codebook.shape[0])
    converted |= {"mean": torch.zeros(ours.input_width), "std": torch.ones(ours.input_width)}
    return ours, converted


def infer_config(state: dict[str, Tensor], config: dict[str, Any]) -> RVQConfig:
    """Our configuration of a public state dict (without LaMP's prefix)."""
    try:
        entry, down = state["encoder.model.0.weight"], state["encoder.model.2.0.weight"]
        codebooks = [state[key] for key in sorted(state) if key.startswith("quantizer.") and key.endswith("codebook")]
        nb_code, code_dim = codebooks[0].shape
    except (KeyError, IndexError) as error:
        raise UserError(f"these are not the weights of a public motion tokenizer ({error} is missing)") from error
    if config.get("vq_norm") not in (None, "LN"):
        raise UserError(f"tokenizers with --vq_norm {config['vq_norm']} are not supported; only LN or none")
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
        activation=config.get("vq_act", "relu"),
        norm=config.get("vq_norm"),
        mu=config.get("mu", 0.99),
        shared_codebook=len(codebooks) > 1 and all(torch.equal(codebooks[0], other) for other in codebooks[1:]),
        quantize_dropout_prob=config.get("quantize_dropout_prob", 0.0),
    )


def public_name(key: str, config: RVQConfig) -> str | None:
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
