"""Convolutional encoder and decoder of the motion tokenizer (MoMask, Guo et al. 2024, section 3.1).

Activations are `(B, C, T)` in channels-last memory, the layout of features `(B, T, C)`: nothing is ever transposed in
memory, and convolutions are faster. Where lengths are given, everything beyond a clip's end is set to zero before each
convolution, so that padding acts exactly like the convolutions' own zero padding and never changes a result.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.dropout import Dropout
from models.linear import linear

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

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, T) along T."""
        if self.kernel_size == (1,):
            return linear(x.transpose(1, 2), self.weight.squeeze(-1), self.bias).transpose(1, 2)
        options = {"stride": (1, *self.stride), "padding": (0, *self.padding), "dilation": (1, *self.dilation)}
        return F.conv2d(x.unsqueeze(2), self.weight.unsqueeze(2), self.bias, **options).squeeze(2)


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

    Each upsampled frame repeats its source `scale` times, so at least two of the three taps fall on the same source
    frame and their weights add up: the first of the `scale` output frames sees the source and the one before it, the
    last the source and the one after it, those between only the source. That saves a third of the products at
    scale 2.
    """

    def __init__(self, width: int, *, scale: int) -> None:
        super().__init__(width, width, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T * scale)."""
        source = x.transpose(1, 2)
        padded = F.pad(source, (0, 0, 1, 1))
        left, centre, right = self.weight.unbind(-1)
        first = linear(torch.cat([padded[:, :-2], source], -1), torch.cat([left, centre + right], 1), self.bias)
        last = linear(torch.cat([source, padded[:, 2:]], -1), torch.cat([left + centre, right], 1), self.bias)
        frames = [first, last]
        if self.scale > 2:
            frames[1:1] = [linear(source, left + centre + right, self.bias)] * (self.scale - 2)
        return torch.stack(frames, dim=2).flatten(1, 2).transpose(1, 2)


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
            x = up(zero_beyond(blocks(x, scaled(lengths, rate)), scaled(lengths, rate)))
            rate *= self.stride
        frames = scaled(lengths, rate)
        x = self.activation(self.conv_mid(zero_beyond(x, frames)))
        return zero_beyond(self.conv_out(zero_beyond(x, frames)), frames)
