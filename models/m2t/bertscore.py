"""LaMP-BertScore: do generated motions still say what they were asked for? (LaMP, ICLR 2025)"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion
from lamp.utils.scores.captions import BertScore, bert_score_f1, check_encoder


@dataclass(frozen=True)
class BertEncoder:
    """How BERTScore compares texts (see `lamp.utils.scores.captions.bert_score_f1`); an empty model leaves it out."""

    model: str
    num_layers: int | None
    rescale: bool
    idf: bool

    def check(self) -> None:
        """Say before the work that there will be no score, and why, if a package or the encoder is missing."""
        if self.model:
            try:
                check_encoder(self.model)
            except UserError as error:
                print(f"warning: BERTScore will be left out: {error} (--bert_model)", file=sys.stderr)

    def score(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]], device: torch.device
    ) -> BertScore | None:
        """Score of captions, or None with a line that says why there is none."""
        if not self.model:
            return None
        try:
            how = asdict(self) | {"model": self.model}
            return bert_score_f1(predictions, references, **how, device=device)
        except UserError as error:
            print(f"BERTScore is left out: {error} (--bert_model)")
            return None


def lamp_bert_score(
    captioner: CaptionPipeline, motions: Sequence[Motion], texts: Sequence[str], encoder: BertEncoder, **how: Any
) -> BertScore | None:
    """BERTScore of the captions of motions against the texts that they were made from.

    Args:
        captioner: describes them.
        motions: generated ones.
        texts: what each was asked for.
        encoder: how texts are compared.
        how: keyword arguments of the captioner.
    """
    captions = [first for first, *_ in captioner(list(motions), **how)]
    return encoder.score(captions, [[text] for text in texts], captioner.queries.lamp.device)


def describe(score: BertScore) -> str:
    """One line: value and what made it."""
    kind = "rescaled" if score.rescaled else "not rescaled"
    weights = ", idf" if score.idf else ""
    return f"{score.f1:.2f} ({score.model}, layer {score.num_layers}, {kind}{weights}; {score.samples} captions)"
