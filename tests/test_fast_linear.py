"""The linear layer with prepacked weights: same numbers, same parameters, never stale."""

import copy

import pytest
import torch
import torch.nn.functional as F

from lamp.models.fast import linear, speed_up
from lamp.models.fast.linear import FastLinear
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.utils.run.optim import adamw


@pytest.fixture
def layer() -> FastLinear:
    torch.manual_seed(0)
    layer = FastLinear(24, 40)
    layer.packs = True
    return layer


def packed_or_skip(layer: FastLinear) -> None:
    if not linear.has_onednn(torch.float32):
        pytest.skip("this build of PyTorch has no oneDNN")


@pytest.mark.parametrize("rows", [(1,), (7,), (3, 50), (2, 3, 5)])
def test_packed_results_are_those_of_a_plain_layer(layer, rows):
    packed_or_skip(layer)
    x = torch.randn(*rows, 24)
    with torch.inference_mode():
        result, activated = layer(x), layer(x, "none")
    expected = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(result, expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(activated, F.gelu(expected).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packs", [False, True])
def test_what_is_added_gives_the_same_bits(layer, packs, dtype):
    layer.packs = packs
    layer.to(dtype)
    for x in (torch.randn(3, 50, 24).to(dtype), torch.randn(50, 3, 24).to(dtype).transpose(0, 1)):
        for plus in (torch.randn(3, 50, 40).to(dtype), torch.randn(50, 3, 40).to(dtype).transpose(0, 1)):
            with torch.inference_mode():
                assert torch.equal(layer(x, plus=plus), plus + layer(x))
                assert torch.equal(layer(x, "none", plus), plus + layer(x, "none"))


def test_changed_weights_are_packed_again(layer):
    packed_or_skip(layer)
    x = torch.randn(5, 24)
    for change in (
        lambda: torch.nn.init.normal_(layer.weight),
        lambda: torch.optim.SGD(layer.parameters(), lr=1.0).step(),
        lambda: adamw(layer.parameters(), lr=1.0).step(),
        lambda: layer.load_state_dict(torch.nn.Linear(24, 40).state_dict()),
        lambda: layer.bfloat16().float(),
    ):
        layer.weight.grad, layer.bias.grad = torch.randn(40, 24), torch.randn(40)
        change()
        with torch.no_grad():
            torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), rtol=1e-5, atol=1e-6)


def test_gradients_flow_and_copies_and_files_hold_plain_weights(layer):
    packed_or_skip(layer)
    layer(torch.randn(5, 24)).sum().backward()
    assert layer.weight.grad is not None
    assert set(layer.state_dict()) == {"weight", "bias"}
    twin = copy.deepcopy(layer)
    assert twin not in linear._PACKED
    torch.testing.assert_close(twin.weight, layer.weight)


def test_a_transformer_generates_the_same_with_packed_weights():
    torch.manual_seed(0)
    model = MaskedTransformer(MaskedConfig(num_layers=2, latent_dim=64, num_heads=2, cond_dim=8)).eval()
    condition, lengths = torch.randn(3, 8), torch.tensor([9, 20, 14])
    inputs = torch.randint(512, (3, 20)), condition
    with torch.no_grad():
        plain = model.logits(*inputs)
        codes = model.generate(condition, lengths, steps=3, seeds=[1, 2, 3])
        speed_up(model, frozen=True)
        torch.testing.assert_close(model.logits(*inputs), plain, rtol=1e-4, atol=1e-5)
        assert (model.generate(condition, lengths, steps=3, seeds=[1, 2, 3]) == codes).float().mean() > 0.95
    assert any(module in linear._PACKED for module in model.modules())


@pytest.mark.parametrize("rows", [(1,), (40,), (4, 25)])
@pytest.mark.parametrize("biased", [True, False])
def test_gradients_are_those_of_a_plain_layer(rows, biased):
    torch.manual_seed(0)
    x, weight = torch.randn(*rows, 24, requires_grad=True), torch.randn(40, 24, requires_grad=True)
    bias = torch.randn(40, requires_grad=True) if biased else None
    inputs = [tensor for tensor in (x, weight, bias) if tensor is not None]
    towards = torch.randn(*rows, 40)
    result, expected = linear.linear(x, weight, bias), F.linear(x, weight, bias)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(
        torch.autograd.grad(result, inputs, towards), torch.autograd.grad(expected, inputs, towards)
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-4)


def test_only_the_gradients_that_are_asked_for_are_computed():
    x, weight = torch.randn(40, 24), torch.randn(8, 24, requires_grad=True)
    linear.linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(8, 24), rtol=1e-5, atol=1e-4)
    assert not linear.linear(x, weight.detach()).requires_grad
    x.requires_grad_()
    linear.linear(x, weight.detach()).sum().backward()
    torch.testing.assert_close(x.grad, weight.detach().sum(0).expand(40, 24), rtol=1e-5, atol=1e-4)


def test_weights_may_have_any_strides(monkeypatch):
    multiplied, multiply = [], linear._multiply
    monkeypatch.setattr(linear, "_multiply", lambda x, w, bias: multiplied.append(w) or multiply(x, w, bias))
    x, taps = torch.randn(40, 24), torch.randn(8, 24, 3)
    for weight in (taps[..., 1], taps[..., 0].T.contiguous().T, taps.flatten(1)[:, :24]):
        torch.testing.assert_close(linear.linear(x, weight), x @ weight.T, rtol=1e-5, atol=1e-4)
    assert all(weight.is_contiguous() or weight.T.is_contiguous() for weight in multiplied)


def test_double_precision_and_autocast_are_left_to_pytorch():
    x, weight = torch.randn(40, 24), torch.randn(8, 24)
    assert linear.linear(x.double(), weight.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert linear.linear(x, weight).dtype == torch.bfloat16
