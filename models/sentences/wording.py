"""`Wordings`: a sentence of a known action in the words that the generators follow best.

A small generator follows one wording of an action always and another one never, although it learnt both. So a sentence
that says no more than a known action is put into the wording that was found to be followed most
(`lamp.prepare.mini.followed_wordings`). Large systems let a language model rewrite what users type; here the nearest
phrases of those that training used decide, by the cosine of TF-IDF vectors of words and pairs of words (Salton and
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
from lamp.models.sentences.amounts import counted
from lamp.models.sentences.checks import ActionTest, Check, are_tests, test_of_side, test_of_times
from lamp.models.sentences.clauses import BASES, PAST, VERBS
from lamp.models.sentences.verbs import forms
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.prompts import JOIN
from lamp.utils.reading import reading
from lamp.utils.run.provenance import digest
from lamp.utils.scores.following.tests import mirrored

WORDINGS_FILE = "rewording.json"
"""Beside the models of a folder."""
PHRASES, NEAR = 2, 0.5
"""How many phrases of an action decide, and their mean cosine from which on a sentence is taken for it."""
PAIRS = 0.5
"""Weight of a pair of words in a row, of a word's."""
LONGEST = 200
"""Characters of the longest sentence that is looked at."""

_SIDE = "{side}"
_BODY = frozenset(f"arm foot hand knee head hip shoulder leg both one two {_SIDE}".split())
_EMPTY = frozenset(
    "a an the this that some his her their its my your our it he she they i we you them him himself herself themselves "
    "is are was were be been being am who what which as so very really just of on in at to and with for then by from "
    "while person people someone somebody man woman boy girl guy lady figure character do make perform try start begin "
    "continue something thing object slow fast quick slowly quickly carefully gently suddenly".split()
)
"""Words that tell no action from another."""
_TELLING = frozenset(
    "arm leg head hip shoulder knee up down back backward backwards forward forwards out off over away sideways behind "
    "around across through".split()
)
"""Limbs and directions: a sentence that has one which the nearest phrases lack says something else."""
_BOTH = {"both", "two", "arms", "hands", "legs", "feet"}
_LIMBS = {"hand": "arm", "foot": "leg"}
_ARTICLES = frozenset("a an the his her their its my your our".split())
_PLACES = frozenset("on in at from with under while".split())
_ACTIONS = VERBS - forms("slow continue resume fold".split())
"""Verbs without those that are no action of their own, or more often something else ("folded arms")."""
_DENIED = re.compile(r"n['\u2019]t\b|\b(?:not|never|without)\b", re.IGNORECASE)
_BEFORE_BASE = ("", "and", "then", "to", "or")
"""Before a verb in its base form, which after other words may be a noun: "a big hug"."""
_MORE = re.compile(
    r"\d|n['\u2019]t\b|\b(?:not|no|nobody|never|without|cannot|almost|nearly|fails?|failed|refuses?|refused|loses?|lost|once"
    r"|twice|times|degrees?|met(?:er|re)s?|seconds?|steps)\b",
    re.I,
)
"""What says more than an action does, or that it is not done."""


@dataclass(frozen=True)
class Wordings:
    """Phrases of actions, and for some of these a sentence in their place.

    Attributes:
        phrases: of every action, `{side}` for left or right; verbs in their base form.
        followed: by action, the sentence that the generators follow best, `{side}` for left or right; or a recipe of
            several with " > " between, which are made one after the other, each with its frames (`steps_of`).
        without_side: the same of actions that fail only where a sentence tells no side ("a person waves").
        plain: actions of `followed` that most wordings do as well; what a sentence tells of them besides, such as an
            angry man, matters more, so it must not have other words than their phrases.
        verbs: forms of the phrases' verbs ("squats", "squatting") by the base form.
        same: words that are taken for another one.
        again: by action, sentences for some further tries: the one that is followed best, where it is not among
            `followed`, and others that are followed at other lengths.
        tests: by action, what a motion of it must do: a test of the left side, and whether the body is upright.
    """

    phrases: Mapping[str, Sequence[str]]
    followed: Mapping[str, str]
    without_side: Mapping[str, str]
    plain: Sequence[str]
    verbs: Mapping[str, Sequence[str]]
    same: Mapping[str, str]
    again: Mapping[str, Sequence[str]]
    tests: Mapping[str, ActionTest]

    @classmethod
    def load(cls, source: str | Path, *models: str) -> "Wordings | None":
        """Those of a folder or hub repository of models; None where there are none, or they were found for others.

        Args:
            source: folder or hub id.
            models: identities `name@digest` of the masked and the residual transformer.

        Raises:
            UserError: the file is damaged.
        """
        path = optional_file(source, WORDINGS_FILE)
        if path is None:
            return None
        with reading(path, "list of wordings"):
            found = read_json(path)
            good = isinstance(found, dict) and all(check(found.get(name)) for name, check in _CHECKS.items())
        if not good:
            raise UserError(f"{path} is no list of wordings; fetch it again or remove it")
        if found.get("models") != [name.split("@")[-1] for name in models]:
            return None
        return cls(**{name: found[name] for name in _CHECKS})

    @cached_property
    def identity(self) -> str:
        """What tells these wordings from others."""
        return digest([json.dumps([getattr(self, name) for name in _CHECKS], sort_keys=True)])

    def worded(self, text: str) -> str:
        """The sentence, or a recipe, in the words that are followed best; as it is, where it says none of the actions,
        or more than one of them."""
        action, sides = self._read(text)
        if action is None:
            return text
        wording = self.followed.get(action, "" if sides else self.without_side.get(action, ""))
        if action in self.plain and not set(map(self._base, _split(text))) <= self._vocabulary[action]:
            return text
        return self._of_sides(text, wording, sides)

    def worded_otherwise(self, text: str) -> list[str]:
        """The sentence in other words than `worded` gives, for further tries: those of its action that lose no side,
        and its own; at least one."""
        action, sides = self._read(text)
        best = self.worded(text)
        others = [self._of_sides(text, wording, sides) for wording in self.again.get(action or "", ())]
        return [other for other in dict.fromkeys((*others, text)) if other != best] or [best]

    def _of_sides(self, text: str, wording: str, sides: set[str]) -> str:
        """A wording in the place of a sentence of these sides; the sentence, where one of them would be lost."""
        lost = _BOTH.intersection(_split(text)) if _SIDE in wording else sides
        if not wording or lost:
            return text
        return wording.replace(_SIDE, next(iter(sides), "right"))

    def check_of(self, text: str) -> Check | None:
        """What a motion of the sentence must do; None where it says none of the actions, or more than one of them."""
        once, times = counted(text)
        action, sides = self._read(once)
        if action is None or action not in self.tests:
            return None
        own = self.tests[action]
        told = test_of_times(own["test"], times)
        if told is None or (_BOTH.intersection(_split(once)) and mirrored(told) != told):
            return None
        return Check(text, action, test_of_side(told, next(iter(sides), None)), own["upright"])

    def _read(self, text: str) -> tuple[str | None, set[str]]:
        """The action of a sentence, and its sides, one at most; no action, where the sentence is one of a recipe."""
        sides = set(re.findall(r"\b(left|right)\b", text.lower())) if len(text) <= LONGEST else set()
        one = len(sides) < 2 and text not in self._steps
        return self.action_of(text) if one else None, sides

    def action_of(self, text: str) -> str | None:
        """The action whose two nearest phrases are nearest, if they are near.

        The action's phrases must have all verbs of the sentence, and the two nearest ones its limbs and directions.
        """
        if len(text) > LONGEST or _MORE.search(text):
            return None
        words = self._predicate(_split(text))
        verbs = {self._base(word) for before, word in itertools.pairwise(["", *words]) if before not in _ARTICLES}
        verbs &= self.verbs.keys()
        terms = _terms(self._content(words))
        if not verbs:
            return None
        cosines: dict[int, float] = defaultdict(float)
        for term, weight in self._vector(terms).items():
            for place, other in self._places.get(term, ()):
                cosines[place] += weight * other
        nearest: dict[str, list[int]] = defaultdict(list)
        for place in sorted(cosines, key=lambda place: -cosines[place]):
            action = self._documents[place][0]
            if len(nearest[action]) < PHRASES and verbs <= self._vocabulary[action]:
                nearest[action].append(place)
        means = {action: sum(cosines[place] for place in places) / PHRASES for action, places in nearest.items()}
        best = max(means, key=lambda action: means[action], default=None)
        if best is None or means[best] < NEAR:
            return None
        said = [term for place in nearest[best] for term in self._documents[place][1]]
        return best if _telling(terms) <= _telling(said) else None

    def unknown_verbs(self, text: str) -> list[str]:
        """Verbs of what bodies do in a sentence, which no phrase has."""
        words = _split(text[:LONGEST])
        if _DENIED.search(text):
            return []
        found = dict.fromkeys(
            word
            for before, word in itertools.pairwise(["", *words])
            if word in _ACTIONS and before not in _ARTICLES and (word not in BASES or before in _BEFORE_BASE)
        )
        return [word for word in found if self._base(PAST.get(word, word)) not in self.verbs]

    # Words

    @cached_property
    def _steps(self) -> set[str]:
        """Sentences of recipes, which are in the best words already."""
        recipes = (recipe.split(JOIN) for recipe in self.followed.values() if JOIN in recipe)
        return {step.partition("#")[0] for recipe in recipes for step in recipe}

    @cached_property
    def _forms(self) -> dict[str, str]:
        """What a word counts as: of a verb the base form, of a side `{side}`."""
        forms = {form: base for base, forms in self.verbs.items() for form in (base, *forms)}
        return forms | dict(self.same) | {"left": _SIDE, "right": _SIDE}

    def _base(self, word: str) -> str:
        """The word as phrases have it; of a noun the singular, if that is made without s."""
        if word in self._forms:
            return self._forms[word]
        return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

    def _content(self, words: Iterable[str]) -> list[str]:
        bases = [self._base(word) for word in words]
        return [word for word in bases if word not in _EMPTY]

    def _predicate(self, words: Sequence[str]) -> list[str]:
        """Words from the first verb on, and before it what is said of the body; none where a place or another action
        is told before it ("from a handstand he gets up", "a swimming man waves")."""
        bases = [self._base(word) for word in words]
        is_verb = [base in self.verbs and word not in _ARTICLES for base, word in zip(bases, ["", *words])]
        first = is_verb.index(True) if True in is_verb else 0
        before = words[:first]
        if _PLACES.intersection(before) or any(word.endswith("ing") for word in before):
            return []
        return [word for word, base in zip(before, bases) if base in _BODY] + list(words[first:])

    # Vectors

    @cached_property
    def _documents(self) -> list[tuple[str, tuple[str, ...]]]:
        """Action and terms of each phrase."""
        told = ((action, phrase) for action, phrases in self.phrases.items() for phrase in phrases)
        return [(action, _terms(self._content(_split(phrase)))) for action, phrase in told]

    @cached_property
    def _vocabulary(self) -> dict[str, set[str]]:
        """All terms of an action's phrases, and words that say nothing."""
        found: dict[str, set[str]] = defaultdict(lambda: set(_EMPTY))
        for action, terms in self._documents:
            found[action].update(terms)
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
    return re.findall(r"\{side\}|[a-z]+", re.sub(r"['\u2019]s?\b", " ", text.lower()))


def _terms(words: Sequence[str]) -> tuple[str, ...]:
    """Words, and pairs of words in a row, each once and in an order of their own: a set has another in each process, in
    which sums would be rounded otherwise."""
    return tuple(dict.fromkeys((*words, *map(" ".join, itertools.pairwise(words)))))


def _telling(terms: Iterable[str]) -> set[str]:
    return {_LIMBS.get(term, term) for term in terms} & _TELLING


def _is_text(text: object) -> bool:
    """Whether it is a sentence, or several with " > " between, in Unicode that can be written."""
    return isinstance(text, str) and all(part.strip() for part in text.split(JOIN)) and text.isprintable()


def _is_list(texts: object) -> bool:
    return isinstance(texts, list) and all(map(_is_text, texts))


def _is_table(table: object) -> bool:
    return isinstance(table, dict) and all(map(_is_text, table.values()))


def _is_table_of_lists(table: object) -> bool:
    return isinstance(table, dict) and len(table) > 0 and all(map(_is_list, table.values()))


_CHECKS = {
    "phrases": _is_table_of_lists,
    "followed": _is_table,
    "without_side": _is_table,
    "plain": _is_list,
    "verbs": _is_table_of_lists,
    "same": _is_table,
    "again": lambda table: table == {} or _is_table_of_lists(table),
    "tests": are_tests,
}
"""What each attribute of `Wordings` must be in the file."""
