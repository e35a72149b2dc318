"""Checkpoints of the public systems, imported, give their own outputs again."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import golden_file, load_golden
from public_layout import BESIDE, OPTIMIZER, SMALL_EVALUATOR, by_module, close, public_run, refused, run
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from torch import Tensor

from lamp.models.evaluator import Evaluator, MovementAutoencoder
from lamp.models.lamp.model import LaMP
from lamp.models.lamp.text import TextBatch
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.length import LengthEstimator
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.t2m.residual import ResidualTransformer
from lamp.models.vq.model import RVQVAE
from tests.marks import needs_golden


@needs_golden("rvqvae_small", "lamp_vqvae_small")
@pytest.mark.parametrize(
    ("name", "key"), [("rvqvae_small", "vq_model"), ("lamp_vqvae_small", "net"), ("rvqvae_small", None)]
)
@torch.no_grad()
def test_tokenizers_reproduce_their_outputs(name: str, key: str | None, tmp_path: Path) -> None:
    golden, path = load_golden(name), golden_file(name)
    if key is not None:
        path = public_run(tmp_path / "run", {key: golden["state_dict"], **BESIDE}, golden["config"], meta=263)
    run(path, tmp_path / "out")
    model = RVQVAE.from_pretrained(tmp_path / "out")
    x, expected = golden["inputs"]["x"], golden["outputs"]
    close(model.encode_features(x).transpose(1, 2), expected["encoder_out"])
    close(model(x).recon, expected["forward_out"])
    if key is not None:
        np.testing.assert_array_equal(model.mean, np.load(tmp_path / "run" / "meta" / "mean.npy"))
        np.testing.assert_array_equal(model.std, np.load(tmp_path / "run" / "meta" / "std.npy"))
        assert model.meta["ep"] == 3.0 and model.meta["total_it"] == 70


@needs_golden("mask_transformer_small")
@torch.no_grad()
def test_masked_transformer_reproduces_its_outputs(tmp_path: Path) -> None:
    golden = load_golden("mask_transformer_small")
    frozen = {"clip_model.token_embedding.weight": torch.zeros(3, 2)}
    path = public_run(
        tmp_path / "run", {"t2m_transformer": golden["state_dict"] | frozen}, {"n_heads": golden["config"]["num_heads"]}
    )
    run(path, tmp_path / "out")
    model, inputs = MaskedTransformer.from_pretrained(tmp_path / "out"), golden["inputs"]
    logits = model.logits(inputs["ids"], inputs["cond"], inputs["padding_mask"])
    close(logits.transpose(1, 2), golden["outputs"]["logits"])
    codes = model.generate(inputs["cond"], inputs["lengths"], steps=6, cond_scale=4.0, temperature=1e-8)
    assert torch.equal(codes, golden["outputs"]["generate_greedy_t6_cfg4"][:, : codes.shape[1]])


@needs_golden("residual_transformer_small", "residual_transformer_noshare")
@pytest.mark.parametrize("name", ["residual_transformer_small", "residual_transformer_noshare"])
@torch.no_grad()
def test_residual_transformers_reproduce_their_outputs(name: str, tmp_path: Path) -> None:
    golden = load_golden(name)
    torch.save({"res_transformer": golden["state_dict"]}, tmp_path / "latest.tar")
    run(tmp_path / "latest.tar", tmp_path / "out", "--n_heads", golden["config"]["num_heads"])
    model, inputs = ResidualTransformer.from_pretrained(tmp_path / "out"), golden["inputs"]
    codes = model.generate(
        inputs["indices"][..., 0], inputs["cond"], inputs["lengths"], cond_scale=5.0, temperature=1e-8
    )
    assert torch.equal(codes, golden["outputs"]["generate_greedy"])


@needs_golden("length_estimator")
@torch.no_grad()
def test_length_estimator_reproduces_its_outputs(tmp_path: Path) -> None:
    golden = load_golden("length_estimator")
    torch.save({"estimator": golden["state_dict"], "epoch": 4, "niter": 5}, tmp_path / "finest.tar")
    run(tmp_path / "finest.tar", tmp_path / "out")
    model = LengthEstimator.from_pretrained(tmp_path / "out")
    close(model.logits(golden["inputs"]["text_emb"]), golden["outputs"]["logits"])


def short_vocabulary(folder: Path, words: list[str]) -> Path:
    """Folder with only some of the words."""
    (folder / "short").mkdir()
    (folder / "short" / "vocab.txt").write_text("\n".join(words[:49]) + "\n", encoding="utf-8")
    return folder / "short"


@needs_golden("lamp_qformer_small")
@torch.no_grad()
def test_lamp_pretraining_model_comes_with_its_two_encoders(tmp_path: Path, capsys) -> None:
    golden = load_golden("lamp_qformer_small")
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("\n".join(golden["config"]["vocab"]) + "\n", encoding="utf-8")
    content = {"motion_qformer": golden["state_dict"], "config": {"max_txt_len": golden["config"]["max_txt_len"]}}
    torch.save(content, tmp_path / "best.tar")
    arguments = (tmp_path / "best.tar", tmp_path / "out", "--vq_name", "codes")
    assert "give --bert_heads" in refused(capsys, *arguments, "--vocab", vocab)
    assert "give --vocab" in refused(capsys, *arguments, "--bert_heads", 4)
    assert "50 words with [DEC], the Q-Former 76" in refused(
        capsys, *arguments, "--bert_heads", 4, "--vocab", short_vocabulary(tmp_path, golden["config"]["vocab"])
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.tar", "short", "vocab.txt"]
    run(*arguments, "--bert_heads", 4, "--vocab", vocab)
    lamp, expected = LaMP.from_pretrained(tmp_path / "out"), golden["outputs"]
    name = json.loads((tmp_path / "out" / "opt.json").read_text())["vq_name"]
    assert name == "codes_features"
    motion = golden["inputs"]["motion"]
    features = RVQVAE.from_pretrained(tmp_path / name).encode_features(motion)
    close(lamp.encode_motion(features).embeddings, expected["motion_feats"])
    codes = RVQVAE.from_pretrained(tmp_path / "codes").encode(motion)[..., 0]
    assert torch.equal(codes, expected["motion_code_targets"])
    close(lamp.encode_text(golden["config"]["texts"]).embedding, expected["text_feat"])


@needs_golden("lamp_mask_transformer_small")
@torch.no_grad()
def test_lamp_masked_transformer_comes_with_its_text_encoder(tmp_path: Path) -> None:
    golden, path = load_golden("lamp_mask_transformer_small"), golden_file("lamp_mask_transformer_small")
    run(path, tmp_path / "t2m", "--lamp_name", "text")
    options = json.loads((tmp_path / "t2m" / "opt.json").read_text())
    assert (options["text_encoder"], options["lamp_name"]) == ("lamp", "text")
    condition = LaMP.from_pretrained(tmp_path / "text").text_condition(golden["config"]["texts"])
    close(condition, golden["outputs"]["cond_vector"])
    model, inputs = MaskedTransformer.from_pretrained(tmp_path / "t2m"), golden["inputs"]
    assert model.config.attention == "soft"
    close(model.logits(inputs["ids"], condition, None).transpose(1, 2), golden["outputs"]["logits"])


@needs_golden("lamp_vqvae_small", "lamp_mask_transformer_small")
def test_an_imported_lamp_set_generates(tmp_path: Path) -> None:
    run(golden_file("lamp_vqvae_small"), tmp_path / "vq")
    run(golden_file("lamp_mask_transformer_small"), tmp_path / "t2m", "--vq_name", "vq")
    pipe = LaMPPipeline.from_runs(tmp_path, "t2m", None)
    assert pipe("a person walks forward", 40)[0].joints.shape == (40, 22, 3)
    assert pipe.cut_prompts(["walks " * 40]) == [] and pipe.cut_prompts(["walks " * 60])


@needs_golden("lamp_qformer_small", "lamp_mask_transformer_small")
def test_a_lamp_model_takes_the_text_condition_of_its_text_to_motion_file(tmp_path: Path, capsys) -> None:
    pretrained, generator = load_golden("lamp_qformer_small"), load_golden("lamp_mask_transformer_small")
    keys = ("Qformer.", "query_tokens")
    own = {key: value for key, value in pretrained["state_dict"].items() if key.startswith(keys)}
    state = {key: value for key, value in generator["state_dict"].items() if not key.startswith(keys)} | own
    torch.save({"motion_qformer": pretrained["state_dict"], "config": pretrained["config"]}, tmp_path / "lamp.tar")
    config = generator["config"] | {"max_txt_len": 49}
    torch.save({"t2m_transformer": state, "config": config}, tmp_path / "t2m.tar")
    run(tmp_path / "lamp.tar", tmp_path / "lamp", "--condition", tmp_path / "t2m.tar")
    lamp = LaMP.from_pretrained(tmp_path / "lamp")
    assert lamp.config.has_condition and lamp.config.has_motion
    run(tmp_path / "t2m.tar", tmp_path / "t2m", "--lamp_name", "lamp")
    assert "stays as it is" in capsys.readouterr().out
    other = golden_file("lamp_mask_transformer_small")
    line = refused(capsys, tmp_path / "lamp.tar", tmp_path / "lamp2", "--condition", other)
    assert "another Q-Former" in line
    assert "is not the LaMP" in refused(capsys, other, tmp_path / "t2m2", "--lamp_name", "lamp")
    assert not (tmp_path / "lamp2").exists() and not (tmp_path / "t2m2").exists()


@needs_golden("t2m_evaluator_small")
@torch.no_grad()
def test_evaluator_reproduces_its_outputs(tmp_path: Path) -> None:
    golden = load_golden("t2m_evaluator_small")
    modules = by_module(golden["state_dict"])
    path = public_run(tmp_path / "text_mot_match", {**modules, "opt_text_encoder": OPTIMIZER, "epoch": 2}, {})
    (tmp_path / "Comp_v6_KLD005" / "meta").mkdir(parents=True)
    for name, value in (("mean", np.full(263, 0.5)), ("std", np.full(263, 2.0))):
        np.save(tmp_path / "Comp_v6_KLD005" / "meta" / f"{name}.npy", value)
    run(path, tmp_path / "evaluator")
    model, inputs, expected = Evaluator.from_pretrained(tmp_path / "evaluator"), golden["inputs"], golden["outputs"]
    assert (model.mean == 0.5).all() and (model.std == 2).all()
    movements = model.movement_encoder(inputs["motion"][..., :-4])
    close(movements, expected["movements"])
    close(model.motion_encoder(movements, inputs["m_lens"] // 4), expected["motion_embedding"])
    texts = model.text_encoder(inputs["word_embs"], inputs["pos_onehot"], inputs["cap_lens"])
    close(texts, expected["text_embedding"])


def test_evaluator_takes_the_public_word_vectors(tmp_path: Path, capsys) -> None:
    torch.manual_seed(0)
    state = by_module(Evaluator(SMALL_EVALUATOR).state_dict())
    torch.save(state, tmp_path / "finest.tar")
    words = ["walk", "unk", "sos", "eos"]
    (tmp_path / "glove").mkdir()
    vectors = np.random.RandomState(0).standard_normal((4, 300)).astype(np.float32)
    np.save(tmp_path / "glove" / "our_vab_data.npy", vectors)
    for name, value in (("words", words), ("idx", {word: row for row, word in enumerate(words)})):
        (tmp_path / "glove" / f"our_vab_{name}.pkl").write_bytes(pickle.dumps(value))
    run(tmp_path / "finest.tar", tmp_path / "evaluator", "--glove", tmp_path / "glove")
    model = Evaluator.from_pretrained(tmp_path / "evaluator")
    assert model.config.word_vectors == "our_vab"
    np.testing.assert_array_equal(model.read_texts([["walk/VERB"]]).words[0, 1], vectors[0])
    assert "our_vab_data.npy" in refused(capsys, tmp_path / "finest.tar", tmp_path / "out", "--glove", tmp_path)


def all_words(ids: Tensor) -> TextBatch:
    return TextBatch(ids, torch.ones_like(ids, dtype=torch.bool))


@needs_golden("m2t_gpt_small")
@torch.no_grad()
def test_motion_code_gpt_reproduces_its_outputs(tmp_path: Path) -> None:
    golden = load_golden("m2t_gpt_small")
    torch.save({"trans": golden["state_dict"]}, tmp_path / "net_last.pth")
    run(tmp_path / "net_last.pth", tmp_path / "gpt", "--n_heads", golden["config"]["n_head"])
    model = Captioner.from_pretrained(tmp_path / "gpt")
    ids, condition = golden["inputs"]["idx"], golden["inputs"]["cond"][:, None]
    close(model.logits(condition, all_words(ids)), golden["outputs"]["logits"])
    close(model.logits(condition, all_words(ids[:, :0])), golden["outputs"]["logits_empty"])
    first = model.caption(condition[:1], num_beams=1)[0][0].split()
    assert first[: ids.shape[1]] == [str(code) for code in golden["outputs"]["greedy"][0].tolist()]


def captioner_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A motion-to-text file put together from fixtures, with LoRA and the aliases of the public one; its fixture."""
    golden, lamp = load_golden("m2t_opt_small"), load_golden("lamp_qformer_small")["state_dict"]
    parts = ("Qformer.bert.", "query_tokens", "motion_projection", "motion_encoder.", "vq_model.")
    state = {key: value for key, value in lamp.items() if key.startswith(parts)} | golden["state_dict"]
    torch.manual_seed(0)
    for layer in range(golden["config"]["num_hidden_layers"]):
        name = f"opt_model.model.decoder.layers.{layer}.self_attn.q_proj"
        down, up = torch.randn(4, 48), torch.randn(48, 4)
        state[f"{name}.base_layer.weight"] = state.pop(f"{name}.weight") - 32 / 4 * up @ down
        state[f"{name}.base_layer.bias"] = state.pop(f"{name}.bias")
        state |= {f"{name}.lora_A.default.weight": down, f"{name}.lora_B.default.weight": up}
    twins = {key.replace("opt_model.", "llm.base_model.model."): v for key, v in state.items() if "opt_model." in key}
    unused = {"trans_base.tok_emb.weight": torch.ones(3, 2)}
    torch.save({"trans": state | twins | unused}, folder / "m2t.pth")
    return folder / "m2t.pth", golden


@needs_golden("lamp_qformer_small")
@torch.no_grad()
def test_captioner_reproduces_its_outputs_and_runs(tmp_path: Path, capsys) -> None:
    path, golden = captioner_file(tmp_path)
    run(golden_file("lamp_qformer_small"), tmp_path / "lamp")
    assert "--lamp_name" in refused(capsys, path, tmp_path / "m2t", "--n_heads", 4)
    assert "give --n_heads" in refused(capsys, path, tmp_path / "m2t", "--lamp_name", "lamp")
    run(path, tmp_path / "m2t", "--lamp_name", "lamp", "--vq_name", "lamp_vq", "--n_heads", 4)
    model, inputs = Captioner.from_pretrained(tmp_path / "m2t"), golden["inputs"]
    text = TextBatch(inputs["input_ids"], inputs["attention_mask"].bool())
    close(model.logits(inputs["query_hidden"], text), golden["outputs"]["logits"])
    close(model(inputs["query_hidden"], text).loss, golden["outputs"]["loss"])
    pipe = CaptionPipeline.from_runs(tmp_path, "m2t")
    queries = load_golden("lamp_qformer_small")
    motion = queries["inputs"]["motion"]
    close(pipe.queries(motion, torch.tensor([motion.shape[1]] * len(motion))), queries["outputs"]["query_hidden"])
    assert not (tmp_path / "m2t_vq").exists()


WORDS = {"</s>": 0, "<pad>": 1, "<unk>": 2, "\n": 3, "walk": 4, "a": 5, "man": 6, "is": 7}


def continued(model: Captioner, queries: Tensor, first: list[int], steps: int) -> Tensor:
    """What the language model writes greedily after projected queries and first words, each word by a whole pass."""
    ids = torch.tensor(first).expand(len(queries), -1)
    done = torch.zeros(len(queries), dtype=torch.bool)
    for _ in range(steps):
        inputs = torch.cat((model.projection(queries), model.word_embedding(ids)), dim=1)
        word = model.language(inputs_embeds=inputs).logits[:, -1].argmax(-1)
        word = torch.where(done, model.vocabulary.pad_id, word)
        done |= word == model.vocabulary.end_id
        ids = torch.cat((ids, word[:, None]), dim=1)
    return ids[:, len(first) :]


@needs_golden("lamp_qformer_small")
@torch.no_grad()
def test_captions_begin_and_end_as_the_public_ones_do(tmp_path: Path, capsys) -> None:
    transformers = pytest.importorskip("transformers")
    path, golden = captioner_file(tmp_path)
    run(golden_file("lamp_qformer_small"), tmp_path / "lamp")
    words = Tokenizer(WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = Split(" ", "removed")
    special = {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(tmp_path / "opt")
    arguments = ("--lamp_name", "lamp", "--vq_name", "lamp_vq", "--n_heads", 4, "--llm", tmp_path / "opt")
    run(path, tmp_path / "m2t", *arguments)
    model = Captioner.from_pretrained(tmp_path / "m2t")
    vocabulary = model.vocabulary
    assert vocabulary.end_id == 3 and vocabulary(["walk walk"], 8).input_ids.tolist() == [[4, 4, 3]]
    # The public code continues "a man is"; training, which this model may be put to, does not.
    assert vocabulary.prompt == (5, 6, 7) and "captions begin with 'a man is'" in capsys.readouterr().out
    queries = golden["inputs"]["query_hidden"]
    assert model.prefix(queries, writing=True).shape[1] == model.prefix(queries).shape[1] + 3
    expected = continued(model, queries, [*vocabulary.begin, 5, 6, 7], steps=6)
    written = model.generate(queries, num_beams=1, max_length=6).ids[:, 0]
    assert torch.equal(written, expected[:, : written.shape[1]])
    assert all(caption.startswith("a man is") for (caption,) in model.caption(queries, num_beams=1))


def test_movement_auto_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MovementAutoencoder(SMALL_EVALUATOR).eval()
    state = model.state_dict()
    halves = {
        f"movement_{short}": {key.removeprefix(f"{long}."): state[key] for key in state if key.startswith(f"{long}.")}
        for short, long in (("enc", "encoder"), ("dec", "decoder"))
    }
    torch.save({**halves, "opt_movement_enc": OPTIMIZER, "ep": 1}, tmp_path / "finest.tar")
    run(tmp_path / "finest.tar", tmp_path / "Decomp")
    x = torch.randn(1, 24, 263)
    assert torch.equal(MovementAutoencoder.from_pretrained(tmp_path / "Decomp")(x)[1], model(x)[1])
