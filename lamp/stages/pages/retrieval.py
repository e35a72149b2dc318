"""The page of an evaluation of retrieval: recall, confusion of actions, motions that are best and worst matched."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from lamp.data.motion import TextMotionBatch
from lamp.models.lamp.embedder import EmbeddedPairs, LaMPEmbedder
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.extremes import KEPT, motion_of
from lamp.stages.retrieval_evaluation import WAYS
from lamp.utils.motion import Motion
from lamp.utils.scores.metrics import retrieval_ranks
from lamp.utils.scores.published import Rows


def show_recall(page: EvaluationPage, section: str, protocols: Mapping[str, Any], published: Rows) -> None:
    """Recall of each protocol, as `score_tasks` gives it, both ways; what is published are small batches."""
    for name, found in protocols.items():
        rows = {
            f"{title}{suffix}": found[kind][way]
            for kind, suffix in (("contrastive", ""), ("reranked", ", re-ranked"))
            if kind in found
            for way, title in WAYS.items()
        }
        columns = next(iter(rows.values()))
        title = f"Recall in percent, protocol {name}"
        notes = [f"{found['pool']} candidates for each query."]
        page.scores(section, title, rows, list(columns), published if name == "small_batches" else {}, notes)


def show_confusion(page: EvaluationPage, section: str, true: list[str], named: list[str] | None) -> None:
    """Which actions LaMP takes for which; `named` is None where the data have no labels."""
    if named is None:
        page.say(section, "Confusion of actions", "The data have no labels (labels.json).")
    else:
        page.confusion(section, true, named)


def show_matches(
    page: EvaluationPage, section: str, embedder: LaMPEmbedder, pairs: EmbeddedPairs, batches: Iterable[TextMotionBatch]
) -> None:
    """Motions that LaMP finds most and least similar to their own captions.

    Args:
        page: where to.
        section: of it.
        embedder: that embedded the pairs.
        pairs: the motions with a caption each.
        batches: the same in the same order, features as in the data.
    """
    similarity = embedder.similarity(pairs.sentence_embeddings, pairs.motions)[pairs.rows]
    own, ranks = similarity.diagonal(), retrieval_ranks(similarity)
    order = own.argsort(descending=True, stable=True).tolist()
    best, worst = order[:KEPT], order[::-1][:KEPT]
    motions = _pick(batches, {*best, *worst})
    for kind, rows in (("best", best), ("worst", worst)):
        shown = [(motions[row], _title(pairs.names[row], own[row], ranks[row], len(order))) for row in rows]
        note = "By the similarity of motion and caption; the rank is the motion's among all, for its caption."
        page.motions(section, f"Motions that fit their captions {kind}", shown, [note])


def _title(name: str, own: Tensor, rank: Tensor, count: int) -> str:
    return f"{own.item():.2f}, rank {int(rank) + 1} of {count}: {name}"


def _pick(batches: Iterable[TextMotionBatch], wanted: set[int]) -> dict[int, Motion]:
    """The motions of some rows, counted over all batches."""
    found, row = {}, 0
    for batch in batches:
        for motion, length, text in zip(batch.motion, batch.lengths.tolist(), batch.captions):
            if row in wanted:
                found[row] = motion_of(motion[:length].to(torch.float32), text)
            row += 1
    return found
