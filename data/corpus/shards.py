"""A corpus larger than memory: features in float16 and tokens in int16, in memory-mapped shards.

`python -m lamp.prepare.shards.to_shards` makes the folder, which is given as `--data_root` like any other:

- `shards.json`: what there is, and which tokenizer made the tokens;
- `features/00000.npy` ... (rows, D) and `tokens/00000.npy` ... (rows, Q): all clips one after the other, none of them
  in two files;
- `names.npy`, `lengths.npy` (frames), `splits/<split>.npy` (rows of the clips); `clips.arrow` is the same for people;
- `texts/captions.arrow` and an index of it (`lamp.data.captions`);
- `Mean.npy`, `Std.npy`, `labels.json`, `weights.json` as in a data folder.

A process maps all of it and holds a few numbers of each sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamp.data.cache import FrameRows, MotionCache
from lamp.data.captions import CaptionStore, Read, mapped
from lamp.data.corpus.names import ChosenNames, Names
from lamp.data.spec import SHARDS_FILE, DatasetSpec
from lamp.data.text import Caption
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.packages import need

if TYPE_CHECKING:
    from datasets import Dataset

VERSION = 1
_FACTS = {"width", "unit_length", "features", "tokenizer"}
FEATURES, TOKENS, SPLITS = "features", "tokens", "splits"
CAPTIONS_FILE, CLIPS_FILE, NAMES_FILE, LENGTHS_FILE = "captions.arrow", "clips.arrow", "names.npy", "lengths.npy"
_COLUMNS = ("text", "tokens", "start", "end")


class Stack:
    """Rows of several memory-mapped files, as one array that is read by index arrays or slices.

    Attributes:
        shape: (R, width).
        nbytes: of what reading all of it gives.
    """

    def __init__(self, folder: Path, dtype: type[np.generic]) -> None:
        """Map the files of `folder`; what is read is of type `dtype`.

        Raises:
            UserError: there are none, or one is broken.
        """
        paths = sorted(folder.glob("*.npy"))
        try:
            self._parts = [mapped(path) for path in paths]
            self._ends = np.cumsum([len(part) for part in self._parts])
            (width,) = {part.shape[1] for part in self._parts}
        except (ValueError, OSError, IndexError) as error:
            raise _incomplete(folder, error) from error
        self.shape, self._dtype = (int(self._ends[-1]), width), dtype
        self.nbytes = self.shape[0] * width * np.dtype(dtype).itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Rows (..., width), copied."""
        index = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        which = np.searchsorted(self._ends, index, side="right")
        result = np.empty((*index.shape, self.shape[1]), dtype=self._dtype)
        for number in np.unique(which):
            part, here = self._parts[number], which == number
            result[here] = part[index[here] - (self._ends[number] - len(part))]
        return result


class Absent:
    """Stands for features that a corpus of tokens does not have."""

    shape = (0, 0)
    nbytes = 2**62  # more than any device holds

    def __init__(self, root: Path) -> None:
        self._root = root

    def __len__(self) -> int:
        return 0

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        raise UserError(
            f"{self._root} has tokens and no features, which this needs; make it again by lamp to-shards without "
            "--only_tokens, or take another --data_root"
        )


@dataclass(frozen=True, eq=False)
class ShardedMotions(MotionCache):
    """Motions and captions of a folder of shards.

    Attributes:
        tokens: (R, Q) codes of all clips; None if there are none.
        token_offsets: (N,) first row of each clip in `tokens`.
        tokenizer: identity of the tokenizer that made them.
    """

    tokens: Stack | None
    token_offsets: np.ndarray
    tokenizer: str

    def __reduce__(self) -> tuple[Callable[..., MotionCache], tuple[Path, Path]]:
        return _open, self.folders


def open_shards(spec: DatasetSpec) -> ShardedMotions:
    """Map a folder of shards.

    Raises:
        UserError: it is not complete or of another format, or `datasets` is not installed.
    """
    need("datasets")
    facts = read_shards_file(spec.root)
    if facts["width"] != spec.feature_dim:
        raise UserError(
            f"{spec.root} has {facts['width']} features; check that --dataset_name {spec.name} is the right format"
        )
    if not (spec.text_folder / CAPTIONS_FILE).is_file():
        raise UserError(f"{spec.text_folder} has no {CAPTIONS_FILE}; make the shards of data with {spec.texts}/")
    return _open(spec.root, spec.text_folder)


@lru_cache(maxsize=8)
def _open(root: Path, texts: Path) -> ShardedMotions:
    from datasets import Dataset

    facts = read_shards_file(root)
    try:
        names, lengths = Names(mapped(root / NAMES_FILE)), mapped(root / LENGTHS_FILE)
        table = Dataset.from_file(str(texts / CAPTIONS_FILE))
        captions = CaptionStore(texts, names.rows, _read_captions(table))
    except (ValueError, OSError) as error:
        raise _incomplete(root, error) from error
    token_lengths = lengths // facts["unit_length"]
    features = Stack(root / FEATURES, np.float32) if facts["features"] else None
    tokens = Stack(root / TOKENS, np.int64) if facts["tokenizer"] else None
    for kind, stack, wanted in ((FEATURES, features, lengths.sum()), (TOKENS, tokens, token_lengths.sum())):
        if stack is not None and len(stack) != wanted:
            raise _incomplete(root / kind, f"{len(stack)} rows instead of {wanted}")
    if not len(names) == len(lengths) == len(captions.bounds) - 1:
        raise _incomplete(root, f"{len(names)} names, {len(lengths)} lengths, captions of {len(captions.bounds) - 1}")
    _check_captions(texts, captions, table, names)
    frames: FrameRows = Absent(root) if features is None else features
    return ShardedMotions(
        folders=(root, texts),
        frames=frames,
        names=names,
        rows=names.rows,
        offsets=np.cumsum(lengths) - lengths,
        lengths=lengths,
        captions=captions,
        problems={},
        tokens=tokens,
        token_offsets=np.cumsum(token_lengths) - token_lengths,
        tokenizer=facts["tokenizer"],
    )


def read_shards_file(root: Path) -> dict[str, Any]:
    """What `shards.json` says.

    Raises:
        UserError: it cannot be read, or is of another version.
    """
    path = root / SHARDS_FILE
    try:
        facts = read_json(path)
        version = facts["version"]
        if version == VERSION and not _FACTS <= facts.keys():
            raise ValueError(f"no {', '.join(sorted(_FACTS - facts.keys()))}")
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); make the folder again by lamp to-shards") from error
    if version != VERSION:
        raise UserError(f"{path} is of version {version}, not {VERSION}; make the folder again by lamp to-shards")
    return facts


def shard_split(spec: DatasetSpec, split: str) -> ChosenNames:
    """Clips of a split.

    Raises:
        UserError: there is no such split.
    """
    path = spec.root / SPLITS / f"{split}.npy"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.npy"))
        raise UserError(f"{path} is missing; splits there: {', '.join(known) or 'none'}")
    try:
        names, rows = Names(mapped(spec.root / NAMES_FILE)), mapped(path)
    except (ValueError, OSError) as error:
        raise _incomplete(spec.root, error) from error
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or (len(rows) and not 0 <= rows.min() <= rows.max() < len(names)):
        raise _incomplete(spec.root, f"{path.parent.name}/{path.name} is not of its {len(names)} clips")
    return ChosenNames(names, rows)


def _incomplete(folder: Path, error: Exception | str) -> UserError:
    return UserError(f"{folder} is not complete ({error}); copy it again, or make it by lamp to-shards")


def _check_captions(texts: Path, captions: CaptionStore, table: "Dataset", names: Names) -> None:
    """Make sure that a table of captions, its index and the clips are of each other.

    Raises:
        UserError: their lengths differ, the first or last caption is of another clip, or a column is missing.
    """
    if lacking := {"clip", *_COLUMNS}.difference(table.column_names):
        raise _incomplete(texts, f"{CAPTIONS_FILE} has no {', '.join(sorted(lacking))}")
    bounds = captions.bounds
    if not len(table) == bounds[-1] == len(captions.times):
        raise _incomplete(texts, f"{CAPTIONS_FILE} has {len(table)} captions, their index {bounds[-1]}")
    for row in (0, len(table) - 1) if len(table) else ():
        clip, said = names[int(np.searchsorted(bounds, row, side="right")) - 1], table[row]["clip"]
        if clip != said:
            raise _incomplete(texts, f"{CAPTIONS_FILE} speaks of {said} where the index has {clip}")


def _read_captions(table: "Dataset") -> Read:
    """What reads captions from a table of Arrow, which the system maps."""

    def read(numbers: Sequence[int]) -> list[Caption]:
        rows = table[list(numbers)]
        columns = (rows[name] for name in _COLUMNS)
        return [Caption(text, tags.split(), start, end) for text, tags, start, end in zip(*columns, strict=True)]

    return read
