"""Evaluate text to motion; log and JSON go to `<space of the masked transformer>/eval/<ext>.*`.

    python eval_t2m_trans_res.py --res_name rtrans_name --name mtrans_name --dataset_name t2m --cond_scale 4 \
        --time_steps 10 --ext evaluation
    python eval_t2m_trans_res.py --name masked --res_name residual --dataset_name mini --split test_seen test_unseen

For every label (action) of a split, or every clip where the data have no labels, motions are generated from captions of
its clips, as long as the clips are, and LaMP retrieves text from motion in pools of different labels, beside the same
for the real motions. Physical measures (foot skating, floor, jitter) of both follow.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from data.loaders import Stats, evaluation_loader, heldout_texts, read_first_captions
from data.motion import TextMotionBatch
from data.spec import DatasetSpec, get_spec
from models.checkpoints import model_folder, read_run_options
from models.lamp.embedder import LaMPEmbedder
from models.lamp.model import LaMP
from models.pipeline import LaMPPipeline
from options.eval import EvalT2MOptions
from utils import physics
from utils.cli import parse, print_options
from utils.device import resolve_device
from utils.errors import main_with_errors
from utils.features import features_to_joints
from utils.files import write_json
from utils.logging import report_logger
from utils.metrics import format_recall
from utils.retrieval import label_pools, retrieval_scores, sample_per_label
from utils.seed import seed_everything


def measure(joints: list[np.ndarray], fps: float) -> dict[str, float]:
    """Physical measures, averaged over motions (T, J, 3)."""
    rows = [
        {
            "foot skating": physics.foot_skating_ratio(j, fps).item(),
            "floor penetration mm": 1000 * physics.floor_penetration(j).item(),
            "floating mm": 1000 * physics.floating(j).item(),
            "jitter m/s^3": physics.jitter(j, fps).item(),
        }
        for j in joints
    ]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def evaluate_split(
    pipe: LaMPPipeline, embedder: LaMPEmbedder, spec: DatasetSpec, split: str, options: EvalT2MOptions
) -> dict[str, Any]:
    """Retrieval and physical measures of real and generated motions of a split."""
    tokenizer = pipe.tokenizer
    stats = Stats.of(tokenizer)
    loader = evaluation_loader(spec, split, batch_size=64, stats=stats)
    labels = loader.dataset.motion_ids
    picked = sample_per_label(labels, options.motions_per_label, options.seed)
    batch: TextMotionBatch = loader.dataset.__getitems__(picked).to(tokenizer.device)
    captions = batch.captions
    if options.heldout_texts:
        captions = read_first_captions(heldout_texts(spec), batch.names)
    with tqdm(total=len(picked), desc=f"{split}: generating", unit="motion", disable=None) as bar:
        motions = pipe(
            captions,
            batch.lengths.tolist(),
            seeds=[options.seed + i for i in range(len(picked))],
            **options.sampling(),
            progress=lambda done, total: bar.update(done - bar.n),
        )
    generated = torch.zeros_like(batch.motion)
    for row, motion in enumerate(motions):
        generated[row, : len(motion)] = tokenizer.normalize(torch.from_numpy(motion.features).to(generated))
    texts = embedder.texts(captions)
    pools = list(label_pools([labels[i] for i in picked], options.draws, options.seed))

    def scores(motion: Tensor) -> dict[str, Any]:
        embedded = torch.cat([embedder.motions(m, n) for m, n in zip(motion.split(64), batch.lengths.split(64))])
        return retrieval_scores(embedder.similarity(texts, embedded), pools)

    real = features_to_joints(tokenizer.denormalize(batch.motion)).cpu().numpy()
    return {
        "motions": len(picked),
        "pool": len(pools[0]),
        "real": scores(batch.motion) | {"physics": measure([j[:n] for j, n in zip(real, batch.lengths)], pipe.fps)},
        "generated": scores(generated) | {"physics": measure([m.joints for m in motions], pipe.fps)},
    }


@main_with_errors
def main() -> None:
    """Options, models, a table a split."""
    options = parse(EvalT2MOptions)
    print_options(options)
    seed_everything(options.seed)
    spec = get_spec(options.dataset_name, options.data_root)
    device = resolve_device(options.gpu_id)
    root = options.checkpoints_dir / options.dataset_name
    pipe = LaMPPipeline.from_runs(
        root,
        options.name,
        options.res_name or None,
        length_name=options.length_name,
        which=options.which_epoch,
        device=device,
    )
    lamp_name = read_run_options(options.space)["lamp_name"]
    embedder = LaMPEmbedder(LaMP.from_pretrained(model_folder(root / lamp_name), device=device), pipe.tokenizer)
    log = report_logger(options.space / "eval" / f"{options.ext}.log")
    wording = "texts_heldout" if options.heldout_texts else "texts"
    log(f"masked {options.name}, residual {options.res_name or 'none'}, retrieval by LaMP {lamp_name}")
    log(f"data {spec.root}, captions {wording}, seed {options.seed}, {options.time_steps} steps")
    guidance = pipe.guidance.override(options.cond_scale, options.res_cond_scale)
    log(f"guidance {guidance.cond_scale} (masked), {guidance.res_cond_scale} (residual)")
    results = {}
    for split in options.split:
        result = results[split] = evaluate_split(pipe, embedder, spec, split, options)
        log(f"{split}: {result['motions']} motions, pools of {result['pool']}, {options.draws} draws")
        for kind in ("real", "generated"):
            for way, name in (("m2t", "motion to text"), ("t2m", "text to motion")):
                log(f"  {kind} {name}: {format_recall(result[kind][way])}")
            log("  " + kind + " " + ", ".join(f"{k} {v:.3g}" for k, v in result[kind]["physics"].items()))
        ratio = result["generated"]["m2t"]["R@3"] / max(result["real"]["m2t"]["R@3"], 1e-9)
        log(f"  generated / real, motion to text R@3: {100 * ratio:.1f} %")
    write_json(options.space / "eval" / f"{options.ext}.json", results)


if __name__ == "__main__":
    main()
