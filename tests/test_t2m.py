"""Masked transformer, residual transformer and length estimator."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor

from lamp.models.layers import sinusoidal_table
from lamp.models.t2m import masking
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer, draw_levels
from lamp.prepare.public.weights.t2m import convert_length, convert_masked, convert_residual
from lamp.utils.errors import UserError
from tests.golden import load_golden, procedural_weights
from tests.marks import needs_compiler, needs_golden

SMALL = {
    "num_tokens": 20,
    "code_dim": 16,
    "latent_dim": 24,
    "ff_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "cond_dim": 12,
    "max_length": 10,
}
LENGTHS = torch.tensor([9, 4, 1])


def masked_model(**changes) -> MaskedTransformer:
    torch.manual_seed(0)
    return sharpened(MaskedTransformer(MaskedConfig(**{**SMALL, **changes}))).eval()


def residual_model(**changes) -> ResidualTransformer:
    torch.manual_seed(0)
    return sharpened(ResidualTransformer(ResidualConfig(**{**SMALL, "num_quantizers": 4, **changes}))).eval()


def sharpened(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that every input matters to every output."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
    return model


def conditions(batch: int = 3, width: int = 12) -> Tensor:
    return torch.randn(batch, width, generator=torch.Generator().manual_seed(5))


def random_codes(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(20, shape, generator=torch.Generator().manual_seed(seed))


def assert_valid(codes: Tensor, lengths: Tensor) -> None:
    """Codes inside each length, -1 beyond."""
    valid = masking.lengths_to_mask(lengths, codes.shape[1])
    assert codes.dtype == torch.int64
    assert (codes[valid] >= 0).all() and (codes[valid] < 20).all()
    assert (codes[~valid] == -1).all()


# Pure functions


def test_lengths_to_mask() -> None:
    assert masking.lengths_to_mask(torch.tensor([2, 0]), 3).tolist() == [[True, True, False], [False] * 3]


def test_masked_count_runs_from_all_to_one_and_never_beyond() -> None:
    lengths = torch.tensor([49, 1, 0])
    counts = masking.masked_count(torch.linspace(0, 1, 10).unsqueeze(1), lengths)
    assert counts[0].tolist() == [49, 1, 0] and counts[-1].tolist() == [1, 1, 0]
    assert (counts[1:] <= counts[:-1]).all()


@pytest.mark.parametrize(("threshold", "classes", "kept"), [(0.9, 512, 52), (0.7, 10, 3), (1.0, 5, 1), (0.0, 5, 5)])
def test_kept_classes(threshold: float, classes: int, kept: int) -> None:
    assert masking.kept_classes(threshold, classes) == kept


def test_corrupt_shares_and_targets() -> None:
    codes = random_codes(4000, 10)
    lengths = torch.full((4000,), 8)
    result = masking.corrupt(
        codes, lengths, num_tokens=20, mask_id=20, pad_id=21, generator=torch.Generator().manual_seed(0)
    )
    chosen = result.targets >= 0
    assert (result.ids[:, 8:] == 21).all() and not chosen[:, 8:].any()
    assert (result.targets[chosen] == codes[chosen]).all() and (result.ids[:, :8] <= 20).all()
    assert (result.ids[:, :8][~chosen[:, :8]] == codes[:, :8][~chosen[:, :8]]).all()
    counts = chosen.sum(dim=1)
    assert counts.min() == 1 and counts.max() == 8
    assert counts.float().mean().item() == pytest.approx(8 * 2 / torch.pi, rel=0.03)
    masked = (result.ids == 20)[chosen].float().mean().item()
    changed = ((result.ids != 20) & (result.ids != codes))[chosen].float().mean().item()
    assert masked == pytest.approx(0.9 * 0.88, abs=0.02) and changed == pytest.approx(0.1 * 19 / 20, abs=0.02)


@pytest.mark.parametrize("gumbel", [False, True])
def test_samples_follow_the_filtered_distribution(gumbel: bool) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).expand(1, 40000, 4)
    noise = torch.rand(1, 40000, masking.noise_width(0.25, 4, gumbel), generator=torch.Generator().manual_seed(0))
    result = masking.sample_tokens(logits, noise, topkr=0.25, temperature=2.0, gumbel=gumbel)
    shares = torch.bincount(result.ids[0], minlength=4) / 40000
    assert torch.allclose(shares[:3], (logits[0, 0, :3] / 2).softmax(0), atol=0.01) and shares[3] == 0
    assert torch.allclose(result.scores[0], logits[0].softmax(-1).gather(1, result.ids[0, :, None])[:, 0])


def test_extreme_noise_never_draws_an_impossible_token() -> None:
    logits = torch.tensor([0.0, 0.0, -torch.inf, -torch.inf]).expand(1, 2, 4)
    for gumbel in (False, True):
        noise = torch.tensor([0.0, 1.0])[None, :, None].expand(1, 2, masking.noise_width(0.0, 4, gumbel))
        assert (masking.sample_tokens(logits, noise, topkr=0.0, gumbel=gumbel).ids < 2).all()


def test_noise_depends_on_seed_length_and_stream_only() -> None:
    def draw(lengths: list[int], seeds: list[int], stream: int = 0) -> Tensor:
        return masking.token_noise(lengths, seeds, shape=(3, 6, 2), stream=stream, device=torch.device("cpu"))

    both = draw([6, 4], [7, 8])
    assert torch.equal(both[:, 1], draw([4], [8])[:, 0])
    assert not torch.equal(both[:, 0], draw([6], [7], stream=1)[:, 0])


def test_levels_are_drawn_with_the_public_shares() -> None:
    chances = torch.linspace(0, 1, 100_001)
    shares = torch.bincount(draw_levels(chances, 6), minlength=6) / len(chances)
    # The level's bounds are where (1 - cos(pi u / 2)) 4 is 0.5, 1.5, 2.5, 3.5.
    bounds = [0.0, *(2 / math.pi * math.acos(1 - edge / 4) for edge in (0.5, 1.5, 2.5, 3.5)), 1.0]
    wanted = [0.0] + [above - below for below, above in itertools.pairwise(bounds)]
    assert shares.tolist() == pytest.approx(wanted, abs=1e-3)
    assert [round(100 * share, 1) for share in wanted[1:]] == [32.2, 24.8, 18.5, 16.5, 8.0]
    assert draw_levels(chances, 2).unique().tolist() == [1]


# Masked transformer


def test_causal_attention_does_not_see_ahead_and_full_does() -> None:
    ids = random_codes(1, 8)
    other = ids.clone()
    other[0, 5] = (ids[0, 5] + 1) % 20
    for attention, ahead in (("causal", False), ("full", True), ("soft", True)):
        model = masked_model(attention=attention)
        moved = (model.logits(ids, conditions(1)) - model.logits(other, conditions(1))).abs().amax(-1)[0]
        assert (moved[5:] > 1e-4).all()
        assert (moved[:5] > 1e-4).all() if ahead else (moved[:5] == 0).all()


@pytest.mark.parametrize("attention", ["causal", "full"])
def test_masked_padding_changes_no_logits(attention: str) -> None:
    model = masked_model(attention=attention)
    ids = random_codes(3, 9)
    padding = ~masking.lengths_to_mask(LENGTHS, 9)
    batch = model.logits(ids.masked_fill(padding, model.pad_id), conditions(), padding)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model.logits(ids[row : row + 1, :length], conditions()[row : row + 1])
        assert torch.allclose(batch[row, :length], alone[0], atol=1e-5)


@pytest.mark.parametrize("gumbel", [False, True])
@pytest.mark.parametrize("attention", ["causal", "full"])
def test_masked_generation_is_independent_of_the_batch(attention: str, gumbel: bool) -> None:
    model = masked_model(attention=attention)
    seeds = [11, 12, 13]
    batch = model.generate(conditions(), LENGTHS, steps=4, gumbel=gumbel, topkr=0.5, seeds=seeds)
    assert_valid(batch, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone = model.generate(
            conditions()[row : row + 1], LENGTHS[row : row + 1], steps=4, gumbel=gumbel, topkr=0.5, seeds=[seeds[row]]
        )
        assert alone.tolist() == [batch[row, :length].tolist()]
    other = model.generate(conditions(), LENGTHS, steps=4, gumbel=gumbel, topkr=0.5, seeds=[1, 2, 3])
    assert not torch.equal(batch, other)


def test_masked_generation_follows_a_generator() -> None:
    model = masked_model()
    first, again = (model.generate(conditions(), LENGTHS, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(("length", "steps"), [(1, 1), (1, 5), (6, 1), (25, 3)])
def test_masked_edge_lengths_and_steps(length: int, steps: int) -> None:
    lengths = torch.tensor([length])
    codes = masked_model().generate(conditions(1), lengths, steps=steps)
    assert codes.shape == (1, length)
    assert_valid(codes, lengths)


def test_masked_editing_keeps_known_tokens() -> None:
    model = masked_model()
    known = random_codes(3, 9)
    known[0, 2:6] = -1
    known[1, 1] = -1
    reported = []
    codes = model.generate(
        conditions(), LENGTHS, steps=4, seeds=[1, 2, 3], known=known, progress=lambda *step: reported.append(step)
    )
    assert_valid(codes, LENGTHS)
    keep = (known >= 0) & masking.lengths_to_mask(LENGTHS, 9)
    assert torch.equal(codes[keep], known[keep])
    assert reported == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_known_tokens_only() -> None:
    known = random_codes(1, 5)
    assert torch.equal(masked_model().generate(conditions(1), torch.tensor([5]), known=known), known)


def test_guidance_uses_the_condition() -> None:
    model = masked_model()
    lengths = torch.tensor([9])
    first = model.generate(conditions(1), lengths, temperature=0, cond_scale=4)
    assert not torch.equal(first, model.generate(-conditions(1), lengths, temperature=0, cond_scale=4))
    blind = model.generate(conditions(1), lengths, temperature=0, cond_scale=0)
    assert torch.equal(blind, model.generate(-conditions(1), lengths, temperature=0, cond_scale=0))
    plain = model.generate(torch.zeros(1, 12), lengths, temperature=0, cond_scale=1)
    assert torch.equal(blind, plain)


def test_condition_dropping() -> None:
    model = masked_model()
    ids = random_codes(3, 9)
    dropped = model.logits(ids, conditions(), drop_condition=torch.tensor([True, False, False]))
    without = model.logits(ids, torch.zeros(3, 12))
    assert torch.allclose(dropped[0], without[0], atol=1e-6)
    assert torch.allclose(dropped[1:], model.logits(ids, conditions())[1:], atol=1e-6)


def test_condition_is_dropped_in_training_only() -> None:
    model = masked_model(cond_drop_prob=1.0, dropout=0.0)
    codes = random_codes(3, 9)

    def loss(condition: Tensor) -> float:
        return model(codes, condition, LENGTHS, generator=torch.Generator().manual_seed(0)).loss.item()

    assert loss(conditions()) != loss(-conditions())
    model.train()
    assert loss(conditions()) == loss(-conditions())


@pytest.mark.parametrize("changes", [{"steps": 0}, {"seeds": [1]}, {"known": torch.zeros(3, 4)}, {"topkr": 1.5}])
def test_masked_generation_refuses(changes: dict) -> None:
    with pytest.raises(ValueError, match=r"steps|seeds|known|topkr"):
        masked_model().generate(conditions(), LENGTHS, **changes)


def test_lengths_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        masked_model().generate(conditions(1), torch.tensor([0]))


def test_positions_extend_beyond_the_table() -> None:
    short, long = masked_model(max_length=4), masked_model(max_length=40)
    ids = random_codes(1, 12)
    assert torch.allclose(short.logits(ids, conditions(1)), long.logits(ids, conditions(1)), atol=1e-6)
    assert sinusoidal_table(3, 4)[2].tolist() == pytest.approx([0.9092974, -0.4161468, 0.0199987, 0.9998000], abs=1e-6)


# Residual transformer


@pytest.mark.parametrize("share", [True, False])
def test_residual_padding_changes_nothing(share: bool) -> None:
    model = residual_model(share_weight=share)
    base, seeds = random_codes(3, 9), [4, 5, 6]
    batch = model.generate(base, conditions(), LENGTHS, topkr=0.5, seeds=seeds)
    assert_valid(batch, LENGTHS)
    assert batch.shape == (3, 9, 4)
    for row, length in enumerate(LENGTHS.tolist()):
        part = slice(row, row + 1)
        alone = model.generate(base[part, :length], conditions()[part], LENGTHS[part], topkr=0.5, seeds=[seeds[row]])
        assert torch.equal(alone[0], batch[row, :length])
        assert torch.equal(alone[0, :, 0], base[row, :length])


def test_residual_logits_use_lower_levels_only() -> None:
    model = residual_model()
    codes = random_codes(3, 9, 4)
    levels = torch.tensor([1, 2, 3])
    logits = model.logits(codes, conditions(), levels)
    for row, level in enumerate(levels.tolist()):
        for changed in range(4):
            other = codes.clone()
            other[..., changed] = (other[..., changed] + 1) % 20
            moved = (model.logits(other, conditions(), levels)[row] - logits[row]).abs().max().item()
            assert (moved > 1e-4) == (changed < level)


def test_residual_keeps_known_codes() -> None:
    model = residual_model()
    known = random_codes(3, 9, 4, seed=1)
    known[:, 2:5] = -1
    codes = model.generate(known[..., 0].clamp(min=0), conditions(), LENGTHS, known=known, seeds=[1, 2, 3])
    assert_valid(codes, LENGTHS)
    keep = (known >= 0) & masking.lengths_to_mask(LENGTHS, 9).unsqueeze(-1)
    assert torch.equal(codes[keep], known[keep])


def test_residual_needs_two_levels() -> None:
    assert residual_model(num_quantizers=2).generate(random_codes(1, 3), conditions(1), torch.tensor([3])).shape[2] == 2
    with pytest.raises(ValueError, match="num_quantizers"):
        residual_model(num_quantizers=1)


# Training and saving


@pytest.mark.parametrize("kind", ["masked", "residual", "residual_unshared", "length"])
def test_overfitting(kind: str) -> None:
    torch.manual_seed(0)
    codes = random_codes(3, 9, 4)
    if kind == "masked":
        model, inputs = MaskedTransformer(MaskedConfig(**SMALL, dropout=0.0)), (codes[..., 0], conditions(), LENGTHS)
    elif kind == "length":
        model, inputs = LengthEstimator(LengthConfig(cond_dim=12, dropout=0.0)), (conditions(), LENGTHS)
    else:
        config = ResidualConfig(**SMALL, num_quantizers=4, dropout=0.0, share_weight=kind == "residual")
        model, inputs = ResidualTransformer(config), (codes, conditions(), LENGTHS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        output = model(*inputs)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert sum(losses[-10:]) / 10 < 0.6 * losses[0]


@pytest.mark.parametrize(
    "model",
    [
        masked_model(attention="full"),
        residual_model(),
        residual_model(share_weight=False),
        LengthEstimator(LengthConfig(hidden_dims=(8, 6))).eval(),
    ],
    ids=["masked", "shared", "unshared", "length"],
)
def test_save_and_load(model: torch.nn.Module, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


def test_generation_leaves_the_model_trainable() -> None:
    model = masked_model(max_length=2)
    model.generate(conditions(1), torch.tensor([9]))
    model.train()(random_codes(1, 9), conditions(1), torch.tensor([9])).loss.backward()


def test_unknown_attention_is_refused() -> None:
    with pytest.raises(ValueError, match="attention"):
        masked_model(attention="half")


# Length estimator


def test_length_samples_stay_in_range_and_independent_of_the_batch() -> None:
    torch.manual_seed(0)
    model = LengthEstimator(LengthConfig(cond_dim=12)).eval()
    seeds = list(range(64))
    lengths = model.sample(conditions(64), min_tokens=10, max_tokens=20, seeds=seeds)
    assert lengths.min() >= 10 and lengths.max() <= 20 and len(lengths.unique()) > 5
    assert model.sample(conditions(64)[5:6], min_tokens=10, max_tokens=20, seeds=[5])[0] == lengths[5]
    assert model.sample(conditions(64), min_tokens=7, max_tokens=7).unique().tolist() == [7]
    with pytest.raises(ValueError, match="no length"):
        model.sample(conditions(1), min_tokens=60, max_tokens=70)


# Parity with the public systems


def assert_close(ours: Tensor, reference: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(ours, reference, rtol=1e-4, atol=atol)


def imported(convert, kind: type, state: dict[str, Tensor], config: dict, **changes):
    ours, weights = convert(state, config)
    model = kind(dataclasses.replace(ours, **changes))
    model.load_state_dict(weights, strict=True)
    return model.eval()


def trunk_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Shapes of the public transformers' common tensors."""
    width, code_dim, ff_size = config["latent_dim"], config["code_dim"], config["ff_size"]
    linear = {"input_process.poseEmbedding": (width, code_dim), "cond_emb": (width, config["clip_dim"])}
    linear["output_process.dense"] = (width, width)
    norms = ["output_process.LayerNorm"]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config["num_layers"]):
        name = f"seqTransEncoder.layers.{layer}"
        shapes[f"{name}.self_attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{name}.self_attn.in_proj_bias"] = (3 * width,)
        linear[f"{name}.self_attn.out_proj"] = (width, width)
        linear[f"{name}.linear1"], linear[f"{name}.linear2"] = (ff_size, width), (width, ff_size)
        norms += [f"{name}.norm1", f"{name}.norm2"]
    for name, shape in linear.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)
    return shapes


def test_parity_mask_tools() -> None:
    golden = load_golden("mask_tools")
    logits, labels = golden["inputs"]["logits"].transpose(1, 2), golden["inputs"]["labels"]
    outputs, config = golden["outputs"], golden["config"]
    result = masking.token_loss(logits, labels, ignore_index=config["ignore_index"])
    assert_close(result.loss, outputs["ce_loss"])
    assert_close(result.accuracy, outputs["acc"])
    assert torch.equal(result.predictions, outputs["pred_id"])
    assert torch.equal(masking.top_k_filter(logits, config["thres"]).transpose(1, 2), outputs["topk_filtered_dim1"])
    assert_close(masking.cosine_schedule(golden["inputs"]["t"]), outputs["cosine_schedule"])


def check_masked(model: MaskedTransformer, golden: dict, condition: Tensor, atol: float) -> None:
    inputs, outputs = golden["inputs"], golden["outputs"]
    ids, padding = inputs["ids"], inputs["padding_mask"]
    with torch.inference_mode():
        conditional = model.logits(ids, condition, padding)
        dropped = torch.ones(len(ids), dtype=torch.bool)
        unconditional = model.logits(ids, condition, padding, dropped)
        stacked = masking.with_unconditional(condition, 4.0)
        guided = masking.guide(model.head(model._hidden(ids, stacked, padding)), 4.0)
    for name, ours in {"logits": conditional, "logits_uncond": unconditional, "logits_cfg4": guided}.items():
        assert_close(ours.transpose(1, 2), outputs[name], atol)
    if "generate_greedy_t6_cfg4" in outputs:
        reference = outputs["generate_greedy_t6_cfg4"]
        codes = model.generate(condition, inputs["lengths"], steps=6, cond_scale=4.0, temperature=1e-8)
        expected = reference.masked_fill(reference == model.pad_id, -1)[:, : codes.shape[1]]
        assert torch.equal(codes, expected)


@needs_golden("mask_transformer_small")
def test_parity_masked_small() -> None:
    golden = load_golden("mask_transformer_small")
    model = imported(convert_masked, MaskedTransformer, golden["state_dict"], golden["config"])
    assert model.config.attention == "full"
    check_masked(model, golden, golden["inputs"]["cond"], 1e-5)


def test_parity_masked_default() -> None:
    golden = load_golden("mask_transformer_default")
    config = golden["config"]
    shapes = trunk_shapes(config)
    shapes["output_process.poseFinal.weight"] = (config["num_tokens"], config["latent_dim"])
    shapes["output_process.poseFinal.bias"] = (config["num_tokens"],)
    shapes["token_emb.weight"] = (config["num_tokens"] + 2, config["code_dim"])
    model = imported(convert_masked, MaskedTransformer, procedural_weights(shapes), config)
    check_masked(model, golden, golden["inputs"]["cond"], 3e-5)


@needs_golden("lamp_mask_transformer_small")
def test_parity_lamp_masked_soft_attention() -> None:
    golden = load_golden("lamp_mask_transformer_small")
    model = imported(convert_masked, MaskedTransformer, golden["state_dict"], golden["config"])
    assert model.config.attention == "soft"
    check_masked(model, golden, golden["outputs"]["cond_vector"], 1e-5)


def check_residual(model: ResidualTransformer, golden: dict, atol: float) -> None:
    inputs, outputs = golden["inputs"], golden["outputs"]
    codes, condition, padding = inputs["indices"], inputs["cond"], inputs["padding_mask"]
    with torch.inference_mode():
        for name in [key for key in outputs if key.startswith("history_sum_q")]:
            suffix = name.rpartition("_")[2]
            levels = torch.full((len(codes),), int(suffix[1:]))
            history = model.history(codes, levels)
            assert_close(history, outputs[name], atol)
            vectors = model.hidden(history, condition, levels, padding)
            assert_close(vectors.transpose(1, 2), outputs[f"trans_{suffix}"], atol)
            logits = model.logits(codes, condition, levels, padding)
            assert_close(logits.transpose(1, 2), outputs[f"logits_{suffix}"], atol)
            stacked = masking.with_unconditional(condition, 5.0)
            level = int(suffix[1:])
            guided = masking.guide(model.project(model.level_vectors(codes, stacked, level, padding), level), 5.0)
            # Guidance multiplies rounding by up to 9; the reference itself is this far from a float64 evaluation.
            assert_close(guided.transpose(1, 2), outputs[f"logits_cfg5_{suffix}"], 3 * atol)
        if "mixed_qids" in outputs:
            mixed = model.logits(codes, condition, outputs["mixed_qids"], padding)
            assert_close(mixed.transpose(1, 2), outputs["logits_mixed"], atol)
            generated = model.generate(codes[..., 0], condition, inputs["lengths"], cond_scale=5.0, temperature=1e-8)
            assert torch.equal(generated, outputs["generate_greedy"])


@needs_golden("residual_transformer_small", "residual_transformer_noshare")
@pytest.mark.parametrize("name", ["residual_transformer_small", "residual_transformer_noshare"])
def test_parity_residual_stored(name: str) -> None:
    golden = load_golden(name)
    model = imported(convert_residual, ResidualTransformer, golden["state_dict"], golden["config"])
    assert model.config.share_weight == golden["config"]["share_weight"]
    check_residual(model, golden, 1e-5)


def test_parity_residual_default() -> None:
    golden = load_golden("residual_transformer_default")
    config = golden["config"]
    rows, width, code_dim = config["num_tokens"] + 1, config["latent_dim"], config["code_dim"]
    shapes = trunk_shapes(config)
    shapes["output_process.poseFinal.weight"], shapes["output_process.poseFinal.bias"] = (code_dim, width), (code_dim,)
    shapes["quant_emb.weight"], shapes["quant_emb.bias"] = (width, config["num_quantizers"]), (width,)
    shapes["embed_proj_shared_weight"] = (config["num_quantizers"] - 2, rows, code_dim)
    shapes["token_embed_weight_"] = shapes["output_proj_weight_"] = (1, rows, code_dim)
    model = imported(convert_residual, ResidualTransformer, procedural_weights(shapes), config)
    check_residual(model, golden, 2e-5)


@needs_golden("length_estimator")
def test_parity_length_estimator() -> None:
    golden = load_golden("length_estimator")
    model = imported(convert_length, LengthEstimator, golden["state_dict"], golden["config"])
    assert_close(model.logits(golden["inputs"]["text_emb"]), golden["outputs"]["logits"])


def test_conversion_of_something_else_is_refused() -> None:
    for convert in (convert_masked, convert_residual, convert_length):
        with pytest.raises(UserError, match="public weights lack"):
            convert({"weight": torch.zeros(1)}, {})


@needs_compiler
def test_corruption_compiles_for_batches_of_any_shape():
    def corrupt(codes: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        corrupted = masking.corrupt(codes, lengths, num_tokens=32, mask_id=32, pad_id=33)
        return corrupted.ids, corrupted.targets

    compiled = torch.compile(corrupt, dynamic=True)
    for rows, size in ((3, 10), (4, 17)):
        codes, lengths = torch.randint(32, (rows, size)), torch.randint(1, size + 1, (rows,))
        ids, targets = compiled(codes, lengths)
        inside = masking.lengths_to_mask(lengths, size)
        assert (ids[~inside] == 33).all() and (targets[~inside] == masking.IGNORE).all()
        counted = targets != masking.IGNORE
        assert counted.any(1).all() and (targets[counted] == codes[counted]).all()


def words(*counts: int, width: int = 12) -> Tensor:
    """Conditions of words (B, L, width), zeros beyond each sentence."""
    drawn = torch.randn(len(counts), max(counts), width, generator=torch.Generator().manual_seed(6))
    return drawn * (torch.arange(max(counts)) < torch.tensor(counts)[:, None])[..., None]


@pytest.mark.parametrize("fast", [False, True])
def test_words_that_are_not_there_change_nothing(fast: bool) -> None:
    from lamp.models.fast import speed_up

    masked = masked_model(attention="full", condition="words")
    residual = residual_model(condition="words")
    if fast:
        masked, residual = speed_up(masked, frozen=True), speed_up(residual, frozen=True)
    both, lengths = words(5, 2, 3), LENGTHS
    base = masked.generate(both, lengths, steps=4, seeds=[1, 2, 3])
    codes = residual.generate(base, both, lengths, seeds=[1, 2, 3])
    for row, count in enumerate((5, 2, 3)):
        size = int(lengths[row])
        alone = both[row : row + 1, :count]
        one = masked.generate(alone, lengths[row : row + 1], steps=4, seeds=[row + 1])
        assert torch.equal(one[0], base[row, :size])
        assert torch.equal(residual.generate(one, alone, lengths[row : row + 1], seeds=[row + 1])[0], codes[row, :size])


def test_every_word_and_its_place_matter() -> None:
    model, ids = masked_model(attention="full", condition="words"), random_codes(1, 6)
    one = words(4)
    for word in range(4):
        other = one.clone()
        other[0, word] += 1
        assert not torch.allclose(model.logits(ids, one), model.logits(ids, other))
    assert not torch.allclose(model.logits(ids, one), model.logits(ids, torch.zeros_like(one)))
    dropped = model.logits(ids, one, drop_condition=torch.tensor([True]))
    assert torch.allclose(dropped, model.logits(ids, torch.zeros_like(one)))


def test_a_condition_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="full attention"):
        masked_model(condition="words")
    model, ids = masked_model(attention="full", condition="words"), random_codes(1, 6)
    with pytest.raises(ValueError, match="words"):
        model.logits(ids, conditions(1))
    with pytest.raises(ValueError, match="sentence"):
        masked_model().logits(ids, words(3))
    estimator = LengthEstimator(LengthConfig(cond_dim=12, condition="words")).eval()
    first = words(4)
    changed = torch.cat((first[:, :1], first[:, 1:] + 1), dim=1)
    assert torch.equal(estimator.logits(first), estimator.logits(changed))
    with pytest.raises(ValueError, match="words"):
        estimator.logits(conditions(1))
