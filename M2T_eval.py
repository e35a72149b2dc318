"""Evaluate the captioner; log, JSON and captions go to `<space>/eval/`.

    python M2T_eval.py --name m2t_name --dataset_name t2m
    python M2T_eval.py --name m2t --dataset_name mini --baselines --bert_model ""

BLEU, ROUGE-L, CIDEr and BERTScore of captions against the true ones, R-precision and MM-Dist of captions and their
motions by the evaluators, beside those of the true captions. `docs/protocol.md` says what each number is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tqdm import tqdm

from lamp.data.cache import open_cache
from lamp.data.draws import TestDraws
from lamp.data.loaders import Stats, evaluation_loader, load_split
from lamp.data.spec import DatasetSpec, get_spec
from lamp.data.text import Caption
from lamp.models.checkpoints import model_folder
from lamp.models.evaluator import load_evaluator
from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.m2t.bertscore import describe, lamp_bert_score
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.options.m2t_eval import M2TEvalOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import resolve_device
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.captions import caption_scores
from lamp.utils.scores.evaluation import Judge, Statistic, match_scores, statistic
from lamp.utils.scores.published import MOTION_TO_TEXT, PAPER
from lamp.utils.scores.tables import format_table
from lamp.utils.tagging import load_spacy, tag_sentences

MATCHES = ("R@1", "R@2", "R@3", "MM-Dist")
TEXTS = ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr", "BERTScore")
_TEXT_BATCH = 256


@dataclass
class Described:
    """Motions of a split with their captions.

    Attributes:
        samples: indices in the data set.
        names: clip ids.
        captions: one of each motion.
        truth: true captions of each motion.
        nearest: of each motion the training caption that LaMP finds most similar; empty if not asked for.
    """

    samples: list[int]
    names: list[str]
    captions: list[str]
    truth: list[Sequence[Caption]]
    nearest: list[str]


@torch.inference_mode()
def describe_split(
    pipe: CaptionPipeline, draws: TestDraws, options: M2TEvalOptions, known: "TrainingTexts | None"
) -> Described:
    """Caption the whole motions of a split."""
    device = pipe.queries.lamp.device
    loader = evaluation_loader(
        draws.spec, draws.split, batch_size=options.batch_size, stats=Stats.of(pipe.queries.tokenizer)
    )
    found = Described([], [], [], [], [])
    for batch in tqdm(loader, desc=f"{draws.split}: captions", unit="batch", disable=None):
        if options.max_samples and len(found.samples) >= options.max_samples:
            break
        motion, lengths = batch.motion.to(device), batch.lengths.to(device)
        samples = batch.sample_ids.tolist()
        seeds = [options.seed + sample for sample in samples]
        captions = pipe.captioner.caption(
            pipe.queries(motion, lengths),
            num_beams=options.num_beams,
            top_p=options.top_p,
            temperature=options.temperature,
            seed=seeds,
        )
        found.samples += samples
        found.names += batch.names
        found.captions += [first for first, *_ in captions]
        found.truth += [draws.dataset.captions(sample) for sample in samples]
        if known is not None:
            found.nearest += known.nearest(motion, lengths)
    return found


class TrainingTexts:
    """Captions of the training split, to be found by LaMP: what a system without a language model could answer."""

    def __init__(self, pipe: CaptionPipeline, spec: DatasetSpec) -> None:
        self._embedder = LaMPEmbedder(pipe.queries.lamp, pipe.queries.tokenizer)
        captions = open_cache(spec).captions
        counts = Counter(caption.text for name in load_split(spec, "train") for caption in captions.get(name, ()))
        self._texts = list(counts)
        self.most_frequent = counts.most_common(1)[0][0]
        parts = range(0, len(self._texts), _TEXT_BATCH)
        self._embedded = torch.cat(
            [
                self._embedder.texts(self._texts[i : i + _TEXT_BATCH])
                for i in tqdm(parts, desc="training captions", unit="batch", disable=None)
            ]
        )

    def nearest(self, motion: torch.Tensor, lengths: torch.Tensor) -> list[str]:
        """Most similar caption of each motion (B, T, D)."""
        similarity = self._embedder.similarity(self._embedded, self._embedder.motions(motion, lengths))
        return [self._texts[i] for i in similarity.argmax(0).tolist()]


def score_texts(
    texts: list[str], tokens: list[list[str]], found: Described, options: M2TEvalOptions, device: torch.device
) -> dict[str, dict[str, float]]:
    """Scores of captions against the true ones by text protocol, and what BERTScore was made of."""
    truth = [[caption.text for caption in captions] for captions in found.truth]
    bert = options.encoder.score(texts, truth, device)
    results: dict[str, Any] = {}
    for protocol in ("raw", "tm2t") if options.protocol == "both" else (options.protocol,):
        scores = caption_scores(
            texts,
            truth,
            protocol=protocol,
            prediction_tokens=tokens,
            reference_tokens=[[caption.tokens for caption in captions] for captions in found.truth],
        )
        row = {"BLEU-1": scores.bleu1, "BLEU-4": scores.bleu4, "ROUGE-L": scores.rouge_l, "CIDEr": scores.cider}
        results[protocol] = row | ({"BERTScore": bert.f1} if bert else {})
    if bert is not None:
        results["BERTScore by"] = describe(bert)
    return results


def score_matches(
    rivals: dict[str, dict[int, list[str]]], draws: TestDraws, judge: Judge, options: M2TEvalOptions
) -> dict[str, dict[str, Statistic]]:
    """R-precision and MM-Dist with their motions, over repetitions, of the true captions and of rivals to them.

    Args:
        rivals: by name the tokens of each sample's caption.
        draws: what is drawn.
        judge: embeds; a motion once for all rivals.
        options: how many repetitions.
    """
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ("true captions", *rivals)}
    for repeat in range(options.repeat_times):
        draw = draws.draw(repeat)
        motions, order = [], []
        texts: dict[str, list[torch.Tensor]] = {name: [] for name in rows}
        for places, batch in draw.batches(64):
            order.append(places)
            motions.append(judge.motions(batch.motion, batch.lengths))
            texts["true captions"].append(judge.texts(batch.tokens))
            for name, tokens in rivals.items():
                texts[name].append(judge.texts([tokens[sample] for sample in batch.sample_ids.tolist()]))
        back = torch.cat(order).argsort()
        moved = torch.cat(motions)[back]
        for name, parts in texts.items():
            rows[name].append(match_scores(torch.cat(parts)[back], moved, draw.pools))
    return {name: {key: statistic([row[key] for row in found]) for key in found[0]} for name, found in rows.items()}


def evaluate_split(
    pipe: CaptionPipeline,
    draws: TestDraws,
    judge: Judge,
    options: M2TEvalOptions,
    known: TrainingTexts | None,
    log: Report,
) -> dict[str, Any]:
    """Caption and score a split; its tables go to the log, its captions to a file."""
    found = describe_split(pipe, draws, options, known)
    rivals = {"captioner": found.captions}
    if known is not None:
        rivals |= {
            "nearest training caption": found.nearest,
            "most frequent caption": [known.most_frequent] * len(found.captions),
        }
    tokens = {name: tag_sentences(captions) for name, captions in rivals.items()}
    device = judge.evaluator.device
    texts = {name: score_texts(captions, tokens[name], found, options, device) for name, captions in rivals.items()}
    matches: dict[str, dict[str, Statistic]] = {}
    if not options.max_samples:  # with fewer captions than samples there is nothing to draw from
        by_sample = {name: dict(zip(found.samples, said)) for name, said in tokens.items()}
        matches = score_matches(by_sample, draws, judge, options)
    log(f"{draws.split}: {len(found.captions)} captions")
    for line in format_table(matches, MATCHES) if matches else []:
        log(f"  {line}")
    for protocol in [key for key in ("raw", "tm2t") if key in texts["captioner"]]:
        rows = {name: {key: f"{value:.2f}" for key, value in row[protocol].items()} for name, row in texts.items()}
        if options.compare:
            rows |= {f"{name} ({PAPER})": row for name, row in MOTION_TO_TEXT[options.dataset_name].items()}
        for line in format_table({f"{name}, {protocol}": row for name, row in rows.items()}, TEXTS):
            log(f"  {line}")
    if made := texts["captioner"].get("BERTScore by"):
        log(f"  BERTScore {made}")
    listed = [
        {"name": name, "caption": caption, "references": [text.text for text in truth]}
        for name, caption, truth in zip(found.names, found.captions, found.truth)
    ]
    write_json(options.space / "eval" / f"{options.ext}_{draws.split}.json", listed)
    plain = {name: {key: asdict(value) for key, value in row.items()} for name, row in matches.items()}
    return {"matches": plain, "texts": texts, "made by": log.stamp}


def score_generated(pipe: CaptionPipeline, draws: TestDraws, options: M2TEvalOptions, log: Report) -> str | None:
    """LaMP-BertScore of motions that a generator makes of the true captions of one repetition."""
    device = pipe.queries.lamp.device
    root = options.checkpoints_dir / options.dataset_name
    generator = LaMPPipeline.from_runs(
        root, options.t2m_name, options.res_name or None, length_name=None, device=device
    )
    draw = draws.draw(0)
    batch = draw.pick(list(range(min(len(draw), options.max_samples or len(draw)))))
    motions = generator(batch.captions, batch.lengths.tolist(), seed=options.seed)
    score = lamp_bert_score(pipe, motions, batch.captions, options.encoder, num_beams=options.num_beams)
    if score is None:
        return None
    log(f"  LaMP-BertScore of {options.t2m_name}: {describe(score)}")
    return describe(score)


@main_with_errors
def main() -> None:
    """Options, data, models; tables for each split."""
    options = parse(M2TEvalOptions)
    print_options(options)
    load_spacy()  # before the long work: without it captions cannot be judged
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    pipe = CaptionPipeline.from_runs(root, options.captioner, which=options.which_epoch, device=device)
    pipe.with_precision(options.precision)
    evaluator, folder = load_evaluator(root, options.evaluator, spec.feature_dim, device)
    splits = [TestDraws(spec, split, seed=options.seed) for split in options.split or spec.test_splits]
    known = TrainingTexts(pipe, spec) if options.baselines else None
    log, judge = Report(options.space / "eval" / f"{options.ext}.log"), Judge(evaluator)
    checkpoint = model_identity(model_folder(options.space, options.which_epoch))
    results = {}
    for draws in splits:
        log.stamp = stamp(evaluator=model_identity(folder), data=draws.identity, checkpoint=checkpoint)
        results[draws.split] = evaluate_split(pipe, draws, judge, options, known, log)
        if options.t2m_name:
            results[draws.split]["LaMP-BertScore"] = score_generated(pipe, draws, options, log)
    write_json(log.path.with_suffix(".json"), results)


if __name__ == "__main__":
    main()
