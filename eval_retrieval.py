"""Evaluate LaMP's retrieval between text and motion; log and JSON go to `<space>/eval/<ext>.*`.

    python eval_retrieval.py --name lamp_name --dataset_name t2m --compare
    python eval_retrieval.py --name lamp --dataset_name mini --split test_seen test_unseen --nearest
    python eval_retrieval.py --name lamp --dataset_name mini --split test_unseen --rerank 0 --max_samples 200

Protocols (TMR, Petrovich et al. 2023), both ways, R@k in percent and median rank, ties counted against the match:
small_batches: pools of 32, of different labels where the data have labels (one motion a label drawn anew each time),
    otherwise random ones, the last incomplete one left out.
all: the whole split competes, only the own clip is a hit.
all_with_threshold: the whole split competes, the best of the clips with a nearly equal text (or the same label) counts.
Each by the contrastive similarity, and with the --rerank best candidates re-ordered by it and the match head together.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lamp.data.draws import split_identity
from lamp.data.loaders import Stats, evaluation_loader, heldout_texts, load_labels, load_split, read_first_captions
from lamp.data.nearest import nearest_training
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.lamp.embedder import EmbeddedPairs, LaMPEmbedder
from lamp.models.lamp.model import LaMP
from lamp.models.vq.model import RVQVAE
from lamp.options.retrieval import EvalRetrievalOptions
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import resolve_device
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.metrics import format_recall
from lamp.utils.scores.published import PAPER, RETRIEVAL
from lamp.utils.scores.retrieval import (
    bag_similarity,
    label_accuracy,
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

Scores = Mapping[str, Mapping[str, float]]


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


def nearest_labels(spec: DatasetSpec, names: Sequence[str], known: Mapping[str, str]) -> dict[str, float]:
    """Share of motions, in percent, whose nearest training motion has their label, and of those where one could."""
    trained = {known.get(name) for name in load_split(spec, "train")}
    possible = [known.get(name, name) in trained for name in names]
    hits = [answer is not None and answer.same_label for answer in nearest_training(spec, names)]
    return {"nearest_label_accuracy": 100 * sum(hits) / len(hits), "trained_labels": 100 * sum(possible) / len(hits)}


def read_batches(spec: DatasetSpec, split: str, stats: Stats, options: EvalRetrievalOptions) -> Iterator[Any]:
    """Batches of a split; where fewer samples are asked for, of random ones."""
    dataset = evaluation_loader(spec, split, batch_size=options.batch_size, stats=stats).dataset
    order = list(range(len(dataset)))
    if 0 < options.max_samples < len(order):
        order = sorted(random.Random(options.seed).sample(order, options.max_samples))
    for start in range(0, len(order), options.batch_size):
        yield dataset.__getitems__(order[start : start + options.batch_size])


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
        scores = {"contrastive": retrieval_scores(similarity, task.pools, hits=task.hits)}
        if match is not None:
            scores["reranked"] = retrieval_scores(similarity, task.pools, hits=task.hits, match=match, count=count)
        for way, title in WAYS.items():
            for kind, suffix in (("contrastive", ""), ("reranked", ", re-ranked")):
                if kind in scores:
                    log(f"    {title + suffix}: {format_recall(scores[kind][way])}")
        results[task.name] = {"pool": len(task.pools[0])} | scores
    return results


def comparison(published: Mapping[str, Mapping[str, float]], scores: Scores) -> list[str]:
    """Table of published scores and ours.

    Args:
        published: scores by name.
        scores: ours, "t2m" and "m2t".
    """
    rows = {**published, **{f"this model, {title}": scores[way] for way, title in WAYS.items()}}
    columns = list(dict.fromkeys(key for row in published.values() for key in row))
    return format_table({name: {key: f"{row[key]:.1f}" for key in columns} for name, row in rows.items()}, columns)


def evaluate_split(
    embedder: LaMPEmbedder,
    bank: LabelBank | None,
    spec: DatasetSpec,
    split: str,
    options: EvalRetrievalOptions,
    log: Report,
) -> dict[str, Any]:
    """All that is asked for of a split."""
    known = load_labels(spec)
    source = heldout_texts(spec) if options.heldout_texts else spec
    batches = read_batches(source, split, Stats.of(embedder.tokenizer), options)
    pairs = embedder.pairs(batches, keep_features=options.rerank > 0)
    labels = [known.get(name, name) for name in pairs.names]
    log(f"{split}: {len(labels)} clips, {len(set(labels))} labels, {len(pairs.sentences)} different texts")
    protocols = score_tasks(embedder, pairs, prepare_tasks(pairs, known, options), options.rerank, log)
    result = {"clips": len(labels), "labels": len(set(labels)), "protocols": protocols}
    if small := protocols.get("small_batches"):
        # The headline.
        result |= {"pool": small["pool"]} | small["contrastive"]
    if options.compare:
        log(f"  small_batches beside what is published ({PAPER})")
        for line in comparison(RETRIEVAL[options.dataset_name], small["contrastive"]):
            log(f"    {line}")
    if bank is not None:
        scores = embedder.similarity(bank.texts, pairs.motions).T
        result["label_accuracy"] = label_accuracy(scores, labels, bank.labels)
        log(f"  label of a motion among all {len(set(bank.labels))}: {result['label_accuracy']:.1f} %")
    if options.nearest:
        result |= nearest_labels(spec, pairs.names, known)
        log(
            f"  label of its nearest training motion: {result['nearest_label_accuracy']:.1f} %; "
            f"training has the label of {result['trained_labels']:.1f} %"
        )
    return result


@main_with_errors
def main() -> None:
    """Options, models, the splits one after the other."""
    options = parse(EvalRetrievalOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    if options.nearest and not load_labels(spec):
        raise UserError(f"--nearest: {spec.root} has no labels.json")
    device = resolve_device(options.gpu_id)
    folder = model_folder(options.space, options.which_epoch)
    vq_name = options.vq_name or read_run_options(options.space)["vq_name"]
    vq_folder = model_folder(options.checkpoints_dir / options.dataset_name / vq_name)
    tokenizer = RVQVAE.from_pretrained(vq_folder, device=device)
    embedder = LaMPEmbedder(LaMP.from_pretrained(folder, device=device), tokenizer)
    log = Report(options.space / "eval" / f"{options.ext}.log")
    bank = label_bank(embedder, spec, options.seed)
    made_by = {"LaMP": model_identity(folder), "tokenizer": model_identity(vq_folder)}
    results = {}
    for split in options.split or spec.test_splits:
        data = split_identity(spec, split, heldout=options.heldout_texts)
        log.stamp = stamp(**made_by, data=data)
        results[split] = evaluate_split(embedder, bank, spec, split, options, log)
    write_json(options.space / "eval" / f"{options.ext}.json", results)


if __name__ == "__main__":
    main()
