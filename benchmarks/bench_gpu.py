"""Training on a GPU: bfloat16 with pinned memory and copies that do not wait, against a plain loop.

python -m benchmarks.bench_gpu

The plain loop is float32, copies each batch synchronously and reads the loss after each step. Without a GPU nothing is
measured; `--quick` runs both loops with tiny sizes wherever it is.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.common import Bench, NotMeasured, Part, run_script
from benchmarks.training import Job, lamp_job, masked_job, optimizer_of, residual_job, vq_job
from utils.device import autocast
from utils.errors import main_with_errors

JOBS = (vq_job, masked_job, residual_job, lamp_job)


def check_device(bench: Bench) -> None:
    """Let the part be left out where there is no GPU."""
    if bench.device.type != "cuda" and not bench.settings.quick:
        raise NotMeasured("no CUDA GPU")


def plain_loop(bench: Bench, job: Job, steps: int) -> Callable[[], object]:
    """Float32, and the host waits for every copy and every step."""
    check_device(bench)
    model = job.model().to(bench.device).train()
    optimizer, batch = optimizer_of(model), job.batch()

    def run() -> float:
        total = 0.0
        for _ in range(steps):
            loss = job.loss(model, [tensor.to(bench.device) for tensor in batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    return run


def fast_loop(bench: Bench, job: Job, steps: int) -> Callable[[], object]:
    """Bfloat16 autocast, and the host runs ahead of the device."""
    check_device(bench)
    model = job.model().to(bench.device).train()
    optimizer, batch = optimizer_of(model), job.batch()
    if bench.device.type == "cuda":
        batch = [tensor.pin_memory() for tensor in batch]

    def run() -> Tensor:
        total = torch.zeros((), device=bench.device)
        for _ in range(steps):
            there = [tensor.to(bench.device, non_blocking=True) for tensor in batch]
            with autocast(bench.device, "bf16"):
                loss = job.loss(model, there)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        return total

    return run


def parts(bench: Bench) -> list[Part]:
    """Both loops for each network."""
    steps = bench.pick(20, 1)
    found = []
    for make in JOBS:
        job = make(bench)
        title, items, against = f"{steps} x {job.title}", steps * job.items, f"{job.key}_plain"
        plain, fast = partial(plain_loop, bench, job, steps), partial(fast_loop, bench, job, steps)
        found.append(Part(against, f"{title}, plain float32", items, "samples", plain))
        found.append(Part(f"{job.key}_bf16", f"{title}, bfloat16", items, "samples", fast, against=against))
    return found


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_gpu", parts, default_device="cuda")


if __name__ == "__main__":
    main()
