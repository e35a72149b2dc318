"""Caption files of the HumanML3D layout: lines of `caption#word/POS word/POS#start#end`."""

import math
from dataclasses import dataclass, field

LONGEST = 1e6
"""Seconds; a later time is a mistake."""


@dataclass(frozen=True)
class Caption:
    """A sentence about a clip, or about a part of it.

    Attributes:
        text: the sentence as written.
        tokens: `word/POS` of its lemmas.
        start, end: seconds; both 0 for the whole clip.
    """

    text: str
    tokens: list[str]
    start: float = 0.0
    end: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether the caption speaks of the whole clip."""
        return self.start == 0.0 and self.end == 0.0

    def frames(self, num_frames: int, fps: float) -> slice:
        """Frames that the caption speaks of, of a clip of `num_frames`; empty if its times are outside the clip."""
        if self.whole:
            return slice(0, num_frames)
        start = min(int(self.start * fps), num_frames)
        return slice(start, max(start, min(int(self.end * fps), num_frames)))


@dataclass
class ParsedCaptions:
    """Captions of a text, and what was wrong with the lines left out."""

    captions: list[Caption] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def parse_captions(text: str) -> ParsedCaptions:
    """Read the lines of a caption file; empty lines are skipped, broken ones are dropped and reported."""
    parsed = ParsedCaptions()
    # Not splitlines(): a caption may hold a unicode line separator.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line:
            continue
        fields = line.split("#")
        if len(fields) != 4:
            parsed.problems.append(f"line {number} has {len(fields)} fields instead of 4")
            continue
        try:
            start, end = _seconds(fields[2]), _seconds(fields[3])
        except ValueError:
            parsed.problems.append(f"line {number} has bad times '{fields[2]}' and '{fields[3]}'")
            continue
        caption = fields[0].strip()
        if not caption:
            parsed.problems.append(f"line {number} has an empty caption")
            continue
        parsed.captions.append(Caption(caption, fields[1].split(), start, end))
    return parsed


def format_caption(caption: Caption) -> str:
    """The caption as a line of a caption file."""
    return f"{caption.text}#{' '.join(caption.tokens)}#{caption.start}#{caption.end}"


def _seconds(text: str) -> float:
    """A time of a caption line; the published files write nan for "not given"."""
    value = float(text)
    if math.isnan(value):
        return 0.0
    if not 0 <= value <= LONGEST:
        raise ValueError(text)
    return value
