"""Residual transformer: base-level codes and text -> codes of the deeper levels (Guo et al. 2024, section 3.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
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

NOISE_STREAM = 1


@dataclass(frozen=True)
class ResidualConfig:
    """Sizes and variants of the residual transformer.

    Attributes:
        num_tokens: codes of each level; [PAD] follows them.
        num_quantizers: levels of the tokenizer, the base level included.
        code_dim: width of embedding and output tables.
        latent_dim: width of the transformer.
        ff_size: width of the feed-forward layers.
        num_layers: encoder layers.
        num_heads: attention heads.
        dropout: dropout rate.
        cond_dim: width of the text condition.
        cond_drop_prob: share of training samples whose condition is dropped.
        share_weight: the output table of a level is the embedding table of the same level.
        max_length: tokens of the position table; longer sequences work.
        predict_pad: [PAD] is a class that may be predicted (imported public weights only).
        double_projection: unshared output is 2 x projection + bias (imported public weights only).
        condition: "sentence", one vector of the text (published), or "words", one for each word.
    """

    num_tokens: int = 512
    num_quantizers: int = 6
    code_dim: int = 512
    latent_dim: int = 384
    ff_size: int = 1024
    num_layers: int = 8
    num_heads: int = 6
    dropout: float = 0.2
    cond_dim: int = 768
    cond_drop_prob: float = 0.1
    share_weight: bool = True
    max_length: int = 49
    predict_pad: bool = False
    double_projection: bool = False
    condition: Condition = "sentence"


@dataclass
class ResidualOutput:
    """Loss and accuracy on valid tokens (scalars) and logits (B, n, classes) of the levels drawn."""

    loss: Tensor
    accuracy: Tensor
    logits: Tensor


def draw_levels(uniform: Tensor, num_quantizers: int) -> Tensor:
    """Levels 1 ... Q-1 from uniform numbers by MoMask's cosine schedule, lower levels, which matter more, more often.

    The level is 1 + round((1 - cos(pi u / 2)) (Q - 2)): of six levels, 1 to 5 are trained by 32.2, 24.8, 18.5, 16.5 and
    8.0 % of the samples.
    """
    share = 1 - masking.cosine_schedule(uniform)
    return 1 + (share * (num_quantizers - 2)).round().long()


class ResidualTransformer(LaMPModel[ResidualConfig]):
    """One transformer for all residual levels; the level is a token beside the condition."""

    config_class = ResidualConfig

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        if config.num_quantizers < 2:
            raise ValueError(f"a residual transformer needs num_quantizers of at least 2, not {config.num_quantizers}")
        self.config = config
        self.pad_id = config.num_tokens
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
        self.level_embedding = nn.Embedding(config.num_quantizers, config.latent_dim)
        self.head = PredictionHead(config.latent_dim, config.code_dim)
        levels, rows = config.num_quantizers - 1, config.num_tokens + 1
        # Shared: table j embeds level j and projects onto level j; the last level is only projected onto.
        tables = levels + 1 if config.share_weight else levels
        self.code_tables = nn.Parameter(torch.empty(tables, rows, config.code_dim).normal_(std=0.02))
        if not config.share_weight:
            self.output_tables = nn.Parameter(torch.empty(levels, rows, config.code_dim).normal_(std=0.02))
            self.output_bias = nn.Parameter(torch.zeros(levels, rows))
        self.apply(init_weights)

    @property
    def num_classes(self) -> int:
        """Classes predicted at each position."""
        return self.config.num_tokens + int(self.config.predict_pad)

    def history(self, codes: Tensor, levels: Tensor) -> Tensor:
        """Sum of the embeddings of the levels below `levels`.

        Args:
            codes: (B, n, >= Q-1) with `pad_id` at padding.
            levels: (B,) in 1 ... Q-1.

        Returns:
            (B, n, code_dim).
        """
        below = self.config.num_quantizers - 1
        order = torch.arange(below, device=codes.device)
        index = (codes[..., :below] + order * (self.config.num_tokens + 1)).flatten(0, 1)
        used = (order < levels[:, None, None]).expand(-1, codes.shape[1], -1).flatten(0, 1)
        table = self.code_tables[:below].flatten(0, 1)
        summed = F.embedding_bag(index, table, mode="sum", per_sample_weights=used.to(table.dtype))
        return summed.unflatten(0, codes.shape[:2])

    def hidden(
        self,
        history: Tensor,
        condition: Tensor,
        levels: Tensor,
        padding_mask: Tensor | None,
    ) -> Tensor:
        """Predicted code vectors before the output projection.

        Args:
            history: (B, n, code_dim), see `history`.
            condition: G variants of the condition (G * B, cond_dim), or with words; see `read_condition`.
            levels: (B,) level to predict.
            padding_mask: (B, n), True at padding; None: no padding.

        Returns:
            (G * B, n, code_dim).
        """
        condition = read_condition(condition, self.config.condition)
        visible = visible_tokens(condition, history.shape[1], padding_mask, extra=1)
        mask = None if visible is None else visible[:, None, None, :]
        # The level joins the tokens before they are repeated for the variants.
        level = self.level_embedding(levels).unsqueeze(1)
        return self.head(self.encoder(history, condition, extra=level, mask=mask))

    def project(self, vectors: Tensor, levels: Tensor | int) -> Tensor:
        """Logits (B, n, classes) of code vectors (B, n, code_dim) at `levels` (B,), or at one level for all."""
        classes = self.num_classes
        if self.config.share_weight:
            return vectors @ self.code_tables[levels, :classes].mT
        scale = 2.0 if self.config.double_projection else 1.0
        table = self.output_tables[levels - 1, :classes].mT
        return scale * (vectors @ table) + self.output_bias[levels - 1, :classes].unsqueeze(-2)

    def logits(
        self,
        codes: Tensor,
        condition: Tensor,
        levels: Tensor,
        padding_mask: Tensor | None = None,
        drop_condition: Tensor | None = None,
    ) -> Tensor:
        """Logits of level `levels[b]` for sample b, given the codes below it.

        Args:
            codes: (B, n, >= Q-1) with `pad_id` at padding; only levels below `levels[b]` are used.
            condition: (B, cond_dim).
            levels: (B,) in 1 ... Q-1.
            padding_mask: (B, n), True at padding; None: no padding.
            drop_condition: (B,) True where the condition is dropped.

        Returns:
            (B, n, classes).
        """
        if drop_condition is not None:
            condition = masking.drop_rows(condition, drop_condition)
        return self.project(self.hidden(self.history(codes, levels), condition, levels, padding_mask), levels)

    def forward(
        self,
        codes: Tensor,
        condition: Tensor,
        lengths: Tensor,
        *,
        generator: torch.Generator | None = None,
        keys: Tensor | None = None,
    ) -> ResidualOutput:
        """Loss of one level for each sample, drawn by the cosine schedule.

        Args:
            codes: (B, n, Q) int64; values beyond a sample's length do not matter, negative ones are no targets.
            condition: (B, cond_dim).
            lengths: (B,) tokens.
            generator: source of levels and condition dropout.
            keys: (B,) int64 of the samples, instead: a sample's draws are the same in any batch and process.
        """
        chance = masking.sample_uniform((2, len(codes), 1), codes.device, generator, keys)[..., 0]
        levels = draw_levels(chance[0], self.config.num_quantizers)
        dropped = chance[1] < self.config.cond_drop_prob if self.training else None
        valid = masking.lengths_to_mask(lengths, codes.shape[1])
        filled = codes.masked_fill(~valid.unsqueeze(-1) | (codes < 0), self.pad_id)
        logits = self.logits(filled, condition, levels, ~valid, dropped)
        targets = filled.gather(2, levels[:, None, None].expand(-1, codes.shape[1], 1)).squeeze(2)
        result = masking.token_loss(logits, targets, ignore_index=self.pad_id)
        return ResidualOutput(result.loss, result.accuracy, logits)

    @torch.inference_mode()
    def generate(
        self,
        base_codes: Tensor,
        condition: Tensor,
        lengths: Tensor,
        *,
        cond_scale: float = 5.0,
        topkr: float = 0.9,
        temperature: float = 1.0,
        gumbel: bool = False,
        seeds: Sequence[int] | None = None,
        generator: torch.Generator | None = None,
        known: Tensor | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Predict the residual levels one after the other.

        A sample's tokens depend on its own base codes, condition, length and seed, not on the rest of the batch.

        Args:
            base_codes: (B, n) base level; values beyond each length do not matter.
            condition: (B, cond_dim).
            lengths: (B,) tokens.
            cond_scale: classifier-free guidance; 1 is none.
            topkr: share of codes filtered out before sampling.
            temperature: of the sampling; 0 is greedy.
            gumbel: sample by Gumbel noise instead of the cumulative distribution.
            seeds: a seed for each sample; None draws them from `generator`.
            generator: source of the seeds when there are none.
            known: (B, n, Q) codes; residual levels are kept where they are not negative.
            progress: called with (levels done, levels) after each level.

        Returns:
            Codes (B, n, Q) int64, -1 beyond each length.
        """
        batch, size = base_codes.shape
        last = self.config.num_quantizers - 1
        valid = masking.lengths_to_mask(lengths.to(self.device), size)
        padding = None if int(lengths.min()) == size else ~valid
        width = masking.noise_width(topkr, self.num_classes, gumbel)
        noise = masking.token_noise(
            lengths.tolist(),
            masking.sample_seeds(seeds, generator, batch),
            shape=(last, size, width),
            stream=NOISE_STREAM,
            device=self.device,
        )
        conditions = masking.with_unconditional(condition.to(self.device), cond_scale)
        codes = torch.full((batch, size, last + 1), self.pad_id, device=self.device)
        codes[..., 0] = base_codes.to(self.device).masked_fill(~valid, self.pad_id)
        for level in range(1, last + 1):
            vectors = self.level_vectors(codes, conditions, level, padding)
            logits = masking.guide(self.project(vectors, level), cond_scale)
            drawn = masking.sample_tokens(
                logits, noise[level - 1], topkr=topkr, temperature=temperature, gumbel=gumbel
            ).ids
            if known is not None:
                kept = known[..., level].to(self.device)
                drawn = torch.where(kept >= 0, kept, drawn)
            codes[..., level] = drawn.masked_fill(~valid, self.pad_id)
            if progress is not None:
                progress(level, last)
        return codes.masked_fill(codes == self.pad_id, masking.IGNORE)

    def edit(self, codes: Tensor, mask: Tensor, condition: Tensor, lengths: Tensor, **how: Any) -> Tensor:
        """Make the residual levels of some tokens anew; all levels of the others stay, and are seen.

        Args:
            codes: (B, n, Q); the base level is final, residual levels do not matter where masked.
            mask: (B, n), True where a token's residual levels are made anew.
            condition: (B, cond_dim).
            lengths: (B,) tokens.
            how: other keyword arguments of `generate`.

        Returns:
            Codes (B, n, Q) int64, those of `codes` where not masked, -1 beyond each length.
        """
        known = codes.masked_fill(mask[..., None], masking.IGNORE)
        return self.generate(codes[..., 0], condition, lengths, known=known, **how)

    def level_vectors(self, codes: Tensor, conditions: Tensor, level: int, padding: Tensor | None) -> Tensor:
        """Predicted code vectors (G * B, n, code_dim) of one level in `generate`; those at padding mean nothing.

        Args:
            codes: (B, n, Q), known below `level`.
            conditions: (G * B, cond_dim): G variants of the condition.
            level: to predict.
            padding: (B, n), True at padding; None: no padding.
        """
        levels = torch.full(codes.shape[:1], level, device=codes.device)
        return self.hidden(self.history(codes, levels), conditions, levels, padding)
