"""The best and the worst of the motions that an evaluation judges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lamp.data.motion import TextMotionBatch
from lamp.utils.kinematics.features import FeatureLayout, features_to_joints
from lamp.utils.kinematics.skeleton import SKELETONS
from lamp.utils.motion import Motion
from lamp.utils.scores.evaluation import Judge, Produce, with_lengths
from lamp.utils.scores.metrics import mpjpe

KEPT = 3
"""Of the best motions, and of the worst."""

# (batch, features (B, T, D) that were made, their lengths (B,)) to a number of each (B,), low where it is good.
Measure = Callable[[TextMotionBatch, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Example:
    """A motion that was judged.

    Attributes:
        value: its number.
        name: clip.
        made: the motion, its text that of the caption.
        real: that of the data.
    """

    value: float
    name: str
    made: Motion
    real: Motion


class Extremes:
    """Looks on while motions are made, and keeps the best and the worst of the first `count`.

    Attributes:
        best: the best first.
        worst: the worst first.
    """

    def __init__(self, count: int, measure: Measure) -> None:
        self._left, self._measure = count, measure
        self.best: list[Example] = []
        self.worst: list[Example] = []

    def watch(self, produce: Produce) -> Produce:
        """The same function, looked at."""

        def watched(batch: TextMotionBatch, seeds: list[int]) -> Tensor | tuple[Tensor, Tensor]:
            produced = produce(batch, seeds)
            if self._left > 0:
                self._left -= len(batch)
                self._look(batch, *with_lengths(produced, batch.lengths))
            return produced

        return watched

    def _look(self, batch: TextMotionBatch, made: Tensor, lengths: Tensor) -> None:
        values = self._measure(batch, made, lengths)
        # Ties go by name, so that batches of another size keep the same.
        order = sorted(range(len(batch)), key=lambda i: (float(values[i]), batch.names[i]))
        for row in dict.fromkeys([*order[:KEPT], *order[-KEPT:]]):
            example = Example(
                float(values[row]),
                batch.names[row],
                motion_of(made[row, : int(lengths[row])], batch.captions[row]),
                motion_of(batch.motion[row, : int(batch.lengths[row])], batch.captions[row]),
            )
            self.best.append(example)
            self.worst.append(example)
        self.best = sorted(self.best, key=lambda one: (one.value, one.name))[:KEPT]
        self.worst = sorted(self.worst, key=lambda one: (-one.value, one.name))[:KEPT]


def motion_of(features: Tensor, text: str) -> Motion:
    """The motion of features (T, D) as in the data."""
    features = features.detach().float().cpu()
    fps = SKELETONS[FeatureLayout.of_dim(features.shape[-1]).num_joints].fps
    return Motion(features_to_joints(features).numpy(), features.numpy(), fps=fps, text=text)


def far_from_text(judge: Judge) -> Measure:
    """Distance of the evaluator's embeddings of caption and motion, whose mean is MM-Dist."""

    def measure(batch: TextMotionBatch, made: Tensor, lengths: Tensor) -> Tensor:
        return (judge.texts(batch.tokens).double() - judge.motions(made, lengths).double()).norm(dim=-1)

    return measure


def far_from_real(millimetres: float) -> Measure:
    """Mean position error, in mm, of motions as long as those of the data; `millimetres` in the data's unit."""

    def measure(batch: TextMotionBatch, made: Tensor, lengths: Tensor) -> Tensor:
        pairs: Sequence[tuple[Tensor, Tensor, int]] = list(zip(made, batch.motion.to(made.device), lengths.tolist()))
        errors = [mpjpe(*(features_to_joints(one[:n]) for one in (first, second))).mean() for first, second, n in pairs]
        return millimetres * torch.stack(errors)

    return measure
