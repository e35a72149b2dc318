"""What a sentence says one after the other: "a person walks, then bows" -> "a person walks", "a person bows".

Only words that say so plainly divide a sentence ("then", "after that", "before bowing", a full stop, a list of verbs);
whatever is not understood stays whole. "and" and "while" mean at once.
"""

import re

SUBJECT = "a person"
"""Who does what a later clause says, if it does not say."""
MOST_CLAUSES = 8

_AFTER_THAT = r"(?:(?:right|shortly|soon|immediately) )?after that"
_LATER = (
    rf"then|{_AFTER_THAT}|after which|afterwards?|thereafter|thereupon|subsequently|next(?! to)|finally|lastly|at last|"
    r"eventually|in the end|at the end|later(?: on)?"
)
_FIRST = r"first(?:ly)?|at first|to begin with|initially|in the beginning"
_STARTS = re.compile(rf"(?:{_FIRST}|(?:and\s+|but\s+)?(?:{_LATER}|second(?:ly)?|third(?:ly)?))\b,?\s+", re.IGNORECASE)
_ENDS = re.compile(rf",?\s+(?:{_FIRST}|{_LATER})$", re.IGNORECASE)
_WHOSE = r"(?:\w+ing|(?:he|she|it|they)\s)"
_BETWEEN = re.compile(
    rf"\s*[.;!]\s+(?=\w)|\s*,?\s*\b(?:and|but)\s+(?:{_LATER})\b,?\s+|\s*,?\s*\bthen\b,?\s+|"
    rf"\s*,\s*(?:{_LATER})\b,?\s+|\s*,?\s+followed by\s+|"
    r"\s*,?\s+\b(?:and|to)\s+(?:ends?|finish(?:es)?)(?: up)?(?: by| with)?\s+(?=\w+ing\b)|"
    rf"\s*,?\s+(?:before|prior to)\s+(?={_WHOSE})",
    re.IGNORECASE,
)
_AND_AFTER = re.compile(rf",?\s+(?:and|but)\s+(?=.*\b(?:{_LATER})$)", re.IGNORECASE)
_AFTER = re.compile(rf"^after\s+(?:first\s+)?({_WHOSE}\b[^,]*),\s+(.+)$", re.IGNORECASE)
_BEFORE = re.compile(rf"^(?:before|prior to)\s+({_WHOSE}\b[^,]*),\s+(.+)$", re.IGNORECASE)
_REVERSED = re.compile(rf"^(.+?),?\s+(?:but (?:only )?)?after\s+(?:first\s+)?({_WHOSE}\b.*)$", re.IGNORECASE)
_BUT_FIRST = re.compile(r"^(.+?)(?:,?\s+but (?:first|before that)|[.;]\s+before that),?\s+(.+)$", re.IGNORECASE)
_SUMMARY = re.compile(r"\b(?:does|doing|do) (?:both|two|three|several)\b", re.IGNORECASE)
_BEGINS = re.compile(r"^(.*?)\b(?:starts|begins|opens) (?:by|with) (?=\w+ing\b)", re.IGNORECASE)

_WHO = {
    *("a", "an", "the", "one", "this", "that", "another", "he", "she", "it", "they", "we", "i", "you", "his", "her"),
    *("its", "their", "someone", "somebody", "anyone", "both", "person", "man", "woman", "people", "figure", "human"),
}
"""Words with which a clause begins that says who, or what, is meant."""
_NO_VERBS = {
    *("his", "its", "this", "as", "across", "towards", "sideways", "backwards", "forwards", "upwards", "downwards"),
    *("afterwards", "always", "hands", "arms", "legs", "feet", "knees", "elbows", "shoulders", "hips", "heads", "toes"),
    *("heels", "fists", "metres", "meters", "degrees", "steps", "times", "seconds", "circles", "things", "objects"),
    *("stairs", "others", "besides", "perhaps", "is"),
}
"""Words that end as verbs do and are none, where no verb can be told from a noun."""
_WAYS = {
    *("forward", "forwards", "backward", "backwards", "back", "left", "right", "up", "down", "sideways", "away"),
    *("straight", "clockwise", "counterclockwise", "anticlockwise"),
}
_MANNERS = r"(?:\w+ly\s+|again\s+|just\s+)*"
_CARRY_ON = re.compile(
    r"^(.*\b(?:stands? up|gets? up|picks?\b.*\bup|picks? up\b.*|turns? (?:a)?round|bows?|stops?)"
    r"(?:\s+from\s+(?:\w+\s+){0,2}\w+)?)"
    r",?\s+and\s+(?=(?:walks?|runs?|jogs?|goes|go|leaves?|carries|carry|waves?|bows?|comes?|jumps?|kicks?)\b)",
    re.IGNORECASE,
)
"""What cannot be at once with what follows its "and"."""


def clauses(text: str) -> list[str]:
    """What a sentence says one after the other, in the order in which it happens, each a sentence of its own.

    Args:
        text: a sentence.

    Returns:
        The text itself alone, where it does not plainly say so or a part would not be a sentence.
    """
    whole = " ".join(text.split())
    if _SUMMARY.search(whole):
        return [text]
    ordered = _ordered(whole.rstrip(" .!;,"))
    parts = [clause for part in ordered for clause in _divided(part, len(ordered) > 1)]
    if not 1 < len(parts) <= MOST_CLAUSES:
        return [text]
    found: list[str] = []
    for part in parts:
        bare = _ENDS.sub("", _STARTS.sub("", part.strip(" ,;."), count=1)).strip(" ,;.")
        sentence = _sentence(bare, found)
        if not sentence:
            return [text]
        found.append(sentence)
    return found


def _ordered(text: str) -> list[str]:
    """Parts that words of order divide, those of "after", "before" and "but first" turned round."""
    if match := _AFTER.match(text):
        return [match[1], *_ordered(match[2])]
    if match := _BEFORE.match(text):
        return [*_ordered(match[2]), match[1]]
    if match := _BUT_FIRST.match(text):
        return [match[2], match[1]]
    found = []
    for part in filter(str.strip, _BETWEEN.split(text)):
        match = _REVERSED.match(part)
        found += [match[2], match[1]] if match else _AND_AFTER.split(part, maxsplit=1)
    return found


def _divided(part: str, several: bool) -> list[str]:
    """Parts of a list of verbs, "walks, stops, and waves", and what cannot be at once; `several`: one of more parts."""
    items = [item.strip() for item in re.split(r",\s*(?:and\s+)?|\s+and\s+", part)]
    verbs = [re.sub(rf"^{_MANNERS}", "", item).split(" ")[0] for item in items[1:]]
    in_a_row = all(_is_verb(verb) and not verb.endswith("ing") for verb in verbs)  # "walks, waving" is at once
    if in_a_row and len(items) > (1 if several and "," in part else 2):
        return items
    match = _CARRY_ON.match(part)
    return [match[1], part[match.end() :]] if match else [part]


def _sentence(clause: str, before: list[str]) -> str:
    """A clause made whole by what was said before; "" if that is not possible."""
    words = clause.split()
    if not words:
        return ""
    first = words[0].lower()
    if not before:
        if first in _WHO and len(words) < 3 and not any(map(_is_verb, words[1:])):
            return ""  # "the person then sits": no more than who it is
        clause = _BEGINS.sub(r"\1is ", clause)
        return f"{SUBJECT} is {clause}" if first.endswith("ing") else clause
    if first == "again":
        return before[-1]
    if first in _WAYS or first == "to" or (first in _WHO and not any(map(_is_verb, words[1:]))):
        return _completed(clause, before[-1])
    if first in _WHO or before[0].split()[0].lower() not in _WHO:
        return clause
    return f"{SUBJECT} is {clause}" if first.endswith("ing") else f"{SUBJECT} {clause}"


def _completed(clause: str, before: str) -> str:
    """The sentence before with another end: "he lifts the left hand", "the right one" -> "he lifts the right one"."""
    words, first = before.split(), clause.split()[0].lower()
    alike = [i for i, word in enumerate(words) if i and (word.lower() == first or {word.lower(), first} <= _WAYS)]
    return " ".join([*words[: alike[-1]], clause]) if alike else ""


def _is_verb(word: str) -> bool:
    word = word.lower().strip(",.;")
    return word not in _NO_VERBS and len(word) > 2 and word.endswith(("s", "ed", "ing"))
