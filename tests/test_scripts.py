"""Every script at tiny size, one after the other as a user runs them."""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from lamp.stages.captioner_validation import MOST_KEPT
from lamp.utils import packages

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(
    p.stem
    for pattern in ("train_*.py", "eval_*.py", "M2T_eval.py", "gen_*.py", "edit_*.py", "caption.py")
    for p in ROOT.glob(pattern)
)
SIZES = {
    "vq": "--width 32 --code_dim 32 --nb_code 32 --num_quantizers 3 --depth 1 --window_size 32",
    "lamp": "--hidden_size 32 --num_layers 2 --num_heads 2 --intermediate_size 64 --cross_attention_width 32 "
    "--embed_dim 32 --max_positions 64 --alternate_losses",
    "evaluator": "--movement_hidden 8 --movement_latent 8 --text_hidden 8 --motion_hidden 8 --embed_dim 8 "
    "--movement_epoch 1 --movement_batch_size 8 --all_negatives",
    "m2t": "--num_layers 1 --embed_dim 32 --num_heads 2 --ff_rate 2 --block_size 12",
    "transformer": "--latent_dim 32 --ff_size 32 --n_layers 1 --n_heads 2 --token_dim 16",
}
FEW = "--batch_size 4 --log_every 1 --save_latest 1 --warm_up_iter 1 --gpu_id -1"


def run(script: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call a script's `main` with a command line."""
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments.split()])
    importlib.import_module(script).main()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, sample_data, sample_vocabulary):
    """Folder with checkpoints of all stages, trained for a few steps, and the flags that lead to it."""
    folder = tmp_path_factory.mktemp("workshop")
    common = f"--dataset_name t2m --data_root {sample_data} --checkpoints_dir {folder}/checkpoints"
    stages = [
        ("train_evaluator", f"--name evaluator {SIZES['evaluator']}"),
        ("train_vq", f"--name vq_name {SIZES['vq']}"),
        ("train_lamp", f"--name lamp_name --vq_name vq_name --bert none --vocab {sample_vocabulary} {SIZES['lamp']}"),
        ("train_t2m_transformer", f"--name mtrans_name --vq_name vq_name {SIZES['transformer']}"),
        (
            "train_t2m_transformer",
            f"--name rtrans_name --transformer residual --vq_name vq_name {SIZES['transformer']}",
        ),
        ("train_length_estimator", "--name length_estimator --vq_name vq_name"),
        ("train_m2t", f"--name m2t_name --lamp_name lamp_name --words used {SIZES['m2t']}"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for script, arguments in stages:
            run(script, f"{common} {FEW} {arguments} --max_iter 2 --max_epoch 1", patch)
    return folder, common, stages


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script, monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run(script, "--help", monkeypatch)
    assert stop.value.code == 0
    assert "--name" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "evaluator",
        "evaluator/movement",
        "vq_name",
        "lamp_name",
        "mtrans_name",
        "rtrans_name",
        "length_estimator",
        "m2t_name",
    ],
)
def test_training_leaves_a_model_logs_and_state(workshop, name):
    space = workshop[0] / "checkpoints" / "t2m" / name
    for file in ("opt.json", "metrics.jsonl", "latest/config.json", "latest/model.safetensors", "logs/train.log"):
        assert (space / file).is_file(), file
    assert list((space / "logs").glob("events.out.tfevents*"))
    assert list((space / "state").iterdir())
    assert list(space.glob("net_best_*/config.json"))


def test_the_best_by_fid_is_kept(workshop):
    for name in ("vq_name", "mtrans_name", "rtrans_name"):
        assert (workshop[0] / "checkpoints" / "t2m" / name / "net_best_fid" / "config.json").is_file()


def test_generators_train_from_tokens(workshop, sample_data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("datasets")
    folder, common, stages = workshop
    source = f"--dataset_name t2m --data_root {sample_data} --out {tmp_path}/shards"
    to_shards = f"{source} --tokenizer {folder}/checkpoints/t2m/vq_name --only_tokens --gpu_id -1"
    run("lamp.prepare.shards.to_shards", to_shards, monkeypatch)
    shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints")
    common = common.replace(f"{folder}/", f"{tmp_path}/").replace(str(sample_data), f"{tmp_path}/shards")
    for script, arguments in stages[3:6]:
        arguments = re.sub(r"--name (\S+)", r"--name \1_of_tokens", arguments)
        still = "--animate_every_e 0" if "transformer" in script else ""
        run(script, f"{common} {FEW} {arguments} {still} --max_iter 2 --max_epoch 1", monkeypatch)
        space = tmp_path / "checkpoints" / "t2m" / re.search(r"--name (\S+)", arguments)[1]
        assert list(space.glob("net_best_loss/model.safetensors")) and not list(space.glob("net_best_fid"))
    with pytest.raises(SystemExit):
        run("train_t2m_transformer", f"{common} {FEW} --name x --vq_name vq_name --max_iter 2", monkeypatch)
    assert "tokens and no features" in capsys.readouterr().err


def test_captioner_trains_without_keeping_queries(workshop, tmp_path, monkeypatch):
    folder, common, stages = workshop
    shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints")
    common = common.replace(f"{folder}/checkpoints", f"{tmp_path}/checkpoints")
    script, arguments = stages[6]
    found = []
    for name, limit in (("kept", MOST_KEPT), ("computed", 0)):
        monkeypatch.setattr("lamp.stages.captioner_validation.MOST_KEPT", limit)
        # Without dropout: the loader that fills the table moves the random stream on.
        flags = f"{arguments.replace('m2t_name', name)} --drop_out_rate 0 --max_iter 2 --max_epoch 1"
        run(script, f"{common} {FEW} {flags}", monkeypatch)
        lines = (tmp_path / "checkpoints" / "t2m" / name / "metrics.jsonl").read_text().splitlines()
        found.append([{key: value for key, value in json.loads(line).items() if "/loss" in key} for line in lines])
    for kept, computed in zip(*found, strict=True):
        assert kept == pytest.approx(computed, rel=1e-3)  # kept ones are rounded to float16


@pytest.mark.parametrize("stage", range(7))
def test_resume(workshop, stage, tmp_path, monkeypatch):
    origin, common, stages = workshop
    # A copy: models that were built on a tokenizer refuse it once it was trained on.
    folder, common = tmp_path, common.replace(f"{origin}/checkpoints", f"{tmp_path}/checkpoints")
    shutil.copytree(origin / "checkpoints", folder / "checkpoints")
    script, arguments = stages[stage]
    name = re.search(r"--name (\S+)", arguments)[1]
    run(script, f"{common} {FEW} {arguments} --max_iter 3 --max_epoch 2 --is_continue", monkeypatch)
    lines = (folder / "checkpoints" / "t2m" / name / "metrics.jsonl").read_text().splitlines()
    iterations = [json.loads(line)["iteration"] for line in lines]
    assert max(iterations) == 3 and 2 in iterations


@pytest.mark.parametrize("stage", range(3, 7))
def test_a_resumed_run_is_the_run_that_never_stopped(workshop, stage, tmp_path, monkeypatch):
    origin, common, stages = workshop
    common = common.replace(f"{origin}/checkpoints", f"{tmp_path}/checkpoints")
    shutil.copytree(origin / "checkpoints", tmp_path / "checkpoints")
    script, arguments = stages[stage]
    rest = f"{common} {FEW} {arguments} --max_epoch 3"
    name = re.search(r"--name (\S+)", arguments)[1]
    run(script, rest.replace(f"--name {name}", "--name whole") + " --max_iter 6", monkeypatch)
    for last in (4, 6):
        run(script, f"{rest} --max_iter {last} --is_continue", monkeypatch)
    weights, rows = [], []
    for space in (tmp_path / "checkpoints/t2m" / run_name for run_name in ("whole", name)):
        weights.append((space / "latest/model.safetensors").read_bytes())
        lines = map(json.loads, (space / "metrics.jsonl").read_text().splitlines())
        rows.append([{k: v for k, v in line.items() if "it_per_s" not in k} for line in lines])
    assert weights[0] == weights[1]
    assert [row for row in rows[0] if row["iteration"] > 4] == [row for row in rows[1] if row["iteration"] > 4]


def test_tokenizer_evaluation_writes_logs(workshop, monkeypatch):
    folder, common, _ = workshop
    space = folder / "checkpoints" / "t2m" / "vq_name"
    run("eval_t2m_vq", f"{common} --name vq_name --gpu_id -1 --nearest --repeat_times 2 --compare", monkeypatch)
    result = json.loads((space / "eval/reconstruction.json").read_text())["test"]
    assert result["mpjpe"] > 0 and len(result["usage"]) == 3
    assert result["nearest_mpjpe"] > 0
    rows = result["protocol"]["rows"]
    assert rows["produced"]["MPJPE mm"]["mean"] > 0 and rows["produced"]["FID"]["mean"] > rows["real"]["FID"]["mean"]
    log = (space / "eval/reconstruction.log").read_text()
    assert "MPJPE" in log and "real motions (LaMP" in log
    assert all("evaluator evaluator/" in line and "commit" in line for line in log.splitlines())


def test_evaluator_on_real_motions(workshop, monkeypatch):
    folder, common, _ = workshop
    run("eval_evaluator", f"{common} --gpu_id -1 --repeat_times 2 --compare", monkeypatch)
    space = folder / "checkpoints" / "t2m" / "evaluator" / "eval"
    assert json.loads((space / "real_motions.json").read_text())["test"]["rows"]["real"]["R@3"]["mean"] > 0
    log = (space / "real_motions.log").read_text()
    assert "word vectors hashed" in log and "0.797" in log


def test_retrieval_evaluation_writes_logs(workshop, monkeypatch):
    folder, common, _ = workshop
    run("eval_retrieval", f"{common} --name lamp_name --gpu_id -1 --draws 3", monkeypatch)
    result = json.loads((folder / "checkpoints/t2m/lamp_name/eval/retrieval.json").read_text())["test"]
    assert 0 <= result["label_accuracy"] <= 100
    assert 0 <= result["t2m"]["R@1"] <= result["t2m"]["R@5"] <= 100


GENERATION = "--name mtrans_name --res_name rtrans_name --gpu_id -1 --repeat_times 2 --time_steps 2 --mm_motions 3"


def test_generation_evaluation_is_the_same_twice(workshop, monkeypatch):
    folder, common, _ = workshop
    space = folder / "checkpoints" / "t2m" / "mtrans_name" / "eval"
    run("eval_t2m_trans_res", f"{common} {GENERATION} --ext first", monkeypatch)
    run("eval_t2m_trans_res", f"{common} {GENERATION} --ext second --batch_size 3", monkeypatch)
    assert (space / "first.log").read_text() == (space / "second.log").read_text()
    rows = json.loads((space / "first.json").read_text())["test"]["rows"]
    assert rows["produced"]["jitter m/s^3"]["mean"] > 0 and rows["produced"]["MultiModality"]["mean"] > 0
    assert rows["real"]["FID"]["mean"] < rows["produced"]["FID"]["mean"]
    assert json.loads((space / "first_cost.json").read_text())["seconds a motion"] > 0


def test_all_checkpoints_are_evaluated(workshop, monkeypatch):
    folder, common, _ = workshop
    flags = "--which_epoch all --mm_batches 0 --max_samples 2 --compare --ext all"
    run("eval_t2m_trans_res", f"{common} {GENERATION} {flags}", monkeypatch)
    space = folder / "checkpoints" / "t2m" / "mtrans_name"
    results = json.loads((space / "eval/all.json").read_text())
    assert {"latest", "net_best_fid", "net_best_loss"} <= set(results)
    assert results["latest"]["test"]["motions"] == 2
    assert "LaMP-T2M" in (space / "eval/all.log").read_text()


def test_caption_evaluation_writes_logs_and_captions(workshop, plain_tagger, monkeypatch):
    folder, common, _ = workshop
    encoder = "--bert_model nowhere/at_all"
    flags = f"--gpu_id -1 --repeat_times 2 --num_beams 2 --baselines --compare {encoder}"
    run("M2T_eval", f"{common} --name Test --resume_trans m2t_name {flags}", monkeypatch)
    space = folder / "checkpoints" / "t2m" / "m2t_name" / "eval"
    result = json.loads((space / "Test.json").read_text())["test"]
    assert set(result["texts"]) == {"captioner", "nearest training caption", "most frequent caption"}
    assert result["texts"]["nearest training caption"]["raw"]["BLEU-1"] > 0
    assert 0 <= result["matches"]["true captions"]["R@1"]["mean"] <= 1
    log = (space / "Test.log").read_text()
    assert "LaMP-M2T" in log and all("commit" in line for line in log.splitlines())
    listed = json.loads((space / "Test_test.json").read_text())
    assert all(row["references"] and isinstance(row["caption"], str) for row in listed)


def test_raw_captions_need_no_spacy(workshop, monkeypatch, capsys):
    folder, common, _ = workshop
    known = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if "en_core_web" in name else known(name))
    flags = f"{common} --name m2t_name --gpu_id -1 --repeat_times 1 --num_beams 1 --ext raw"
    run("M2T_eval", f"{flags} --protocol raw --bert_model nowhere/at_all", monkeypatch)
    warnings = capsys.readouterr().err
    assert "warning: R-precision and MM-Dist are left out: spaCy's English model" in warnings
    assert "warning: BERTScore will be left out: nowhere/at_all" in warnings
    space = folder / "checkpoints" / "t2m" / "m2t_name" / "eval"
    result = json.loads((space / "raw.json").read_text())["test"]
    assert result["texts"]["captioner"]["raw"]["BLEU-1"] >= 0 and not result["matches"]
    assert "R-precision and MM-Dist are left out" in (space / "raw.log").read_text()
    with pytest.raises(SystemExit):
        run("M2T_eval", f"{flags} --protocol both", monkeypatch)
    assert "--protocol raw needs none" in capsys.readouterr().err


def test_bert_score_of_generated_motions(workshop, sample_vocabulary, plain_tagger, monkeypatch, tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("bert_score")
    words = sample_vocabulary.read_text(encoding="utf-8").split("\n")
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes)).save_pretrained(tmp_path)
    folder, common, _ = workshop
    space = folder / "checkpoints" / "t2m"
    flags = f"{GENERATION} --mm_batches 0 --max_samples 2 --m2t_name m2t_name --bert_model {tmp_path}"
    run("eval_t2m_trans_res", f"{common} {flags} --ext bert", monkeypatch)
    log = (space / "mtrans_name/eval/bert.log").read_text()
    assert "LaMP-BertScore of generated motions" in log and "LaMP-BertScore of real motions" in log
    flags = f"--name m2t_name --gpu_id -1 --repeat_times 1 --num_beams 1 --bert_model {tmp_path}"
    run("M2T_eval", f"{common} {flags} --t2m_name mtrans_name --res_name rtrans_name", monkeypatch)
    assert "LaMP-BertScore of mtrans_name" in (space / "m2t_name/eval/captions.log").read_text()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--evaluator nobody", "train_evaluator.py"),
        ("--name nobody", "nobody"),
        ("--which_epoch best_of_all", "best_of_all"),
        ("--split nowhere", "nowhere.txt"),
        ("--data_root nowhere", "--data_root"),
        ("--repeat_times 0", "--repeat_times"),
        ("--max_samples 1", "--max_samples"),
    ],
)
@pytest.mark.parametrize("script", ["eval_t2m_vq", "eval_t2m_trans_res"])
def test_mistakes_in_evaluations_are_one_line(workshop, script, flags, word, monkeypatch, capsys):
    _, common, _ = workshop
    names = "--name vq_name" if script == "eval_t2m_vq" else "--name mtrans_name --res_name rtrans_name"
    with pytest.raises(SystemExit) as stop:
        run(script, f"{common} {names} --gpu_id -1 {flags}", monkeypatch)
    notes, _, message = capsys.readouterr().err.strip().rpartition("\n")
    assert stop.value.code == 2 and "error: " in message and word in message
    assert all(note.startswith("best checkpoint of ") for note in notes.splitlines())


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        ("eval_t2m_trans_res", "--name= --res_name rtrans_name", r"--name ''.*runs in .*mtrans_name \(masked transf"),
        ("train_t2m_transformer", "--name=", r"--name ''.*vq_name \(tokenizer\)"),
        (
            "eval_t2m_trans_res",  # the user's own command, which has the masked run in the wrong place
            "--name eval_name --res_name mtrans_name",
            r"--res_name mtrans_name is a run of a masked transformer, .*residual transformers in .*: rtrans_name$",
        ),
        ("eval_t2m_trans_res", "--name rtrans_name", r"--name rtrans_name is .* residual .*in .*t2m: mtrans_name$"),
        ("eval_t2m_trans_res", "--name eval_name --res_name rtrans_name", r"eval_name.*mtrans_name \(masked"),
        ("eval_t2m_trans_res", "--name mtrans_name", r"--res_name is missing.* in .*/t2m: rtrans_name$"),
        ("gen_t2m", "--text_prompt walk --res_name rtrans_name", r"--name too.*masked transformers in .*: mtrans_name"),
        ("gen_t2m", "--text_prompt walk --name mtrans_name --res_name mtrans_name", r"residual .*: rtrans_name$"),
        ("eval_t2m_vq", "--name typo", r"typo.*vq_name \(tokenizer\)"),
        ("eval_t2m_vq", "--name vq_name --evaluator typo", r"typo.*evaluators in .*: evaluator$"),
    ],
)
def test_a_wrong_run_is_answered_by_those_there_are(workshop, script, flags, message, monkeypatch, capsys, tmp_path):
    folder, common, _ = workshop
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run(script, f"{common} {flags}", monkeypatch)
    error = capsys.readouterr().err.strip().splitlines()[-1].removesuffix(" (see --help)")
    assert stop.value.code == 2 and re.search(message, error), error
    # Nothing was begun: a folder that a wrong name made would be listed as a run.
    assert not (folder / "checkpoints/t2m/eval_name").exists() and not (folder / "checkpoints/t2m/typo").exists()


def test_generation_writes_the_promised_files(workshop, monkeypatch):
    folder, common, _ = workshop
    prompts = folder / "prompts.txt"
    prompts.write_text("a person walks#40\nsomeone waves \N{WAVING HAND SIGN}#61\n", encoding="utf-8")
    arguments = f"{common} --name mtrans_name --res_name rtrans_name --gpu_id -1 --text_path {prompts} --ext exp2"
    run("gen_t2m", f"{arguments} --output_dir {folder}/generation --repeat_times 2 --time_steps 2", monkeypatch)
    out = folder / "generation" / "exp2"
    for index, length in ((0, 40), (1, 60)):
        for repeat in (0, 1):
            for suffix in ("", "_ik"):
                stem = f"sample{index}_repeat{repeat}_len{length}{suffix}"
                joints = np.load(out / "joints" / str(index) / f"{stem}.npy")
                assert joints.shape == (length, 22, 3) and np.isfinite(joints).all()
                for kind in ("mp4", "bvh"):
                    assert (out / "animations" / str(index) / f"{stem}.{kind}").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--text_prompt", " "], "--text_prompt"),
        (["--text_prompt", "walk", "--text_path", "x.txt"], "--text_path"),
        (["--text_path", "missing.txt"], "missing.txt"),
        (["--text_path", "binary.txt"], "not a UTF-8"),
        (["--text_path", "bad.txt"], "line 1"),
        (["--text_path", "empty.txt"], "no prompts"),
        (["--text_prompt", "walk", "--name", "nobody", "--res_name", "x"], "nobody"),
        (["--text_prompt", "walk", "--models", "nowhere"], "nowhere"),
        (["--text_prompt", "walk", "--output_dir", "binary.txt"], "binary.txt"),
        (["--text_prompt", "walk", "--ext", "a/b"], "--ext"),
        (["--text_prompt", "walk", "--motion_length", "x"], "motion_length"),
        (["--text_prompt", "walk", "--nonsense"], "--nonsense"),
        (["--text_prompt", "walk", "--formats", "npy", "fbx"], "--formats 'fbx'"),
        (["--text_prompt", "walk", "--formats", "mp4", "--no_video"], "--formats"),
    ],
)
def test_mistakes_are_one_line_and_code_2(arguments, word, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("binary.txt").write_bytes(b"\xff\xfe\x00\x9f")
    Path("bad.txt").write_text("walk#fast\n")
    Path("empty.txt").write_text("\n\n")
    monkeypatch.setattr(sys, "argv", ["gen_t2m.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("gen_t2m").main()
    notes, _, message = capsys.readouterr().err.strip().rpartition("\n")
    assert all(note.startswith("best checkpoint of ") for note in notes.splitlines())
    assert stop.value.code == 2
    assert word in message and "Traceback" not in message


@pytest.mark.parametrize(("place", "loader"), [(0, "text_loader"), (1, "tokenizer_loader")])
def test_a_resumed_run_keeps_its_statistics(workshop, sample_data, tmp_path, monkeypatch, place, loader):
    """The data may have been built anew, or `--start_from`, which gave the statistics, may be left out."""
    from safetensors.torch import load_file

    origin, common, stages = workshop
    script, arguments = stages[place]
    common = common.replace(f"{origin}/checkpoints", f"{tmp_path}/checkpoints")
    space = tmp_path / "checkpoints" / "t2m" / re.search(r"--name (\S+)", arguments)[1]
    run(script, f"{common} {FEW} {arguments} --max_iter 1 --max_epoch 9", monkeypatch)
    kept = load_file(space / "latest" / "model.safetensors")["mean"].numpy()
    changed = tmp_path / "data"
    shutil.copytree(sample_data, changed)
    np.save(changed / "Mean.npy", np.load(changed / "Mean.npy") + 1)
    module = importlib.import_module(script)
    used, make = [], getattr(module, loader)
    monkeypatch.setattr(module, loader, lambda *given, **how: (used.append(how["stats"]), make(*given, **how))[1])
    common = common.replace(str(sample_data), str(changed))
    run(script, f"{common} {FEW} {arguments} --max_iter 2 --max_epoch 9 --is_continue", monkeypatch)
    np.testing.assert_array_equal(used[0].mean.numpy(), kept)
    np.testing.assert_array_equal(load_file(space / "latest" / "model.safetensors")["mean"].numpy(), kept)


def test_training_begins_with_the_weights_of_another_run(workshop, tmp_path, monkeypatch, capsys):
    """All stages that take --start_from; a learning rate of almost zero leaves the weights where they were."""
    from safetensors.torch import load_file

    origin, common, stages = workshop
    common = common.replace(f"{origin}/checkpoints", f"{tmp_path}/checkpoints")
    shutil.copytree(origin / "checkpoints", tmp_path / "checkpoints")
    root = tmp_path / "checkpoints" / "t2m"
    for script, arguments in stages[1:5]:
        name = re.search(r"--name (\S+)", arguments)[1]
        arguments = arguments.replace(f"--name {name}", f"--name again --start_from {name}")
        shutil.rmtree(root / "again", ignore_errors=True)
        few = FEW.replace("--warm_up_iter 1", "--warm_up_iter 0")
        run(script, f"{common} {few} {arguments} --lr 1e-12 --max_iter 1 --max_epoch 1", monkeypatch)
        best = importlib.import_module("lamp.models.checkpoints").model_folder(root / name)
        before, after = load_file(best / "model.safetensors"), load_file(root / "again/latest/model.safetensors")
        assert before.keys() == after.keys()
        still = [key for key in before if "codebook" not in key and "quantizer" not in key]
        for key in still:
            np.testing.assert_allclose(before[key].numpy(), after[key].numpy(), atol=1e-5, err_msg=f"{script} {key}")
    arguments = f"{stages[1][1].replace('--name vq_name', '--name again')} --start_from vq_name --freeze_codes"
    shutil.rmtree(root / "again", ignore_errors=True)
    run("train_vq", f"{common} {FEW} {arguments} --further_losses path=0.1 --max_iter 1 --max_epoch 1", monkeypatch)
    best = importlib.import_module("lamp.models.checkpoints").model_folder(root / "vq_name")
    before, after = load_file(best / "model.safetensors"), load_file(root / "again/latest/model.safetensors")
    learnt = {key.split(".")[0] for key in before if not before[key].equal(after[key])}
    assert learnt == {"decoder"}
    with pytest.raises(SystemExit) as stop:
        run(
            "train_vq",
            f"{common} {FEW} {stages[1][1]} --width 16 --start_from vq_name --name b --max_iter 1",
            monkeypatch,
        )
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        run("train_vq", f"{common} {FEW} {stages[1][1]} --start_from lamp_name --name b --max_iter 1", monkeypatch)
    assert stop.value.code == 2 and "lamp_name is a run of a" in capsys.readouterr().err


def test_generators_that_read_words(workshop, tmp_path, monkeypatch, capsys):
    origin, common, stages = workshop
    common = common.replace(f"{origin}/checkpoints", f"{tmp_path}/checkpoints")
    shutil.copytree(origin / "checkpoints", tmp_path / "checkpoints")
    for script, arguments in stages[3:6]:
        name = re.search(r"--name (\S+)", arguments)[1]
        arguments = arguments.replace(f"--name {name}", f"--name {name}_words --condition words")
        full = "--attention full" if name == "mtrans_name" else ""
        run(script, f"{common} {FEW} {arguments} {full} --max_iter 2 --max_epoch 1", monkeypatch)
    made = f"{common} --gpu_id -1 --text_prompt walks --output_dir {tmp_path}/out --no_video --ext x"
    made += " --name mtrans_name_words"
    run("gen_t2m", f"{made} --res_name rtrans_name_words --length_name length_estimator_words", monkeypatch)
    assert list((tmp_path / "out").rglob("*.npy"))
    with pytest.raises(SystemExit) as stop:
        run("gen_t2m", f"{made} --res_name rtrans_name --motion_length 40", monkeypatch)
    assert stop.value.code == 2 and "--condition" in capsys.readouterr().err
