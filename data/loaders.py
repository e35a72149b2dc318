"""Splits, statistics and loaders of a data folder."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lamp.data.cache import open_cache, shorten
from lamp.data.corpus.shards import Absent, ShardedMotions, shard_split
from lamp.data.corpus.tokens import TokenTextDataset
from lamp.data.motion import MotionBatch, MotionTextDataset, TextMotionBatch, WindowDataset
from lamp.data.samples import CaptionChoice
from lamp.data.sampling import EpochSampler
from lamp.data.spec import DatasetSpec, is_sharded
from lamp.data.text import parse_captions
from lamp.utils.errors import UserError, brief
from lamp.utils.files import read_json, shown
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.reading import numbers, read_names, read_npy
from lamp.utils.run.launch import launched_processes

# Feature groups that the tokenizer's training weighs more.
_BIASED_GROUPS = ("yaw_velocity", "root_velocity", "root_height", "contacts")

_LARGEST = 1e30
"""Weights are below it, so that sums of them are finite."""
Value = TypeVar("Value", str, float)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stats:
    """Mean and standard deviation (D,) of the features."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, tokenizer: nn.Module) -> "Stats":
        """Statistics that a trained tokenizer keeps in its buffers `mean` and `std`."""
        return cls(tokenizer.get_buffer("mean").cpu(), tokenizer.get_buffer("std").cpu())

    @classmethod
    def plain(cls, width: int) -> "Stats":
        """Statistics that leave features of a width as they are."""
        return cls(torch.zeros(width), torch.ones(width))

    def put_into(self, model: nn.Module) -> None:
        """Copy the statistics to the buffers `mean` and `std` of a model."""
        model.get_buffer("mean").copy_(self.mean)
        model.get_buffer("std").copy_(self.std)

    def with_feature_bias(self, layout: FeatureLayout, bias: float) -> "Stats":
        """Statistics whose root and contact features weigh `bias` times more (Guo et al. 2022; 5 when published)."""
        std = self.std.clone()
        for group in _BIASED_GROUPS:
            std[layout.groups[group]] /= bias
        return replace(self, std=std)


class WindowLoader(DataLoader[MotionBatch]):
    """Batches of windows, drawn anew in each epoch."""

    dataset: WindowDataset
    sampler: EpochSampler


class TextLoader(DataLoader[TextMotionBatch]):
    """Batches of motions with a caption each."""

    dataset: MotionTextDataset
    sampler: EpochSampler


def load_stats(spec: DatasetSpec) -> Stats:
    """Mean.npy and Std.npy of a data folder.

    Raises:
        UserError: a file is missing, or does not hold one usable number for each feature.
    """
    values = {}
    for name in ("Mean", "Std"):
        path = spec.root / f"{name}.npy"
        try:
            value = numbers(read_npy(path), str(path)).astype(np.float32)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; copy the data set with its Mean.npy and Std.npy") from None
        if value.shape != (spec.feature_dim,) or not np.isfinite(value).all() or (name == "Std" and (value <= 0).any()):
            wanted = "positive" if name == "Std" else "finite"
            raise UserError(
                f"{path} of shape {value.shape} does not hold {spec.feature_dim} {wanted} numbers; "
                f"copy it again, and check that --dataset_name {spec.name} is right"
            )
        values[name] = torch.from_numpy(value)
    return Stats(mean=values["Mean"], std=values["Std"])


def has_features(spec: DatasetSpec) -> bool:
    """Whether a data folder has motions, not their tokens alone."""
    return not isinstance(open_cache(spec).frames, Absent)


def load_split(spec: DatasetSpec, split: str) -> Sequence[str]:
    """Clip ids of a split whose motion file exists, in the order of the split file.

    Raises:
        UserError: no such split file, or none of its clips exists.
    """
    if is_sharded(spec):
        return shard_split(spec, split)
    path = spec.root / f"{split}.txt"
    if not path.is_file():
        known = sorted(file.stem for file in spec.root.glob("*.txt"))
        raise UserError(f"{path} is missing; splits there: {', '.join(known) or 'none'}")
    names = list(dict.fromkeys(read_names(path)))
    present = {file.name for file in spec.motion_folder.iterdir()}
    missing = [name for name in names if f"{name}.npy" not in present]
    if len(missing) == len(names):
        raise UserError(f"none of the {len(names)} clips of {path} is in {spec.motion_folder}; copy the motions there")
    if missing:
        logger.warning("%s lists %d clips that do not exist: %s", path, len(missing), shorten(missing))
    gone = set(missing)
    return [name for name in names if name not in gone]


def load_labels(spec: DatasetSpec) -> dict[str, str]:
    """Label of each clip, from labels.json; empty where the data have none."""
    return _optional_table(spec.root / "labels.json", str) or {}


def _load_weights(spec: DatasetSpec) -> dict[str, float] | None:
    """Weight of clips, from weights.json; None where the data have none."""
    return _optional_table(spec.root / "weights.json", float)


def tokenizer_loader(
    spec: DatasetSpec,
    split: str,
    *,
    batch_size: int,
    stats: Stats | None = None,
    window: int = 64,
    shuffle: bool = True,
    drop_last: bool = True,
    epoch_size: int | None = None,
    seed: int = 0,
    workers: int = 0,
    device: torch.device | None = None,
) -> WindowLoader:
    """Loader of `MotionBatch`es of windows.

    Args:
        spec: data set.
        split: name of a split file.
        batch_size: lowered where an incomplete batch would be dropped and no process would get one.
        stats: normalisation; None takes the folder's.
        window: frames.
        shuffle: random order; clip weights of the folder count only then.
        drop_last: leave out the last incomplete batch.
        epoch_size: samples in an epoch; None takes the number of windows.
        seed: `loader.sampler.set_epoch(n)` draws epoch n of this seed.
        workers: loading processes; 0 is fastest unless the disk is slow.
        device: holds all motions and makes the batches (see `motions_device`), without further processes; None makes
            them on the host.
    """
    stats = stats or load_stats(spec)
    dataset = WindowDataset(
        open_cache(spec),
        load_split(spec, split),
        window=window,
        mean=stats.mean,
        std=stats.std,
        unit_length=spec.unit_length,
        weights=_load_weights(spec) if shuffle else None,
        epoch_size=epoch_size,
        seed=seed,
        device=device,
    )
    common = _common(len(dataset), batch_size, shuffle, drop_last, seed, workers, device)
    return WindowLoader(dataset, **common)


def text_loader(
    spec: DatasetSpec,
    split: str,
    *,
    batch_size: int,
    stats: Stats | None = None,
    captions: CaptionChoice = "random",
    augment: bool = True,
    shuffle: bool = True,
    drop_last: bool = True,
    weighted: bool = True,
    seed: int = 0,
    workers: int = 0,
    device: torch.device | None = None,
    tokens: bool = False,
) -> TextLoader:
    """Loader of `TextMotionBatch`es.

    Args:
        spec: data set.
        split: name of a split file.
        batch_size: lowered where an incomplete batch would be dropped and no process would get one.
        stats: normalisation; None takes the folder's.
        captions: "random", "first" or "all" of each motion.
        augment: random crops and lengths; False gives whole motions from their first frame.
        shuffle: random order.
        drop_last: leave out the last incomplete batch.
        weighted: draw clips by the folder's weights.json (only with shuffle and random captions).
        seed: `loader.sampler.set_epoch(n)` draws epoch n of this seed.
        workers: loading processes; 0 is fastest unless the disk is slow.
        device: holds all motions and makes the batches (see `motions_device`), without further processes; None makes
            them on the host.
        tokens: give `TextTokenBatch`es where the folder has tokens, on the host.
    """
    cache, names = open_cache(spec), load_split(spec, split)
    how: dict[str, Any] = {
        "spec": spec,
        "captions": captions,
        "augment": augment,
        "weights": _load_weights(spec) if shuffle and weighted else None,
        "labels": load_labels(spec),
        "seed": seed,
    }
    dataset: MotionTextDataset
    if tokens and isinstance(cache, ShardedMotions) and cache.tokens is not None:
        device, dataset = None, TokenTextDataset(cache, names, **how)
    else:
        stats = stats or load_stats(spec)
        dataset = MotionTextDataset(cache, names, mean=stats.mean, std=stats.std, device=device, **how)
    if dataset.dropped:
        counts = ", ".join(f"{count} {reason}" for reason, count in dataset.dropped.items())
        logger.info("%s, split %s: left out %s", spec.root, split, counts)
    common = _common(len(dataset), batch_size, shuffle, drop_last, seed, workers, device)
    return TextLoader(dataset, **common)


def evaluation_loader(
    spec: DatasetSpec, split: str, *, batch_size: int, stats: Stats | None = None, tokens: bool = False
) -> TextLoader:
    """`text_loader` of every motion of a split once, whole, in order, with its first caption."""
    return text_loader(
        spec,
        split,
        batch_size=batch_size,
        stats=stats,
        captions="first",
        augment=False,
        shuffle=False,
        drop_last=False,
        tokens=tokens,
    )


def heldout_texts(spec: DatasetSpec) -> DatasetSpec:
    """The data set with its captions in wording that training never used, as `mini` has them for its tests."""
    return replace(spec, texts="texts_heldout")


def read_first_captions(spec: DatasetSpec, names: list[str]) -> list[str]:
    """First caption of each clip, read from `spec.text_folder`.

    Raises:
        UserError: a clip has none.
    """
    captions = []
    for name in names:
        path = spec.text_folder / f"{name}.txt"
        parsed = parse_captions(path.read_text("utf-8-sig", errors="replace")).captions if path.is_file() else ()
        if not parsed:
            raise UserError(f"{path} is missing or has no caption")
        captions.append(parsed[0].text)
    return captions


def _common(
    size: int, batch_size: int, shuffle: bool, drop_last: bool, seed: int, workers: int, device: torch.device | None
) -> dict[str, Any]:
    """What the loader of a data set of `size` samples is made with, see `text_loader`."""
    most = max(size // launched_processes(), 1)
    if drop_last and batch_size > most:
        logger.warning("batch size lowered from %d to %d: there are %d samples", batch_size, most, size)
        batch_size = most
    return {
        "batch_size": batch_size,
        "sampler": EpochSampler(size, shuffle=shuffle, seed=seed),
        "drop_last": drop_last,
        "num_workers": workers,
        "collate_fn": _as_it_is,
        "pin_memory": device is None and torch.cuda.is_available(),
        "persistent_workers": workers > 0,
    }


def _as_it_is(batch: Any) -> Any:
    """Collate function: the data sets return whole batches."""
    return batch


def _optional_table(path: Path, kind: type[Value]) -> dict[str, Value] | None:
    """Values of clips in a JSON file that need not exist.

    Raises:
        UserError: it exists and is not valid JSON, or holds other values.
    """
    if not path.is_file():
        return None
    try:
        values = read_json(path)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({brief(error)}); make it again or delete it") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} does not hold an object of clips and their values; make it again or delete it")
    for name, value in values.items():
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LARGEST
        if not (numeric if kind is float else isinstance(value, kind)):
            wanted = "a number from 0 on" if kind is float else "a text"
            raise UserError(f"{path}: the value of {shown(name)} is not {wanted}; make it again or delete it")
    return values
