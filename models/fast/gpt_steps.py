"""A GPT-2 of the transformers library, evaluated token by token without the library's overhead.

The network is that of Radford et al. 2019 (pre-norm, learned positions, output tied to the embedding), its weights are
read from the library's module. A step is a dozen operations a layer, with weights packed for the CPU.
"""

from typing import TYPE_CHECKING, Any, TypeGuard
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.models.fast.linear import Gelu, PackedLinear, State, weights_state
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.decoding import Writer

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

GROWTH = 64
"""Positions that a cache allocates at a time."""
ACTIVATIONS: dict[str, Gelu] = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
"""GELU by its name in the library."""


class KVCache:
    """Keys and values of a layer, (2, R, heads, L, head width) of all positions so far.

    Rows that continue one prefix, as the beams of a search do, share its part, so that reordering them moves only what
    they wrote themselves.
    """

    def __init__(self) -> None:
        self.prefix: Tensor | None = None
        self._buffer: Tensor | None = None
        self._length = 0  # used positions of the buffer
        self._growth = GROWTH

    def __len__(self) -> int:
        return self._length + (0 if self.prefix is None else self.prefix.shape[3])

    def attend(self, query: Tensor, new: Tensor) -> Tensor:
        """What queries (R, heads, n, head width) find in all positions, `new` (2, R, heads, n, head width) included.

        Either all queries of a prefix come at once, each seeing those before it, or later one a row (n = 1).
        """
        keys, values = self._append(new)
        if self.prefix is None:
            return F.scaled_dot_product_attention(query, keys, values, is_causal=query.shape[2] == keys.shape[2])
        # The rows of a prefix become the queries of one product with its part.
        together = query.unflatten(0, (self.prefix.shape[1], -1)).squeeze(3).transpose(1, 2)
        scores = torch.cat(
            (
                together @ self.prefix[0].mT,
                (query @ keys.mT).unflatten(0, (self.prefix.shape[1], -1)).squeeze(3).transpose(1, 2),
            ),
            dim=-1,
        )
        weights = (scores * query.shape[-1] ** -0.5).softmax(-1)
        length = self.prefix.shape[3]
        attended = (weights[..., :length] @ self.prefix[1]).transpose(1, 2).flatten(0, 1).unsqueeze(2)
        return attended + weights[..., length:].transpose(1, 2).flatten(0, 1).unsqueeze(2) @ values

    def repeat(self) -> None:
        """From now on several rows continue each row that there is, whose positions become the prefix."""
        if self._buffer is None:
            raise ValueError("nothing is cached yet that rows could share")
        self.prefix, self._buffer, self._length = self._buffer[:, :, :, : self._length], None, 0

    def select(self, rows: Tensor) -> None:
        """Let row i be what `rows[i]` was; all rows of a prefix stay together, or are left out together."""
        if self.prefix is not None and self._buffer is not None and len(rows) < self._buffer.shape[1]:
            times = self._buffer.shape[1] // self.prefix.shape[1]
            self.prefix = self.prefix.index_select(1, rows[::times] // times)
        if self._buffer is not None:
            self._buffer = self._buffer[:, :, :, : self._length].index_select(1, rows)
        # Where rows are reordered at each step, unused positions would be moved along.
        self._growth = 0

    def _append(self, new: Tensor) -> Tensor:
        """Keys and values of the rows' own positions, `new` included."""
        start, self._length = self._length, self._length + new.shape[3]
        if self._buffer is None or self._buffer.shape[3] < self._length:
            buffer = new.new_empty(*new.shape[:3], self._length + self._growth, new.shape[4])
            if self._buffer is not None:
                buffer[:, :, :, :start] = self._buffer[:, :, :, :start]
            self._buffer = buffer
        self._buffer[:, :, :, start : self._length] = new
        return self._buffer[:, :, :, : self._length]


class _Block:
    """One block: its packed weights, and how it is computed.

    Args:
        block: of the library (`GPT2Block`).
        num_heads: attention heads.
        gelu: which one stands between the two layers of the MLP.
    """

    def __init__(self, block: Any, num_heads: int, gelu: Gelu) -> None:
        self.num_heads = num_heads
        self.norms = block.ln_1, block.ln_2
        self.qkv, self.out = _packed(block.attn.c_attn), _packed(block.attn.c_proj)
        self.up, self.down = _packed(block.mlp.c_fc, gelu), _packed(block.mlp.c_proj)

    def __call__(self, x: Tensor, cache: KVCache) -> Tensor:
        """Hidden states (R, n, W) to the next; their keys and values join those in `cache`."""
        rows, length, width = x.shape
        qkv = self.qkv(self.norms[0](x)).view(rows, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        attended = cache.attend(qkv[0], qkv[1:])
        x = x + self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(self.up(self.norms[1](x)))


def _packed(layer: Any, gelu: Gelu = "") -> PackedLinear:
    """A linear layer of the library (`Conv1D`), which keeps weights (in, out)."""
    return PackedLinear(layer.weight.T, layer.bias, gelu)


class GptSteps:
    """The weights of a GPT-2, ready for writing."""

    def __init__(self, language: "GPT2LMHeadModel") -> None:
        config, trunk = language.config, language.transformer
        self.words, self.positions, self.norm = trunk.wte, trunk.wpe.weight.detach(), trunk.ln_f
        gelu = ACTIVATIONS[config.activation_function]
        self.blocks = [_Block(block, config.n_head, gelu) for block in trunk.h]
        self.head = PackedLinear(language.lm_head.weight, None)

    @staticmethod
    def fits(language: nn.Module) -> TypeGuard["GPT2LMHeadModel"]:
        """Whether a language model is one of those that are evaluated here, in evaluation mode."""
        if type(language).__name__ != "GPT2LMHeadModel" or language.training or torch.is_grad_enabled():
            return False
        config: Any = language.config
        return (
            config.activation_function in ACTIVATIONS
            and config.scale_attn_weights
            and not config.scale_attn_by_inverse_layer_idx
            and not config.add_cross_attention
            and not any("lora_" in name or weight.is_inference() for name, weight in language.named_parameters())
        )

    @classmethod
    def of(cls, language: "GPT2LMHeadModel") -> "GptSteps":
        """The steps of a language model, kept as long as its weights stay."""
        state = weights_state(language)
        found = _STEPS.get(language)
        if found is None or found[0] != state:
            found = _STEPS[language] = (state, cls(language))
        return found[1]

    def __call__(self, x: Tensor, caches: list[KVCache]) -> Tensor:
        """Logits (R, V) after the last of the embeddings (R, n, W) that come next; `caches` (by layer) take them up."""
        start = len(caches[0])
        x = x + self.positions[start : start + x.shape[1]]
        for block, cache in zip(self.blocks, caches):
            x = block(x, cache)
        return self.head(self.norm(x[:, -1])).float()


class GptWriter:
    """A GPT-2 writing some rows, one token at a time; see `Writer`.

    Args:
        language: one that `GptSteps.fits`.
        prefix: (B, P, W) embeddings that stand in front of the captions.
    """

    def __init__(self, language: "GPT2LMHeadModel", prefix: Tensor) -> None:
        self._steps = GptSteps.of(language)
        self._caches = [KVCache() for _ in self._steps.blocks]
        self.logits = self._steps(prefix, self._caches)

    def repeat(self, times: int) -> None:
        """Let each row become `times` equal neighbours."""
        if times > 1:
            for cache in self._caches:
                cache.repeat()
            self.logits = self.logits.repeat_interleave(times, dim=0)

    def select(self, rows: Tensor) -> None:
        """Let row i continue what `rows[i]` was; all rows of a prefix stay together, or are left out together."""
        for cache in self._caches:
            cache.select(rows)

    def append(self, tokens: Tensor) -> None:
        """Next token (R,) of each row."""
        self.logits = self._steps(self._steps.words(tokens[:, None]), self._caches)


class FastCaptioner(Captioner):
    """`Captioner` that takes our own steps where its language model is a GPT-2."""

    def writer(self, prefix: Tensor) -> Writer:
        """The language model after prefixes (B, P, W), ready to write captions."""
        return GptWriter(self.language, prefix) if GptSteps.fits(self.language) else super().writer(prefix)


_STEPS: "WeakKeyDictionary[nn.Module, tuple[State, GptSteps]]" = WeakKeyDictionary()
