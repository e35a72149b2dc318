"""Evaluate text to motion by the field's protocol; log and JSON go to `<space of the masked transformer>/eval/<ext>.*`.

    python eval_t2m_trans_res.py --res_name rtrans_name --name mtrans_name --dataset_name t2m --cond_scale 4 \
        --time_steps 10 --ext evaluation
    python eval_t2m_trans_res.py --name masked --res_name residual --dataset_name mini

FID, R-precision, MM-Dist, diversity, multimodality and physical measures of generated motions, beside those of the real
ones, as mean and 95 % confidence over `--repeat_times` repetitions. A quick look: `--repeat_times 2 --max_samples 64`.
`docs/protocol.md` says what each number is.
"""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from lamp.data.draws import Draw, TestDraws
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import checkpoint_names, model_folder
from lamp.models.evaluator import load_evaluator
from lamp.models.m2t.bertscore import describe, lamp_bert_score
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.models.text_condition import CachedCondition
from lamp.options.eval import EvalT2MOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.files import write_json
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from lamp.utils.run.device import peak_memory, resolve_device
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.evaluation import (
    MEASURES,
    Judge,
    Scores,
    Statistic,
    judge_repetition,
    multimodality_of,
    summarize,
)
from lamp.utils.scores.published import PAPER, TEXT_TO_MOTION
from lamp.utils.scores.tables import format_table

SCORES = ("FID", "R@1", "R@2", "R@3", "MM-Dist", "Diversity", "MultiModality")
# Each repetition draws its seeds from a range of its own.
_SEEDS_OF_A_REPETITION = 1_000_000


class Generator:
    """Motions from captions, in the form that the protocol judges."""

    def __init__(self, pipe: LaMPPipeline, options: EvalT2MOptions, bar: tqdm) -> None:
        pipe.text = CachedCondition(pipe.text)
        self._pipe, self._sampling, self._bar = pipe, options.sampling(), bar
        self.seconds, self.motions = 0.0, 0
        self.kept: list[Motion] | None = None

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


def write_report(log: Report, scores: Scores, draws: TestDraws, options: EvalT2MOptions) -> None:
    """The tables of a split."""
    log(
        f"{draws.split}: {draws.summary}; {scores.repeats} repetitions of {scores.motions} motions; mean±95% confidence"
    )
    rows: dict[str, Any] = {"real motions": scores.rows["real"], "generated": scores.rows["produced"]}
    for line in format_table(rows, MEASURES):
        log(f"  {line}")
    if options.compare:
        rows |= {f"{name} ({PAPER})": row for name, row in TEXT_TO_MOTION[options.dataset_name].items()}
    for line in format_table(rows, SCORES):
        log(f"  {line}")


def share_of_real(scores: Scores) -> Statistic:
    """R@3 of generated motions in percent of that of the real ones."""
    generated, real = scores.rows["produced"]["R@3"], scores.rows["real"]["R@3"]
    return Statistic(100 * generated.mean / real.mean, 100 * generated.interval / real.mean)


def load_pipe(root: Path, options: EvalT2MOptions, which: str, device: torch.device) -> LaMPPipeline:
    """The generator at one checkpoint of the masked transformer."""
    return LaMPPipeline.from_runs(
        root, options.name, options.res_name or None, length_name=None, which=which, device=device
    )


def make_draws(spec: DatasetSpec, options: EvalT2MOptions) -> list[TestDraws]:
    """What is drawn of each split."""
    return [
        TestDraws(spec, split, seed=options.seed, max_samples=options.max_samples, heldout=options.heldout_texts)
        for split in options.split or spec.test_splits
    ]


@main_with_errors
def main() -> None:
    """Options, data, evaluator; for each checkpoint and split a table."""
    options = parse(EvalT2MOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    evaluator, folder = load_evaluator(root, options.evaluator, spec.feature_dim, device)
    judge, splits, judged_by = Judge(evaluator), make_draws(spec, options), model_identity(folder)
    names = checkpoint_names(options.space, options.which_epoch)
    captioner = CaptionPipeline.from_runs(root, options.m2t_name, device=device) if options.m2t_name else None
    total = len(names) * sum(count_motions(draws, options) for draws in splits)
    log = Report(options.space / "eval" / f"{options.ext}.log")
    results: dict[str, Any] = {}
    with tqdm(total=total, desc="generating", unit="motion", disable=None) as bar:
        for name in names:
            pipe = load_pipe(root, options, name, device).with_precision(options.precision)
            generator = Generator(pipe, options, bar)
            checkpoint = model_identity(model_folder(options.space, name))
            if options.res_name:
                checkpoint += " + " + model_identity(model_folder(root / options.res_name))
            guidance = pipe.guidance.override(options.cond_scale, options.res_cond_scale)
            log.stamp = stamp(checkpoint=checkpoint)
            log(
                f"{checkpoint}: {options.time_steps} steps, guidance {guidance.cond_scale:g} (masked) and "
                f"{guidance.res_cond_scale:g} (residual), temperature {options.temperature:g}, seed {options.seed}"
            )
            for draws in splits:
                log.stamp = stamp(evaluator=judged_by, data=draws.identity, checkpoint=checkpoint)
                scores = evaluate(draws, judge, generator, options)
                write_report(log, scores, draws, options)
                log(f"  generated / real R@3: {share_of_real(scores)} %")
                lines = bert_scores(captioner, generator, draws, options) if captioner else []
                for line in lines:
                    log(f"  {line}, captioner {options.m2t_name}")
                found = scores.json() | {"LaMP-BertScore": lines, "made by": log.stamp}
                results.setdefault(name, {})[draws.split] = found
    results = results if options.which_epoch == "all" else results[names[0]]
    write_json(log.path.with_suffix(".json"), results)
    cost = {"seconds a motion": generator.seconds / max(generator.motions, 1), "peak memory GB": peak_memory(device)}
    # Beside the results: a second run gives the same results, but not the same times.
    write_json(log.path.with_name(f"{options.ext}_cost.json"), cost | {"device": str(device)})
    print("  ".join(f"{key} {value:.3g}" for key, value in cost.items()))


if __name__ == "__main__":
    main()
