"""The losses of LaMP's pretraining as pure functions, aware of several processes where that matters.

Contrastive, matching and captioning follow BLIP-2 (Li et al. 2023, section 3.1); the text-grounded generation of motion
codes is LaMP's own addition.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.run.processes import gather, mean_over_processes
from lamp.utils.run.seed import keyed_uniform

IGNORED = -100
_GOLDEN_RATIO_64 = -7046029254386353131  # 2^64 / golden ratio as a signed integer: Fibonacci hashing (Knuth, TAOCP 6.4)


@dataclass(frozen=True)
class ContrastiveOutput:
    """Result of the contrastive loss.

    Attributes:
        loss: scalar.
        text_rows: (B, G) scaled similarity of this process's texts and the motions of all processes.
        motion_rows: (B, G) of its motions and the texts of all.
        positives: (B, G) bool, pairs that belong together, either way.
        text_to_motion: share of texts whose most similar motion is a right one, scalar.
        motion_to_text: share of motions whose most similar text is a right one, scalar.
    """

    loss: Tensor
    text_rows: Tensor
    motion_rows: Tensor
    positives: Tensor
    text_to_motion: Tensor
    motion_to_text: Tensor


@dataclass(frozen=True)
class Negatives:
    """Hard negatives by row.

    Attributes:
        index: (B,) column drawn for each row.
        valid: (B,) bool, False where every column is a positive and the index means nothing.
    """

    index: Tensor
    valid: Tensor


def similarity(text: Tensor, motion: Tensor, *, chunk: int = 256) -> Tensor:
    """Cosine similarity of texts and motions: the best over a motion's queries (BLIP-2, equation of the ITC loss).

    Args:
        text: unit vectors (Bt, E).
        motion: unit vectors (Bm, nq, E).
        chunk: motions compared at a time, which bounds memory on large retrieval pools.

    Returns:
        (Bt, Bm), not scaled.
    """
    # Reduced precision would cost more than the scale of the logits (14 and up) can bear.
    with torch.autocast(text.device.type, enabled=False):
        parts = [torch.einsum("te,mqe->tmq", text.float(), part.float()).amax(-1) for part in motion.split(chunk)]
    return torch.cat(parts, dim=1)


def caption_keys(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """A 64-bit key (B,) for each caption (B, L): equal captions have equal keys whatever their padding."""
    positions = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
    multipliers = (positions * _GOLDEN_RATIO_64) ^ (positions * _GOLDEN_RATIO_64 >> 29)
    terms = (input_ids + 1) * multipliers
    return ((terms ^ (terms >> 32)) * _GOLDEN_RATIO_64 * attention_mask).sum(1)


def positive_pairs(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> Tensor:
    """Pairs that belong together, because they share the motion or have the same caption.

    Args:
        rows: motion ids (B,) and caption keys (B,).
        columns: motion ids (G,) and caption keys (G,).

    Returns:
        (B, G) bool.
    """
    (row_motions, row_captions), (column_motions, column_captions) = rows, columns
    same_motion = row_motions[:, None] == column_motions[None, :]
    return same_motion | (row_captions[:, None] == column_captions[None, :])


def soft_cross_entropy(logits: Tensor, positives: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy with the target spread evenly over each row's positives, then smoothed; mean over rows.

    With one positive a row this is the usual cross-entropy. With several, the row's true distribution is uniform over
    them (supervised contrastive learning, Khosla et al. 2020, equation 2); leaving them out of the softmax instead
    would keep them from being false negatives but would also give up what the data says about them.

    Args:
        logits: (B, G).
        positives: (B, G) bool, at least one a row.
        label_smoothing: share of the target spread over all columns.
    """
    target = positives / positives.sum(1, keepdim=True)
    target = (1 - label_smoothing) * target + label_smoothing / logits.shape[1]
    return -(target * logits.log_softmax(1)).sum(1).mean()


def contrastive_loss(
    text: Tensor,
    motion: Tensor,
    *,
    scale: Tensor,
    motion_ids: Tensor,
    captions: Tensor,
    label_smoothing: float,
) -> ContrastiveOutput:
    """Contrastive loss of matched rows, both ways, against the rows of all processes.

    Args:
        text: unit vectors (B, E).
        motion: unit vectors (B, nq, E).
        scale: what similarities are multiplied by, scalar.
        motion_ids: (B,) int64, equal for captions of one motion.
        captions: caption keys (B,) of `caption_keys`.
        label_smoothing: of the cross-entropy.
    """
    rows = (motion_ids, captions)
    columns = (gather(motion_ids), gather(captions))
    positives = positive_pairs(rows, columns)
    text_rows = similarity(text, gather(motion)) * scale
    motion_rows = similarity(gather(text), motion).T * scale
    loss = soft_cross_entropy(text_rows, positives, label_smoothing)
    loss = (loss + soft_cross_entropy(motion_rows, positives, label_smoothing)) / 2
    return ContrastiveOutput(
        loss=loss,
        text_rows=text_rows,
        motion_rows=motion_rows,
        positives=positives,
        text_to_motion=_accuracy(text_rows, positives),
        motion_to_text=_accuracy(motion_rows, positives),
    )


def _accuracy(logits: Tensor, positives: Tensor) -> Tensor:
    return positives.gather(1, logits.detach().argmax(1, keepdim=True)).float().mean()


@torch.no_grad()
def hard_negatives(logits: Tensor, positives: Tensor, chance: Tensor) -> Negatives:
    """Draw a wrong column for each row with probability softmax(logits) among the columns that are not positives.

    Args:
        logits: scaled similarities (B, G).
        positives: (B, G) bool, never drawn.
        chance: (B,) uniform numbers in [0, 1) that decide.
    """
    valid = ~positives.all(1)
    weights = logits.float().masked_fill(positives, -torch.inf).softmax(1)
    # A floor keeps very confident rows from underflowing; positives stay impossible unless the row has nothing else.
    weights = weights.clamp_min(1e-8).masked_fill(positives, 0).masked_fill(~valid[:, None], 1)
    cumulative = weights.cumsum(1)
    # Not 1, which rounding could make the end of the last column; columns of weight 0 have an empty place.
    place = chance.clamp(max=1 - 1e-6)[:, None] * cumulative[:, -1:]
    return Negatives(index=(cumulative <= place).sum(1), valid=valid)


def row_chances(keys: Tensor | None, rows: int, device: torch.device) -> Tensor:
    """Two uniform numbers (2, rows) for each row, by its key; without keys from the global generator."""
    return torch.rand(2, rows, device=device) if keys is None else keyed_uniform(keys[:rows], (2,)).T.contiguous()


def matching_loss(logits: Tensor, matched: Tensor, valid: Tensor) -> Tensor:
    """Binary cross-entropy of the match head over the valid rows, those of all processes together.

    Args:
        logits: (R, 2), class 1 = motion and text match.
        matched: (R,) bool labels.
        valid: (R,) bool, rows that count.
    """
    return _mean_cross_entropy(logits, matched.long().masked_fill(~valid, IGNORED))


def captioning_loss(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Next-token cross-entropy of logits (R, V) against the tokens (R,) that follow, `IGNORED` where none does."""
    return _mean_cross_entropy(logits, targets, label_smoothing)


def generation_loss(logits: Tensor, codes: Tensor, valid: Tensor, *, label_smoothing: float) -> Tensor:
    """Cross-entropy of the code that each query predicts; query i stands for motion token i.

    Args:
        logits: (B, nq, nb_code).
        codes: base-level codes (B, N) with N <= nq; values at invalid positions mean nothing.
        valid: (B, N) bool, False on padding.
        label_smoothing: of the cross-entropy.
    """
    logits = logits[:, : codes.shape[1]]
    target = codes.masked_fill(~valid, IGNORED)
    return _mean_cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing)


def _mean_cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean over the targets (R,) of all processes that are not `IGNORED`, of logits (R, V)."""
    total = F.cross_entropy(
        logits.float(), targets, ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="sum"
    )
    return total / mean_over_processes((targets != IGNORED).sum())
