"""Hidden states of a causal encoder, kept while what they depend on stays.

With causal attention a state depends on its own position and those before it. Iterative decoding changes some tokens a
step: the states before a sample's first change are those of the step before, and nobody asks for states after its last
masked token. That leaves about three quarters of them to compute.
"""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor

from lamp.models.fast.transformer import FastEncoderLayer, encode_visible, some_visible
from lamp.models.layers import ConditionedEncoder, read_condition
from lamp.models.t2m.masked import MaskedTransformer


class FastMaskedTransformer(MaskedTransformer):
    """`MaskedTransformer` that, on the CPU, keeps states from step to step with causal attention.

    With full attention it leaves out padding and words that there are not.
    """

    def hidden_states(self, conditions: Tensor, padding: Tensor | None) -> Callable[[Tensor], Tensor]:
        """What gives the hidden states of each step of `generate`; those right of the last [MASK] mean nothing."""
        # Which states are needed depends on the tokens: elsewhere, to wait for them costs more than the states.
        if self.training or not conditions.is_cpu:
            return super().hidden_states(conditions, padding)
        if self.config.attention == "full":
            return partial(self._visible_hidden, conditions=conditions, padding=padding)
        if self.config.attention != "causal":
            return super().hidden_states(conditions, padding)
        states = CausalStates(self.encoder, conditions)

        def needed_states(ids: Tensor) -> Tensor:
            masked = ids == self.mask_id
            ends = (masked * torch.arange(1, masked.shape[1] + 1)).amax(1)
            # Padding is seen by no one; as masked tokens, all samples are alike at first.
            ids = ids.masked_fill(ids == self.pad_id, self.mask_id)
            return states(ids, self.token_embedding(ids), ends)

        return needed_states

    def _visible_hidden(self, ids: Tensor, conditions: Tensor, padding: Tensor | None) -> Tensor:
        """Hidden states of all tokens that others look at, not of padding and of words that there are not."""
        conditions = read_condition(conditions, self.config.condition)
        visible = some_visible(conditions, ids.shape[1], padding)
        if visible is None:
            return self._hidden(ids, conditions, padding)
        tokens = self.encoder.tokens(self.token_embedding(ids), conditions)
        return encode_visible(self.encoder, tokens, visible)[:, -ids.shape[1] :]


class CausalStates:
    """Hidden states of samples whose tokens change from call to call; in inference mode, without dropout.

    Args:
        encoder: in evaluation mode, of fast layers.
        condition: (G * B, cond_dim): G variants of the condition for the same tokens of B samples.
    """

    def __init__(self, encoder: ConditionedEncoder, condition: Tensor) -> None:
        self.encoder, self.condition = encoder, condition
        self.layers = cast("list[FastEncoderLayer]", encoder.layers)
        # Of all places, the condition's first: q, k and v (G * B, 1 + n, 3 D) of each layer, and the states.
        self._qkv: list[Tensor] = []
        self._states = torch.empty(0)
        # The tokens (B, n) of the last call, and up to which place (B,) their states are known.
        self._ids = self._known = torch.empty(0, dtype=torch.long)

    def __call__(self, ids: Tensor, embedded: Tensor, ends: Tensor) -> Tensor:
        """States (G * B, n, D), right before `ends`.

        Args:
            ids: (B, n), which tokens these are.
            embedded: (B, n, code_dim), their embeddings.
            ends: (B,) states from here on are not needed.
        """
        tokens = self.encoder.tokens(embedded, self.condition)
        if not self._qkv:
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
        for layer in self.layers:
            qkv = layer.qkv(tokens)
            self._qkv.append(qkv.index_select(0, rows))
            tokens = layer.update(tokens, layer.attend(qkv, causal=True))
        return tokens.index_select(0, rows)

    def _compute(self, tokens: Tensor, rows: Tensor) -> None:
        """Bring `rows` of (G * B * (1 + n)) up to date."""
        tokens = tokens.flatten(0, 1).index_select(0, rows)
        for layer, qkv in zip(self.layers, self._qkv):
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
