"""The tokenizer's fast convolutions against the plain ones."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from test_vq import make_model
from torch import Tensor, nn

from lamp.models.fast import speed_up
from lamp.models.fast.convolution import FastConv1d, FastUpsampleConv, upsample_and_convolve
from lamp.models.vq.encdec import UpsampleConv, zero_beyond


@pytest.mark.parametrize("scale", [2, 4])
def test_upsampling_is_nearest_then_convolution(scale: int) -> None:
    torch.manual_seed(0)
    plain, fast, x = UpsampleConv(6, scale=scale), FastUpsampleConv(6, scale=scale), torch.randn(2, 6, 5)
    fast.load_state_dict(plain.state_dict())
    expected = F.conv1d(x.repeat_interleave(scale, -1), plain.weight, plain.bias, padding=1)
    torch.testing.assert_close(plain(x), expected)
    torch.testing.assert_close(fast(x), expected)


def with_gradients(function: Callable[[Tensor], Tensor], x: Tensor, layers: list[nn.Module]) -> list[Tensor]:
    """What a function of `x` gives, and the gradients of `x` and of the layers' parameters."""
    x = x.clone().requires_grad_()
    result = function(x)
    weights = torch.linspace(-1, 1, result.numel(), dtype=x.dtype).view_as(result)
    inputs = [x, *(parameter for layer in layers for parameter in layer.parameters())]
    return [result, *torch.autograd.grad((result * weights).sum(), inputs)]


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 6, 7, 12])
def test_wide_dilations_are_those_of_a_plain_convolution(frames: int) -> None:
    torch.manual_seed(0)
    layer = FastConv1d(6, 8, 3, padding=3, dilation=3).double()
    x = torch.randn(2, 6, frames, dtype=torch.float64)
    plain = partial(F.conv1d, weight=layer.weight, bias=layer.bias, padding=3, dilation=3)
    for mine, theirs in zip(with_gradients(layer, x, [layer]), with_gradients(plain, x, [layer])):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("lengths", [None, [5, 3, 1]])
def test_one_convolution_does_the_work_of_upsampling_and_another(lengths: list[int] | None) -> None:
    torch.manual_seed(0)
    up, conv = UpsampleConv(6, scale=2).double(), nn.Conv1d(6, 7, 3, padding=1).double()
    x = torch.randn(3, 6, 5, dtype=torch.float64)
    sources = None if lengths is None else torch.tensor(lengths)
    frames = None if sources is None else 2 * sources

    def plain(x: Tensor) -> Tensor:
        return zero_beyond(conv(zero_beyond(up(zero_beyond(x, sources)), frames)), frames)

    def merged(x: Tensor) -> Tensor:
        return zero_beyond(upsample_and_convolve(zero_beyond(x, sources), up, conv, sources), frames)

    for mine, theirs in zip(with_gradients(merged, x, [up, conv]), with_gradients(plain, x, [up, conv])):
        torch.testing.assert_close(mine, theirs)


@torch.no_grad()
def test_large_batches_are_decoded_like_small_ones() -> None:
    model, plain = speed_up(make_model()), make_model()
    plain.load_state_dict(model.state_dict())
    codes = torch.randint(16, (40, 6, 3))
    lengths = torch.arange(40) % 7
    one_by_one = torch.cat([model.decode(codes[i : i + 1], lengths[i : i + 1]) for i in range(40)])
    torch.testing.assert_close(model.decode(codes, lengths), one_by_one, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.decode(codes, lengths), plain.decode(codes, lengths), rtol=0, atol=1e-5)


def test_packed_weights_give_the_same_and_are_never_stale() -> None:
    model, x = make_model(), torch.randn(2, 64, 12)
    for change in (None, nn.init.xavier_normal_):
        if change is not None:
            for layer in (*model.encoder.modules(), *model.decoder.modules()):
                if isinstance(layer, nn.Conv1d):
                    change(layer.weight)
        plain = make_model()
        plain.load_state_dict(model.state_dict())
        speed_up(model, frozen=True)
        with torch.inference_mode():
            codes = plain.encode(x)
            for _ in range(2):
                assert torch.equal(model.encode(x), codes)
                torch.testing.assert_close(model.decode(codes), plain.decode(codes))
    model.train()(x).recon.sum().backward()
    assert all(layer.weight.grad is not None for layer in model.decoder.modules() if isinstance(layer, nn.Conv1d))
