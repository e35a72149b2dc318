"""How well motions match their texts by LaMP's own judgement, and the best of several."""

from collections.abc import Sequence

import torch

from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.lamp.model import LaMP
from lamp.models.text_condition import TextCondition, lamp_of
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion


def check_judge(text: TextCondition) -> LaMP:
    """LaMP, which judges motions, if it is the text encoder.

    Raises:
        UserError: the text encoder is not LaMP.
    """
    lamp = lamp_of(text)
    if lamp is None:
        raise UserError("the text encoder of these models is not LaMP, which judges motions; leave --best_of out")
    return lamp


def similarities(
    text: TextCondition, tokenizer: RVQVAE, motions: Sequence[Motion], texts: Sequence[str]
) -> list[float]:
    """LaMP's similarity of each motion with its text: a cosine, higher is more alike.

    Args:
        text: LaMP, as the generators' text encoder.
        tokenizer: what LaMP sees motions through.
        motions: with features.
        texts: one for each.

    Raises:
        UserError: the text encoder is not LaMP.
    """
    lamp = check_judge(text)
    embedder = LaMPEmbedder(lamp, tokenizer)
    features = [torch.as_tensor(motion.features, device=tokenizer.device) for motion in motions]
    lengths = torch.tensor([len(some) for some in features], device=tokenizer.device)
    padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
    embedded = embedder.motions(tokenizer.normalize(padded), lengths)
    return embedder.similarity(embedder.texts(texts), embedded).diagonal().tolist()


def best_of(count: int, motions: Sequence[Motion], scores: Sequence[float]) -> list[Motion]:
    """Of each `count` motions in a row the one with the highest score, which its meta then says."""
    best = []
    for start in range(0, len(motions), count):
        chosen = max(range(start, start + count), key=lambda i: scores[i])
        motions[chosen].meta.update(best_of=count, similarity=scores[chosen])
        best.append(motions[chosen])
    return best
