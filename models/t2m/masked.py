"""Masked transformer: text condition -> base-level motion codes (Guo et al. 2024, MoMask, section 3.2; LaMP)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lamp.models.hub import LaMPModel
from lamp.models.layers import (
    Condition,
    ConditionedEncoder,
    PredictionHead,
    init_weights,
    read_condition,
    visible_tokens,
)
from lamp.models.t2m import masking

NOISE_STREAM = 0
FIXED = float("inf")
"""Score of a position that is never masked again."""


@dataclass(frozen=True)
class MaskedConfig:
    """Sizes and variants of the masked transformer.

    Attributes:
        num_tokens: codes of the tokenizer's base level; [MASK] and [PAD] follow them.
        code_dim: width of the token embedding.
        latent_dim: width of the transformer.
        ff_size: width of the feed-forward layers.
        num_layers: encoder layers.
        num_heads: attention heads.
        dropout: dropout rate.
        cond_dim: width of the text condition (768 for LaMP, 512 for CLIP).
        cond_drop_prob: share of training samples whose condition is dropped.
        attention: "causal" (LaMP): a token sees the condition, itself and those before it, and the condition sees
            itself only, for through it the future would leak; "full" (MoMask): all see all; "soft": +1 added to the
            scores of the past and present, padding visible, for weights of the public LaMP code.
        max_length: tokens of the position table; longer sequences work.
        condition: "sentence", one vector of the text (published), or "words", one for each word, which needs
            full attention.
    """

    num_tokens: int = 512
    code_dim: int = 512
    latent_dim: int = 384
    ff_size: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    dropout: float = 0.2
    cond_dim: int = 768
    cond_drop_prob: float = 0.1
    attention: Literal["causal", "full", "soft"] = "causal"
    condition: Condition = "sentence"
    max_length: int = 49


@dataclass
class MaskedOutput:
    """Loss and accuracy on the masked positions (scalars) and logits (B, n, num_tokens)."""

    loss: Tensor
    accuracy: Tensor
    logits: Tensor


class MaskedTransformer(LaMPModel[MaskedConfig]):
    """Bidirectional or causal transformer that fills in masked motion tokens under a text condition."""

    config_class = MaskedConfig

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        if config.attention not in ("causal", "full", "soft"):
            raise ValueError(f"attention must be causal, full or soft, not {config.attention!r}")
        if config.condition == "words" and config.attention != "full":
            raise ValueError(f"a condition of words needs full attention, not {config.attention!r}")
        self.config = config
        self.mask_id = config.num_tokens
        self.pad_id = config.num_tokens + 1
        self.token_embedding = nn.Embedding(config.num_tokens + 2, config.code_dim)
        self.encoder = ConditionedEncoder(
            config.latent_dim,
            code_dim=config.code_dim,
            cond_dim=config.cond_dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            ff_size=config.ff_size,
            dropout=config.dropout,
            max_length=config.max_length,
        )
        self.head = PredictionHead(config.latent_dim, config.num_tokens)
        self.apply(init_weights)

    def _attention_mask(self, ids: Tensor, condition: Tensor, padding_mask: Tensor | None) -> Tensor | None:
        """Mask over [condition, tokens]; None when causal, for padding is last and no valid token sees it."""
        size = ids.shape[1] + 1
        if self.config.attention == "soft":
            return torch.ones(size, size, dtype=self.head.dense.weight.dtype, device=ids.device).tril()
        if self.config.attention == "causal":
            return None
        visible = visible_tokens(condition, ids.shape[1], padding_mask)
        return None if visible is None else visible[:, None, None, :]

    def _hidden(self, ids: Tensor, condition: Tensor, padding_mask: Tensor | None) -> Tensor:
        """Hidden states (G * B, n, D) of `ids` (B, n) under G variants of the condition, see `read_condition`."""
        condition = read_condition(condition, self.config.condition)
        mask = self._attention_mask(ids, condition, padding_mask)
        causal = self.config.attention == "causal"
        return self.encoder(self.token_embedding(ids), condition, mask=mask, causal=causal)

    def logits(
        self, ids: Tensor, condition: Tensor, padding_mask: Tensor | None = None, drop_condition: Tensor | None = None
    ) -> Tensor:
        """Logits of every position.

        Args:
            ids: (B, n) codes, `mask_id` and `pad_id`.
            condition: (B, cond_dim).
            padding_mask: (B, n), True at padding, which must be last; None: no padding.
            drop_condition: (B,) True where the condition is dropped.

        Returns:
            (B, n, num_tokens).
        """
        if drop_condition is not None:
            condition = masking.drop_rows(condition, drop_condition)
        return self.head(self._hidden(ids, condition, padding_mask))

    def forward(
        self,
        codes: Tensor,
        condition: Tensor,
        lengths: Tensor,
        *,
        generator: torch.Generator | None = None,
        keys: Tensor | None = None,
    ) -> MaskedOutput:
        """Loss of one masked-modelling step; in training mode conditions are dropped at random.

        Args:
            codes: (B, n) int64 base-level codes; values beyond a sample's length do not matter.
            condition: (B, cond_dim).
            lengths: (B,) tokens.
            generator: source of masking and condition dropout.
            keys: (B,) int64 of the samples, instead: a sample is masked alike in any batch and process.
        """
        corrupted = masking.corrupt(
            codes,
            lengths,
            num_tokens=self.config.num_tokens,
            mask_id=self.mask_id,
            pad_id=self.pad_id,
            generator=generator,
            keys=keys,
        )
        dropped = None
        if self.training and self.config.cond_drop_prob > 0:
            chance = masking.sample_uniform((1, len(codes), 1), codes.device, generator, keys, stream=1)[0, :, 0]
            dropped = chance < self.config.cond_drop_prob
        padding = ~masking.lengths_to_mask(lengths, codes.shape[1])
        logits = self.logits(corrupted.ids, condition, padding, dropped)
        result = masking.token_loss(logits, corrupted.targets)
        return MaskedOutput(result.loss, result.accuracy, logits)

    @torch.inference_mode()
    def generate(
        self,
        condition: Tensor,
        lengths: Tensor,
        *,
        steps: int = 10,
        cond_scale: float = 4.0,
        topkr: float = 0.9,
        temperature: float = 1.0,
        gumbel: bool = False,
        seeds: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
        known: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Fill masked tokens in over `steps` iterations (Chang et al. 2022, section 3.2), the surest ones first.

        A sample's tokens depend on its own condition, length and seed, not on the other samples of the batch.

        Args:
            condition: (B, cond_dim).
            lengths: (B,) tokens, at least 1 each.
            steps: iterations.
            cond_scale: classifier-free guidance; 1 is none.
            topkr: share of codes filtered out before sampling.
            temperature: of the sampling; 0 is greedy.
            gumbel: sample by Gumbel noise instead of the cumulative distribution.
            seeds: a seed for each sample; None draws them from `generator`.
            generator: source of the seeds when there are none.
            known: (B, n) codes to keep, -1 where they are to be generated (editing, in-betweening).
            progress: called with (steps done, steps) after each step.

        Returns:
            Codes (B, n) int64, n the longest length (or the width of `known`), -1 beyond each length.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        state = _start(self, lengths, known, steps)
        sizes = lengths.tolist()
        width = masking.noise_width(topkr, self.config.num_tokens, gumbel)
        noise = masking.token_noise(
            sizes,
            masking.sample_seeds(seeds, generator, len(sizes)),
            shape=(steps, state.ids.shape[1], width),
            stream=NOISE_STREAM,
            device=self.device,
        )
        conditions = masking.with_unconditional(condition.to(self.device), cond_scale)
        hidden_states = self.hidden_states(conditions, state.padding)
        for step, widest in enumerate(state.widest):
            if widest:
                positions, chosen = state.remask(step, widest, self.mask_id)
                logits = masking.guide(self._logits_at(positions, hidden_states(state.ids)), cond_scale)
                drawn = noise[step].gather(1, positions.unsqueeze(-1).expand(-1, -1, width))
                tokens = masking.sample_tokens(logits, drawn, topkr=topkr, temperature=temperature, gumbel=gumbel)
                state.accept(positions, chosen, tokens)
            if progress is not None:
                progress(step + 1, steps)
        return state.ids.masked_fill(state.ids == self.pad_id, masking.IGNORE)

    def edit(self, tokens: Tensor, mask: Tensor, condition: Tensor, lengths: Tensor, **how: Any) -> Tensor:
        """Make some tokens anew between others that stay, as `generate` makes all.

        With causal attention a new token goes on from those before it and does not see those after it.

        Args:
            tokens: (B, n) base-level codes.
            mask: (B, n), True where a token is made anew.
            condition: (B, cond_dim).
            lengths: (B,) tokens.
            how: other keyword arguments of `generate`.

        Returns:
            Codes (B, n) int64, those of `tokens` where not masked, -1 beyond each length.
        """
        return self.generate(condition, lengths, known=tokens.masked_fill(mask, masking.IGNORE), **how)

    def hidden_states(self, conditions: Tensor, padding: Tensor | None) -> Callable[[Tensor], Tensor]:
        """What gives the hidden states (G * B, n, D) of the tokens (B, n) of each step of `generate`.

        Args:
            conditions: (G * B, cond_dim): G variants of the condition.
            padding: (B, n), True at padding; None: no padding.
        """
        return partial(self._hidden, condition=conditions, padding_mask=padding)

    def _logits_at(self, positions: Tensor, hidden: Tensor) -> Tensor:
        """Logits (G * B, k, num_tokens) at `positions` (B, k), from all hidden states (G * B, n, D)."""
        rows = positions.repeat(hidden.shape[0] // positions.shape[0], 1).unsqueeze(-1)
        return self.head(hidden.gather(1, rows.expand(-1, -1, hidden.shape[-1])))


@dataclass
class _Decoding:
    """State of iterative decoding: tokens, scores (both (B, n)) and the schedule.

    `counts` (steps, B) positions are masked in each step, `widest` holds the largest count of each step;
    `padding` (B, n) is None when all samples have the same length.
    """

    ids: Tensor
    scores: Tensor
    counts: Tensor
    widest: list[int]
    padding: Tensor | None

    def remask(self, step: int, widest: int, mask_id: int) -> tuple[Tensor, Tensor]:
        """Mask the least sure tokens; their positions (B, widest), and which of these are really masked."""
        positions = self.scores.argsort(dim=1, stable=True)[:, :widest]
        chosen = torch.arange(widest, device=positions.device) < self.counts[step].unsqueeze(1)
        kept = self.ids.gather(1, positions)
        self.ids = self.ids.scatter(1, positions, kept.masked_fill(chosen, mask_id))
        return positions, chosen

    def accept(self, positions: Tensor, chosen: Tensor, tokens: masking.Sampled) -> None:
        """Write sampled tokens where `chosen`; all others are fixed for good."""
        kept = self.ids.gather(1, positions)
        self.ids = self.ids.scatter(1, positions, torch.where(chosen, tokens.ids, kept))
        scores = tokens.scores.masked_fill(~chosen, FIXED)
        self.scores = torch.full_like(self.scores, FIXED).scatter(1, positions, scores)


def _start(model: MaskedTransformer, lengths: Tensor, known: Tensor | None, steps: int) -> _Decoding:
    """Everything unknown masked; the number of masked tokens of each step follows from that alone."""
    lengths = lengths.to(model.device)
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1:
        raise ValueError("lengths must be at least 1 token")
    size = longest if known is None else known.shape[1]
    if size < longest:
        raise ValueError(f"known has {size} tokens, fewer than the longest length {longest}")
    valid = masking.lengths_to_mask(lengths, size)
    ids = torch.full(valid.shape, model.mask_id, device=model.device)
    unknown = valid
    if known is not None:
        known = known.to(model.device)
        unknown = valid & (known < 0)
        ids = torch.where(unknown, ids, known)
    time = torch.linspace(0, 1, steps, device=model.device).unsqueeze(1)
    counts = masking.masked_count(time, unknown.sum(dim=1))
    return _Decoding(
        ids=ids.masked_fill(~valid, model.pad_id),
        scores=torch.zeros(valid.shape, device=model.device).masked_fill(~unknown, FIXED),
        counts=counts,
        widest=counts.amax(dim=1).tolist(),
        padding=None if shortest == size else ~valid,
    )
