"""Motions of a text-to-motion model by the field's protocol, their multimodality and LaMP-BertScore."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from lamp.data.draws import Draw, TestDraws
from lamp.data.motion import TextMotionBatch
from lamp.models.m2t.bertscore import describe, lamp_bert_score
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.models.text_condition import CachedCondition
from lamp.options.eval import EvalT2MOptions
from lamp.stages.motion_folder import MotionWriter, file_stem
from lamp.stages.pages.extremes import Extremes
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from lamp.utils.scores.evaluation import (
    Judge,
    Scores,
    judge_repetition,
    multimodality_of,
    summarize,
    with_lengths,
)

# Each repetition draws its seeds from a range of its own.
_SEEDS_OF_A_REPETITION = 1_000_000


class Source(Protocol):
    """Where the motions that are judged come from: a generator, or a folder of files.

    Attributes:
        kept: motions given since it was set to a list.
    """

    kept: list[Motion] | None

    def begin(self, draws: TestDraws, repeat: int) -> Draw:
        """The samples of a repetition, whose motions will be asked for next."""
        ...

    def __call__(self, batch: TextMotionBatch, seeds: list[int]) -> Tensor | tuple[Tensor, Tensor]:
        """Features (B, T, D) of a motion a sample, as long as the real ones, or with lengths (B,) of their own."""
        ...

    def count_variants(self, draw: Draw, rows: list[int]) -> int:
        """Motions that there are, or will be, of each of the texts of some rows; 0 for none."""
        ...

    def variants(self, batch: TextMotionBatch, numbers: list[int], seeds: list[int]) -> Tensor | tuple[Tensor, Tensor]:
        """As a call, for further motions of the same samples, by number."""
        ...


class Generator:
    """Motions that a pipeline makes of captions.

    Args:
        pipe: makes them.
        options: how it samples, and how many motions a text gets.
        bar: shows progress.
        writer: also writes them to files, if given.
    """

    def __init__(
        self, pipe: LaMPPipeline, options: EvalT2MOptions, bar: tqdm, writer: MotionWriter | None = None
    ) -> None:
        self._text = pipe.text = CachedCondition(pipe.text)
        self._pipe, self._options, self._bar, self._writer = pipe, options, bar, writer
        self.seconds, self.motions = 0.0, 0
        self.kept: list[Motion] | None = None

    def begin(self, draws: TestDraws, repeat: int) -> Draw:
        """The samples of a repetition."""
        if repeat == 0:
            self._text.expect(draws.dataset.texts)
        if self._writer is not None:
            self._writer.begin(draws, repeat)
        return draws.draw(repeat)

    def __call__(self, batch: TextMotionBatch, seeds: list[int]) -> Tensor:
        """Features (B, T, D) of a motion for each caption, as long as the real one."""
        motions = self._generate(batch, seeds)
        if self.kept is not None:
            self.kept += motions
        elif self._writer is not None:
            self._writer.write(batch, motions)
        return _padded(motions)

    def count_variants(self, draw: Draw, rows: list[int]) -> int:
        """As many as the options say."""
        return self._options.mm_motions

    def variants(self, batch: TextMotionBatch, numbers: list[int], seeds: list[int]) -> Tensor:
        """Features (B, T, D) of further motions of captions."""
        motions = self._generate(batch, seeds)
        if self._writer is not None:
            self._writer.write(batch, motions, numbers)
        return _padded(motions)

    def _generate(self, batch: TextMotionBatch, seeds: list[int]) -> list[Motion]:
        start = time.perf_counter()
        # Evaluators judge the generator itself, as published systems are judged.
        sampling = self._options.sampling() | {"clauses": False}
        motions = self._pipe(batch.captions, batch.lengths.tolist(), seeds=seeds, **sampling)
        self.seconds += time.perf_counter() - start
        self.motions += len(motions)
        self._bar.update(len(motions))
        return motions


def _padded(motions: list[Motion]) -> Tensor:
    return pad_sequence([torch.from_numpy(motion.features) for motion in motions], batch_first=True)


def multimodal_rows(draw: Draw, labelled: bool, options: EvalT2MOptions) -> list[int]:
    """Rows of a repetition whose texts get many motions: its first batches, or of labelled data its share of labels."""
    if not options.mm_batches:
        return []
    if labelled:
        return list(range(math.ceil(len(draw) / options.repeat_times)))
    return draw.pools[: options.mm_batches].flatten().tolist()


def embed_variants(
    rows: list[int], count: int, draw: Draw, source: Source, judge: Judge, options: EvalT2MOptions, seed: int
) -> Tensor:
    """Embeddings (G, P, E) of `count` motions, P, for each of G texts."""
    batch = draw.pick(sorted(rows, key=lambda row: int(draw.dataset.lengths[draw.indices[row]])))
    size = max(options.batch_size // count, 1)
    parts = []
    for start in range(0, len(batch), size):
        chunk = batch.select([row for row in range(start, min(start + size, len(batch))) for _ in range(count)])
        seeds = [seed + start * count + i for i in range(len(chunk))]
        numbers = [i % count for i in range(len(chunk))]
        parts.append(judge.motions(*with_lengths(source.variants(chunk, numbers, seeds), chunk.lengths)))
    return torch.cat(parts).unflatten(0, (-1, count))


def evaluate(draws: TestDraws, judge: Judge, source: Source, options: EvalT2MOptions, extremes: Extremes) -> Scores:
    """All repetitions on a split, watched by `extremes`.

    Without multimodality where the source has no further motions of the texts.
    """
    repetitions, variants, produce = [], [], extremes.watch(source)
    for repeat in range(options.repeat_times):
        draw = source.begin(draws, repeat)
        seed = options.seed + repeat * _SEEDS_OF_A_REPETITION
        repetitions.append(judge_repetition(draw, judge, produce, seed=seed, batch_size=options.batch_size))
        rows = multimodal_rows(draw, draws.labelled, options)
        if rows and (count := source.count_variants(draw, rows)):
            seed += _SEEDS_OF_A_REPETITION // 2
            variants.append(embed_variants(rows, count, draw, source, judge, options, seed))
    scores = summarize(repetitions, seed=options.seed, pooled=draws.labelled)
    if variants:
        scores.rows["produced"]["MultiModality"] = multimodality_of(variants, options.seed)
    return scores


def wanted_motions(splits: Sequence[TestDraws], options: EvalT2MOptions) -> Iterator[tuple[str, int, str]]:
    """Place, frames and text of every motion that the protocol asks of a model, see `lamp.stages.motion_folder`."""
    for draws in splits:
        for repeat in range(options.repeat_times):
            draw, names = draws.draw(repeat), draws.dataset.sample_names
            once = [(batch, [None]) for _, batch in draw.batches(options.batch_size)]
            further = [draw.pick(rows)] if (rows := multimodal_rows(draw, draws.labelled, options)) else []
            numbers = range(options.mm_motions)
            for batch, versions in [*once, *((batch, numbers) for batch in further)]:
                samples = zip(batch.sample_ids.tolist(), batch.lengths.tolist(), batch.captions)
                for sample, frames, text in samples:
                    yield from ((f"{repeat}/{file_stem(names[sample], number)}", frames, text) for number in versions)


def bert_scores(captioner: CaptionPipeline, source: Source, draws: TestDraws, options: EvalT2MOptions) -> list[str]:
    """Lines with LaMP-BertScore of the judged and of the real motions of one repetition."""
    draw, source.kept = source.begin(draws, 0), []
    real: list[Motion] = []
    for rows, batch in draw.batches(options.batch_size):
        source(batch, (options.seed + rows).tolist())
        joints, fps = features_to_joints(batch.motion), captioner.skeleton.fps
        real += [
            Motion(joints[i, :n].numpy(), batch.motion[i, :n].numpy(), fps=fps, text=batch.captions[i])
            for i, n in enumerate(batch.lengths.tolist())
        ]
    lines = []
    for name, motions in (("generated", source.kept), ("real", real)):
        score = lamp_bert_score(captioner, motions, [motion.text for motion in motions], options.encoder)
        if score is not None:
            lines.append(f"LaMP-BertScore of {name} motions: {describe(score)}")
    source.kept = None
    return lines


def count_motions(draws: TestDraws, options: EvalT2MOptions) -> int:
    """Motions that the evaluation of a split generates."""
    draw = draws.draw(0)
    variants = len(multimodal_rows(draw, draws.labelled, options)) * options.mm_motions
    return options.repeat_times * (len(draw) + variants) + (len(draw) if options.m2t_name else 0)
