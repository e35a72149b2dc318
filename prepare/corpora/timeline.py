"""Labels along time: what is done from which second to which, as BONES-SEED's temporal labels have it."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from lamp.utils.errors import UserError
from lamp.utils.reading import is_finite, reading
from lamp.utils.tagging import clean_caption

Event = tuple[str, float, float]
"""Sentence, first and last second."""
_INSIDE = 0.8
"""Share of a label's time that must lie in a clip for the clip to show it."""
_EDGE = 0.15
"""Seconds at both ends of a clip that a label about all of it may leave out."""


def read_timeline(folder: Path, names: Collection[str]) -> dict[str, list[Event]]:
    """Labels of the takes called `names`, by take, in order of time; of the newest file, or none if there is none.

    Raises:
        UserError: a line is no label.
    """
    files = sorted(folder.glob("*temporal_labels*.jsonl"))
    if not files:
        print(f"{folder} has no *temporal_labels*.jsonl: no labels along time")
        return {}
    found: dict[str, list[Event]] = {}
    with reading(files[-1], "file of labels along time"), files[-1].open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                if (name := entry["filename"]) in names:
                    found[name] = sorted(map(_event, entry["events"]), key=lambda event: event[1:])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise UserError(
                    f"{files[-1]} line {number} is no label with filename and events of start_time, end_time and "
                    f"description ({type(error).__name__}); download it again"
                ) from error
    return found


def _event(entry: dict[str, object]) -> Event:
    text, start, end = entry["description"], entry["start_time"], entry["end_time"]
    if not isinstance(text, str) or not isinstance(start, int | float) or not isinstance(end, int | float):
        raise TypeError("description is no text, or a time no number")
    if not (is_finite(start) and is_finite(end)):
        raise ValueError("a time that is not finite")
    return clean_caption(text), float(start), float(end)


def within(events: Sequence[Event], start: float, seconds: float) -> tuple[list[Event], list[str]]:
    """Labels that a clip shows.

    Args:
        events: of the take.
        start: second of the take at which the clip begins.
        seconds: length of the clip.

    Returns:
        Labels of parts of the clip, with times of the clip; and sentences that speak of all of it.
    """
    parts, whole = list[Event](), list[str]()
    for text, first, last in events:
        a, b = max(0.0, first - start), min(seconds, last - start)
        if not text or b - a <= 0 or b - a < _INSIDE * (last - first):
            continue
        if a <= _EDGE and b >= seconds - _EDGE:
            whole.append(text)
        else:
            parts.append((text, round(a, 2), round(b, 2)))
    return parts, whole


def in_order(texts: Sequence[str]) -> str:
    """One sentence of several that follow each other."""
    plain = [text.rstrip(" .") for text in texts]
    return ", then ".join([*plain[:1], *(text[:1].lower() + text[1:] for text in plain[1:])]) + "."
