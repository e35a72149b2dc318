"""Which split a take of a big set is in: by published lists, or by a hash of what must not be torn apart."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from lamp.prepare.own_captures import filled
from lamp.utils.errors import UserError
from lamp.utils.reading import decode, reading

TEST, VAL = 0.15, 0.05
"""Shares of the groups."""
_LIST = re.compile(r"(train|val|test(?:_(?!split)[a-z0-9-]+)?)(?:_split)?(?:_paths)?")


def drawn_split(group: str, seed: int) -> str:
    """Split of a group by chance: the same whatever else is in the set, so that a set may grow."""
    share = _share(group, seed)
    return "test" if share < TEST else "val" if share < TEST + VAL else "train"


def _share(group: str, seed: int) -> float:
    """A number from 0 to 1 that a group always has."""
    return int(hashlib.sha256(f"{seed} {group}".encode()).hexdigest()[:13], 16) / 16**13


def read_lists(folder: Path) -> dict[str, str]:
    """Split of each name in a folder of published lists: train.txt, test.txt, test_content_split_paths.txt, ...

    Lines are names or paths, with or without a suffix.

    Raises:
        UserError: there are no such lists, or a name is in two of them.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        if (match := _LIST.fullmatch(path.stem.lower())) is None:
            continue
        with reading(path, "list of a split"):
            lines = decode(path.read_bytes()).splitlines()
        for line in filter(None, map(str.strip, lines)):
            if found.setdefault(key_of(line), match[1]) != match[1]:
                raise UserError(f"{path}: {line[:80]} is in the lists of {match[1]} and of {found[key_of(line)]}")
    if not found:
        raise UserError(f"--splits {folder} holds no list such as train.txt or test_split_paths.txt with names in it")
    return found


def key_of(path: str) -> str:
    """A path of a list, or of a file, without its suffix."""
    pure = PurePosixPath(path.replace("\\", "/"))
    return str(pure.with_suffix("") if pure.suffix.lower() in (".bvh", ".npy", ".npz", ".csv") else pure)


def by_name(lists: Mapping[str, str]) -> dict[str, str]:
    """The split of each last part of the keys of lists, where it is one split."""
    names: dict[str, set[str]] = {}
    for key, split in lists.items():
        names.setdefault(key.rsplit("/", 1)[-1], set()).add(split)
    return {name: next(iter(splits)) for name, splits in names.items() if len(splits) == 1}


class Splits:
    """Splits of the takes of a set.

    Args:
        groups: of each job; jobs of one group are never in two splits.
        seed: of the draw.
        lists: split of each job in published lists, which are kept; None to draw.
    """

    def __init__(self, groups: Mapping[str, str], seed: int, lists: Mapping[str, str] | None = None) -> None:
        self._groups, self._seed = groups, seed
        self.of = {job: drawn_split(group, seed) for job, group in groups.items()} if lists is None else dict(lists)
        self._published = lists is not None
        if self._published and "val" not in self.of.values():
            # Training needs one; test parts stay as published.
            for job, split in self.of.items():
                if split == "train" and _share(groups[job], seed) < VAL:
                    self.of[job] = "val"

    def resplit(self, jobs: Sequence[str]) -> dict[str, str]:
        """Splits of the jobs that have clips; of drawn ones none that training needs is empty, groups stay whole."""
        if self._published:
            return {job: self.of[job] for job in jobs}
        members = Counter(self._groups[job] for job in jobs)
        splits = filled({group: drawn_split(group, self._seed) for group in members}, list(members), self._seed)
        return {job: splits[self._groups[job]] for job in jobs}
