"""Captions as people type them: capitals, slips of the keys, lost articles, other words and spellings."""

import random
import re
from collections.abc import Callable

_OTHER_WORDS = (
    ("forward", "forwards"),
    ("backward", "backwards"),
    ("backwards", "backward"),
    ("towards", "toward"),
    ("around", "round"),
    ("metres", "meters"),
    ("meters", "metres"),
    ("metre", "meter"),
    ("both hands", "two hands"),
    ("both arms", "the two arms"),
    ("a person", "a guy"),
    ("a person", "a human figure"),
    ("the person", "the guy"),
    ("the person", "this person"),
    ("someone", "some person"),
    ("somebody", "some guy"),
    ("a man", "a male"),
    ("a woman", "a female"),
    ("a man", "some man"),
    ("and then", "and afterwards"),
    ("and then", "then"),
    ("quickly", "fast"),
    ("at the same time", "simultaneously"),
    ("the floor", "the ground"),
    ("the ground", "the floor"),
    ("their", "his or her"),
    ("twice", "two times"),
    ("two times", "twice"),
)
_KEPT = re.compile(r"left|right|clockwise|\d")
"""Words that make all the difference, so they stay as they are."""


def noisy(text: str, rng: random.Random) -> str:
    """A caption as somebody in a hurry writes it, once in a while; sides and numbers are never touched."""
    draw = rng.random()
    for chance, change in _CHANGES:
        if draw < chance:
            return change(text, rng)
        draw -= chance
    return text


def _capital(text: str, rng: random.Random) -> str:
    return text[:1].upper() + text[1:]


def _shouted(text: str, rng: random.Random) -> str:
    return text.upper()


def _without_article(text: str, rng: random.Random) -> str:
    articles = list(re.finditer(r"\b(?:a|the|an) ", text))
    found = rng.choice(articles) if articles else None
    return text if found is None else text[: found.start()] + text[found.end() :]


def _mistyped(text: str, rng: random.Random) -> str:
    """Two letters exchanged, one lost or one doubled, not the first or last of a word."""
    words = text.split(" ")
    places = [k for k, word in enumerate(words) if len(word) > 4 and word.isalpha() and not _KEPT.search(word)]
    if not places:
        return text
    k = rng.choice(places)
    word, at = words[k], rng.randrange(1, len(words[k]) - 2)
    slip = rng.choice((word[at + 1] + word[at], word[at + 1], word[at] * 2 + word[at + 1]))
    words[k] = word[:at] + slip + word[at + 2 :]
    return " ".join(words)


def _other_word(text: str, rng: random.Random) -> str:
    fitting = [(old, new) for old, new in _OTHER_WORDS if re.search(rf"\b{old}\b", text)]
    if not fitting:
        return text
    old, new = rng.choice(fitting)
    return re.sub(rf"\b{old}\b", new, text, count=1)


def _adverb_first(text: str, rng: random.Random) -> str:
    """Turn "a man walks slowly" into "slowly a man walks"."""
    moved = re.fullmatch(r"((?:a|an|the|someone|somebody|he|she)\b[^,.]*) (\w+ly)(\.?)", text)
    return f"{moved[2]}{rng.choice((',', ''))} {moved[1]}{moved[3]}" if moved else text


_CHANGES: tuple[tuple[float, Callable[[str, random.Random], str]], ...] = (
    (0.05, _capital),
    (0.002, _shouted),
    (0.03, _without_article),
    (0.04, _mistyped),
    (0.05, _other_word),
    (0.10, _adverb_first),
)
"""Probability of each change; few captions end in an adverb, so that one is seldom seen."""
