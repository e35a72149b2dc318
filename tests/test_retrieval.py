"""Retrieval protocols, hits, re-ranking and the evaluation script, against hand-made numbers or brute force."""

import importlib
import json
import random
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lamp.models.lamp.embedder import LaMPEmbedder
from lamp.models.lamp.model import LaMP, LaMPConfig
from lamp.models.lamp.text import TextTokenizer
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.options.retrieval import EvalRetrievalOptions
from lamp.stages.retrieval_evaluation import comparison
from lamp.utils.errors import UserError
from lamp.utils.files import write_json
from lamp.utils.scores.metrics import retrieval_ranks
from lamp.utils.scores.retrieval import (
    bag_similarity,
    hit_ranks,
    rerank,
    retrieval_scores,
    sentence_similarity,
    shortlist,
    shortlisted_pairs,
    text_hits,
    validation_recall,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


# Protocols


def test_the_whole_set_is_one_pool():
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.7, 0.6], [0.3, 0.2, 0.1]])
    scores = retrieval_scores(similarity, [[0, 1, 2]])
    assert scores["t2m"]["R@1"] == pytest.approx(100 / 3) and scores["t2m"]["R@2"] == pytest.approx(200 / 3)
    assert scores["t2m"]["MedR"] == 2.0
    # Down the columns: motion 0 and 1 find their texts, motion 2 has its own last.
    assert scores["m2t"]["R@1"] == scores["m2t"]["R@2"] == pytest.approx(200 / 3) and scores["m2t"]["R@3"] == 100.0


def test_pools_keep_their_samples_apart():
    similarity = torch.tensor([[0.5, 0.0, 0.9, 0.9], [0.0, 0.5, 0.9, 0.9], [0.9, 0.9, 0.5, 0.6], [0.9, 0.9, 0.0, 0.5]])
    scores = retrieval_scores(similarity, [[1, 0], [2, 3]])
    assert scores["t2m"]["R@1"] == 75.0 and scores["m2t"]["R@1"] == 75.0
    assert retrieval_scores(similarity, [[0, 1, 2, 3]])["t2m"]["R@1"] == 0.0


def test_validation_draws_the_same_pools_of_different_labels_every_time():
    similarity = torch.eye(6) + torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    labels = ["walk", "walk", "run", "run", "jump", "jump"]
    scores = validation_recall(similarity, labels)
    assert scores == validation_recall(similarity, labels)
    assert scores["R@1"] == (scores["t2m_R@1"] + scores["m2t_R@1"]) / 2
    # With clips of one label competing there would be more to take for the own one.
    assert scores["t2m_R@3"] == 100.0


def test_the_best_ranked_hit_counts():
    similarity = torch.tensor([[0.1, 0.9, 0.5, 0.3], [0.9, 0.2, 0.8, 0.1], [0.6, 0.7, 0.4, 0.9]])
    hits = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
    assert hit_ranks(similarity, hits).tolist() == [1, 2, 0]
    only_own = torch.eye(3, 4, dtype=torch.bool)
    assert hit_ranks(similarity[:, :3], only_own[:, :3]).tolist() == retrieval_ranks(similarity[:, :3]).tolist()


def test_ties_count_against_a_hit_but_hits_never_against_each_other():
    constant = torch.ones(3, 3)
    hits = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert hit_ranks(constant, hits).tolist() == [1, 1, 2]


def test_threshold_protocol_both_ways():
    similarity = torch.tensor([[0.2, 0.9, 0.1], [0.3, 0.1, 0.2], [0.8, 0.7, 0.6]])
    hits = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    scores = retrieval_scores(similarity, [[0, 1, 2]], hits=hits)
    assert scores["t2m"]["R@1"] == pytest.approx(200 / 3) and scores["t2m"]["R@3"] == 100.0
    # Motion 0 has text 2 above both of its hits, motion 1 has text 0 on top, motion 2 its own.
    assert scores["m2t"]["R@1"] == pytest.approx(200 / 3) and scores["m2t"]["R@2"] == 100.0


# Texts


def test_bags_of_lemmas_ignore_articles_order_and_tags():
    texts = ["a/DET man/NOUN walk/VERB", "walk/NOUN the/DET Man/NOUN", "man/NOUN walk/VERB walk/VERB", "a/DET", ""]
    similarity = bag_similarity([text.split() for text in texts])
    assert similarity[0, 1].item() == pytest.approx(1.0)
    assert similarity[0, 2].item() == pytest.approx(3 / 10**0.5)
    assert similarity[3].abs().max() == similarity[4].abs().max() == 0.0
    assert bag_similarity([[]]).shape == (1, 1)


def test_left_and_right_are_not_nearly_equal():
    texts = ["person/NOUN wave/VERB with/ADP their/PRON left/ADJ hand/NOUN", "person/NOUN wave/VERB with/ADP"]
    texts += [texts[0].replace("left", "right"), texts[0].replace("person", "a/DET person")]
    near = bag_similarity([text.split() for text in texts]) >= 0.95
    assert near.tolist() == [[i == j or {i, j} == {0, 3} for j in range(4)] for i in range(4)]


def test_hits_are_near_texts_own_texts_and_labels():
    alike = torch.tensor([[0.0, 0.95, 0.2], [0.95, 1.0, 0.3], [0.2, 0.3, 1.0]])
    rows = torch.tensor([0, 1, 2, 2])
    near = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert text_hits(alike, rows, 0.95).int().tolist() == near
    assert text_hits(alike, rows, 0.96).int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], *near[2:]]
    labelled = text_hits(alike, rows, 0.96, ["x", "y", "z", "x"]).int().tolist()
    assert labelled == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 1]]


def test_sentence_model_gives_mean_pooled_cosines_from_0_to_1(tmp_path):
    transformers = pytest.importorskip("transformers")
    words = "a person walks runs slowly".split()
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL, *words]) + "\n", encoding="utf-8")
    torch.manual_seed(0)
    sizes = dict(vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = transformers.BertModel(transformers.BertConfig(**sizes)).eval()
    model.save_pretrained(tmp_path)
    transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    texts = ["a person walks", "person", "a person runs slowly slowly"] * 30
    similarity = sentence_similarity(texts, str(tmp_path))
    with torch.inference_mode():
        ids = [[2, *(5 + words.index(word) for word in text.split()), 3] for text in texts[:3]]
        means = torch.cat([model(torch.tensor([row])).last_hidden_state.mean(1) for row in ids])
    expected = (1 + torch.cosine_similarity(means[:, None], means, dim=-1)) / 2
    torch.testing.assert_close(similarity[:3, :3], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(similarity[:3, 87:], expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="--sentence_model"):
        sentence_similarity(texts, str(tmp_path / "nothing"))


# Re-ranking


def test_shortlist_counts_equal_similarities_once():
    similarity = torch.tensor([[0.5, 0.9, 0.9, 0.1, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5]])
    assert shortlist(similarity, 1).int().tolist() == [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert shortlist(similarity, 2).int().tolist() == [[1, 1, 1, 0, 1], [0, 0, 0, 1, 1]]
    assert shortlist(similarity, 9).all() and not shortlist(similarity, 0).any()


def test_reranking_adds_the_match_within_the_shortlist_only():
    similarity = torch.tensor([[0.9, 0.8, 0.7, -0.9]])
    match = torch.tensor([[0.1, 0.15, 0.9, 1.0]])
    # 1.0 and 0.95 against 0.7 - 1000: a low shortlist member stays above everything outside.
    assert rerank(similarity, match, 2).argsort(descending=True).tolist() == [[0, 1, 2, 3]]
    assert rerank(similarity, match, 3).argsort(descending=True).tolist() == [[2, 0, 1, 3]]
    torch.testing.assert_close(rerank(similarity, match, 4), (similarity + match).double())
    unknown = match.masked_fill(~shortlist(similarity, 2), torch.nan)
    torch.testing.assert_close(rerank(similarity, unknown, 2), rerank(similarity, match, 2))


def test_reranking_by_hand_both_ways():
    similarity = torch.tensor([[0.5, 0.6, 0.1], [0.4, 0.5, 0.7], [0.3, 0.2, 0.6]])
    match = torch.tensor([[0.9, 0.1, 1.0], [0.0, 0.6, 0.2], [0.3, 0.0, 0.2]])
    plain, whole = retrieval_scores(similarity, [[0, 1, 2]]), [[0, 1, 2]]
    assert plain["t2m"]["R@1"] == plain["m2t"]["R@1"] == pytest.approx(100 / 3)
    scores = retrieval_scores(similarity, whole, match=match, count=2)
    assert scores["t2m"]["R@1"] == 100.0
    assert scores["m2t"]["R@1"] == pytest.approx(200 / 3)
    hits = torch.eye(3, dtype=torch.bool)
    assert retrieval_scores(similarity, whole, hits=hits, match=match, count=2) == scores


def test_reranking_needs_the_shortlisted_pairs_and_no_others():
    torch.manual_seed(0)
    similarity, match = torch.rand(12, 12) * 2 - 1, torch.rand(12, 12)
    rng = random.Random(0)
    pools = [rng.sample(range(12), 5) for _ in range(4)]
    wanted = shortlisted_pairs(similarity, pools, 2)
    brute = {
        pair
        for pool in pools
        for own in pool
        for other in (
            *((own, motion) for motion in sorted(pool, key=lambda motion: -similarity[own, motion])[:2]),
            *((text, own) for text in sorted(pool, key=lambda text: -similarity[text, own])[:2]),
        )
        for pair in [other]
    }
    assert {tuple(pair) for pair in wanted.nonzero().tolist()} == brute
    known = match.masked_fill(~wanted, torch.nan)
    for hits in (None, torch.eye(12, dtype=torch.bool) | (torch.rand(12, 12) > 0.8)):
        results = [retrieval_scores(similarity, pools, hits=hits, match=p, count=2) for p in (known, match)]
        assert results[0] == results[1]


# Models


def tiny_models(words: list[str]) -> LaMPEmbedder:
    """Random models whose weights are large enough that every path matters."""
    torch.manual_seed(0)
    tokenizer = RVQVAE(RVQConfig(num_quantizers=2, nb_code=16, code_dim=12, width=12, depth=1)).eval()
    config = LaMPConfig(
        vocab_size=len(SPECIAL) + len(words) + 1,
        hidden_size=32,
        num_layers=3,
        num_heads=4,
        intermediate_size=32,
        max_positions=40,
        num_query_tokens=6,
        cross_attention_width=24,
        motion_width=12,
        embed_dim=16,
        nb_code=16,
        max_text_length=16,
    )
    lamp = LaMP(config).eval()
    for parameter in lamp.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    lamp.tokenizer = TextTokenizer([*SPECIAL, *words])
    return LaMPEmbedder(lamp, tokenizer)


def motion_batches(captions: list[str], lengths: list[int]) -> list[SimpleNamespace]:
    """Batches of two and more random motions; padding is zero as in the data."""
    generator = torch.Generator().manual_seed(1)
    motion = torch.randn(len(lengths), max(lengths), 263, generator=generator)
    motion[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 0.0
    return [
        SimpleNamespace(
            motion=motion[part, : max(lengths[part])],
            lengths=torch.tensor(lengths[part]),
            names=[str(i) for i in range(*part.indices(len(lengths)))],
            captions=captions[part],
            tokens=[[f"{word}/X" for word in caption.split()] for caption in captions[part]],
        )
        for part in (slice(0, 2), slice(2, None))
    ]


CAPTIONS = ["a person walks", "a person slowly runs back and jumps", "jumps", "a person walks", "a person runs back"]
LENGTHS = [40, 24, 64, 32, 28]


@pytest.fixture(scope="module")
def embedder() -> LaMPEmbedder:
    return tiny_models(sorted({word for caption in CAPTIONS for word in caption.split()}))


def test_equal_captions_are_embedded_once(embedder, monkeypatch):
    asked = []
    plain = embedder.texts
    monkeypatch.setattr(embedder, "texts", lambda texts: asked.extend(texts) or plain(texts))
    pairs = embedder.pairs(motion_batches(CAPTIONS, LENGTHS))
    assert asked == pairs.sentences == [CAPTIONS[i] for i in (0, 1, 2, 4)]
    assert pairs.rows.tolist() == [0, 1, 2, 0, 3] and pairs.lemmas[2] == ["jumps/X"]
    assert pairs.texts.shape == (5, 16) and torch.equal(pairs.texts[0], pairs.texts[3])
    assert pairs.motions.shape == (5, 6, 16) and pairs.chunks == []


def test_match_probabilities_equal_brute_force_pair_by_pair(embedder):
    batches = motion_batches(CAPTIONS, LENGTHS)
    pairs = embedder.pairs(batches, keep_features=True)
    expected = torch.zeros(4, 5)
    column = 0
    with torch.inference_mode():
        for batch in batches:
            for row, length in enumerate(batch.lengths):
                features = embedder.tokenizer.encode_features(batch.motion[row : row + 1, :length], length[None])
                for place, sentence in enumerate(pairs.sentences):
                    expected[place, column] = embedder.lamp.match_score([sentence], features)[0]
                column += 1
    assert expected.std() > 0.01
    for size in (1, 3, 64):
        found = embedder.match_probabilities(pairs, torch.ones(4, 5, dtype=torch.bool), batch_size=size)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_each_pair_and_each_context_is_computed_once(embedder, monkeypatch):
    pairs = embedder.pairs(motion_batches(CAPTIONS, LENGTHS), keep_features=True)
    wanted = torch.zeros(4, 5, dtype=torch.bool)
    wanted[[0, 1, 3, 3], [4, 2, 2, 3]] = True
    whole = embedder.match_probabilities(pairs, torch.ones_like(wanted))
    calls = {"pairs": 0, "motions": 0}
    lamp, match, context = embedder.lamp, embedder.lamp.match_logits, embedder.lamp.motion_context

    def counted_match(motions, text):
        calls["pairs"] += len(text)
        return match(motions, text)

    def counted_context(features, tokens):
        calls["motions"] += len(tokens)
        return context(features, tokens)

    monkeypatch.setattr(lamp, "match_logits", counted_match)
    monkeypatch.setattr(lamp, "motion_context", counted_context)
    found = embedder.match_probabilities(pairs, wanted, batch_size=2)
    # The first two motions are in no pair, so their batch needs no context at all.
    assert calls == {"pairs": 4, "motions": 3}
    assert torch.equal(found.isnan(), ~wanted)
    torch.testing.assert_close(found[wanted], whole[wanted], rtol=1e-4, atol=1e-5)


def test_similarity_is_the_same_in_parts(embedder, monkeypatch):
    pairs = embedder.pairs(motion_batches(CAPTIONS, LENGTHS))
    whole = embedder.lamp.similarity(pairs.texts, pairs.motions)
    monkeypatch.setattr("lamp.models.lamp.embedder.MOTIONS_AT_ONCE", 2)
    torch.testing.assert_close(embedder.similarity(pairs.texts, pairs.motions), whole)


# The script


def test_comparison_shows_what_both_have():
    ours = {way: {"R@1": 10.0, "R@2": 20.0, "MedR": 7.0} for way in ("t2m", "m2t")}
    lines = comparison({"LaMP, text to motion": {"R@1": 67.2, "R@2": 81.9}}, ours, pool=26)
    assert [line.split()[-3:] for line in lines] == [
        ["pool", "R@1", "R@2"],
        ["32", "67.2", "81.9"],
        ["26", "10.0", "20.0"],
        ["26", "10.0", "20.0"],
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"rerank": -1}, {"threshold": 0.0}, {"threshold": 1.5}, {"draws": 0}, {"max_samples": -1}, {"batch_size": 0}],
)
def test_numbers_that_cannot_be(wrong):
    with pytest.raises(UserError, match=f"--{next(iter(wrong))}"):
        EvalRetrievalOptions(**wrong)


@pytest.mark.parametrize("wrong", [{"protocol": ["all"]}, {"dataset_name": "mini"}])
def test_compare_needs_something_published(wrong):
    with pytest.raises(UserError, match="--compare"):
        EvalRetrievalOptions(compare=True, **wrong)


@pytest.fixture(scope="module")
def workplace(sample_data, tmp_path_factory):
    """Tiny models as a run leaves them, beside a copy of the sample data with held-out texts: (folder, data)."""
    folder = tmp_path_factory.mktemp("retrieval")
    data = shutil.copytree(sample_data, folder / "data")
    shutil.copytree(data / "texts", data / "texts_heldout")
    texts = " ".join(path.read_text(encoding="utf-8").split("#")[0] for path in (data / "texts").glob("*.txt"))
    models = tiny_models(sorted(set(re.findall("[a-z]+", texts.lower()))))
    for name, model in (("vq", models.tokenizer), ("lamp", models.lamp)):
        model.save_pretrained(folder / "checkpoints" / "t2m" / name)
    write_json(folder / "checkpoints" / "t2m" / "lamp" / "opt.json", {"vq_name": "vq"})
    return folder, data


def evaluate(folder: Path, data: Path, arguments: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, str]:
    """Run the script; the test split's results and the log."""
    common = f"--name lamp --dataset_name t2m --data_root {data} --checkpoints_dir {folder}/checkpoints --gpu_id -1"
    monkeypatch.setattr(sys, "argv", ["eval_retrieval.py", *common.split(), *arguments.split()])
    importlib.import_module("eval_retrieval").main()
    found = folder / "checkpoints" / "t2m" / "lamp" / "eval"
    log = (found / "retrieval.log").read_text(encoding="utf-8")
    return json.loads((found / "retrieval.json").read_text(encoding="utf-8")), log


def test_script_with_labels(workplace, monkeypatch):
    results, log = evaluate(*workplace, "--draws 3 --nearest --compare --split test val", monkeypatch)
    result = results["test"]
    for name in ("small_batches", "all", "all_with_threshold"):
        for kind in ("contrastive", "reranked"):
            for way in ("t2m", "m2t"):
                scores = result["protocols"][name][kind][way]
                assert 0 <= scores["R@1"] <= scores["R@2"] <= scores["R@3"] <= scores["R@5"] <= scores["R@10"] <= 100
                assert 1 <= scores["MedR"] <= result["clips"]
    strict, kind = result["protocols"]["all"], result["protocols"]["all_with_threshold"]
    assert strict["contrastive"]["t2m"]["R@5"] <= kind["contrastive"]["t2m"]["R@5"]
    assert result["t2m"] == result["protocols"]["small_batches"]["contrastive"]["t2m"]
    assert (
        0 <= result["label_accuracy"] <= 100
        and 0 <= result["nearest_label_accuracy"] <= result["trained_labels"] <= 100
    )
    assert set(results) == {"test", "val"}
    assert f"warning: pools of {result['pool']}, not of 32" in log and result["pool"] < 32
    for words in ("harsh", "bags of lemmas >= 0.95 or equal label", "LaMP, text to motion  ", "re-ranking the"):
        assert words in log


def test_script_without_labels_and_without_reranking(workplace, monkeypatch, tmp_path):
    folder, data = workplace
    bare = shutil.copytree(data, tmp_path / "bare", ignore=shutil.ignore_patterns("labels.json", ".cache"))
    results, log = evaluate(folder, bare, "--rerank 0 --max_samples 4 --heldout_texts", monkeypatch)
    result = results["test"]
    assert result["clips"] == 4 and "label_accuracy" not in result
    assert set(result["protocols"]["all"]) == {"pool", "contrastive"}
    assert "random clips, 1 draws" in log and "harsh" not in log and "texts_heldout" in log
    for flag in ("--nearest", "--protocol all --compare"):
        with pytest.raises(SystemExit):
            evaluate(folder, bare, flag, monkeypatch)
