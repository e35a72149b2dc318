"""Which device a process computes on: CUDA, Apple's MPS or the CPU, chosen in this one place."""

import contextlib
import functools
import os
import sys
import time

import torch


def resolve_device(gpu_id: int | None = None) -> torch.device:
    """Device for `--gpu_id`. On a CUDA GPU, float32 then is float32 in convolutions too, not PyTorch's TF32.

    Args:
        gpu_id: number of a GPU, -1 for the CPU, None for the best device. A GPU that does not exist is a warning and
            the best device that does. Ranks that a launcher (torchrun, accelerate launch) started take their own GPU.
    """
    if gpu_id is not None and gpu_id < 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        # TF32 keeps 10 bits: tokens of the CPU and of the GPU would differ. `bf16` is there for speed.
        torch.backends.cudnn.allow_tf32 = False
        count = torch.cuda.device_count()
        if launched():
            return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % count)
        if gpu_id is not None and gpu_id >= count:
            _warn_once(f"--gpu_id {gpu_id}: this machine has GPUs 0 to {count - 1}; using GPU 0")
            gpu_id = 0
        return torch.device("cuda", gpu_id or 0)
    best = torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if gpu_id is not None and not launched() and not (best.type == "mps" and gpu_id == 0):
        _warn_once(f"--gpu_id {gpu_id}: no CUDA GPU here; using {'the CPU' if best.type == 'cpu' else 'MPS'}")
    return best


def launched() -> bool:
    """Whether a launcher started this process and says where it computes."""
    return "LOCAL_RANK" in os.environ


def accelerator_device(gpu_id: int | None = None) -> bool:
    """Make accelerate use `resolve_device(gpu_id)`; the result is the `cpu` argument of `Accelerator`.

    Call it before the first `Accelerator` of the process. Under a launcher, accelerate places the ranks by itself.
    """
    device = resolve_device(gpu_id)
    if not launched():
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
    return device.type == "cpu"


def bfloat16_slowdown() -> float:
    """How many times longer the CPU takes for a product of bfloat16 numbers than for one of float32 numbers.

    Below 1 where the processor has units for bfloat16 (AVX512-BF16, AMX). Both are timed in turns, and the shortest
    counts, so that other work on the machine matters little.
    """
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    matrices = {kind: torch.ones(512, 512, dtype=kind) for kind in best}
    for _ in range(6):
        for kind, matrix in matrices.items():
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            best[kind] = min(best[kind], time.perf_counter() - start)
    return best[torch.bfloat16] / best[torch.float32]


def peak_memory(device: torch.device) -> float:
    """Most memory in use so far, GB: of the process, or on a CUDA device of its tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    import resource  # not on Windows, where nothing else needs it either

    # Linux counts kilobytes, macOS bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def autocast(device: torch.device, precision: str = "no") -> contextlib.AbstractContextManager[object]:
    """Context of mixed precision ("no", "bf16", "fp16") for code that does not train through the Trainer."""
    dtype = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@functools.cache
def _warn_once(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)
