"""Imported sets of models at work: the pipeline, the scripts, and sets that do not fit."""

# ruff: noqa: F811 - fixtures are imported by name

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from public_layout import (
    BESIDE,
    OPTIMIZER,
    SMALL_EVALUATOR,
    by_module,
    parts,  # noqa: F401 - a fixture
    public_length,
    public_masked,
    public_residual,
    public_run,
    public_tokenizer,
    refused,
    run,
)
from test_text_condition import clip_folder  # noqa: F401 - a fixture

from lamp.models.evaluator import Evaluator
from lamp.models.pipeline import LaMPPipeline
from lamp.models.text_condition import ClipCondition
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.utils.errors import UserError


@pytest.fixture(scope="module")
def momask(tmp_path_factory, parts, clip_folder):
    """`checkpoints/t2m` with a public MoMask set, each run imported into its own folder, and the public files."""
    root = tmp_path_factory.mktemp("momask") / "t2m"
    heads = {"n_heads": 3, "latent_dim": 24, "n_layers": 2, "ff_size": 32, "vq_name": "rvq", "dataset_name": "t2m"}
    runs = {
        "rvq": ("vq_model", public_tokenizer(parts["vq"]), {"vq_act": "relu", "vq_norm": None}),
        "mtrans": ("t2m_transformer", public_masked(parts["masked"]), heads),
        "rtrans": ("res_transformer", public_residual(parts["residual"]), heads),
        "length_estimator": ("estimator", public_length(parts["length"]), {}),
    }
    for name, (key, state, options) in runs.items():
        content = {key: state, f"opt_{key}": OPTIMIZER, **BESIDE}
        path = public_run(root / name, content, {"name": name, **options}, meta=263 if name == "rvq" else 0)
        run(path, root / name, "--clip", clip_folder)
    return root


def test_an_imported_set_generates_what_its_parts_do(momask, parts, clip_folder):
    pipe = LaMPPipeline.from_runs(momask, "mtrans", "rtrans")
    meta = momask / "rvq" / "meta"
    parts["vq"].mean.copy_(torch.from_numpy(np.load(meta / "mean.npy")))
    parts["vq"].std.copy_(torch.from_numpy(np.load(meta / "std.npy")))
    text = ClipCondition(str(clip_folder))
    own = LaMPPipeline(parts["vq"], text, parts["masked"], parts["residual"], parts["length"])
    for lengths in (40, None):
        imported, expected = pipe("walk", lengths, seed=1)[0], own("walk", lengths, seed=1)[0]
        np.testing.assert_allclose(imported.features, expected.features, atol=1e-4)
    assert pipe.guidance == own.guidance


def test_scripts_run_with_an_imported_set(momask, sample_data, tmp_path, monkeypatch):
    torch.manual_seed(0)
    torch.save(by_module(Evaluator(SMALL_EVALUATOR).state_dict()), tmp_path / "finest.tar")
    run(tmp_path / "finest.tar", momask / "evaluator")
    common = ["--checkpoints_dir", momask.parent, "--dataset_name", "t2m", "--gpu_id", -1]
    judge = ["--data_root", sample_data, "--repeat_times", 2, "--max_samples", 4]
    generate = ["--text_prompt", "walk", "--no_video", "--no_bvh", "--no_ik", "--output_dir", tmp_path, "--ext", "a"]
    for script, arguments in (
        ("gen_t2m", ["--name", "mtrans", "--res_name", "rtrans", *generate]),
        ("eval_t2m_vq", ["--name", "rvq", *judge]),
        ("eval_t2m_trans_res", ["--name", "mtrans", "--res_name", "rtrans", "--time_steps", 2, *judge]),
    ):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, [*common, *arguments])])
        importlib.import_module(script).main()
    assert len(list((tmp_path / "a" / "joints" / "0").glob("*.npy"))) == 1
    assert all(list((momask / name / "eval").glob("*.json")) for name in ("rvq", "mtrans"))


def test_single_level_sets_need_no_residual_transformer(parts, tmp_path, clip_folder):
    torch.manual_seed(0)
    model = RVQVAE(RVQConfig(num_quantizers=1, nb_code=16, code_dim=12, width=16, depth=1)).eval()
    wrapped = {f"vqvae.{key}": value for key, value in public_tokenizer(model).items()}
    torch.save({"net": wrapped}, tmp_path / "net_last.pth")
    torch.save({"trans": public_masked(parts["masked"])}, tmp_path / "latest.tar")
    run(tmp_path / "net_last.pth", tmp_path / "t2m" / "vq")
    clip = ["--clip", clip_folder, "--vq_name", "vq", "--n_heads", 3]
    run(tmp_path / "latest.tar", tmp_path / "t2m" / "mtrans", *clip)
    pipe = LaMPPipeline.from_runs(tmp_path / "t2m", "mtrans", None)
    assert pipe("walk", 24)[0].joints.shape == (24, 22, 3)


def copied(momask: Path, folder: Path) -> Path:
    """A set of one's own to spoil."""
    return Path(shutil.copytree(momask, folder / "t2m"))


def set_options(folder: Path, **changes: str) -> None:
    options = json.loads((folder / "opt.json").read_text()) | changes
    (folder / "opt.json").write_text(json.dumps(options))


def test_sets_that_do_not_fit_are_refused(momask, parts, tmp_path):
    root = copied(momask, tmp_path)
    parts["masked"].save_pretrained(root / "ours")
    shutil.copy(root / "mtrans" / "opt.json", root / "ours")
    set_options(root / "ours", vq_name="our_vq")
    with pytest.raises(UserError, match="--vq_name our_vq, rtrans with rvq"):
        LaMPPipeline.from_runs(root, "ours", "rtrans")
    set_options(root / "length_estimator", text_encoder="lamp")
    with pytest.raises(UserError, match="--text_encoder clip, length_estimator with lamp"):
        LaMPPipeline.from_runs(root, "mtrans", "rtrans")
    LaMPPipeline.from_runs(root, "mtrans", "rtrans", length_name=None)
    # What lies there before it is imported is no run.
    (root / "length_estimator" / "opt.json").unlink()
    assert LaMPPipeline.from_runs(root, "mtrans", "rtrans").length is None
    set_options(root / "rtrans", clip_source="elsewhere")
    with pytest.raises(UserError, match="clip_source"):
        LaMPPipeline.from_runs(root, "mtrans", "rtrans")


def test_a_tokenizer_that_cannot_be_theirs_is_refused(momask, parts, tmp_path, capsys):
    root = copied(momask, tmp_path)
    source = root / "mtrans" / "model" / "net_best_fid.tar"
    parts["vq"].save_pretrained(root / "ours")
    line = refused(capsys, source, root / "new", "--vq_name", "ours")
    assert "was not imported" in line
    small = RVQVAE(RVQConfig(num_quantizers=2, nb_code=8, code_dim=12, width=16, depth=1))
    torch.save({"vq_model": public_tokenizer(small)}, tmp_path / "small.tar")
    run(tmp_path / "small.tar", root / "small")
    assert "nb_code 8, these weights 16" in refused(capsys, source, root / "new", "--vq_name", "small")
    assert not (root / "new").exists()


def test_the_tokenizer_is_found_by_the_name_of_its_public_run(momask, tmp_path):
    public, root = momask, tmp_path / "t2m"
    run(public / "rvq" / "model" / "net_best_fid.tar", root / "any_name")
    run(public / "mtrans" / "model" / "net_best_fid.tar", root / "mtrans")
    assert json.loads((root / "mtrans" / "opt.json").read_text())["vq_name"] == "any_name"


def test_an_import_into_the_public_run_keeps_its_files(momask):
    there = sorted(path.name for path in (momask / "rvq").iterdir() if path.name != "eval")
    assert there == ["config.json", "meta", "model", "model.safetensors", "opt.json", "opt.txt"]
