"""Tokenizers of an import: by themselves, or inside a file of LaMP's other models."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lamp.models.vq.model import RVQVAE
from lamp.prepare.public.request import Part, Request
from lamp.prepare.public.state import build_model
from lamp.prepare.public.weights.vq import LAMP_PREFIX, convert_tokenizer, levels_in

CODES, FEATURES = "vq_model.", "motion_encoder."


def build_tokenizer(request: Request, state: Mapping[str, Tensor]) -> RVQVAE:
    """Our tokenizer from a public one's state dict, with its statistics."""
    config, tensors = convert_tokenizer(state, request.options)
    if levels_in(state) and "num_quantizers" not in request.options:
        request.notes.append(
            f"levels of the tokenizer: {config.num_quantizers}, as many as the file has codebooks; no opt.txt says how "
            "many there should be (--num_quantizers)"
        )
    return build_model(RVQVAE, config, tensors | request.statistics(config.input_width))


def add_tokenizers(request: Request, parts: list[Part]) -> None:
    """Write the tokenizer that a file of LaMP holds beside DST, unless it is there, and name it in DST's options.

    The public code computes motion features by an encoder of its own (`motion_encoder`) and codes by the tokenizer's
    (`vq_model`). Where these differ there are two tokenizers, and the model goes with the one that gives its features.
    """
    name = request.tokenizer_name(f"{request.dst.name}_vq")
    parts[0].options["vq_name"] = name
    codes, features = below(request.state, CODES), below(request.state, FEATURES)
    if not codes and not features:
        request.notes.append(f"the file has no motion encoder; import its tokenizer as {request.dst.parent / name}")
        return
    codes = {key.removeprefix(LAMP_PREFIX): value for key, value in codes.items()}
    encoder = {f"encoder.{key}": value for key, value in features.items()}
    others = {key: value for key, value in codes.items() if not key.startswith("encoder.")}
    same = len(encoder) + len(others) == len(codes)
    same = same and all(key in codes and torch.equal(codes[key], value) for key, value in encoder.items())
    request.add_or_reuse(parts, name, build_tokenizer(request, codes), {})
    if not same:
        parts[0].options["vq_name"] = f"{name}_features"
        request.add_or_reuse(parts, f"{name}_features", build_tokenizer(request, others | encoder), {})
        request.notes.append(f"motion features and codes are of different encoders: {name}_features and {name}")


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors whose keys start with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
