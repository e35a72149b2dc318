"""Ids of clips from names of files: usable as file names and in split files, and never two alike."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from lamp.utils.errors import UserError
from lamp.utils.files import is_plain_name, shown

MIRROR_PREFIX = "M"
"""Ids of mirror images begin with this, as in HumanML3D."""
_LONGEST = 120
"""Bytes of an id; parts of a take and mirror images add some."""


def clip_names(files: Sequence[str]) -> dict[str, str]:
    """An id for each file, by file, as like its name as can be.

    Split files hold ids between blanks, and readers take those of mirror images and of parts to be derived: so blanks,
    brackets and the like become "_", and a name that another's derived name could equal gets a number.

    Args:
        files: names relative to their folder, with "/".
    """
    taken: set[str] = set()
    ids = {}
    for file in files:
        wanted = unicodedata.normalize("NFC", file).rsplit(".", 1)[0]
        wanted = re.sub(r"[^\w.-]+", "_", wanted).strip("._-")
        wanted = wanted.encode()[:_LONGEST].decode(errors="ignore") or "clip"
        chosen, number = wanted, 1
        while _stem(chosen) in taken:
            number += 1
            chosen = f"{wanted}_{number}"
        taken.add(_stem(chosen))
        ids[file] = chosen
    return ids


def check_names(names: Iterable[tuple[str, object]]) -> None:
    """Make sure that ids, and all that is derived of them, can be told apart, also where case does not count.

    Args:
        names: id, and the file that it is of, for the message.

    Raises:
        UserError: two could be taken for each other, or one is no plain name.
    """
    taken: dict[str, object] = {}
    for name, file in names:
        if not is_plain_name(name) or name != "".join(name.split()) or name.startswith("."):
            raise UserError(f"{file}: {shown(name)} cannot name a clip; rename the file")
        if (other := taken.setdefault(_stem(name), file)) is not file:
            raise UserError(f"clips of {file} and of {other} would have the same names; rename one file")


def _stem(name: str) -> str:
    """What all ids that are derived of a name, or that it may be derived of, have in common."""
    name = re.sub(r"(_[sp]\d+)*$", "", name.casefold())
    return name.lstrip(MIRROR_PREFIX.casefold()) or MIRROR_PREFIX
