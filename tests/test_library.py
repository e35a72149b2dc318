"""Libraries of motion without labels: segments, copies, updates, corrections, search."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import index_mocap
import search_mocap
from lamp.data.caption_table import read_caption_table
from lamp.library import nearest
from lamp.library.indexing import index, open_store
from lamp.library.nearest import NearestIndex, exact
from lamp.library.reader import MotionReader, copies, shape_of
from lamp.library.search import Library
from lamp.library.store import Row, Store, Way
from lamp.library.table import REPLACED, TABLE
from lamp.models.pipeline import LaMPPipeline
from lamp.utils.capture.joint_map import JointMap
from lamp.utils.capture.segments import LONGEST, SHORTEST, cut_points
from lamp.utils.errors import UserError
from lamp.utils.export.body_plan import PLANS
from lamp.utils.export.bvh import to_bvh
from lamp.utils.kinematics.features import joints_to_features
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion

pytest.importorskip("transformers", reason="needs the extra captions")


@pytest.fixture(scope="module")
def reader() -> Iterator[MotionReader]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield MotionReader()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def made() -> dict[str, Motion]:
    """Motions of the shipped generators."""
    pipe = LaMPPipeline.from_pretrained()
    prompts = {
        "walk": "a person walks forward",
        "wave": "a person waves with the right hand",
        "run": "a person runs forward",
        "bow": "a person bows",
    }
    return dict(zip(prompts, pipe(list(prompts.values()), 80, seed=1)))


@pytest.fixture
def folder(tmp_path: Path, made: dict[str, Motion]) -> Path:
    """A folder of captures: one of two actions, one copy in another format."""
    source = tmp_path / "captures"
    made["walk"].save(source / "walk.npy")
    made["wave"].save(source / "sub" / "wave.bvh")
    made["wave"].save(source / "sub" / "wave_again.npz")
    made["run"].save(source / "run.npz")
    return source


def features_of(*motions: Motion) -> torch.Tensor:
    return torch.cat([joints_to_features(torch.from_numpy(motion.joints), HUMANML3D) for motion in motions])


def test_a_take_is_cut_where_the_motion_changes(made: dict[str, Motion]) -> None:
    features = features_of(made["walk"], made["wave"], made["run"])
    cuts = cut_points(features)
    assert cuts[0] == 0 and cuts[-1] == len(features)
    for change in (79, 158):
        assert min(abs(cut - change) for cut in cuts[1:-1]) <= 10
    lengths = np.diff(cuts)
    assert lengths.min() >= SHORTEST and lengths.max() <= LONGEST + 3


def test_what_goes_on_alike_is_cut_at_the_models_limit_only(made: dict[str, Motion]) -> None:
    features = features_of(made["walk"])[:40].repeat(20, 1)
    assert len(cut_points(features)) - 1 <= 6
    assert cut_points(features[:50]) == [0, 50]


def test_copies_are_told_and_mirror_images_are_none(made: dict[str, Motion]) -> None:
    features = features_of(made["wave"])
    shape = shape_of(features, HUMANML3D)
    noisy = features_of(Motion(made["wave"].joints + np.random.default_rng(0).normal(0, 0.003, (80, 22, 3))))
    mirrored = features_of(Motion(made["wave"].joints[:, mirror()] * np.array([-1, 1, 1])))
    others = [noisy, mirrored, features_of(made["walk"]), features[: len(features) - 12]]
    shapes = np.stack([shape, *(shape_of(other, HUMANML3D) for other in others)]).astype(np.float16)
    assert copies(shapes, shapes[0]).tolist() == [True, True, False, False, False]


def mirror() -> list[int]:
    names = HUMANML3D.joint_names
    swapped = {"left": "right", "right": "left"}
    return [
        names.index(next((new + name.removeprefix(old) for old, new in swapped.items() if name.startswith(old)), name))
        for name in names
    ]


def rows_of(store: Store) -> list[Row]:
    gone = store.gone()
    return [row for place, row in enumerate(store.rows()) if not gone[place]]


def test_a_folder_becomes_a_library_that_keeps_up(folder: Path, tmp_path: Path, reader: MotionReader) -> None:
    out = tmp_path / "library"
    report = index(open_store(out, folder, reader), reader)
    assert (report.files, report.read, report.gone) == (4, 4, 0) and report.copies >= 1
    rows = rows_of(Store(out))
    assert {row.file for row in rows} == {"walk.npy", "run.npz", "sub/wave.bvh", "sub/wave_again.npz"}
    copy = next(row for row in rows if row.copy_of >= 0)
    assert copy.file == "sub/wave_again.npz"
    # Nothing new: nothing is read again.
    again = index(open_store(out, folder, reader), reader)
    assert (again.read, again.segments, len(Store(out))) == (0, 0, len(rows))
    library = Library(Store(out), reader)
    found = library.search("someone waves", count=2)
    assert found[0].file == "sub/wave.bvh" and found[0].score > found[1].score
    assert library.search(Motion.load(folder / "run.npz"), 1)[0].file == "run.npz"
    assert len(library.motion(found[0])) > 20
    # A file leaves, one changes.
    (folder / "run.npz").unlink()
    shutil.copy(folder / "walk.npy", folder / "walk.tmp")
    np.save(folder / "walk.npy", np.load(folder / "walk.tmp")[:60])
    report = index(open_store(out, folder, reader), reader)
    assert (report.read, report.gone) == (1, 2)
    library = Library(Store(out), reader)
    assert "run.npz" not in {answer.file for answer in library.search("a person runs", 10)}
    assert [row.end for row in rows_of(Store(out)) if row.file == "walk.npy"][-1] < 3.01


def test_corrections_of_a_person_stay(
    folder: Path, tmp_path: Path, reader: MotionReader, made: dict[str, Motion]
) -> None:
    out = tmp_path / "library"
    index(open_store(out, folder, reader), reader)
    table = (out / TABLE).read_text(encoding="utf-8").splitlines()
    kept = [line for line in table if not line.startswith("run.npz")]  # a row is taken out
    kept = ["walk.npy,somebody strolls,," if line.startswith("walk.npy") else line for line in kept]
    (out / TABLE).write_text("\n".join(kept) + "\n", encoding="utf-8")
    made["bow"].save(folder / "bow.npz")
    index(open_store(out, folder, reader), reader)
    now = read_caption_table(out / TABLE)
    assert now["walk.npy"][0].caption == "somebody strolls" and "run.npz" not in now and "bow.npz" in now
    library = Library(Store(out), reader)
    assert "somebody strolls" in {answer.caption for answer in library.search("a person walks", 10)}
    np.save(folder / "walk.npy", np.load(folder / "walk.npy")[:64])
    report = index(open_store(out, folder, reader), reader)
    assert REPLACED in report.note
    assert read_caption_table(out / REPLACED)["walk.npy"][0].caption == "somebody strolls"
    (out / TABLE).write_text("file\nx\n", encoding="utf-8")
    with pytest.raises(UserError, match="must name the columns"):
        index(open_store(out, folder, reader), reader)


def test_the_table_makes_a_data_set(
    folder: Path, tmp_path: Path, reader: MotionReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lamp.prepare import build_dataset, write_dataset

    out = tmp_path / "library"
    index(open_store(out, folder, reader), reader)
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["a/DET person/NOUN" for _ in texts])
    monkeypatch.setattr(build_dataset, "find_spacy_model", lambda: "model")
    words = ["--source", str(folder), "--captions", str(out / TABLE), "--out", str(tmp_path / "mine")]
    monkeypatch.setattr(sys, "argv", ["build_dataset", *words])
    build_dataset.main()
    texts = " ".join(path.read_text() for path in (tmp_path / "mine" / "texts").glob("*.txt"))
    assert read_caption_table(out / TABLE)["walk.npy"][0].caption.rstrip(".") in texts


def test_a_killed_process_loses_no_more_than_what_it_was_writing(
    folder: Path, tmp_path: Path, reader: MotionReader
) -> None:
    out = tmp_path / "library"
    index(open_store(out, folder, reader), reader)
    whole = rows_of(Store(out))
    with open(out / "queries.f16", "ab") as file:  # arrays first, then half a line
        file.write(b"\1" * 1000)
    with open(out / "rows.jsonl", "ab") as file:
        file.write(json.dumps({"file": "x.npy"})[:9].encode())
    assert rows_of(Store(out)) == whole
    # The lines of a file are cut off together.
    lines = (out / "rows.jsonl").read_bytes().splitlines(keepends=True)[: len(whole)]
    two = json.loads(lines[-1]) | {"file": "y.npy", "part": 0, "parts": 2}
    (out / "rows.jsonl").write_bytes(b"".join(lines) + json.dumps(two).encode() + b"\n")
    assert rows_of(Store(out)) == whole
    (folder / "new.npy").write_bytes((folder / "walk.npy").read_bytes())
    index(open_store(out, folder, reader), reader)
    assert len(rows_of(Store(out))) == len(whole) + 1
    assert len(Store(out).array("queries")) == len(Store(out))


def test_exact_search_is_the_sorted_products() -> None:
    vectors = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float16)
    query, shown = vectors[7].astype(np.float32), np.arange(500) % 3 > 0
    expected = [i for i in np.argsort(-(vectors.astype(np.float32) @ query), kind="stable") if shown[i]][:9]
    assert exact(vectors, query, 9, shown).tolist() == expected
    assert len(exact(vectors[:4], query, 9)) == 4


def test_many_vectors_have_an_index_that_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="needs the extra search")
    monkeypatch.setattr(nearest, "BLOCK", 1000)
    monkeypatch.setattr(nearest, "LISTS", 16)
    monkeypatch.setattr(nearest, "_SAMPLE", 1000)
    vectors = np.random.default_rng(0).normal(size=(3300, 24)).astype(np.float16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first = NearestIndex(tmp_path / "n", vectors[:2500])
    assert first.build() == 2500
    (tmp_path / "n" / "0-1000.faiss").unlink()
    grown = NearestIndex(tmp_path / "n", vectors)
    untouched = (tmp_path / "n" / "1000-2000.faiss").stat().st_mtime_ns
    hits = sum(
        len({*grown.search(v, 10)} & {*exact(vectors[1000:], v, 10) + 1000})
        for v in vectors[1500:1520].astype(np.float32)
    )
    assert hits > 180  # what is in no block yet is compared exactly, except what was lost
    assert grown.build() == 1000 + 1000 + 300
    assert (tmp_path / "n" / "1000-2000.faiss").stat().st_mtime_ns == untouched
    assert sorted(path.name for path in (tmp_path / "n").glob("*-*.faiss")) == [
        "0-1000.faiss", "1000-2000.faiss", "2000-3000.faiss", "3000-3300.faiss",
    ]  # fmt: skip
    shown = np.arange(3300) % 2 == 0
    for query in vectors[:20].astype(np.float32):
        assert set(grown.search(query, 5, shown)) <= set(np.flatnonzero(shown))
    hits = sum(len({*grown.search(v, 10)} & {*exact(vectors, v, 10)}) for v in vectors[:40].astype(np.float32))
    assert hits >= 0.95 * 400


def run(script: object, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["x.py", *map(str, words)])
    try:
        script.main()  # type: ignore[attr-defined]
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_commands(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "library"
    np.save(folder / "bad.npy", np.zeros(3))
    assert run(index_mocap, monkeypatch, folder, "--out", out, "--gpu_id", "-1") == 0
    said = capsys.readouterr()
    assert "4 of 5 files read" in said.out and "left out:" in said.err and "bad.npy" in said.err
    assert (
        run(search_mocap, monkeypatch, "someone waves", "--library", out, "--count", 2, "--json", "--gpu_id", -1) == 0
    )
    (first, _) = json.loads(capsys.readouterr().out)
    assert first["file"] == "sub/wave.bvh" and Path(first["path"]) == folder.resolve() / "sub" / "wave.bvh"
    assert run(search_mocap, monkeypatch, folder / "run.npz", "--library", out, "--count", 1, "--gpu_id", -1) == 0
    assert "run.npz" in capsys.readouterr().out


def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "library.json").write_text('{"format": 99}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "library.json").write_text('{"format": 1, "arrays": 3}')
    cases = [
        (index_mocap, [tmp_path / "none"], "is not a folder"),
        (index_mocap, [tmp_path / "empty"], "no motion files"),
        (index_mocap, [folder, "--out", tmp_path / "full"], "is no library, and not empty"),
        (index_mocap, [folder, "--out", folder], "is FOLDER itself"),
        (search_mocap, ["wave", "--library", tmp_path / "none"], "lamp index FOLDER"),
        (search_mocap, ["wave", "--library", tmp_path / "old"], "another version"),
        (search_mocap, ["wave", "--library", tmp_path / "broken"], "is damaged"),
        (search_mocap, [" ", "--library", tmp_path], "QUERY is empty"),
        (search_mocap, ["none.bvh", "--library", tmp_path], "no such file"),
        (search_mocap, ["wave", "--count", 0], "--count 0"),
    ]
    for script, words, said in cases:
        assert run(script, monkeypatch, *words) == 2
        message = capsys.readouterr().err
        assert said in message and len(message.splitlines()) == 1, message


def test_other_models_are_refused(folder: Path, tmp_path: Path, reader: MotionReader) -> None:
    out = tmp_path / "library"
    Store.create(out, folder.resolve(), reader.models | {"lamp": "lamp@00000000"}, reader.shapes)
    with pytest.raises(UserError, match="was made by lamp@00000000"):
        Library(Store(out), reader)


def test_indexing_goes_on_after_a_kill(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "library"
    code = (
        "import os, sys; from lamp.library import indexing; indexing.TOGETHER = 1\n"
        "write = indexing._write\n"
        "def once(*args):\n    write(*args)\n    os.kill(os.getpid(), 9)\n"
        "indexing._write = once\n"
        "import index_mocap; sys.argv = ['index_mocap.py', sys.argv[1], '--out', sys.argv[2], '--gpu_id', '-1']\n"
        "index_mocap.main()"
    )
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", code, str(folder), str(out)]
    ended = subprocess.run(command, cwd=root, capture_output=True, env=dict(os.environ))
    assert ended.returncode == -9
    assert len({row.file for row in Store(out).rows()}) == 1
    command = [sys.executable, "index_mocap.py", str(folder), "--out", str(out), "--gpu_id", "-1"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "3 of 4 files read" in ended.stdout


def test_a_copy_is_found_when_its_original_has_left(folder: Path, tmp_path: Path, reader: MotionReader) -> None:
    out = tmp_path / "library"
    index(open_store(out, folder, reader), reader)
    assert "sub/wave_again.npz" not in read_caption_table(out / TABLE)
    caption = Library(Store(out), reader).search("someone waves", 1)[0].caption
    (folder / "sub" / "third.npz").write_bytes((folder / "sub" / "wave_again.npz").read_bytes())
    (folder / "sub" / "wave.bvh").unlink()
    for _ in range(2):  # the second time nothing is new
        index(open_store(out, folder, reader), reader)
        found = [answer.file for answer in Library(Store(out), reader).search("someone waves", 10)]
        assert found[0] == "sub/wave_again.npz" and len(found) == len(set(found)) == 3
        table = read_caption_table(out / TABLE)
        assert [row.caption for row in table["sub/wave_again.npz"]] == [caption]
        assert "sub/wave.bvh" not in table and "sub/third.npz" not in table
    # What a person takes out stays out.
    lines = (out / TABLE).read_text(encoding="utf-8").splitlines(keepends=True)
    (out / TABLE).write_text("".join(line for line in lines if "wave_again" not in line), encoding="utf-8")
    index(open_store(out, folder, reader), reader)
    assert "sub/wave_again.npz" not in read_caption_table(out / TABLE)
    # A copy of the copy comes next.
    (folder / "sub" / "wave_again.npz").unlink()
    index(open_store(out, folder, reader), reader)
    assert Library(Store(out), reader).search("someone waves", 1)[0].file == "sub/third.npz"
    assert "sub/third.npz" in read_caption_table(out / TABLE)


def test_a_motion_is_looked_at_as_it_was_indexed(
    folder: Path, tmp_path: Path, reader: MotionReader, made: dict[str, Motion]
) -> None:
    """In centimetres, with names and a joint map that nobody could guess."""
    source, out = tmp_path / "odd", tmp_path / "library"
    source.mkdir()
    text = to_bvh(made["walk"].joints * 100, 20)
    for number, name in enumerate(PLANS[22].names):
        text = re.sub(rf"(ROOT|JOINT) {name}$", rf"\1 point{number}", text, flags=re.M)
    (source / "walk.bvh").write_text(text)
    joint_map: JointMap = {name: f"point{number}" for number, name in enumerate(HUMANML3D.joint_names)}
    joint_map["left_wrist"] = ("point18", "point20", 0.5)
    index(open_store(out, source, reader), reader, joint_map, "+y")
    made["bow"].save(source / "bow.npy")
    index(open_store(out, source, reader), reader)  # what comes later may be read otherwise
    library = Library(Store(out), reader)
    found = {answer.file: library.motion(answer) for answer in library.search("a person walks", 10)}
    assert library.store.way(library.store.row(0)) == Way(joint_map, "+y") and set(found) == {"walk.bvh", "bow.npy"}
    for name, half in (("walk.bvh", 0.5), ("bow.npy", 1.0)):
        joints = found[name].joints
        left, right = (np.linalg.norm(joints[:, a] - joints[:, b], axis=-1).mean() for a, b in ((18, 20), (19, 21)))
        assert left / right == pytest.approx(half, rel=0.2)
        assert 1.2 < np.ptp(joints[0, :, 1]) < 2.2  # metres
    facts = json.loads((out / "library.json").read_text(encoding="utf-8"))
    for ways in ([{"joint_map": {"x": 1}, "up": None}], [{"joint_map": None, "up": "high"}], 3, [4]):
        (out / "library.json").write_text(json.dumps(facts | {"ways": ways}))
        with pytest.raises(UserError, match=r"library\.json"):
            Store(out)
