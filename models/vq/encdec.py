"""Convolutional encoder and decoder of the motion tokenizer (MoMask, Guo et al. 2024, section 3.1).

Activations are `(B, C, T)`. Where lengths are given, everything beyond a clip's end is set to zero before each
convolution, so that padding acts exactly like the convolutions' own zero padding and never changes a result.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU}


@dataclass(frozen=True)
class Sizes:
    """What encoder and decoder have in common.

    Attributes:
        width: channels of the convolutions.
        down_t: stages, each of which changes the rate by `stride`.
        stride: downsampling of a stage, even.
        depth: residual blocks of a stage.
        growth: ratio of the dilations of successive residual blocks.
        activation: one of `ACTIVATIONS`.
        norm: "LN", or None.
        dropout: dropout rate in the residual blocks.
    """

    width: int
    down_t: int
    stride: int
    depth: int
    growth: int
    activation: str
    norm: str | None
    dropout: float


def zero_beyond(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Set `x` (B, C, T) to zero from each item's length (B,) on; None leaves it alone."""
    if lengths is None:
        return x
    return x * _inside(x, lengths)


def clear_beyond(x: Tensor, lengths: Tensor | None) -> Tensor:
    """`zero_beyond` of what comes from outside: there it may be anything, and NaN times zero is NaN."""
    return x if lengths is None else torch.where(_inside(x, lengths), x, 0.0)


def _inside(x: Tensor, lengths: Tensor) -> Tensor:
    """True (B, 1, T) before each item's end."""
    return (torch.arange(x.shape[-1], device=x.device) < lengths[:, None])[:, None]


def scaled(lengths: Tensor | None, factor: int) -> Tensor | None:
    """Lengths at a rate `factor` times higher."""
    return None if lengths is None else lengths * factor


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (B, C, T); it never mixes frames, so padding cannot leak in."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ResidualBlock(nn.Module):
    """Pre-activation block: dilated convolution of 3, convolution of 1, dropout, residual."""

    def __init__(self, sizes: Sizes, dilation: int) -> None:
        super().__init__()
        width = sizes.width
        self.norm1 = ChannelNorm(width) if sizes.norm == "LN" else nn.Identity()
        self.norm2 = ChannelNorm(width) if sizes.norm == "LN" else nn.Identity()
        self.activation = ACTIVATIONS[sizes.activation]()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Map (B, C, T) to the same shape."""
        h = self.conv1(zero_beyond(self.activation(self.norm1(x)), lengths))
        h = self.conv2(self.activation(self.norm2(h)))
        return x + self.dropout(h)


class ResidualStack(nn.ModuleList):
    """`depth` residual blocks, the widest dilation first: growth**(depth-1), ..., growth, 1."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__(ResidualBlock(sizes, sizes.growth**i) for i in reversed(range(sizes.depth)))

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Map (B, C, T) to the same shape."""
        for block in self:
            x = block(x, lengths)
        return x


class UpsampleConv(nn.Conv1d):
    """Nearest-neighbour upsampling followed by a convolution of 3."""

    def __init__(self, width: int, *, scale: int) -> None:
        super().__init__(width, width, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T * scale)."""
        return super().forward(F.interpolate(x, scale_factor=self.scale, mode="nearest"))


class Encoder(nn.Module):
    """Features (B, D, T) to latents (B, code_dim, T / stride**down_t)."""

    def __init__(self, input_width: int, code_dim: int, sizes: Sizes) -> None:
        super().__init__()
        width, stages = sizes.width, range(sizes.down_t)
        self.stride = stride = sizes.stride
        self.activation = ACTIVATIONS[sizes.activation]()
        self.conv_in = nn.Conv1d(input_width, width, 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv1d(width, width, 2 * stride, stride=stride, padding=stride // 2) for _ in stages
        )
        self.blocks = nn.ModuleList(ResidualStack(sizes) for _ in stages)
        self.conv_out = nn.Conv1d(width, code_dim, 3, padding=1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Encode; `lengths` (B,) counts tokens."""
        rate = self.stride ** len(self.down)
        x = self.activation(self.conv_in(clear_beyond(x, scaled(lengths, rate))))
        for down, blocks in zip(self.down, self.blocks):
            x = down(zero_beyond(x, scaled(lengths, rate)))
            rate //= self.stride
            x = blocks(x, scaled(lengths, rate))
        return zero_beyond(self.conv_out(zero_beyond(x, lengths)), lengths)


class Decoder(nn.Module):
    """Latents (B, code_dim, n) to features (B, D, n * stride**down_t)."""

    def __init__(self, input_width: int, code_dim: int, sizes: Sizes) -> None:
        super().__init__()
        width, stages = sizes.width, range(sizes.down_t)
        self.stride = stride = sizes.stride
        self.activation = ACTIVATIONS[sizes.activation]()
        self.conv_in = nn.Conv1d(code_dim, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualStack(sizes) for _ in stages)
        self.up = nn.ModuleList(UpsampleConv(width, scale=stride) for _ in stages)
        self.conv_mid = nn.Conv1d(width, width, 3, padding=1)
        self.conv_out = nn.Conv1d(width, input_width, 3, padding=1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Decode; `lengths` (B,) counts tokens. Frames beyond the end are zero."""
        x = self.activation(self.conv_in(zero_beyond(x, lengths)))
        for blocks, up in zip(self.blocks, self.up):
            x = up(zero_beyond(blocks(x, lengths), lengths))
            lengths = scaled(lengths, self.stride)
        x = self.activation(self.conv_mid(zero_beyond(x, lengths)))
        return zero_beyond(self.conv_out(zero_beyond(x, lengths)), lengths)
