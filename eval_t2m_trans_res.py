"""Evaluate text to motion by the field's protocol; log and JSON go to `<space of the masked transformer>/eval/<ext>.*`.

    python eval_t2m_trans_res.py --res_name rtrans_name --name mtrans_name --dataset_name t2m --cond_scale 4 \
        --time_steps 10 --ext evaluation
    python eval_t2m_trans_res.py --name masked --res_name residual --dataset_name mini

Another model's motions, from files (`docs/protocol.md` says how they are called):

    python eval_t2m_trans_res.py --dataset_name t2m --motions rival

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
from lamp.models.checkpoints import checkpoint_names
from lamp.models.evaluator import load_evaluator
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.options.eval import EvalT2MOptions
from lamp.stages.contestants import Contestant, load_generators, read_folder
from lamp.stages.motion_folder import MotionFolder, write_prompts
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.extremes import Extremes, far_from_text
from lamp.stages.t2m_evaluation import Generator, bert_scores, count_motions, evaluate, wanted_motions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import UserError, main_with_errors
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


def write_report(log: Report, scores: Scores, draws: TestDraws, options: EvalT2MOptions, one: Contestant) -> None:
    """The tables of a split."""
    log(
        f"{draws.split}: {draws.summary}; {scores.repeats} repetitions of {scores.motions} motions; mean±95% confidence"
    )
    published = TEXT_TO_MOTION[options.dataset_name] if options.compare else {}
    for line in protocol_tables(scores, one.row, SCORES, published):
        log(f"  {line}")
    log(f"  {one.row} / real R@3: {share_of_real(scores)} %")
    if isinstance(one.source, MotionFolder) and one.source.shorter:
        log(f"  {one.source.shorter} times a motion was shorter than the real one")


def write_cost(path: Path, generator: Generator, device: torch.device) -> None:
    """Print and write times and memory: beside the results, since a second run gives the same results but these."""
    cost = {"seconds a motion": generator.seconds / max(generator.motions, 1), "peak memory GB": peak_memory(device)}
    write_json(path, cost | {"device": str(device)})
    print("  ".join(f"{key} {value:.3g}" for key, value in cost.items()))


def share_of_real(scores: Scores) -> Statistic:
    """R@3 of generated motions in percent of that of the real ones."""
    generated, real = scores.rows["produced"]["R@3"], scores.rows["real"]["R@3"]
    return Statistic(100 * generated.mean / real.mean, 100 * generated.interval / real.mean)


def make_draws(spec: DatasetSpec, options: EvalT2MOptions) -> list[TestDraws]:
    """What is drawn of each split."""
    return [
        TestDraws(spec, split, seed=options.seed, max_samples=options.max_samples, heldout=options.heldout_texts)
        for split in options.split or spec.test_splits
    ]


@main_with_errors
def main() -> None:
    """Options, data, evaluator; for each checkpoint, or the folder of motions, and split a table."""
    options = parse(EvalT2MOptions)
    require_one_process()
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    root, splits = options.checkpoints_dir / options.dataset_name, make_draws(spec, options)
    if options.write_prompts:
        count = write_prompts(options.write_prompts, wanted_motions(splits, options))
        print(f"{options.write_prompts}: {count} motions")
        return
    if options.motions is None:
        LaMPPipeline.check_runs(root, options.name, options.res_name or None)
    evaluator, folder = load_evaluator(root, options.evaluator, spec.feature_dim, device)
    judge, judged_by = Judge(evaluator), model_identity(folder)
    captioner = CaptionPipeline.from_runs(root, options.m2t_name, device=device) if options.m2t_name else None
    if captioner:
        options.encoder.check()
    if options.save_motions and options.save_motions.exists() and any(options.save_motions.iterdir()):
        raise UserError(f"--save_motions {options.save_motions} is not empty; name another folder")
    names = checkpoint_names(options.space, options.which_epoch) if options.motions is None else []
    rivals = None if options.motions is None else [read_folder(options.motions, splits, options)]
    log = Report(options.space / "eval" / f"{options.ext}.log")
    page, results = EvaluationPage(log, f"Text to motion: {options.space.name}"), dict[str, Any]()
    total = len(names) * sum(count_motions(draws, options) for draws in splits)
    with tqdm(total=total, desc="generating", unit="motion", disable=True if rivals else None) as bar:
        for one in rivals or load_generators(options, root, names, device, bar):
            log.stamp = stamp(checkpoint=one.identity)
            log(f"{one.identity}: {one.how}")
            for draws in splits:
                log.stamp = stamp(evaluator=judged_by, data=draws.identity, checkpoint=one.identity)
                extremes = Extremes(len(draws.draw(0)), far_from_text(judge))
                scores = evaluate(draws, judge, one.source, options, extremes)
                write_report(log, scores, draws, options, one)
                section, published = f"{one.name}, {draws.split}", TEXT_TO_MOTION.get(options.dataset_name, {})
                page.protocol(section, scores, one.row, SCORES, published)
                page.extremes(section, extremes, "distance of text and motion (MM-Dist)", one.row)
                lines = bert_scores(captioner, one.source, draws, options) if captioner else []
                for line in lines:
                    log(f"  {line}, captioner {options.m2t_name}")
                found = scores.json() | {"LaMP-BertScore": lines, "made by": log.stamp}
                results.setdefault(one.name, {})[draws.split] = found
    page.write()
    write_json(log.path.with_suffix(".json"), results if options.which_epoch == "all" else results[one.name])
    if isinstance(one.source, Generator):
        write_cost(log.path.with_name(f"{options.ext}_cost.json"), one.source, device)


if __name__ == "__main__":
    main()
