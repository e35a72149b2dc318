"""Readers of options, guidance, word vectors and prompts, fed with damaged files: a line that names them, or values.

`LAMP_FUZZ=3000` in the environment asks for more of them, see `tests.fuzzing`.
"""

import dataclasses
import io
import json
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lamp.models.checkpoints import read_run_options
from lamp.models.pipeline import read_guidance
from lamp.models.words import WORD_DIM, read_glove, read_our_vab
from lamp.options.t2m import T2MOptions
from lamp.utils.cli import load_options, read_opt_txt, save_options
from lamp.utils.errors import UserError
from lamp.utils.prompts import read_prompts
from lamp.utils.reading import read_npy
from tests.fuzzing import ODD, check, damaged, fuzz, hypothesis, st
from tests.test_options import OPTIONS


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def options(folder) -> dict:
    save_options(T2MOptions(), folder / "good.json")
    return json.loads((folder / "good.json").read_text())


def read_options(path: Path) -> T2MOptions:
    return load_options(T2MOptions, path)


@fuzz()
@hypothesis.given(st.data())
def test_options_of_any_bytes(folder, options, data):
    content = data.draw(damaged(json.dumps(options).encode()))
    check(read_options, folder / "opt.json", content)


@fuzz()
@hypothesis.given(st.data())
def test_options_of_any_values(folder, options, data):
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(options)), ODD, min_size=1, max_size=3))
    content = json.dumps(options | changes).encode()
    check(read_options, folder / "opt.json", content)
    check(lambda path: read_run_options(path.parent)["vq_name"], folder / "opt.json", content)


@fuzz()
@hypothesis.given(damaged(b"------ Options ------\nname: x\nlr: 0.0002\nmilestones: [1, 2]\nis_continue: False\n"))
def test_public_options(folder, data):
    check(read_options, folder / "opt.txt", data)
    try:
        read_opt_txt(folder / "opt.txt")
    except ValueError:
        pass  # what `load_options` and the import make one line of


@fuzz()
@hypothesis.given(
    damaged(b'{"cond_scale": 1.5, "res_cond_scale": 2.5}') | ODD.map(lambda odd: json.dumps(odd).encode())
)
def test_guidance(folder, data):
    check(lambda path: read_guidance(path.parent), folder / "guidance.json", data)


@fuzz()
@hypothesis.given(damaged(b"a person walks#40\nsomeone jumps, then sits#NA\n\xe2\x80\xa8x#60\n"))
def test_prompts(folder, data):
    check(read_prompts, folder / "prompts.txt", data)


@fuzz()
@hypothesis.given(damaged("".join(f"{word} {' '.join(['0.5'] * WORD_DIM)}\n" for word in ("walk", "a")).encode()))
def test_glove(folder, data):
    check(lambda path: read_glove(path, ["walk"]), folder / "glove.txt", data)


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((3, WORD_DIM), np.float32))
    return file.getvalue()


GOOD = {
    "our_vab_data.npy": npy(),
    "our_vab_words.pkl": pickle.dumps(["unk", "walk", "sos"]),
    "our_vab_idx.pkl": pickle.dumps({"unk": 0, "walk": 1, "sos": 2}),
}


@fuzz()
@hypothesis.given(st.sampled_from(sorted(GOOD)), st.data())
def test_public_words(folder, name, data):
    for other, content in GOOD.items():
        (folder / other).write_bytes(content)
    check(lambda path: read_our_vab(path.parent), folder / name, data.draw(damaged(GOOD[name])), named=str(folder))


@pytest.mark.parametrize(
    "index",
    [
        {"unk": -1},
        {"unk": 3},
        {"unk": 10**30},
        {"unk": 1.0},
        {"unk": True},
        {"unk": None},
        {"walk": 0},
        {},
        ["unk"],
        {"unk": [0]},
    ],
)
def test_an_index_that_points_elsewhere(tmp_path, index):
    for name, content in (GOOD | {"our_vab_idx.pkl": pickle.dumps(index)}).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_our_vab(tmp_path)


def test_words_without_the_unknown_one(tmp_path):
    for name, content in (GOOD | {"our_vab_words.pkl": pickle.dumps(["walk", "sos"])}).items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_our_vab(tmp_path)


def test_words_ask_for_no_memory_that_their_size_does_not_justify(tmp_path):
    for name, content in GOOD.items():
        (tmp_path / name).write_bytes(content)
    # A place in the memo that makes the reader reserve room for all places before it: 64 GB.
    bomb = b"\x80\x04]r" + struct.pack("<I", 2**32 - 1) + b"."
    with pytest.raises(UserError, match=r"our_vab_words\.pkl asks for more memory"):
        check_bomb(tmp_path, bomb)
    with pytest.raises(UserError, match=r"our_vab_words\.pkl"):
        check_bomb(tmp_path, b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.")


def check_bomb(folder: Path, content: bytes) -> None:
    (folder / "our_vab_words.pkl").write_bytes(content)
    read_our_vab(folder)


def test_a_header_asks_for_no_memory_that_the_size_does_not_justify(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(UserError, match=r"a\.npy breaks off in its header"):
        check_peak(path, b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + GOOD["our_vab_data.npy"][10:])


def check_peak(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    tracemalloc.start()
    try:
        read_npy(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1 << 20


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_word_vectors_are_finite(value, tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("walk " + " ".join([value, *["0.5"] * (WORD_DIM - 1)]) + "\n")
    with pytest.raises(UserError, match=r"glove\.txt: the vector of 'walk' is not finite"):
        read_glove(path, ["walk"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", "nan"), ("lr", "inf"), ("gamma", "1e999"), ("seed", "9" * 30), ("batch_size", str(2**63))],
)
def test_flags_are_numbers_that_can_be(name, value, tmp_path, capsys):
    from lamp.utils.cli import parse

    with pytest.raises(SystemExit) as stop:
        parse(T2MOptions, [f"--{name}", value])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and f"--{name}" in error and error.count("\n") == 1
    (tmp_path / "opt.json").write_text(json.dumps({name: float(value) if name in ("lr", "gamma") else int(value)}))
    with pytest.raises(UserError, match=rf"opt\.json: --{name}"):
        load_options(T2MOptions, tmp_path / "opt.json")


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("value", [0, -1, 10**18, [0], "x", None])
def test_sizes_that_cannot_be(kind, value, tmp_path):
    fields = {field.name for field in dataclasses.fields(kind)}
    needed = {name: "x" for name in ("name", "motion") if name in fields}
    for name in flatten_defaults(kind):
        (tmp_path / "opt.json").write_text(json.dumps(needed | {name: value}))
        try:
            load_options(kind, tmp_path / "opt.json")
        except UserError as error:
            assert "opt.json" in str(error)


def flatten_defaults(kind: type) -> list[str]:
    """Names of all flags of a class of options, those of a model's config included."""
    names = []
    for field in dataclasses.fields(kind):
        default = None if field.default_factory is dataclasses.MISSING else field.default_factory()
        names += (
            [inner.name for inner in dataclasses.fields(default)] if dataclasses.is_dataclass(default) else [field.name]
        )
    return names


@pytest.mark.parametrize(
    "content", ["[1, 2]", "3", "null", '"x"', "[" * 100_000, "\xff", '{"lr": 1' + "0" * 5000 + "}"]
)
def test_what_is_no_object_of_options(content, tmp_path):
    (tmp_path / "opt.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"opt\.json") as error:
        load_options(T2MOptions, tmp_path / "opt.json")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
