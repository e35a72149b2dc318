"""Captions as text: mirror images, tagged words, lines of the text files."""

import re
from collections.abc import Iterable

from lamp.utils.tagging import clean_caption, tag_sentences

OTHER_SIDE = {"left": "right", "right": "left"}

_SIDE_WORD = re.compile(
    r"\b(?P<turn>counter-?\s?clockwise|anti-?\s?clockwise|clockwise)\b"
    r"|(?<!\ball )\b(?P<side>left|right)(?!\s+away\b)(?=(?:wards?|most|hand|handed|s|y)?\b)",
    re.IGNORECASE,
)


def mirror_caption(text: str) -> str:
    """Swap left and right, clockwise and counterclockwise; the case of the word is kept.

    Only whole words and their compounds change ("left", "leftwards", "left-hand", "lefthanded"), so that "leave",
    "bright" and "upright" stay. "all right" and "right away" stay too; that "left" may be a verb ("he left") and
    "right" an adverb ("right angle") is not seen, as in HumanML3D. All spellings of counterclockwise come back as
    "counterclockwise"; but for that the function is its own inverse.
    """

    def swap(match: re.Match[str]) -> str:
        if match["turn"]:
            other = "counterclockwise" if match["turn"].lower() == "clockwise" else "clockwise"
        else:
            other = OTHER_SIDE[match["side"].lower()]
        return _with_case_of(match.group(), other)

    return _SIDE_WORD.sub(swap, text)


def tag_captions(texts: Iterable[str]) -> list[str]:
    """Tag captions as the text files have them, one string of ``word/POS word/POS`` a caption, in order."""
    return [" ".join(tokens) for tokens in tag_sentences(texts)]


def caption_line(caption: str, tagged: str, start: float = 0.0, end: float = 0.0) -> str:
    """Return one line of a text file, ``caption#tagged#start#end``, without the newline.

    Args:
        caption: The caption; '#' and newlines in it become spaces.
        tagged: Its tagged form from `tag_captions`.
        start: Start in seconds of the part that the caption speaks of.
        end: End in seconds; start = end = 0 means the whole clip.
    """
    return f"{clean_caption(caption)}#{clean_caption(tagged)}#{float(start)}#{float(end)}"


def _with_case_of(model: str, word: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word
