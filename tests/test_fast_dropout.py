"""Fast dropout and the attention that uses it."""

import pytest
import torch
import torch.nn.functional as F

from lamp.models.fast.dropout import FastAttention, FastDropout, dropout
from lamp.models.layers import Attention


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_share_and_scale(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(401, 1003, dtype=dtype, requires_grad=True)
    result = dropout(x, p)
    kept = result != 0
    assert abs(kept.float().mean().item() - (1 - p)) < 0.003
    torch.testing.assert_close(result[kept], torch.full_like(result[kept], 1 / (1 - p)))
    # Neighbours, which come from one random integer, are independent.
    assert abs((kept[:, 1:] & kept[:, :-1]).float().mean().item() - (1 - p) ** 2) < 0.005
    result.sum().backward()
    torch.testing.assert_close(x.grad, result.detach())


def test_the_global_seed_decides_and_evaluation_changes_nothing():
    layer, x = FastDropout(0.3), torch.randn(3, 7)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first) and not torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x) and torch.equal(dropout(x, 0.0), x)
    assert torch.equal(dropout(x, 1.0), torch.zeros_like(x))


@pytest.mark.parametrize("kind", ["none", "causal", "boolean", "additive"])
def test_attention_with_hardly_any_dropout_is_the_library_s(kind):
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 9, 8)
    visible = torch.rand(2, 1, 9, 9) < 0.7
    visible[..., 0] = True
    masks = {"boolean": visible, "additive": torch.randn(9, 9)}
    mask, causal = masks.get(kind), kind == "causal"
    expected = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal)
    torch.testing.assert_close(Attention(0.5).eval()(query, key, value, mask, causal=causal), expected)
    torch.testing.assert_close(FastAttention(1e-9)(query, key, value, mask, causal=causal), expected)
    assert not torch.allclose(FastAttention(0.5)(query, key, value, mask, causal=causal), expected)


def test_rows_that_see_nothing_are_finite():
    query, key, value = torch.randn(3, 1, 1, 4, 8)
    assert FastAttention(0.1)(query, key, value, torch.zeros(4, 4, dtype=torch.bool)).isfinite().all()
