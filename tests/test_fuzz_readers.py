"""Readers of files that people bring, fed with damaged ones: a `UserError` of one line that names the file, or motion.

`LAMP_FUZZ=3000` in the environment asks for more of them, see `tests.fuzzing`.
"""

import contextlib
import copy
import functools
import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamp.data.caption_table import read_caption_table
from lamp.data.text import parse_captions
from lamp.utils.capture.files import read_motion
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.capture.joints import read_joints
from lamp.utils.character.character import Character
from lamp.utils.gltf.container import Gltf
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from tests.fuzzing import check, damaged, fuzz, hypothesis, st, ways
from tests.rigs import Recipe, build
from tests.test_export import walk

CASES = Path(__file__).parent / "cases"
AMC, ASF = ((CASES / "06" / "base" / name).read_bytes() for name in ("01_01.amc", "01.asf"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@fuzz()
@hypothesis.given(damaged((CASES / "07" / "walk.bvh").read_bytes()))
def test_bvh(folder, data):
    check(read_joints, folder / "a.bvh", data)


@fuzz()
@hypothesis.given(
    damaged((CASES / "06" / "base" / "01_01.amc").read_bytes()),
    damaged((CASES / "06" / "base" / "01.asf").read_bytes()),
)
def test_amc(folder, amc, asf):
    place = folder / "amc"
    place.mkdir(exist_ok=True)
    for a, b in ((amc, (CASES / "06" / "base" / "01.asf").read_bytes()), (amc, asf)):
        (place / "01.asf").write_bytes(b)
        check(read_joints, place / "01_01.amc", a)


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.load(CASES / "16" / "mirrored.npy")[:8, list(HUMANML3D.mirror_order)])
    return file.getvalue()


@fuzz()
@hypothesis.given(damaged(_npy()))
def test_npy(folder, data):
    check(read_motion, folder / "a.npy", data)
    check(Motion.load, folder / "a.npy", data)


@fuzz()
@hypothesis.given(st.lists(st.integers(0, 10**19), max_size=5), st.sampled_from("<f4 <f8 |O <c16 |S9 |V0 <U3".split()))
def test_npy_whose_header_lies(folder, shape, kind):
    header = repr({"descr": kind, "fortran_order": False, "shape": tuple(shape)}).encode()
    header += b" " * (-len(header) % 64) + b"\n"
    check(Motion.load, folder / "a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\x00" * 528)


def _npz() -> bytes:
    joints = np.load(CASES / "16" / "mirrored.npy")[:8, list(HUMANML3D.mirror_order)]
    file = io.BytesIO()
    np.savez_compressed(file, joints=joints, fps=20.0, text=np.str_("a"), meta=np.str_("{}"))
    return file.getvalue()


@fuzz()
@hypothesis.given(damaged(_npz()))
def test_npz(folder, data):
    check(read_motion, folder / "a.npz", data)


@fuzz()
@hypothesis.given(
    st.one_of(st.floats(), st.integers(), st.text(max_size=5), st.lists(st.floats(), max_size=3)),
    st.one_of(st.text(max_size=30), st.just("[" * 100_000), st.just('{"a": ' * 5000)),
)
def test_npz_of_other_values(folder, fps, meta):
    joints = np.load(CASES / "16" / "mirrored.npy")[:8, list(HUMANML3D.mirror_order)]
    file = io.BytesIO()
    try:
        np.savez(file, joints=joints, fps=np.array(fps), meta=np.str_(meta))
    except (ValueError, OverflowError):
        return
    check(read_motion, folder / "a.npz", file.getvalue())


def test_an_archive_that_unpacks_to_no_end(folder):
    path = folder / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("joints.npy", "w") as file:
        for _ in range(300):
            file.write(b"\x00" * (1 << 20))
    check(read_motion, path, path.read_bytes(), most=64 << 20)


def _glb() -> bytes:
    gltf = Gltf()
    gltf.add("nodes", {"name": "Hips", "children": [1]})
    gltf.accessor(np.ones((40, 3), dtype=np.float32))
    with tempfile.TemporaryDirectory() as made:
        gltf.save(Path(made, "x.glb"))
        return Path(made, "x.glb").read_bytes()


@fuzz()
@hypothesis.given(damaged(_glb()))
def test_glb(folder, data):
    check(Gltf.load, folder / "x.glb", data)


@functools.cache
def _hero() -> bytes:
    with tempfile.TemporaryDirectory() as made:
        return build(Recipe(vrm="1.0"), Path(made, "x.glb")).read_bytes()


def _put_on(path: Path) -> None:
    Character(path).save(Motion(walk(2)), path.with_name("out.glb"))


@fuzz()
@hypothesis.given(damaged(_hero()))
def test_character(folder, data):
    check(_put_on, folder / "x.glb", data)


def _document() -> Gltf:
    with tempfile.TemporaryDirectory() as made:
        Path(made, "x.glb").write_bytes(_hero())
        return Gltf.load(Path(made, "x.glb"))


_DOCUMENT = _document().document
_WAYS = [way for way in ways(_DOCUMENT) if way and way[0] != "materials"]
_VALUES = (None, -1, 0, 1e9, 1e308, "x", "", [], {}, [0, 0, 0], True, 3, 99999)


@fuzz()
@hypothesis.given(st.lists(st.tuples(st.sampled_from(_WAYS), st.sampled_from(_VALUES)), min_size=1, max_size=3))
def test_character_with_other_entries(folder, changes):
    gltf = _document()
    for way, value in changes:
        entry: Any = gltf.document
        with contextlib.suppress(KeyError, IndexError, TypeError):
            for key in way[:-1]:
                entry = entry[key]
            entry[way[-1]] = copy.deepcopy(value)
    with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
        gltf.save(folder / "y.glb")
        check(_put_on, folder / "x.glb", (folder / "y.glb").read_bytes())


_MAP = json.dumps({name: name for name in HUMANML3D.joint_names}).encode()


@fuzz()
@hypothesis.given(st.one_of(damaged(_MAP), st.just(b"[" * 100_000), st.just(_MAP.replace(b'"head"', b'"neck"'))))
def test_joint_maps(folder, data):
    check(load_joint_map, folder / "map.json", data)


_TABLE = b'file,caption,start,end,split\na.bvh,"walks, and waves",0,2.5,train\nb.bvh,runs,,,val\nc/d.npy,jumps,1,2,\n'


@fuzz()
@hypothesis.given(damaged(_TABLE))
def test_caption_tables(folder, data):
    def read(path: Path) -> None:
        for file, rows in read_caption_table(path).items():
            # Nothing that a table says may lead outside the folders that it is used in.
            assert ".." not in file.split("/") and not file.startswith("/")
            assert all(row.split in ("", "train", "val", "test") or row.split.startswith("test_") for row in rows)
            assert not any("/" in row.split or "\\" in row.split for row in rows)

    check(read, folder / "table.csv", data)


@fuzz()
@hypothesis.given(damaged(b"a man walks#a/DET man/NOUN walk/VERB#0.0#1e308\na man runs#a/DET#nan#2\n"))
def test_caption_files(data):
    for caption in parse_captions(data.decode(errors="replace")).captions:
        part = caption.frames(100, 20.0)
        assert 0 <= part.start <= part.stop <= 100
