"""Names of joints as exporters write them, made comparable: no prefix, no case, no blanks, points or underscores."""

import re
from collections import Counter
from collections.abc import Sequence

END = "_end"
"""Suffix of the end of a chain (a BVH file's End Site)."""
_COMMON = 0.6
"""Part of all joints that share a prefix, such as "Bip01 ", for it to say nothing."""


def joint_keys(names: Sequence[str]) -> list[str]:
    """Comparable form of each joint's name, without the prefix that most of a skeleton's joints share."""
    plain = [_without_namespace(name) for name in names]
    prefix = _shared_prefix(plain)
    return [plain_key(name.removeprefix(prefix)) for name in plain]


def plain_key(name: str) -> str:
    """Comparable form of a single name; the end of a chain keeps its suffix."""
    stem = _without_namespace(name)
    end = stem.endswith(END)
    return re.sub(r"[\W_]+", "", stem.removesuffix(END)).casefold() + (END if end else "")


def _without_namespace(name: str) -> str:
    """A name without "mixamorig:" or "Armature|", and without the number that tells it from another of its kind."""
    stem = re.sub(r"#\d+(?=$|_end$)", "", re.split(r"[:|]", name)[-1])
    return re.sub(r"^mixamorig\d*[_ ]?(?=.)", "", stem)


def _shared_prefix(names: Sequence[str]) -> str:
    counts = Counter(
        name[: match.end()] for name in names for match in re.finditer(r"[_ .-]+(?=[^_ .-])", name.removesuffix(END))
    )
    shared = [prefix for prefix, count in counts.items() if count > 1 and count >= _COMMON * len(names)]
    return max(shared, key=len, default="")
