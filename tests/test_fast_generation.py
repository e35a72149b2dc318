"""Generation that leaves out states: those kept from the step before, and those of padding."""

import copy

import pytest
import torch
from test_t2m import LENGTHS, assert_valid, conditions, masked_model, random_codes, residual_model
from torch import Tensor

from lamp.models.fast import causal_states, speed_up
from lamp.models.fast.causal_states import CausalStates
from lamp.models.t2m import masking


@torch.no_grad()
@pytest.mark.parametrize("alike", [False, True])
def test_states_kept_are_those_computed_anew(alike: bool) -> None:
    plain, generator = masked_model().double(), torch.Generator().manual_seed(2)
    both = masking.with_unconditional(conditions().double(), 2.0)
    model = speed_up(copy.deepcopy(plain))
    states = CausalStates(model.encoder, both)
    ids = torch.full((3, 9), model.mask_id) if alike else random_codes(3, 9)
    # Changes anywhere, nowhere in the second sample; what was not asked for at first is asked for later.
    for ends in ([9, 9, 9], [9, 3, 5], [4, 3, 5], [9, 8, 2], [1, 9, 9]):
        found = states(ids, model.token_embedding(ids), torch.tensor(ends))
        expected = plain._hidden(ids, both, None)
        for row, end in enumerate(ends * 2):
            torch.testing.assert_close(found[row, :end], expected[row, :end])
        ids = ids.clone()
        ids[::2, 1:] = torch.where(
            torch.rand(2, 8, generator=generator) < 0.2, random_codes(2, 8, seed=ends[0]), ids[::2, 1:]
        )


def test_generation_keeps_states(monkeypatch) -> None:
    model, lengths = speed_up(masked_model()), torch.tensor([9, 7, 5, 9])
    how = {"steps": 8, "topkr": 0.5, "seeds": [1, 2, 3, 4]}
    rows, select = [], CausalStates._rows
    monkeypatch.setattr(CausalStates, "_rows", lambda *args: rows.append(select(*args)) or rows[-1])
    kept = model.generate(conditions(4), lengths, **how)
    assert len(rows) == 7 and 0 < sum(len(some) for some in rows) < 0.8 * 7 * 2 * sum(lengths.tolist())

    class Forgetful(CausalStates):
        def __call__(self, *args) -> Tensor:
            return CausalStates(self.encoder, self.condition)(*args)

    monkeypatch.setattr(causal_states, "CausalStates", Forgetful)
    assert torch.equal(model.generate(conditions(4), lengths, **how), kept)
    assert torch.equal(masked_model().generate(conditions(4), lengths, **how), kept)
    monkeypatch.setattr(causal_states, "CausalStates", None)
    full = speed_up(masked_model(attention="full")).generate(conditions(4), lengths, **how)
    assert_valid(full, lengths)


@torch.inference_mode()
def test_residual_padding_can_be_skipped() -> None:
    model, fast = residual_model(), speed_up(residual_model())
    valid = masking.lengths_to_mask(LENGTHS, 9)
    codes = random_codes(3, 9, 4).masked_fill(~valid.unsqueeze(-1), model.pad_id)
    inputs = codes, masking.with_unconditional(conditions(), 2.0), 2, ~valid
    inside = valid.repeat(2, 1)
    plain, skipped = model.level_vectors(*inputs), fast.level_vectors(*inputs)
    torch.testing.assert_close(skipped[inside], plain[inside])
    nothing = model.head(torch.zeros(model.config.latent_dim))
    torch.testing.assert_close(skipped[~inside], nothing.expand_as(skipped[~inside]))


@pytest.mark.parametrize("attention", ["full", "causal"])
def test_generation_is_that_of_the_plain_networks(attention: str) -> None:
    how = {"cond_scale": 2.0, "topkr": 0.5, "seeds": [4, 5, 6]}
    codes = [
        model.generate(conditions(), LENGTHS, steps=4, **how) for model in _pair(masked_model(attention=attention))
    ]
    assert torch.equal(*codes)
    deeper = [model.generate(codes[0], conditions(), LENGTHS, **how) for model in _pair(residual_model())]
    assert torch.equal(*deeper)


def _pair(model: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Plain and fast."""
    return model, speed_up(copy.deepcopy(model), frozen=True)
