"""The field's evaluation protocol (Guo et al. 2022, section 5.1): repetitions, scores of each, mean and confidence.

It knows nothing of networks and files: a judge embeds motions and captions, draws say what competes with what, and a
function makes the motions that are judged, be it a tokenizer's reconstruction or a generator's answer to a caption.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lamp.utils.kinematics.features import FeatureLayout, features_to_joints
from lamp.utils.kinematics.skeleton import SKELETONS
from lamp.utils.scores import physics
from lamp.utils.scores.cautions import fid_cautions, pool_cautions, warn_once
from lamp.utils.scores.metrics import diversity, fid, matching_score, mpjpe, multimodality, r_precision

DIVERSITY_PAIRS = 300
MULTIMODALITY_PAIRS = 10
# 95 % of a normal distribution lie within this many standard deviations of the mean.
NORMAL_95 = 1.96
# A repetition of labelled data holds too few motions for an FID.
QUICK_REPEATS = 5


class Evaluator(Protocol):
    """What embeds motions and captions, on a device."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def embed_motions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, E) of motions (B, T, D), features as in the data."""
        ...

    def embed_texts(self, tokens: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings (B, E) of captions, given as `word/POS` lemmas."""
        ...


class Draw(Protocol):
    """The samples of one repetition (see `lamp.data.draws.Draw`)."""

    @property
    def pools(self) -> Tensor:
        """Rows (P, n) of the samples that compete with each other."""
        ...

    def __len__(self) -> int: ...

    def batches(self, size: int, *, again: bool = False) -> Iterator[tuple[Tensor, Any]]:
        """Rows and batches with `motion`, `lengths`, `tokens` and `captions`."""
        ...


class Draws(Protocol):
    """What is drawn of a split (see `lamp.data.draws.TestDraws`)."""

    split: str
    labelled: bool

    def draw(self, repeat: int) -> Draw:
        """Samples of a repetition."""
        ...


# (batch, seeds of its samples) to features (B, T, D) as in the data, of the batch's lengths or of the (B,) given.
Produce = Callable[[Any, list[int]], Tensor | tuple[Tensor, Tensor]]


class Judge:
    """An evaluator that embeds each caption only once, however often it is drawn."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._texts: dict[tuple[str, ...], Tensor] = {}

    def motions(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings (B, E), on the evaluator's device, of motions (B, T, D)."""
        device = self.evaluator.device
        return self.evaluator.embed_motions(features.to(device), lengths.to(device))

    def texts(self, tokens: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings (B, E), on the evaluator's device, of captions."""
        keys = [tuple(caption) for caption in tokens]
        if new := [key for key in dict.fromkeys(keys) if key not in self._texts]:
            self._texts.update(zip(new, self.evaluator.embed_texts(new)))
        return torch.stack([self._texts[key] for key in keys])


@dataclass
class Repetition:
    """What one repetition gave.

    Attributes:
        texts, real, again, produced: embeddings (N, E) of captions, their motions, the same motions cropped anew, and
            the motions that are judged.
        pools: (P, n) rows that compete.
        measures: further numbers of "real" and "produced" motions, averaged.
    """

    texts: Tensor
    real: Tensor
    again: Tensor
    produced: Tensor
    pools: Tensor
    measures: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Statistic:
    """Mean of a number over repetitions, and half the width of its 95 % confidence interval."""

    mean: float
    interval: float

    def __str__(self) -> str:
        return f"{self.mean:.3f}±{self.interval:.3f}"


@dataclass
class Scores:
    """Statistics by name of the "real" and of the "produced" motions.

    Attributes:
        motions: in a repetition.
        repeats: how many repetitions.
        pool: candidates of R-precision.
        fid_motions: motions that an FID is of.
        dimensions: of their embeddings.
        rows: the statistics.
    """

    motions: int
    repeats: int
    pool: int
    fid_motions: int
    dimensions: int
    rows: dict[str, dict[str, Statistic]] = field(default_factory=dict)

    @property
    def cautions(self) -> list[str]:
        """Lines on what keeps these scores from being compared with the field's."""
        return pool_cautions(self.pool) + fid_cautions(self.fid_motions, self.dimensions)

    def json(self) -> dict[str, Any]:
        """As plain numbers."""
        return asdict(self)


def judge_repetition(
    draw: Draw,
    judge: Judge,
    produce: Produce,
    *,
    seed: int,
    batch_size: int = 64,
    reconstruction: bool = False,
) -> Repetition:
    """Embed captions, real and produced motions of a repetition and measure the motions.

    Args:
        draw: its samples.
        judge: embeds.
        produce: makes a motion for each sample.
        seed: the seeds that `produce` gets are this and the following ones, one a sample, whatever the batches.
        batch_size: samples at a time.
        reconstruction: whether what is produced should equal the real motion, so that their distance is measured.
    """
    parts: dict[str, list[Tensor]] = {"texts": [], "real": [], "produced": [], "rows": []}
    sums: dict[str, dict[str, float]] = {"real": {}, "produced": {}}
    for rows, batch in draw.batches(batch_size):
        motion, lengths = with_lengths(produce(batch, (seed + rows).tolist()), batch.lengths)
        parts["rows"].append(rows)
        parts["texts"].append(judge.texts(batch.tokens))
        parts["real"].append(judge.motions(batch.motion, batch.lengths))
        parts["produced"].append(judge.motions(motion, lengths))
        _add(sums["real"], measure_batch(batch.motion, batch.lengths))
        _add(sums["produced"], measure_batch(motion, lengths, batch.motion if reconstruction else None))
    back = torch.cat(parts.pop("rows")).argsort()
    embedded = {key: torch.cat(values)[back] for key, values in parts.items()}
    again = [(rows, judge.motions(batch.motion, batch.lengths)) for rows, batch in draw.batches(batch_size, again=True)]
    back = torch.cat([rows for rows, _ in again]).argsort()
    return Repetition(
        **embedded,
        again=torch.cat([values for _, values in again])[back],
        pools=draw.pools,
        measures={kind: {key: value / len(draw) for key, value in values.items()} for kind, values in sums.items()},
    )


def with_lengths(produced: Tensor | tuple[Tensor, Tensor], lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Motions (B, T, D) that were made, and their lengths (B,), which are `lengths` unless they came with their own."""
    return (produced, lengths) if isinstance(produced, Tensor) else produced


def judge_all(
    draws: Draws,
    judge: Judge,
    produce: Produce,
    *,
    repeats: int,
    seed: int,
    batch_size: int = 64,
    reconstruction: bool = False,
) -> Scores:
    """Scores of all repetitions on a split; arguments as of `judge_repetition`, whose seed is the same for each."""
    repetitions = [
        judge_repetition(
            draws.draw(repeat), judge, produce, seed=seed, batch_size=batch_size, reconstruction=reconstruction
        )
        for repeat in tqdm(range(repeats), desc=f"{draws.split}: repetitions", disable=None)
    ]
    return summarize(repetitions, seed=seed, pooled=draws.labelled)


def measure_batch(features: Tensor, lengths: Tensor, target: Tensor | None = None) -> dict[str, float]:
    """Sums over the motions of a batch of how plausible they are, and how near the target if there is one.

    Args:
        features, target: (B, T, D) as in the data; T may be longer than the lengths.
        lengths: (B,) frames.
    """
    skeleton = SKELETONS[FeatureLayout.of_dim(features.shape[-1]).num_joints]
    metres = skeleton.millimetres / 1000
    joints = metres * features_to_joints(features)
    wanted = None if target is None else metres * features_to_joints(target.to(features.device))
    parts: dict[str, list[Tensor]] = {}
    lengths = lengths.to(features.device)
    for length in lengths.unique().tolist():
        rows = lengths == length
        motions = joints[rows, :length]
        values = {name: measure(motions, skeleton) for name, measure in physics.MEASURES.items()}
        if wanted is not None:
            values["MPJPE mm"] = 1000 * mpjpe(motions, wanted[rows, :length]).mean(-1)
        for name, value in values.items():
            parts.setdefault(name, []).append(value.sum())
    # One transfer from the device for each measure, not for each length.
    return {name: sum(torch.stack(part).tolist()) for name, part in parts.items()}


def _add(sums: dict[str, float], values: dict[str, float]) -> None:
    for key, value in values.items():
        sums[key] = sums.get(key, 0.0) + value


def match_scores(texts: Tensor, motions: Tensor, pools: Tensor) -> dict[str, float]:
    """R-precision (0 to 1) within pools (P, n) of rows, and matching score, of embeddings (N, E)."""
    precision = r_precision(texts[pools], motions[pools])
    return {f"R@{k}": value for k, value in enumerate(precision, start=1)} | {"MM-Dist": matching_score(texts, motions)}


def summarize(repetitions: Sequence[Repetition], *, seed: int, pooled: bool) -> Scores:
    """Mean and confidence of every score over the repetitions.

    The real motions' FID is that of the same clips cropped anew, as in the field's tables. The Gaussians that FID
    compares need many motions. Where a repetition holds the whole split, each gives an FID; where it holds a motion a
    label (`pooled`), FID and diversity are those of all repetitions together, the confidence of FID by the jackknife
    over repetitions (Efron and Stein 1981).

    Args:
        repetitions: two at least for a confidence interval above 0.
        seed: of the random pairs.
        pooled: see above.
    """
    count, dimensions = repetitions[0].produced.shape
    scores = Scores(
        motions=count,
        repeats=len(repetitions),
        pool=repetitions[0].pools.shape[1],
        fid_motions=count * len(repetitions) if pooled else count,
        dimensions=dimensions,
    )
    for kind in ("real", "produced"):
        motions = [getattr(r, "again" if kind == "real" else "produced") for r in repetitions]
        matched = [getattr(r, kind) for r in repetitions]
        reference = [r.real for r in repetitions]
        rows = [match_scores(r.texts, m, r.pools) | r.measures[kind] for r, m in zip(repetitions, matched)]
        if pooled:
            sets = _pooled_scores(motions, reference, seed)
        else:
            sets = {
                "FID": statistic([fid(m, r) for m, r in zip(motions, reference)]),
                "Diversity": statistic([_diversity(m, seed + i) for i, m in enumerate(motions)]),
            }
        scores.rows[kind] = {key: statistic([row[key] for row in rows]) for key in rows[0]} | sets
    return scores


def statistic(values: Sequence[float]) -> Statistic:
    """Mean and 95 % confidence over repetitions, 1.96 standard deviations over the root of their number."""
    array = np.asarray(values, dtype=np.float64)
    return Statistic(float(array.mean()), float(NORMAL_95 * array.std() / len(array) ** 0.5))


def _pooled_scores(motions: Sequence[Tensor], reference: Sequence[Tensor], seed: int) -> dict[str, Statistic]:
    """FID and diversity of all parts together.

    FID's confidence comes from leaving out each part in turn, diversity's from drawing as often as there are parts.
    """
    count, everything = len(motions), torch.cat(list(motions))
    whole = fid(everything, torch.cat(list(reference)))
    interval = 0.0
    if count > 1:
        left_out = [
            fid(*(torch.cat([*parts[:i], *parts[i + 1 :]]) for parts in (motions, reference))) for i in range(count)
        ]
        interval = float(NORMAL_95 * np.std(left_out) * (count - 1) ** 0.5)
    draws = [_diversity(everything, seed + i) for i in range(count)]
    return {"FID": Statistic(whole, interval), "Diversity": statistic(draws)}


def _diversity(motions: Tensor, seed: int) -> float:
    """Diversity of the field's number of pairs, or of as many as there are motions."""
    return diversity(motions, min(DIVERSITY_PAIRS, len(motions)), np.random.RandomState(seed % 2**32))


def quick_scores(draws: Draws, judge: Judge, produce: Produce, *, seed: int) -> dict[str, float]:
    """FID ("fid") and R-precision of few repetitions, for validation while a model trains.

    Args:
        draws: the validation split.
        judge: embeds.
        produce: makes the motions.
        seed: of everything random, so that every validation draws the same.
    """
    repeats = QUICK_REPEATS if draws.labelled else 1
    repetitions = [judge_repetition(draws.draw(i), judge, produce, seed=seed + i) for i in range(repeats)]
    rows = [match_scores(r.texts, r.produced, r.pools) for r in repetitions]
    produced, real = (torch.cat([getattr(r, kind) for r in repetitions]) for kind in ("produced", "real"))
    warn_once(pool_cautions(repetitions[0].pools.shape[1]) + fid_cautions(*produced.shape))
    distance = fid(produced, real)
    return {"fid": distance} | {key: statistic([row[key] for row in rows]).mean for key in ("R@1", "R@3", "MM-Dist")}


def multimodality_of(embeddings: Sequence[Tensor], seed: int) -> Statistic:
    """Multimodality of motions (G, P, E) of some texts in each repetition."""
    pairs = min(MULTIMODALITY_PAIRS, embeddings[0].shape[1])
    values = [multimodality(e, pairs, np.random.RandomState((seed + i) % 2**32)) for i, e in enumerate(embeddings)]
    return statistic(values)
