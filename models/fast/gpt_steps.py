"""A GPT-2 of the transformers library, evaluated token by token without the library's overhead.

The network is that of Radford et al. 2019 (pre-norm, learned positions, output tied to the embedding), its weights are
read from the library's module. A step is a dozen operations a layer, with weights packed for the CPU.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.models.fast.linear import FrozenLinear, weights_state

GROWTH = 64
_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


class _Seen:
    """Keys and values of a layer, (2, R, heads, L, head width): what each row has seen so far.

    Rows that continue one beginning, as the beams of a search do, share its part, so that reordering them moves only
    what they wrote themselves.
    """

    def __init__(self) -> None:
        self.shared: Tensor | None = None
        self._room: Tensor | None = None
        self._own = 0
        self._growth = GROWTH

    def __len__(self) -> int:
        return self._own + (0 if self.shared is None else self.shared.shape[3])

    def attend(self, query: Tensor, new: Tensor) -> Tensor:
        """What queries (R, heads, n, head width) find in all so far, `new` (2, R, heads, n, head width) included.

        Either all queries of a beginning come at once, each seeing those before it, or later one a row (n = 1).
        """
        keys, values = self._append(new)
        if self.shared is None:
            return F.scaled_dot_product_attention(query, keys, values, is_causal=query.shape[2] == keys.shape[2])
        # The rows of a beginning become the queries of one product with its part.
        together = query.unflatten(0, (self.shared.shape[1], -1)).squeeze(3).transpose(1, 2)
        scores = torch.cat(
            (
                together @ self.shared[0].mT,
                (query @ keys.mT).unflatten(0, (self.shared.shape[1], -1)).squeeze(3).transpose(1, 2),
            ),
            dim=-1,
        )
        weights = (scores * query.shape[-1] ** -0.5).softmax(-1)
        length = self.shared.shape[3]
        mixed = (weights[..., :length] @ self.shared[1]).transpose(1, 2).flatten(0, 1).unsqueeze(2)
        return mixed + weights[..., length:].transpose(1, 2).flatten(0, 1).unsqueeze(2) @ values

    def repeat(self) -> None:
        """From now on several rows continue each row that there is."""
        self.shared, self._room, self._own = self._room[:, :, :, : self._own], None, 0

    def select(self, rows: Tensor) -> None:
        """Let row i be what `rows[i]`, a row of the same beginning, was."""
        if self._own:
            self._room = self._room[:, :, :, : self._own].index_select(1, rows)
        # Where rows are reordered at each step, room to grow would be moved along.
        self._growth = 0

    def _append(self, new: Tensor) -> Tensor:
        """The rows' own part, `new` included."""
        start, self._own = self._own, self._own + new.shape[3]
        if self._room is None or self._room.shape[3] < self._own:
            room = new.new_empty(*new.shape[:3], self._own + self._growth, new.shape[4])
            if self._room is not None:
                room[:, :, :, :start] = self._room[:, :, :, :start]
            self._room = room
        self._room[:, :, :, start : self._own] = new
        return self._room[:, :, :, : self._own]


class _Layer:
    """One block: its weights, and how it is computed."""

    def __init__(self, block: nn.Module, num_heads: int, gelu: str) -> None:
        self.num_heads = num_heads
        self.norms = block.ln_1, block.ln_2
        # The library keeps (in, out).
        self.qkv, self.out, self.rise, self.fall = (
            FrozenLinear(part.weight.T, part.bias, activation)
            for part, activation in (
                (block.attn.c_attn, ""), (block.attn.c_proj, ""), (block.mlp.c_fc, gelu), (block.mlp.c_proj, ""),
            )
        )  # fmt: skip

    def __call__(self, x: Tensor, seen: _Seen) -> Tensor:
        """Hidden states (R, n, W) to the next; their keys and values join those that were `seen`."""
        rows, length, width = x.shape
        qkv = self.qkv(self.norms[0](x)).view(rows, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = seen.attend(qkv[0], qkv[1:])
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.fall(self.rise(self.norms[1](x)))


class GptSteps:
    """The weights of a GPT-2, ready for writing."""

    def __init__(self, language: nn.Module) -> None:
        gelu = _ACTIVATIONS[language.config.activation_function]
        trunk = language.transformer
        self.words, self.positions, self.norm = trunk.wte, trunk.wpe.weight.detach(), trunk.ln_f
        self.layers = [_Layer(block, language.config.n_head, gelu) for block in trunk.h]
        self.head = FrozenLinear(language.lm_head.weight, None)

    @staticmethod
    def fits(language: nn.Module) -> bool:
        """Whether a language model is one of those that are evaluated here, in evaluation mode."""
        config = getattr(language, "config", None)
        return (
            type(language).__name__ == "GPT2LMHeadModel"
            and not language.training
            and not torch.is_grad_enabled()
            and config.activation_function in _ACTIVATIONS
            and config.scale_attn_weights
            and not config.scale_attn_by_inverse_layer_idx
            and not config.add_cross_attention
            and not any("lora_" in name or weight.is_inference() for name, weight in language.named_parameters())
        )

    @classmethod
    def of(cls, language: nn.Module) -> "GptSteps":
        """The steps of a language model, kept as long as its weights stay."""
        state = weights_state(language)
        found = _STEPS.get(language)
        if found is None or found[0] != state:
            found = _STEPS[language] = (state, cls(language))
        return found[1]

    def __call__(self, x: Tensor, seen: list[_Seen]) -> Tensor:
        """Logits (R, V) after the last of the embeddings (R, n, W) that come next; `seen` (by layer) takes them up."""
        start = len(seen[0])
        x = x + self.positions[start : start + x.shape[1]]
        for layer, past in zip(self.layers, seen):
            x = layer(x, past)
        return self.head(self.norm(x[:, -1])).float()


class GptWriter:
    """A GPT-2 writing some rows, one token at a time; `logits` (R, V) are those of the next token."""

    def __init__(self, language: nn.Module, prefix: Tensor) -> None:
        self._steps = GptSteps.of(language)
        self._seen = [_Seen() for _ in self._steps.layers]
        self.logits = self._steps(prefix, self._seen)

    def repeat(self, times: int) -> None:
        """Let each row become `times` equal neighbours."""
        if times > 1:
            for layer in self._seen:
                layer.repeat()
            self.logits = self.logits.repeat_interleave(times, dim=0)

    def select(self, rows: Tensor) -> None:
        """Let row i continue what `rows[i]`, a row of the same prefix, was."""
        for layer in self._seen:
            layer.select(rows)

    def append(self, tokens: Tensor) -> None:
        """Next token (R,) of each row."""
        self.logits = self._steps(self._steps.words(tokens[:, None]), self._seen)


_STEPS: "WeakKeyDictionary[nn.Module, tuple[Any, GptSteps]]" = WeakKeyDictionary()
