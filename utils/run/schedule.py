"""How many iterations there are, and schedules over them: factors of the optimiser's learning rate."""

import bisect
import math
from collections.abc import Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def sharded_batches(batches: int, processes: int, drop_last: bool) -> int:
    """Batches of an epoch that each of several processes gets of a loader's; without `drop_last` all get the last."""
    return batches // processes if drop_last else math.ceil(batches / processes)


def total_iterations(batches: int, *, epochs: int, accumulation: int = 1, max_iter: int = 0) -> int:
    """Iterations (updates of the weights) of a run.

    Args:
        batches: of an epoch, in each process (see `sharded_batches`).
        epochs: to train.
        accumulation: batches an iteration; the last of an epoch has what is left.
        max_iter: stop after so many; 0: no limit.
    """
    total = math.ceil(batches / accumulation) * epochs
    return min(total, max_iter) if max_iter else total


def warmup_multistep(
    optimizer: Optimizer, warm_up_iter: int = 0, milestones: Sequence[int] = (), gamma: float = 0.1
) -> LambdaLR:
    """Linear warm-up, then times `gamma` at each milestone.

    Args:
        optimizer: its learning rates are the ones after warm-up.
        warm_up_iter: iteration i < warm_up_iter runs at (i + 1) / (warm_up_iter + 1) of the learning rate.
        milestones: iterations, counted from the start of training.
        gamma: factor at each milestone.
    """
    steps = sorted(milestones)

    def factor(iteration: int) -> float:
        return min(1.0, (iteration + 1) / (warm_up_iter + 1)) * gamma ** bisect.bisect_right(steps, iteration)

    return LambdaLR(optimizer, factor)


def warmup_cosine(
    optimizer: Optimizer,
    total_iter: int,
    warm_up_iter: int = 0,
    start_factor: float = 0.0,
    end_factor: float = 0.0,
) -> LambdaLR:
    """Linear warm-up from `start_factor`, then a cosine down to `end_factor` at `total_iter`, where it stays.

    Args:
        optimizer: its learning rates are the ones after warm-up.
        total_iter: iterations of the whole training, warm-up included.
        warm_up_iter: iterations of warm-up.
        start_factor: factor at iteration 0 (start learning rate / learning rate).
        end_factor: factor at the end (least learning rate / learning rate).
    """

    def factor(iteration: int) -> float:
        if iteration < warm_up_iter:
            return start_factor + (1 - start_factor) * iteration / warm_up_iter
        done = min(1.0, (iteration - warm_up_iter) / max(1, total_iter - warm_up_iter))
        return end_factor + (1 - end_factor) * 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def set_base_rates(scheduler: LRScheduler, rates: Sequence[float]) -> None:
    """Let a schedule read from a file go on with other learning rates, one for each group of parameters.

    Only for schedules that are factors (LambdaLR); others keep the rates they were saved with.
    """
    if isinstance(scheduler, LambdaLR):
        scheduler.base_lrs = list(rates)
        factors = [factor(scheduler.last_epoch) for factor in scheduler.lr_lambdas]
        for group, rate, factor in zip(scheduler.optimizer.param_groups, rates, factors, strict=True):
            group["initial_lr"], group["lr"] = rate, rate * factor
        scheduler._last_lr = [group["lr"] for group in scheduler.optimizer.param_groups]
