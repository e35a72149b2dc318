"""`Understanding`: what a pipeline makes of sentences before it makes motion."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lamp.models.lamp.known import KnownTexts
from lamp.models.sentences.amounts import HALF_TURN, Amount, side_of
from lamp.models.sentences.checks import IN_OTHER_WORDS, Check, Tried
from lamp.models.sentences.clauses import clauses
from lamp.models.sentences.plan import Part, plan
from lamp.models.sentences.wording import Wordings
from lamp.models.text_condition import LaMPCondition, TextCondition
from lamp.models.vq.model import RVQVAE
from lamp.utils.files import shown
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.prompts import JOIN, in_other_script

TURN_AROUND = "turn-around"
"""The action that is measured in degrees, though nobody says so."""
_AROUND = re.compile(r"\b(?:a?round|about|back|behind|half|(?:other|opposite) (?:way|side|direction))\b", re.IGNORECASE)
_CIRCLE = re.compile(r"\b(?:circles?|full|all the way|completely|round and round|around and around)\b", re.IGNORECASE)


class Understanding:
    """What `LaMPPipeline` does with sentences, and what it tells about them."""

    tokenizer: RVQVAE
    text: TextCondition
    wordings: Wordings | None = None
    known: KnownTexts | None = None

    def parts(self, text: str) -> list[Part]:
        """The parts of a sentence that these models can make; arms and amounts need HumanML3D's 22 joints."""
        parts = self._typed(text)
        return [self._measured(part) for part in parts] if self._has_bodies else parts

    @property
    def _has_bodies(self) -> bool:
        return FeatureLayout.of_dim(self.tokenizer.config.input_width).num_joints == HUMANML3D.num_joints

    def _typed(self, text: str) -> list[Part]:
        """The parts of a sentence, of which nothing is measured but what the sentence says how much of."""
        return plan(text) if self._has_bodies else [Part(clause, clause) for clause in clauses(text)]

    def _measured(self, part: Part) -> Part:
        """A part in which somebody turns around, with the degrees that this means; every other one as it is."""
        if part.amount is not None or part.pace is not None:
            return part
        if not _AROUND.search(part.text) or _CIRCLE.search(part.text):
            return part
        (check,) = self.checks([part.text])
        if check is None or check.action != TURN_AROUND:
            return part
        return replace(part, amount=Amount("degrees", HALF_TURN, side_of(part.text)))

    def divisions(self, text: str) -> list[list[Part]]:
        """Ways to divide a sentence, the best one first; the next ones need less time.

        In the first one is divided, too, what these models make best of several other actions: to lie down is to
        stand, to crouch and to lie. In the last one nothing is measured of which the sentence does not say how much.
        """
        parts = self.parts(text)
        recipes = self.recipes(parts)
        ways = [[own for part in parts for own in recipes.get(part.text, [part])], parts] if recipes else [parts]
        typed = self._typed(text)
        return ways if typed == parts else [*ways, typed]

    def recipes(self, parts: Sequence[Part]) -> dict[str, list[Part]]:
        """Plain parts that are best made of several others, and these."""
        if self.wordings is None:
            return {}
        told = {part.text: self.wordings.worded(part.text) for part in parts if part.plain}
        return {text: steps_of(better) for text, better in told.items() if JOIN in better}

    def worded(self, text: str) -> str:
        """The sentence in the words that these models follow best, see `Wordings`; as it is, if these are a recipe."""
        told = text if self.wordings is None else self.wordings.worded(text)
        return text if JOIN in told else told

    def condition(self, texts: Sequence[str]) -> Tensor:
        """Text condition of sentences as they are `worded`."""
        return self.text([self.worded(text) for text in texts])

    def checks(self, texts: Sequence[str]) -> list[Check | None]:
        """What a motion of each sentence must do, where that is known."""
        return [None if self.wordings is None else self.wordings.check_of(text) for text in texts]

    def in_try(self, text: str, number: int) -> str:
        """The sentence in the words of one of the tries (`until_passed`), which count from 1."""
        if self.wordings is None or number not in IN_OTHER_WORDS:
            return self.worded(text)
        others = self.wordings.worded_otherwise(text)
        return others[IN_OTHER_WORDS.index(number) % len(others)]

    def condition_in_try(self, texts: Sequence[str], numbers: Sequence[int]) -> Tensor:
        """Text condition of sentences, each in one of its tries."""
        return self.text([self.in_try(text, number) for text, number in zip(texts, numbers)])

    def facts_of(self, texts: Sequence[str], tried: Sequence[Tried | None] = ()) -> dict[str, Any]:
        """For a motion's `meta`: which of its sentences were made in other words, and what came of the checks; nothing
        if there was nothing of it."""
        checks = [own for own in tried if own is not None]
        tries = dict.fromkeys(texts, 1) | {own["sentence"]: own["tries"] for own in checks if own["passed"]}
        told = {text: words for text, number in tries.items() if (words := self.in_try(text, number)) != text}
        return ({"wording": told} if told else {}) | ({"checks": checks} if checks else {})

    # What is told

    def notes(self, prompts: Sequence[str]) -> list[str]:
        """What these models will not understand of prompts: a line for each prompt and matter."""
        return self.cut_prompts(prompts) + self.foreign_prompts(prompts) + self.unknown_actions(prompts)

    def unlike_prompts(self, prompts: Sequence[str]) -> list[str]:
        """A line for each prompt that is like no caption of LaMP's training, where its folder says what these were."""
        if self.known is None or not isinstance(self.text, LaMPCondition):
            return []
        alike = self.known.closeness(self.text.lamp, list(prompts))
        return [
            f"prompt {i} ({shown(prompt, 40)}) is like no caption that the models learnt, so the motion is a guess"
            for i, (prompt, close) in enumerate(zip(prompts, alike))
            if close < self.known.threshold
        ]

    def unknown_actions(self, prompts: Sequence[str]) -> list[str]:
        """A line for each prompt with a verb that none of the phrases has by which these models know actions."""
        told = ((i, prompt, self.wordings.unknown_verbs(prompt)) for i, prompt in enumerate(prompts) if self.wordings)
        return [
            f"prompt {i} ({shown(prompt, 40)}): the models learnt no action that is called "
            f"{' or '.join(map(shown, words))}, so that is a guess"
            for i, prompt, words in told
            if words
        ]

    def cut_prompts(self, prompts: Sequence[str]) -> list[str]:
        """A line for each prompt of which the text encoder reads only the beginning."""
        if not isinstance(self.text, LaMPCondition):
            return []
        limit = self.text.lamp.config.max_text_length
        counts = [self.text.lamp.tokenizer.count(prompt) for prompt in prompts]
        return [
            f"prompt {i} ('{prompt[:40]}...') has {count} word pieces; the text encoder reads the first {limit}"
            for i, (prompt, count) in enumerate(zip(prompts, counts))
            if count > limit
        ]

    def foreign_prompts(self, prompts: Sequence[str]) -> list[str]:
        """A line for each prompt with a word of another script than the words that the text encoder knows."""
        known = "LATIN"  # CLIP's
        if isinstance(self.text, LaMPCondition) and self.text.lamp.tokenizer is not None:
            known = self.text.lamp.tokenizer.script
        found = ((i, in_other_script(prompt, known)) for i, prompt in enumerate(prompts))
        return [
            f"prompt {i} has the word {shown(word, 30)}; the captions that the models learnt are in {known.title()} "
            "script, other words mean nothing to them"
            for i, word in found
            if word
        ]


def steps_of(recipe: str) -> list[Part]:
    """Parts of `<text>#<frames> > <text>#<frames>`; frames may be missing."""
    steps = [step.partition("#") for step in recipe.split(JOIN)]
    return [Part(text, text, frames=int(frames) if frames.isdecimal() else None) for text, _, frames in steps]


def wording_notes(motions: Iterable[Motion]) -> list[str]:
    """A line for each sentence that was made in other words than its own, and for each whose check no motion passed."""
    motions = list(motions)
    told = {pair: None for motion in motions for pair in motion.meta.get("wording", {}).items()}
    lines = [f"{shown(own)} was made as {shown(better, 200)}, which these models follow better" for own, better in told]
    tried: list[Tried] = [own for motion in motions for own in motion.meta.get("checks", ())]
    failed = {own["sentence"]: own["tries"] for own in tried if not own["passed"]}
    lines += [
        f"{shown(text)} is not what joints show in any of {n} motions, so this is a guess" for text, n in failed.items()
    ]
    return lines
