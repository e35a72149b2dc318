"""Reference tensors of the public systems, and the recipe of the weights that are not stored with them."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.marks import GOLDEN, SHARED


def golden_file(name: str) -> Path:
    """Path of the fixture `name`; a test that uses one outside `tests/golden` is marked by `needs_golden`."""
    own = GOLDEN / f"{name}.pt"
    return own if own.is_file() else SHARED / "golden" / "public" / own.name


def load_golden(name: str) -> dict[str, Any]:
    """The fixture `name`: `config`, `inputs`, `outputs` and, where stored, `state_dict`."""
    return torch.load(golden_file(name), weights_only=True)


def procedural_weights(shapes: Mapping[str, Sequence[int]], codebook_scale: float = 1.0) -> dict[str, Tensor]:
    """Weights made from their names, by which fixtures of full-size models do without stored weights.

    Args:
        shapes: public name and shape of each floating-point tensor, in the order of the public state dict (leave
            integer tensors out; of tied tensors the last name written wins, which is the caller's to apply).
        codebook_scale: factor of tensors called `codebook`.
    """
    weights = {}
    for key, shape in shapes.items():
        last = key.rpartition(".")[2]
        if last in ("pe", "position_ids", "mask") or key.endswith("pos_embed.embed"):
            continue
        random = np.random.RandomState(zlib.crc32(key.encode()))
        z = torch.from_numpy(random.standard_normal(int(np.prod(shape))).astype(np.float32)).reshape(tuple(shape))
        if last == "codebook":
            weights[key] = z * codebook_scale
        elif len(shape) == 1:
            weights[key] = float(last == "weight") + 0.02 * z
        else:
            weights[key] = z / float(np.prod(shape[1:])) ** 0.5
    return weights
