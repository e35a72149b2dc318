"""Frozen text encoders of the generators: LaMP (the default), and those that it is compared with.

CLIP ViT-B/32 is the paper's baseline. A sentence embedding that never saw motion, and the text side of a LaMP that was
trained by contrast alone, as CLIP is, on the same pairs, tell what LaMP's own training gives.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from lamp.models.checkpoints import model_folder, read_run_options
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.models.model_files import BROKEN
from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path
from lamp.utils.sentence_model import SentenceModel

TextEncoder = Literal["lamp", "contrastive", "sentence", "clip"]
CLIP_SOURCE = "openai/clip-vit-base-patch32"
SENTENCE_SOURCE = "sentence-transformers/all-MiniLM-L6-v2"
SHEET = 64
"""Sentences that are encoded together."""
LIMIT = 4 * 2**30
"""Bytes of conditions that are remembered; those of HumanML3D's captions take 0.2 GB, words of 100,000 sentences 3."""


class TextCondition(Protocol):
    """What the generators need of a text encoder."""

    dim: int
    words: bool

    @property
    def identity(self) -> str:
        """Its name and what tells its weights from others, `name@digest`."""
        ...

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Condition vectors (B, dim) of sentences, or of words (B, L, dim), without gradients."""
        ...


class LaMPCondition:
    """LaMP's text condition: its queries after attending to the text, averaged (LaMP, section 3.3).

    Args:
        lamp: the model.
        words: instead, the states (B, L, dim) of the words in the text-only pass, the sentence's own ([CLS]) first,
            zeros beyond its end. They tell what comes first and what goes with what.
        bfloat16: compute in bfloat16 where that is safe (autocast), as training with `--mixed_precision bf16` does.
    """

    def __init__(self, lamp: LaMP, words: bool = False, bfloat16: bool = False) -> None:
        self.lamp, self.words = speed_up(lamp.eval().requires_grad_(False)), words
        self.bfloat16 = bfloat16
        self.dim = lamp.config.hidden_size

    @property
    def identity(self) -> str:
        """That of LaMP."""
        return self.lamp.identity

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        condition = self.lamp.word_states if self.words else self.lamp.text_condition
        with torch.autocast(self.lamp.device.type, torch.bfloat16, enabled=self.bfloat16):
            return condition(list(texts)).float()


class ContrastiveCondition:
    """The state (B, dim) that a text's embedding in the space shared with motion is made of: no query reads the text.

    With a LaMP that was trained by contrast alone (`train_lamp.py --matching_weight 0 --generation_weight 0`) this is
    what conditioning on a CLIP of text and motion would be.

    Args:
        lamp: the model.
        bfloat16: as of `LaMPCondition`.
    """

    words = False

    def __init__(self, lamp: LaMP, bfloat16: bool = False) -> None:
        self._states = LaMPCondition(lamp, words=True, bfloat16=bfloat16)
        self.dim = self._states.dim

    @property
    def identity(self) -> str:
        """That of LaMP, marked: a generator that reads LaMP's own condition does not fit."""
        return f"{self._states.identity}-contrastive"

    def __call__(self, texts: Sequence[str]) -> Tensor:
        return self._states(texts)[:, 0]


class SentenceCondition:
    """A sentence embedding by the transformers library: the mean of the last states, as sentence-transformers' models.

    Scaled so that its entries are about 1 in size, as those of LaMP's condition are.

    Args:
        source: hub id or folder of the model.
        device: where to compute.
        words: instead, the states (B, L, dim) themselves, zeros beyond a sentence's end.

    Raises:
        UserError: transformers is not installed or the model cannot be had.
    """

    def __init__(self, source: str = SENTENCE_SOURCE, device: torch.device | str = "cpu", words: bool = False) -> None:
        self._model = SentenceModel(source, "--text_encoder sentence", device)
        self.dim, self.identity, self.words = self._model.dim, f"sentence@{source}", words

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        states, _ = self._model.states(texts)
        return states if self.words else F.normalize(states.sum(1), dim=1) * self.dim**0.5


class ClipCondition:
    """CLIP's projected text embedding, by the transformers library.

    Args:
        source: hub id or folder of a CLIP model.
        device: where to compute.

    Raises:
        UserError: transformers is not installed or the model cannot be had.
    """

    def __init__(self, source: str = CLIP_SOURCE, device: torch.device | str = "cpu") -> None:
        try:
            from transformers import AutoTokenizer, CLIPTextModelWithProjection
        except ImportError as error:
            raise UserError("CLIP needs transformers: pip install 'lamp-motion[train]'") from error
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(source)
            model = CLIPTextModelWithProjection.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise UserError(f"--text_encoder clip: {source} cannot be loaded ({str(error).splitlines()[0]})") from error
        self.dim = model.text_projection.out_features
        self.model: nn.Module = model.eval().requires_grad_(False)
        self.model.to(device)
        self.device = torch.device(device)
        self.identity, self.words = f"CLIP@{source}", False

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        batch = self.tokenizer(list(texts), padding=True, truncation=True, max_length=77, return_tensors="pt")
        return self.model(**batch.to(self.device)).text_embeds.float()


class CachedCondition:
    """Remembers the condition of each sentence: training sees the same captions every epoch.

    What is encoded together depends on the captions of the data alone, not on which of them were seen before: in
    other company a sentence's condition differs in the last bits, and a resumed run would not be the same. Where the
    expected sentences are too many to be remembered, none is, and those of a call are encoded together.

    Args:
        encoder: whose conditions are remembered.
        texts: see `expect`; None: nothing is remembered.
        limit: bytes of conditions to remember, of the expected sentences and of all others.
    """

    def __init__(self, encoder: TextCondition, texts: Iterable[str] | None = (), limit: int = LIMIT) -> None:
        self.encoder, self.dim, self.words, self._limit = encoder, encoder.dim, encoder.words, limit
        self._known: dict[str, Tensor] = {}
        self._sheets: dict[str, list[str]] = {}
        self._others: dict[str, Tensor] = {}
        self._others_size = 0
        self.remembers = texts is not None
        self.expect(texts or ())

    @property
    def identity(self) -> str:
        """That of the encoder."""
        return self.encoder.identity

    def expect(self, texts: Iterable[str]) -> None:
        """Say which sentences will be asked for; all others are encoded by themselves, which is slower.

        They are encoded in sheets of similar length, each when the first of its sentences is needed.
        """
        new: set[str] = set()
        size = sum(map(self._size, self._sheets))
        for text in texts:
            if text not in new and text not in self._sheets:
                new.add(text)
                size += self._size(text)
            if size > self._limit:
                self.remembers = False
                self._sheets.clear()
                self._known.clear()
                return
        in_order = sorted(new, key=lambda text: (len(text), text))
        for start in range(0, len(in_order), SHEET):
            sheet = in_order[start : start + SHEET]
            self._sheets.update(dict.fromkeys(sheet, sheet))

    def keep_in(self, folder: Path) -> None:
        """Encode all expected sentences now, unless a run before left their conditions in `folder`; leave them there.

        A file of the same sentences and of an encoder with the same identity is tried: its first sheet is encoded
        again, and if a single bit differs, so are all others. Where nothing is remembered, nothing is kept either.

        Raises:
            UserError: the folder cannot be made, or the disk is full.
        """
        if not self.remembers or not (texts := list(self._sheets)):
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"--conditions_dir {folder} cannot be made ({error.strerror}); name another folder"
            ) from error
        digest = hashlib.sha256("\0".join((self.identity, str(self.words), *texts)).encode()).hexdigest()[:16]
        path = folder / f"conditions-{digest}.safetensors"
        device = self._one(texts[0]).device
        known = self._read(path, texts, device)
        if known is not None and all(torch.equal(known[text], self._known[text]) for text in self._sheets[texts[0]]):
            self._known = known
            return
        for text in tqdm(texts, desc="text conditions", unit="sentence", leave=False):
            self._one(text)
        rows = [self._known[text].cpu().reshape(-1, self.dim) for text in texts]
        with atomic_path(path) as aside:
            save_file({"rows": torch.cat(rows), "lengths": torch.tensor(list(map(len, rows)))}, aside)

    def _read(self, path: Path, texts: Sequence[str], device: torch.device) -> dict[str, Tensor] | None:
        """Conditions of sentences from a file of `keep_in`; None if there is none that can be used."""
        try:
            kept = load_file(path, str(device))
            rows = kept["rows"].split(kept["lengths"].tolist())
            return dict(zip(texts, rows if self.words else [row[0] for row in rows], strict=True))
        except (SafetensorError, *BROKEN):
            return None

    def _size(self, text: str) -> int:
        """About how many bytes the condition of a sentence takes: a vector, or one for each word, [CLS] and [SEP]."""
        return 4 * self.dim * (text.count(" ") + 3 if self.words else 1)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Condition vectors (B, dim), or of words (B, L, dim)."""
        if not self.remembers:
            return self.encoder(texts).clone()
        known = [self._one(text) for text in texts]
        return torch.stack(known) if known[0].dim() == 1 else pad_sequence(known, batch_first=True)

    def _one(self, text: str) -> Tensor:
        """Condition of a sentence, remembered from now on."""
        if sheet := self._sheets.get(text):
            if text not in self._known:
                self._known.update(zip(sheet, self.encoder(sheet).clone()))
            return self._known[text]
        if text not in self._others:
            (condition,) = self.encoder([text]).clone()
            self._others[text] = condition
            self._others_size += condition.nbytes
            while self._others_size > self._limit and len(self._others) > 1:
                # The one that came first: encoded again by itself, it is the same.
                self._others_size -= self._others.pop(next(iter(self._others))).nbytes
        return self._others[text]


def lamp_of(encoder: TextCondition) -> LaMP | None:
    """The LaMP of a text encoder; None if it is another."""
    encoder = encoder.encoder if isinstance(encoder, CachedCondition) else encoder
    return encoder.lamp if isinstance(encoder, LaMPCondition) else None


def load_text_encoder(
    options: Mapping[str, Any], root: Path, words: bool, device: torch.device | str, bfloat16: bool = False
) -> TextCondition:
    """The text encoder that the options of a run name.

    Args:
        options: `text_encoder` (see `TextEncoder`), and `lamp_name`, `sentence_source` or `clip_source`, whose it is.
        root: `checkpoints/<dataset>`, where the run of LaMP is.
        words: a vector for each word rather than one for the sentence.
        device: where to compute.
        bfloat16: compute LaMP in bfloat16 where that is safe.

    Raises:
        UserError: there is no such encoder, or it cannot be had.
    """
    kind = options["text_encoder"]
    if kind not in get_args(TextEncoder):
        raise UserError(f"text encoder {kind} is none of {', '.join(get_args(TextEncoder))}")
    if kind == "clip":
        return ClipCondition(options["clip_source"], device)
    if kind == "sentence":
        return SentenceCondition(options["sentence_source"], device, words)
    lamp = LaMP.from_pretrained(model_folder(root / options["lamp_name"]), device=device)
    return ContrastiveCondition(lamp, bfloat16) if kind == "contrastive" else LaMPCondition(lamp, words, bfloat16)


def source_key(kind: str) -> str:
    """The option that says which encoder of a kind is meant."""
    return {"clip": "clip_source", "sentence": "sentence_source"}.get(kind, "lamp_name")


def check_same_run(root: Path, name: str, other_name: str, options: dict[str, Any], *, tokenizer: bool) -> None:
    """Make sure that two runs were trained with the same text encoder and, where both depend on it, tokenizer.

    Raises:
        UserError: they were not.
    """
    other = read_run_options(root / other_name)
    keys = ["vq_name"] if tokenizer else []
    keys += ["text_encoder", source_key(options["text_encoder"])]
    for key in keys:
        if options.get(key) != other.get(key):
            used, others = options.get(key), other.get(key)
            raise UserError(f"{name} was trained with --{key} {used}, {other_name} with {others}; name one that fits")
