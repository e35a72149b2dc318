"""How training data are loaded, as the options say."""

from typing import TypedDict

import torch

from lamp.data.frames import motions_device
from lamp.data.spec import DatasetSpec
from lamp.options.common import TrainOptions


class Loading(TypedDict):
    """Keyword arguments of `text_loader` and `tokenizer_loader`, which explain them."""

    batch_size: int
    seed: int
    workers: int
    device: torch.device | None


def loading(options: TrainOptions, spec: DatasetSpec, device: torch.device) -> Loading:
    """What every loader of training data takes from the options.

    Args:
        options: of the run.
        spec: data set.
        device: where the model is trained; it holds the motions if `--data_on_gpu` lets it.
    """
    held_on = motions_device(spec, device, choice=options.data_on_gpu, workers=options.num_workers)
    return Loading(batch_size=options.batch_size, seed=options.seed, workers=options.num_workers, device=held_on)
