"""Models know what they were built on, and refuse anything else; which checkpoint counts as the best."""

from pathlib import Path

import pytest
import torch

from lamp.models import checkpoints
from lamp.models.checkpoints import model_folder
from lamp.models.lineage import built_on, check_built_on
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.masked import MaskedTransformer
from lamp.models.text_condition import CachedCondition, LaMPCondition
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError
from tests.test_pipeline import tiny_parts


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Model folders, the generators of which say what they were built on."""
    parts = tiny_parts()
    for name in ("tokenizer", "lamp"):
        parts[name].save_pretrained(tmp_path / name, meta={"name": f"{name}_run"})
    loaded = {name: type(parts[name]).from_pretrained(tmp_path / name) for name in ("tokenizer", "lamp")}
    text = CachedCondition(LaMPCondition(loaded["lamp"]))
    for name in ("masked", "residual"):
        parts[name].save_pretrained(tmp_path / name, meta=built_on(tokenizer=loaded["tokenizer"], text_encoder=text))
    parts["length"].save_pretrained(tmp_path / "length", meta=built_on(text_encoder=text))
    return tmp_path


def retrain(folder: Path, kind: type, name: str) -> None:
    """Other weights in the place of a model."""
    model = kind.from_pretrained(folder)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    model.save_pretrained(folder, meta={"name": name})


def test_models_that_belong_together_load(models: Path) -> None:
    pipe = LaMPPipeline.from_pretrained(models)
    assert pipe.masked.meta["built_on"]["tokenizer"] == pipe.tokenizer.identity
    assert pipe.tokenizer.identity.startswith("tokenizer_run@")


def test_a_retrained_tokenizer_is_refused_by_name_and_digest(models: Path) -> None:
    before = RVQVAE.from_pretrained(models / "tokenizer").identity
    retrain(models / "tokenizer", RVQVAE, "tokenizer_run")
    after = RVQVAE.from_pretrained(models / "tokenizer").identity
    with pytest.raises(
        UserError, match=f"masked was trained on the tokenizer {before}.*trained anew: {after}"
    ) as caught:
        LaMPPipeline.from_pretrained(models)
    assert "train masked again" in str(caught.value)


def test_another_text_encoder_is_refused(models: Path) -> None:
    parts = tiny_parts()
    retrain(models / "lamp", type(parts["lamp"]), "other_run")
    with pytest.raises(UserError, match=r"trained on the text encoder lamp_run@\w+; this is other_run@"):
        LaMPPipeline.from_pretrained(models)


def test_rounded_weights_stay_the_same_model(models: Path) -> None:
    tokenizer = RVQVAE.from_pretrained(models / "tokenizer")
    digest = tokenizer.identity.rpartition("@")[2]
    tokenizer.save_pretrained(models / "tokenizer", dtype=torch.float16, meta=tokenizer.meta, digest=digest)
    LaMPPipeline.from_pretrained(models)


def test_models_of_earlier_versions_load(models: Path) -> None:
    for name in ("tokenizer", "masked"):
        config = models / name / "config.json"
        content = config.read_text(encoding="utf-8")
        config.write_text(content.replace('"built_on"', '"unknown"').replace('"digest"', '"old"'), encoding="utf-8")
    masked = MaskedTransformer.from_pretrained(models / "masked")
    check_built_on(masked, "tokenizer", RVQVAE.from_pretrained(models / "tokenizer"))


def test_an_unsaved_model_has_no_identity() -> None:
    with pytest.raises(ValueError, match="not loaded"):
        _ = tiny_parts()["tokenizer"].identity


def test_the_best_checkpoint_follows_a_rule_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints._say_once.cache_clear()
    for name in ("latest", "net_best_a_number", "net_best_loss", "net_best_fid"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    for expected in ("net_best_fid", "net_best_loss", "net_best_a_number", "latest"):
        assert model_folder(tmp_path).name == expected
        assert capsys.readouterr().err == f"best checkpoint of {tmp_path}: {expected}\n"
        (tmp_path / expected / "config.json").unlink()
