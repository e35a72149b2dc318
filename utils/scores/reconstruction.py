"""How well a tokenizer keeps motions: position error, path drift, code usage."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.scores.metrics import code_usage, mpjpe, path_drift


@dataclass
class Reconstruction:
    """Averages over the frames (mpjpe) or clips (drift) of a data set.

    Attributes:
        mpjpe: root-aligned position error, millimetres.
        drift: distance of the path's ends, millimetres.
        usage: share of codes in use, per level.
        perplexity: of the codes, per level.
        clips: number of motions.
        clip_mpjpe: position error of each motion by name, millimetres.
    """

    mpjpe: float
    drift: float
    usage: list[float]
    perplexity: list[float]
    clips: int
    clip_mpjpe: dict[str, float]


@torch.inference_mode()
def evaluate_reconstruction(
    batches: Iterable[Any],
    roundtrip: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    denormalize: Callable[[Tensor], Tensor],
    nb_code: int,
    millimetres: float,
    device: torch.device,
) -> Reconstruction:
    """Encode and decode whole motions and compare.

    Args:
        batches: with `motion` (B, T, D) normalised, `lengths` (B,) and `names`.
        roundtrip: (motion, lengths) to (reconstruction, codes (B, n, Q)).
        denormalize: normalised features to features.
        nb_code: codes of a level.
        millimetres: millimetres in the data's unit.
        device: where to compute.
    """
    errors, drifts, all_codes = [], [], []
    by_clip: dict[str, float] = {}
    for batch in batches:
        motion, lengths = batch.motion.to(device), batch.lengths.to(device)
        recon, codes = roundtrip(motion, lengths)
        target, predicted = features_to_joints(denormalize(motion)), features_to_joints(denormalize(recon))
        valid = torch.arange(motion.shape[1], device=device) < lengths[:, None]
        error = mpjpe(predicted, target).masked_fill(~valid, 0)
        errors.append(error[valid])
        by_clip |= dict(zip(batch.names, (millimetres * error.sum(1) / lengths).tolist()))
        last = (lengths - 1)[:, None, None, None].expand(-1, 1, *target.shape[2:])
        drifts.append(path_drift(predicted.gather(1, last), target.gather(1, last)))
        all_codes.append(codes.flatten(0, 1))
    usage, perplexity = code_usage(torch.cat(all_codes), nb_code)
    return Reconstruction(
        millimetres * torch.cat(errors).mean().item(),
        millimetres * torch.cat(drifts).mean().item(),
        usage.tolist(),
        perplexity.tolist(),
        sum(len(d) for d in drifts),
        by_clip,
    )
