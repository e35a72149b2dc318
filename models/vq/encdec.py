"""Convolutional encoder and decoder of the motion tokenizer (MoMask, Guo et al. 2024, section 3.1).

Activations are `(B, C, T)` in channels-last memory, the layout of features `(B, T, C)`: nothing is ever transposed in
memory, and convolutions are faster. Where lengths are given, everything beyond a clip's end is set to zero before each
convolution, so that padding acts exactly like the convolutions' own zero padding and never changes a result.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamp.models.fast.dropout import Dropout
from lamp.models.fast.linear import FrozenLinear, is_packed, linear, packed

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


def zero_beyond(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Set `x` (B, C, T) to zero from each item's length (B,) on; None leaves it alone."""
    if lengths is None:
        return x
    inside = torch.arange(x.shape[-1], device=x.device) < lengths[:, None]
    return x * inside[:, None]


def scaled(lengths: Tensor | None, factor: int) -> Tensor | None:
    """Lengths at a rate `factor` times higher."""
    return None if lengths is None else lengths * factor


class Conv(nn.Conv1d):
    """1-D convolution computed as a 2-D one of height 1, which has channels-last kernels (1-D ones do not)."""

    packs = False

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, T) along T."""
        if self.kernel_size == (1,):
            return self._pointwise(x.transpose(1, 2)).transpose(1, 2)
        (reach,), frames = self.dilation, x.shape[-1]
        keeps_length = self.kernel_size == (3,) and self.stride == (1,) and self.padding == (reach,)
        if x.is_cpu and keeps_length and reach < frames <= 2 * reach:
            return self._by_pairs(x)
        options = {"stride": (1, *self.stride), "padding": (0, *self.padding), "dilation": (1, *self.dilation)}
        weight = self.weight.unsqueeze(2)
        if is_packed(self):
            weight = packed(self, lambda: weight.detach().contiguous(memory_format=torch.channels_last))
        return F.conv2d(x.unsqueeze(2), weight, self.bias, **options).squeeze(2)

    def _pointwise(self, x: Tensor) -> Tensor:
        if is_packed(self):
            return packed(self, lambda: FrozenLinear(self.weight.squeeze(-1), self.bias))(x)
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


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, T); it never mixes frames, so padding cannot leak in."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Pre-activation block: dilated convolution of 3, convolution of 1, dropout, residual."""

    def __init__(self, width: int, *, dilation: int, activation: str, norm: str | None, dropout: float) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width) if norm == "LN" else nn.Identity()
        self.norm2 = ChannelNorm(width) if norm == "LN" else nn.Identity()
        self.activation = ACTIVATIONS[activation]()
        self.conv1 = Conv(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = Conv(width, width, 1)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Map (B, C, T) to the same shape."""
        h = self.conv1(zero_beyond(self.activation(self.norm1(x)), lengths))
        h = self.conv2(self.activation(self.norm2(h)))
        return x + self.dropout(h)


class ResidualStack(nn.ModuleList):
    """`depth` residual blocks, the widest dilation first: growth**(depth-1), ..., growth, 1."""

    def __init__(
        self, width: int, *, depth: int, growth: int, activation: str, norm: str | None, dropout: float
    ) -> None:
        super().__init__(
            ResidualBlock(width, dilation=growth**i, activation=activation, norm=norm, dropout=dropout)
            for i in reversed(range(depth))
        )

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Map (B, C, T) to the same shape."""
        for block in self:
            x = block(x, lengths)
        return x


class UpsampleConv(nn.Conv1d):
    """Nearest-neighbour upsampling followed by a convolution of 3, without the upsampled activations.

    Each upsampled frame repeats its source `scale` times, and all three taps fall on frames of the source or of a
    neighbour. With s the sum of the taps, d the step to the next source frame and e the step from the one before, the
    first output of a source frame x is s x - left e, the last s x + right d, those between s x: at scale 2, half the
    products of a convolution.
    """

    packs = False

    def __init__(self, width: int, *, scale: int) -> None:
        super().__init__(width, width, 3, padding=1)
        self.scale = scale

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

    def _products(self) -> list[Callable[[Tensor], Tensor]]:
        """Products with the sum of the taps, the left one and the right one."""

        def products(layer: Callable[..., Callable[[Tensor], Tensor]]) -> list[Callable[[Tensor], Tensor]]:
            left, _, right = self.weight.unbind(-1)
            return [layer(self.weight.sum(-1), self.bias), layer(left, None), layer(right, None)]

        if is_packed(self):
            return packed(self, lambda: products(FrozenLinear))
        return products(lambda weight, bias: partial(linear, weight=weight, bias=bias))


def upsample_and_convolve(x: Tensor, up: UpsampleConv, conv: Conv, lengths: Tensor | None) -> Tensor:
    """`conv(up(x))` at scale 2 by one convolution: for many frames, two thirds of the products.

    Nothing non-linear lies between the two, so their kernels multiply, to five taps on upsampled frames. Those fall on
    three source frames for the even outputs, and for the odd ones: a convolution of 3 that has both as its channels.

    Args:
        x: (B, C, T), zero beyond the lengths.
        up: at scale 2.
        conv: of 3 taps.
        lengths: source frames of each item (B,), or None.

    Returns:
        (B, C', 2 T); beyond the lengths it means nothing.
    """
    width, inner = conv.out_channels, conv.in_channels
    before, _, after = conv.weight.unbind(-1)
    products = (conv.weight.permute(2, 0, 1).reshape(-1, inner) @ up.weight.flatten(1)).view(3, width, -1, 3)
    taps = [sum(products[i, :, :, k - i] for i in range(3) if 0 <= k - i < 3) for k in range(5)]
    even = torch.stack((taps[0] + taps[1], taps[2] + taps[3], taps[4]), dim=-1)
    odd = torch.stack((taps[0], taps[1] + taps[2], taps[3] + taps[4]), dim=-1)
    bias = conv.bias + conv.weight.sum(-1) @ up.bias
    y = F.conv2d(x.unsqueeze(2), torch.cat((even, odd)).unsqueeze(2), torch.cat((bias, bias)), padding=(0, 1))
    y = y.squeeze(2).transpose(1, 2).unflatten(-1, (2, width)).flatten(1, 2)
    # The second convolution pads with zeros, where the single one takes what the first would have computed there.
    items = torch.arange(len(x), device=x.device)
    ends = torch.full_like(items, x.shape[-1]) if lengths is None else lengths.clamp(min=1)
    left = F.linear(F.linear(x[:, :, 0], up.weight[..., 2], up.bias), before)
    right = F.linear(F.linear(x[items, :, ends - 1], up.weight[..., 0], up.bias), after)
    starts = items * y.shape[1]
    outer = torch.cat((starts, starts + 2 * ends - 1))
    return y.flatten(0, 1).index_add(0, outer, -torch.cat((left, right))).view_as(y).transpose(1, 2)


class Encoder(nn.Module):
    """Features (B, D, T) to latents (B, code_dim, T / stride**down_t)."""

    def __init__(
        self, input_width: int, code_dim: int, *, width: int, down_t: int, stride: int, activation: str, **blocks
    ) -> None:
        super().__init__()
        self.stride = stride
        self.activation = ACTIVATIONS[activation]()
        self.conv_in = Conv(input_width, width, 3, padding=1)
        self.down = nn.ModuleList(
            Conv(width, width, 2 * stride, stride=stride, padding=stride // 2) for _ in range(down_t)
        )
        self.blocks = nn.ModuleList(ResidualStack(width, activation=activation, **blocks) for _ in range(down_t))
        self.conv_out = Conv(width, code_dim, 3, padding=1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode; `lengths` (B,) counts tokens."""
        rate = self.stride ** len(self.down)
        x = self.activation(self.conv_in(zero_beyond(x, scaled(lengths, rate))))
        for down, blocks in zip(self.down, self.blocks):
            x = down(zero_beyond(x, scaled(lengths, rate)))
            rate //= self.stride
            x = blocks(x, scaled(lengths, rate))
        return zero_beyond(self.conv_out(zero_beyond(x, lengths)), lengths)


class Decoder(nn.Module):
    """Latents (B, code_dim, n) to features (B, D, n * stride**down_t)."""

    def __init__(
        self, input_width: int, code_dim: int, *, width: int, down_t: int, stride: int, activation: str, **blocks
    ) -> None:
        super().__init__()
        self.stride = stride
        self.activation = ACTIVATIONS[activation]()
        self.conv_in = Conv(code_dim, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualStack(width, activation=activation, **blocks) for _ in range(down_t))
        self.up = nn.ModuleList(UpsampleConv(width, scale=stride) for _ in range(down_t))
        self.conv_mid = Conv(width, width, 3, padding=1)
        self.conv_out = Conv(width, input_width, 3, padding=1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Decode; `lengths` (B,) counts tokens. Frames beyond the end are zero."""
        rate = 1
        x = self.activation(self.conv_in(zero_beyond(x, lengths)))
        for blocks, up in zip(self.blocks, self.up):
            x = zero_beyond(blocks(x, scaled(lengths, rate)), scaled(lengths, rate))
            if up is not self.up[-1]:
                x = up(x)
                rate *= self.stride
        x = self.activation(self._to_frames(x, scaled(lengths, rate)))
        frames = scaled(lengths, rate * self.stride)
        return zero_beyond(self.conv_out(zero_beyond(x, frames)), frames)

    def _to_frames(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The last upsampling and the convolution after it, (B, C, T) to (B, C, T * stride)."""
        up, width = self.up[-1], x.shape[1]
        # Multiplying the kernels takes as many products as so many frames save.
        if up.scale == 2 and x.shape[0] * x.shape[2] > 3 * width:
            return upsample_and_convolve(x, up, self.conv_mid, lengths)
        return self.conv_mid(zero_beyond(up(x), scaled(lengths, up.scale)))
