"""Reconstruction loss of the motion tokenizer (MoMask, equation 2, with the weight of local positions).

`FURTHER_LOSSES` are terms that can be added to it (`--further_losses NAME=WEIGHT`); none is by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lamp.utils.run.processes import mean_over_processes

LOSSES = {"l1_smooth": F.smooth_l1_loss, "l1": F.l1_loss, "l2": F.mse_loss}


@dataclass
class ReconstructionLoss:
    """Scalars: `total` = `features` + weight * `positions`."""

    total: Tensor
    features: Tensor
    positions: Tensor


def reconstruction_loss(
    recon: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    position_slice: slice = slice(None),
    *,
    kind: Literal["l1_smooth", "l1", "l2"] = "l1_smooth",
    position_weight: float = 0.5,
) -> ReconstructionLoss:
    """Distance of a reconstruction from its target, over all features and once more over the joints' positions.

    Args:
        recon: normalised features (B, T, D).
        target: normalised features (B, T, D).
        mask: True at frames that count (B, T), in training over all processes; None means all of them.
        position_slice: where the local joint positions lie among the D features.
        kind: smooth L1 (with a knee at 1), L1 or squared error.
        position_weight: weight of the second term.
    """
    if mask is None:
        mask = recon.new_ones(recon.shape[:2])
    recon, target = _where(mask, recon), _where(mask, target)
    distance = LOSSES[kind](recon, target, reduction="none")
    frames = mean_over_processes(mask.sum().clamp(min=1))
    features = distance.sum() / (frames * distance.shape[-1])
    positions = distance[..., position_slice]
    positions = positions.sum() / (frames * positions.shape[-1])
    return ReconstructionLoss(features + position_weight * positions, features, positions)


def velocity_loss(recon: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Squared error of the change from frame to frame (Tevet et al. 2023, MDM, equation 5, on features).

    Args:
        recon, target: normalised features (B, T, D).
        mask: True at frames that count (B, T).
    """
    recon, target = _where(mask, recon), _where(mask, target)
    change = (recon[:, 1:] - recon[:, :-1]) - (target[:, 1:] - target[:, :-1])
    both = (mask[:, 1:] & mask[:, :-1])[..., None]
    count = mean_over_processes(both.sum()).clamp(min=1)
    return (change.square() * both).sum() / (count * change.shape[-1])


def path_loss(recon: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Distance of the summed root velocities: errors of one sign add up to a path that drifts, random ones do not.

    The first three features of the representation are the root's turn and its two velocities on the floor; their sum
    over the frames so far is where the root is and how far it turned, but for the turning of the axes.

    Args:
        recon, target: normalised features (B, T, D).
        mask: True at frames that count (B, T).
    """
    root = slice(0, 3)
    error = (_where(mask, recon[..., root]) - _where(mask, target[..., root])).cumsum(dim=1).abs()
    frames = mean_over_processes(mask.sum()).clamp(min=1)
    return (error * mask[..., None]).sum() / (frames * error.shape[-1])


def _where(mask: Tensor, values: Tensor) -> Tensor:
    """`values` (B, T, D) in float32, and zero at frames that do not count, where they may be NaN."""
    return torch.where(mask[..., None].bool(), values.float(), 0.0)


FurtherLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
FURTHER_LOSSES: dict[str, FurtherLoss] = {"velocity": velocity_loss, "path": path_loss}
"""By name: (reconstruction (B, T, D), target (B, T, D), frames that count (B, T)) to a scalar."""
