"""Bulk generation and embedding as `bulk.py` does them, by size of the batch, and an evaluation of 4,600 motions.

python -m benchmarks.bench_bulk --device cuda

Published sizes, random weights. Generation and embedding end with a part on disk. Of the evaluation everything stays
on the device: motions, codebooks, embeddings, and what is computed of them. Without a GPU only `--quick` measures.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch

from benchmarks.bench_generate import random_pipeline
from benchmarks.bench_gpu import check_device
from benchmarks.common import Bench, Part, Row, run_script
from benchmarks.training import FEATURES, lamp_config, tokenizer_config
from lamp.models.evaluator import Evaluator, EvaluatorConfig
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.models.vq.model import RVQVAE
from lamp.stages.bulk.items import Item, Read
from lamp.stages.bulk.parts import Part as Results
from lamp.stages.bulk.run import compute
from lamp.stages.bulk.tasks import Embed, Generate
from lamp.utils.errors import main_with_errors
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores.metrics import fid, matching_score, mpjpe, r_precision
from lamp.utils.scores.physics import MEASURES

POOL = 32
AT_ONCE = 256
"""Motions of an evaluation's batch."""


def generate(bench: Bench, size: int, frames: int, precision: str) -> Callable[[], object]:
    """A part of `size` motions, from sentences to files."""
    check_device(bench)
    sampling = {"time_steps": 10, "cond_scale": 4.0, "res_cond_scale": 5.0, "batch_size": size}
    task = Generate(random_pipeline(bench, precision), sampling)
    items = [Item(f"{i}.npy", text=f"a person does thing {i}", frames=frames) for i in range(size)]
    return lambda: compute(task, bench.folder / f"generated_{size}", 0, items)


def embed(bench: Bench, size: int, frames: int) -> Callable[[], object]:
    """A part of `size` motions, from features in memory to files."""
    check_device(bench)
    models = LaMP(lamp_config(bench)), RVQVAE(tokenizer_config(bench))
    lamp, tokenizer = (model.to(bench.device).eval() for model in models)
    task = Embed(lamp, tokenizer, size)
    features = list(torch.randn(size, frames, FEATURES).numpy())
    rows = [{"file": str(place), "place": place} for place in range(size)]
    return lambda: compute(task, bench.folder / f"embedded_{size}", 0, Read(Results(rows), features))


def evaluate(bench: Bench, count: int, frames: int) -> Callable[[], object]:
    """Tokenize and decode motions, embed both and their captions, and score them; all on the device."""
    check_device(bench)
    sizes = bench.pick({}, {"movement_hidden": 32, "text_hidden": 32, "motion_hidden": 32})
    judge = Evaluator(EvaluatorConfig(**sizes)).to(bench.device).eval()
    tokenizer = speed_up(RVQVAE(tokenizer_config(bench)).to(bench.device).eval(), frozen=True)
    motions = 0.1 * torch.randn(count, frames, FEATURES, device=bench.device)
    captions = [[f"word{i % 500}/NOUN", "walk/VERB"] for i in range(count)]
    random, pools = torch.Generator().manual_seed(0), count // POOL

    @torch.inference_mode()
    def run() -> dict[str, float]:
        texts, real, made, scores = [], [], [], dict[str, torch.Tensor]()
        for start in range(0, count, AT_ONCE):
            some = motions[start : start + AT_ONCE]
            lengths = torch.full((len(some),), frames, device=bench.device)
            again = tokenizer.reconstruct(some, lengths)
            texts.append(judge.embed_texts(captions[start : start + AT_ONCE]))
            real.append(judge.embed_motions(some, lengths))
            made.append(judge.embed_motions(again, lengths))
            joints, wanted = features_to_joints(again), features_to_joints(some)
            values = {name: measure(joints, HUMANML3D) for name, measure in MEASURES.items()}
            values["MPJPE"] = mpjpe(joints, wanted).mean(-1)
            scores = {name: value.sum() + scores.get(name, 0.0) for name, value in values.items()}
        text, first, second = (torch.cat(parts) for parts in (texts, real, made))
        pooled = [values[: pools * POOL].unflatten(0, (pools, POOL)) for values in (text, second)]
        pairs = torch.randint(count, (2, 300), generator=random).to(bench.device)
        return {
            "FID": fid(second, first),
            "R@1": r_precision(*pooled)[0],
            "MM-Dist": matching_score(text, second),
            "Diversity": (second[pairs[0]] - second[pairs[1]]).norm(dim=-1).mean().item(),
            **{name: value.item() / count for name, value in scores.items()},
        }

    return run


def parts(bench: Bench) -> list[Part]:
    """Embedding, the evaluation, generation in bfloat16 and in float32."""
    frames, count = bench.pick(196, 24), bench.pick(4600, 64)
    sizes = bench.pick((32, 128, 256, 512, 1024), (1, 2))
    words = f"of {frames} frames, to files"

    def generation(precision: str) -> list[Part]:
        return [
            Part(
                f"bulk_generate_{precision}_{size}",
                f"{size} motions {words}, {precision}",
                size,
                "motions",
                partial(generate, bench, size, frames, precision),
            )
            for size in sizes
        ]

    embedding = [
        Part(
            f"bulk_embed_{size}", f"embed {size} motions {words}", size, "motions", partial(embed, bench, size, frames)
        )
        for size in sizes
    ]
    title = f"evaluate a tokenizer on {count:,} motions of {frames} frames"
    evaluation = Part("evaluate", title, count, "motions", partial(evaluate, bench, count, frames))
    return [*embedding, evaluation, *generation("bfloat16"), *generation("float32")]


def best(rows: Sequence[Row]) -> dict[str, str]:
    """For each kind of bulk work, a line on the batch that gave most motions a second."""
    found: dict[str, Row] = {}
    for row in rows:
        kind, speed = row.key.rpartition("_")[0], row.items_per_second
        if kind.startswith("bulk_") and speed and speed > (getattr(found.get(kind), "items_per_second", None) or 0.0):
            found[kind] = row
    return {
        kind: f"{kind}: best batch {row.items}, {row.items_per_second:.3g} motions/s, {row.peak_gb or 0:.2f} GB"
        for kind, row in found.items()
    }


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_bulk", parts, default_device="cuda")


if __name__ == "__main__":
    main()
