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
from collections.abc import Iterator
from typing import Any

from lamp.data.draws import split_identity
from lamp.data.loaders import Stats, evaluation_loader, heldout_texts, load_labels
from lamp.data.motion import TextMotionBatch
from lamp.data.nearest import nearest_labels
from lamp.data.spec import DatasetSpec, get_spec
from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.lamp.model import LaMP
from lamp.models.vq.model import RVQVAE
from lamp.options.retrieval import EvalRetrievalOptions
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.retrieval import show_confusion, show_matches, show_recall
from lamp.stages.retrieval_evaluation import LabelBank, comparison, label_bank, prepare_tasks, score_tasks
from lamp.utils.cli import parse, print_options
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import write_json
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process
from lamp.utils.run.logging import Report
from lamp.utils.run.provenance import model_identity, stamp
from lamp.utils.run.seed import seed_everything
from lamp.utils.scores.published import PAPER, RETRIEVAL
from lamp.utils.scores.retrieval import nearest_names


def read_batches(
    spec: DatasetSpec, split: str, stats: Stats, options: EvalRetrievalOptions
) -> Iterator[TextMotionBatch]:
    """Batches of a split; where fewer samples are asked for, of random ones."""
    dataset = evaluation_loader(spec, split, batch_size=options.batch_size, stats=stats).dataset
    order = list(range(len(dataset)))
    if 0 < options.max_samples < len(order):
        order = sorted(random.Random(options.seed).sample(order, options.max_samples))
    for start in range(0, len(order), options.batch_size):
        yield dataset.__getitems__(order[start : start + options.batch_size])


def evaluate_split(
    embedder: LaMPEmbedder,
    bank: LabelBank | None,
    spec: DatasetSpec,
    split: str,
    options: EvalRetrievalOptions,
    log: Report,
    page: EvaluationPage,
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
            for line in comparison(RETRIEVAL[options.dataset_name], small["contrastive"], small["pool"]):
                log(f"    {line}")
    named = None
    if bank is not None:
        named = nearest_names(embedder.similarity(bank.texts, pairs.motions).T, bank.labels)
        result["label_accuracy"] = 100.0 * sum(is_ == said for is_, said in zip(labels, named)) / len(labels)
        log(f"  label of a motion among all {len(set(bank.labels))}: {result['label_accuracy']:.1f} %")
    if options.nearest:
        result |= nearest_labels(spec, pairs.names, known)
        log(
            f"  label of its nearest training motion: {result['nearest_label_accuracy']:.1f} %; "
            f"training has the label of {result['trained_labels']:.1f} %"
        )
    show_recall(page, split, protocols, RETRIEVAL.get(options.dataset_name, {}))
    show_confusion(page, split, labels, named)
    again = read_batches(source, split, Stats.plain(spec.feature_dim), options)
    show_matches(page, split, embedder, pairs, again)
    return result


@main_with_errors
def main() -> None:
    """Options, models, the splits one after the other."""
    options = parse(EvalRetrievalOptions)
    require_one_process()
    print_options(options)
    seed_everything(options.seed)
    spec, device = get_spec(options.dataset_name, options.data_root), resolve_device(options.gpu_id)
    if options.nearest and not load_labels(spec):
        raise UserError(f"--nearest: {spec.root} has no labels.json")
    folder = model_folder(options.space, options.which_epoch)
    vq_name = options.vq_name or read_run_options(options.space)["vq_name"]
    vq_folder = model_folder(options.checkpoints_dir / options.dataset_name / vq_name)
    tokenizer = RVQVAE.from_pretrained(vq_folder, device=device)
    embedder = LaMPEmbedder(LaMP.from_pretrained(folder, device=device), tokenizer)
    log = Report(options.space / "eval" / f"{options.ext}.log")
    page = EvaluationPage(log, f"Retrieval: {options.name}")
    bank = label_bank(embedder, spec, options.seed)
    made_by = {"LaMP": model_identity(folder), "tokenizer": model_identity(vq_folder)}
    results = {}
    for split in options.split or spec.test_splits:
        log.stamp = stamp(**made_by, data=split_identity(spec, split, heldout=options.heldout_texts))
        results[split] = evaluate_split(embedder, bank, spec, split, options, log, page)
    page.write()
    write_json(options.space / "eval" / f"{options.ext}.json", results)


if __name__ == "__main__":
    main()
