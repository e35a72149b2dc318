"""A GPT-2 of the transformers library, evaluated token by token without the library's overhead.

The network is that of Radford et al. 2019 (pre-norm, learned positions, output tied to the embedding), its weights are
read from the library's module. A step is a dozen operations a layer, with weights packed for the CPU.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.linear import FrozenLinear, weights_state

GROWTH = 64
_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


class _Seen:
    """Keys and values (2, R, heads, L, head width) of a layer, with room to grow."""

    def __init__(self) -> None:
        self.room: Tensor | None = None
        self.length = 0

    def append(self, new: Tensor) -> Tensor:
        """All so far, `new` (2, R, heads, n, head width) included."""
        start, self.length = self.length, self.length + new.shape[3]
        if self.room is None or self.room.shape[3] < self.length:
            shape = (*new.shape[:3], self.length + GROWTH, new.shape[4])
            room = new.new_empty(shape)
            if self.room is not None:
                room[:, :, :, :start] = self.room[:, :, :, :start]
            self.room = room
        self.room[:, :, :, start : self.length] = new
        return self.room[:, :, :, : self.length]

    def select(self, rows: Tensor) -> None:
        """Let row i be what `rows[i]` was."""
        self.room = self.room.index_select(1, rows)


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
        beginning = seen.length == 0
        qkv = self.qkv(self.norms[0](x)).view(rows, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        keys, values = seen.append(qkv[1:])
        mixed = F.scaled_dot_product_attention(qkv[0], keys, values, is_causal=beginning)
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
            and not any("lora_" in name for name, _ in language.named_parameters())
        )

    @classmethod
    def of(cls, language: nn.Module) -> "GptSteps":
        """The steps of a language model, kept as long as its weights stay."""
        state = weights_state(language)
        found = _STEPS.get(language)
        if found is None or found[0] != state:
            found = _STEPS[language] = (state, cls(language))
        return found[1]

    def begin(self, prefix: Tensor) -> tuple[Tensor, "GptCache"]:
        """Logits (R, V) after a beginning of embeddings (R, n, W), and what the next steps need."""
        cache = GptCache([_Seen() for _ in self.layers])
        return self._forward(prefix, cache), cache

    def step(self, tokens: Tensor, cache: "GptCache") -> Tensor:
        """Logits (R, V) after the next token (R,) of each row."""
        return self._forward(self.words(tokens[:, None]), cache)

    def _forward(self, x: Tensor, cache: "GptCache") -> Tensor:
        start = cache.layers[0].length
        x = x + self.positions[start : start + x.shape[1]]
        for layer, seen in zip(self.layers, cache.layers):
            x = layer(x, seen)
        return self.head(self.norm(x[:, -1]))


@dataclass
class GptCache:
    """Keys and values of all layers."""

    layers: list[_Seen]

    def reorder_cache(self, rows: Tensor) -> None:
        """Let row i continue what `rows[i]` was; named as in the transformers library."""
        for layer in self.layers:
            layer.select(rows)


_STEPS: "WeakKeyDictionary[nn.Module, tuple[Any, GptSteps]]" = WeakKeyDictionary()
