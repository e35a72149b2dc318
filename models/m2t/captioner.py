"""`Captioner`: motion queries in, captions out (LaMP, section 3.4).

LaMP's queries of a motion, projected to the language model's width, stand in front of the caption; the language model
goes on with the caption. Only the caption's tokens, its end included, are predicted.
"""

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamp.models.hub import LaMPModel
from lamp.models.lamp.text import TextBatch, TextTokenizer
from lamp.models.m2t.decoding import CachedWriter, Ending, Writer, Written, write_beams, write_greedy, write_nucleus
from lamp.models.m2t.language import GPT, LORA_MARK, CaptionerConfig, build_language, check_positions, read_architecture
from lamp.models.m2t.vocabulary import LIBRARY_FOLDER, LibraryVocabulary, Vocabulary, WordPieceVocabulary
from lamp.utils.errors import UserError, brief
from lamp.utils.run.processes import mean_over_processes
from lamp.utils.run.seed import keyed_uniform

if TYPE_CHECKING:
    from transformers import PreTrainedModel

IGNORE = -100
_LANGUAGE = "language."


@dataclass(frozen=True)
class CaptionOutput:
    """Loss and accuracy over the captions' tokens; scalars."""

    loss: Tensor
    accuracy: Tensor


class Captioner(LaMPModel[CaptionerConfig]):
    """Language model behind a projection of motion queries; `vocabulary` turns captions into ids and back.

    With `finetune` "lora" or "frozen" a saved captioner holds the projection and LoRA's updates, and names the language
    model that it needs.
    """

    config_class = CaptionerConfig
    language: "PreTrainedModel"

    def __init__(self, config: CaptionerConfig, *, pretrained: bool = False) -> None:
        """Build it from the config; `pretrained` starts a language model that is trained whole from its own weights."""
        super().__init__()
        self.config = config
        self._vocabulary: Vocabulary | None = None
        self.language = build_language(config, pretrained=pretrained)
        self.projection = nn.Linear(config.query_dim, self.word_embedding.embedding_dim)
        self._keeps = "logits_to_keep" in inspect.signature(self.language.forward).parameters
        self.register_load_state_dict_post_hook(_forgive_left_out)

    @classmethod
    def create(cls, config: CaptionerConfig, tokenizer: TextTokenizer | None = None) -> "Captioner":
        """A captioner to be trained.

        Args:
            config: its `vocab_size` and `architecture` are found here.
            tokenizer: the words of `llm="gpt"`.

        Raises:
            UserError: the language model cannot be had, or motion and caption are too long for it.
        """
        if config.llm == GPT:
            if tokenizer is None:
                raise ValueError(f"llm {GPT!r} needs a tokenizer")
            vocabulary: Vocabulary = WordPieceVocabulary(tokenizer)
        else:
            vocabulary = LibraryVocabulary.load(config.llm)
        architecture = read_architecture(config.llm) if config.llm != GPT and config.saves_all else None
        config = dataclasses.replace(config, vocab_size=len(vocabulary), architecture=architecture)
        model = cls(config, pretrained=True)
        check_positions(model.language, config, len(vocabulary.begin))
        model.vocabulary = vocabulary
        return model

    @classmethod
    def is_whole(cls, config: CaptionerConfig) -> bool:
        """Whether all weights are in the captioner's file, and not in that of a language model it names."""
        return config.saves_all

    @property
    def word_embedding(self) -> nn.Embedding:
        """The language model's."""
        return cast(nn.Embedding, self.language.get_input_embeddings())

    @property
    def vocabulary(self) -> Vocabulary:
        """Words and their ids.

        Raises:
            UserError: there is none.
        """
        if self._vocabulary is None:
            raise UserError("this Captioner has no vocabulary; load it with from_pretrained or set .vocabulary")
        return self._vocabulary

    @vocabulary.setter
    def vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    @torch.no_grad()
    def start_words(self, tokenizer: TextTokenizer, embedding: Tensor) -> int:
        """Start the GPT's word embeddings from those (V, W) of another model for the words that both have.

        Returns:
            How many words that are.

        Raises:
            UserError: the widths differ, or the captioner has a language model's own words.
        """
        if not isinstance(self.vocabulary, WordPieceVocabulary):
            raise UserError("--init_words is for --llm gpt; other language models have words of their own")
        own = self.word_embedding.weight
        if own.shape[1] != embedding.shape[1]:
            raise UserError(f"--init_words needs --embed_dim {embedding.shape[1]}, LaMP's width, not {own.shape[1]}")
        place = {word: index for index, word in enumerate(tokenizer.words)}
        pairs = [(i, place[word]) for i, word in enumerate(self.vocabulary.tokenizer.words) if word in place]
        mine, theirs = (torch.tensor(column) for column in zip(*pairs))
        own[mine] = embedding[theirs].to(own)
        return len(pairs)

    # Files

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Weights but those that are another's twin (tied) or belong to the language model that the config names."""
        state = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        for name in self._left_out():
            state.pop(prefix + name, None)
        return state

    def _left_out(self) -> set[str]:
        """Names of the weights that are not saved."""
        left_out, seen = set(), set()
        for name, value in super().state_dict().items():
            named = name.startswith(_LANGUAGE) and LORA_MARK not in name and not self.config.saves_all
            if named or value.data_ptr() in seen:
                left_out.add(name)
            seen.add(value.data_ptr())
        return left_out

    def save_extra(self, folder: Path) -> None:
        """Write the vocabulary."""
        self.vocabulary.save(folder)

    def load_extra(self, folder: Path) -> None:
        """Read the vocabulary."""
        if self.config.llm == GPT:
            self.vocabulary = WordPieceVocabulary.load(folder)
        else:
            self.vocabulary = LibraryVocabulary.load(folder / LIBRARY_FOLDER, self.config.prompt)
        if len(self.vocabulary) != self.config.vocab_size:
            raise UserError(
                f"{folder}: the vocabulary has {len(self.vocabulary)} words but vocab_size is "
                f"{self.config.vocab_size}; use the vocabulary that belongs to the weights"
            )

    @classmethod
    def from_pretrained(
        cls, source: str | Path, subfolder: str = "", device: torch.device | str = "cpu"
    ) -> "Captioner":
        """Load a model folder, or one of a hub repository, as `LaMPModel` does."""
        if not Path(source).exists() and str(source).count("/") == 1 and str(source)[0] not in "./~":
            # Which files a vocabulary consists of depends on the language model: all of the folder are fetched.
            source = _fetch(str(source), subfolder)
        return super().from_pretrained(source, subfolder, device)

    # Training

    def read(self, captions: Sequence[str]) -> TextBatch:
        """Captions as `forward` takes them, cut at `block_size` tokens."""
        return self.vocabulary(captions, self.config.block_size).to(self.device)

    def forward(self, queries: Tensor, text: TextBatch, keys: Tensor | None = None) -> CaptionOutput:
        """Loss of captions, in training the mean over the tokens of all processes.

        Args:
            queries: (B, nq, query_dim) of the motions.
            text: captions as `read` gives them.
            keys: (B,) int64 of the samples: which queries training leaves out is the same in any batch and process.
        """
        logits = self.logits(queries, text, keep=text.input_ids.shape[1] + 1, keys=keys)[:, :-1].float()
        targets = text.input_ids.masked_fill(~text.attention_mask, IGNORE)
        count = mean_over_processes(text.attention_mask.sum())
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum") / count
        correct = (logits.argmax(-1) == targets) & text.attention_mask
        return CaptionOutput(loss, correct.sum() / count)

    def logits(self, queries: Tensor, text: TextBatch, keep: int = 0, keys: Tensor | None = None) -> Tensor:
        """Next-token logits (B, P + L, V) over P prefix positions and L caption tokens, the last `keep` if given."""
        prefix = self.prefix(queries, keys)
        words = self.word_embedding(text.input_ids)
        mask = F.pad(text.attention_mask, (prefix.shape[1], 0), value=True)
        only = {"logits_to_keep": keep} if self._keeps else {}
        output = self.language(
            inputs_embeds=torch.cat((prefix, words), dim=1), attention_mask=mask.long(), use_cache=False, **only
        )
        return output.logits[:, -keep:]

    def prefix(self, queries: Tensor, keys: Tensor | None = None, *, writing: bool = False) -> Tensor:
        """What stands in front of captions (B, P, W): the projected queries (B, nq, query_dim), the beginning token.

        When `writing` also the words that captions begin with; in training they are part of no caption.
        """
        if self.training and self.config.pkeep < 1:
            shape = queries.shape[:2]
            chance = torch.rand(shape, device=queries.device) if keys is None else keyed_uniform(keys, shape[1:])
            queries = queries * (chance < self.config.pkeep)[..., None]
        embed = self.word_embedding
        motion = self.projection(queries.to(self.projection.weight.dtype)).to(embed.weight.dtype)
        words = self._vocabulary
        begin = () if words is None else words.begin + (words.prompt if writing else ())
        if not begin:
            return motion
        first = embed(torch.tensor(begin, device=queries.device))
        return torch.cat((motion, first.expand(len(motion), -1, -1)), dim=1)

    # Captions

    @torch.inference_mode()
    def generate(
        self,
        queries: Tensor,
        *,
        num_beams: int = 5,
        top_p: float | None = None,
        temperature: float = 1.0,
        length_penalty: float = 1.0,
        max_length: int | None = None,
        num_captions: int = 1,
        seed: int | Sequence[int] = 0,
    ) -> Written:
        """Write captions; padding and other motions of the batch never change one.

        Args:
            queries: (B, nq, query_dim).
            num_beams: of beam search; 1 is greedy.
            top_p: sample from the nucleus of this probability instead.
            temperature: of sampling.
            length_penalty: of beam search; larger is longer.
            max_length: tokens of a caption, its end included; None takes `block_size`, which is also the limit.
            num_captions: captions of each motion, best first; at most `num_beams` unless sampled.
            seed: of sampling, or one for each motion.

        Raises:
            UserError: values that do not go together.
        """
        _check_sampling(num_beams, top_p, temperature, num_captions)
        if not 1 <= (max_length := max_length or self.config.block_size) <= self.config.block_size:
            raise UserError(f"captions of this model have 1 to {self.config.block_size} tokens, not {max_length}")
        words = self.vocabulary
        ending: Ending = {"end_id": words.end_id, "pad_id": words.pad_id, "max_length": max_length}
        writer = self.writer(self.prefix(queries.to(self.device), writing=True))
        if top_p is not None:
            seeds = [seed] * len(queries) if isinstance(seed, int) else seed
            return write_nucleus(
                writer, seeds=seeds, captions=num_captions, top_p=top_p, temperature=temperature, **ending
            )
        if num_beams == 1:
            return write_greedy(writer, **ending)
        return write_beams(writer, num_beams=num_beams, captions=num_captions, length_penalty=length_penalty, **ending)

    def writer(self, prefix: Tensor) -> Writer:
        """The language model after prefixes (B, P, W), ready to write captions."""
        return CachedWriter(self.language, prefix)

    def caption(self, queries: Tensor, **how: Any) -> list[list[str]]:
        """Captions of motions (B, nq, query_dim), `num_captions` each; keyword arguments of `generate`."""
        ids = self.generate(queries, **how).ids.cpu()
        return [[self.vocabulary.decode(row) for row in rows] for rows in ids]


def _check_sampling(num_beams: int, top_p: float | None, temperature: float, num_captions: int) -> None:
    if num_beams < 1 or num_captions < 1:
        raise UserError("--num_beams and --num_captions must be at least 1")
    if top_p is None and num_captions > num_beams:
        raise UserError(f"{num_captions} captions need as many --num_beams, or sampling by --top_p")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"--top_p {top_p} must be above 0 and not above 1")
    if temperature <= 0:
        raise UserError(f"--temperature {temperature} must be above 0; without sampling, leave --top_p out")


def _forgive_left_out(model: Captioner, incompatible: Any) -> None:
    """Weights that are never saved are not missing; all others are."""
    names = tuple(model._left_out())
    incompatible.missing_keys[:] = [key for key in incompatible.missing_keys if not key.endswith(names)]


def _fetch(repository: str, subfolder: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=f"{subfolder}/*" if subfolder else None))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"no folder {repository}/{subfolder}, and {repository} could not be had from the hub: {brief(error)}"
        ) from error
