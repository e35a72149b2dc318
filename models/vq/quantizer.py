"""One codebook of the residual quantizer: assignment, learning by moving averages, and revival of dead codes.

Kinds (`--quantizer`):
    ema_reset: codes are moving averages of the vectors assigned to them (VQ-VAE, van den Oord et al. 2017, appendix
        A.1), and codes that fall out of use are replaced by vectors of the batch (Jukebox, Dhariwal et al. 2020).
    ema: the same without replacement.
    reset: codes are learnt by gradient, with replacement.
    orig: codes are learnt by gradient (van den Oord et al. 2017, equation 3).
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.utils.run.processes import gather, mean_over_processes, world_size

QUANTIZERS = ("ema_reset", "ema", "reset", "orig")
DEAD_CODES = ("resample", "public")
# A revived code starts this far above the threshold: unused, it lives on for some 20 batches at mu = 0.99.
REVIVED = 1.25


@dataclass
class CodebookOutput:
    """What one codebook makes of N vectors.

    Attributes:
        quantized: nearest (or sampled) codes (N, D), without straight-through gradient.
        codes: their indices (N,).
        loss: commitment loss, plus the codebook loss where codes are learnt by gradient; a scalar.
        perplexity: exponential of the entropy of the codes' use in this batch; a scalar, in 1..nb_code.
    """

    quantized: Tensor
    codes: Tensor
    loss: Tensor
    perplexity: Tensor


@dataclass
class Candidates:
    """Vectors (nb_code, D) that may replace codes, in the order of their keys (nb_code,)."""

    vectors: Tensor
    keys: Tensor

    def first_of_all(self) -> "Candidates":
        """As many candidates, the first among those of all processes."""
        return self if world_size() == 1 else self._first(gather(self.vectors), gather(self.keys))

    def merged(self, others: "Candidates") -> "Candidates":
        """As many candidates, the first among these and others."""
        return self._first(torch.cat([self.vectors, others.vectors]), torch.cat([self.keys, others.keys]))

    def _first(self, vectors: Tensor, keys: Tensor) -> "Candidates":
        order = keys.argsort(stable=True)[: len(self.keys)]
        return Candidates(vectors[order], keys[order])


@dataclass
class Window:
    """What a codebook saw in the batches of an iteration (see `Trainer`), to learn from after the last.

    Attributes:
        sums, counts: (nb_code, D) and (nb_code,), of the vectors of each code in this process.
        candidates: of all processes.
    """

    sums: Tensor
    counts: Tensor
    candidates: Candidates


class Codebook(nn.Module):
    """`nb_code` vectors of `code_dim` dimensions.

    A code is dead when its averaged count per batch is below `min(reset_threshold, reset_fraction * average share)`,
    the average share being the batch's tokens over `nb_code`: small batches then do not recycle codes all the time.

    Args:
        nb_code: number of codes.
        code_dim: their dimensions.
        kind: one of `QUANTIZERS`.
        mu: decay of the moving averages.
        temperature: of the Gumbel noise by which training samples codes; 0 takes the nearest.
        reset_threshold: averaged count below which a code is dead.
        reset_fraction: the same as a fraction of the average share.
        dead_codes: "resample" draws random vectors of the batch, for the first batch's codes too, and restarts the
            averages of a revived code; "public" does as the public code: the vector with the code's own number
            replaces it, the averages go on, and `reset_fraction` does not apply.
    """

    codebook: Tensor
    code_sum: Tensor
    code_count: Tensor

    def __init__(
        self,
        nb_code: int,
        code_dim: int,
        *,
        kind: str,
        mu: float,
        temperature: float,
        reset_threshold: float,
        reset_fraction: float,
        dead_codes: str,
    ) -> None:
        super().__init__()
        self.nb_code, self.code_dim = nb_code, code_dim
        self.mu, self.temperature = mu, temperature
        self.reset_threshold, self.reset_fraction, self.dead_codes = reset_threshold, reset_fraction, dead_codes
        self.learns_by_average = kind.startswith("ema")
        self.revives = kind.endswith("reset")
        codebook = torch.empty(nb_code, code_dim).uniform_(-1 / nb_code, 1 / nb_code)
        if self.learns_by_average:
            self.register_buffer("codebook", codebook)
            self.register_buffer("code_sum", codebook.clone())
        else:
            self.codebook = nn.Parameter(codebook)
        # All zero means: no batch seen yet.
        self.register_buffer("code_count", torch.zeros(nb_code))
        self._more_follow = False
        self._window: Window | None = None

    def expect_more(self, more: bool) -> None:
        """Say whether more batches of the same iteration follow the next one: the codes wait for the last of them."""
        self._more_follow = more

    def assign(self, x: Tensor, temperature: float = 0.0) -> Tensor:
        """Codes (N,) of the vectors `x` (N, D): the nearest, or a sample with p ~ exp(-distance**2 / temperature)."""
        with torch.no_grad():
            # -|x - c|**2 up to |x|**2, which is the same for all codes.
            scores = torch.addmm(-self.codebook.square().sum(1), x, self.codebook.t(), alpha=2)
            if temperature > 0:
                # Minus Gumbel noise: the best of scores with Gumbel noise is a draw from their softmax.
                noise = torch.rand_like(scores).clamp_(min=1e-10).log_().neg_().clamp_(min=1e-10).log_()
                scores.div_(temperature).sub_(noise)
            return scores.argmax(dim=1)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> CodebookOutput:
        """Quantize, and in training learn from the batch.

        Args:
            x: vectors (N, D), float32.
            valid: True where a vector counts (N,); None means everywhere.
        """
        learns = self.training and (self.learns_by_average or self.revives)
        if learns:
            candidates = self._candidates(x.detach(), valid)
            self._start(candidates.vectors)
        codes = self.assign(x, self.temperature if self.training else 0.0)
        quantized = F.embedding(codes, self.codebook)
        weight = x.new_ones(x.shape[0]) if valid is None else valid.to(x.dtype)

        squares = mean_over_processes(weight.sum().clamp(min=1)) * self.code_dim
        loss = (x - quantized.detach()).square().sum(1) @ weight / squares
        if not self.learns_by_average:
            loss = loss + (quantized - x.detach()).square().sum(1) @ weight / squares

        counts = x.new_zeros(self.nb_code).index_add_(0, codes, weight)
        if learns:
            seen = x.detach() if valid is None else x.detach() * weight[:, None]
            sums = x.new_zeros(self.nb_code, self.code_dim).index_add_(0, codes, seen)
            counts = self._learn(Window(sums, counts, candidates))
        share = counts / counts.sum().clamp(min=1)
        perplexity = torch.exp(-(share * torch.log(share + 1e-7)).sum())
        return CodebookOutput(quantized, codes, loss, perplexity)

    @torch.no_grad()
    def _candidates(self, x: Tensor, valid: Tensor | None) -> Candidates:
        """Draw `nb_code` valid vectors of the batch, repeated with a little noise if there are fewer."""
        keys = x.new_zeros(x.shape[0]) if self.dead_codes == "public" else torch.rand(x.shape[0], device=x.device)
        available = x.new_full((), x.shape[0], dtype=torch.long)
        if valid is not None:
            keys = keys + 2.0 * ~valid
            available = valid.sum().clamp(min=1)
        order = keys.argsort(stable=True)
        number = torch.arange(self.nb_code, device=x.device)
        chosen = order[number % available]
        rows = x[chosen]
        noise = torch.randn_like(rows) * (0.01 / self.code_dim**0.5)
        rows = torch.where((number < available)[:, None], rows, rows + noise)
        # Repeated ones stand behind all that are not.
        return Candidates(rows, keys[chosen] + 4 * (number // available)).first_of_all()

    @torch.no_grad()
    def _start(self, candidates: Tensor) -> None:
        """Take the candidates as codes if no batch has been seen yet (decided on the device, without waiting)."""
        fresh = self.code_count.sum() == 0
        self.codebook.copy_(torch.where(fresh, candidates, self.codebook))
        self.code_count.copy_(torch.where(fresh, torch.ones_like(self.code_count), self.code_count))
        if self.learns_by_average:
            self.code_sum.copy_(torch.where(fresh, candidates, self.code_sum))

    @torch.no_grad()
    def _learn(self, seen: Window) -> Tensor:
        """Update the averages and codes with the batches of all processes; returns the total counts (nb_code,)."""
        sums, counts, candidates = seen.sums, seen.counts, seen.candidates
        if self._window is not None:
            sums, counts = sums + self._window.sums, counts + self._window.counts
            candidates = self._window.candidates.merged(candidates)
        self._window = Window(sums, counts, candidates) if self._more_follow else None
        if self._more_follow:
            return counts
        if world_size() > 1:
            together = torch.cat([sums, counts[:, None]], dim=1)
            dist.all_reduce(together)
            sums, counts = together[:, :-1], together[:, -1]
        self.code_count.lerp_(counts, 1 - self.mu)
        if self.learns_by_average:
            self.code_sum.lerp_(sums, 1 - self.mu)
            self.codebook.copy_(self.code_sum / self.code_count.clamp(min=1e-8)[:, None])
        if self.revives:
            self._revive(counts, candidates.vectors)
        return counts

    def _revive(self, counts: Tensor, candidates: Tensor) -> None:
        """Replace dead codes by the candidates of the same number."""
        if self.dead_codes == "public":
            dead = self.code_count < self.reset_threshold
            self.codebook.copy_(torch.where(dead[:, None], candidates, self.codebook))
            return
        threshold = (self.reset_fraction * counts.mean()).clamp(max=self.reset_threshold)
        dead = self.code_count < threshold
        count = REVIVED * threshold
        self.codebook.copy_(torch.where(dead[:, None], candidates, self.codebook))
        self.code_count.copy_(torch.where(dead, count, self.code_count))
        if self.learns_by_average:
            self.code_sum.copy_(torch.where(dead[:, None], candidates * count, self.code_sum))
