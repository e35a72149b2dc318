"""Data folders, libraries, recordings and archives, damaged or made up: read, or refused by a line that names them."""

import io
import json
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamp.data.loaders import load_labels, load_split, load_stats, read_first_captions, text_loader, tokenizer_loader
from lamp.data.spec import DatasetSpec, get_spec
from lamp.library.store import ARRAYS, Row, Store, Way
from lamp.library.table import update_table
from lamp.prepare.build_humanml3d import _compare_reference
from lamp.prepare.check_data import check_data
from lamp.prepare.downloads.files import check_file, is_archive, unpack
from lamp.prepare.downloads.transfer import LinkError
from lamp.prepare.humanml3d.amass import load_bodies, read_take
from lamp.prepare.humanml3d.sources import Published, Source, copy_splits, copy_texts, find_humanact12, read_index
from lamp.utils.errors import UserError
from lamp.utils.export.npz import read_npz
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores.following.sentences import SHIPPED, read_sentences
from tests.fuzzing import any_json, check, damaged, fuzz, hypothesis, st
from tests.test_build_humanml3d import write_body, write_take


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def lying(seed: bytes) -> st.SearchStrategy[bytes]:
    """An .npy file whose header says anything."""

    def apply(facts: tuple[list[int], str]) -> bytes:
        header = repr({"descr": facts[1], "fortran_order": False, "shape": tuple(facts[0])}).encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + seed[128:]

    shapes = st.lists(st.integers(0, 10**12) | st.sampled_from([263, 40, 22, 3]), max_size=4)
    return st.tuples(shapes, st.sampled_from("<f4 <f8 |O <c16 |S9 |V0 <U3 <M8[s] |b1".split())).map(apply) | damaged(
        seed
    )


@pytest.fixture(scope="module")
def data(sample_data, tmp_path_factory) -> DatasetSpec:
    """A data folder of six clips."""
    root = tmp_path_factory.mktemp("fuzz") / "data"
    names = [name for name in (sample_data / "train.txt").read_text().split() if not name.startswith("M")][:6]
    for folder, suffix in (("new_joint_vecs", "npy"), ("texts", "txt")):
        (root / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(sample_data / folder / f"{name}.{suffix}", root / folder)
    for name in ("Mean.npy", "Std.npy"):
        shutil.copy(sample_data / name, root)
    (root / "train.txt").write_text("\n".join(names) + "\n")
    (root / "labels.json").write_text(json.dumps({name: "walk" for name in names}))
    (root / "weights.json").write_text(json.dumps({name: 1.0 for name in names}))
    return get_spec("own", root)


def batch(spec: DatasetSpec) -> None:
    """What training reads: a batch of windows and one of motions with captions."""
    assert all(next(iter(tokenizer_loader(spec, "train", batch_size=2))).motion.isfinite().flatten())
    assert all(next(iter(text_loader(spec, "train", batch_size=2))).motion.isfinite().flatten())


def tried(spec: DatasetSpec, name: str, content: bytes, read, named: str | None = None) -> None:
    """`check` of a file of the data folder, which is put back."""
    path = spec.root / name
    before = path.read_bytes()
    try:
        check(lambda file: read(spec), path, content, str(spec.root) if named is None else named, folder=spec.root)
    finally:
        path.write_bytes(before)


@fuzz()
@hypothesis.given(st.data())
def test_splits(data, drawn):
    seed = (data.root / "train.txt").read_bytes() + b"../../x\n/etc/passwd\n"
    tried(data, "train.txt", drawn.draw(damaged(seed)), lambda spec: load_split(spec, "train"))


@fuzz()
@hypothesis.given(st.sampled_from(["labels.json", "weights.json"]), st.data())
def test_labels_and_weights(data, name, drawn):
    seed = json.loads((data.root / name).read_text())
    tried(data, name, drawn.draw(any_json(seed)), lambda spec: (load_labels(spec), batch(spec)), "")


@fuzz()
@hypothesis.given(st.sampled_from(["Mean.npy", "Std.npy"]), st.data())
def test_statistics(data, name, drawn):
    tried(data, name, drawn.draw(lying((data.root / name).read_bytes())), load_stats)


@fuzz()
@hypothesis.given(st.data())
def test_clips(data, drawn):
    clips = sorted((data.root / "new_joint_vecs").iterdir())
    name = f"new_joint_vecs/{clips[0].name}"
    content = drawn.draw(lying(clips[0].read_bytes()))
    tried(data, name, content, lambda spec: (get_spec("own", spec.root), batch(spec)))


@fuzz(0.25)
@hypothesis.given(st.data())
def test_captions_of_clips(data, drawn):
    texts = sorted((data.root / "texts").iterdir())
    content = drawn.draw(damaged(texts[0].read_bytes()))
    names = [path.stem for path in texts]
    tried(data, f"texts/{texts[0].name}", content, lambda spec: (batch(spec), read_first_captions(spec, names)))


@fuzz(0.25)
@hypothesis.given(st.data())
def test_the_check_of_a_folder(data, drawn):
    files = [path for path in sorted(data.root.rglob("*")) if path.is_file() and ".cache" not in path.parts]
    path = drawn.draw(st.sampled_from(files))
    seed = path.read_bytes()
    content = drawn.draw(lying(seed) if path.suffix == ".npy" else damaged(seed))
    tried(data, path.relative_to(data.root).as_posix(), content, check_data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


_SENTENCES = json.loads(SHIPPED.read_text(encoding="utf-8"))
_KINDS = [
    next(e for e in _SENTENCES if name in e["test"])
    for name in ("walk", "then", "all")
    if any(name in e["test"] for e in _SENTENCES)
]


@fuzz()
@hypothesis.given(any_json(_KINDS))
def test_sentences(folder, data):
    check(read_sentences, folder / "sentences.json", data)


_INDEX = b"source_path,start_frame,end_frame,new_name\n./pose_data/KIT/3/kick_poses.npy,0,80,000000.npy\n"
_INDEX += b"./pose_data/humanact12/humanact12/P01.npy,3,-1,000001.npy\n"


@fuzz()
@hypothesis.given(damaged(_INDEX))
def test_indices_of_humanml3d(folder, data):
    def read(path: Path) -> None:
        for recording in read_index(path):
            assert all(cut.name.isalnum() for cut in recording.cuts)

    check(read, folder / "index.csv", data)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("amass")
    write_take(place / "a.npz", 0.3, 60, 0)
    for gender in ("male", "female"):
        write_body(place / gender / "model.npz", 1.0, 0)
    return place


def _npz(seed: Path, key: str, content: bytes) -> bytes:
    """An .npz file with a member of other content."""
    file = io.BytesIO()
    with zipfile.ZipFile(seed) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == f"{key}.npy" else old.read(name))
    return file.getvalue()


@fuzz()
@hypothesis.given(st.data(), st.sampled_from(["poses", "trans", "betas", "gender", "mocap_framerate"]))
def test_recordings_of_amass(recordings, folder, drawn, key):
    path = recordings / "a.npz"
    with zipfile.ZipFile(path) as archive:
        member = archive.read(f"{key}.npy")
    other = lying(member).map(lambda content: _npz(path, key, content))
    check(read_take, folder / "a.npz", drawn.draw(other | damaged(path.read_bytes())))


@fuzz()
@hypothesis.given(st.data(), st.sampled_from(["J_regressor", "v_template", "shapedirs", "kintree_table"]))
def test_body_models(recordings, drawn, key):
    path = recordings / "female" / "model.npz"
    with zipfile.ZipFile(recordings / "male" / "model.npz") as archive:
        member = archive.read(f"{key}.npy")
    other = lying(member).map(lambda content: _npz(recordings / "male" / "model.npz", key, content))
    seed = (recordings / "male" / "model.npz").read_bytes()[:60_000]
    check(lambda file: load_bodies(file.parent.parent), path, drawn.draw(other | damaged(seed)))


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if name:  # which the writer refuses
                archive.writestr(name, content)
    return file.getvalue()


def _tar(files: dict[str, bytes], mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            link = tarfile.TarInfo("link")
            link.type, link.linkname = kind, "../../secret"
            archive.addfile(link)
    return file.getvalue()


_FILES = {"a/Mean.npy": _npy(np.ones(3)), "a/words.pkl": b"\x80\x04]\x94.", "net.tar": b"x" * 300}
_NAMES = st.sampled_from(
    ["../x", "/x", "a/../../x", "..\\x", "C:x", "a\0b", "x" * 300, "a/b", "a", ".", "", "a/words.pkl/x"]
)


@fuzz()
@hypothesis.given(st.data(), st.lists(_NAMES, max_size=3))
def test_archives(folder, drawn, names):
    files = _FILES | dict.fromkeys(names, b"1")
    makes = [
        _zip,
        lambda f: _tar(f, "w"),
        lambda f: _tar(f, "w:gz"),
        lambda f: _tar(f, "w:xz"),
        lambda f: _tar(f, "w:bz2"),
    ]
    seed = drawn.draw(st.sampled_from(makes))(files)
    inside = folder / "archives" / "inside"
    inside.mkdir(parents=True, exist_ok=True)

    def read(path: Path) -> None:
        try:
            if is_archive(path):
                unpack(path, inside)
                for file in inside.rglob("*"):
                    if file.is_file():
                        check_file(file)
        except LinkError as error:
            raise UserError(f"{path}: {error}"[:400].replace("\n", " ")) from error

    try:
        check(read, folder / "archives" / "x", drawn.draw(st.just(seed) | damaged(seed)), folder=folder)
    finally:
        shutil.rmtree(inside)
        assert sorted(path.name for path in (folder / "archives").iterdir()) == ["x"]


@fuzz()
@hypothesis.given(
    damaged(_zip({"humanact12/P01.npy": _npy(np.zeros((3, 24, 3), np.float32)), "texts/000000.txt": b"a#a/DET#0#0\n"}))
)
def test_archives_of_humanact12_and_texts(folder, data):
    def read(path: Path) -> None:
        for source in find_humanact12(path).values():
            _joints(source)
        copy_texts(path, ["000000"], path.parent / "texts")

    check(read, folder / "x.zip", data)


def test_an_index_that_promises_more_than_the_archive_has(tmp_path):
    array = _npy(np.zeros((3, 24, 3), np.float32))
    good = _zip({"humanact12/P01.npy": array, "texts/000000.txt": b"a#a/DET#0#0\n", "joints.npy": array})
    # Each entry of the index has the packed size 20 bytes from its start; this says 256 MiB more.
    starts = [place for place in range(len(good)) if good.startswith(b"PK\x01\x02", place)]
    damaged_ = bytearray(good)
    for place in starts:
        damaged_[place + 23] |= 0x10

    def refused(read: Callable[[Path], object]) -> Callable[[Path], None]:
        def reader(path: Path) -> None:
            with pytest.raises(UserError, match="beyond the file's end") as told:
                read(path)
            raise told.value

        return reader

    readers: list[Callable[[Path], object]] = [
        lambda path: [_joints(source) for source in find_humanact12(path).values()],
        lambda path: copy_texts(path, ["000000"], path.parent / "texts"),
        read_npz,
    ]
    for read in readers:
        check(refused(read), tmp_path / "x.zip", bytes(damaged_))


def _joints(source: Source) -> None:
    from lamp.prepare.humanml3d.clips import _read_joints

    _read_joints(source)


@fuzz()
@hypothesis.given(damaged(b"000000\n000001\n"))
def test_published_splits(folder, data):
    (folder / "splits").mkdir(exist_ok=True)
    check(
        lambda path: copy_splits(path.parent, {"000000"}, folder),
        folder / "splits" / "train.txt",
        data,
        str(folder),
        folder=folder,
    )


@fuzz(0.5)
@hypothesis.given(st.sampled_from(["Mean.npy", "Std.npy"]), st.data())
def test_published_statistics(data, folder, name, drawn):
    for file in ("Mean.npy", "Std.npy"):
        shutil.copy(data.root / file, folder)
    content = drawn.draw(lying((data.root / name).read_bytes()))
    check(lambda path: _compare_reference(data, Published(reference=path.parent)), folder / name, content)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "library"
    (folder.parent / "clips").mkdir()
    store = Store.create(
        folder, folder.parent / "clips", {"lamp": "a@b"}, {"queries": (2, 4), "pooled": (4,), "shapes": (3,)}
    )
    way = store.place_of(Way({name: name for name in HUMANML3D.joint_names}, "+z"))
    rows = [Row(f"{i}.npy", 10, 20, 0.0, 2.0, "a person walks", -1, 0, 1, way) for i in range(3)]
    store.append(rows, {name: np.ones((3, *store.shapes[name])) for name in ARRAYS})
    store.hide(np.array([False, True, False]))
    update_table(store)
    return folder


def _whole_library(folder: Path) -> None:
    store = Store(folder)
    assert len(list(store.rows())) == len(store) == len(store.shown()) == len(store.gone())
    for name in ARRAYS:
        np.asarray(store.array(name)).sum()
    update_table(store)


@fuzz()
@hypothesis.given(
    st.sampled_from(["library.json", "rows.jsonl", "hidden.json", "segments.csv", "segments.json", "pooled.f16"]),
    st.data(),
)
def test_libraries(library, name, drawn):
    good = {path.name: path.read_bytes() for path in library.iterdir()}
    seed = good[name]
    drawn_content = drawn.draw(any_json(json.loads(seed)) if name.endswith(".json") else damaged(seed))
    if name == "rows.jsonl":
        drawn_content = drawn.draw(
            st.just(drawn_content) | any_json(json.loads(seed.splitlines()[0])).map(lambda line: line + b"\n")
        )
    try:
        check(lambda path: _whole_library(path.parent), library / name, drawn_content, str(library))
    finally:
        for file, content in good.items():
            (library / file).write_bytes(content)
