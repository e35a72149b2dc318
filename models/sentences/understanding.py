"""`Understanding`: what a pipeline makes of sentences before it makes motion."""

from collections.abc import Sequence

from torch import Tensor

from lamp.models.sentences.clauses import clauses
from lamp.models.sentences.plan import Part, plan
from lamp.models.sentences.wording import Wordings
from lamp.models.t2m.token_maker import Guidance
from lamp.models.text_condition import LaMPCondition, TextCondition
from lamp.models.vq.model import RVQVAE
from lamp.utils.files import shown
from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.prompts import JOIN, in_other_script


class Understanding:
    """What `LaMPPipeline` does with sentences, and what it tells about them."""

    tokenizer: RVQVAE
    text: TextCondition
    guidance: Guidance
    wordings: Wordings | None = None

    def parts(self, text: str) -> list[Part]:
        """The parts of a sentence that these models can make; arms and amounts need HumanML3D's 22 joints.

        What they make best of several other actions is divided, too: to lie down is to stand, to crouch and to lie.
        """
        return [part for whole in self._said(text) for part in self._in_known_parts(whole)]

    def _said(self, text: str) -> list[Part]:
        if FeatureLayout.of_dim(self.tokenizer.config.input_width).num_joints == HUMANML3D.num_joints:
            return plan(text)
        return [Part(clause, clause) for clause in clauses(text)]

    def _in_known_parts(self, part: Part) -> list[Part]:
        told = self._best_words(part.text)
        return [Part(text, text) for text in told.split(JOIN)] if part.plain and JOIN in told else [part]

    def _best_words(self, text: str) -> str:
        return text if self.wordings is None else self.wordings.worded(text)

    def worded(self, text: str) -> str:
        """The sentence in the words that these models follow best, see `Wordings`; itself, if these are several."""
        told = self._best_words(text)
        return text if JOIN in told else told

    def condition(self, texts: Sequence[str]) -> Tensor:
        """Text condition of sentences as they are `worded`."""
        return self.text([self.worded(text) for text in texts])

    # What is told

    def notes(self, prompts: Sequence[str]) -> list[str]:
        """All there is to say about prompts: a line for each prompt and matter."""
        return self.cut_prompts(prompts) + self.foreign_prompts(prompts) + self.reworded_prompts(prompts)

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

    def reworded_prompts(self, prompts: Sequence[str]) -> list[str]:
        """A line for each prompt that is made in other words than its own."""
        told = []
        for i, prompt in enumerate(prompts):
            words = [(prompt, self.worded(prompt))]
            if self.guidance.clauses:
                parts = self._said(prompt)
                words = [(part.text, self._best_words(part.text)) for part in parts]
                words += [(part.arms.text, self.worded(part.arms.text)) for part in parts if part.arms is not None]
            told += [
                f"prompt {i}: {shown(own)} is made as {shown(better, 200)}, which these models follow better"
                for own, better in words
                if own != better
            ]
        return told
