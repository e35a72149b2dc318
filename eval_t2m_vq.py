"""Evaluate a motion tokenizer's reconstruction; log and JSON go to `<space>/eval/<ext>.*`.

    python eval_t2m_vq.py --gpu_id 0 --name vq_name --dataset_name t2m
    python eval_t2m_vq.py --name tokenizer --dataset_name mini --split test_seen test_unseen test_cmu --nearest

Position error, path drift and code usage of every motion of a split, encoded and decoded whole; then the field's
protocol (FID, R-precision, ... as mean and 95 % confidence over `--repeat_times` repetitions) on the reconstructions,
beside the real motions. `docs/protocol.md` says what each number is.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from lamp.data.draws import TestDraws
from lamp.data.loaders import Stats, evaluation_loader
from lamp.data.motion import TextMotionBatch
from lamp.data.nearest import nearest_motions
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import checkpoint_names, model_folder
from lamp.models.evaluator import load_evaluator
from lamp.models.vq.model import RVQVAE
from lamp.options.eval import EvalVQOptions
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.extremes import Extremes, far_from_real
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.evaluation import Judge, Scores, judge_all
from lamp.utils.scores.published import published_real
from lamp.utils.scores.reconstruction import Reconstruction, evaluate_reconstruction
from lamp.utils.scores.tables import protocol_tables

SCORES = ("MPJPE mm", "FID", "R@1", "R@2", "R@3", "MM-Dist", "Diversity")


def reconstruct_split(
    model: RVQVAE, spec: DatasetSpec, split: str, options: EvalVQOptions, device: torch.device
) -> Reconstruction:
    """Position error, drift and code usage over every motion of a split, whole."""

    @torch.inference_mode()
    def roundtrip(motion: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        codes = model.encode(motion, lengths)
        return model.decode(codes, lengths // model.config.frames_per_token), codes

    loader = evaluation_loader(spec, split, batch_size=options.batch_size, stats=Stats.of(model))
    return evaluate_reconstruction(
        loader, roundtrip, model.denormalize, model.config.nb_code, spec.skeleton.millimetres, device
    )


def judge_split(draws: TestDraws, judge: Judge, model: RVQVAE, options: EvalVQOptions, extremes: Extremes) -> Scores:
    """The protocol's repetitions over reconstructions."""

    def produce(batch: TextMotionBatch, seeds: list[int]) -> Tensor:
        return model.reconstruct(batch.motion, batch.lengths)

    return judge_all(
        draws,
        judge,
        extremes.watch(produce),
        repeats=options.repeat_times,
        seed=options.seed,
        batch_size=options.batch_size,
        reconstruction=True,
    )


def report_whole(log: Report, split: str, result: Reconstruction, options: EvalVQOptions) -> None:
    """The lines of `reconstruct_split`."""
    usage = " ".join(f"{100 * value:.0f}%" for value in result.usage)
    perplexity = " ".join(f"{value:.0f}" for value in result.perplexity)
    log(
        f"{split}: {result.clips} clips, MPJPE {result.mpjpe:.1f} mm, path drift {result.drift:.1f} mm, "
        f"codes in use a level {usage}, perplexity a level {perplexity}"
    )
    if options.per_clip:
        for name, error in result.clip_mpjpe.items():
            log(f"  {name}: {error:.1f} mm")


def report_scores(log: Report, draws: TestDraws, scores: Scores, options: EvalVQOptions) -> None:
    """The tables of `judge_split`."""
    log(f"  {draws.summary}; {scores.repeats} repetitions of {scores.motions} motions; mean±95% confidence")
    real = published_real(options.dataset_name) if options.compare else {}
    for line in protocol_tables(scores, "reconstructed", SCORES, real):
        log(f"  {line}")


@main_with_errors
def main() -> None:
    """Options, data, evaluator; for each checkpoint and split its lines."""
    options = parse(EvalVQOptions)
    require_one_process()
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    names = checkpoint_names(options.space, options.which_epoch)
    models = {name: model_folder(options.space, name) for name in names}
    evaluator, folder = load_evaluator(root, options.evaluator, spec.feature_dim, device)
    judge, judged_by = Judge(evaluator), model_identity(folder)
    splits = [
        TestDraws(spec, split, seed=options.seed, max_samples=options.max_samples)
        for split in options.split or spec.test_splits
    ]
    log = Report(options.space / "eval" / f"{options.ext}.log")
    page = EvaluationPage(log, f"Reconstruction: {options.name}")
    results: dict[str, Any] = {}
    for name, model_at in models.items():
        model, checkpoint = RVQVAE.from_pretrained(model_at, device=device), model_identity(model_at)
        for draws in splits:
            log.stamp = stamp(evaluator=judged_by, data=draws.identity, checkpoint=checkpoint)
            whole = reconstruct_split(model, spec, draws.split, options, device)
            report_whole(log, draws.split, whole, options)
            result = dataclasses.asdict(whole) | {"made by": log.stamp}
            if options.nearest:
                result |= nearest_motions(spec, draws.split)
                log(
                    f"  nearest training motion instead: MPJPE {result['nearest_mpjpe']:.1f} mm, "
                    f"same label {result['nearest_label']:.1f} %"
                )
            extremes = Extremes(len(draws.draw(0)), far_from_real(spec.skeleton.millimetres))
            scores = judge_split(draws, judge, model, options, extremes)
            report_scores(log, draws, scores, options)
            section, real = f"{name}, {draws.split}", published_real(options.dataset_name)
            page.levels(section, whole.usage, whole.perplexity, model.config.nb_code)
            page.protocol(section, scores, "reconstructed", SCORES, real)
            page.extremes(section, extremes, "position error in mm", "reconstructed")
            results.setdefault(name, {})[draws.split] = result | {"protocol": scores.json()}
    page.write()
    write_json(log.path.with_suffix(".json"), results if options.which_epoch == "all" else results[names[0]])


if __name__ == "__main__":
    main()
