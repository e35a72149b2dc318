"""Other text encoders than LaMP, with tiny models of the transformers library in local folders."""

import json

import pytest
import torch

from lamp.models.lamp.model import LaMP
from lamp.models.text_condition import (
    CachedCondition,
    ClipCondition,
    ContrastiveCondition,
    LaMPCondition,
    SentenceCondition,
    load_text_encoder,
)
from lamp.utils.errors import UserError
from tests.test_pipeline import tiny_parts

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """Folder with a random CLIP text model of width 32 and a character-level tokenizer."""
    folder = tmp_path_factory.mktemp("clip")
    characters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*characters, *(f"{c}</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        projection_dim=24, eos_token_id=len(words) - 1, bos_token_id=len(words) - 2,
    )  # fmt: skip
    transformers.CLIPTextModelWithProjection(config).save_pretrained(folder)
    return folder


def test_clip_gives_its_projected_text_embedding(clip_folder):
    encoder = ClipCondition(str(clip_folder))
    assert encoder.dim == 24
    alone, other = encoder(["walk"]), encoder(["run"])
    together = encoder(["walk", "a person walks forward"])
    assert alone.shape == (1, 24) and together.shape == (2, 24)
    torch.testing.assert_close(alone[0], together[0], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(alone, other, atol=1e-3)
    torch.testing.assert_close(CachedCondition(encoder)(["run"]), other)


def test_a_missing_clip_model_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="--text_encoder clip"):
        ClipCondition(str(tmp_path / "nowhere"))


def test_a_sentence_embedding_is_the_mean_of_its_words(sentence_folder):
    texts = ["a person walks", "a person runs forward"]
    sentence, words = (SentenceCondition(str(sentence_folder), words=words) for words in (False, True))
    states = words(texts)
    assert states.shape == (2, 6, 24) and not states[0, 5].any(), "zeros beyond the end"
    mean = torch.nn.functional.normalize(states.sum(1), dim=1) * 24**0.5
    torch.testing.assert_close(sentence(texts), mean)
    torch.testing.assert_close(sentence(texts[:1]), mean[:1], atol=1e-5, rtol=1e-4)
    assert (sentence.dim, sentence.words, words.words) == (24, False, True)


def test_a_missing_sentence_model_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="--text_encoder sentence"):
        SentenceCondition(str(tmp_path / "nowhere"))


def test_the_contrastive_condition_is_the_state_that_the_shared_space_is_made_of(tmp_path):
    tiny_parts()["lamp"].save_pretrained(tmp_path)
    lamp = LaMP.from_pretrained(tmp_path)
    encoder, texts = ContrastiveCondition(lamp), ["a person walks", "he runs"]
    embedding = torch.nn.functional.normalize(lamp.text_head(encoder(texts)), dim=-1)
    torch.testing.assert_close(embedding, lamp.encode_text(texts).embedding)
    assert encoder.identity != LaMPCondition(lamp).identity
    assert not torch.allclose(encoder(texts), LaMPCondition(lamp)(texts))


def test_options_of_a_run_choose_the_text_encoder(tmp_path, clip_folder, sentence_folder):
    tiny_parts()["lamp"].save_pretrained(tmp_path / "text")
    sources = {"lamp_name": "text", "clip_source": str(clip_folder), "sentence_source": str(sentence_folder)}
    found = {}
    for kind in ("lamp", "contrastive", "sentence", "clip"):
        found[kind] = load_text_encoder(sources | {"text_encoder": kind}, tmp_path, False, "cpu")
        assert found[kind](["a person walks"]).shape == (1, found[kind].dim)
    assert len({encoder.identity for encoder in found.values()}) == 4
    with pytest.raises(UserError, match="none of lamp, contrastive"):
        load_text_encoder(sources | {"text_encoder": "t5"}, tmp_path, False, "cpu")


@pytest.mark.parametrize("words", [False, True])
def test_a_condition_in_bfloat16_is_that_of_float32_rounded(words):
    texts, lamp = ["a person walks", "he runs and then sits down"], tiny_parts()["lamp"]
    exact, rounded = (LaMPCondition(lamp, words, bfloat16)(texts) for bfloat16 in (False, True))
    assert rounded.dtype == exact.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0.05)
