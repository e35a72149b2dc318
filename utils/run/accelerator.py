"""Accelerate's part of a run: device, processes and number format."""

from typing import TYPE_CHECKING

import torch

from lamp.utils.errors import UserError
from lamp.utils.run.device import accelerator_device
from lamp.utils.run.runs import RunOptions

if TYPE_CHECKING:  # of the extra `train`: a script says in one line that it is missing
    from accelerate import Accelerator


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
    return Accelerator(
        cpu=cpu,
        mixed_precision=options.mixed_precision,
        step_scheduler_with_optimizer=False,
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, data_seed=options.seed, non_blocking=runs_ahead
        ),
    )
