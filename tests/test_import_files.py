"""Files to be wary of when checkpoints are imported, and folders to leave alone."""

# ruff: noqa: F811 - fixtures are imported by name

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from public_layout import (
    PUBLIC,
    parts,  # noqa: F401 - a fixture
    public_length,
    public_masked,
    public_run,
    public_tokenizer,
    refused,
    run,
)

from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.vq.model import RVQVAE


class Command:
    """Runs a command when it is unpickled."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> Any:
        return os.system, (self.text,)


@pytest.mark.parametrize("new_format", [True, False])
def test_nothing_in_a_checkpoint_is_executed(new_format: bool, tmp_path: Path, capsys, parts) -> None:
    mark = tmp_path / "executed"
    content = {"vq_model": public_tokenizer(parts["vq"]), "ep": Command(f"touch {mark}")}
    torch.save(content, tmp_path / "bad.tar", _use_new_zipfile_serialization=new_format)
    assert "could run code" in refused(capsys, tmp_path / "bad.tar", tmp_path / "out")
    assert not mark.exists() and not (tmp_path / "out").exists()


def test_option_namespaces_are_read_and_used(tmp_path: Path, parts) -> None:
    options = argparse.Namespace(n_heads=3, vq_name="theirs")
    state = {f"module.{key}": value.half() for key, value in public_masked(parts["masked"]).items()}
    torch.save({"t2m_transformer": state, "opt": options}, tmp_path / "latest.tar")
    run(tmp_path / "latest.tar", tmp_path / "out")
    model = MaskedTransformer.from_pretrained(tmp_path / "out")
    assert model.config.num_heads == 3 and model.token_embedding.weight.dtype == torch.float32
    assert json.loads((tmp_path / "out" / "opt.json").read_text())["vq_name"] == "theirs"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no checkpoint"), (b"no checkpoint at all", "no checkpoint"), (None, "cut off"), ({"a": 1}, "no weights")],
)
def test_files_that_are_no_checkpoints(content: Any, words: str, tmp_path: Path, capsys, parts) -> None:
    path = tmp_path / "file.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content or {"vq_model": public_tokenizer(parts["vq"])}, path)
        if content is None:
            path.write_bytes(path.read_bytes()[:20000])
    assert words in refused(capsys, path, tmp_path / "out")
    assert "there is no file" in refused(capsys, tmp_path / "none.tar", tmp_path / "out")
    assert "file.tar" in refused(capsys, tmp_path, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["file.tar"]


@pytest.mark.parametrize(
    ("part", "lost", "expected"),
    [
        ("masked", "cond_emb.weight", "the public weights lack cond_emb.weight"),
        ("residual", "quant_emb.bias", "the public weights lack quant_emb.bias"),
        ("length", "output.5.bias", "the public weights lack output.5.bias"),
        ("vq", "decoder.model.4.bias", "the public tokenizer lacks decoder.model.4.bias"),
    ],
)
def test_lacking_and_unknown_tensors_are_listed(part, lost, expected, tmp_path: Path, capsys, parts) -> None:
    state = PUBLIC[part](parts[part]) | {"one.more": torch.ones(2), "other": torch.ones(2)}
    state.pop(lost)
    torch.save({"state_dict": state}, tmp_path / "file.tar")
    line = refused(capsys, tmp_path / "file.tar", tmp_path / "out", "--n_heads", 3)
    assert line.startswith(f"error: {expected}") and "unknown tensors one.more, other" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["{}", "_orig_mod.{}", "module._orig_mod.{}", "_orig_mod.module.{}"])
def test_names_of_compiled_models_are_understood(place: str, tmp_path: Path, capsys, parts) -> None:
    state = public_tokenizer(parts["vq"])
    torch.save({"vq_model": {place.format(key): value for key, value in state.items()}}, tmp_path / "a.tar")
    run(tmp_path / "a.tar", tmp_path / "out")
    loaded = RVQVAE.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in parts["vq"].state_dict().items() if "code_" not in key)


def test_compiled_parts_of_a_model_are_understood(tmp_path: Path, capsys, parts) -> None:
    state = public_tokenizer(parts["vq"])
    inner = {key.replace("encoder.", "encoder._orig_mod.", 1): value for key, value in state.items()}
    torch.save({"vq_model": inner}, tmp_path / "a.tar")
    run(tmp_path / "a.tar", tmp_path / "out")
    torch.save({"vq_model": inner | state}, tmp_path / "b.tar")
    assert "there twice" in refused(capsys, tmp_path / "b.tar", tmp_path / "other")


@pytest.mark.parametrize("lost", [[0], [1], [2], [1, 2]])
@pytest.mark.parametrize("shared", [False, True])
def test_a_tokenizer_that_lacks_codebooks_is_refused(lost, shared: bool, tmp_path: Path, capsys, parts) -> None:
    state = public_tokenizer(parts["vq"])
    for level in range(3):
        if shared:
            state[f"quantizer.layers.{level}.codebook"] = state["quantizer.layers.0.codebook"].clone()
    for level in lost:
        del state[f"quantizer.layers.{level}.codebook"]
    run_folder = tmp_path / "run"
    path = public_run(run_folder, {"vq_model": state}, {"num_quantizers": 3}, meta=263)
    line = refused(capsys, path, tmp_path / "out")
    assert "lacks the codebooks" in line or "num_quantizers 3" in line
    assert not (tmp_path / "out").exists()


def test_without_options_the_number_of_levels_is_said(tmp_path: Path, capsys, parts) -> None:
    torch.save({"vq_model": public_tokenizer(parts["vq"])}, tmp_path / "a.tar")
    run(tmp_path / "a.tar", tmp_path / "out")
    assert "levels of the tokenizer: 3, as many" in capsys.readouterr().out
    assert "num_quantizers 6" in refused(capsys, tmp_path / "a.tar", tmp_path / "other", "--num_quantizers", 6)


def test_tensors_that_contradict_each_other(tmp_path: Path, capsys, parts) -> None:
    state = public_masked(parts["masked"])
    state["output_process.dense.weight"] = torch.ones(5, 5)
    torch.save({"state_dict": state}, tmp_path / "file.tar")
    assert "head.dense.weight (5, 5)" in refused(capsys, tmp_path / "file.tar", tmp_path / "out", "--n_heads", 3)
    state = public_masked(parts["masked"]) | {"cond_emb.bias": torch.full((24,), torch.nan)}
    torch.save({"state_dict": state}, tmp_path / "file.tar")
    assert "not finite" in refused(capsys, tmp_path / "file.tar", tmp_path / "out", "--n_heads", 3)
    state = public_tokenizer(parts["vq"]) | {"encoder.model.0.weight": torch.ones(3)}
    torch.save({"state_dict": state}, tmp_path / "file.tar")
    assert "do not fit each other" in refused(capsys, tmp_path / "file.tar", tmp_path / "out")


def test_weights_of_unknown_kind_or_of_two(tmp_path: Path, capsys, parts) -> None:
    torch.save({"net": {"some.weight": torch.ones(2)}}, tmp_path / "a.tar")
    assert "no known kind (net.some" in refused(capsys, tmp_path / "a.tar", tmp_path / "out")
    both = {"vq": public_tokenizer(parts["vq"]), "masked": public_masked(parts["masked"])}
    torch.save(both, tmp_path / "b.tar")
    assert "several models" in refused(capsys, tmp_path / "b.tar", tmp_path / "out")


def test_what_tensors_do_not_tell_must_be_told(tmp_path: Path, capsys, parts) -> None:
    state = public_masked(parts["masked"])
    torch.save({"t2m_transformer": state}, tmp_path / "latest.tar")
    arguments = (tmp_path / "latest.tar", tmp_path / "out")
    assert "give --n_heads" in refused(capsys, *arguments)
    assert "--n_heads 5" in refused(capsys, *arguments, "--n_heads", 5)
    (tmp_path / "opt.txt").write_text("n_heads: 3\nlatent_dim: 384\n")
    assert "is it their opt.txt" in refused(capsys, *arguments)
    (tmp_path / "opt.txt").write_text("n_heads: 4\n")
    run(*arguments, "--n_heads", 3)
    assert MaskedTransformer.from_pretrained(tmp_path / "out").config.num_heads == 3
    assert "there is no such file" in refused(capsys, *arguments, "--opt", tmp_path / "none.txt")
    assert "--vq_name 'a/b'" in refused(capsys, *arguments, "--n_heads", 3, "--vq_name", "a/b")
    (tmp_path / "opt.txt").write_text("n_heads: 3\nvq_name: ../elsewhere\n")
    assert "'../elsewhere' must be a plain name" in refused(capsys, *arguments)


def test_statistics_must_fit(tmp_path: Path, capsys, parts) -> None:
    path = public_run(tmp_path / "run", {"vq_model": public_tokenizer(parts["vq"])}, {}, meta=251)
    assert "263 finite numbers" in refused(capsys, path, tmp_path / "out")
    assert "mean.npy" in refused(capsys, path, tmp_path / "out", "--meta", tmp_path)
    np.save(tmp_path / "Mean.npy", np.zeros(263, np.float32))
    np.save(tmp_path / "Std.npy", np.zeros(263, np.float32))
    assert "not above 0" in refused(capsys, path, tmp_path / "out", "--meta", tmp_path)
    np.save(tmp_path / "Std.npy", np.array([object()]), allow_pickle=True)
    assert "no array of numbers" in refused(capsys, path, tmp_path / "out", "--meta", tmp_path)


def test_only_an_earlier_import_is_replaced(tmp_path: Path, capsys, parts) -> None:
    torch.save({"estimator": public_length(parts["length"])}, tmp_path / "finest.tar")
    folder = tmp_path / "length"
    run(tmp_path / "finest.tar", folder)
    (folder / "old").touch()
    run(tmp_path / "finest.tar", folder)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors", "opt.json"]
    parts["length"].save_pretrained(tmp_path / "trained")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "text.txt").touch()
    for name in ("trained", "notes", "finest.tar"):
        assert "exists and is no import" in refused(capsys, tmp_path / "finest.tar", tmp_path / name)
    assert list((tmp_path / "notes").iterdir()) == [tmp_path / "notes" / "text.txt"]
    path = public_run(tmp_path / "public", {"estimator": public_length(parts["length"])}, {})
    run(path, tmp_path / "public")
    assert "it holds model, opt.txt" in refused(capsys, tmp_path / "finest.tar", tmp_path / "public")
    assert path.is_file()
    assert "cannot write" in refused(capsys, tmp_path / "finest.tar", tmp_path / "finest.tar" / "out")
