"""Validation of a captioner while it is trained: loss, scores of greedy captions, and some of them to look at."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from lamp.data.cache import open_cache
from lamp.data.loaders import TextLoader
from lamp.data.motion import TextMotionBatch
from lamp.data.spec import DatasetSpec
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.queries import LaMPCaptioner, MotionQueries
from lamp.utils.run.trainer import Trainer
from lamp.utils.scores.captions import caption_scores

SHOWN = 6
"""Validation captions shown at each evaluation."""
ENCODE_BATCH = 64
MOST_KEPT = 4 * 2**30
"""Bytes of queries that are kept; those of HumanML3D take 2 GB, those of a million motions 77."""


def encode_all(queries: MotionQueries, loader: TextLoader, what: str) -> Tensor | None:
    """Queries (N, nq, H) of every sample of an unshuffled loader, in float16 on the CPU; None if over `MOST_KEPT`."""
    config = queries.lamp.config
    shape = (len(loader.dataset), config.num_query_tokens, config.hidden_size)
    if 2 * math.prod(shape) > MOST_KEPT:
        return None
    table = torch.empty(shape, dtype=torch.float16)
    for batch, found in encode_batches(queries, loader, what):
        table[batch.sample_ids] = found
    return table


def encode_batches(queries: MotionQueries, loader: TextLoader, what: str) -> Iterator[tuple[TextMotionBatch, Tensor]]:
    """Each batch of a loader with its queries (B, nq, H), in float16 on the CPU."""
    device = queries.lamp.device
    for batch in tqdm(loader, desc=f"queries of {what} motions", unit="batch", disable=None):
        with torch.inference_mode():
            found = queries(batch.motion.to(device), batch.lengths.to(device)).half().cpu()
        yield batch, found


@dataclass
class Validation:
    """Motions to be described and the true captions of each.

    Attributes:
        loader: whole motions in order.
        references: captions of each motion.
        names: clip ids.
    """

    loader: TextLoader
    references: list[list[str]]
    names: list[str]

    @classmethod
    def of(cls, spec: DatasetSpec, loader: TextLoader) -> "Validation":
        """Collect the captions of a loader's motions."""
        known = open_cache(spec).captions
        references: list[list[str]] = []
        names: list[str] = []
        for batch in loader:
            for name, first in zip(batch.names, batch.captions, strict=True):
                whole = [caption.text for caption in known[name] if caption.whole]
                references.append(whole if first in whole else [first])
                names.append(name)
        return cls(loader, references, names)


def plain(text: str) -> str:
    """Lower-case words of a caption, which is what its score should depend on."""
    return " ".join(re.findall(r"[\w'-]+", text.lower()))


def evaluate_captions(
    captioner: Captioner, queries: Iterable[Tensor], validation: Validation
) -> tuple[dict[str, float], list[str]]:
    """Loss on the first true captions, scores of greedy captions against all of them, and those captions.

    Args:
        captioner: in eval mode.
        queries: those (B, nq, H) of the validation motions, batch after batch.
        validation: true captions.
    """
    captions: list[str] = []
    loss = 0.0
    for part in tqdm(queries, desc="captions", leave=False, disable=None):
        states = part.to(captioner.device).float()
        text = captioner.read([texts[0] for texts in validation.references[len(captions) :][: len(part)]])
        loss += captioner(states, text).loss.item() * len(part)
        captions += [one for (one,) in captioner.caption(states, num_beams=1)]
    truth = [[plain(text) for text in texts] for texts in validation.references]
    scores = caption_scores([plain(text) for text in captions], truth)
    results = {key: getattr(scores, key) for key in ("cider", "bleu4", "rouge_l")}
    return {"loss": loss / len(captions), **results}, captions


def show_captions(
    trainer: Trainer[Captioner | LaMPCaptioner, TextMotionBatch], validation: Validation, captions: list[str]
) -> None:
    """Some captions with true ones, spread over the validation motions, in the log and in TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    rows = []
    for i in range(0, len(captions), max(1, len(captions) // SHOWN))[:SHOWN]:
        rows.append(f"{validation.names[i]}: {captions[i]} (true: {validation.references[i][0]})")
    trainer.log.info("\n".join(rows))
    # The trainer's own events lie beside, in logs/: two writers in one folder would be taken for one run.
    with SummaryWriter(str(trainer.space / "logs" / "captions")) as writer:
        writer.add_text("captions", "  \n".join(rows), trainer.progress.iteration)
