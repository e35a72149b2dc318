"""Motion tokenizer: agreement with the public systems, padding, learning of the codebooks, saving."""

import copy
import dataclasses
import socket
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from golden import load_golden, procedural_weights
from torch import nn

from lamp.models.fast import disabled
from lamp.models.vq.losses import path_loss, reconstruction_loss, velocity_loss
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.models.vq.quantizer import Codebook
from lamp.models.vq.residual import ResidualQuantizer
from lamp.prepare.public.weights.vq import LAMP_PREFIX, convert_tokenizer, source_name
from lamp.utils.errors import UserError
from tests.marks import needs_golden

TINY = RVQConfig(input_width=12, num_quantizers=3, nb_code=16, code_dim=8, width=16, depth=2, dropout=0.0)
make_codebook = partial(
    Codebook,
    kind="ema_reset",
    mu=0.99,
    temperature=0.0,
    reset_threshold=1.0,
    reset_fraction=0.125,
    dead_codes="resample",
)


def make_model(seed: int = 0, **changes: object) -> RVQVAE:
    """A tiny tokenizer with random codebooks, in eval mode."""
    torch.manual_seed(seed)
    model = RVQVAE(dataclasses.replace(TINY, **changes)).eval()
    for codebook in model.quantizer.levels:
        nn.init.normal_(codebook.codebook, std=0.2)
        codebook.code_count.fill_(1.0)
        if codebook.learns_by_average:
            codebook.code_sum.copy_(codebook.codebook)
    return model


def public_model(name: str, prefix: str) -> tuple[RVQVAE, dict]:
    """Our tokenizer with the weights of a fixture."""
    golden = load_golden(name)
    config, state = golden["config"], golden.get("state_dict")
    if state is None:
        ours = RVQConfig(num_quantizers=config.get("num_quantizers", 1))
        with torch.device("meta"):
            names = {source_name(key, ours): value.shape for key, value in RVQVAE(ours).state_dict().items()}
        shapes = {prefix + key: shape for key, shape in names.items() if key}
        state = procedural_weights(shapes, codebook_scale=config["codebook_scale"])
    ours, state = convert_tokenizer(state, config)
    model = RVQVAE(ours).eval()
    model.load_state_dict(state, strict=True)
    return model, golden


# ------------------------------------------------------------------------------------------- the public systems


@pytest.mark.parametrize(
    ("name", "prefix", "atol"),
    [
        pytest.param("rvqvae_small", "", 1e-5, marks=needs_golden("rvqvae_small")),
        ("rvqvae_default", "", 2e-5),
        pytest.param("lamp_vqvae_small", LAMP_PREFIX, 1e-5, marks=needs_golden("lamp_vqvae_small")),
        pytest.param("lamp_vqvae_default", LAMP_PREFIX, 2e-5, marks=needs_golden("lamp_vqvae_default")),
    ],
)
@torch.no_grad()
def test_public_tokenizers_are_reproduced(name: str, prefix: str, atol: float) -> None:
    model, golden = public_model(name, prefix)
    x, expected = golden["inputs"]["x"], golden["outputs"]
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=atol)
    levels = x.shape[0], -1, model.config.num_quantizers
    close(model.encode_features(x).transpose(1, 2), expected["encoder_out"])
    codes = expected["code_idx"].view(levels)
    certain = (expected["code_margin"].view(levels) > 1e-4).cummin(dim=-1).values
    assert torch.equal(model.encode(x)[certain], codes[certain])
    output = model(x)
    close(output.recon, expected["forward_out"])
    close(output.commit_loss, expected["forward_commit_loss"])
    close(output.perplexity.mean(), expected["forward_perplexity"])
    if "decode_first" in expected:
        close(model.decode(codes[:1]), expected["decode_first"])
    else:
        close(model.decode(codes), expected["decode"])
        close(model.decode(codes[..., :2]), expected["decode_first2"])
        close(model.decode(golden["inputs"]["indices_dropped"]), expected["decode_dropped"])
    if "codes_from_indices" in expected:
        rows = [model.codebooks[q][codes[..., q]] for q in range(model.config.num_quantizers)]
        close(torch.stack(rows), expected["codes_from_indices"])


def test_public_codebook_updates_are_reproduced() -> None:
    golden = load_golden("rvq_ema_update")
    config, expected = golden["config"], golden["outputs"]
    codebook = make_codebook(config["nb_code"], config["code_dim"], mu=config["mu"], dead_codes="public")
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)
    for call in (1, 2):
        x = golden["inputs"][f"x{call}"].transpose(1, 2)
        output = codebook(x.flatten(0, 1))
        assert torch.equal(output.codes.view(x.shape[:2]), expected[f"code_idx_{call}"])
        close(output.quantized.view_as(x).transpose(1, 2), expected[f"quantized_{call}"])
        close(output.loss, expected[f"commit_{call}"])
        close(output.perplexity, expected[f"perplexity_{call}"])
        for name in ("codebook", "code_sum", "code_count"):
            close(getattr(codebook, name), expected[f"{name}_after_{call}"])


@pytest.mark.parametrize("changes", [{}, {"num_quantizers": 1}, {"down_t": 3, "depth": 1, "norm": "LN"}])
def test_conversion_undoes_renaming(changes: dict) -> None:
    model = make_model(**changes)
    public = {source_name(key, model.config): value for key, value in model.state_dict().items()}
    public.pop(None)
    config, state = convert_tokenizer(public, {"vq_norm": model.config.norm})
    sizes = ("input_width", "num_quantizers", "nb_code", "code_dim", "width", "down_t", "stride_t", "depth", "norm")
    assert all(getattr(config, name) == getattr(model.config, name) for name in sizes)
    loaded = RVQVAE(config).eval()
    loaded.load_state_dict(state, strict=True)
    x = torch.randn(2, 32, 12)
    assert torch.equal(loaded(x).recon, model(x).recon)


def test_conversion_recognises_a_shared_codebook() -> None:
    model = make_model(shared_codebook=True)
    public = {source_name(key, model.config): value for key, value in model.state_dict().items()}
    public.pop(None)
    public |= {f"quantizer.layers.{q}.codebook": public["quantizer.layers.0.codebook"] for q in range(3)}
    config, state = convert_tokenizer(public, {})
    assert config.shared_codebook and config.num_quantizers == 3
    RVQVAE(config).load_state_dict(state, strict=True)


def test_conversion_refuses_other_weights() -> None:
    with pytest.raises(UserError, match="not the weights of a public motion tokenizer"):
        convert_tokenizer({"a.weight": torch.zeros(2)}, {})
    model = make_model()
    public = {source_name(key, model.config): value for key, value in model.state_dict().items()}
    public.pop(None)
    with pytest.raises(UserError, match="unknown tensors"):
        convert_tokenizer(public | {"extra": torch.zeros(1)}, {})
    public.pop("decoder.model.4.bias")
    with pytest.raises(UserError, match=r"lacks decoder\.model\.4\.bias"):
        convert_tokenizer(public, {})


# ------------------------------------------------------------------------------------------- layers and padding


@pytest.mark.parametrize("norm", [None, "LN"])
@torch.no_grad()
def test_padding_changes_nothing(norm: str | None) -> None:
    model = make_model(norm=norm)
    lengths = torch.tensor([64, 20, 43, 4])
    x = torch.randn(4, 64, 12)
    output = model(x, lengths)
    features, codes = model.encode_features(x, lengths), model.encode(x, lengths)
    decoded = model.decode(codes, lengths // 4)
    torch.testing.assert_close(decoded, output.recon, rtol=0, atol=1e-6)
    assert torch.equal(codes, output.codes)
    alone = []
    for i, length in enumerate((lengths // 4 * 4).tolist()):
        clip, n = x[i : i + 1, :length], length // 4
        alone.append(model(clip))
        torch.testing.assert_close(features[i, :n], model.encode_features(clip)[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(output.recon[i, :length], alone[-1].recon[0], rtol=0, atol=1e-5)
        assert torch.equal(codes[i, :n], alone[-1].codes[0])
        assert (codes[i, n:] == -1).all() and not features[i, n:].any() and not output.recon[i, length:].any()
    share = torch.tensor([clip.codes.shape[1] for clip in alone]) / (lengths // 4).sum()
    losses = torch.stack([clip.commit_loss for clip in alone])
    torch.testing.assert_close(output.commit_loss, (losses * share).sum())


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), -1e30])
def test_padding_may_be_anything(garbage: float) -> None:
    model = make_model().train()
    lengths = torch.tensor([64, 20, 4])
    clean = torch.randn(3, 64, 12)
    inside = torch.arange(64) < lengths[:, None]
    dirty = clean.masked_fill(~inside[..., None], garbage)
    results = []
    for x in (clean, dirty):
        torch.manual_seed(0)
        twin = copy.deepcopy(model)
        output = twin(x, lengths)
        loss = reconstruction_loss(output.recon, x, inside).total + velocity_loss(output.recon, x, inside)
        (loss + output.commit_loss).backward()
        results.append([loss, output.recon, output.codes, *(p.grad for p in twin.parameters()), *twin.buffers()])
        with torch.inference_mode():
            results[-1] += [twin.eval().encode(x, lengths), twin.reconstruct(x, lengths)]
    assert all(torch.isfinite(value).all() for value in results[1])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_padded_tokens_do_not_train_the_codebooks() -> None:
    x, lengths = torch.randn(2, 32, 12), torch.tensor([32, 16])
    states = []
    for padding in (0.0, 100.0):
        model = make_model(sample_temperature=0.0, quantize_dropout_prob=0.0).train()
        torch.manual_seed(1)
        padded = x.clone()
        padded[1, 16:] = padding
        output = model(padded, lengths)
        states.append((output.commit_loss, output.perplexity, model.codebooks))
        assert model.quantizer.level(0).code_count.sum() < 16.1
    for first, second in zip(*states):
        assert torch.equal(first, second)


def test_frames_must_fill_tokens() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        make_model()(torch.randn(1, 30, 12))


@pytest.mark.parametrize("changes", [{"nb_code": 0}, {"stride_t": 3}, {"dropout": 1.5}, {"mu": 1.0}])
def test_impossible_configurations_are_refused(changes: dict) -> None:
    with pytest.raises(UserError, match=f"--{next(iter(changes))}"):
        dataclasses.replace(TINY, **changes)


def test_larger_strides() -> None:
    model = make_model(stride_t=4, down_t=1)
    assert model(torch.randn(2, 16, 12)).recon.shape == (2, 16, 12)


# ------------------------------------------------------------------------------------------- codes


@torch.no_grad()
def test_codes_are_the_nearest_and_sum_up() -> None:
    model = make_model()
    x = torch.randn(2, 32, 12)
    latent, codes = model.encode_features(x), model.encode(x)
    residual = latent
    for q, codebook in enumerate(model.codebooks):
        nearest = torch.cdist(residual.flatten(0, 1), codebook).argmin(1).view(2, 8)
        assert torch.equal(codes[..., q], nearest)
        residual = residual - codebook[nearest]
    torch.testing.assert_close(model.quantizer.decode(codes), latent - residual)
    torch.testing.assert_close(model(x).recon, model.decode(codes))


@torch.no_grad()
def test_missing_codes_contribute_nothing() -> None:
    model = make_model()
    codes = torch.randint(16, (2, 8, 3))
    first = codes.clone()
    first[..., 1:] = -1
    torch.testing.assert_close(model.decode(first), model.decode(codes[..., :1]))
    assert not model.quantizer.decode(torch.full((1, 2, 3), -1)).any()
    with pytest.raises(ValueError, match="4 levels"):
        model.decode(torch.zeros(1, 2, 4, dtype=torch.long))


def test_gradient_passes_straight_through_once() -> None:
    quantizer = make_model(sample_temperature=0.0).quantizer
    quantizer.dropout_prob = 0.0
    x = torch.randn(2, 8, 8, requires_grad=True)
    quantizer.train()(x).quantized.sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_quantize_dropout_uses_the_first_levels() -> None:
    model = make_model(quantize_dropout_prob=1.0).train()
    torch.manual_seed(0)
    x, seen = torch.randn(2, 32, 12), set()
    for _ in range(20):
        output = model(x)
        used = output.perplexity.isfinite()
        levels = int(used.sum())
        seen.add(levels)
        assert (
            used[:levels].all() and (output.codes[..., levels:] == -1).all() and (output.codes[..., :levels] >= 0).all()
        )
        assert output.commit_loss.isfinite()
    assert seen == {1, 2, 3}
    assert model.eval()(x).perplexity.isfinite().all()


def test_sampling_prefers_near_codes() -> None:
    codebook = make_codebook(2, 1, temperature=0.5)
    codebook.codebook.copy_(torch.tensor([[0.0], [1.0]]))
    torch.manual_seed(0)
    share = codebook.assign(torch.zeros(20000, 1), temperature=0.5).float().mean().item()
    assert share == pytest.approx(torch.tensor(-2.0).sigmoid().item(), abs=0.01)
    assert not codebook.assign(torch.zeros(8, 1)).any()


def test_shared_codebook_serves_all_levels(tmp_path) -> None:
    model = make_model(shared_codebook=True)
    assert len(model.quantizer.levels) == 1 and model.codebooks.shape == (3, 16, 8)
    model.train()(torch.randn(2, 32, 12)).recon.sum().backward()
    model.eval().save_pretrained(tmp_path)
    assert torch.equal(RVQVAE.from_pretrained(tmp_path).codebooks, model.codebooks)


# ------------------------------------------------------------------------------------------- learning


def test_first_batch_gives_the_codes() -> None:
    torch.manual_seed(0)
    codebook, x = make_codebook(16, 8), torch.randn(64, 8)
    output = codebook(x)
    assert output.codes.unique().numel() == 16
    assert (output.quantized[:, None] == x).all(-1).any(1).all()


def test_fewer_vectors_than_codes() -> None:
    torch.manual_seed(0)
    codebook = make_codebook(16, 8)
    x, valid = torch.randn(6, 8), torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    output = codebook(x, valid)
    assert codebook.codebook.isfinite().all() and output.loss.isfinite()
    assert (torch.cdist(codebook.codebook, x[valid]).min(1).values < 0.1).all()
    assert codebook.codebook.unique(dim=0).shape[0] == 16
    assert codebook(x, torch.zeros(6).bool()).loss == 0
    assert codebook.codebook.isfinite().all()


@pytest.mark.parametrize("kind", ["ema_reset", "reset"])
def test_dead_codes_are_replaced(kind: str) -> None:
    torch.manual_seed(0)
    codebook = make_codebook(4, 2, kind=kind, mu=0.5)
    codebook(torch.randn(64, 2))
    with torch.no_grad():
        codebook.codebook[3] = 1e3
    if kind == "ema_reset":
        codebook.code_sum[3] = 1e3 * codebook.code_count[3]
    for _ in range(12):
        codebook(torch.randn(64, 2))
    assert codebook.codebook.abs().max() < 10


@pytest.mark.parametrize("kind", ["ema", "orig"])
def test_codes_stay_without_reset(kind: str) -> None:
    torch.manual_seed(0)
    codebook = make_codebook(4, 2, kind=kind, mu=0.5)
    codebook(torch.randn(64, 2))
    with torch.no_grad():
        codebook.codebook[3] = 1e3
    if kind == "ema":
        codebook.code_sum[3] = 1e3 * codebook.code_count[3]
    for _ in range(12):
        codebook(torch.randn(64, 2))
    assert codebook.codebook[3].mean().item() == pytest.approx(1e3, rel=1e-3)


def test_small_batches_do_not_recycle_codes() -> None:
    torch.manual_seed(0)
    data = torch.randn(16, 8) * 10
    codebook = make_codebook(16, 8)
    codebook(data)
    before = codebook.codebook.clone()
    for _ in range(100):
        codebook(data[torch.randint(16, (16,))])
    torch.testing.assert_close(codebook.codebook, before, rtol=0, atol=0.1)


def test_evaluation_does_not_change_the_codes() -> None:
    model = make_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model(torch.randn(2, 32, 12))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("quantizer", ["ema_reset", "ema", "reset", "orig"])
def test_reconstruction_improves(quantizer: str) -> None:
    torch.manual_seed(0)
    model = RVQVAE(dataclasses.replace(TINY, quantizer=quantizer, sample_temperature=0.0)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    phase = torch.linspace(0, 12, 64)[None, :, None] + torch.randn(4, 1, 12)
    x, losses = phase.sin(), []
    for _ in range(60):
        output = model(x)
        losses.append(reconstruction_loss(output.recon, x, position_slice=slice(0, 4)).total)
        optimizer.zero_grad()
        (losses[-1] + 0.02 * output.commit_loss).backward()
        optimizer.step()
    assert torch.stack(losses[-5:]).mean() < 0.5 * losses[0]


def test_same_seed_same_training() -> None:
    x, outputs = torch.randn(2, 32, 12), []
    for _ in range(2):
        model = make_model(dropout=0.2).train()
        torch.manual_seed(7)
        outputs.append((model(x).recon, model(x).recon, model.codebooks))
    assert all(torch.equal(first, second) for first, second in zip(*outputs))


def test_quantizer_computes_in_float32_under_autocast() -> None:
    model = make_model().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(torch.randn(2, 32, 12))
    assert output.commit_loss.dtype == torch.float32 and model.codebooks.dtype == torch.float32
    output.recon.float().sum().backward()


def test_save_and_load(tmp_path) -> None:
    model = make_model()
    model.mean.normal_()
    model.std.uniform_(0.5, 2)
    model.save_pretrained(tmp_path)
    with disabled():
        loaded = RVQVAE.from_pretrained(tmp_path)
    x = torch.randn(2, 32, 12)
    assert loaded.config == model.config
    assert torch.equal(loaded(x).recon, model(x).recon)
    torch.testing.assert_close(loaded.denormalize(loaded.normalize(x)), x)
    assert torch.equal(loaded.normalize(x), (x - model.mean) / model.std)
    before = loaded.codebooks.clone()
    loaded.train()(x)
    assert (loaded.codebooks - before).abs().max() < 0.2, "a loaded codebook must not start again"


# ------------------------------------------------------------------------------------------- loss


def test_velocity_loss_counts_changes_between_valid_frames() -> None:
    target = torch.zeros(1, 4, 3)
    recon = torch.tensor([0.0, 2.0, 2.0, 50.0])[None, :, None].expand(1, 4, 3)
    mask = torch.tensor([[True, True, True, False]])
    assert velocity_loss(recon, target, mask).item() == pytest.approx((4 + 0) / 2)
    assert velocity_loss(recon + 7, target, mask).item() == pytest.approx(2)
    assert velocity_loss(recon, target, torch.zeros(1, 4, dtype=torch.bool)).item() == 0


def test_path_loss_adds_up_what_errs_to_one_side() -> None:
    target = torch.zeros(1, 5, 12)
    mask = torch.tensor([[True, True, True, True, False]])
    one_sided, swinging = torch.ones(1, 5, 12), torch.tensor([1.0, -1, 1, -1, 50])[None, :, None].expand(1, 5, 12)
    assert path_loss(one_sided, target, mask).item() == pytest.approx((1 + 2 + 3 + 4) / 4)
    assert path_loss(swinging, target, mask).item() == pytest.approx((1 + 0 + 1 + 0) / 4)
    pose = target.clone()
    pose[..., 3:] = 1
    assert path_loss(pose, target, mask).item() == 0


def test_frozen_codes_stay_while_the_decoder_learns() -> None:
    model = make_model(quantize_dropout_prob=1.0, sample_temperature=0.5).train()
    model.freeze_codes()
    before, x = copy.deepcopy(model), torch.randn(4, 32, 12)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        output = model(x)
        assert (output.codes >= 0).all()  # no level left out
        reconstruction_loss(output.recon, x).total.backward()
        optimizer.step()
    assert model.train().training and not model.encoder.training and not model.quantizer.training
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before.state_dict()[key])}
    assert changed and all(key.startswith("decoder.") for key in changed)


def test_reconstruction_loss_counts_valid_frames() -> None:
    target = torch.zeros(2, 4, 6)
    recon = torch.zeros(2, 4, 6)
    recon[0, :2, 2:4] = 3.0
    recon[1, 3] = 100.0
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0]]).bool()
    loss = reconstruction_loss(recon, target, mask, slice(2, 4), position_weight=0.5)
    assert loss.features.item() == pytest.approx(2.5 * 4 / 24)
    assert loss.positions.item() == pytest.approx(2.5 * 4 / 8)
    assert loss.total.item() == pytest.approx(loss.features.item() + 0.5 * loss.positions.item())
    assert reconstruction_loss(recon, target, mask, kind="l1").features.item() == pytest.approx(3 * 4 / 24)
    assert reconstruction_loss(recon, target, mask, kind="l2").features.item() == pytest.approx(9 * 4 / 24)
    assert reconstruction_loss(recon, target).features > loss.features


# ------------------------------------------------------------------------------------------- several batches


@pytest.mark.parametrize("kind", ["ema_reset", "ema", "reset"])
def test_codes_learn_from_the_batches_of_an_iteration_as_from_a_large_one(kind: str) -> None:
    x = torch.randn(3, 32, 4)
    valid = torch.arange(32) < torch.tensor([32, 20, 30])[:, None]
    whole = make_codebook(8, 4, kind=kind, dead_codes="public", reset_threshold=2.0)
    parts = copy.deepcopy(whole)
    # The first batch of all starts the codes, and nobody knows those that follow.
    for codebook in (whole, parts):
        codebook(x[0])
    whole(x.flatten(0, 1), valid.flatten())
    for i in range(3):
        parts.expect_more(i < 2)
        before = parts.codebook.clone()
        parts(x[i], valid[i])
        assert i == 2 or torch.equal(parts.codebook, before)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value)


# ------------------------------------------------------------------------------------------- several processes


def train_rank(rank: int, port: int, folder: str) -> None:
    """Two training calls of one process of two; the codebooks are written to `folder`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(rank)
    codebooks = [make_codebook(8, 4, temperature=0.5) for _ in range(3)]
    quantizer = ResidualQuantizer(codebooks, num_quantizers=3, dropout_prob=0.5).train()
    perplexity = [quantizer(torch.randn(2, 16, 4)).perplexity for _ in range(4)]
    torch.save({"codebooks": quantizer.codebooks, "perplexity": torch.stack(perplexity)}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_processes_keep_the_same_codes(tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(train_rank, args=(port, str(tmp_path)), nprocs=2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first["codebooks"].any()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=0, equal_nan=True)


def test_shapes() -> None:
    output = make_model()(torch.randn(2, 32, 12))
    shapes = {name: tuple(getattr(output, name).shape) for name in ("recon", "codes", "latent", "perplexity")}
    assert shapes == {"recon": (2, 32, 12), "codes": (2, 8, 3), "latent": (2, 8, 8), "perplexity": (3,)}
