"""Captions of the motions of a split, what they are compared with, and their scores."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from lamp.data.cache import open_cache
from lamp.data.draws import TestDraws
from lamp.data.loaders import Stats, evaluation_loader, load_split
from lamp.data.spec import DatasetSpec
from lamp.data.text import Caption
from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.m2t.bertscore import describe, lamp_bert_score
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.options.m2t_eval import M2TEvalOptions
from lamp.utils.scores.captions import caption_scores
from lamp.utils.scores.evaluation import Judge, Statistic, match_scores, statistic

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
    texts: list[str], tokens: list[list[str]] | None, found: Described, options: M2TEvalOptions, device: torch.device
) -> dict[str, Any]:
    """Scores of captions against the true ones.

    Args:
        texts: a caption of each motion.
        tokens: their `word/POS` lemmas, which the protocol "tm2t" compares; None without that protocol.
        found: the motions with their true captions.
        options: which text protocols, and how BERTScore compares.
        device: where BERTScore is computed.

    Returns:
        For each text protocol ("raw", "tm2t") its scores by name; as "BERTScore by" what made that score, if it was.
    """
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


def score_generated(pipe: CaptionPipeline, draws: TestDraws, options: M2TEvalOptions) -> str | None:
    """LaMP-BertScore, and what made it, of motions that --t2m_name makes of the true captions of one repetition."""
    device = pipe.queries.lamp.device
    root = options.checkpoints_dir / options.dataset_name
    generator = LaMPPipeline.from_runs(
        root, options.t2m_name, options.res_name or None, length_name=None, device=device
    )
    draw = draws.draw(0)
    batch = draw.pick(list(range(min(len(draw), options.max_samples or len(draw)))))
    motions = generator(batch.captions, batch.lengths.tolist(), seed=options.seed)
    score = lamp_bert_score(pipe, motions, batch.captions, options.encoder, num_beams=options.num_beams)
    return None if score is None else describe(score)
