"""Names of many clips, which stay on the disk until one is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np


class Names(Sequence[str]):
    """Clip ids in order of their code points, from an array (N,) of UTF-8 bytes that may be memory-mapped."""

    def __init__(self, encoded: np.ndarray) -> None:
        self._encoded = encoded
        self.rows = NameRows(self)

    def __len__(self) -> int:
        return len(self._encoded)

    def __getitem__(self, index: Any) -> Any:
        return self._encoded[index].decode()

    def find(self, name: str) -> int:
        """Row of a name, -1 where there is none."""
        wanted = name.encode()
        if len(wanted) > self._encoded.itemsize:
            return -1
        row = int(np.searchsorted(self._encoded, np.bytes_(wanted)))
        return row if row < len(self) and self._encoded[row] == wanted else -1


class NameRows(Mapping[str, int]):
    """Row of each name."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> int:
        if (row := self._names.find(name)) < 0:
            raise KeyError(name)
        return row


class ChosenNames(Sequence[str]):
    """Some of the names, by their rows (n,)."""

    def __init__(self, names: Names, rows: np.ndarray) -> None:
        self._names, self.rows = names, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self._names[int(self.rows[index])]
