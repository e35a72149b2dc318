"""A GPT-2 of the transformers library, evaluated token by token without the library's overhead.

The network is that of Radford et al. 2019 (pre-norm, learned positions, output tied to the embedding), its weights are
read from the library's module. A step is a dozen operations a layer, with weights packed for the CPU.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.linear import FrozenLinear, weights_state

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


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

    def __call__(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Hidden states (R, n, W) and keys and values so far (2, R, heads, L, head width) to the next of both."""
        rows, length, width = x.shape
        qkv = self.qkv(self.norms[0](x)).view(rows, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        seen = qkv[1:] if past is None else torch.cat((past, qkv[1:]), dim=3)
        mixed = F.scaled_dot_product_attention(qkv[0], seen[0], seen[1], is_causal=past is None)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.fall(self.rise(self.norms[1](x))), seen


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

    def __call__(self, inputs: Tensor, past: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        """Logits (R, V) after the last input, and keys and values of all layers.

        Args:
            inputs: embeddings (R, n, W) of a beginning, or with a `past` the next tokens (R, 1).
            past: keys and values (2, R, heads, L, head width) of each layer so far; None at the beginning.
        """
        x = inputs if past is None else self.words(inputs)
        start = 0 if past is None else past[0].shape[3]
        x = x + self.positions[start : start + x.shape[1]]
        seen: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            x, keys_and_values = layer(x, None if past is None else past[index])
            seen.append(keys_and_values)
        return self.head(self.norm(x[:, -1])), seen


_STEPS: "WeakKeyDictionary[nn.Module, tuple[Any, GptSteps]]" = WeakKeyDictionary()
