"""Masking, sampling and losses of masked token modelling (Chang et al. 2022, MaskGIT; Guo et al. 2024, MoMask)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor

from lamp.utils.run.processes import mean_over_processes
from lamp.utils.run.seed import keyed_uniform

IGNORE = -1
"""Target that takes no part in loss and accuracy; also marks "no token" in codes handed in and out."""

_STREAM_STRIDE = 0x9E3779B97F4A7C15
"""Odd 64-bit constant that spreads streams of one seed (golden ratio, as in SplitMix64)."""


@dataclass
class Corrupted:
    """Input and target of one masked-modelling step, both (B, n)."""

    ids: Tensor
    targets: Tensor


@dataclass
class Sampled:
    """Drawn tokens (B, k) and their probabilities (B, k) under the unfiltered logits."""

    ids: Tensor
    scores: Tensor


class Sampling(TypedDict):
    """How tokens are drawn (see `sample_tokens`), a seed for each sample, and what is called after each step."""

    topkr: float
    temperature: float
    gumbel: bool
    seeds: Sequence[int]
    progress: Callable[[int, int], None] | None


@dataclass
class TokenLoss:
    """Cross-entropy and accuracy over counted targets (scalars) and the predictions (B, n)."""

    loss: Tensor
    accuracy: Tensor
    predictions: Tensor


def cosine_schedule(time: Tensor) -> Tensor:
    """Masked share at time 0 ... 1: cos(pi t / 2) (Chang et al. 2022, section 3.3)."""
    return torch.cos(time * (math.pi / 2))


def masked_count(time: Tensor, lengths: Tensor) -> Tensor:
    """How many of `lengths` tokens are masked at `time` (broadcastable), at least one where there is one.

    Returns:
        int64, of the broadcast shape.
    """
    count = torch.round(cosine_schedule(time) * lengths).long().clamp(min=1)
    return torch.minimum(count, lengths)


def lengths_to_mask(lengths: Tensor, length: int) -> Tensor:
    """(B,) lengths -> (B, length) boolean, True inside."""
    return torch.arange(length, device=lengths.device) < lengths.unsqueeze(1)


def uniform(shape: Sequence[int], device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Uniform numbers in [0, 1), drawn where the generator lives."""
    if generator is None:
        # Compiled for varying shapes, this must not name a generator, not even None.
        return torch.rand(*shape, device=device)
    return torch.rand(*shape, generator=generator, device=generator.device).to(device)


def sample_uniform(
    shape: tuple[int, int, int],
    device: torch.device,
    generator: torch.Generator | None,
    keys: Tensor | None,
    stream: int = 0,
) -> Tensor:
    """Uniform numbers (draws, B, n) of each sample's own key, or without keys (B,) from a generator (see `uniform`)."""
    if keys is None:
        return uniform(shape, device, generator)
    draws, _, length = shape
    return keyed_uniform(keys, (draws, length), stream).transpose(0, 1)


def drop_rows(values: Tensor, dropped: Tensor) -> Tensor:
    """Zero the rows of (B, ...) where (B,) `dropped` is True."""
    return values.masked_fill(dropped.view(-1, *(1,) * (values.dim() - 1)), 0.0)


def corrupt(
    codes: Tensor,
    lengths: Tensor,
    *,
    num_tokens: int,
    mask_id: int,
    pad_id: int,
    random_share: float = 0.1,
    mask_share: float = 0.88,
    generator: torch.Generator | None = None,
    keys: Tensor | None = None,
) -> Corrupted:
    """Mask a cosine-distributed share of each sample's tokens, BERT style.

    Of the chosen tokens `random_share` become random codes, `mask_share` of the others [MASK], the rest stay.

    Args:
        codes: (B, n); values beyond a sample's length do not matter.
        lengths: (B,).
        num_tokens: codes are 0 ... num_tokens - 1.
        mask_id: id of [MASK].
        pad_id: id written beyond each length.
        random_share: share of chosen tokens replaced by a random code.
        mask_share: share of the other chosen tokens replaced by [MASK].
        generator: source of the draws.
        keys: (B,) of the samples; their draws then are the same in any batch and process.

    Returns:
        `Corrupted`; targets are `IGNORE` at positions not chosen.
    """
    batch, length = codes.shape
    valid = lengths_to_mask(lengths, length)
    time, order, kind, code = sample_uniform((4, batch, length), codes.device, generator, keys)
    count = masked_count(time[:, 0], lengths)
    ranks = order.masked_fill(~valid, 2.0).argsort(dim=1).argsort(dim=1)
    chosen = ranks < count.unsqueeze(1)
    ids = codes.masked_fill(~valid, pad_id)
    randomised = chosen & (kind < random_share)
    masked = chosen & ~randomised & (kind < random_share + (1 - random_share) * mask_share)
    ids = torch.where(randomised, (code * num_tokens).long(), ids).masked_fill(masked, mask_id)
    return Corrupted(ids, codes.masked_fill(~chosen, IGNORE))


def token_loss(logits: Tensor, targets: Tensor, *, ignore_index: int = IGNORE) -> TokenLoss:
    """Mean cross-entropy and accuracy over the targets that are not `ignore_index`, in training of all processes.

    Args:
        logits: (B, n, V).
        targets: (B, n).
        ignore_index: target that is not counted.
    """
    counted = targets != ignore_index
    total = mean_over_processes(counted.sum()).clamp(min=1)
    flat = logits.float().flatten(0, -2)
    loss = F.cross_entropy(flat, targets.flatten(), ignore_index=ignore_index, reduction="sum") / total
    predictions = logits.argmax(dim=-1)
    accuracy = ((predictions == targets) & counted).sum() / total
    return TokenLoss(loss, accuracy, predictions)


def kept_classes(threshold: float, classes: int) -> int:
    """Number of classes a top-k filter keeps: ceil((1 - threshold) * classes), at least one."""
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"topkr must lie in 0 ... 1, not {threshold}")
    return max(1, math.ceil((1.0 - threshold) * classes - 1e-9))


def top_k_filter(logits: Tensor, threshold: float) -> Tensor:
    """Keep the best ceil((1 - threshold) V) of the last dimension, the rest becomes -inf."""
    values, indices = logits.topk(kept_classes(threshold, logits.shape[-1]), dim=-1)
    return torch.full_like(logits, -torch.inf).scatter(-1, indices, values)


def noise_width(threshold: float, classes: int, gumbel: bool) -> int:
    """Uniform numbers `sample_tokens` needs a token: one, or one for each kept class with Gumbel noise."""
    return kept_classes(threshold, classes) if gumbel else 1


def sample_tokens(
    logits: Tensor, noise: Tensor, *, topkr: float = 0.9, temperature: float = 1.0, gumbel: bool = False
) -> Sampled:
    """Draw a token at each position from the top-k filtered distribution.

    Categorical draws invert the cumulative distribution, Gumbel draws take the argmax after adding noise; both have
    the same distribution.

    Args:
        logits: (B, k, V).
        noise: uniform numbers (B, k, `noise_width`).
        topkr: share of classes filtered out.
        temperature: divides the filtered logits; 0 is greedy.
        gumbel: which of the two draws.

    Returns:
        `Sampled`; scores are softmax probabilities under the unfiltered logits at temperature 1.
    """
    values, indices = logits.topk(kept_classes(topkr, logits.shape[-1]), dim=-1)
    scaled = values / max(temperature, 1e-8)
    # Away from 0 and 1, so that rounding can neither reach a class of probability 0 nor take log(0).
    noise = noise.clamp(1e-9, 1 - 1e-6)
    if gumbel:
        choice = (scaled - torch.log(-torch.log(noise))).argmax(dim=-1, keepdim=True)
    else:
        cumulative = scaled.softmax(dim=-1).cumsum(dim=-1)
        choice = (cumulative <= noise * cumulative[..., -1:]).sum(dim=-1, keepdim=True)
    scores = torch.exp(values.gather(-1, choice) - logits.logsumexp(dim=-1, keepdim=True))
    return Sampled(indices.gather(-1, choice).squeeze(-1), scores.squeeze(-1))


def sample_seeds(seeds: Sequence[int] | None, generator: torch.Generator | None, batch: int) -> list[int]:
    """A seed for each sample: those given, or drawn from `generator` (default: PyTorch's global one)."""
    if seeds is None:
        device = generator.device if generator else "cpu"
        return torch.randint(2**62, (batch,), generator=generator, device=device).tolist()
    if len(seeds) != batch:
        raise ValueError(f"{len(seeds)} seeds for {batch} samples")
    return list(seeds)


def token_noise(
    lengths: Sequence[int],
    seeds: Sequence[int],
    *,
    shape: tuple[int, int, int],
    stream: int,
    device: torch.device,
) -> Tensor:
    """Uniform numbers that depend on a sample's own seed and length only, not on its batch.

    They are drawn on the CPU, so every device sees the same ones.

    Args:
        lengths: tokens of each sample.
        seeds: seed of each sample.
        shape: (draws, n, width): how often positions are sampled, positions, numbers for each position and draw.
        stream: keeps stages that share a seed independent.
        device: where the result goes.

    Returns:
        (draws, B, n, width); 0.5 beyond each length.
    """
    draws, positions, width = shape
    noise = torch.full((draws, len(seeds), positions, width), 0.5)
    for sample, (length, seed) in enumerate(zip(lengths, seeds)):
        generator = torch.Generator().manual_seed((seed + stream * _STREAM_STRIDE) % 2**63)
        noise[:, sample, :length] = torch.rand(draws, length, width, generator=generator)
    return noise.to(device)


def with_unconditional(condition: Tensor, scale: float) -> Tensor:
    """Stack the zero condition under (B, C) for classifier-free guidance; a scale of 1 needs none."""
    return condition if scale == 1.0 else torch.cat((condition, torch.zeros_like(condition)))


def guide(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): uncond + scale (cond - uncond), of stacked (2B, ...) logits."""
    logits = logits.float()
    if scale == 1.0:
        return logits
    conditional, unconditional = logits.chunk(2)
    return unconditional + scale * (conditional - unconditional)
