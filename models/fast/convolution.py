"""The motion tokenizer's convolutions, from fewer and faster products.

Activations `(B, C, T)` are in channels-last memory, the layout of features `(B, T, C)`: nothing is ever transposed in
memory, and convolutions are faster.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.models.fast.linear import PackableLayer, PackedLinear, linear
from lamp.models.vq.encdec import Decoder, UpsampleConv, scaled, zero_beyond
from lamp.models.vq.model import RVQVAE

Product = Callable[[Tensor], Tensor]


class FastConv1d(PackableLayer, nn.Conv1d):
    """1-D convolution computed as a 2-D one of height 1, which has channels-last kernels (1-D ones do not)."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, T) along T."""
        if self.kernel_size == (1,):
            return self._pointwise(x.transpose(1, 2)).transpose(1, 2)
        reach, frames = self.dilation[0], x.shape[-1]
        keeps_length = self.kernel_size == (3,) and self.stride == (1,) and self.padding == (reach,)
        if x.is_cpu and keeps_length and reach < frames <= 2 * reach:
            return self._by_pairs(x)
        weight = self.weight.unsqueeze(2)
        if self.is_packed():
            weight = self.packed(lambda: weight.detach().contiguous(memory_format=torch.channels_last))
        padding = (0, int(self.padding[0]))
        stride, dilation = (1, self.stride[0]), (1, self.dilation[0])
        return F.conv2d(x.unsqueeze(2), weight, self.bias, stride=stride, padding=padding, dilation=dilation).squeeze(2)

    def _pointwise(self, x: Tensor) -> Tensor:
        if self.is_packed():
            return self.packed(lambda: PackedLinear(self.weight.squeeze(-1), self.bias))(x)
        return linear(x, self.weight.squeeze(-1), self.bias)

    def _by_pairs(self, x: Tensor) -> Tensor:
        """The same for three taps so far apart that a frame meets one other, or none but the padding.

        Frames x and y that meet give `here x + after y` and `here y + before x`. Both are `here (x + y)` and one more
        product, and those with the padding are left out: in a window of 16 with dilation 9, half of all.
        """
        before, here, after = self.weight.unbind(-1)
        met = x.shape[-1] - self.dilation[0]
        early, lone, late = x.transpose(1, 2).split([met, x.shape[-1] - 2 * met, met], dim=1)
        both, lone = linear(torch.cat((early + late, lone), 1), here, self.bias).split([met, lone.shape[1]], dim=1)
        first = both + linear(late.contiguous(), after - here)
        second = both + linear(early.contiguous(), before - here)
        return torch.cat((first, lone, second), dim=1).transpose(1, 2)


class FastUpsampleConv(PackableLayer, UpsampleConv):
    """`UpsampleConv` without the upsampled activations.

    Each upsampled frame repeats its source `scale` times, and all three taps fall on frames of the source or of a
    neighbour. With s the sum of the taps, d the step to the next source frame and e the step from the one before, the
    first output of a source frame x is s x - left e, the last s x + right d, those between s x: at scale 2, half the
    products of a convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T * scale)."""
        source = x.transpose(1, 2)
        whole, left, right = self._products()
        inner = whole(source)
        steps = F.pad(source, (0, 0, 0, 1)) - F.pad(source, (0, 0, 1, 0))
        first = inner - left(steps[:, :-1].contiguous())
        last = inner + right(steps[:, 1:].contiguous())
        frames = [first, *[inner] * (self.scale - 2), last]
        return torch.stack(frames, dim=2).flatten(1, 2).transpose(1, 2)

    def _products(self) -> list[Product]:
        """Products with the sum of the taps, the left one and the right one."""

        def products(layer: Callable[[Tensor, Tensor | None], Product]) -> list[Product]:
            left, _, right = self.weight.unbind(-1)
            return [layer(self.weight.sum(-1), self.bias), layer(left, None), layer(right, None)]

        if self.is_packed():
            return self.packed(lambda: products(PackedLinear))
        return products(lambda weight, bias: partial(linear, weight=weight, bias=bias))


def upsample_and_convolve(x: Tensor, up: UpsampleConv, conv: nn.Conv1d, lengths: Tensor | None) -> Tensor:
    """`conv(up(x))` at scale 2 by one convolution: for many frames, two thirds of the products.

    Nothing non-linear lies between the two, so their kernels multiply, to five taps on upsampled frames. Those fall on
    three source frames for the even outputs, and for the odd ones: a convolution of 3 that has both as its channels.

    Args:
        x: (B, C, T), zero beyond the lengths.
        up: at scale 2.
        conv: of 3 taps, with a bias.
        lengths: source frames of each item (B,), or None.

    Returns:
        (B, C', 2 T); beyond the lengths it means nothing.
    """
    width, inner = conv.out_channels, conv.in_channels
    up_bias, conv_bias = cast(Tensor, up.bias), cast(Tensor, conv.bias)
    before, _, after = conv.weight.unbind(-1)
    products = (conv.weight.permute(2, 0, 1).reshape(-1, inner) @ up.weight.flatten(1)).view(3, width, -1, 3)
    taps = [reduce(torch.add, (products[i, :, :, k - i] for i in range(3) if 0 <= k - i < 3)) for k in range(5)]
    even = torch.stack((taps[0] + taps[1], taps[2] + taps[3], taps[4]), dim=-1)
    odd = torch.stack((taps[0], taps[1] + taps[2], taps[3] + taps[4]), dim=-1)
    bias = conv_bias + conv.weight.sum(-1) @ up_bias
    y = F.conv2d(x.unsqueeze(2), torch.cat((even, odd)).unsqueeze(2), torch.cat((bias, bias)), padding=(0, 1))
    y = y.squeeze(2).transpose(1, 2).unflatten(-1, (2, width)).flatten(1, 2)
    # The second convolution pads with zeros, where the single one takes what the first would have computed there.
    items = torch.arange(len(x), device=x.device)
    ends = torch.full_like(items, x.shape[-1]) if lengths is None else lengths.clamp(min=1)
    left = F.linear(F.linear(x[:, :, 0], up.weight[..., 2], up_bias), before)
    right = F.linear(F.linear(x[items, :, ends - 1], up.weight[..., 0], up_bias), after)
    starts = items * y.shape[1]
    outer = torch.cat((starts, starts + 2 * ends - 1))
    return y.flatten(0, 1).index_add(0, outer, -torch.cat((left, right))).view_as(y).transpose(1, 2)


class FastDecoder(Decoder):
    """`Decoder` that for many frames computes the last upsampling and the convolution after it as one."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Decode; `lengths` (B,) counts tokens. Frames beyond the end are zero."""
        x, last = self.activation(self.conv_in(zero_beyond(x, lengths))), cast(UpsampleConv, self.up[-1])
        for blocks, up in zip(self.blocks, self.up):
            x = zero_beyond(blocks(x, lengths), lengths)
            if up is not last:
                x, lengths = up(x), scaled(lengths, self.stride)
        frames = scaled(lengths, self.stride)
        # Multiplying the kernels takes as many products as so many frames save.
        if self.stride == 2 and x.shape[0] * x.shape[2] > 3 * x.shape[1]:
            x = upsample_and_convolve(x, last, self.conv_mid, lengths)
        else:
            x = self.conv_mid(zero_beyond(last(x), frames))
        return zero_beyond(self.conv_out(zero_beyond(self.activation(x), frames)), frames)


class FastRVQVAE(RVQVAE):
    """`RVQVAE` that, on the CPU, masks nothing where nothing is padded."""

    def whole_tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Whole tokens (B,) in `lengths` (B,) frames of `x` (B, T, D); None if nothing is padded."""
        # On an accelerator, or compiled, finding out costs more than the masks.
        if lengths is not None and lengths.is_cpu and not torch.compiler.is_compiling():
            lengths = None if bool((lengths >= x.shape[1]).all()) else lengths
        return super().whole_tokens(x, lengths)
