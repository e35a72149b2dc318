"""Word vectors and word classes of Guo et al.'s text encoder.

The public evaluators read GloVe vectors of the words in HumanML3D and KIT-ML (`our_vab_*`).  Any GloVe text file does
for evaluators of one's own; without one, vectors are made from a word's letters ("hashed"), which tells words apart but
knows nothing of their meaning.  Vectors are stored with the evaluator, so that using it needs no further file.
"""

import io
import pickle
import pickletools
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.files import shown
from lamp.utils.reading import numbers, read_npy, reading

Plain = TypeVar("Plain", list[Any], dict[Any, Any])
WORD_DIM = 300
UNKNOWN = "unk"
HASHED = "hashed"

_TAGS = ("VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV")
# Words that matter for motion have classes of their own, which win over the grammatical ones (HumanML3D's public data).
_MOTION_WORDS = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": (
        "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise wash "
        "stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb"
    ),
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
WORD_CLASSES = (*_TAGS, *_MOTION_WORDS, "OTHER")
_CLASS_INDEX = {name: index for index, name in enumerate(WORD_CLASSES)}
_CLASS_OF_WORD = {word: _CLASS_INDEX[name] for name, words in _MOTION_WORDS.items() for word in words.split()}

# GloVe's 840B vectors have about this much in each dimension.
_HASHED_SCALE = 0.35


class WordVectors:
    """Vector (300,) and class of each word.

    Args:
        source: where the vectors come from, for logs and cards: "our_vab", "glove <file>" or "hashed".
        words: known words; none for "hashed", which knows all.
        vectors: (len(words), 300) float32.
    """

    def __init__(self, source: str, words: Sequence[str] = (), vectors: np.ndarray | None = None) -> None:
        self.source, self.words = source, tuple(words)
        self.vectors = np.zeros((0, WORD_DIM), np.float32) if vectors is None else vectors.astype(np.float32)
        if self.vectors.shape != (len(self.words), WORD_DIM):
            raise UserError(f"word vectors {source} of shape {self.vectors.shape} for {len(self.words)} words")
        self._index = {word: row for row, word in enumerate(self.words)}
        if self.words and UNKNOWN not in self._index:
            raise UserError(f"word vectors {source} lack the word '{UNKNOWN}', which stands for all others")

    def __call__(self, word: str, tag: str) -> tuple[np.ndarray, int]:
        """Vector of a word and index of its class; a word not known is the unknown word of class OTHER."""
        if self.words:
            if word not in self._index:
                return self.vectors[self._index[UNKNOWN]], _CLASS_INDEX["OTHER"]
            vector = self.vectors[self._index[word]]
        else:
            vector = hashed_vector(word)
        other = _CLASS_INDEX["OTHER"]
        return vector, _CLASS_OF_WORD.get(word, _CLASS_INDEX.get(tag, other))

    def kept(self, words: Iterable[str]) -> "WordVectors":
        """Vectors of `words` only (and of the unknown word)."""
        rows = [row for word, row in self._index.items() if word in {*words, UNKNOWN}]
        return WordVectors(self.source, [self.words[row] for row in rows], self.vectors[rows])


@lru_cache(maxsize=100_000)
def hashed_vector(word: str) -> np.ndarray:
    """Vector (300,) made from a word and its groups of three to five letters (as in Bojanowski et al. 2017)."""
    framed = f"<{word}>"
    parts = [framed[i : i + n] for n in (3, 4, 5) for i in range(len(framed) - n + 1)]
    letters = sum((_gaussian(f"part {part}") for part in parts), np.zeros(WORD_DIM))
    letters = letters / max(len(parts), 1) ** 0.5
    vector = _gaussian(f"word {word}") + letters
    return (vector * (_HASHED_SCALE / vector.std())).astype(np.float32)


def _gaussian(key: str) -> np.ndarray:
    return np.random.RandomState(zlib.crc32(key.encode())).standard_normal(WORD_DIM)


def read_our_vab(folder: str | Path) -> WordVectors:
    """The public GloVe files `our_vab_data.npy`, `our_vab_words.pkl` and `our_vab_idx.pkl` of a folder.

    Raises:
        UserError: a file is missing, broken, or a pickle that holds more than plain lists, dicts, strings and numbers.
    """
    folder = Path(folder)
    for name in ("our_vab_data.npy", "our_vab_words.pkl", "our_vab_idx.pkl"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; fetch it with `bash prepare/download_glove.sh`")
    data = numbers(read_npy(folder / "our_vab_data.npy"), f"{folder / 'our_vab_data.npy'}")
    words, index = _plain_pickle(folder / "our_vab_words.pkl", list), _plain_pickle(folder / "our_vab_idx.pkl", dict)
    used = [word for word in dict.fromkeys(word for word in words if isinstance(word, str)) if word in index]
    rows = [index[word] for word in used]
    fits = data.ndim == 2 and data.shape[1] == WORD_DIM
    if UNKNOWN not in used or not fits or not all(type(row) is int and 0 <= row < len(data) for row in rows):
        raise UserError(f"the three files in {folder} do not belong to each other; fetch them again")
    return _finite(WordVectors("our_vab", used, data[np.array(rows, dtype=np.int64)]), folder)


def read_glove(path: str | Path, words: Iterable[str]) -> WordVectors:
    """Vectors of `words` from a GloVe text file (a word and 300 numbers a line).

    Raises:
        UserError: the file is missing or of another form, or has none of the words.
    """
    path, wanted = Path(path), {*words, UNKNOWN}
    found: dict[str, np.ndarray] = {}
    with (
        reading(path, "GloVe text, UTF-8"),
        path.open(encoding="utf-8") as file,
    ):
        for number, line in enumerate(file, start=1):
            word, *values = line.rstrip("\n").rsplit(" ", WORD_DIM)
            if len(values) != WORD_DIM:
                raise UserError(f"{path}, line {number}: {len(values)} numbers after the word, not {WORD_DIM}")
            if word in wanted:
                found[word] = np.array(values, dtype=np.float32)
    if not found:
        raise UserError(f"{path} has none of the captions' words; give an English GloVe file of {WORD_DIM} dimensions")
    found.setdefault(UNKNOWN, np.mean(list(found.values()), axis=0))
    return _finite(WordVectors(f"glove {path.name}", list(found), np.stack(list(found.values()))), path)


def _finite(words: WordVectors, path: Path) -> WordVectors:
    """`words`, if all their vectors are finite."""
    wrong = ~np.isfinite(words.vectors).all(1)
    if wrong.any():
        raise UserError(f"{path}: the vector of {shown(words.words[wrong.argmax()])} is not finite; fetch it again")
    return words


_PLACES = ("PUT", "BINPUT", "LONG_BINPUT")


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts, strings and numbers; a pickle that names any class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which word lists have no use for")


def _plain_pickle(path: Path, kind: type[Plain]) -> Plain:
    """A list or dict of a pickle.

    Raises:
        UserError: the file is damaged, holds something else, or asks for more memory than its size justifies.
    """
    with reading(path, "pickle of plain words and numbers"):
        data = path.read_bytes()
        # Reading a place beyond all others would make room for all those before it.
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _PLACES and argument is not None and int(argument) > len(data):
                raise UserError(f"{path} asks for more memory than its size justifies; fetch it again")
        content = _PlainUnpickler(io.BytesIO(data)).load()
    if not isinstance(content, kind):
        raise UserError(f"{path} holds a {type(content).__name__}, not a {kind.__name__}; fetch it again")
    return content
