"""`plan`: a sentence as the parts of which its motion is made."""

from dataclasses import dataclass

from lamp.models.sentences.amounts import Amount, amount_of, repeated
from lamp.models.sentences.clauses import clauses
from lamp.models.sentences.pace import Pace, pace_of
from lamp.models.sentences.together import Arms, at_once

WAYS = 4
"""Clips that are made of what is measured, of which the one that is as asked is taken."""


@dataclass(frozen=True)
class Part:
    """What happens in a part of a motion.

    Attributes:
        whole: a sentence that says all of it.
        text: a sentence of what the body does.
        arms: what the arms do meanwhile; None: what `text` says, or as they are moved when one does that.
        amount: the part ends when so much of it is done; None: with its time.
        pace: how fast the body goes; None: as it does.
        frames: how long it takes at ease; None: as long as the length estimator has it.
    """

    whole: str
    text: str
    arms: Arms | None = None
    amount: Amount | None = None
    pace: Pace | None = None
    frames: int | None = None

    @property
    def plain(self) -> bool:
        """Whether one sentence and a length say how it is made."""
        return self == Part(self.whole, self.whole, frames=self.frames)

    @property
    def clips(self) -> int:
        """How many clips are made of it."""
        own = (1 if self.pace is None else WAYS) + (self.arms is not None)
        return own if self.amount is None else WAYS + own - 1


def plan(text: str) -> list[Part]:
    """The parts of a sentence in the order in which they happen; a single plain one, where it is not understood."""
    return [_part(sentence) for clause in clauses(text) for sentence in repeated(clause)]


def is_plain(parts: list[Part]) -> bool:
    """Whether a sentence is made as it stands."""
    return len(parts) == 1 and parts[0].plain


def _part(sentence: str) -> Part:
    both = at_once(sentence)
    body, arms = (sentence, None) if both is None else (both.body, both.arms)
    text, amount = amount_of(body) or (body, None)
    return Part(sentence, text, arms, amount, pace_of(body))
