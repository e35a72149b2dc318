"""Captions to the ids that a language model continues, and back: WordPiece, or a language model's own tokenizer."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from lamp.models.lamp.text import SPECIAL_TOKENS, TextBatch, TextTokenizer
from lamp.utils.errors import UserError

INSTALL = 'pip install -e ".[captions]"'
LIBRARY_FOLDER = "language"


class Vocabulary(Protocol):
    """What the captioner needs of a tokenizer.

    Attributes:
        begin: ids that stand between motion and caption.
        prompt: ids that every caption which is written begins with.
        end_id: closes a caption.
        pad_id: fills up rows.
    """

    begin: tuple[int, ...]
    prompt: tuple[int, ...]
    end_id: int
    pad_id: int

    def __len__(self) -> int: ...

    def __call__(self, texts: Sequence[str], max_length: int) -> TextBatch:
        """Ids of captions, each closed by `end_id`, `max_length` at most; no `begin`."""
        ...

    def decode(self, ids: Tensor) -> str:
        """Caption of one row of ids (L,), up to `end_id`, after the prompt's words."""
        ...

    def save(self, folder: Path) -> None:
        """Write its files into a model folder."""
        ...


class WordPieceVocabulary:
    """BERT's uncased WordPiece as LaMP has it; [DEC] opens a caption, [SEP] closes it."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self.tokenizer = tokenizer
        self.begin: tuple[int, ...] = (tokenizer.dec_id,)
        self.prompt: tuple[int, ...] = ()
        self.end_id, self.pad_id = tokenizer.sep_id, tokenizer.pad_id

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __call__(self, texts: Sequence[str], max_length: int) -> TextBatch:
        """Ids of captions, each closed by [SEP]."""
        text = self.tokenizer(texts, max_length + 1)
        return TextBatch(text.input_ids[:, 1:], text.attention_mask[:, 1:])

    def decode(self, ids: Tensor) -> str:
        """Caption of one row of ids (L,)."""
        return self.tokenizer.decode(ids)

    def used_in(self, texts: Iterable[str]) -> "WordPieceVocabulary":
        """The vocabulary of only those word pieces that `texts` have; they are cut into pieces as before."""
        used: set[int] = set()
        for some in _groups(texts, 1024):
            text = self.tokenizer(some, max_length=512)
            used.update(text.input_ids[text.attention_mask].tolist())
        words = self.tokenizer.words
        kept = [word for index, word in enumerate(words) if index in used or word in SPECIAL_TOKENS]
        return WordPieceVocabulary(TextTokenizer(kept))

    def save(self, folder: Path) -> None:
        """Write `vocab.txt`."""
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "WordPieceVocabulary":
        """Read `vocab.txt`."""
        return cls(TextTokenizer.load(folder))


class LibraryVocabulary:
    """Tokenizer of a language model of the transformers library, saved in the model folder's `language/`.

    Args:
        tokenizer: of the library.
        prompt: words that every caption which is written begins with.
    """

    def __init__(self, tokenizer: Any, prompt: str = "") -> None:
        if tokenizer.eos_token_id is None:
            raise UserError(f"the tokenizer of {tokenizer.name_or_path} has no end token; name another --llm")
        self.tokenizer, self.end_id = tokenizer, tokenizer.eos_token_id
        self.pad_id = self.end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        # Where the library puts a token in front of every text, the language model expects one.
        first = tokenizer("a").input_ids[:1]
        self.begin: tuple[int, ...] = tuple(first) if first == [tokenizer.bos_token_id] else ()
        self.prompt: tuple[int, ...] = tuple(tokenizer(prompt, add_special_tokens=False).input_ids) if prompt else ()

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __call__(self, texts: Sequence[str], max_length: int) -> TextBatch:
        """Ids of captions, each closed by the end token."""
        pieces = self.tokenizer(list(texts), add_special_tokens=False).input_ids
        rows = [[*piece[: max_length - 1], self.end_id] for piece in pieces]
        length = max((len(row) for row in rows), default=0)
        ids = torch.tensor([row + [self.pad_id] * (length - len(row)) for row in rows], dtype=torch.long)
        lengths = torch.tensor([len(row) for row in rows])
        return TextBatch(ids.view(len(rows), length), torch.arange(length) < lengths[:, None])

    def decode(self, ids: Tensor) -> str:
        """Caption of one row of ids (L,)."""
        words = list(itertools.takewhile(lambda index: index != self.end_id, ids.tolist()))
        return self.tokenizer.decode([*self.prompt, *words], skip_special_tokens=True).strip()

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files below `folder`."""
        self.tokenizer.save_pretrained(str(folder / LIBRARY_FOLDER))

    @classmethod
    def load(cls, source: str | Path, prompt: str = "") -> "LibraryVocabulary":
        """Read a tokenizer from a folder or the hub; `prompt` as in the constructor.

        Raises:
            UserError: transformers is missing, or there is no tokenizer.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise UserError(f"language models need transformers: {INSTALL}") from error
        try:
            return cls(AutoTokenizer.from_pretrained(str(source)), prompt)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"--llm {source}: no tokenizer could be loaded ({reason})") from error


def _groups(items: Iterable[str], size: int) -> Iterable[list[str]]:
    """Lists of `size` items."""
    rest = iter(items)
    while some := list(itertools.islice(rest, size)):
        yield some
