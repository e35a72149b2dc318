"""Prompt files: one `<text>#<number of frames>` a line, `#NA` where the model is to choose."""

from dataclasses import dataclass
from pathlib import Path

from lamp.utils.errors import UserError


@dataclass(frozen=True)
class Prompts:
    """Sentences and their frames; `lengths` is None where the model chooses for all."""

    texts: list[str]
    lengths: list[int] | None


def read_prompts(path: str | Path) -> Prompts:
    """Read a prompt file; empty lines are left out, and one NA makes all lengths NA, as in the public systems.

    Raises:
        UserError: no such file, not text, no prompts, or a length that is neither NA nor a number.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"cannot read --text_path {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"--text_path {path} is not a UTF-8 text file") from error
    texts: list[str] = []
    lengths: list[int] = []
    chosen = False  # whether the model is to choose
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        text, mark, length = line.rpartition("#")
        if not mark:
            text, length = line, "NA"
        if not text.strip():
            raise UserError(f"{path} line {number}: no text before the #")
        length = length.strip()
        if length.upper() != "NA" and not (length.isascii() and length.isdigit()):
            raise UserError(f"{path} line {number}: '{length}' after the # is neither a number of frames nor NA")
        texts.append(text.strip())
        if length.upper() == "NA":
            chosen = True
        else:
            lengths.append(int(length))
    if not texts:
        raise UserError(f"--text_path {path} holds no prompts; write one <text>#<frames> a line")
    return Prompts(texts, None if chosen else lengths)
