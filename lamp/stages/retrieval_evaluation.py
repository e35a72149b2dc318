"""Retrieval protocols on the samples of a split: who competes, what counts as a hit, scores and re-ranked scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamp.data.loaders import load_labels, read_first_captions
from lamp.data.spec import DatasetSpec
from lamp.models.lamp.embedder import EmbeddedPairs, LaMPEmbedder
from lamp.options.retrieval import EvalRetrievalOptions
from lamp.utils.scores.cautions import POOL, pool_cautions
from lamp.utils.scores.metrics import format_recall
from lamp.utils.scores.retrieval import (
    bag_similarity,
    label_pools,
    retrieval_scores,
    sample_per_label,
    sentence_similarity,
    shortlisted_pairs,
    text_hits,
)
from lamp.utils.scores.tables import format_table

BANK_TEXTS = 8
LABEL_DRAWS = 60
_LEAST_PROBABILITY = 1e-9
WAYS = {"t2m": "text to motion", "m2t": "motion to text"}


@dataclass
class LabelBank:
    """Embeddings of texts (N, E) and their labels."""

    texts: Tensor
    labels: list[str]


@dataclass
class Task:
    """A protocol made ready for a split: its pools, what counts as a hit (None: the own clip), what to say of it."""

    name: str
    pools: list[list[int]]
    hits: Tensor | None
    note: str


def label_bank(embedder: LaMPEmbedder, spec: DatasetSpec, seed: int) -> LabelBank | None:
    """Texts of every label of the data set, for naming a motion's label; None where the data have no labels."""
    known = load_labels(spec)
    if not known:
        return None
    names, labels = list(known), list(known.values())
    chosen = sample_per_label(labels, BANK_TEXTS, seed)
    captions = read_first_captions(spec, [names[i] for i in chosen])
    return LabelBank(embedder.texts(captions), [labels[i] for i in chosen])


def prepare_tasks(pairs: EmbeddedPairs, known: Mapping[str, str], options: EvalRetrievalOptions) -> list[Task]:
    """The protocols asked for, on a split's samples."""
    labels = [known.get(name, name) for name in pairs.names]
    draws = options.draws or (LABEL_DRAWS if known else 1)
    batches, everything = list(label_pools(labels, draws, options.seed)), [list(range(len(labels)))]
    tasks = []
    for name in dict.fromkeys(options.protocol):
        if name == "small_batches":
            kind = "different labels" if known else "random clips"
            tasks.append(Task(name, batches, None, f"pools of {len(batches[0])}, {kind}, {draws} draws"))
        elif name == "all":
            harsh = "; harsh, since clips of one label have exchangeable texts" if known else ""
            tasks.append(Task(name, everything, None, f"{len(labels)} candidates, only the own clip is a hit{harsh}"))
        else:
            tasks.append(Task(name, everything, *threshold_hits(pairs, labels if known else None, options)))
    return tasks


def threshold_hits(
    pairs: EmbeddedPairs, labels: Sequence[str] | None, options: EvalRetrievalOptions
) -> tuple[Tensor, str]:
    """Hits of the protocol with a threshold, and what they are."""
    if options.sentence_model:
        alike = sentence_similarity(pairs.sentences, options.sentence_model, pairs.rows.device)
        kind = f"(1 + cosine) / 2 by {options.sentence_model}"
    else:
        alike, kind = bag_similarity(pairs.lemmas).to(pairs.rows.device), "cosine of bags of lemmas"
    hits = text_hits(alike, pairs.rows, options.threshold, labels)
    also = " or equal label" if labels else ""
    count = hits.sum(1).double().mean().item()
    return hits, f"hits: {kind} >= {options.threshold:g}{also}, {count:.1f} of {len(hits)} for a query on average"


def score_tasks(
    embedder: LaMPEmbedder, pairs: EmbeddedPairs, tasks: Sequence[Task], count: int, log: Callable[[str], None]
) -> dict[str, Any]:
    """Of each protocol by name: size of a pool, "contrastive" and "reranked" scores, each both ways."""
    similarity = embedder.similarity(pairs.sentence_embeddings, pairs.motions)[pairs.rows]
    match = None
    if count:
        pools = list({tuple(pool): pool for task in tasks for pool in task.pools}.values())
        wanted = torch.zeros(len(pairs.sentences), len(pairs.names), device=similarity.device)
        wanted.index_add_(0, pairs.rows, shortlisted_pairs(similarity, pools, count).to(wanted.dtype))
        probability = embedder.match_probabilities(pairs, wanted > 0)[pairs.rows]
        # In the units of the contrastive logits' exponent: the product of what the two heads say.
        match = probability.clamp_min(_LEAST_PROBABILITY).log() / embedder.lamp.scale()
        log(f"  re-ranking the {count} best: {int((wanted > 0).sum())} pairs")
    results: dict[str, Any] = {}
    for task in tasks:
        log(f"  {task.name}: {task.note}")
        pool = len(task.pools[0])
        for line in pool_cautions(pool) if task.name == "small_batches" else []:
            log(f"    {line}")
        scores = {"contrastive": retrieval_scores(similarity, task.pools, hits=task.hits)}
        if match is not None:
            scores["reranked"] = retrieval_scores(similarity, task.pools, hits=task.hits, match=match, count=count)
        for way, title in WAYS.items():
            for kind, suffix in (("contrastive", ""), ("reranked", ", re-ranked")):
                if kind in scores:
                    log(f"    {title + suffix}: {format_recall(scores[kind][way])}")
        results[task.name] = {"pool": pool} | scores
    return results


def comparison(
    published: Mapping[str, Mapping[str, float]], scores: Mapping[str, Mapping[str, float]], pool: int
) -> list[str]:
    """Table of published scores and ours.

    Args:
        published: scores by name, of pools of 32.
        scores: ours, "t2m" and "m2t".
        pool: candidates of a pool of ours.
    """
    columns = list(dict.fromkeys(key for row in published.values() for key in row))
    ours = {f"this model, {title}": scores[way] for way, title in WAYS.items()}
    rows = [(name, POOL, row) for name, row in published.items()] + [(name, pool, row) for name, row in ours.items()]
    cells = {name: {"pool": size, **{key: f"{row[key]:.1f}" for key in columns}} for name, size, row in rows}
    return format_table(cells, ["pool", *columns])
