"""`TokenMaker`: the tokens of motions, all levels, made from nothing or in part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.masking import Sampling
from lamp.models.t2m.residual import ResidualTransformer
from lamp.utils.threads.yielding import mind_others


@dataclass(frozen=True)
class Guidance:
    """How models are best asked: classifier-free guidance, MoMask's values for HumanML3D, and whole or in parts.

    Attributes:
        cond_scale: of the masked transformer.
        res_cond_scale: of the residual transformer.
        clauses: whether a sentence of several things is made part by part (`models.sentences.plan`).
    """

    cond_scale: float = 4.0
    res_cond_scale: float = 5.0
    clauses: bool = False

    def override(self, cond_scale: float | None, res_cond_scale: float | None) -> "Guidance":
        """With the scales that are given in place of its own."""
        return Guidance(
            self.cond_scale if cond_scale is None else cond_scale,
            self.res_cond_scale if res_cond_scale is None else res_cond_scale,
            self.clauses,
        )


@dataclass(frozen=True)
class TokenMaker:
    """Masked and residual transformer with a way of sampling.

    Attributes:
        masked: makes the base level.
        residual: makes the other levels; None where there are none, or where they are to be left out.
        time_steps: rounds of the masked transformer.
        cond_scale: guidance of the masked transformer.
        res_cond_scale: guidance of the residual transformer.
        topkr: share of the codes left out by the top-k filter.
        temperature: of sampling; 0 takes the most likely code.
        gumbel: sample with Gumbel noise rather than from the categorical distribution.
        on_step: called with (done, in all) after each step of the masked and each level of the residual transformer;
            what it raises ends the making.
    """

    masked: MaskedTransformer
    residual: ResidualTransformer | None
    time_steps: int
    cond_scale: float
    res_cond_scale: float
    topkr: float
    temperature: float
    gumbel: bool
    on_step: Callable[[int, int], None] | None = None

    def make(self, condition: Tensor, tokens: Tensor, seeds: Sequence[int]) -> Tensor:
        """Codes (B, n, Q), -1 beyond each length; Q is 1 without a residual transformer.

        Args:
            condition: (B, cond_dim).
            tokens: (B,) lengths.
            seeds: one for each.
        """
        sampling = self._sampling(seeds)
        base = self.masked.generate(condition, tokens, steps=self.time_steps, cond_scale=self.cond_scale, **sampling)
        if self.residual is None:
            return base[..., None]
        return self.residual.generate(base, condition, tokens, cond_scale=self.res_cond_scale, **sampling)

    def remake(
        self, codes: Tensor, mask: Tensor, condition: Tensor, tokens: Tensor, seeds: Sequence[Sequence[int]]
    ) -> Tensor:
        """K ways to make some tokens of each of B motions anew; all levels of the others stay as they are.

        Args:
            codes: (B, n, Q).
            mask: (B, n), True where a token is made anew.
            condition: (B, cond_dim).
            tokens: (B,) lengths.
            seeds: for each motion K, one for each way.

        Returns:
            (B, K, n, Q), -1 beyond each length; without a residual transformer, levels above the base are -1 (nothing)
            where masked, too.
        """
        batch, count = len(codes), len(seeds[0])
        sampling = self._sampling([seed for own in seeds for seed in own])
        codes, mask, condition, tokens = (some.repeat_interleave(count, 0) for some in (codes, mask, condition, tokens))
        made = codes.masked_fill(mask[..., None], -1)
        made[..., 0] = self.masked.edit(
            codes[..., 0],
            mask,
            condition,
            tokens,
            steps=self.time_steps,
            cond_scale=self.cond_scale,
            **sampling,
        )
        if self.residual is not None:
            made = self.residual.edit(made, mask, condition, tokens, cond_scale=self.res_cond_scale, **sampling)
        return made.unflatten(0, (batch, count))

    def _sampling(self, seeds: Sequence[int]) -> Sampling:
        return {
            "topkr": self.topkr,
            "temperature": self.temperature,
            "gumbel": self.gumbel,
            "seeds": seeds,
            "progress": self._stepped,
        }

    def _stepped(self, done: int, total: int) -> None:
        mind_others()
        if self.on_step is not None:
            self.on_step(done, total)
