"""How training data are loaded, as the options say."""

from typing import TypedDict

import torch

from lamp.data.frames import motions_device
from lamp.data.loaders import Stats
from lamp.data.spec import DatasetSpec
from lamp.models.hub import CONFIG_FILE, LaMPModel
from lamp.options.common import TrainOptions
from lamp.utils.litter import standing


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


def resumed_stats(options: TrainOptions, kind: type[LaMPModel]) -> Stats | None:
    """Statistics of a run that is resumed; None where a run begins.

    Its weights fit the statistics that it began with, whatever the flags or the data say by now.

    Args:
        options: of the run.
        kind: of its model, which keeps them.
    """
    latest = standing(options.space / "latest")
    if not options.is_continue or not (latest / CONFIG_FILE).is_file():
        return None
    return Stats.of(kind.from_pretrained(latest))
