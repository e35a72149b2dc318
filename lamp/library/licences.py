"""What the folders of a library's motions say of their licence."""

import re
from pathlib import Path

NOT_STATED = "licence not stated"
_LICENCES = re.compile(r"(licen[cs]e|copying)(\.(txt|md|rst))?", re.IGNORECASE)


def licence_of(source: Path, file: str) -> str:
    """First line of the licence that lies nearest to a file of a library's folder, on its way up to that folder."""
    folder = (source / file).parent
    for place in (folder, *folder.parents):
        if not place.is_relative_to(source):
            break
        try:
            found = sorted(path for path in place.iterdir() if _LICENCES.fullmatch(path.name) and path.is_file())
            text = found[0].read_text(encoding="utf-8", errors="replace") if found else ""
        except OSError:
            continue
        if lines := [line.strip(" #*=") for line in text.splitlines() if line.strip(" #*=")]:
            return lines[0][:120]
    return NOT_STATED
