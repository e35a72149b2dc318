"""Evaluate text to motion by the field's protocol; log and JSON go to `<space of the masked transformer>/eval/<ext>.*`.

    python eval_t2m_trans_res.py --res_name rtrans_name --name mtrans_name --dataset_name t2m --cond_scale 4 \
        --time_steps 10 --ext evaluation
    python eval_t2m_trans_res.py --name masked --res_name residual --dataset_name mini

FID, R-precision, MM-Dist, diversity, multimodality and physical measures of generated motions, beside those of the real
ones, as mean and 95 % confidence over `--repeat_times` repetitions. A quick look: `--repeat_times 2 --max_samples 64`.
`docs/protocol.md` says what each number is.
"""

from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lamp.data.draws import TestDraws
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import checkpoint_names, model_folder
from lamp.models.evaluator import load_evaluator
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.options.eval import EvalT2MOptions
from lamp.stages.t2m_evaluation import Generator, bert_scores, count_motions, evaluate
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import peak_memory, resolve_device
from lamp.utils.run.launch import require_one_process
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.evaluation import Judge, Scores, Statistic
from lamp.utils.scores.published import TEXT_TO_MOTION
from lamp.utils.scores.tables import protocol_tables

SCORES = ("FID", "R@1", "R@2", "R@3", "MM-Dist", "Diversity", "MultiModality")


def write_report(log: Report, scores: Scores, draws: TestDraws, options: EvalT2MOptions) -> None:
    """The tables of a split."""
    log(
        f"{draws.split}: {draws.summary}; {scores.repeats} repetitions of {scores.motions} motions; mean±95% confidence"
    )
    published = TEXT_TO_MOTION[options.dataset_name] if options.compare else {}
    for line in protocol_tables(scores, "generated", SCORES, published):
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
    require_one_process()
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    LaMPPipeline.check_runs(root, options.name, options.res_name or None)
    evaluator, folder = load_evaluator(root, options.evaluator, spec.feature_dim, device)
    judge, splits, judged_by = Judge(evaluator), make_draws(spec, options), model_identity(folder)
    names = checkpoint_names(options.space, options.which_epoch)
    captioner = CaptionPipeline.from_runs(root, options.m2t_name, device=device) if options.m2t_name else None
    if captioner:
        options.encoder.check()
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
