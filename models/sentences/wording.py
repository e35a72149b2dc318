"""`Wordings`: a sentence of a known action in the words that the generators follow best.

A small generator follows one wording of an action always and another one never, although it learnt both. So a sentence
that says no more than a known action is put into the wording that was found to be followed most
(`lamp.prepare.mini.followed_wordings`). Large systems let a language model rewrite what users type; here the nearest
phrase of those that training used decides, by the cosine of TF-IDF vectors of words and pairs of words (Salton and
Buckley 1988).
"""

import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lamp.models.hub import optional_file
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.reading import reading
from lamp.utils.run.provenance import digest

WORDINGS_FILE = "wordings.json"
"""Beside the models of a folder."""
PHRASES, NEAR = 2, 0.5
"""How many phrases of an action decide, and their mean cosine from which on a sentence is taken for it."""
PAIRS = 0.5
"""Weight of a pair of words in a row, of a word's."""
LONGEST = 200
"""Characters of the longest sentence that is looked at."""

_SIDE = "{side}"
_TABLES = ("phrases", "followed", "without_side", "forms")
_BODY = frozenset(f"arm both foot hand knee leg one two {_SIDE}".split())
"""What words before the first verb may tell; the others are the subject."""
_EMPTY = frozenset(
    "a an the this that some his her their its my your our it he she they i we you them him himself herself "
    "themselves is are was were be been being am who what which as so very really just of on in at to and with for "
    "then by from while person people someone somebody man woman figure character do make perform try start begin "
    "continue something thing object slow fast quick slowly quickly carefully gently suddenly".split()
)
"""Words that tell no action from another."""
_MORE = re.compile(
    r"\d|\b(?:not|no|never|without|don't|once|twice|times|degrees?|met(?:er|re)s?|seconds?|steps)\b", re.I
)
"""What says more than an action does."""


@dataclass(frozen=True)
class Wordings:
    """Phrases of actions, and for some of these a sentence in their place.

    Attributes:
        phrases: of every action, `{side}` for left or right; verbs in their base form.
        followed: by action, the sentence that the generators follow best, `{side}` for left or right; or several with
            " > " between, which are made one after the other.
        without_side: the same of actions that fail only where a sentence tells no side ("a person waves").
        forms: what else a word may look like: "squatting" is "squat", "feet" is "foot".
    """

    phrases: Mapping[str, Sequence[str]]
    followed: Mapping[str, str]
    without_side: Mapping[str, str]
    forms: Mapping[str, str]

    @classmethod
    def load(cls, source: str | Path, masked: str) -> "Wordings | None":
        """Those of a folder or hub repository of models; None where there are none, or they were found for others.

        Args:
            source: folder or hub id.
            masked: identity of the masked transformer, `name@digest`.

        Raises:
            UserError: the file is damaged.
        """
        path = optional_file(source, WORDINGS_FILE)
        if path is None:
            return None
        with reading(path, "list of wordings"):
            found = read_json(path)
        if not isinstance(found, dict) or not all(_is_table(found.get(name)) for name in _TABLES):
            raise UserError(f"{path} is no list of wordings; fetch it again or remove it")
        return cls(*(found[name] for name in _TABLES)) if found.get("masked") == masked.split("@")[-1] else None

    @cached_property
    def identity(self) -> str:
        """What tells these wordings from others."""
        return digest([json.dumps([self.phrases, self.followed, self.without_side, self.forms], sort_keys=True)])

    def worded(self, text: str) -> str:
        """The sentence in the words that are followed best; as it is, where it says no such action or more than one."""
        sides = set(re.findall(r"\b(left|right)\b", text.lower()))
        action = self.action_of(text) if len(text) <= LONGEST and len(sides) < 2 else None
        if action is None:
            return text
        wording = self.followed.get(action, "" if sides else self.without_side.get(action, ""))
        if not wording or (sides and _SIDE not in wording):
            return text
        return wording.replace(_SIDE, sides.pop() if sides else "right")

    def action_of(self, text: str) -> str | None:
        """The action whose two nearest phrases are nearest, if they are near, and its phrases have all the verbs."""
        if _MORE.search(text):
            return None
        words = self._without_subject(_split(text))
        verbs = {self._base(word) for word in words if self._base(word) != word} & self._verbs
        cosines: dict[int, float] = defaultdict(float)
        for term, weight in self._vector(_terms(self._content(words))).items():
            for place, other in self._places.get(term, ()):
                cosines[place] += weight * other
        nearest: dict[str, list[float]] = defaultdict(list)
        for place, cosine in sorted(cosines.items(), key=lambda found: -found[1]):
            action = self._documents[place][0]
            if len(nearest[action]) < PHRASES and verbs <= self._vocabulary[action]:
                nearest[action].append(cosine)
        means = {action: sum(found) / PHRASES for action, found in nearest.items()}
        best = max(means, key=lambda action: means[action], default=None)
        return best if best is not None and means[best] >= NEAR else None

    # Words

    def _base(self, word: str) -> str:
        if word in ("left", "right"):
            return _SIDE
        if word in self.forms:
            return self.forms[word]
        return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

    def _content(self, words: Iterable[str]) -> list[str]:
        bases = [self._base(word) for word in words]
        return [word for word in bases if word not in _EMPTY]

    def _without_subject(self, words: Sequence[str]) -> list[str]:
        """Words from the first verb on; before it, what is said of the body."""
        first = next((i for i, word in enumerate(words) if self._base(word) in self._verbs), 0)
        return [word for word in words[:first] if self._base(word) in _BODY] + list(words[first:])

    # Vectors

    @cached_property
    def _verbs(self) -> frozenset[str]:
        return frozenset(base for word, base in self.forms.items() if word != base and word.endswith("ing"))

    @cached_property
    def _documents(self) -> list[tuple[str, set[str]]]:
        """Action and terms of each phrase."""
        told = ((action, phrase) for action, phrases in self.phrases.items() for phrase in phrases)
        return [(action, _terms(self._content(_split(phrase)))) for action, phrase in told]

    @cached_property
    def _vocabulary(self) -> dict[str, set[str]]:
        """All terms of an action's phrases, and words that say nothing."""
        found: dict[str, set[str]] = defaultdict(lambda: set(_EMPTY))
        for action, terms in self._documents:
            found[action] |= terms
        return found

    @cached_property
    def _weights(self) -> dict[str, float]:
        """Inverse document frequency of the terms of all phrases, where actions are the documents."""
        actions: dict[str, set[str]] = defaultdict(set)
        for action, terms in self._documents:
            for term in terms:
                actions[term].add(action)
        return {
            term: math.log(1 + len(self.phrases) / len(found)) * (PAIRS if " " in term else 1)
            for term, found in actions.items()
        }

    @cached_property
    def _places(self) -> dict[str, list[tuple[int, float]]]:
        """Phrases in which a term is, with its weight there."""
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, (_, terms) in enumerate(self._documents):
            for term, weight in self._vector(terms).items():
                found[term].append((place, weight))
        return found

    def _vector(self, terms: Iterable[str]) -> dict[str, float]:
        """TF-IDF vector of length 1; a word that no phrase has weighs most, such a pair nothing."""
        known, most = self._weights, math.log(1 + len(self.phrases))
        weights = {term: known.get(term, most) for term in terms if term in known or " " not in term}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {term: weight / length for term, weight in weights.items()}


def _split(text: str) -> list[str]:
    return re.findall(r"\{side\}|[a-z]+", re.sub(r"'s?\b", " ", text.lower()))


def _terms(words: Sequence[str]) -> set[str]:
    """Words, and pairs of words in a row."""
    return {*words, *map(" ".join, itertools.pairwise(words))}


def _is_table(table: object) -> bool:
    """Whether it maps strings to strings, or to lists of them."""
    if not isinstance(table, dict):
        return False
    values = [text for value in table.values() for text in (value if isinstance(value, list) else [value])]
    return all(isinstance(text, str) for text in (*table, *values))
