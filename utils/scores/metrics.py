"""Metrics on joints and embeddings: pure functions on tensors, statistics in float64.

Random draws come from a `numpy.random.RandomState`, whose stream NumPy keeps the same for ever, so that a number can be
had again from its seed, and equals the field's public code for the same seed.
"""

import numpy as np
import torch
from torch import Tensor

POOLS_AT_A_TIME = 4


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


def fid(predicted: Tensor, target: Tensor) -> float:
    """Frechet distance between the Gaussians of two sets of embeddings (Heusel et al. 2017, equation 6).

    The trace of the matrix root comes from a symmetric product, whose eigenvalues are real: it is finite for singular
    covariances too, where a general matrix root gives complex numbers.

    Args:
        predicted, target: (N, E) and (M, E), two rows at least each.
    """
    predicted, target = _float64(predicted), _float64(target)
    difference = predicted.mean(0) - target.mean(0)
    covariances = _covariance(predicted), _covariance(target)
    root, singular = torch.linalg.cholesky_ex(covariances[0])
    if singular:
        values, vectors = torch.linalg.eigh(covariances[0])
        root = vectors * values.clamp_min(0).sqrt()
    squares = torch.linalg.eigvalsh(root.T @ covariances[1] @ root)
    # What rounding leaves of a zero eigenvalue would count by its square root.
    noise = squares.amax().clamp_min(0) * len(squares) * torch.finfo(squares.dtype).eps
    overlap = torch.where(squares > noise, squares, 0).sqrt().sum()
    spread = covariances[0].trace() + covariances[1].trace() - 2 * overlap
    return (difference.square().sum() + spread).clamp_min(0).item()


def _covariance(items: Tensor) -> Tensor:
    """Covariance (E, E) of rows (N, E)."""
    centred = (items - items.mean(0)).T.contiguous()
    # The matrix is symmetric: one of its quarters is another's mirror image.
    half = len(centred) // 2
    upper, lower = centred[:half], centred[half:]
    side = upper @ lower.T
    rows = torch.cat((upper @ upper.T, side), dim=1), torch.cat((side.T, lower @ lower.T), dim=1)
    return torch.cat(rows) / (len(items) - 1)


def embedding_distances(texts: Tensor, motions: Tensor) -> Tensor:
    """Euclidean distances (..., N, M) in float64 between rows of texts (..., N, E) and motions (..., M, E)."""
    return _squared_distances(texts, motions).sqrt_()


def _squared_distances(texts: Tensor, motions: Tensor) -> Tensor:
    texts, motions = _float64(texts), _float64(motions)
    # Expanded, which is faster than torch.cdist and in float64 exact enough.
    squares = torch.matmul(texts, motions.transpose(-1, -2)).mul_(-2)
    squares.add_(texts.square().sum(-1)[..., :, None]).add_(motions.square().sum(-1)[..., None, :])
    return squares.clamp_min_(0)


def r_precision(texts: Tensor, motions: Tensor, top_k: int = 3) -> list[float]:
    """Share of texts whose own motion is among the 1, 2, ... `top_k` nearest of their pool (Guo et al. 2022, 5.1).

    Args:
        texts, motions: (N, E), or (P, N, E) for P pools, matching row by row.

    Returns:
        For each k the share, 0 to 1, over all pools.
    """
    # A few pools at a time: fresh memory for all of them in float64 would take longer than the products.
    size = POOLS_AT_A_TIME if texts.dim() == 3 else len(texts)
    parts = zip(texts.split(size), motions.split(size))
    ranks = torch.cat([retrieval_ranks(_squared_distances(*part).neg_()) for part in parts])
    return [(ranks < k).double().mean().item() for k in range(1, top_k + 1)]


def matching_score(texts: Tensor, motions: Tensor) -> float:
    """Mean Euclidean distance (MM-Dist) of matching rows (N, E)."""
    return (_float64(texts) - _float64(motions)).norm(dim=-1).mean().item()


def diversity(embeddings: Tensor, pairs: int, random: np.random.RandomState) -> float:
    """Mean distance of random pairs of motions (Guo et al. 2020, section 6.2).

    Args:
        embeddings: (N, E).
        pairs: how many; at most N.
        random: draws the first and then the second of each pair, each without replacement.
    """
    first = random.choice(len(embeddings), pairs, replace=False)
    second = random.choice(len(embeddings), pairs, replace=False)
    return _mean_distance(embeddings, first, second)


def multimodality(embeddings: Tensor, pairs: int, random: np.random.RandomState) -> float:
    """Mean distance of random pairs of motions of one text (Guo et al. 2020, section 6.2).

    Args:
        embeddings: (G, P, E), P motions for each of G texts.
        pairs: how many a text, the same for all; at most P.
        random: draws them as in `diversity`.
    """
    first = random.choice(embeddings.shape[1], pairs, replace=False)
    second = random.choice(embeddings.shape[1], pairs, replace=False)
    return _mean_distance(embeddings.transpose(0, 1), first, second)


def _mean_distance(items: Tensor, first: np.ndarray, second: np.ndarray) -> float:
    items = _float64(items)
    index = [torch.from_numpy(np.asarray(picks)).to(items.device) for picks in (first, second)]
    return (items[index[0]] - items[index[1]]).norm(dim=-1).mean().item()


def _float64(values: Tensor) -> Tensor:
    """In float64, on the CPU where the device (MPS) has none."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def retrieval_ranks(similarity: Tensor) -> Tensor:
    """Rank (..., N) of the matching column (the diagonal) in each row of a similarity (..., N, N): 0 is best.

    Ties count against the match, so a constant similarity does not look like a perfect one.
    """
    match = similarity.diagonal(dim1=-2, dim2=-1)[..., None]
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
