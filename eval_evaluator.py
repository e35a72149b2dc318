"""Evaluate an evaluator on real motions, the bound of what it can say of generated ones; log in `<space>/eval/`.

    python eval_evaluator.py --dataset_name t2m --compare
    python eval_evaluator.py --dataset_name mini

With the published evaluators and HumanML3D in place the numbers should be those of the papers' row "real motions": a
check of data, evaluator and code at once, before anything is trained.
"""

from lamp.data.draws import TestDraws
from lamp.data.spec import get_spec
from lamp.models.evaluator import load_evaluator
from lamp.options.eval import EvalEvaluatorOptions
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.extremes import Extremes, far_from_text
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.evaluation import Judge, judge_all
from lamp.utils.scores.published import TEXT_TO_MOTION, published_real
from lamp.utils.scores.tables import pool_table

SCORES = ("FID", "R@1", "R@2", "R@3", "MM-Dist", "Diversity")


@main_with_errors
def main() -> None:
    """Options, evaluator; a table for each split."""
    options = parse(EvalEvaluatorOptions)
    require_one_process()
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    root, device = options.checkpoints_dir / options.dataset_name, resolve_device(options.gpu_id)
    evaluator, folder = load_evaluator(root, options.name, spec.feature_dim, device, options.which_epoch)
    judge, results = Judge(evaluator), {}
    log = Report(options.space / "eval" / f"{options.ext}.log")
    page = EvaluationPage(log, f"Evaluator on real motions: {options.name}")
    for split in options.split or spec.test_splits:
        draws = TestDraws(spec, split, seed=options.seed, max_samples=options.max_samples)
        log.stamp = stamp(evaluator=model_identity(folder), data=draws.identity)
        extremes = Extremes(len(draws.draw(0)), far_from_text(judge))
        scores = judge_all(
            draws,
            judge,
            extremes.watch(lambda batch, seeds: batch.motion),
            repeats=options.repeat_times,
            seed=options.seed,
            batch_size=options.batch_size,
        )
        published = {"the same": TEXT_TO_MOTION[options.dataset_name]["real motions"]} if options.compare else {}
        words = evaluator.config.word_vectors
        made = f"{scores.repeats} repetitions of {scores.motions} motions, word vectors {words}"
        log(f"{split}: {draws.summary}; {made}")
        table = pool_table({"real motions": scores.rows["real"]}, scores.pool, SCORES, published)
        for line in table + scores.cautions:
            log(f"  {line}")
        page.protocol(split, scores, "", SCORES, published_real(options.dataset_name), judged=False)
        page.extremes(split, extremes, "distance of text and motion (MM-Dist)", "")
        results[split] = scores.json() | {"made by": log.stamp}
    page.write()
    write_json(log.path.with_suffix(".json"), results)


if __name__ == "__main__":
    main()
