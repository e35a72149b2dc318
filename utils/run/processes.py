"""Processes that train together: what each does alike, and what they exchange. One process alone exchanges nothing.

Losses that are means over a varying number of things (tokens, frames) divide by the mean number over the processes.
The average of the processes, which data-parallel training takes, then is the mean over the batches of all.
"""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def own_rows(rows: int) -> slice:
    """Place of this process's rows in what `gather` makes of `rows` rows of each process."""
    start = dist.get_rank() * rows if world_size() > 1 else 0
    return slice(start, start + rows)


class _Gather(torch.autograd.Function):
    """Concatenate over processes along dimension 0; the gradient of each part returns to its process, summed."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.rows = tensor.shape[0]
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[own_rows(ctx.rows)]


def gather(tensor: Tensor) -> Tensor:
    """(B, ...) of every process -> (world x B, ...), differentiable; all processes have the same shape."""
    return tensor if world_size() == 1 else _Gather.apply(tensor)


def mean_over_processes(count: Tensor) -> Tensor:
    """Mean of a count, a scalar, over the processes; without gradients, where each computes for itself, the own one."""
    if world_size() == 1 or not torch.is_grad_enabled():
        return count
    total = count.detach().to(torch.float32, copy=True)
    dist.all_reduce(total)
    return total / world_size()


def largest_over_processes(sizes: list[int], device: torch.device) -> list[int]:
    """The largest of each size over the processes; waits for the device."""
    if world_size() == 1:
        return sizes
    largest = torch.tensor(sizes, device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return largest.tolist()
