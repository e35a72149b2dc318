"""Training on a GPU as the training scripts do it with bfloat16, against a plain loop.

python -m benchmarks.bench_gpu

The plain loop is float32, copies each batch and waits for it, has PyTorch's default optimiser and reads the loss after
each step. The fast ones draw their batches from data that the GPU holds, in bfloat16 autocast, with the fused
optimiser, and never wait; first as they are, then compiled (`--compile default`), then replaying CUDA graphs
(`--compile reduce-overhead`). Without a GPU nothing is measured; `--quick` runs the loops that are not compiled with
tiny sizes wherever it is.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.common import Bench, NotMeasured, Part, run_script
from benchmarks.training import (
    LEARNING_RATE,
    Job,
    captioner_job,
    lamp_job,
    masked_job,
    optimizer_of,
    residual_job,
    vq_job,
)
from lamp.models.fast import speed_up
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.run.compiling import compile_in_place
from lamp.utils.run.device import autocast

JOBS = (vq_job, masked_job, residual_job, lamp_job, captioner_job)
HELD_BATCHES = 4
WARM_UP_STEPS = 5
FAST = {
    "bf16": ("no", "bfloat16"),
    "compiled": ("default", "bfloat16, compiled"),
    "graphs": ("reduce-overhead", "bfloat16, compiled, CUDA graphs"),
}


def check_device(bench: Bench, compiler: str = "no") -> None:
    """Let the part be left out where there is no GPU."""
    if bench.device.type != "cuda" and (compiler != "no" or not bench.settings.quick):
        raise NotMeasured("no CUDA GPU")


def plain_loop(bench: Bench, job: Job, steps: int) -> Callable[[], object]:
    """Float32, and the host waits for every copy and every step."""
    check_device(bench)
    model = speed_up(job.model().to(bench.device).train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    batch = job.batch()

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


def fast_loop(bench: Bench, job: Job, steps: int, compiler: str) -> Callable[[], object]:
    """Bfloat16 autocast on data that are there, and the host runs ahead of the device."""
    check_device(bench, compiler)
    return training_loop(job, bench.device, steps, compiler)


def training_loop(job: Job, device: torch.device, steps: int, compiler: str) -> Callable[[], Tensor]:
    """`steps` updates in bfloat16 and the sum of their losses; compiling is over when it is given back."""
    model = speed_up(job.model().to(device).train())
    if compiler != "no":
        try:
            compile_in_place(model, compiler)
        except UserError as error:
            raise NotMeasured(str(error)) from error
    optimizer = optimizer_of(model)
    batches = [job.batch() for _ in range(HELD_BATCHES)]
    held = [torch.cat(tensors).to(device) for tensors in zip(*batches, strict=True)]

    def run(count: int) -> Tensor:
        total = torch.zeros((), device=device)
        for _ in range(count):
            if compiler == "reduce-overhead":
                torch.compiler.cudagraph_mark_step_begin()
            rows = torch.randint(HELD_BATCHES * job.items, (job.items,), device=device)
            with autocast(device, "bf16"):
                loss = job.loss(model, [tensor[rows] for tensor in held])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        return total

    # The levels that a batch uses are drawn, and each number of them is compiled for itself.
    run(WARM_UP_STEPS if compiler == "no" else 6 * WARM_UP_STEPS)
    return partial(run, steps)


def parts(bench: Bench) -> list[Part]:
    """All loops for each network."""
    steps = bench.pick(20, 1)
    found = []
    for make in JOBS:
        job = make(bench)
        title, items, against = f"{steps} x {job.title}", steps * job.items, f"{job.key}_plain"
        plain = partial(plain_loop, bench, job, steps)
        found.append(Part(against, f"{title}, plain float32", items, "samples", plain))
        for kind, (compiler, words) in FAST.items():
            fast = partial(fast_loop, bench, job, steps, compiler)
            found.append(Part(f"{job.key}_{kind}", f"{title}, {words}", items, "samples", fast, against=against))
    return found


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_gpu", parts, default_device="cuda")


if __name__ == "__main__":
    main()
