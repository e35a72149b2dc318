"""Evaluate the captioner; log, JSON and captions go to `<space>/eval/`.

    python M2T_eval.py --name m2t_name --dataset_name t2m
    python M2T_eval.py --name m2t --dataset_name mini --baselines --bert_model ""

BLEU, ROUGE-L, CIDEr and BERTScore of captions against the true ones, R-precision and MM-Dist of captions and their
motions by the evaluators, beside those of the true captions. `docs/protocol.md` says what each number is.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lamp.data.draws import TestDraws
from lamp.data.spec import get_spec
from lamp.models.checkpoints import model_folder
from lamp.models.evaluator import load_evaluator
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.options.m2t_eval import M2TEvalOptions
from lamp.stages.caption_evaluation import TrainingTexts, describe_split, score_generated, score_matches, score_texts
from lamp.stages.pages.captions import MATCHES, TEXTS, show_captions
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.cautions import pool_cautions
from lamp.utils.scores.evaluation import Judge, Statistic
from lamp.utils.scores.published import MOTION_TO_TEXT, PAPER
from lamp.utils.scores.tables import format_table, pool_table
from lamp.utils.tagging import find_spacy_model, tag_sentences


def evaluate_split(
    pipe: CaptionPipeline,
    draws: TestDraws,
    judge: Judge,
    options: M2TEvalOptions,
    known: TrainingTexts | None,
    log: Report,
    page: EvaluationPage,
    tagged: bool,
) -> dict[str, Any]:
    """Caption and score a split; its tables go to the log, its captions to a file.

    R-precision and MM-Dist need captions `tagged` by spaCy.
    """
    found = describe_split(pipe, draws, options, known)
    rivals = {"captioner": found.captions}
    if known is not None:
        rivals |= {
            "nearest training caption": found.nearest,
            "most frequent caption": [known.most_frequent] * len(found.captions),
        }
    tokens = {name: tag_sentences(captions) for name, captions in rivals.items()} if tagged else {}
    device = judge.evaluator.device
    texts = {name: score_texts(captions, tokens.get(name), found, options, device) for name, captions in rivals.items()}
    matches: dict[str, dict[str, Statistic]] = {}
    if tagged and not options.max_samples:  # with fewer captions than samples there is nothing to draw from
        by_sample = {name: dict(zip(found.samples, said)) for name, said in tokens.items()}
        matches = score_matches(by_sample, draws, judge, options)
    log(f"{draws.split}: {len(found.captions)} captions")
    if not tagged:
        log("  R-precision and MM-Dist are left out: they need spaCy")
    for line in pool_table(matches, draws.pool, MATCHES, {}) + pool_cautions(draws.pool) if matches else []:
        log(f"  {line}")
    for protocol in [key for key in ("raw", "tm2t") if key in texts["captioner"]]:
        rows: dict[str, Mapping[str, object]] = {
            f"{name}, {protocol}": {key: f"{value:.2f}" for key, value in row[protocol].items()}
            for name, row in texts.items()
        }
        if options.compare:
            published = MOTION_TO_TEXT[options.dataset_name]
            rows |= {f"{name} ({PAPER}), {protocol}": row for name, row in published.items()}
        for line in format_table(rows, TEXTS):
            log(f"  {line}")
    if made := texts["captioner"].get("BERTScore by"):
        log(f"  BERTScore {made}")
    show_captions(page, draws, found, texts, matches)
    listed = [
        {"name": name, "caption": caption, "references": [text.text for text in truth]}
        for name, caption, truth in zip(found.names, found.captions, found.truth)
    ]
    write_json(options.space / "eval" / f"{options.ext}_{draws.split}.json", listed)
    plain = {name: {key: asdict(value) for key, value in row.items()} for name, row in matches.items()}
    return {"matches": plain, "pool": draws.pool, "texts": texts, "made by": log.stamp}


def has_tagger(options: M2TEvalOptions) -> bool:
    """Whether captions can be tagged; the protocol `raw` goes without, and a line says what is left out.

    Raises:
        UserError: spaCy or its model is missing, and the protocol needs it.
    """
    try:
        find_spacy_model()
    except UserError as error:
        if options.protocol != "raw":
            raise UserError(f"{error}; --protocol raw needs none") from error
        print(f"warning: R-precision and MM-Dist are left out: {error}", file=sys.stderr)
        return False
    return True


@main_with_errors
def main() -> None:
    """Options, data, models; tables for each split."""
    options = parse(M2TEvalOptions)
    require_one_process()
    print_options(options)
    tagged = has_tagger(options)
    options.encoder.check()
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    pipe = CaptionPipeline.from_runs(root, options.captioner, which=options.which_epoch, device=device)
    pipe.with_precision(options.precision)
    evaluator, folder = load_evaluator(root, options.evaluator, spec.feature_dim, device)
    splits = [TestDraws(spec, split, seed=options.seed) for split in options.split or spec.test_splits]
    known = TrainingTexts(pipe, spec) if options.baselines else None
    log, judge = Report(options.space / "eval" / f"{options.ext}.log"), Judge(evaluator)
    page = EvaluationPage(log, f"Captions: {options.captioner}")
    checkpoint = model_identity(model_folder(options.space, options.which_epoch))
    results = {}
    for draws in splits:
        log.stamp = stamp(evaluator=model_identity(folder), data=draws.identity, checkpoint=checkpoint)
        results[draws.split] = evaluate_split(pipe, draws, judge, options, known, log, page, tagged)
        if options.t2m_name:
            results[draws.split]["LaMP-BertScore"] = score = score_generated(pipe, draws, options)
            if score is not None:
                log(f"  LaMP-BertScore of {options.t2m_name}: {score}")
    page.write()
    write_json(log.path.with_suffix(".json"), results)


if __name__ == "__main__":
    main()
