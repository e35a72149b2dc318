"""LaMP: language-motion pretraining with a Q-Former over the features of a frozen motion tokenizer.

The model takes what the tokenizer's encoder gives for each motion token, and captions. It gives joint embeddings
(retrieval), a match score (re-ranking), motion query features (captioning) and a text condition (generation).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lamp.models.hub import LaMPModel
from lamp.models.idle import Idle
from lamp.models.lamp import losses
from lamp.models.lamp.qformer import (
    Context,
    LanguageHead,
    QFormer,
    QFormerOutput,
    causal_mask,
    joint_mask,
    padding_mask,
)
from lamp.models.lamp.text import VOCABULARY_FILE, TextBatch, TextTokenizer
from lamp.models.lamp.types import LaMPBatch, LaMPConfig, LaMPOutput, MotionFeatures, TextFeatures
from lamp.utils.errors import UserError
from lamp.utils.run.processes import gather, largest_over_processes, own_rows, world_size

MAX_SCALE = 100.0  # CLIP's bound on exp(temperature): beyond it the softmax saturates and training can diverge.
INITIAL_TEMPERATURE = math.log(1 / 0.07)


class LaMP(LaMPModel[LaMPConfig]):
    """Q-Former with LaMP's heads and losses. `tokenizer` turns captions into ids and is saved with the weights."""

    config_class = LaMPConfig
    extra_files = (VOCABULARY_FILE,)

    def __init__(self, config: LaMPConfig):
        super().__init__()
        self.config = config
        self._tokenizer: TextTokenizer | None = None
        self.idle = Idle()
        hidden, width = config.hidden_size, config.cross_attention_width
        self.former = QFormer(
            hidden_size=hidden,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            intermediate_size=config.intermediate_size,
            vocab_size=config.vocab_size,
            max_positions=config.max_positions,
            num_query_tokens=config.num_query_tokens,
            cross_attention_freq=config.cross_attention_freq,
            context_width=width,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        )
        if config.has_condition:
            self.text_to_former = nn.Linear(hidden, width)
        if config.has_motion:
            self.motion_norm = nn.LayerNorm(config.motion_width) if config.motion_norm else nn.Identity()
            self.motion_to_former = nn.Linear(config.motion_width, width, bias=False)
            self.motion_head = nn.Linear(hidden, config.embed_dim)
            self.text_head = nn.Linear(hidden, config.embed_dim)
            self.match_head = nn.Linear(hidden, 2)
            self.language_head = LanguageHead(hidden, config.vocab_size)
            self.code_head = nn.Linear(hidden, config.nb_code, bias=False)
            self.temperature = nn.Parameter(torch.tensor(INITIAL_TEMPERATURE))
            if config.text_condition == "embedding":
                self.embedding_to_former = nn.Linear(hidden, width, bias=False)
        self.apply(_initialize)
        nn.init.normal_(self.former.query_tokens, std=0.02)

    # Files

    @property
    def tokenizer(self) -> TextTokenizer:
        """The vocabulary.

        Raises:
            UserError: there is none, or it is not that of the weights.
        """
        return self._require_tokenizer()

    @tokenizer.setter
    def tokenizer(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def _require_tokenizer(self) -> TextTokenizer:
        if self._tokenizer is None:
            raise UserError("LaMP has no vocabulary; set `tokenizer` to a TextTokenizer or load a saved model")
        if len(self._tokenizer) != self.config.vocab_size:
            raise UserError(
                f"{VOCABULARY_FILE} has {len(self._tokenizer)} words but vocab_size is {self.config.vocab_size}; "
                "use the vocabulary that belongs to the weights"
            )
        return self._tokenizer

    def save_extra(self, folder: Path) -> None:
        """Write the vocabulary."""
        self.tokenizer.save(folder)

    def load_extra(self, folder: Path) -> None:
        """Read the vocabulary."""
        self.tokenizer = TextTokenizer.load(folder)
        self._require_tokenizer()

    # Text

    def tokenize(self, texts: Sequence[str] | TextBatch, max_length: int | None = None) -> TextBatch:
        """Captions to ids on the model's device, `max_length` (config: `max_text_length`) at most."""
        if not isinstance(texts, TextBatch):
            texts = self.tokenizer(texts, max_length or self.config.max_text_length)
        return texts.to(self.device)

    def encode_text(self, texts: Sequence[str] | TextBatch, *, with_condition: bool = False) -> TextFeatures:
        """Hidden states and joint embedding of captions, and on request their condition for generation."""
        text = self.tokenize(texts)
        hidden = self._text_pass(text)
        condition = None
        if with_condition:
            condition = self.text_condition(texts) if self.config.condition_length else self._condition(hidden, text)
        return TextFeatures(hidden=hidden, embedding=self._embed_text(hidden), condition=condition)

    def text_condition(self, texts: Sequence[str] | TextBatch) -> Tensor:
        """The generators' text condition (B, H): mean over the queries after they attended to the text's states."""
        length = self.config.condition_length
        text = self.tokenize(texts, length or None).pad_to(length)
        return self._condition(self._text_pass(text), text)

    def word_states(self, texts: Sequence[str] | TextBatch) -> Tensor:
        """States of the words in the text-only pass (B, L, H), zero beyond the end of a sentence.

        The first is that of [CLS], from which the joint embedding of a sentence is made.
        """
        text = self.tokenize(texts)
        return self._text_pass(text).masked_fill(~text.attention_mask[..., None], 0.0)

    def _text_pass(self, text: TextBatch) -> Tensor:
        """Text alone, both directions: (B, L, H)."""
        embedded = self.former.embed_text(text.input_ids)
        return self.former(text=embedded, mask=padding_mask(text.attention_mask)).text

    def _embed_text(self, hidden: Tensor) -> Tensor:
        return F.normalize(self.text_head(hidden[:, 0]).float(), dim=-1)

    def _condition(self, hidden: Tensor, text: TextBatch) -> Tensor:
        return self._query_pass(self._text_context(hidden, text)).queries.mean(1)

    def _text_context(self, hidden: Tensor, text: TextBatch) -> Context:
        if not self.config.has_condition:
            raise UserError("these LaMP weights lack the text condition's projection; use weights that have it")
        mask = None if self.config.condition_length else text.attention_mask
        return self.former.context(self.text_to_former(hidden), mask)

    # Motion

    def encode_motion(self, motion_features: Tensor, lengths_tokens: Tensor | None = None) -> MotionFeatures:
        """Query features of motions.

        Args:
            motion_features: (B, N, motion_width).
            lengths_tokens: (B,) valid tokens of each motion; None when all are N long.
        """
        queries = self._query_pass(self.motion_context(motion_features, lengths_tokens)).queries
        return MotionFeatures(queries=queries, embeddings=self._embed_motion(queries))

    def motion_context(self, motion_features: Tensor, lengths_tokens: Tensor | None = None) -> Context:
        """Motion features as the context that queries attend to; padding masked."""
        if not self.config.has_motion:
            raise UserError("these LaMP weights only hold the text condition; use weights that have the motion side")
        mask = None
        if lengths_tokens is not None:
            mask = _valid(lengths_tokens, motion_features.shape[1])
            # 0 x inf is nan: padding that holds anything must not reach the masked values.
            motion_features = motion_features.masked_fill(~mask[..., None], 0)
        return self.former.context(self.motion_to_former(self.motion_norm(motion_features)), mask)

    def _query_pass(self, context: Context) -> QFormerOutput:
        """Queries alone over a context."""
        return self.former(queries=self.former.embed_queries(), context=context)

    def _embed_motion(self, queries: Tensor) -> Tensor:
        return F.normalize(self.motion_head(queries).float(), dim=-1)

    # Pairs

    def scale(self) -> Tensor:
        """What similarities are multiplied by in the contrastive loss."""
        return self.temperature if self.config.temperature == "raw" else self.temperature.exp().clamp(max=MAX_SCALE)

    def similarity(self, text_embedding: Tensor, motion_embeddings: Tensor) -> Tensor:
        """Texts (Bt, E) x motions (Bm, nq, E) -> (Bt, Bm): cosine with the best query, not scaled."""
        return losses.similarity(text_embedding, motion_embeddings)

    def match_score(
        self, texts: Sequence[str] | TextBatch, motion_features: Tensor, lengths_tokens: Tensor | None = None
    ) -> Tensor:
        """Probability (B,) that text i describes motion i."""
        context = self.motion_context(motion_features, lengths_tokens)
        return self.match_logits(context, self.tokenize(texts)).softmax(-1)[:, 1]

    def match_logits(self, context: Context, text: TextBatch) -> Tensor:
        """Logits (B, 2) of "no match" and "match", averaged over the queries; queries and text see each other."""
        output = self.former(
            queries=self.former.embed_queries(len(text)),
            text=self.former.embed_text(text.input_ids),
            context=context,
            mask=joint_mask(self.config.num_query_tokens, text.attention_mask),
        )
        return self.match_head(output.queries.mean(1))

    def language_logits(self, motion: QFormerOutput, text: TextBatch) -> Tensor:
        """Next-word logits (B, L, V) at every position of the captions, [CLS] replaced by [DEC], given a query pass."""
        return self.language_head(self.caption_states(motion, text), self.former.word_embedding.weight)

    def caption_states(self, motion: QFormerOutput, text: TextBatch) -> Tensor:
        embedded = self.former.embed_text(self._decoder_ids(text))
        mask = causal_mask(self.config.num_query_tokens, text.attention_mask)
        return self.former(text=embedded, mask=mask, prefix=motion.cache).text

    def code_logits(self, text: TextBatch, hidden: Tensor | None = None) -> Tensor:
        """Logits (B, nq, nb_code) of the base-level code of each motion token, read from the text.

        Args:
            text: the captions.
            hidden: their states of the text-only pass, when there already; computed if needed.
        """
        if self.config.text_condition == "embedding":
            states = self.embedding_to_former(self.former.embed_text(self._decoder_ids(text)))
            context = self.former.context(states, text.attention_mask)
        else:
            context = self._text_context(self._text_pass(text) if hidden is None else hidden, text)
        return self.code_head(self._query_pass(context).queries)

    def _decoder_ids(self, text: TextBatch) -> Tensor:
        """Ids with [DEC], the vocabulary's last word, in front instead of [CLS]."""
        return F.pad(text.input_ids[:, 1:], (1, 0), value=self.config.vocab_size - 1)

    @torch.no_grad()
    def caption(self, motion_features: Tensor, lengths_tokens: Tensor | None = None) -> list[str]:
        """Greedy captions of motions (B, N, motion_width), up to `max_text_length` tokens."""
        tokenizer = self.tokenizer
        cache = self._query_pass(self.motion_context(motion_features, lengths_tokens)).cache
        token = torch.full((len(motion_features), 1), tokenizer.dec_id, device=self.device)
        tokens, finished = [], torch.zeros_like(token, dtype=torch.bool)
        for position in range(self.config.max_text_length - 1):
            output = self.former(text=self.former.embed_text(token, position), prefix=cache)
            cache = output.cache
            token = self.language_head(output.text, self.former.word_embedding.weight).argmax(-1)
            tokens.append(token)
            finished |= token == tokenizer.sep_id
            if finished.all():
                break
        return [tokenizer.decode(row) for row in torch.cat(tokens, dim=1)]

    # Training

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the layers, as `nn.Module.compile` would the whole.

        The losses run through all of them four times: one graph of that takes long to compile, and layers share code.
        """
        for layer in self.former.layers:
            layer.compile(*args, **kwargs)

    def forward(self, batch: LaMPBatch, weights: Mapping[str, float] | None = None) -> LaMPOutput:
        """The four losses of a batch; passes are shared between them, a loss of weight 0 costs nothing.

        Trained parameters that the losses do not depend on have a gradient of zero rather than none.

        Args:
            batch: pairs of motions and captions.
            weights: of the losses contrastive, matching, captioning and generation; None takes the config's.
        """
        weights, zero = weights or self.loss_weights, batch.motion_features.new_zeros((), dtype=torch.float32)
        if weights["matching"] > 0:
            batch = _padded_alike(batch)
        terms = {"contrastive": zero, "matching": zero, "captioning": zero, "generation": zero}
        accuracy = {"text_to_motion_accuracy": zero, "motion_to_text_accuracy": zero, "matching_accuracy": zero}
        paired = weights["contrastive"] > 0 or weights["matching"] > 0
        hidden = self._text_pass(batch.text) if paired or weights["generation"] > 0 else zero
        if paired or weights["captioning"] > 0:
            context = self.motion_context(batch.motion_features, batch.motion_lengths)
            motion = self._query_pass(context)
        if paired:
            contrast = self._contrastive(batch, hidden, motion)
            terms["contrastive"] = contrast.loss
            accuracy["text_to_motion_accuracy"] = contrast.text_to_motion
            accuracy["motion_to_text_accuracy"] = contrast.motion_to_text
        if weights["matching"] > 0:
            terms["matching"], accuracy["matching_accuracy"] = self._matching(context, batch, contrast)
        if weights["captioning"] > 0:
            terms["captioning"] = self.captioning(motion, batch.text)
        if weights["generation"] > 0:
            terms["generation"] = self._generation(batch, hidden)
        total = sum((weights[name] * term for name, term in terms.items()), zero)
        computed = tuple(name for name, weight in weights.items() if weight > 0)
        total = self.idle.join(total, computed, self.parameters())
        return LaMPOutput(loss=total, **terms, **accuracy)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Weights of the four losses in the config."""
        names = ("contrastive", "matching", "captioning", "generation")
        return {name: getattr(self.config, f"{name}_weight") for name in names}

    def _contrastive(self, batch: LaMPBatch, hidden: Tensor, motion: QFormerOutput) -> losses.ContrastiveOutput:
        return losses.contrastive_loss(
            self._embed_text(hidden),
            self._embed_motion(motion.queries),
            scale=self.scale(),
            motion_ids=batch.motion_ids,
            captions=losses.caption_keys(batch.text.input_ids, batch.text.attention_mask),
            label_smoothing=self.config.label_smoothing,
        )

    def _matching(
        self, context: Context, batch: LaMPBatch, contrast: losses.ContrastiveOutput
    ) -> tuple[Tensor, Tensor]:
        """Loss and accuracy over (motion i, text i), (wrong motion, text i), (motion i, wrong text).

        Wrong ones are of any process, `matching_rows` are counted in each.
        """
        size, device = len(batch.text), batch.motion_ids.device
        count = min(size, self.config.matching_rows or size)
        positives, chance = contrast.positives[:count], losses.row_chances(batch.keys, count, device)
        wrong_motion = losses.hard_negatives(contrast.text_rows[:count], positives, chance[0])
        wrong_text = losses.hard_negatives(contrast.motion_rows[:count], positives, chance[1])
        own = torch.arange(count, device=device)
        context, wrong_rows = self._with_motions(context, batch, wrong_motion.index)
        texts = TextBatch(gather(batch.text.input_ids), gather(batch.text.attention_mask))
        own_text = own + own_rows(size).start
        valid = torch.cat([torch.ones_like(wrong_motion.valid), wrong_motion.valid, wrong_text.valid])
        matched = torch.arange(3 * count, device=device) < count
        logits = self.match_logits(
            context.select(torch.cat([own, wrong_rows, own])),
            texts.select(torch.cat([own_text, own_text, wrong_text.index])),
        )
        correct = (logits.argmax(-1) == matched) & valid
        return losses.matching_loss(logits, matched, valid), correct.sum() / valid.sum()

    def _with_motions(self, context: Context, batch: LaMPBatch, index: Tensor) -> tuple[Context, Tensor]:
        """Context of the batch that also has motions (R,) among those of all processes, and where in it they are."""
        if world_size() == 1:
            return context, index
        drawn = gather(batch.motion_features)[index], gather(batch.motion_lengths)[index]
        places = len(batch.motion_ids) + torch.arange(len(index), device=index.device)
        return context.with_rows(self.motion_context(*drawn)), places

    def captioning(self, motion: QFormerOutput, text: TextBatch) -> Tensor:
        follows, words = text.attention_mask[:, 1:], text.input_ids[:, 1:]
        logits = self.language_logits(motion, text)[:, :-1].flatten(0, 1)
        targets = words.masked_fill(~follows, losses.IGNORED).flatten()
        return losses.captioning_loss(logits, targets, self.config.label_smoothing)

    def _generation(self, batch: LaMPBatch, hidden: Tensor) -> Tensor:
        tokens, queries = batch.codes.shape[1], self.config.num_query_tokens
        if tokens > queries:
            raise UserError(f"motions of {tokens} tokens need num_query_tokens of at least that, not {queries}")
        return losses.generation_loss(
            self.code_logits(batch.text, hidden),
            batch.codes,
            _valid(batch.motion_lengths, tokens),
            label_smoothing=self.config.label_smoothing,
        )


def _valid(lengths: Tensor, size: int) -> Tensor:
    """(B,) lengths -> (B, size) bool, True before the end."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def _padded_alike(batch: LaMPBatch) -> LaMPBatch:
    """A batch as large as the largest of all processes, so that they can be put together."""
    sizes = [batch.motion_features.shape[1], batch.text.input_ids.shape[1]]
    return batch.pad_to(*largest_over_processes(sizes, batch.motion_features.device))


def _initialize(module: nn.Module) -> None:
    """Linear layers keep the variance at any width: at BERT's 0.02 the motion would barely reach the queries."""
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
