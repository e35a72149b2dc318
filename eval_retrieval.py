"""Evaluate LaMP's retrieval between text and motion; log and JSON go to `<space>/eval/<ext>.*`.

    python eval_retrieval.py --name lamp --dataset_name mini --split test_seen test_unseen

Protocol where the data have labels (mini): pools of motions with different labels, 32 at most, one motion a label drawn
anew each time; the mean over the draws. Without labels every clip is its own label, which makes the pools the field's
random batches of 32.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from data.loaders import Stats, evaluation_loader, heldout_texts, load_labels, read_first_captions
from data.spec import DatasetSpec, get_spec
from models.checkpoints import model_folder, read_run_options
from models.lamp.embedder import LaMPEmbedder
from models.lamp.model import LaMP
from models.vq.model import RVQVAE
from options.eval import EvalRetrievalOptions
from utils.cli import parse, print_options
from utils.device import resolve_device
from utils.errors import main_with_errors
from utils.files import write_json
from utils.logging import report_logger
from utils.metrics import format_recall
from utils.retrieval import label_accuracy, label_pools, retrieval_scores, sample_per_label
from utils.seed import seed_everything

BANK_TEXTS = 8


@dataclass
class LabelBank:
    """Embeddings of texts (N, E) and their labels."""

    texts: Tensor
    labels: list[str]


def label_bank(embedder: LaMPEmbedder, spec: DatasetSpec, seed: int) -> LabelBank | None:
    """Texts of every label of the data set, for naming a motion's label; None where the data have no labels."""
    known = load_labels(spec)
    if not known:
        return None
    names, labels = list(known), list(known.values())
    chosen = sample_per_label(labels, BANK_TEXTS, seed)
    captions = read_first_captions(spec, [names[i] for i in chosen])
    texts = torch.cat([embedder.texts(captions[i : i + 64]) for i in range(0, len(captions), 64)])
    return LabelBank(texts, [labels[i] for i in chosen])


@main_with_errors
def main() -> None:
    """Options, models, embeddings, scores."""
    options = parse(EvalRetrievalOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    folder = model_folder(options.space, options.which_epoch)
    root = options.checkpoints_dir / options.dataset_name
    vq_name = options.vq_name or read_run_options(options.space)["vq_name"]
    tokenizer = RVQVAE.from_pretrained(model_folder(root / vq_name), device=device)
    embedder = LaMPEmbedder(LaMP.from_pretrained(folder, device=device), tokenizer)
    stats = Stats.of(tokenizer)
    log = report_logger(options.space / "eval" / f"{options.ext}.log")
    wording = "texts_heldout" if options.heldout_texts else "texts"
    log(f"LaMP {folder}, tokenizer {vq_name}, data {spec.root}, captions {wording}, {options.draws} draws")
    bank = label_bank(embedder, spec, options.seed)
    known = load_labels(spec)
    captions = partial(read_first_captions, heldout_texts(spec)) if options.heldout_texts else None
    results = {}
    for split in options.split:
        loader = evaluation_loader(spec, split, batch_size=options.batch_size, stats=stats)
        pairs = embedder.pairs(loader, captions)
        labels = [known.get(name, name) for name in pairs.names]
        similarity = embedder.similarity(pairs.texts, pairs.motions)
        pools = list(label_pools(labels, options.draws, options.seed))
        count = len(set(labels))
        results[split] = {"clips": len(labels), "labels": count, "pool": len(pools[0])}
        results[split] |= retrieval_scores(similarity, pools)
        log(f"{split}: {len(labels)} clips, {count} labels, pools of {len(pools[0])}")
        for way, name in (("t2m", "text to motion"), ("m2t", "motion to text")):
            log(f"  {name}: {format_recall(results[split][way])}")
        if bank is not None:
            scores = embedder.similarity(bank.texts, pairs.motions).T
            results[split]["label_accuracy"] = label_accuracy(scores, labels, bank.labels)
            log(f"  label of a motion among all {len(set(bank.labels))}: {results[split]['label_accuracy']:.1f} %")
    write_json(options.space / "eval" / f"{options.ext}.json", results)


if __name__ == "__main__":
    main()
