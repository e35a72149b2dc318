"""Motions of a text-to-motion pipeline by the field's protocol, their multimodality and LaMP-BertScore."""

import math
import time

import torch
from torch import Tensor
from tqdm import tqdm

from lamp.data.draws import Draw, TestDraws
from lamp.data.motion import TextMotionBatch
from lamp.models.m2t.bertscore import describe, lamp_bert_score
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.models.text_condition import CachedCondition
from lamp.options.eval import EvalT2MOptions
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from lamp.utils.scores.evaluation import Judge, Scores, judge_repetition, multimodality_of, summarize

# Each repetition draws its seeds from a range of its own.
_SEEDS_OF_A_REPETITION = 1_000_000


class Generator:
    """Motions from captions, in the form that the protocol judges."""

    def __init__(self, pipe: LaMPPipeline, options: EvalT2MOptions, bar: tqdm) -> None:
        self._text = pipe.text = CachedCondition(pipe.text)
        self._pipe, self._sampling, self._bar = pipe, options.sampling(), bar
        self.seconds, self.motions = 0.0, 0
        self.kept: list[Motion] | None = None

    def expect(self, draws: TestDraws) -> None:
        """Say which captions will come."""
        self._text.expect(draws.dataset.texts)

    def __call__(self, batch: TextMotionBatch, seeds: list[int]) -> Tensor:
        """Features (B, T, D) of a motion for each caption, as long as the real one."""
        start = time.perf_counter()
        motions = self._pipe(batch.captions, batch.lengths.tolist(), seeds=seeds, **self._sampling)
        self.seconds += time.perf_counter() - start
        self.motions += len(motions)
        self._bar.update(len(motions))
        if self.kept is not None:
            self.kept += motions
        features = [torch.from_numpy(motion.features) for motion in motions]
        return torch.nn.utils.rnn.pad_sequence(features, batch_first=True)


def multimodal_rows(draw: Draw, labelled: bool, options: EvalT2MOptions) -> list[int]:
    """Rows of a repetition whose texts get many motions: its first batches, or of labelled data its share of labels."""
    if not options.mm_batches:
        return []
    if labelled:
        return list(range(math.ceil(len(draw) / options.repeat_times)))
    return draw.pools[: options.mm_batches].flatten().tolist()


def embed_variants(
    rows: list[int], draw: Draw, generator: Generator, judge: Judge, options: EvalT2MOptions, seed: int
) -> Tensor:
    """Embeddings (G, P, E) of P motions for each of G texts."""
    batch = draw.pick(sorted(rows, key=lambda row: int(draw.dataset.lengths[draw.indices[row]])))
    size = max(options.batch_size // options.mm_motions, 1)
    parts = []
    for start in range(0, len(batch), size):
        chunk = batch.select(
            [row for row in range(start, min(start + size, len(batch))) for _ in range(options.mm_motions)]
        )
        seeds = [seed + start * options.mm_motions + i for i in range(len(chunk))]
        parts.append(judge.motions(generator(chunk, seeds), chunk.lengths))
    return torch.cat(parts).unflatten(0, (-1, options.mm_motions))


def evaluate(draws: TestDraws, judge: Judge, generator: Generator, options: EvalT2MOptions) -> Scores:
    """All repetitions on a split."""
    generator.expect(draws)
    repetitions, variants = [], []
    for repeat in range(options.repeat_times):
        draw = draws.draw(repeat)
        seed = options.seed + repeat * _SEEDS_OF_A_REPETITION
        repetitions.append(judge_repetition(draw, judge, generator, seed=seed, batch_size=options.batch_size))
        if rows := multimodal_rows(draw, draws.labelled, options):
            variants.append(embed_variants(rows, draw, generator, judge, options, seed + _SEEDS_OF_A_REPETITION // 2))
    scores = summarize(repetitions, seed=options.seed, pooled=draws.labelled)
    if variants:
        scores.rows["produced"]["MultiModality"] = multimodality_of(variants, options.seed)
    return scores


def bert_scores(
    captioner: CaptionPipeline, generator: Generator, draws: TestDraws, options: EvalT2MOptions
) -> list[str]:
    """Lines with LaMP-BertScore of the generated and of the real motions of one repetition."""
    draw, generator.kept = draws.draw(0), []
    real: list[Motion] = []
    for rows, batch in draw.batches(options.batch_size):
        generator(batch, (options.seed + rows).tolist())
        joints, fps = features_to_joints(batch.motion), captioner.skeleton.fps
        real += [
            Motion(joints[i, :n].numpy(), batch.motion[i, :n].numpy(), fps=fps, text=batch.captions[i])
            for i, n in enumerate(batch.lengths.tolist())
        ]
    lines = []
    for name, motions in (("generated", generator.kept), ("real", real)):
        score = lamp_bert_score(captioner, motions, [motion.text for motion in motions], options.encoder)
        if score is not None:
            lines.append(f"LaMP-BertScore of {name} motions: {describe(score)}")
    generator.kept = None
    return lines


def count_motions(draws: TestDraws, options: EvalT2MOptions) -> int:
    """Motions that the evaluation of a split generates."""
    draw = draws.draw(0)
    variants = len(multimodal_rows(draw, draws.labelled, options)) * options.mm_motions
    return options.repeat_times * (len(draw) + variants) + (len(draw) if options.m2t_name else 0)
