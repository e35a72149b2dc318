"""Hidden states of a causal encoder, kept while what they depend on stays.

With causal attention a state depends on its own position and those before it. Iterative decoding changes some tokens a
step: the states before a sample's first change are those of the step before, and nobody asks for states after its last
masked token. That leaves about three quarters of them to compute.
"""

import torch
from torch import Tensor

from lamp.models.layers import ConditionedEncoder


class CausalStates:
    """Hidden states of samples whose tokens change from call to call; in inference mode, without dropout.

    Args:
        encoder: in evaluation mode.
        condition: (G * B, cond_dim): G variants of the condition for the same tokens of B samples.
    """

    def __init__(self, encoder: ConditionedEncoder, condition: Tensor) -> None:
        self.encoder, self.condition = encoder, condition
        # Of all places, the condition's first: q, k and v (G * B, 1 + n, 3 D) of each layer, and the states.
        self._qkv: list[Tensor] = []
        self._states: Tensor | None = None
        self._ids: Tensor | None = None
        self._known: Tensor | None = None

    def __call__(self, ids: Tensor, embedded: Tensor, ends: Tensor) -> Tensor:
        """States (G * B, n, D), right before `ends`.

        Args:
            ids: (B, n), which tokens these are.
            embedded: (B, n, code_dim), their embeddings.
            ends: (B,) states from here on are not needed.
        """
        tokens = self.encoder.tokens(embedded, self.condition)
        if self._states is None:
            self._states = self._compute_all(tokens, len(ids))
            self._known = torch.full_like(ends, ids.shape[1])
        else:
            self._compute(tokens, self._rows(ids, ends))
        self._ids = ids
        return self._states[:, 1:]

    def _compute_all(self, tokens: Tensor, samples: int) -> Tensor:
        rows = torch.arange(len(tokens), device=tokens.device)
        if len(tokens) == 2 * samples and torch.equal(tokens[samples:], tokens[samples:].roll(1, 0)):
            # All tokens masked and no condition: what is the same for all samples is computed for one.
            rows, tokens = rows.clamp(max=samples), tokens[: samples + 1]
        for layer in self.encoder.layers:
            qkv = layer.qkv(tokens)
            self._qkv.append(qkv.index_select(0, rows))
            tokens = layer.combine(tokens, layer.mix(qkv, causal=True))
        return tokens.index_select(0, rows)

    def _compute(self, tokens: Tensor, rows: Tensor) -> None:
        """Bring `rows` of (G * B * (1 + n)) up to date."""
        tokens = tokens.flatten(0, 1).index_select(0, rows)
        for layer, qkv in zip(self.encoder.layers, self._qkv):
            tokens = layer.forward_rows(tokens, rows, qkv, causal=True)
        self._states.flatten(0, 1).index_copy_(0, rows, tokens)

    def _rows(self, ids: Tensor, ends: Tensor) -> Tensor:
        """Which rows are needed but not known."""
        place = torch.arange(-1, ids.shape[1], device=ids.device)  # -1 is the condition's
        changed = torch.where(ids != self._ids, place[1:], ids.shape[1]).amin(1)
        starts = torch.minimum(self._known, changed)
        self._known = torch.maximum(starts, ends)
        needed = (place >= starts[:, None]) & (place < ends[:, None])
        return needed.repeat(len(self.condition) // len(ids), 1).flatten().nonzero()[:, 0]
