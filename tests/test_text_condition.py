"""CLIP as the text encoder, with a tiny model of the transformers library in a local folder."""

import json

import pytest
import torch

from lamp.models.text_condition import CachedCondition, ClipCondition, LaMPCondition
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


@pytest.mark.parametrize("words", [False, True])
def test_a_condition_in_bfloat16_is_that_of_float32_rounded(words):
    texts, lamp = ["a person walks", "he runs and then sits down"], tiny_parts()["lamp"]
    exact, rounded = (LaMPCondition(lamp, words, bfloat16)(texts) for bfloat16 in (False, True))
    assert rounded.dtype == exact.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0.05)
