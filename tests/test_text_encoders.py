"""The comparison of text encoders at tiny size: what it trains, and what it tells of it."""

import contextlib
import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from lamp.prepare.mini import text_encoders
from lamp.prepare.mini.text_encoders import COLUMNS, ENCODERS, Study
from lamp.utils.errors import UserError
from lamp.utils.scores.following.sentences import SHIPPED
from tests.test_scripts import FEW, SIZES, run

pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, sample_data: Path, sample_vocabulary: Path, sentence_folder: Path
) -> tuple[Study, Path]:
    """A study of one seed and one step, and a folder with tokenizer and evaluator."""
    folder = tmp_path_factory.mktemp("study")
    tests = shutil.copytree(sample_data, folder / "tests")
    for part in ("seen", "unseen"):
        shutil.copy(tests / "test.txt", tests / f"test_{part}.txt")
    asked = {row["group"]: row | {"frames": 40} for row in json.loads(SHIPPED.read_text(encoding="utf-8"))}
    (folder / "sentences.json").write_text(json.dumps(list(asked.values())), encoding="utf-8")
    common = f"--dataset_name mini --data_root {sample_data} --checkpoints_dir {folder} {FEW} --max_iter 1"
    with pytest.MonkeyPatch.context() as patch:
        run("train_evaluator", f"{common} --name evaluator {SIZES['evaluator']}", patch)
        run("train_vq", f"{common} --name tokenizer {SIZES['vq']}", patch)
        models = folder / "mini"
        flags = f"--dataset_name mini --data_root {sample_data} --tokenizer {models}/tokenizer --out {folder}/tokens"
        patch.setattr(sys, "argv", ["to_shards", *flags.split(), "--gpu_id", "-1"])
        importlib.import_module("lamp.prepare.shards.to_shards").main()
    small = {key: value for key, value in zip(("batch_size", "log_every", "warm_up_iter"), (4, 1, 1))}
    further = {
        "lamp": pairs(SIZES["lamp"].replace(" --alternate_losses", ""))
        | {"bert": "none", "vocab": sample_vocabulary}
        | small,
        "generators": pairs(SIZES["transformer"]) | small,
        "scores": {"max_samples": 4},
        "follow": {"sentences": folder / "sentences.json", "repeat_times": 1},
    }
    places = {"motion": sample_data, "tokens": folder / "tokens", "tests": tests, "out": folder / "out"}
    sizes = {"seeds": 1, "lamp_iterations": 1, "iterations": 1, "repeats": 1, "gpu": -1}
    return Study(**places, **sizes, sentence_source=str(sentence_folder), further=further), models


def pairs(flags: str) -> dict[str, str]:
    """Flags with one value each by name."""
    return dict(re.findall(r"--(\S+) (\S+)", flags))


def test_three_text_encoders_end_in_one_table(
    study: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every stage once, in this process; a second call does none again."""
    called: list[str] = []

    def here(module: str, flags: list[str], log: Path) -> int:
        called.append(module)
        monkeypatch.setattr(sys, "argv", [module, *flags])
        with open(log, "w", encoding="utf-8") as file, contextlib.redirect_stdout(file):
            importlib.import_module(module.removeprefix("lamp.")).main()
        return 0

    monkeypatch.setattr(text_encoders, "call", here)
    lines = text_encoders.compare(*study)
    assert called.count("lamp.train_lamp") == 2 and called.count("lamp.train_t2m_transformer") == 6
    assert called.count("lamp.eval_follow") == called.count("lamp.eval_t2m_trans_res") == 3
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {words}" for words in ENCODERS.values()]
    assert all(line.count("|") == len(COLUMNS) + 2 for line in lines) and "nan" not in " ".join(lines)
    runs = study[0].runs
    encoders = {
        name: json.loads((runs / f"masked_{name}_1" / "opt.json").read_text())["text_encoder"] for name in ENCODERS
    }
    assert encoders == {name: name for name in ENCODERS}
    losses = json.loads((runs / "text_contrastive" / "opt.json").read_text())
    assert losses["contrastive_weight"] == 1 and losses["matching_weight"] == losses["captioning_weight"] == 0
    called.clear()
    assert text_encoders.compare(*study) == lines and not called


def test_a_stage_that_fails_names_its_log(
    study: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Study(**{**vars(study[0]), "out": tmp_path / "other"})
    monkeypatch.setattr(text_encoders, "call", lambda *_: 2)
    called: list[str] = []
    monkeypatch.setattr(text_encoders, "call", lambda module, *_: called.append(module) or 2)
    with pytest.raises(UserError, match=r"text_lamp ended with exit code 2; .*text_lamp\.log says why"):
        text_encoders.compare(other, study[1])
    assert called == ["lamp.train_lamp"]  # nothing else begins
    monkeypatch.setattr(text_encoders, "call", lambda *given: given[2].write_text("interrupted: state saved\n") * 0)
    with pytest.raises(UserError, match="text_lamp was stopped before its end"):
        text_encoders.compare(other, study[1])
    assert not any((other.out / "done").iterdir())
    with pytest.raises(UserError, match="has no tokenizer"):
        text_encoders.compare(other, tmp_path)
