"""What the shipped LaMP says of prompts that are far from its captions."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lamp.models.lamp.known import KNOWN_FILE, KnownTexts, text_means
from lamp.models.lamp.model import LaMP
from lamp.prepare.mini.known_texts import far_apart
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models


@pytest.fixture(scope="module")
def lamp() -> LaMP:
    return LaMP.from_pretrained(shipped_models(), "lamp")


@pytest.fixture(scope="module")
def known(lamp: LaMP) -> KnownTexts:
    found = KnownTexts.load(shipped_models(), lamp)
    assert found is not None
    return found


def test_the_file_is_small() -> None:
    assert (shipped_models() / "lamp" / KNOWN_FILE).stat().st_size < 1_000_000


def test_unrelated_prompts_are_outside_and_captions_are_not(lamp: LaMP, known: KnownTexts) -> None:
    prompts = json.loads(files("lamp.prepare.mini").joinpath("unknown_prompts.json").read_text(encoding="utf-8"))
    far = torch.tensor(known.closeness(lamp, prompts["unrelated"][1::2])) < known.threshold
    assert far.float().mean() >= 0.8  # measured: 80 % of the half that the threshold was not chosen on
    near = known.closeness(lamp, ["a person walks forward", "a man waves with the left hand", "someone runs slowly"])
    assert min(near) > known.threshold


def test_a_sentence_is_the_same_among_others(lamp: LaMP, known: KnownTexts) -> None:
    long = "a person walks forward very slowly and then waves with both hands"
    (alone,) = known.closeness(lamp, ["someone kicks"])
    assert known.closeness(lamp, [long, "someone kicks"])[1] == pytest.approx(alone, abs=1e-6)
    assert torch.allclose(text_means(lamp, [long]).norm(dim=-1), torch.ones(1))


def test_other_weights_have_no_such_file(lamp: LaMP, tmp_path: Path) -> None:
    assert KnownTexts.load(tmp_path, lamp) is None
    (tmp_path / "lamp").mkdir()
    place = tmp_path / "lamp" / KNOWN_FILE
    captions = {"captions": torch.ones(2, 384, dtype=torch.int8)}
    save_file(captions, place, {"threshold": "0.5", "lamp": "another"})
    assert KnownTexts.load(tmp_path, lamp) is None
    save_file(captions, place, {"lamp": lamp.meta["digest"]})
    with pytest.raises(UserError, match="cannot be read"):
        KnownTexts.load(tmp_path, lamp)
    place.write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be read"):
        KnownTexts.load(tmp_path, lamp)


def test_far_apart_takes_the_corners_first() -> None:
    points = torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 0.01], [0, 1], [-1, 0]]), dim=-1)
    assert far_apart(points, 3) == [0, 3, 2]
    assert sorted(far_apart(points, 9)) == [0, 1, 2, 3]
