"""Codes decoded many at a time, each with the bits that it has whatever is decoded with it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import Tensor
from torch.nn import functional as F

ROWS, TOKENS = 8, 7
"""Motions that are decoded at a time, and what their length in tokens is a multiple of."""
Made = TypeVar("Made")


def in_sheets(
    codes: Tensor, tokens: Tensor, decode: Callable[[Tensor, Tensor, Sequence[int]], Sequence[Made]]
) -> list[Made]:
    """What is decoded of each motion, in sheets of one shape for its length.

    How convolutions and products round depends on the shapes, for which libraries choose the kernels. So a sheet always
    has `ROWS` motions: where there are fewer, one fills it up, and what comes of it there is not used.

    Args:
        codes: (B, n, Q).
        tokens: (B,) lengths.
        decode: what comes of codes (ROWS, m, Q) of so many tokens (ROWS,), which are these rows of the batch.
    """
    widths = (-(-tokens // TOKENS) * TOKENS).tolist()
    made: dict[int, Made] = {}
    for width in set(widths):
        places = [place for place, own in enumerate(widths) if own == width]
        for start in range(0, len(places), ROWS):
            part = places[start : start + ROWS]
            rows = [*part, *[part[0]] * (ROWS - len(part))]
            sheet = F.pad(codes[rows, :width], (0, 0, 0, max(0, width - codes.shape[1])), value=-1)
            made.update(zip(part, decode(sheet, tokens[rows], rows)))
    return [made[place] for place in range(len(widths))]
