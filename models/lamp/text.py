"""Captions to token ids: BERT's uncased WordPiece with one more token, [DEC], that opens a caption to be generated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path
from lamp.utils.prompts import main_script

VOCABULARY_FILE = "vocab.txt"
DEC = "[DEC]"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@dataclass(frozen=True)
class TextBatch:
    """Token ids of captions, [CLS] ... [SEP] then padding.

    Attributes:
        input_ids: (B, L) int64.
        attention_mask: (B, L) bool, True on tokens, False on padding.
    """

    input_ids: Tensor
    attention_mask: Tensor

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TextBatch":
        """The same batch on another device."""
        ids, mask = self.input_ids, self.attention_mask
        return TextBatch(ids.to(device, non_blocking=non_blocking), mask.to(device, non_blocking=non_blocking))

    def select(self, rows: Tensor | slice) -> "TextBatch":
        """Batch made of the given rows (an index tensor may repeat them)."""
        return TextBatch(self.input_ids[rows], self.attention_mask[rows])

    def pad_to(self, length: int, pad_id: int = 0) -> "TextBatch":
        """Append padding up to `length` tokens; a longer batch stays as it is."""
        missing = max(0, length - self.input_ids.shape[1])
        return TextBatch(
            F.pad(self.input_ids, (0, missing), value=pad_id), F.pad(self.attention_mask, (0, missing), value=False)
        )


class TextTokenizer:
    """Uncased BERT WordPiece over a list of vocabulary words.

    Special tokens are only ever added by the tokenizer: "[SEP]" typed in a caption is read as ordinary characters.

    Args:
        words: the vocabulary; the position of a word is its id. [DEC] is appended when it is missing.
    """

    def __init__(self, words: Iterable[str]):
        self.words = list(words)
        if DEC not in self.words:
            self.words.append(DEC)
        ids = {word: index for index, word in enumerate(self.words)}
        if missing := [token for token in SPECIAL_TOKENS if token not in ids]:
            raise UserError(f"the vocabulary lacks {', '.join(missing)}; use the vocab.txt of an uncased BERT model")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id = (ids[token] for token in SPECIAL_TOKENS)
        self.dec_id = ids[DEC]
        self._tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
        self._tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        self._tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self._tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def script(self) -> str:
        """Script of most letters of the vocabulary; see `main_script`."""
        return main_script(self.words)

    def __call__(self, texts: Sequence[str], max_length: int, *, pad_to_max: bool = False) -> TextBatch:
        """Tokenize captions.

        Args:
            texts: B captions.
            max_length: longest row, [CLS] and [SEP] included; what is beyond is cut.
            pad_to_max: pad to `max_length` instead of to the longest row of the batch.

        Returns:
            Ids and mask of shape (B, L).
        """
        # One by one: the parallel batch call of the library warns and stalls in forked data loader workers.
        pieces = [self._tokenizer.encode(text, add_special_tokens=False).ids[: max_length - 2] for text in texts]
        rows = [[self.cls_id, *piece, self.sep_id] for piece in pieces]
        length = max_length if pad_to_max else max((len(row) for row in rows), default=0)
        input_ids = torch.tensor([row + [self.pad_id] * (length - len(row)) for row in rows], dtype=torch.long)
        lengths = torch.tensor([len(row) for row in rows])
        return TextBatch(input_ids.view(len(rows), length), torch.arange(length) < lengths[:, None])

    def count(self, text: str) -> int:
        """Ids of a caption, [CLS] and [SEP] included, if nothing is cut."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids) + 2

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """Words of one row of ids (L,), up to the first [SEP], without special tokens."""
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        if self.sep_id in ids:
            ids = ids[: ids.index(self.sep_id)]
        special = {self.pad_id, self.cls_id, self.dec_id}
        return self._tokenizer.decode([index for index in ids if index not in special])

    def save(self, folder: str | Path) -> None:
        """Write `vocab.txt` into `folder`."""
        with atomic_path(Path(folder) / VOCABULARY_FILE) as aside:
            aside.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, folder: str | Path) -> "TextTokenizer":
        """Read `vocab.txt` from `folder`."""
        path = Path(folder) / VOCABULARY_FILE
        if not path.is_file():
            raise UserError(f"no vocabulary {path}; copy the vocab.txt of the model there")
        return cls(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
