"""Motion to text: masks, decoding, saving, language models of the library, and the scripts end to end."""

import copy
import csv
import dataclasses
import importlib
import itertools
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.models.checkpoints import model_folder
from lamp.models.fast import speed_up
from lamp.models.lamp.model import LaMP
from lamp.models.lamp.text import TextBatch, TextTokenizer
from lamp.models.lamp.types import LaMPConfig
from lamp.models.m2t.captioner import Captioner
from lamp.models.m2t.decoding import nucleus
from lamp.models.m2t.language import CaptionerConfig, checkpoint_gradients
from lamp.models.m2t.pipeline import CaptionPipeline
from lamp.models.m2t.vocabulary import WordPieceVocabulary
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.masked import MaskedConfig, MaskedTransformer
from lamp.models.t2m.residual import ResidualConfig, ResidualTransformer
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.options.m2t import CaptionOptions, M2TOptions
from lamp.prepare.public.weights.m2t import convert_captioner
from lamp.utils.capture.files import read_motion
from lamp.utils.cli import parse
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion
from lamp.utils.run.optim import adamw
from tests.golden import load_golden

transformers = pytest.importorskip("transformers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "person",
    "man",
    "walks",
    "runs",
    "##ing",
    "walk",
    "slowly",
    "forward",
]
TINY = CaptionerConfig(query_dim=6, num_queries=4, num_layers=2, embed_dim=16, num_heads=2, block_size=9, dropout=0.0)
USER_COMMAND = (
    "--exp-name M2T --num-layers 12 --batch-size 80 --embed-dim-gpt 1024 --nb-code 512 --n-head-gpt 16 --block-size 51 "
    "--ff-rate 4 --drop-out-rate 0.1 --resume-pth your_own_vqvae --vq-name VQVAE --out-dir ./output "
    "--total-iter 150000 --lr-scheduler 75000 --lr 0.00005 --dataname kit --down-t 2 --depth 3 --quantizer ema_reset "
    "--eval-iter 10000 --pkeep 0.5 --dilation-growth-rate 3 --vq-act relu"
)


@pytest.fixture
def captioner() -> Captioner:
    torch.manual_seed(0)
    return Captioner.create(TINY, TextTokenizer(WORDS)).eval()


class Numbers(WordPieceVocabulary):
    """Ids as text."""

    def decode(self, ids):
        return " ".join(map(str, itertools.takewhile(lambda index: index != self.end_id, ids.tolist())))


@pytest.fixture(params=["plain", "fast"])
def writer(captioner, request) -> Captioner:
    """A captioner whose untrained language model has opinions, and often ends a caption (by the word "runs")."""
    with torch.no_grad():
        for name, parameter in captioner.language.named_parameters():
            parameter.mul_(20 if ".h." in name and parameter.ndim == 2 else 1)
        captioner.language.get_input_embeddings().weight.mul_(5)
        captioner.projection.weight.mul_(5)
    captioner.vocabulary = Numbers(captioner.vocabulary.tokenizer)
    captioner.vocabulary.end_id = WORDS.index("runs")
    return speed_up(captioner) if request.param == "fast" else captioner


def batch(captioner: Captioner, texts: list[str]) -> TextBatch:
    return captioner.vocabulary(texts, captioner.config.block_size)


# Loss and masks


def test_public_captioning_path():
    golden = load_golden("m2t_opt_small")
    config, state = convert_captioner(golden["state_dict"], golden["config"])
    model = Captioner(config)
    model.load_state_dict(state, strict=True)
    model.eval()
    inputs, expected = golden["inputs"], golden["outputs"]
    text = TextBatch(inputs["input_ids"], inputs["attention_mask"].bool())
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(model.logits(inputs["query_hidden"], text), expected["logits"], **close)
    torch.testing.assert_close(model(inputs["query_hidden"], text).loss, expected["loss"], **close)


def test_captions_see_motion_and_past_but_not_the_future(captioner):
    queries = torch.randn(1, 4, 6)
    text = batch(captioner, ["a person walks slowly forward"])
    before = captioner.logits(queries, text)
    changed = TextBatch(text.input_ids.clone(), text.attention_mask)
    changed.input_ids[0, 2] = 4
    after = captioner.logits(queries, changed)
    place = 4 + 1 + 2  # queries, [DEC], two words
    torch.testing.assert_close(after[:, :place], before[:, :place])
    assert not torch.allclose(after[:, place], before[:, place])
    queries[0, 0] += 1
    assert not torch.allclose(captioner.logits(queries, text)[:, place], before[:, place])


def test_padding_changes_nothing(captioner):
    queries = torch.randn(2, 4, 6)
    short, both = batch(captioner, ["a man runs"]), batch(captioner, ["a man runs", "a person walks slowly forward"])
    alone = captioner.logits(queries[:1], short)
    torch.testing.assert_close(captioner.logits(queries, both)[:1, : alone.shape[1]], alone)
    garbage = TextBatch(torch.where(both.attention_mask, both.input_ids, 7), both.attention_mask)
    torch.testing.assert_close(captioner(queries, garbage).loss, captioner(queries, both).loss)


def test_only_the_caption_and_its_end_are_predicted(captioner):
    queries, text = torch.randn(1, 4, 6), batch(captioner, ["a man runs"])
    assert text.input_ids[0, -1] == captioner.vocabulary.end_id
    logits = captioner.logits(queries, text)[0, -5:-1].log_softmax(-1)
    by_hand = -logits.gather(-1, text.input_ids[0, :, None]).mean()
    torch.testing.assert_close(captioner(queries, text).loss, by_hand)


def test_pkeep_drops_queries_in_training_only(captioner):
    captioner.config = dataclasses.replace(captioner.config, pkeep=0.0)
    queries = torch.randn(1, 4, 6)
    torch.testing.assert_close(captioner.train().prefix(queries), captioner.prefix(0 * queries))
    assert not torch.allclose(captioner.eval().prefix(queries), captioner.prefix(0 * queries))


def test_it_learns_to_describe(captioner):
    queries, texts = torch.randn(2, 4, 6), ["a person walks slowly", "a man runs forward"]
    text = batch(captioner, texts)
    optimizer = torch.optim.AdamW(captioner.parameters(), lr=1e-2)
    for _ in range(60):
        loss = captioner.train()(queries, text).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    for beams in (1, 3):
        assert captioner.eval().caption(queries, num_beams=beams) == [[text] for text in texts]


# Decoding


@pytest.mark.parametrize("beams", [1, 3])
def test_decoding_is_the_library_s(writer, beams):
    queries = torch.randn(24, 4, 6)
    ours = writer.generate(queries, num_beams=beams, max_length=7).ids[:, 0]
    prefix, words = writer.prefix(queries), writer.vocabulary
    theirs = writer.language.generate(
        inputs_embeds=prefix,
        attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long),
        num_beams=beams,
        do_sample=False,
        max_new_tokens=7,
        eos_token_id=words.end_id,
        pad_token_id=words.pad_id,
    )
    ours, theirs = ([words.decode(row) for row in ids] for ids in (ours, theirs))
    assert len(set(ours)) > 4 and len({len(text.split()) for text in ours}) > 2
    assert ours == theirs


def test_captions_follow_the_training(captioner):
    queries, optimizer = torch.randn(3, 4, 6), adamw(captioner.parameters(), lr=0.1)
    plain = copy.deepcopy(captioner)
    for _ in range(3):
        speed_up(captioner).train()(queries, batch(captioner, ["a man runs"] * 3)).loss.backward()
        optimizer.step()
        plain.load_state_dict(captioner.state_dict())
        scores = [model.eval().generate(queries, num_beams=1).scores for model in (captioner, plain)]
        torch.testing.assert_close(*scores)


@pytest.mark.parametrize("how", [{"num_beams": 1}, {"num_beams": 3, "num_captions": 2}, {"top_p": 0.9}])
def test_captions_are_the_same_alone_or_among_others(writer, how):
    queries = torch.randn(5, 4, 6)
    together = writer.caption(queries, seed=[3, 1, 4, 1, 5], **how)
    alone = [writer.caption(one[None], seed=[seed], **how)[0] for one, seed in zip(queries, [3, 1, 4, 1, 5])]
    assert together == alone


def test_more_captions(writer):
    queries = torch.randn(2, 4, 6)
    beams = writer.generate(queries, num_beams=4, num_captions=4)
    assert beams.ids.shape[:2] == (2, 4) and (beams.scores.diff(dim=1) <= 0).all()
    drawn = writer.generate(queries, top_p=0.95, num_captions=3, seed=1)
    assert len({tuple(row.tolist()) for row in drawn.ids[0]}) > 1
    with pytest.raises(UserError, match="num_beams"):
        writer.generate(queries, num_beams=2, num_captions=3)
    with pytest.raises(UserError, match="top_p"):
        writer.generate(queries, top_p=0.0)


def test_nucleus_keeps_the_fewest_words_that_reach_it():
    logits = torch.tensor([0.1, 0.5, 0.4]).log()
    assert nucleus(logits, 0.5).isfinite().tolist() == [False, True, False]
    assert nucleus(logits, 0.6).isfinite().tolist() == [False, True, True]
    assert nucleus(logits, 1.0).isfinite().all()


# Files


def test_saved_and_loaded(captioner, tmp_path):
    captioner.save_pretrained(tmp_path / "full")
    captioner.save_pretrained(tmp_path / "half", dtype=torch.float16)
    queries = torch.randn(2, 4, 6)
    loaded = Captioner.from_pretrained(tmp_path / "full")
    text = batch(captioner, ["a person walks"])
    torch.testing.assert_close(loaded.logits(queries[:1], text), captioner.logits(queries[:1], text))
    assert loaded.language.lm_head.weight is loaded.language.get_input_embeddings().weight
    half = Captioner.from_pretrained(tmp_path / "half")
    assert half.projection.weight.dtype == torch.float32
    size = sum(p.numel() for p in captioner.parameters())
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 2 * size + 10_000
    state = captioner.state_dict()
    state.pop("projection.bias")
    with pytest.raises(RuntimeError, match=r"projection\.bias"):
        loaded.load_state_dict(state)


def test_hub_repository(captioner, tmp_path, monkeypatch):
    import huggingface_hub

    captioner.save_pretrained(tmp_path / "m2t")
    asked = []

    def download(repository, allow_patterns):
        asked.append((repository, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    loaded = Captioner.from_pretrained("someone/models", "m2t")
    assert asked == [("someone/models", "m2t/*")] and len(loaded.vocabulary) == len(captioner.vocabulary)
    monkeypatch.undo()
    with pytest.raises(UserError, match="nobody/nothing"):
        Captioner.from_pretrained("nobody/nothing", "m2t")
    with pytest.raises(UserError, match="no model folder"):
        Captioner.from_pretrained(tmp_path, "elsewhere")


def test_words_used_are_cut_as_before():
    full = WordPieceVocabulary(TextTokenizer(WORDS))
    texts = ["a person walking", "a man walks"]
    small = full.used_in(texts)
    assert len(small) < len(full)
    assert [small.decode(row) for row in small(texts, 9).input_ids] == texts
    assert small.decode(small(["a man runs"], 9).input_ids[0]) == "a man [UNK]"


def test_words_start_from_lamp(captioner):
    theirs = TextTokenizer([*WORDS[:4], "runs", "flies"])
    assert captioner.start_words(theirs, torch.ones(len(theirs), 16)) == 6
    weight = captioner.language.get_input_embeddings().weight
    assert (weight[WORDS.index("runs")] == 1).all() and not (weight[WORDS.index("walks")] == 1).any()
    with pytest.raises(UserError, match="--embed_dim 8"):
        captioner.start_words(theirs, torch.ones(len(theirs), 8))


# Language models of the library


@pytest.mark.parametrize("finetune", ["lora", "full", "frozen"])
def test_language_model_of_the_library(opt_folder, finetune, tmp_path):
    if finetune == "lora":
        pytest.importorskip("peft")
    config = dataclasses.replace(TINY, llm=str(opt_folder), finetune=finetune, lora_dropout=0.0)
    torch.manual_seed(0)
    model = Captioner.create(config)
    original = transformers.OPTForCausalLM.from_pretrained(opt_folder).get_input_embeddings().weight
    torch.testing.assert_close(model.language.get_input_embeddings().weight, original)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all(finetune == "full" or "lora_" in name or name.startswith("projection") for name in trained)
    assert model.vocabulary.begin == (2,)
    text = batch(model, ["a person walks", "runs"])
    assert text.input_ids.tolist() == [[4, 5, 6, 2], [7, 2, 1, 1]]
    queries = torch.randn(2, 4, 6)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(10):
        losses.append(model(queries, text).loss)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    model.eval().save_pretrained(tmp_path)
    saved = set(model.state_dict())
    assert any(name.endswith("q_proj.weight") for name in saved) == (finetune == "full")
    loaded = Captioner.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded.logits(queries, text), model.logits(queries, text))
    assert loaded.caption(queries) == model.caption(queries)


def test_bfloat16_and_gradient_checkpointing(opt_folder):
    pytest.importorskip("peft")
    config = dataclasses.replace(TINY, llm=str(opt_folder), finetune="lora", llm_dtype="bfloat16")
    model = Captioner.create(config)
    checkpoint_gradients(model.language)
    assert model.language.get_input_embeddings().weight.dtype == torch.bfloat16
    model.train()(torch.randn(1, 4, 6), batch(model, ["a person runs"])).loss.backward()
    updates = [p for name, p in model.named_parameters() if "lora_B" in name]
    assert updates and all(p.dtype == torch.float32 and p.grad.abs().sum() > 0 for p in updates)


def test_mistakes_about_language_models(opt_folder, tmp_path):
    with pytest.raises(UserError, match="--llm"):
        Captioner.create(dataclasses.replace(TINY, llm=str(tmp_path / "nothing"), finetune="lora"))
    with pytest.raises(UserError, match="block_size"):
        Captioner.create(dataclasses.replace(TINY, llm=str(opt_folder), block_size=51))
    with pytest.raises(UserError, match="--finetune"):
        CaptionerConfig(finetune="lora")


# Scripts


def run(script: str, arguments: str, patch: pytest.MonkeyPatch) -> None:
    """Call a script's `main` with a command line."""
    patch.setattr(sys, "argv", [f"{script}.py", *arguments.split()])
    importlib.import_module(script).main()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, sample_data) -> tuple[Path, str]:
    """Folder with an untrained tokenizer and LaMP, and the user's training command at tiny size."""
    folder = tmp_path_factory.mktemp("m2t")
    root = folder / "checkpoints" / "t2m"
    torch.manual_seed(0)
    tokenizer = RVQVAE(RVQConfig(width=16, code_dim=16, nb_code=16, num_quantizers=2, depth=1))
    tokenizer.mean.copy_(torch.from_numpy(np.load(sample_data / "Mean.npy")))
    tokenizer.std.copy_(torch.from_numpy(np.load(sample_data / "Std.npy")))
    tokenizer.save_pretrained(root / "vq_name")
    texts = " ".join(p.read_text(encoding="utf-8").split("#")[0] for p in (sample_data / "texts").glob("*.txt"))
    words = TextTokenizer([*WORDS[:4], *sorted(set(re.findall("[a-z]+", texts.lower())))])
    lamp = LaMP(
        LaMPConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_layers=2,
            num_heads=2,
            intermediate_size=32,
            max_positions=32,
            cross_attention_width=16,
            motion_width=16,
            embed_dim=16,
            nb_code=16,
        )
    )
    lamp.tokenizer = words
    lamp.save_pretrained(root / "lamp_name")
    (root / "lamp_name" / "opt.json").write_text('{"vq_name": "vq_name"}')
    tiny = f"--dataname t2m --data_root {sample_data} --checkpoints_dir {folder}/checkpoints --gpu_id -1 "
    tiny += "--num-layers 1 --embed-dim-gpt 16 --n-head-gpt 2 --batch-size 8 --log_every 1 --warm_up_iter 1 --lr 0.01 "
    command = f"{USER_COMMAND} {tiny} --total-iter 2 --eval-iter 1"
    with pytest.MonkeyPatch.context() as patch:
        run("train_m2t", command, patch)
    return folder, command


@pytest.fixture
def motions(tmp_path, sample_data) -> Path:
    """Folder with the same motion as features, joints, archive and BVH, a long one, and files that are no motions."""
    folder = tmp_path / "motions"
    (folder / "more").mkdir(parents=True)
    clip = sorted((sample_data / "new_joint_vecs").glob("*.npy"))[0]
    features = np.load(clip)
    motion = Motion.load(clip)
    np.save(folder / "features.npy", features)
    motion.save(folder / "joints.npy")
    motion.save(folder / "archive.npz")
    motion.save(folder / "more" / "capture.bvh")
    np.save(folder / "long.npy", np.tile(features, (9, 1))[:450])
    (folder / "readme.txt").write_text("no motion")
    return folder


def test_user_command_is_understood(capsys):
    options = parse(M2TOptions, USER_COMMAND.split())
    assert (options.name, options.dataset_name, options.batch_size, options.max_iter) == ("M2T", "kit", 80, 150000)
    assert (options.lr, options.milestones, options.eval_iter, options.vq_name) == (5e-5, [75000], 10000, "VQVAE")
    sizes = options.model
    assert (sizes.num_layers, sizes.embed_dim, sizes.num_heads, sizes.ff_rate) == (12, 1024, 16, 4)
    assert (sizes.block_size, sizes.dropout, sizes.pkeep) == (51, 0.1, 0.5)
    assert capsys.readouterr().err.count("--") == 8


def test_training_leaves_a_captioner(workshop):
    space = workshop[0] / "checkpoints" / "t2m" / "M2T"
    options = json.loads((space / "opt.json").read_text())
    assert (options["vq_name"], options["lamp_name"]) == ("vq_name", "lamp_name")
    assert parse(M2TOptions, ["--config", str(space / "opt.json")]).model.num_layers == 1
    assert Captioner.from_pretrained(model_folder(space)).config.embed_dim == 16
    for file in ("latest/vocab.txt", "metrics.jsonl", "logs/train.log"):
        assert (space / file).is_file()
    assert list((space / "logs" / "captions").glob("events*"))
    assert "(true: " in (space / "logs" / "train.log").read_text()
    rows = [json.loads(line) for line in (space / "metrics.jsonl").read_text().splitlines()]
    assert any("val/cider" in row for row in rows)


def test_idle_flags_are_one_line(workshop, monkeypatch, capsys):
    _, command = workshop
    run("train_m2t", f"{command} --total-iter 3 --is_continue", monkeypatch)
    output, errors = capsys.readouterr()
    notes = [line for line in (output + errors).splitlines() if line.startswith("note: ")]
    assert len(notes) == 2 and "--vq_name VQVAE" in notes[0] and "--resume_pth" in notes[1]
    assert "resuming" in output and "iteration 3/3" in output


def test_resumed_is_as_if_never_stopped(workshop, monkeypatch):
    folder, command = workshop
    command = re.sub("--eval-iter 1$", "--eval-iter 0 --words used", command)
    run("train_m2t", f"{command} --exp-name straight --total-iter 4", monkeypatch)
    run("train_m2t", f"{command} --exp-name broken --total-iter 2", monkeypatch)
    run("train_m2t", f"{command} --exp-name broken --total-iter 4 --is_continue", monkeypatch)
    straight, broken = (
        Captioner.from_pretrained(folder / "checkpoints" / "t2m" / name / "latest") for name in ("straight", "broken")
    )
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), broken.parameters(), strict=True))


@pytest.mark.parametrize("how", ["--train_lamp", "--augment", "--resume_trans M2T"])
def test_other_ways_to_train(workshop, how, monkeypatch, motions):
    folder, command = workshop
    name = how.split()[0].strip("-")
    run("train_m2t", f"{command} --exp-name {name} {how}", monkeypatch)
    root = folder / "checkpoints" / "t2m"
    pipe = CaptionPipeline.from_runs(root, name)
    before = LaMP.from_pretrained(root / "lamp_name")
    trained = not torch.equal(pipe.queries.lamp.former.query_tokens, before.former.query_tokens)
    assert trained == (how == "--train_lamp")
    assert len(pipe(Motion.load(motions / "joints.npy"))) == 1


def test_a_language_model_of_the_library(workshop, opt_folder, monkeypatch):
    pytest.importorskip("peft")
    folder, command = workshop
    flags = f"--exp-name opt --llm {opt_folder} --finetune lora --block-size 20 --gradient_checkpointing"
    with pytest.raises(SystemExit):  # 49 queries and a caption are too long for the tiny model
        run("train_m2t", f"{command} {flags}", monkeypatch)
    config = transformers.OPTConfig.from_pretrained(opt_folder)
    config.max_position_embeddings = 80
    larger = folder / "larger"
    shutil.copytree(opt_folder, larger)
    transformers.OPTForCausalLM(config).save_pretrained(larger)
    run("train_m2t", f"{command} {flags} --llm {larger}", monkeypatch)
    space = folder / "checkpoints" / "t2m" / "opt"
    assert (space / "latest" / "language" / "tokenizer.json").is_file()
    assert (space / "latest" / "model.safetensors").stat().st_size < 30_000
    CaptionPipeline.from_runs(folder / "checkpoints" / "t2m", "opt")


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_folder_of_motions(workshop, motions, suffix, monkeypatch, capsys):
    broken = np.load(motions / "features.npy")
    broken[3, 200] = np.nan
    np.save(motions / "nan.npy", broken)
    np.save(motions / "shape.npy", np.zeros((40, 100)))
    np.save(motions / "frame.npy", np.load(motions / "joints.npy")[:1])
    (motions / "empty.npy").write_bytes(b"")
    (motions / "bad.bvh").write_text("HIERARCHY")
    out = motions.parent / "out" / f"captions.{suffix}"
    model = f"--checkpoints_dir {workshop[0]}/checkpoints --name M2T --gpu_id -1 --batch_size 4"
    run("caption", f"{model} --motion {motions} --num_captions 2 --out {out}", monkeypatch)
    output, errors = capsys.readouterr()
    for name in ("nan.npy", "shape.npy", "frame.npy", "empty.npy", "bad.bvh"):
        assert sum(line.startswith(f"left out: {name}: ") for line in errors.splitlines()) == 1
    assert "5 of 10 files left out" in errors and "note: long.npy: the first 196 of 450 frames" in errors
    assert output.count("more/capture.bvh: ") == 2
    if suffix == "json":
        result = json.loads(out.read_text())
        assert len(result["captions"]) == 5 and len(result["skipped"]) == 5
        assert all(len(row["captions"]) == 2 for row in result["captions"])
    else:
        rows = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
        assert len(rows) == 10 and set(rows[0]) == {"file", "caption", "start", "end"}


def test_parts_of_a_long_motion(workshop, motions, monkeypatch, capsys):
    model = f"--checkpoints_dir {workshop[0]}/checkpoints --name M2T --gpu_id -1"
    run("caption", f"{model} --motion {motions / 'long.npy'} --windows", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"long.npy {a} s" for a in ("0.0-7.5", "7.5-15.0", "15.0-22.5")]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("nan.npy", "not finite"),
        ("frame.npy", "too few frames (1)"),
        ("empty.npy", "empty"),
        ("nothing", "no motion files"),
        ("missing.bvh", "no such file"),
        ("readme.txt", "cannot read .txt"),
        ("features.npy --top_p 2", "--top_p"),
        ("features.npy --out x.txt", "--out"),
        ("features.npy --name nobody", "nobody"),
    ],
)
def test_mistakes_are_one_line_and_code_2(workshop, motions, file, words, monkeypatch, capsys):
    broken = np.load(motions / "joints.npy")
    np.save(motions / "frame.npy", broken[:1])
    broken[3, 2] = np.nan
    np.save(motions / "nan.npy", broken)
    (motions / "empty.npy").write_bytes(b"")
    (motions / "nothing").mkdir()
    with pytest.raises(SystemExit) as stop:
        run("caption", f"--checkpoints_dir {workshop[0]}/checkpoints --name M2T --motion {motions}/{file}", monkeypatch)
    notes, _, message = capsys.readouterr().err.strip().rpartition("\n")
    assert all(note.startswith("best checkpoint of ") for note in notes.splitlines())
    assert stop.value.code == 2 and "rror: " in message
    assert words.replace("not finite", "NaN") in message or words in message


def test_kinds_of_motion_files_are_read_alike(workshop, motions):
    pipe = CaptionPipeline.from_runs(workshop[0] / "checkpoints" / "t2m", "M2T")
    features = [
        pipe.features(read_motion(motions / name))
        for name in ("features.npy", "joints.npy", "archive.npz", "more/capture.bvh")
    ]
    torch.testing.assert_close(features[2], features[0])
    for other in (features[1], features[3]):
        count = min(len(other), len(features[0]))
        error = (other[:count, 4:67] - features[0][:count, 4:67]).abs().mean()
        assert error < 0.02  # metres


def test_motion_at_another_frame_rate(workshop, motions):
    pipe = CaptionPipeline.from_runs(workshop[0] / "checkpoints" / "t2m", "M2T")
    motion = Motion.load(motions / "joints.npy")
    slow = pipe.features(motion)
    double = np.repeat(motion.joints, 2, axis=0)[:-1]
    double[1::2] = (motion.joints[:-1] + motion.joints[1:]) / 2
    torch.testing.assert_close(pipe.features(Motion(double, fps=40.0)), slow, rtol=1e-3, atol=1e-3)
    with pytest.raises(UserError, match="21 joints"):
        pipe.features(Motion(motion.joints[:, :21], fps=12.5))
    with pytest.raises(UserError, match="finite"):
        pipe.features(Motion(np.zeros((30, 22, 3), np.float32)))


def test_options_of_captions_need_a_motion(capsys):
    with pytest.raises(SystemExit):
        parse(CaptionOptions, [])
    assert "--motion must be given" in capsys.readouterr().err


def test_precision_of_captions(workshop, motions):
    root, motion = workshop[0] / "checkpoints" / "t2m", Motion.load(motions / "joints.npy")
    pipe = CaptionPipeline.from_runs(root, "M2T", "latest")
    plain, queries = pipe([motion], num_beams=1), pipe._encode([pipe.features(motion)])
    scores = pipe.captioner.generate(queries, num_beams=1).scores
    assert pipe.with_precision("float32").captioner.language.dtype == torch.float32
    assert pipe([motion], num_beams=1) == plain
    assert pipe.with_precision("bfloat16").captioner.language.dtype == torch.bfloat16
    rounded = pipe.captioner.generate(queries, num_beams=1).scores
    assert rounded.dtype == torch.float32 and not torch.equal(rounded, scores)
    torch.testing.assert_close(rounded, scores, rtol=0.05, atol=0)
    for how in ({"num_beams": 3}, {"top_p": 0.9}):
        assert pipe([motion], **how)[0][0]


def test_the_whole_pipeline_describes_motions(workshop, motions):
    root = workshop[0] / "checkpoints" / "t2m"
    together = workshop[0] / "models"
    for folder, part in (("vq_name", "tokenizer"), ("lamp_name", "lamp"), ("M2T/latest", "m2t")):
        shutil.copytree(root / folder, together / part)
    sizes = {"num_tokens": 16, "code_dim": 8, "latent_dim": 16, "ff_size": 16, "num_layers": 1, "num_heads": 2}
    MaskedTransformer(MaskedConfig(**sizes, cond_dim=16)).save_pretrained(together / "masked")
    ResidualTransformer(ResidualConfig(**sizes, cond_dim=16, num_quantizers=2)).save_pretrained(together / "residual")
    pipe = LaMPPipeline.from_pretrained(together)
    motion = Motion.load(motions / "joints.npy")
    expected = CaptionPipeline.from_runs(root, "M2T", "latest")([motion, motion], top_p=0.9, seed=4)
    assert pipe.caption([motion, motion], top_p=0.9, seed=4) == expected and expected[0] == expected[1]
    pipe.caption(pipe("a person walks", 40))
