"""Accelerate's part of a run: device, processes and number format."""

import sys
from typing import TYPE_CHECKING

import torch

from lamp.utils.errors import UserError
from lamp.utils.run.device import accelerator_device, bfloat16_slowdown
from lamp.utils.run.runs import RunOptions

if TYPE_CHECKING:  # of the extra `train`: a script says in one line that it is missing
    from accelerate import Accelerator

SLOWER = 1.3
"""How much longer products in bfloat16 may take on the CPU without a note that float32 is faster."""


def make_accelerator(options: RunOptions) -> "Accelerator":
    """Device, processes and number format of a run.

    Raises:
        UserError: fp16 on the CPU.
    """
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    cpu = accelerator_device(options.gpu_id)
    if cpu and options.mixed_precision == "fp16":
        raise UserError("--mixed_precision fp16 needs a GPU; on the CPU use bf16 or no")
    # Copies to other devices than CUDA's must be waited for.
    runs_ahead = not cpu and torch.cuda.is_available()
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=options.mixed_precision,
        step_scheduler_with_optimizer=False,
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, data_seed=options.seed, non_blocking=runs_ahead
        ),
    )
    if cpu and options.mixed_precision == "bf16" and accelerator.is_main_process:
        tell_slow_bfloat16(bfloat16_slowdown())
    return accelerator


def tell_slow_bfloat16(slowdown: float) -> None:
    """Say where products in bfloat16 take `slowdown` times as long as in float32, if that is noticeable."""
    if slowdown > SLOWER:
        print(
            f"note: this processor takes {slowdown:.1f} times longer for products in bfloat16 than in float32; "
            "leave out --mixed_precision bf16",
            file=sys.stderr,
        )
