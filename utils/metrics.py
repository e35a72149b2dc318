"""Metrics on joints and embeddings: pure functions on tensors."""

import torch
from torch import Tensor


def mpjpe(predicted: Tensor, target: Tensor) -> Tensor:
    """Root-aligned mean per-joint position error of each frame.

    Args:
        predicted, target: joints (..., J, 3) in the same unit; joint 0 is the root.

    Returns:
        (...) in that unit.
    """
    return ((predicted - predicted[..., :1, :]) - (target - target[..., :1, :])).norm(dim=-1).mean(-1)


def path_drift(predicted: Tensor, target: Tensor) -> Tensor:
    """Distance (...) between the root paths (..., T, J, 3) at the last frame, on the floor (x and z)."""
    return (predicted[..., -1, 0, ::2] - target[..., -1, 0, ::2]).norm(dim=-1)


def retrieval_ranks(similarity: Tensor) -> Tensor:
    """Rank (N,) of the matching column (the diagonal) in each row of a similarity (N, N): 0 is best.

    Ties count against the match, so a constant similarity does not look like a perfect one.
    """
    match = similarity.diagonal()[:, None]
    return (similarity >= match).sum(-1) - 1


def recall_at(ranks: Tensor, ks: tuple[int, ...] = (1, 2, 3, 5, 10)) -> dict[str, float]:
    """Share of ranks below each k, in percent, and the median rank (1 is best)."""
    scores = {f"R@{k}": 100.0 * (ranks < k).double().mean().item() for k in ks}
    return {**scores, "MedR": ranks.double().median().item() + 1.0}


def code_usage(codes: Tensor, nb_code: int) -> tuple[Tensor, Tensor]:
    """Share of codes in use (Q,) and perplexity (Q,) of each level of codes (N, Q); negative codes do not count."""
    valid = codes >= 0
    counts = torch.zeros(codes.shape[1], nb_code + 1, dtype=torch.float64, device=codes.device)
    counts.scatter_add_(1, torch.where(valid, codes, nb_code).T, torch.ones_like(codes.T, dtype=torch.float64))
    counts = counts[:, :nb_code]
    p = counts / counts.sum(1, keepdim=True).clamp_min(1)
    return (counts > 0).double().mean(1), torch.exp(-(p * torch.log(p + 1e-7)).sum(1))


def format_recall(scores: dict[str, float]) -> str:
    """One line of `recall_at`'s numbers."""
    return "  ".join(f"{key} {value:.1f}" for key, value in scores.items())
