"""Caption metrics: by hand, at their bounds, against published scores, and BERTScore against its package."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from lamp.utils import tagging
from lamp.utils.errors import UserError
from lamp.utils.scores import captions
from lamp.utils.scores.captions import bert_score_f1, caption_scores
from lamp.utils.tagging import tag_sentences, token_words
from tests.marks import SHARED, needs_shared

PUBLISHED = "data/captions_motiongpt.json"
BLEU = ("bleu1", "bleu2", "bleu3", "bleu4")
WALK, JUMP = "a person walks forward slowly", "someone is jumping up high"


@pytest.fixture
def coco():
    pytest.importorskip("pycocoevalcap")


@pytest.fixture
def spacy_model():
    pytest.importorskip("spacy")
    if not any(map(tagging.is_installed, tagging.SPACY_MODELS)):
        pytest.skip("spaCy's English model is not installed")


@pytest.fixture
def no_spacy(monkeypatch):
    def refuse(sentences):
        raise AssertionError("spaCy was asked for")

    monkeypatch.setattr(captions, "tag_sentences", refuse)


# BLEU, ROUGE-L, CIDEr


@needs_shared(PUBLISHED)
def test_published_scores(coco):
    stored = json.loads((SHARED / PUBLISHED).read_text(encoding="utf-8"))
    cases, published = stored["cases"], stored["published_raw"]
    scores = caption_scores([case["caption"] for case in cases], [case["references"] for case in cases])
    assert scores.samples == 4400
    assert scores.bleu1 / 100 == pytest.approx(published["bleu1"], abs=1e-4)
    assert scores.bleu4 / 100 == pytest.approx(published["bleu4"], abs=1e-4)
    assert scores.rouge_l / 100 == pytest.approx(published["rougeL"], abs=1e-4)
    assert scores.cider / 100 == pytest.approx(published["cider"], rel=0.01)


def test_bleu_and_rouge_by_hand(coco):
    scores = caption_scores(["a man"], [["a man walks forward"]])
    assert scores.bleu1 == pytest.approx(100 * math.exp(1 - 4 / 2), rel=1e-6)  # all words right, half the length
    assert scores.bleu2 == pytest.approx(scores.bleu1, rel=1e-6)
    precision, recall = 2 / 2, 2 / 4
    assert scores.rouge_l == pytest.approx(100 * 2.44 * precision * recall / (recall + 1.44 * precision))
    # Words of both references count; of a word said twice only as many as one reference has.
    scores = caption_scores(["man man walks"], [["a man runs", "it walks off"]])
    assert scores.bleu1 == pytest.approx(100 * 2 / 3, rel=1e-6)
    assert scores.rouge_l == pytest.approx(100 / 3)


def test_bleu_is_of_the_corpus(coco):
    both = caption_scores(["a b", "c d e f"], [["a x"], ["c d e x"]])
    assert both.bleu1 == pytest.approx(100 * 4 / 6, rel=1e-6)


def test_cider_by_hand(coco):
    # All n-grams are in one sample, so that all weigh the same: cosines of 1 word and 2 words; none of 3 and 4 words.
    scores = caption_scores(["a b", "d e"], [["a c"], ["d e"]])
    first, second = (1 / 2 + 0) / 4, (1 + 1) / 4
    assert scores.cider == pytest.approx(1000 * (first + second) / 2)
    # Mean over references, not the best one.
    scores = caption_scores(["a b", "d e"], [["a b", "x y"], ["d e"]])
    assert scores.cider == pytest.approx(1000 * (second / 2 + second) / 2)


def test_bounds(coco):
    equal = caption_scores([WALK, JUMP], [[JUMP, WALK], [JUMP]])
    for name in (*BLEU, "rouge_l"):
        assert getattr(equal, name) == pytest.approx(100, abs=1e-4)
    assert caption_scores([WALK, JUMP], [[WALK], [JUMP]]).cider == pytest.approx(1000)
    disjoint = caption_scores([WALK, JUMP], [[JUMP], [WALK]])
    for name in (*BLEU, "rouge_l", "cider"):
        assert getattr(disjoint, name) == pytest.approx(0, abs=1e-4)


def test_raw_takes_texts_as_written(coco):
    assert caption_scores(["A man walks."], [["a man walks"]]).bleu1 == pytest.approx(100 / 3, rel=1e-6)


@pytest.mark.parametrize("predictions", [["", WALK], ["", ""], ["  ", WALK]])
def test_empty_captions(coco, predictions):
    scores = caption_scores(predictions, [[WALK, ""], [WALK]])
    for name in (*BLEU, "rouge_l", "cider"):
        assert 0 <= getattr(scores, name) < 100.1
    caption_scores(["", WALK], [[""], [""]])


def test_scorers_are_silent(coco, capsys):
    caption_scores([WALK], [[WALK]])
    assert capsys.readouterr() == ("", "")


def test_mistakes():
    with pytest.raises(ValueError, match="1 predictions for 2"):
        caption_scores([WALK], [[WALK], [JUMP]])
    with pytest.raises(ValueError, match="sample 1"):
        caption_scores([WALK, JUMP], [[WALK], []])
    with pytest.raises(ValueError, match="sample 0"):
        bert_score_f1([WALK], [WALK])
    with pytest.raises(ValueError, match="protocol"):
        caption_scores([WALK], [[WALK]], protocol="other")


@pytest.mark.parametrize(
    ("module", "score"), [("pycocoevalcap.bleu.bleu", caption_scores), ("bert_score.utils", bert_score_f1)]
)
def test_missing_package_names_the_command(monkeypatch, module, score):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r'pip install -e "\.\[captions\]"'):
        score([WALK], [[WALK]])


# tm2t


def test_tm2t_from_tokens_needs_no_spacy(coco, no_spacy):
    tokens = [["A/DET", "person/NOUN", "walk/VERB"], ["he/PRON", "jump/VERB"]]
    scores = caption_scores(
        ["", ""],
        [["x"], ["x"]],
        protocol="tm2t",
        prediction_tokens=[["a/DET", "person/NOUN", "walk/VERB"], ["he/PRON", "jump/NOUN"]],
        reference_tokens=[[tokens[0], ["other/ADJ"]], [tokens[1]]],
    )
    assert scores.protocol == "tm2t" and scores.samples == 2
    assert scores.bleu2 == pytest.approx(100, abs=1e-4) and scores.rouge_l == pytest.approx(100)


def test_tm2t_takes_three_references(coco, no_spacy):
    other, right = ["other/ADJ"], ["walk/VERB"]

    def rouge(references):
        return caption_scores(
            ["x"], [["x"]], protocol="tm2t", prediction_tokens=[right], reference_tokens=[references]
        ).rouge_l

    assert rouge([other, other, right]) == pytest.approx(100)
    assert rouge([other, other, other, right]) == 0


def test_tm2t_by_spacy(coco, spacy_model):
    predictions = ["A person walked forward.", "someone jumps high"]
    references = [["a person is walking forward", "a man stands", "he waves", "a person walks forward"], ["he jumped"]]
    own = caption_scores(predictions, references, protocol="tm2t")
    given = caption_scores(
        predictions, references, protocol="tm2t", reference_tokens=[tag_sentences(texts) for texts in references]
    )
    assert own == given
    # "is" is in the first reference, and the fourth, which has all the words in order, does not count.
    assert own.bleu1 == pytest.approx(100 * 5 / 7, rel=1e-6)
    assert own.rouge_l > caption_scores(predictions, references).rouge_l


# Tagging


def test_tag_sentences(spacy_model):
    sentences = ["a man was walking counter-clockwise,\nand he jumped #2 times!", "", "the person turned left"]
    tokens = tag_sentences(sentence for sentence in sentences)
    assert tokens[0][:4] == ["a/DET", "man/NOUN", "was/AUX", "walk/VERB"]
    assert token_words(tokens[0]) == "a man was walk counterclockwise and he jump time".split()
    assert tokens[1] == []
    assert token_words(tokens[2]) == ["the", "person", "turn", "left"]
    assert tagging.load_spacy() is tagging.load_spacy()


def test_token_words():
    assert token_words(["A/DET", "and/or/CCONJ", "word"]) == ["a", "and/or", "word"]


def test_missing_spacy_names_the_commands(monkeypatch):
    tagging.load_spacy.cache_clear()
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UserError, match=r'spacy missing.*pip install -e "\.\[data\]"'):
        tag_sentences(["a man walks"])


def test_missing_spacy_model_names_the_command(monkeypatch):
    pytest.importorskip("spacy")
    tagging.load_spacy.cache_clear()
    monkeypatch.setattr(tagging, "is_installed", lambda name: False)
    with pytest.raises(UserError, match="python -m spacy download en_core_web_sm"):
        tag_sentences(["a man walks"])


# BERTScore


def make_bert(folder, layers):
    """A randomly initialised BERT whose tokenizer does not say how long a sentence may be."""
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(f"{WALK} {JUMP} .".split()))]
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=24,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    pytest.importorskip("bert_score")
    return make_bert(tmp_path_factory.mktemp("not5like"), layers=3)  # bert_score takes a path with "t5" for a T5


@pytest.fixture(scope="module")
def known_bert(tmp_path_factory):
    """A folder with the name, and the number of layers, of a model that bert_score knows."""
    pytest.importorskip("bert_score")
    folder = tmp_path_factory.mktemp("encoders") / "bert-base-uncased"
    folder.mkdir()
    return make_bert(folder, layers=12)


def package_f1(folder, predictions, references, **settings):
    """Mean F1 by bert_score's own scorer."""
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=str(folder), device="cpu", lang="en", nthreads=0, **settings)
    scorer._tokenizer.model_max_length = 22
    if settings.get("idf"):
        scorer.compute_idf([text for texts in references for text in texts])
    return 100 * scorer.score(predictions, references)[2].mean().item()


def test_bert_score_equals_the_package(known_bert):
    predictions, references = [WALK, JUMP, "someone walks ."], [[JUMP, "a person walks"], [WALK], ["is up", JUMP, WALK]]
    for settings in ({"num_layers": 2}, {"num_layers": 12}, {"num_layers": 9, "idf": True}):
        ours = bert_score_f1(predictions, references, model=known_bert, rescale=False, **settings)
        assert ours.f1 == pytest.approx(package_f1(known_bert, predictions, references, **settings), rel=1e-5)
        assert (ours.samples, ours.num_layers, ours.rescaled) == (3, settings["num_layers"], False)
        assert ours.idf == settings.get("idf", False)


def test_bert_score_rescales_where_there_is_a_baseline(known_bert, bert):
    import bert_score

    predictions, references = [WALK, JUMP], [[JUMP, "a person walks"], [WALK]]
    ours = bert_score_f1(predictions, references, model=known_bert)
    assert (ours.model, ours.num_layers, ours.rescaled) == (str(known_bert), 9, True)
    path = Path(bert_score.__file__).parent / "rescale_baseline" / "en" / "bert-base-uncased.tsv"
    settings = {"num_layers": 9, "rescale_with_baseline": True, "baseline_path": str(path)}
    assert ours.f1 == pytest.approx(package_f1(known_bert, predictions, references, **settings), rel=1e-4)
    assert not bert_score_f1(predictions, references, model=known_bert, language="xx").rescaled
    unknown = bert_score_f1(predictions, references, model=bert)
    assert (unknown.num_layers, unknown.rescaled) == (2, False)


def test_bert_score_bounds_and_best_reference(bert):
    assert bert_score_f1([WALK, JUMP], [[JUMP, WALK], [JUMP]], model=bert).f1 == pytest.approx(100, abs=1e-3)
    single = [bert_score_f1([WALK], [[text]], model=bert).f1 for text in (JUMP, "a person is up")]
    assert bert_score_f1([WALK], [[JUMP, "a person is up"]], model=bert).f1 == pytest.approx(max(single))
    assert max(single) < 99


@pytest.mark.parametrize("idf", [False, True])
def test_bert_score_of_empty_and_long_captions(bert, known_bert, idf):
    assert bert_score_f1(["", WALK], [[JUMP], [WALK, " "]], model=bert, idf=idf).f1 == pytest.approx(50, abs=1e-3)
    assert bert_score_f1(["", " "], [[JUMP], [""]], model=bert, idf=idf).f1 == 0
    assert bert_score_f1([""], [[JUMP]], model=known_bert).f1 < 0  # below the similarity of unrelated sentences
    long = " ".join([WALK] * 20)
    assert bert_score_f1([long], [[long]], model=bert).f1 == pytest.approx(100, abs=1e-3)


def test_bert_score_mistakes(bert, tmp_path):
    with pytest.raises(UserError, match="must be 0 to 3, not 4"):
        bert_score_f1([WALK], [[WALK]], model=bert, num_layers=4)
    with pytest.raises(UserError, match=r"config\.json"):
        bert_score_f1([WALK], [[WALK]], model=tmp_path)
    with pytest.raises(UserError, match="hub id"):
        bert_score_f1([WALK], [[WALK]], model=tmp_path / "missing")


def test_bert_score_is_silent(bert, capfd):
    bert_score_f1([WALK, ""], [[JUMP], [WALK]], model=bert)
    assert capfd.readouterr() == ("", "")


def test_roberta_sees_a_blank_before_the_first_word(tmp_path):
    pytest.importorskip("bert_score")
    transformers = pytest.importorskip("transformers")
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator([f"{WALK} {JUMP}"], vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.save_model(str(tmp_path))
    config = transformers.RobertaConfig(
        vocab_size=300, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=40
    )
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    encoder = captions._load_encoder(str(tmp_path), None)
    ids = encoder.tokenizer.encode("walks walks", add_special_tokens=False)
    assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]
    assert bert_score_f1([WALK], [[WALK]], model=tmp_path).f1 == pytest.approx(100, abs=1e-3)
