"""Evaluate a motion tokenizer's reconstruction; log and JSON go to `<space>/eval/<ext>.*`.

python eval_t2m_vq.py --gpu_id 0 --name vq_name --dataset_name t2m
python eval_t2m_vq.py --name tokenizer --dataset_name mini --split test_seen test_unseen test_cmu
"""

import dataclasses

import torch
from torch import Tensor
from tqdm import tqdm

from data.cache import open_cache
from data.loaders import Stats, evaluation_loader, load_labels, load_split
from data.spec import DatasetSpec, get_spec
from models.checkpoints import model_folder
from models.vq.model import RVQVAE
from options.vq import EvalVQOptions
from utils.cli import parse, print_options
from utils.device import resolve_device
from utils.errors import main_with_errors
from utils.files import write_json
from utils.logging import report_logger
from utils.neighbours import NeighbourSearch
from utils.reconstruction import evaluate_reconstruction
from utils.seed import seed_everything


def nearest_motions(spec: DatasetSpec, split: str) -> dict[str, float]:
    """Error and label accuracy of answering each motion of a split with its nearest training motion."""
    cache, labels = open_cache(spec), load_labels(spec)
    train = [name for name in load_split(spec, "train") if name in cache.rows]
    search = NeighbourSearch((torch.tensor(cache.motion(name)) for name in train), spec.layout)
    errors, hits = [], []
    for name in tqdm(load_split(spec, split), desc=f"{split}: nearest motion", unit="motion", disable=None):
        found = search(torch.tensor(cache.motion(name)))
        if found is not None:
            errors.append(spec.skeleton.millimetres * found.error)
            hits.append(labels.get(train[found.index]) == labels.get(name, name))
    return {"nearest_mpjpe": sum(errors) / len(errors), "nearest_label": 100.0 * sum(hits) / len(hits)}


@main_with_errors
def main() -> None:
    """Options, data, model, one line a split."""
    options = parse(EvalVQOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    folder = model_folder(options.space, options.which_epoch)
    model = RVQVAE.from_pretrained(folder, device=device)
    stats = Stats.of(model)
    log = report_logger(options.space / "eval" / f"{options.ext}.log")
    log(f"tokenizer {folder}, data {spec.root}")

    @torch.inference_mode()
    def roundtrip(motion: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        codes = model.encode(motion, lengths)
        return model.decode(codes, lengths // model.config.frames_per_token), codes

    results = {}
    for split in options.split:
        loader = evaluation_loader(spec, split, batch_size=options.batch_size, stats=stats)
        result = evaluate_reconstruction(
            loader, roundtrip, model.denormalize, model.config.nb_code, spec.skeleton.millimetres, device
        )
        results[split] = dataclasses.asdict(result)
        usage = " ".join(f"{100 * value:.0f}%" for value in result.usage)
        perplexity = " ".join(f"{value:.0f}" for value in result.perplexity)
        log(
            f"{split}: {result.clips} clips, MPJPE {result.mpjpe:.1f} mm, path drift {result.drift:.1f} mm, "
            f"codes in use a level {usage}, perplexity a level {perplexity}"
        )
        if options.per_clip:
            for name, error in result.clip_mpjpe.items():
                log(f"  {name}: {error:.1f} mm")
        if options.nearest:
            results[split] |= nearest_motions(spec, split)
            log(
                f"  nearest training motion instead: MPJPE {results[split]['nearest_mpjpe']:.1f} mm, "
                f"same label {results[split]['nearest_label']:.1f} %"
            )
    write_json(options.space / "eval" / f"{options.ext}.json", results)


if __name__ == "__main__":
    main()
