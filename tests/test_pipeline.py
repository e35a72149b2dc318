"""The pipeline that users import: composition, determinism, errors."""

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lamp.models.lamp.model import LaMP, LaMPConfig
from lamp.models.lamp.text import TextTokenizer
from lamp.models.pipeline import Guidance, LaMPPipeline
from lamp.models.t2m.length import LengthConfig, LengthEstimator
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.text_condition import CachedCondition, LaMPCondition
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "person", "walks", "waves", "runs"]
GENERATOR = {"num_tokens": 16, "code_dim": 16, "latent_dim": 32, "ff_size": 32, "num_layers": 1, "num_heads": 2}


def tiny_parts() -> dict:
    """Untrained models that fit each other."""
    torch.manual_seed(0)
    tokenizer = RVQVAE(RVQConfig(num_quantizers=3, nb_code=16, code_dim=16, width=16, depth=1))
    words = TextTokenizer(WORDS)
    lamp = LaMP(
        LaMPConfig(
            vocab_size=len(words), hidden_size=32, num_layers=2, num_heads=2, intermediate_size=32, max_positions=32,
            cross_attention_width=16, motion_width=16, embed_dim=16, nb_code=16, num_query_tokens=49,
        )
    )  # fmt: skip
    lamp.tokenizer = words
    return {
        "tokenizer": tokenizer.eval(),
        "lamp": lamp.eval(),
        "masked": MaskedTransformer(MaskedConfig(**GENERATOR, cond_dim=32)).eval(),
        "residual": ResidualTransformer(ResidualConfig(**GENERATOR, cond_dim=32, num_quantizers=3)).eval(),
        "length": LengthEstimator(LengthConfig(cond_dim=32)).eval(),
    }


def assemble(parts: dict) -> LaMPPipeline:
    """A pipeline of parts."""
    text = LaMPCondition(parts["lamp"])
    return LaMPPipeline(parts["tokenizer"], text, parts["masked"], parts["residual"], parts["length"])


@pytest.fixture(scope="module")
def pipe() -> LaMPPipeline:
    return assemble(tiny_parts())


def test_a_folder_holds_all_that_generation_needs(pipe, tmp_path):
    parts = tiny_parts()
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    loaded = LaMPPipeline.from_pretrained(tmp_path)
    a, b = pipe("a person walks", 40, seed=3)[0], loaded("a person walks", 40, seed=3)[0]
    np.testing.assert_array_equal(a.joints, b.joints)


def test_a_hub_id_downloads_the_same_files(pipe, tmp_path, monkeypatch):
    for name, part in tiny_parts().items():
        part.save_pretrained(tmp_path / "repo" / name)
    asked = []

    def download(repo, name, subfolder=None):
        asked.append((repo, f"{subfolder}/{name}" if subfolder else name))
        return str(tmp_path / "repo" / (subfolder or "") / name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "file_exists", lambda repo, name: (tmp_path / "repo" / name).is_file())
    loaded = LaMPPipeline.from_pretrained("someone/lamp-tiny")
    np.testing.assert_array_equal(loaded("runs", 40)[0].joints, pipe("runs", 40)[0].joints)
    assert ("someone/lamp-tiny", "lamp/vocab.txt") in asked and ("someone/lamp-tiny", "length/config.json") in asked


def test_an_unreachable_hub_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no-such-owner/no-such-model"):
        RVQVAE.from_pretrained("no-such-owner/no-such-model", "tokenizer")


def test_guidance_belongs_to_the_models(pipe, tmp_path):
    assert pipe.guidance == Guidance(4.0, 5.0)
    for name, part in tiny_parts().items():
        part.save_pretrained(tmp_path / name)
    (tmp_path / "guidance.json").write_text('{"cond_scale": 1.5, "res_cond_scale": 2.5}')
    loaded = LaMPPipeline.from_pretrained(tmp_path)
    default, given = loaded("runs", 40)[0], loaded("runs", 40, cond_scale=1.5, res_cond_scale=2.5)[0]
    np.testing.assert_array_equal(default.joints, given.joints)
    assert loaded.guidance == Guidance(1.5, 2.5)


def test_float16_weights_load_as_float32(tmp_path):
    for name, part in tiny_parts().items():
        part.save_pretrained(tmp_path / name, dtype=torch.float16)
    loaded = LaMPPipeline.from_pretrained(tmp_path)
    assert {p.dtype for p in loaded.masked.parameters()} == {torch.float32}
    assert loaded("a person walks", 40)[0].joints.shape == (40, 22, 3)


def test_motion_is_complete(pipe):
    motion = pipe("a person walks", 61, seed=1)[0]
    assert isinstance(motion, Motion) and motion.text == "a person walks" and motion.fps == 20
    assert motion.joints.shape == (60, 22, 3) and motion.features.shape == (60, 263)
    assert motion.meta == {"prompt": "a person walks", "seed": 1}


def test_same_seed_same_motion_alone_or_in_a_batch(pipe):
    prompts, lengths = ["a person walks", "a person waves", "runs"], [40, 80, 24]
    together = pipe(prompts, lengths, seed=5)
    for prompt, length, motion in zip(prompts, lengths, together):
        np.testing.assert_allclose(pipe(prompt, length, seed=5)[0].joints, motion.joints, atol=1e-4)
    assert not np.allclose(pipe(prompts[0], 40, seed=6)[0].joints, together[0].joints, atol=1e-3)
    small = pipe(prompts, lengths, seed=5, batch_size=2)
    np.testing.assert_allclose(small[2].joints, together[2].joints, atol=1e-4)


def test_threads_that_share_a_pipeline_get_what_each_gets_alone():
    """Also at the first use, when weights are packed."""
    asked = [("a person walks", 60, 1), ("a person waves", 100, 2), ("a person runs", 196, 3), ("a person", 40, 4)]
    alone = [assemble(tiny_parts())(prompt, frames, seed=seed)[0] for prompt, frames, seed in asked]
    shared, at_once = assemble(tiny_parts()), threading.Barrier(len(asked))

    def ask(prompt: str, frames: int, seed: int) -> list[Motion]:
        at_once.wait(timeout=60)
        return [shared(prompt, frames, seed=seed)[0] for _ in range(3)]

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(ask, *zip(*asked)))
    for motion, found in zip(alone, answers):
        assert all(np.array_equal(motion.joints, other.joints) for other in found)


def test_lengths_are_chosen_clamped_and_rounded(pipe):
    assert [len(m) for m in pipe(["runs"] * 3, [3, 50, 5000])] == [24, 48, 196]
    chosen = pipe(["a person walks"] * 2, seeds=[1, 1])
    assert len(chosen[0]) == len(chosen[1]) and 24 <= len(chosen[0]) <= 196 and len(chosen[0]) % 4 == 0


def test_progress_is_reported(pipe):
    seen = []
    pipe(["runs"] * 3, 24, batch_size=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("prompts", "options", "word"),
    [(["runs", " "], {}, "empty"), (["runs"], {"lengths": [24, 28]}, "lengths"), (["runs"], {"seeds": []}, "seeds")],
)
def test_bad_requests(pipe, prompts, options, word):
    with pytest.raises(UserError, match=word):
        pipe(prompts, **options)


def test_no_estimator_and_no_length(pipe):
    parts = tiny_parts() | {"length": None}
    with pytest.raises(UserError, match="--motion_length"):
        assemble(parts)("runs")


def test_parts_that_do_not_fit_are_refused():
    parts = tiny_parts()
    other = dataclasses.replace(parts["masked"].config, num_tokens=32)
    with pytest.raises(UserError, match="codes"):
        assemble(parts | {"masked": MaskedTransformer(other)})
    with pytest.raises(UserError, match="levels"):
        assemble(parts | {"residual": ResidualTransformer(ResidualConfig(**GENERATOR, cond_dim=32))})
    with pytest.raises(UserError, match="residual"):
        assemble(parts | {"residual": None})
    with pytest.raises(UserError, match="width"):
        assemble(parts | {"length": LengthEstimator(LengthConfig(cond_dim=8))})


def test_long_prompts_are_announced(pipe):
    assert pipe.cut_prompts(["a person walks"]) == []
    assert "reads the first" in pipe.cut_prompts(["walks " * 100])[0]


def test_cached_condition_equals_the_encoder(pipe):
    cached = CachedCondition(pipe.text)
    texts = ["a person walks", "runs", "a person walks"]
    torch.testing.assert_close(cached(texts), pipe.text(texts), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cached(["runs"]), pipe.text(["runs"]), atol=1e-5, rtol=1e-5)


def test_cached_conditions_do_not_depend_on_what_was_seen_before(pipe):
    texts = [f"a person walks {'slowly ' * (i % 7)}and turns {i} times" for i in range(150)]
    in_order, resumed = (CachedCondition(pipe.text, texts) for _ in range(2))
    calls = []
    pipe_text = pipe.text
    resumed.encoder = lambda part: calls.append(len(part)) or pipe_text(part)
    resumed(texts[97:98]), resumed(["not expected", *texts[3:20]]), resumed(texts[60:99])
    assert torch.equal(in_order(texts), resumed(texts))
    assert torch.equal(CachedCondition(pipe.text)(["not expected"]), resumed(["not expected"]))
    assert sorted(calls) == [1, 22, 64, 64]  # each sentence once, many at a time


@pytest.mark.parametrize("words", [False, True])
def test_conditions_that_are_kept_are_those_that_the_encoder_gives(pipe, tmp_path, words):
    texts = [f"a person walks {'slowly ' * (i % 7)}and turns {i} times" for i in range(150)]
    calls: list[int] = []
    encoder = _Counted(LaMPCondition(pipe.text.lamp, words), calls)
    first, second = (CachedCondition(encoder, texts) for _ in range(2))
    first.keep_in(tmp_path)
    (path,) = tmp_path.iterdir()
    calls.clear()
    second.keep_in(tmp_path)
    assert calls == [64]  # the look whether the file still fits
    plain = CachedCondition(encoder, texts)
    assert torch.equal(plain(texts), first(texts)) and torch.equal(plain(texts), second(texts))
    # Of another encoder by the same name, or damaged: made anew.
    for damage in (lambda rows: rows + 1, lambda rows: rows[:1], None):
        if damage is None:
            path.write_bytes(b"not a file of numbers")
        else:
            save_file(load_file(path) | {"rows": damage(load_file(path)["rows"]).contiguous()}, path)
        other = CachedCondition(encoder, texts)
        other.keep_in(tmp_path)
        assert torch.equal(plain(texts), other(texts))
        assert [kept.name for kept in tmp_path.iterdir()] == [path.name]


def test_conditions_are_not_encoded_for_a_folder_that_cannot_be(pipe, tmp_path):
    calls: list[int] = []
    cached = CachedCondition(_Counted(LaMPCondition(pipe.text.lamp), calls), ["a person walks"])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--conditions_dir .*file cannot be made .*name another"):
        cached.keep_in(tmp_path / "file")
    assert not calls


class _Counted:
    """A text encoder that writes down how many sentences it is asked for."""

    def __init__(self, encoder: LaMPCondition, calls: list[int]) -> None:
        self.encoder, self.calls = encoder, calls
        self.dim, self.words, self.identity = encoder.dim, encoder.words, "lamp@0"

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        self.calls.append(len(texts))
        return self.encoder(texts)


def test_cached_conditions_are_bounded(pipe):
    texts = [f"a person walks {i} steps" for i in range(40)]
    size = 4 * pipe.text.dim
    one = pipe.text(["not expected"])
    many = CachedCondition(pipe.text, texts, limit=39 * size)
    assert torch.equal(many(texts[:8]), pipe.text(texts[:8])) and not many._known and not many._others
    assert CachedCondition(pipe.text, texts, limit=40 * size).remembers
    assert not CachedCondition(pipe.text, None).remembers
    few = CachedCondition(pipe.text, limit=2 * size)
    for text in [*texts[:5], "not expected", "not expected"]:
        few([text])
    assert list(few._others) == [texts[4], "not expected"]
    assert torch.equal(few(["not expected"]), one)
    assert len(few(texts[:6])) == 6


def test_bfloat16_generates_repeatably():
    pipe = assemble(tiny_parts())
    exact = pipe("a person walks", 40, seed=3)[0].joints
    coarse = [pipe.with_precision("bfloat16")("a person walks", 40, seed=3)[0].joints for _ in range(2)]
    types = [next(part.parameters()).dtype for part in (pipe.masked, pipe.residual, pipe.tokenizer)]
    assert types == [torch.bfloat16, torch.bfloat16, torch.float32]
    assert np.isfinite(coarse[0]).all() and coarse[0].shape == exact.shape
    np.testing.assert_array_equal(*coarse)
