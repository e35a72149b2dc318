"""Model folders and checkpoints of others, damaged or made up: a model, or a line that names the folder or the file."""

import functools
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from lamp.models.hub import LaMPModel
from lamp.models.lamp.known import KNOWN_FILE, KnownTexts
from lamp.models.lamp.model import LaMP
from lamp.prepare.public.files import read_checkpoint, read_options, read_statistics
from tests.fuzzing import any_json, changed, check, damaged, fuzz, hypothesis, st
from tests.test_pipeline import WORDS, tiny_parts

NAMES = st.sampled_from(["tokenizer", "lamp", "masked", "residual", "length"])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, tuple[type[LaMPModel], Path]]:
    """Small models, each with its folder."""
    place = tmp_path_factory.mktemp("models")
    parts = tiny_parts()
    for name, model in parts.items():
        model.save_pretrained(place / name, meta={"name": name, "built_on": {"tokenizer": "a@b"}})
    return {name: (type(model), place / name) for name, model in parts.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("public")


@functools.cache
def lamp_of(folder: Path) -> LaMP:
    return LaMP.from_pretrained(folder)


@fuzz()
@hypothesis.given(NAMES, st.data())
def test_configs(made, name, data):
    kind, good = made[name]
    path = good / "config.json"
    before = path.read_bytes()
    try:
        check(lambda file: kind.from_pretrained(file.parent), path, data.draw(any_json(json.loads(before))), str(good))
    finally:
        path.write_bytes(before)


@fuzz()
@hypothesis.given(NAMES, st.data())
def test_weights(made, name, data):
    kind, good = made[name]
    path = good / "model.safetensors"
    before = path.read_bytes()
    size = int.from_bytes(before[:8], "little")
    header = json.loads(before[8 : 8 + size])
    other = changed(header).map(lambda value: json.dumps(value).encode())
    lying = other.map(lambda text: len(text).to_bytes(8, "little") + text + before[8 + size :])
    try:
        check(lambda file: kind.from_pretrained(file.parent), path, data.draw(lying | damaged(before)), str(good))
    finally:
        path.write_bytes(before)


@fuzz()
@hypothesis.given(damaged("\n".join(WORDS).encode()))
def test_vocabularies(made, data):
    kind, good = made["lamp"]
    path = good / "vocab.txt"
    before = path.read_bytes()
    try:
        check(lambda file: kind.from_pretrained(file.parent), path, data, str(good))
    finally:
        path.write_bytes(before)


@fuzz()
@hypothesis.given(st.data())
def test_known_captions(made, data):
    good, lamp = made["lamp"][1], lamp_of(made["lamp"][1])
    facts = {"threshold": "0.5", "lamp": lamp.meta["digest"]}
    captions = data.draw(
        st.sampled_from([torch.ones(3, 32, dtype=torch.int8), torch.ones(3, 4), torch.ones(32), torch.ones(0, 32)])
    )
    facts["threshold"] = data.draw(st.sampled_from(["0.5", "nan", "", "9" * 5000, "inf"]))
    good_file = save({"captions": captions}, facts)

    def read(path: Path) -> None:
        known = KnownTexts.load(path.parent.parent, lamp)
        if known is not None:
            assert np.isfinite(known.threshold)
            assert np.isfinite(known.closeness(lamp, ["a person walks"])).all()

    check(read, good / KNOWN_FILE, data.draw(st.just(good_file) | damaged(good_file)))


def _checkpoint(old: bool) -> bytes:
    file = io.BytesIO()
    content = {"net": {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)}, "ep": 3, "total_it": 10.0}
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


@fuzz()
@hypothesis.given(st.sampled_from([_checkpoint(True), _checkpoint(False)]).flatmap(damaged))
def test_public_checkpoints(folder, data):
    check(read_checkpoint, folder / "net.tar", data)


@fuzz()
@hypothesis.given(damaged(b"------ Options ------\nname: x\nlr: 0.0002\nmilestones: [1, 2]\nis_continue: False\n"))
def test_public_options_of_a_checkpoint(folder, data):
    (folder / "net.tar").write_bytes(_checkpoint(False))
    file = read_checkpoint(folder / "net.tar")
    check(lambda path: read_options(file, path, {}), folder / "opt.txt", data)


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


@fuzz()
@hypothesis.given(
    damaged(_npy(np.ones(6, np.float32))) | st.just(_npy(np.ones(6, np.float32)).replace(b"(6,)", b"(10**12,)"))
)
def test_public_statistics(folder, data):
    (folder / "std.npy").write_bytes(_npy(np.ones(6, np.float32)))
    check(lambda path: read_statistics(path.parent, 6), folder / "mean.npy", data, str(folder))
    shutil.copy(folder / "mean.npy", folder / "std.npy")
