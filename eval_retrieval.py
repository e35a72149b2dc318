"""Evaluate LaMP's retrieval between text and motion; log and JSON go to `<space>/eval/<ext>.*`.

    python eval_retrieval.py --name lamp --dataset_name mini --split test_seen test_unseen

Protocol where the data have labels (mini): pools of motions with different labels, 32 at most, one motion a label drawn
anew each time; the mean over the draws. Without labels every clip is its own label, which makes the pools the field's
random batches of 32.
"""

from dataclasses import replace

import torch

from data.loaders import Stats, evaluation_loader, read_first_captions
from data.spec import get_spec
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
from utils.retrieval import label_pools, retrieval_scores
from utils.seed import seed_everything


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
    stats = Stats(tokenizer.mean.cpu(), tokenizer.std.cpu())
    log = report_logger(options.space / "eval" / f"{options.ext}.log")
    wording = "texts_heldout" if options.heldout_texts else "texts"
    log(f"LaMP {folder}, tokenizer {vq_name}, data {spec.root}, captions {wording}, {options.draws} draws")
    results = {}
    for split in options.split:
        loader = evaluation_loader(spec, split, batch_size=options.batch_size, stats=stats)
        texts, motions, labels = [], [], []
        for batch in loader:
            captions = batch.captions
            if options.heldout_texts:
                captions = read_first_captions(replace(spec, texts="texts_heldout"), batch.names)
            motions.append(embedder.motions(batch.motion.to(device), batch.lengths.to(device)))
            texts.append(embedder.texts(captions))
            labels += batch.motion_ids.tolist()
        similarity = embedder.similarity(torch.cat(texts), torch.cat(motions))
        pools = list(label_pools(labels, options.draws, options.seed))
        results[split] = {"clips": len(labels), "labels": len(set(labels)), "pool": len(pools[0])}
        results[split] |= retrieval_scores(similarity, pools)
        log(f"{split}: {len(labels)} clips, {len(set(labels))} labels, pools of {len(pools[0])}")
        for way, name in (("t2m", "text to motion"), ("m2t", "motion to text")):
            log(f"  {name}: {format_recall(results[split][way])}")
    write_json(options.space / "eval" / f"{options.ext}.json", results)


if __name__ == "__main__":
    main()
