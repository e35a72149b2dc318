"""Motions to verdicts, verdicts to rates with their confidence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores.following.body import Body, standard
from lamp.utils.scores.following.sentences import Sentence
from lamp.utils.scores.following.tests import passes
from lamp.utils.scores.physics import MEASURES

NORMAL_95 = 1.96
PHYSICS = ("foot skating", "floating mm", "jitter m/s^3")
"""What is measured beside: of motions at standard size with the floor at 0, so that penetration says nothing."""


@dataclass(frozen=True)
class Verdict:
    """What is found of one motion.

    Attributes:
        good: whether it does what the sentence says.
        joints: (T, 22, 3) as it was judged: standard size, floor at 0, 20 frames a second.
        physics: values of `PHYSICS`.
    """

    good: bool
    joints: np.ndarray
    physics: dict[str, float]


def judge(sentence: Sentence, joints: np.ndarray, fps: float) -> Verdict:
    """Judge a motion (T, 22, 3), Y up, in any unit.

    Raises:
        UserError: it is too short, or no body of 22 joints.
    """
    body = standard(joints, fps)
    tensor = torch.from_numpy(body)[None]
    physics = {name: float(MEASURES[name](tensor, HUMANML3D)) for name in PHYSICS}
    return Verdict(passes(sentence.test, Body.of(joints, fps)), body.astype(np.float32), physics)


def wilson(rate: float, count: int) -> tuple[float, float]:
    """95 % confidence interval of a rate of `count` independent trials (Wilson 1927)."""
    square = NORMAL_95**2 / count
    middle = (rate + square / 2) / (1 + square)
    half = NORMAL_95 * np.sqrt(rate * (1 - rate) / count + square / (4 * count)) / (1 + square)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


@dataclass(frozen=True)
class Rate:
    """Share of motions that follow their sentence.

    Attributes:
        value: 0 to 1.
        low, high: 95 % confidence. Motions of one sentence are alike, so sentences count as trials, not motions.
        sentences, motions: how many.
    """

    value: float
    low: float
    high: float
    sentences: int
    motions: int

    @classmethod
    def of(cls, verdicts: Sequence[Sequence[Verdict]]) -> "Rate":
        """Of the motions of several sentences, each sentence with the same weight."""
        value = float(np.mean([np.mean([verdict.good for verdict in row]) for row in verdicts]))
        return cls(value, *wilson(value, len(verdicts)), len(verdicts), sum(map(len, verdicts)))

    def json(self) -> dict[str, float]:
        """In percent."""
        share = {"percent": self.value, "low": self.low, "high": self.high}
        return {name: round(100 * value, 2) for name, value in share.items()} | {
            "sentences": self.sentences,
            "motions": self.motions,
        }

    def __str__(self) -> str:
        return f"{100 * self.value:5.1f} ({100 * self.low:.0f}-{100 * self.high:.0f})"


def rates(sentences: Sequence[Sentence], verdicts: Sequence[Sequence[Verdict]]) -> dict[str, Rate]:
    """Rate of each group in the order of the sentences, and of all."""
    groups = dict.fromkeys(sentence.group for sentence in sentences)
    found = {
        group: Rate.of([row for sentence, row in zip(sentences, verdicts) if sentence.group == group])
        for group in groups
    }
    return found | {"all": Rate.of(verdicts)}


def physics_means(verdicts: Iterable[Sequence[Verdict]]) -> dict[str, float]:
    """Mean of each measure over all motions."""
    rows = [verdict.physics for row in verdicts for verdict in row]
    return {name: float(np.mean([row[name] for row in rows])) for name in PHYSICS}


def table(found: dict[str, Rate], physics: dict[str, float]) -> list[str]:
    """Lines for people: a Markdown table of the groups, and the measures beside."""
    lines = ["| group | sentences | motions | follow, % (95 %) |", "| --- | --- | --- | --- |"]
    lines += [f"| {group} | {rate.sentences} | {rate.motions} | {str(rate).strip()} |" for group, rate in found.items()]
    return [*lines, "", ", ".join(f"{name} {value:.3g}" for name, value in physics.items())]


def details(sentences: Sequence[Sentence], verdicts: Sequence[Sequence[Verdict]]) -> list[dict[str, Any]]:
    """What was found of each sentence, for JSON."""
    return [
        {
            "id": sentence.id,
            "group": sentence.group,
            "text": sentence.text,
            "test": sentence.test,
            "passed": [verdict.good for verdict in row],
            "frames": [len(verdict.joints) for verdict in row],
        }
        for sentence, row in zip(sentences, verdicts)
    ]
