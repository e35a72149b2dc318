"""Prompt files: one `<text>#<number of frames>` a line, `#NA` where the model is to choose.

Sentences with ` > ` between follow each other in one motion, each with a length of its own.
"""

import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lamp.utils.errors import UserError, naming
from lamp.utils.files import shown

TABLES = (".csv", ".tsv", ".json", ".jsonl")
"""Suffixes of files that hold no sentences."""
COLUMNS = {"caption", "end", "file", "frames", "id", "length", "name", "prompt", "split", "start", "text"}
"""Names of columns, by which a table is known that has another suffix."""
# What ends a line for Python, but not for editors; in a sentence they are blanks.
_INSIDE = dict.fromkeys(map(ord, "\v\f\x1c\x1d\x1e\x85\u2028\u2029"), " ")
_LONGEST_NUMBER = 9
JOIN = " > "
"""Between the sentences of a sequence."""


@dataclass(frozen=True)
class Step:
    """A sentence and its frames; None where the model chooses."""

    text: str
    frames: int | None


@dataclass(frozen=True)
class Prompts:
    """Sentences and their frames; `lengths` is None where the model chooses for all.

    Where some of them are sequences, `sequences` has the steps of each, one or more, and `lengths` is None.
    """

    texts: list[str]
    lengths: list[int] | None
    sequences: list[list[Step]] | None = None


def read_prompts(path: str | Path, flag: str = "--text_path") -> Prompts:
    """Read a prompt file; empty lines are left out, and one NA makes all lengths NA, as in the public systems.

    Only line feeds and carriage returns end a line. In a file with a sequence, an NA is of its own sentence only.

    Args:
        path: the file.
        flag: what the user gave `path` with, for errors.

    Raises:
        UserError: no such file, not text, a table, no prompts, or a length that is neither NA nor a number.
    """
    path = Path(path)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {flag} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{flag} {path} is not a UTF-8 text file") from error
    if path.suffix.lower() in TABLES or _is_table(content):
        raise UserError(f"{flag} {path} is a table, not sentences; write a text file with one <text>#<frames> a line")
    lines = content.translate(_INSIDE).split("\n")
    sequences = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with naming(f"{path} line {number}"):
                sequences.append(read_steps(line.split(JOIN)))
    if not sequences:
        raise UserError(f"{flag} {path} holds no prompts; write one <text>#<frames> a line")
    return as_prompts(sequences)


def as_prompts(sequences: list[list[Step]]) -> Prompts:
    """Prompts of sequences; of single sentences, if none has a second."""
    texts = [JOIN.join(step.text for step in steps) for steps in sequences]
    if any(len(steps) > 1 for steps in sequences):
        return Prompts(texts, None, sequences)
    lengths = [steps[0].frames for steps in sequences]
    known = [length for length in lengths if length is not None]
    return Prompts(texts, known if len(known) == len(lengths) else None)


def read_steps(parts: Iterable[str]) -> list[Step]:
    """Sentences, each with `#<frames>`, `#NA` or nothing at its end.

    Raises:
        UserError: no text, or a length that is neither NA nor a number.
    """
    steps = []
    for part in parts:
        text, mark, length = part.rpartition("#")
        if not mark:
            text, length = part, "NA"
        if not text.strip():
            raise UserError("no text before the #" if mark else f"no text before or after a {JOIN.strip()}")
        length = length.strip()
        is_number = length.isascii() and length.isdigit() and len(length) <= _LONGEST_NUMBER
        if length.upper() != "NA" and not is_number:
            raise UserError(f"{shown(length)} after the # is neither a number of frames nor NA")
        steps.append(Step(text.strip(), int(length) if is_number else None))
    return steps


def _is_table(content: str) -> bool:
    """Whether a text is JSON, or begins with the names of columns."""
    first = content.lstrip().partition("\n")[0]
    names = {cell.strip().strip("\"'").lower() for cell in re.split(r"[,;\t]", first)}
    if len(names) > 1 and names <= COLUMNS:
        return True
    if first[:1] not in ("{", "["):
        return False
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        try:
            json.loads(first)
        except (ValueError, RecursionError):
            return False
    return True


_LETTER = re.compile(r"(?:FULLWIDTH |HALFWIDTH )?(\w+)\b.*\b(?:LETTER|SYLLABLE|IDEOGRAPH)\b")


def main_script(texts: Iterable[str]) -> str:
    """Script of most letters of some texts, as Unicode calls it: LATIN, HANGUL, CJK, ...; "" without letters."""
    counts: Counter[str] = Counter()
    for letter, count in Counter("".join(texts)).items():  # a vocabulary has few letters many times
        if script := _script(letter):
            counts[script] += count
    return counts.most_common(1)[0][0] if counts else ""


def in_other_script(text: str, script: str) -> str:
    """The first word of a text that has a letter of another script than `script`; "" if there is none."""
    return next((word for word in text.split() if any(found != script for found in _scripts(word))), "")


def _scripts(text: str) -> Iterable[str]:
    """Script of each letter; signs that count as letters (micro, ordinals, mathematical letters) are left out."""
    return filter(None, map(_script, text))


@functools.lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """Script of a letter, "" of anything else."""
    match = _LETTER.match(unicodedata.name(letter, "")) if letter.isalpha() else None
    return "" if match is None or match[1] == "MODIFIER" else match[1]
