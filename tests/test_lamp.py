"""The Q-Former: what sees what, the losses, padding, initialisation from BERT, and the public systems' numbers."""

import dataclasses
import itertools

import pytest
import torch
from golden import load_golden, procedural_weights
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from lamp.models.lamp import losses
from lamp.models.lamp.create import create_lamp, freeze_unused
from lamp.models.lamp.init import config_for_bert, initialize_from_bert
from lamp.models.lamp.model import LaMP, LaMPBatch, LaMPConfig
from lamp.models.lamp.text import TextBatch, TextTokenizer
from lamp.models.vq.model import RVQConfig
from lamp.prepare.public.weights.lamp import convert_qformer
from lamp.utils.errors import UserError
from tests.marks import needs_golden

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] a person walks runs jumps forward back left right slowly ##s jump . ,".split()
TEXTS = ["a person walks forward", "a person jumps", "a person slowly runs back , left", "a person walks back"]
LOSSES = ("contrastive", "matching", "captioning", "generation")
TINY = LaMPConfig(
    vocab_size=len(WORDS) + 1,
    hidden_size=32,
    num_layers=3,
    num_heads=4,
    intermediate_size=64,
    max_positions=40,
    num_query_tokens=6,
    cross_attention_width=24,
    motion_width=12,
    embed_dim=16,
    nb_code=20,
    max_text_length=16,
)


def make_model(**changes) -> LaMP:
    """A small random model whose weights are large enough that every path matters."""
    torch.manual_seed(0)
    model = LaMP(dataclasses.replace(TINY, **changes))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    model.tokenizer = TextTokenizer(WORDS)
    return model.eval()


def make_batch(model: LaMP, texts: list[str] = TEXTS, motion_ids: list[int] | None = None) -> LaMPBatch:
    generator = torch.Generator().manual_seed(1)
    size = len(texts)
    return LaMPBatch(
        motion_features=torch.randn(size, 6, TINY.motion_width, generator=generator),
        motion_lengths=torch.tensor([6, 4, 5, 3] * 2)[:size],
        codes=torch.randint(TINY.nb_code, (size, 6), generator=generator),
        text=model.tokenize(texts),
        motion_ids=torch.arange(size) if motion_ids is None else torch.tensor(motion_ids),
    )


def moved(before: Tensor, after: Tensor) -> Tensor:
    """Which positions (B, S) of (B, S, ...) states changed."""
    return (before - after).abs().flatten(2).amax(-1) > 1e-4


# Tokenizer


def test_tokenizer_lower_cases_cuts_pads_and_reads_back():
    tokenizer = TextTokenizer(WORDS)
    assert tokenizer.dec_id == len(tokenizer) - 1 == len(WORDS)
    batch = tokenizer(["A Pérson WALKS.", "a", "zebra jumps"], 5)
    word = {word: index for index, word in enumerate(tokenizer.words)}
    assert batch.input_ids[0].tolist() == [word[w] for w in ("[CLS]", "a", "person", "walks", "[SEP]")]
    assert batch.input_ids[1].tolist() == [word[w] for w in ("[CLS]", "a", "[SEP]", "[PAD]", "[PAD]")]
    assert batch.input_ids[2].tolist() == [word[w] for w in ("[CLS]", "[UNK]", "jumps", "[SEP]", "[PAD]")]
    assert batch.attention_mask.sum(1).tolist() == [5, 3, 4]
    assert tokenizer(["a"], 9).input_ids.shape == (1, 3)
    assert tokenizer(["a"], 9, pad_to_max=True).input_ids.shape == (1, 9)
    assert tokenizer([""], 9).input_ids.tolist() == [[word["[CLS]"], word["[SEP]"]]]
    assert tokenizer.decode(batch.input_ids[0]) == "a person walks"


def test_special_tokens_typed_by_a_user_are_ordinary_characters():
    tokenizer = TextTokenizer(WORDS)
    ids = tokenizer(["a [SEP] [DEC] person"], 20).input_ids[0]
    assert (ids == tokenizer.sep_id).sum() == 1 and tokenizer.dec_id not in ids


def test_vocabulary_survives_saving_and_a_wrong_one_is_refused(tmp_path):
    tokenizer = TextTokenizer(WORDS)
    tokenizer.save(tmp_path)
    assert TextTokenizer.load(tmp_path).words == tokenizer.words
    with pytest.raises(UserError, match=r"\[CLS\]"):
        TextTokenizer(["[PAD]", "[UNK]", "a", "[SEP]"])


# What sees what


def test_padding_never_changes_a_result():
    model, batch = make_model(), make_batch(make_model())
    noisy = torch.cat([batch.motion_features, torch.randn(4, 3, TINY.motion_width)], dim=1)
    for row, length in enumerate(batch.motion_lengths):
        noisy[row, length:] = float("nan") if row else 50.0
    padded_text = batch.text.pad_to(14)
    padded_text.input_ids[~padded_text.attention_mask] = 7
    with torch.no_grad():
        for one, other in (
            (
                model.encode_motion(batch.motion_features, batch.motion_lengths),
                model.encode_motion(noisy, batch.motion_lengths),
            ),
            (model.encode_text(batch.text, with_condition=True), model.encode_text(padded_text, with_condition=True)),
        ):
            for field in dataclasses.fields(one):
                a, b = getattr(one, field.name), getattr(other, field.name)
                if field.name == "hidden":
                    a, b = a[batch.text.attention_mask], b[padded_text.attention_mask]
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        scores = model.match_score(batch.text, batch.motion_features, batch.motion_lengths)
        torch.testing.assert_close(scores, model.match_score(padded_text, noisy, batch.motion_lengths))
        codes = batch.codes.clone()
        codes[torch.arange(6) >= batch.motion_lengths[:, None]] = 0
        torch.manual_seed(3)
        loss = model(batch).loss
        torch.manual_seed(3)
        wide = dataclasses.replace(batch, motion_features=noisy, text=padded_text, codes=codes)
        torch.testing.assert_close(model(wide).loss, loss, rtol=1e-4, atol=1e-5)


def test_a_motion_alone_gives_the_same_features_as_in_a_batch():
    model, batch = make_model(), make_batch(make_model())
    together = model.encode_motion(batch.motion_features, batch.motion_lengths).queries
    for row, length in enumerate(batch.motion_lengths):
        alone = model.encode_motion(batch.motion_features[row : row + 1, :length]).queries
        torch.testing.assert_close(alone, together[row : row + 1], rtol=1e-4, atol=1e-5)


def test_captioning_text_sees_the_queries_and_its_past_only():
    model, batch = make_model(), make_batch(make_model(), TEXTS[:1])
    context = model.motion_context(batch.motion_features)
    motion = model._query_pass(context)
    before = model.language_logits(motion, batch.text)
    changed = TextBatch(batch.text.input_ids.clone(), batch.text.attention_mask)
    changed.input_ids[0, 3] = 9
    after = model.language_logits(motion, changed)
    assert moved(before, after)[0].tolist() == [False] * 3 + [True] * (before.shape[1] - 3)
    other = model._query_pass(model.motion_context(batch.motion_features + 1 + batch.motion_features**2))
    assert moved(before, model.language_logits(other, batch.text)).all()


def test_queries_do_not_see_text_in_captioning():
    model, batch = make_model(), make_batch(make_model())
    context = model.motion_context(batch.motion_features)
    weight = model.former.word_embedding.weight
    (gradient,) = torch.autograd.grad(model._query_pass(context).queries.square().sum(), weight, allow_unused=True)
    assert gradient is None


def test_contrastive_embeddings_see_their_own_side_only():
    model, batch = make_model(), make_batch(make_model())
    context = model.motion_context(batch.motion_features)
    text = model.encode_text(batch.text)
    queries = model._query_pass(context).queries
    text_loss, motion_loss = text.embedding.sum(), model._embed_motion(queries).sum()
    for loss, unseen in ((text_loss, model.motion_to_former.weight), (motion_loss, model.former.word_embedding.weight)):
        assert torch.autograd.grad(loss, unseen, allow_unused=True, retain_graph=True)[0] is None


def test_matching_sees_motion_and_text():
    model, batch = make_model(), make_batch(make_model())
    score = model.match_score(batch.text, batch.motion_features, batch.motion_lengths)
    reordered = TextBatch(batch.text.input_ids.clone(), batch.text.attention_mask)
    reordered.input_ids[:, 2] = 9
    other_text = model.match_score(reordered, batch.motion_features, batch.motion_lengths)
    other_motion = model.match_score(batch.text, batch.motion_features.flip(0), batch.motion_lengths)
    assert score.shape == (4,) and ((score > 0) & (score < 1)).all()
    assert not torch.allclose(score, other_text, atol=1e-4)
    assert not torch.allclose(score, other_motion, atol=1e-4)


@pytest.mark.parametrize("variant", ["contextual", "embedding"])
def test_generation_reads_the_text_and_not_the_motion(variant):
    model = make_model(text_condition=variant)
    batch = make_batch(model)
    logits = model.code_logits(batch.text)
    assert logits.shape == (4, TINY.num_query_tokens, TINY.nb_code)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)
    assert torch.autograd.grad(logits.sum(), model.motion_to_former.weight, allow_unused=True)[0] is None
    trained = model.text_to_former if variant == "contextual" else model.embedding_to_former
    assert torch.autograd.grad(model.code_logits(batch.text).sum(), trained.weight)[0].abs().sum() > 0


# Losses


def test_contrastive_loss_is_smoothed_cross_entropy_when_pairs_are_distinct():
    torch.manual_seed(0)
    text, motion = F.normalize(torch.randn(5, 8), dim=-1), F.normalize(torch.randn(5, 3, 8), dim=-1)
    scale, own = torch.tensor(14.0), torch.arange(5)
    result = losses.contrastive_loss(text, motion, scale=scale, motion_ids=own, captions=own, label_smoothing=0.1)
    logits = scale * torch.einsum("te,mqe->tmq", text, motion).amax(-1)
    expected = F.cross_entropy(logits, own, label_smoothing=0.1) + F.cross_entropy(logits.T, own, label_smoothing=0.1)
    torch.testing.assert_close(result.loss, expected / 2)
    torch.testing.assert_close(result.text_rows, logits)
    torch.testing.assert_close(result.motion_rows, logits.T)
    torch.testing.assert_close(result.text_to_motion, (logits.argmax(1) == own).float().mean())
    torch.testing.assert_close(losses.similarity(text, motion, chunk=2) * scale, logits)


def test_captions_of_one_motion_and_equal_captions_are_positives():
    model = make_model()
    text = model.tokenize([TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[0]])
    keys = losses.caption_keys(text.input_ids, text.attention_mask)
    padded = text.pad_to(12)
    assert torch.equal(keys, losses.caption_keys(padded.input_ids, padded.attention_mask))
    assert keys[0] == keys[3] and len(keys.unique()) == 3
    motion_ids = torch.tensor([5, 6, 6, 7])
    positives = losses.positive_pairs((motion_ids, keys), (motion_ids, keys))
    assert positives.int().tolist() == [[1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    logits = torch.randn(4, 4)
    uniform = (-(positives / 2) * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(losses.soft_cross_entropy(logits, positives, 0.0), uniform)


def test_caption_keys_tell_word_order_apart():
    ids = torch.tensor([[2, 5, 6, 3], [2, 6, 5, 3], [2, 5, 6, 6]])
    keys = losses.caption_keys(ids, torch.ones_like(ids, dtype=torch.bool))
    assert len(keys.unique()) == 3


def test_hard_negatives_are_never_positives_and_follow_the_similarity():
    torch.manual_seed(0)
    logits = torch.full((6, 6), -1000.0).fill_diagonal_(1000.0)
    logits[0, 4] = 5.0
    logits[3] = 1000.0
    ids = torch.tensor([0, 1, 1, 2, 3, 4])
    positives = ids[:, None] == ids[None, :]
    draws = torch.stack([losses.hard_negatives(logits, positives, torch.rand(6)).index for _ in range(200)])
    rows = torch.arange(6).expand_as(draws)
    assert not positives[rows, draws].any()
    assert (draws[:, 0] == 4).all() and len(draws[:, 3].unique()) == 5
    none_left = losses.hard_negatives(logits, torch.ones(6, 6, dtype=torch.bool), torch.rand(6))
    assert not none_left.valid.any()


def test_a_key_decides_a_hard_negative_in_any_batch():
    keys = torch.arange(5) * 7919
    logits, positives = torch.randn(5, 9), torch.zeros(5, 9, dtype=torch.bool)
    chance = losses.row_chances(keys, 5, keys.device)
    whole = losses.hard_negatives(logits, positives, chance[0]).index
    for rows in (slice(0, 2), slice(2, 5)):
        part = losses.row_chances(keys[rows], len(keys[rows]), keys.device)[0]
        assert torch.equal(losses.hard_negatives(logits[rows], positives[rows], part).index, whole[rows])


@pytest.mark.parametrize("variant", ["contextual", "embedding"])
@pytest.mark.parametrize("chosen", [c for n in (1, 2, 3, 4) for c in itertools.combinations(LOSSES, n)])
def test_every_trained_parameter_has_a_gradient(variant, chosen):
    model = make_model(text_condition=variant).train()
    weights = {name: float(name in chosen) for name in LOSSES}
    model(make_batch(model), weights).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    frozen = make_model(text_condition=variant, **{f"{name}_weight": weights[name] for name in LOSSES}).train()
    before = torch.get_rng_state()
    freeze_unused(frozen)
    assert torch.equal(torch.get_rng_state(), before)
    touched = {name for name, p in model.named_parameters() if p.grad.any()}
    trained = {name for name, p in frozen.named_parameters() if p.requires_grad}
    assert touched <= trained and ("code_head.weight" in trained) == ("generation" in chosen)
    frozen(make_batch(frozen)).loss.backward()
    assert {name for name, p in frozen.named_parameters() if p.grad is not None} == trained


def test_matching_without_any_negative_stays_finite():
    model = make_model()
    output = model(make_batch(model, motion_ids=[1, 1, 1, 1]))
    assert torch.isfinite(output.loss) and torch.isfinite(output.matching)


def test_generation_ignores_padding_and_refuses_motions_longer_than_the_queries():
    logits, codes = torch.randn(2, 6, 9), torch.randint(9, (2, 4))
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    loss = losses.generation_loss(logits, codes, valid, label_smoothing=0.1)
    expected = F.cross_entropy(logits[:, :4][valid], codes[valid], label_smoothing=0.1)
    torch.testing.assert_close(loss, expected)
    model = make_model(num_query_tokens=5)
    with pytest.raises(UserError, match="num_query_tokens"):
        model(make_batch(model))


@pytest.mark.parametrize("name", ["contrastive", "matching", "captioning", "generation"])
def test_each_loss_can_stand_alone_and_weight_zero_leaves_it_out(name):
    weights = {f"{loss}_weight": 0.0 for loss in ("contrastive", "matching", "captioning", "generation")}
    model = make_model(**(weights | {f"{name}_weight": 2.0}), matching_rows=2)
    output = model(make_batch(model))
    torch.testing.assert_close(output.loss, 2 * getattr(output, name))
    assert output.loss > 0
    if name != "contrastive":
        output.loss.backward()
        assert model.former.query_tokens.grad.abs().sum() > 0


def test_losses_fall_when_eight_pairs_are_learnt_by_heart():
    torch.manual_seed(0)
    model = LaMP(dataclasses.replace(TINY, dropout=0.0, attention_dropout=0.0, label_smoothing=0.0))
    model.tokenizer = TextTokenizer(WORDS)
    texts = [f"a person {verb} {where}" for verb in ("walks", "runs") for where in ("left", "right", "back", "forward")]
    batch = make_batch(model, texts)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99))
    first = model(batch)
    for _ in range(80):
        output = model(batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    for name in ("contrastive", "matching", "captioning", "generation"):
        assert getattr(output, name) < 0.6 * getattr(first, name), name
    assert output.text_to_motion_accuracy == 1 and output.motion_to_text_accuracy == 1
    assert sum(a == b for a, b in zip(model.eval().caption(batch.motion_features, batch.motion_lengths), texts)) >= 6


def test_captions_with_cache_equal_captions_without():
    model, batch = make_model(), make_batch(make_model())
    with torch.no_grad():
        motion = model._query_pass(model.motion_context(batch.motion_features, batch.motion_lengths))
        ids = torch.full((4, 1), model.tokenizer.cls_id)
        for _ in range(TINY.max_text_length - 1):
            text = TextBatch(ids, torch.ones_like(ids, dtype=torch.bool))
            ids = torch.cat([ids, model.language_logits(motion, text)[:, -1:].argmax(-1)], dim=1)
    expected = [model.tokenizer.decode(row[1:]) for row in ids]
    assert model.caption(batch.motion_features, batch.motion_lengths) == expected


# Whole model


def test_save_and_load_give_the_same_model(tmp_path):
    model = make_model(matching_rows=3)
    model.save_pretrained(tmp_path, meta={"step": 5})
    again = LaMP.from_pretrained(tmp_path)
    batch = make_batch(model)
    assert again.config == model.config and again.meta["step"] == 5
    one, other = model.encode_text(TEXTS, with_condition=True), again.encode_text(TEXTS, with_condition=True)
    assert torch.equal(one.embedding, other.embedding) and torch.equal(one.condition, other.condition)
    motion = model.encode_motion(batch.motion_features, batch.motion_lengths)
    assert torch.equal(motion.queries, again.encode_motion(batch.motion_features, batch.motion_lengths).queries)
    assert torch.equal(one.condition, model.text_condition(TEXTS))


def test_every_parameter_learns_and_a_batch_moves_between_devices():
    model = make_model()
    batch = make_batch(model)
    model(batch).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert batch.to("meta").text.input_ids.is_meta and batch.to("meta").codes.is_meta


def test_training_is_reproducible():
    def run() -> Tensor:
        model = make_model().train()
        torch.manual_seed(4)
        output = model(make_batch(model))
        output.loss.backward()
        return torch.cat([output.loss.view(1), model.former.query_tokens.grad.flatten()])

    assert torch.equal(run(), run())


def test_bfloat16_autocast_trains():
    model = make_model()
    with torch.autocast("cpu", torch.bfloat16):
        output = model(make_batch(model))
    output.loss.backward()
    assert output.loss.dtype == torch.float32 and torch.isfinite(output.loss)


def test_missing_or_foreign_vocabulary_is_a_clear_error():
    model = make_model()
    model.tokenizer = TextTokenizer([*WORDS, "extra"])
    with pytest.raises(UserError, match="vocab_size"):
        model.encode_text(TEXTS)
    model.tokenizer = None
    with pytest.raises(UserError, match="vocabulary"):
        model.encode_text(TEXTS)


# Several processes


def _contrastive_gradient(text: Tensor, motion: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    text, motion = text.clone().requires_grad_(), motion.clone().requires_grad_()
    result = losses.contrastive_loss(
        text, motion, scale=torch.tensor(5.0), motion_ids=ids, captions=ids + 100, label_smoothing=0.1
    )
    result.loss.backward()
    return text.grad, motion.grad


def _pairs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    text, motion = torch.randn(6, 8, generator=generator), torch.randn(6, 3, 8, generator=generator)
    return F.normalize(text, dim=-1), F.normalize(motion, dim=-1), torch.tensor([0, 1, 2, 1, 3, 4])


def _worker(rank: int, store: str, results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    own = slice(3 * rank, 3 * rank + 3)
    torch.save(_contrastive_gradient(*(part[own] for part in _pairs())), f"{results}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_gradient_of_one(tmp_path):
    torch.multiprocessing.spawn(_worker, args=(f"{tmp_path}/store", str(tmp_path)), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for index, expected in enumerate(_contrastive_gradient(*_pairs())):
        # Each process averages over its own half, and data-parallel training averages the processes.
        torch.testing.assert_close(torch.cat([part[index] for part in parts]) / 2, expected)


# Initialisation from BERT


@pytest.fixture
def bert_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=40,
        initializer_range=0.3,
    )
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return tmp_path


def test_text_side_equals_the_bert_it_came_from(bert_folder):
    import transformers

    lamp = LaMP(config_for_bert(bert_folder, motion_width=12, cross_attention_width=24)).eval()
    report = initialize_from_bert(lamp, bert_folder)
    assert report.layers == (0, 1, 2, 3) and report.language_head and report.words == len(WORDS) + 1
    bert = transformers.BertForMaskedLM.from_pretrained(bert_folder).eval()
    text = lamp.tokenize(TEXTS)
    with torch.no_grad():
        mask = text.attention_mask.long()
        theirs = bert(input_ids=text.input_ids, attention_mask=mask, output_hidden_states=True)
        ours = lamp.encode_text(text).hidden
        logits = lamp.language_head(ours, lamp.former.word_embedding.weight)[..., :-1]
    valid = text.attention_mask
    torch.testing.assert_close(ours[valid], theirs.hidden_states[-1][valid], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[valid], theirs.logits[valid], rtol=1e-4, atol=1e-4)
    layer = lamp.former.layers[1]
    assert torch.equal(layer.query_feed_forward.linear.weight, layer.text_feed_forward.linear.weight)


def test_a_shallower_lamp_takes_a_selection_of_layers(bert_folder):
    lamp = LaMP(config_for_bert(bert_folder, num_layers=3))
    assert initialize_from_bert(lamp, bert_folder).layers == (0, 2, 3)
    assert initialize_from_bert(lamp, bert_folder, selection="first").layers == (0, 1, 2)
    with pytest.raises(UserError, match="num_layers"):
        initialize_from_bert(LaMP(config_for_bert(bert_folder, num_layers=5)), bert_folder)
    with pytest.raises(UserError, match="hidden_size"):
        initialize_from_bert(LaMP(config_for_bert(bert_folder, hidden_size=64)), bert_folder)
    with pytest.raises(UserError, match=r"config\.json"):
        config_for_bert(bert_folder.parent)


def test_a_new_lamp_takes_its_sizes_from_tokenizer_and_bert(bert_folder, tmp_path, capsys):
    tokenizer, wanted = RVQConfig(code_dim=24, nb_code=7), dataclasses.replace(TINY, num_layers=2, hidden_size=64)
    lamp = create_lamp(wanted, tokenizer, str(bert_folder))
    assert (lamp.config.motion_width, lamp.config.nb_code, lamp.config.num_layers) == (24, 7, 2)
    assert lamp.config.hidden_size == config_for_bert(bert_folder).hidden_size and lamp.config.embed_dim == 16
    assert "layers (0, 1)" in capsys.readouterr().out
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(WORDS), encoding="utf-8")
    scratch = create_lamp(wanted, tokenizer, "none", vocab=vocab)
    assert scratch.config.hidden_size == 64 and scratch.config.vocab_size == len(scratch.tokenizer)
    with pytest.raises(UserError, match="--vocab"):
        create_lamp(wanted, tokenizer, "none")


# The public systems' numbers


def close(actual: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=atol)


@pytest.fixture
def public() -> tuple[LaMP, dict, TextBatch, Tensor]:
    """The public pretraining model, its fixture, its tokenized texts and motion features."""
    golden = load_golden("lamp_qformer_small")
    config, state = convert_qformer(golden["state_dict"], golden["config"])
    model = LaMP(config).eval()
    model.load_state_dict(state)
    model.tokenizer = TextTokenizer(golden["config"]["vocab"])
    text = model.tokenizer(golden["config"]["texts"], config.max_text_length, pad_to_max=True)
    # The fixture holds the motion after its projection; undo it to have what our model takes.
    projection = golden["state_dict"]["motion_projection"].double()
    features = golden["outputs"]["motion_embeds"].double() @ torch.linalg.pinv(projection)
    return model, golden, text, features.float()


@needs_golden("lamp_qformer_small")
@torch.no_grad()
def test_public_pretraining_features(public):
    model, golden, text, features = public
    expected = golden["outputs"]
    assert torch.equal(text.input_ids, expected["input_ids"])
    assert torch.equal(text.attention_mask, expected["attention_mask"].bool())
    motion, words = model.encode_motion(features), model.encode_text(text)
    close(motion.queries, expected["query_hidden"])
    close(motion.embeddings, expected["motion_feats"])
    close(F.normalize(motion.embeddings.mean(1), dim=-1), expected["motion_feat_mean"])
    close(words.hidden, expected["text_hidden"])
    close(words.embedding, expected["text_feat"])
    scaled = model.similarity(words.embedding, motion.embeddings) * model.scale()
    close(scaled, expected["sim_t2m_max_scaled"])
    close(scaled.T, expected["sim_m2t_max_scaled"])


@needs_golden("lamp_qformer_small")
@torch.no_grad()
def test_public_pretraining_losses(public):
    model, golden, text, features = public
    inputs, expected = golden["inputs"], golden["outputs"]
    context, own = model.motion_context(features), torch.arange(3)

    def match(motion: Tensor, words: Tensor) -> Tensor:
        rows = context.select(torch.cat([own, motion, own])), text.select(torch.cat([own, own, words]))
        return model.match_logits(*rows)

    close(match(inputs["neg_motion_idx"], inputs["neg_text_idx"]), expected["itm_logits"])
    close(model.language_logits(model._query_pass(context), text), expected["lm_logits"])
    close(model.code_logits(text), expected["t2m_logits"])
    # The stored draws may be the pair itself, which ours never draws: the matching loss is checked with them as given.
    output = model(LaMPBatch(features, torch.full((3,), 8), expected["motion_code_targets"], text, own))
    logits = match(expected["argmax_neg_motion_idx"], expected["argmax_neg_text_idx"])
    matching = losses.matching_loss(logits, torch.arange(9) < 3, torch.ones(9, dtype=torch.bool))
    total = output.loss - output.matching + matching
    parts = torch.stack([total, output.contrastive, matching, output.captioning, output.generation])
    close(parts, expected["forward_losses_argmax_negatives"])
    close(output.captioning, expected["lm_loss"])


@needs_golden("lamp_mask_transformer_small")
@torch.no_grad()
def test_public_text_condition():
    golden = load_golden("lamp_mask_transformer_small")
    config, state = convert_qformer(golden["state_dict"], golden["config"])
    model = LaMP(config).eval()
    model.load_state_dict(state)
    model.tokenizer = TextTokenizer(golden["config"]["vocab"])
    close(model.text_condition(golden["config"]["texts"]), golden["outputs"]["cond_vector"])
    text = TextBatch(golden["outputs"]["input_ids"], golden["outputs"]["attention_mask"].bool())
    close(model.text_condition(text), golden["outputs"]["cond_vector"])
    with pytest.raises(UserError, match="motion side"):
        model.encode_motion(torch.zeros(1, 4, 512))


def _public_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Public names and shapes of a Q-Former of the given sizes."""
    bert = config["bert"]
    hidden, inner, words = bert["hidden_size"], bert["intermediate_size"], bert["vocab_size_after_resize"]
    shapes = {"query_tokens": (1, config["num_query_token"], hidden)}

    def linear(name: str, rows: int, columns: int) -> None:
        shapes.update({f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)})

    def norm(name: str) -> None:
        shapes.update({f"{name}.weight": (hidden,), f"{name}.bias": (hidden,)})

    shapes["Qformer.bert.embeddings.position_embeddings.weight"] = (bert["max_position_embeddings"], hidden)
    norm("Qformer.bert.embeddings.LayerNorm")
    for index in range(bert["num_hidden_layers"]):
        layer = f"Qformer.bert.encoder.layer.{index}."
        blocks = {"attention": hidden}
        if index % config["cross_attention_freq"] == 0:
            blocks["crossattention"] = config["encoder_width"]
        for block, width in blocks.items():
            linear(f"{layer}{block}.self.query", hidden, hidden)
            linear(f"{layer}{block}.self.key", hidden, width)
            linear(f"{layer}{block}.self.value", hidden, width)
            linear(f"{layer}{block}.output.dense", hidden, hidden)
            norm(f"{layer}{block}.output.LayerNorm")
        for suffix in ("", "_query"):
            linear(f"{layer}intermediate{suffix}.dense", inner, hidden)
            linear(f"{layer}output{suffix}.dense", hidden, inner)
            norm(f"{layer}output{suffix}.LayerNorm")
    linear("Qformer.cls.predictions.transform.dense", hidden, hidden)
    norm("Qformer.cls.predictions.transform.LayerNorm")
    linear("Qformer.cls.predictions.decoder", words, hidden)
    linear("text_proj", config["embed_dim"], hidden)
    linear("motion_proj", config["embed_dim"], hidden)
    linear("itm_head", 2, hidden)
    return shapes


@torch.no_grad()
def test_public_sizes():
    golden = load_golden("lamp_qformer_default")
    config, inputs, expected = golden["config"], golden["inputs"], golden["outputs"]
    state = procedural_weights(_public_shapes(config))
    width, hidden = config["encoder_width"], config["bert"]["hidden_size"]
    words = state["Qformer.cls.predictions.decoder.weight"]
    state |= {
        "Qformer.bert.embeddings.word_embeddings.weight": words,  # tied
        # The fixture starts after the motion projection and has no motion codes.
        "motion_projection": torch.eye(width),
        "text_projection": torch.zeros(hidden, width),
        "motion_cls.weight": torch.zeros(1, hidden),
        "temp": torch.tensor(1.0),
    }
    our_config, tensors = convert_qformer(state, config)
    with torch.device("meta"):
        model = LaMP(our_config).eval()
    model.load_state_dict(tensors, assign=True)
    text = TextBatch(inputs["input_ids"], inputs["attention_mask"].bool())
    context = model.motion_context(inputs["motion_embeds"])
    motion = model._query_pass(context)
    close(model._embed_motion(motion.queries), expected["motion_feats"], 2e-5)
    close(model.encode_text(text).embedding, expected["text_feat"], 2e-5)
    close(model.match_logits(context, text), expected["itm_logits"], 2e-5)
    logits = model.language_logits(motion, text)
    close(logits[..., :64], expected["lm_logits_first64"], 2e-5)
    close(logits.logsumexp(-1), expected["lm_logsumexp"], 2e-5)
    assert torch.equal(logits.argmax(-1), expected["lm_argmax"])
