"""Products of 8-bit integers: how near they are, what they depend on, and where they are refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lamp.models.fast import calibration, disabled, int8
from lamp.models.fast.int8 import Int8Linear, Levels, is_exact
from lamp.models.fast.linear import FastLinear
from lamp.models.pipeline import LaMPPipeline
from lamp.utils.errors import UserError
from tests.test_pipeline import assemble, tiny_parts

TEXTS = ["a person walks", "a person waves and turns around", "someone runs"]
exact = pytest.mark.skipif(not is_exact(), reason="this processor or build has no exact products of 8-bit integers")


@pytest.fixture
def short() -> LaMPPipeline:
    """A tiny pipeline that computes in int8."""
    return assemble(tiny_parts()).with_precision("int8")


def test_levels_hold_their_range_and_zero() -> None:
    for low, high in ((-3.0, 5.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0), (-1e-3, 7.0)):
        levels = Levels.of(low, high)
        x = torch.tensor([low, high, 0.0, (low + high) / 2])
        back = (levels.read(x).float() - levels.zero) * levels.step
        assert 0 <= levels.zero <= 255 and back[2] == 0
        assert (back - x).abs().max() <= 0.51 * levels.step
    assert Levels.of(-1, 1).read(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


@exact
@pytest.mark.parametrize("rows", [(1,), (7,), (3, 50), (0,)])
@pytest.mark.parametrize("gelu", ["", "none", "tanh"])
def test_a_layer_errs_by_the_rounding(rows: tuple[int, ...], gelu: str) -> None:
    torch.manual_seed(0)
    x, plain = torch.randn(*rows, 64), torch.nn.Linear(64, 48)
    with torch.inference_mode():
        layer = Int8Linear(plain.weight, plain.bias, gelu, Levels.of(-4, 4))
        expected, plus = plain(x), torch.randn(*rows, 48)
        expected = F.gelu(expected, approximate=gelu) if gelu else expected
        found, added = layer(x), layer(x, plus)
    assert found.shape == expected.shape and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)
    torch.testing.assert_close(added, found + plus)
    if x.numel():
        assert not torch.equal(found, expected)


@exact
def test_the_next_layer_may_read_numbers() -> None:
    """The first one's results are rounded as the second one would."""
    torch.manual_seed(1)
    one, two = FastLinear(32, 64), FastLinear(64, 32)
    x, one.levels, two.levels = torch.randn(40, 32), Levels.of(-4, 4), Levels.of(-0.2, 4)
    one.packs = two.packs = True
    with torch.inference_mode():
        numbers = one(x, "none", reader=two)
        assert numbers.dtype == torch.uint8
        assert (two.levels.read(one(x, "none")).int() - numbers.int()).abs().max() <= 1
        torch.testing.assert_close(two(numbers), two(one(x, "none")), rtol=0, atol=0.02)
    two.levels = None
    with torch.inference_mode():
        assert one(x, "none", reader=two).dtype == torch.float32


@exact
def test_rows_do_not_depend_on_others() -> None:
    torch.manual_seed(2)
    x, plain = torch.randn(640, 64), torch.nn.Linear(64, 48)
    with torch.inference_mode():
        layer = Int8Linear(plain.weight, plain.bias, "none", Levels.of(-4, 4))
        for rows in (1, 7, 40, 333):
            assert torch.equal(layer(x[:rows]), layer(x)[:rows])


@exact
def test_what_is_refused_leaves_everything_as_it_was(short: LaMPPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    before = short("a person walks", 40)[0].joints
    monkeypatch.setattr(calibration, "is_exact", lambda: False)
    with pytest.raises(UserError):
        short.with_precision("int8")
    np.testing.assert_array_equal(short("a person walks", 40)[0].joints, before)


@exact
def test_other_types_and_inference_mode(short: LaMPPipeline) -> None:
    before = short("a person walks", 40)[0].joints
    with torch.inference_mode():
        short.with_precision("float32").with_precision("int8")
    with torch.no_grad():
        assert all(layer.is_packed() for layer in short.masked.modules() if isinstance(layer, FastLinear))
    np.testing.assert_array_equal(short("a person walks", 40)[0].joints, before)
    short.masked.to(torch.bfloat16)
    assert np.isfinite(short("a person walks", 40)[0].joints).all()


@exact
def test_nothing_is_printed(recwarn: pytest.WarningsRecorder) -> None:
    int8.is_exact.cache_clear()
    assemble(tiny_parts()).with_precision("int8")("a person walks", 40)
    assert not [str(own.message) for own in recwarn if "deprecated" in str(own.message)]


@exact
def test_all_layers_of_the_transformers_and_no_others_are_rounded(short: LaMPPipeline) -> None:
    assert short.residual is not None
    for part, rounded in ((short.masked, True), (short.residual, True), (short.tokenizer, False)):
        layers = [layer for layer in part.modules() if isinstance(layer, FastLinear)]
        assert all((layer.levels is not None) == rounded for layer in layers)
        assert not any(name.endswith(".levels") for name in part.state_dict())


@exact
def test_float32_gives_back_the_bits_of_before() -> None:
    pipe = assemble(tiny_parts())
    before = pipe(TEXTS, 40, seed=3)
    short = [made.joints for made in pipe.with_precision("int8")(TEXTS, 40, seed=3)]
    again = [made.joints for made in pipe.with_precision("int8")(TEXTS, 40, seed=3)]
    after = pipe.with_precision("float32")(TEXTS, 40, seed=3)
    for one, two, three, four in zip(before, short, again, after, strict=True):
        np.testing.assert_array_equal(two, three)
        np.testing.assert_array_equal(one.joints, four.joints)
        assert not np.array_equal(one.joints, two) and np.isfinite(two).all()


def test_where_it_is_not_possible_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with disabled():
        plain = assemble(tiny_parts())
    with pytest.raises(UserError, match="leave LAMP_FAST=0 out"):
        plain.with_precision("int8")
    pipe = assemble(tiny_parts())
    with pytest.raises(UserError, match="choose one of float32, bfloat16, int8"):
        pipe.with_precision("int4")
    monkeypatch.setattr(calibration, "is_exact", lambda: False)
    with pytest.raises(UserError, match="needs a processor with VNNI or AMX"):
        pipe.with_precision("int8")


def test_a_processor_that_cuts_sums_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of two products in 16 bits with saturation, as AVX2 without VNNI makes them."""

    def cut(self: Int8Linear, x: torch.Tensor) -> torch.Tensor:
        products = self.levels.read(x).int()[:, None, :] * torch.full((len(self._steps), x.shape[1]), 127)
        pairs = (products[..., ::2] + products[..., 1::2]).clamp(-(2**15), 2**15 - 1)
        return pairs.sum(-1) * self._steps

    monkeypatch.setattr(Int8Linear, "__call__", cut)
    int8.is_exact.cache_clear()
    try:
        assert not int8.is_exact()
    finally:
        int8.is_exact.cache_clear()
