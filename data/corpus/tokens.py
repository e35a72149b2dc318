"""Training samples of motion tokens, which a tokenizer made once and for all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lamp.data.corpus.shards import ShardedMotions
from lamp.data.motion import MotionTextDataset, TextMotionBatch
from lamp.data.samples import CaptionChoice
from lamp.data.sampling import uniform
from lamp.data.spec import DatasetSpec


@dataclass
class TextTokenBatch(TextMotionBatch):
    """Motions as tokens, with a caption each: `motion` holds codes (B, L, Q), -1 beyond the end; lengths are frames."""


class TokenTextDataset(MotionTextDataset):
    """`MotionTextDataset` of tokens: a crop begins at a token, and its tokens are those of the whole clip.

    The tokens of a crop from the middle of a clip know what was before it, where those of a motion that is cut first
    and encoded then do not.
    """

    batch_type = TextTokenBatch

    def __init__(
        self,
        cache: ShardedMotions,
        names: Sequence[str],
        *,
        spec: DatasetSpec,
        captions: CaptionChoice = "random",
        augment: bool = True,
        weights: dict[str, float] | None = None,
        labels: dict[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        """See `MotionTextDataset`; `cache` has tokens."""
        super().__init__(
            cache,
            names,
            spec=spec,
            mean=torch.zeros(spec.feature_dim),
            std=torch.ones(spec.feature_dim),
            captions=captions,
            augment=augment,
            weights=weights,
            labels=labels,
            seed=seed,
        )
        assert cache.tokens is not None, "only asked for where there are tokens"
        self._tokens, unit = cache.tokens, spec.unit_length
        begin = self._starts - cache.offsets[self._clips]
        first = -(-begin // unit)
        self._lengths = ((begin + self._lengths) // unit - first) * unit
        self._starts = cache.token_offsets[self._clips] + first

    def _cut(self, ids: np.ndarray, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Codes (B, L, Q) and lengths (B,) in frames."""
        unit = self._spec.unit_length
        sizes, starts = np.minimum(self._lengths[ids], self._spec.max_frames) // unit, self._starts[ids]
        if self._augment:
            sizes = np.maximum(sizes - (uniform(self._seed, indices, stream=2) < 1 / 3), 1)
            free = self._lengths[ids] // unit - sizes + 1
            starts = starts + (uniform(self._seed, indices, stream=3) * free).astype(np.int64)
        steps = np.arange(sizes.max())
        codes = torch.from_numpy(self._tokens[starts[:, None] + np.minimum(steps, sizes[:, None] - 1)])
        codes[torch.from_numpy(steps >= sizes[:, None])] = -1
        return codes, torch.from_numpy(sizes * unit)
