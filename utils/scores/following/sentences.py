"""The sentences of the benchmark: what is asked, for how long, and the test that a motion must pass."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamp.utils.errors import UserError, naming
from lamp.utils.files import is_plain_name, read_json, shown
from lamp.utils.kinematics.skeleton import MAX_FRAMES
from lamp.utils.reading import reading
from lamp.utils.scores.following.tests import Test, check_test

SHIPPED = Path(__file__).with_name("sentences.json")
FEWEST_FRAMES = 24


@dataclass(frozen=True)
class Sentence:
    """A sentence that is asked.

    Attributes:
        id: its name, which is also that of its motions' folder.
        group: what kind it is of.
        text: what a model gets.
        frames: length that is asked for, at 20 frames a second.
        test: see `lamp.utils.scores.following.tests`.
    """

    id: str
    group: str
    text: str
    frames: int
    test: Test


def read_sentences(path: Path = SHIPPED) -> list[Sentence]:
    """Sentences of a JSON list of objects with id, group, text, frames and test.

    Raises:
        UserError: it cannot be read, or an entry is wrong; the message names it.
    """
    with reading(path, "list of sentences"):
        entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path} must be a JSON list of objects with id, group, text, frames and test")
    sentences = []
    for number, entry in enumerate(entries):
        with naming(f"{path} entry {number}"):
            sentences.append(_sentence(entry))
    counts = Counter(sentence.id for sentence in sentences)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise UserError(f"{path} has the id {twice[0]} twice; give each sentence its own")
    return sentences


def _sentence(entry: Any) -> Sentence:
    if not isinstance(entry, dict) or set(entry) != {"id", "group", "text", "frames", "test"}:
        raise UserError("is no object with id, group, text, frames and test, and nothing else")
    for key in ("id", "group", "text"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise UserError(f"{key} {shown(str(entry[key]))} must be a text")
    if not is_plain_name(entry["id"]):
        raise UserError(f"id {shown(entry['id'])} must be a plain name: it becomes a folder")
    if "#" in entry["text"] or " > " in entry["text"]:
        raise UserError(
            f"text {shown(entry['text'])} has a # or a >, which mean something in prompt files; take it out"
        )
    frames = entry["frames"]
    if type(frames) is not int or not FEWEST_FRAMES <= frames <= MAX_FRAMES:
        raise UserError(f"frames {shown(str(frames))} must be a number from {FEWEST_FRAMES} to {MAX_FRAMES}")
    check_test(entry["test"])
    return Sentence(**entry)
