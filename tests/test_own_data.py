"""People's own motion: names of clips, tables, skeletons without a table, up axes, and checking what was built."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.data.caption_table import read_caption_table
from lamp.data.spec import get_spec
from lamp.prepare import build_dataset, check_data, write_dataset
from lamp.prepare.clips import CutOptions, Job, process_job
from lamp.prepare.names import check_names, clip_names
from lamp.prepare.plan import ClipText, Plan
from lamp.utils.capture.asf_amc import parse_amc
from lamp.utils.capture.files import find_motion_files, read_motion
from lamp.utils.capture.joint_map import UnknownSkeletonError, load_joint_map, map_joints, write_draft
from lamp.utils.capture.joints import read_joints
from lamp.utils.capture.skeletons import fit_joint_map
from lamp.utils.capture.take import Take, read_take
from lamp.utils.capture.upright import find_up, join_up
from lamp.utils.errors import UserError
from lamp.utils.motion import Motion

CASES = Path(__file__).parent / "cases"
WALK = CASES / "07" / "walk.bvh"


@pytest.fixture
def no_tags(monkeypatch):
    """Captions are not tagged, which needs spaCy."""
    monkeypatch.setattr(write_dataset, "tag_captions", lambda texts: ["tag/X" for _ in texts])
    monkeypatch.setattr(build_dataset, "find_spacy_model", lambda: "none")


def build(monkeypatch, source: Path, table: str, *more: str) -> Path:
    """Build a data set of a folder and the text of a table."""
    captions, out = source.parent / "captions.csv", source.parent / "out" / "mine"
    captions.write_text(table, encoding="utf-8")
    arguments = ["--source", str(source), "--captions", str(captions), "--workers", "1", "--out", str(out), *more]
    monkeypatch.setattr("sys.argv", ["build_dataset", *arguments])
    build_dataset.main()
    return out


def test_ids_are_usable_and_cannot_be_taken_for_each_other():
    files = ["walk.bvh", "Mwalk.bvh", "WALK.npy", "walk_p0.bvh", "a b/(c) d.bvh", "a_b/c_d.bvh", ".bvh", "x#y.bvh"]
    files += ["\u8d70\u308b/1.bvh", "\u8d70\u308b/1 .bvh", "long" * 100 + ".bvh", "..bvh", "sub/walk_s1_p2_p3.bvh"]
    ids = clip_names(files)
    assert list(ids) == files and ids["walk.bvh"] == "walk" and ids["\u8d70\u308b/1.bvh"] == "\u8d70\u308b_1"
    check_names((name, file) for file, name in ids.items())
    derived = [f"{mirror}{name}{part}" for name in ids.values() for mirror in ("", "M") for part in ("", "_s1", "_p0")]
    assert len({name.casefold() for name in derived}) == len(derived)
    assert all(len(name.encode()) < 150 and name.split() == [name] for name in derived)


@pytest.mark.parametrize(
    "names", [("a", "a"), ("walk", "Mwalk"), ("walk", "Walk"), ("a", "a_p0"), ("a b", "c"), ("../a", "c")]
)
def test_a_plan_with_names_that_clash_is_refused(names):
    jobs = [Job(Path(f"{i}.bvh"), name) for i, name in enumerate(names)]
    with pytest.raises(UserError, match="rename"):
        Plan(jobs, lambda clip: ClipText(["x"], ["x"]))


def test_mirror_images_do_not_replace_files_that_are_called_like_them(tmp_path, monkeypatch, no_tags):
    source = tmp_path / "bvh"
    source.mkdir()
    for name in ("walk", "Mwalk", "walk_p0"):
        (source / f"{name}.bvh").write_bytes(WALK.read_bytes())
    out = build(monkeypatch, source, "file,caption\nwalk.bvh,one\nMwalk.bvh,two\nwalk_p0.bvh,three\n")
    texts = {path.stem: path.read_text().partition("#")[0] for path in (out / "texts").glob("*.txt")}
    assert len(texts) == 6 and sorted(texts.values()) == ["one", "one", "three", "three", "two", "two"]


@pytest.mark.parametrize(
    "split", ["../../x", "/tmp/x", "tests", "all", "train_val", "..", "test_", "test_../x", "val test"]
)
def test_a_split_is_a_word_that_stays_in_the_folder(split, tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text(f'file,caption,split\nwalk.bvh,a man walks,"{split}"\n')
    with pytest.raises(UserError, match=r"captions.csv line 2: split .* none of train, val, test"):
        read_caption_table(path)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"file,caption,start,end\na.bvh,x,1,\n", "line 2: start 1 and end empty"),
        (b"file,caption,start,end\na.bvh,x,,2\n", "line 2: start empty and end 2"),
        (b"file,caption,start,end\n\na.bvh,x,0,1e308\n", "line 3: start 0"),
        (b"file,caption,start,end\na.bvh,x,nan,2\n", "line 2: start nan"),
        (b'file,caption\na.bvh,"x\nb.bvh,y\n', 'line 2: .*a quoted caption needs a " at both ends'),
        (b"file,caption\n../a.bvh,x\n", "line 2: file '../a.bvh' is not below the folder"),
        (b"file,caption,split\na.bvh,x,train\na.bvh,y,test\n", "in splits test and train"),
        (b"file,caption,text\na.bvh,x,y\n", "two columns 'caption'"),
        (b"a.bvh,x\n", "must name the columns"),
        ("file,caption\na.bvh,걷다\n".encode("cp949"), "line 2: not UTF-8"),
        (b"", "is empty"),
    ],
)
def test_tables_that_are_not_clear(text, word, tmp_path):
    (tmp_path / "captions.csv").write_bytes(text)
    with pytest.raises(UserError, match=rf"captions.csv.*{word}"):
        read_caption_table(tmp_path / "captions.csv")


def test_parts_are_never_cut_short(tmp_path, monkeypatch, no_tags):
    source = tmp_path / "bvh"
    source.mkdir()
    (source / "walk.bvh").write_bytes(WALK.read_bytes())
    table = "file,caption,start,end,split\nwalk.bvh,all,0,2.2,train\nwalk.bvh,too long,1,9,train\n"
    out = build(monkeypatch, source, table, "--min_frames", "20")
    assert (out / "all.txt").read_text().split() == ["walk_s0", "Mwalk_s0"]
    assert "its part ends at 9 s, the take at 2.20 s" in (out / "report.json").read_text()


def test_arrays_are_a_source_of_a_data_set(tmp_path, monkeypatch, no_tags):
    source = tmp_path / "arrays"
    source.mkdir()
    joints = read_motion(WALK).joints / 100
    np.save(source / "a.npy", joints)
    Motion(np.repeat(joints, 2, axis=0), fps=40).save(source / "b.npz")
    (source / "c.bvh").write_bytes(WALK.read_bytes())
    out = build(monkeypatch, source, "file;caption\na.npy;x\nb.npz;x\nc.bvh;x\n")
    lengths = {path.stem: len(np.load(path)) for path in (out / "new_joint_vecs").glob("[abc].npy")}
    assert lengths == {"a": 44, "b": 44, "c": 44}


def test_a_skeleton_without_known_names_is_read_by_its_structure():
    take = read_take(WALK)
    expected = map_joints(take, fit_joint_map(take).joint_map)
    for names in (
        [f"J{i}" for i in range(len(take.names))],
        [name.replace("Left", "links").replace("Right", "rechts").lower()[::-1] for name in take.names],
    ):
        strange = replace(take, names=names)
        fit = fit_joint_map(strange)
        assert fit.name == "structure" and "--joint_map" in fit.note
        assert (map_joints(strange, fit.joint_map) - expected).norm(dim=-1).max() < 2
        mirrored = replace(strange, positions=strange.positions * torch.tensor([-1.0, 1, 1], dtype=torch.float64))
        # Which side is left the toes say, so a mirrored body comes out as itself, with the other arm raised.
        assert map_joints(mirrored, fit_joint_map(mirrored).joint_map)[0, 1, 0] > 0


@pytest.mark.parametrize("number", ["Spine4", "Neck1", "none"])
def test_spines_of_any_number_are_used_whole(number):
    text = WALK.read_text()
    if number == "none":
        text = text.replace("Spine2", "Torso")
    take = read_take(WALK)
    extra = {"Spine4": ("Spine2", 0.5), "Neck1": ("Neck", 0.5)}.get(number)
    if extra is not None:
        # A further joint between one of the spine and what hangs on it.
        above = take.names.index(extra[0])
        below = take.names.index("Head" if number == "Neck1" else "Neck")
        middle = torch.lerp(take.positions[:, above], take.positions[:, below], extra[1])
        names = [*take.names[: above + 1], number, *take.names[above + 1 :]]
        shifted = [p + (p > above) for p in take.parents]
        parents = [*shifted[: above + 1], above, *shifted[above + 1 :]]
        parents[names.index(take.names[below])] = above + 1
        positions = torch.cat((take.positions[:, : above + 1], middle[:, None], take.positions[:, above + 1 :]), dim=1)
        take = Take(names, parents, positions, take.fps)
    expected = map_joints(read_take(WALK), fit_joint_map(read_take(WALK)).joint_map)
    assert (map_joints(take, fit_joint_map(take).joint_map) - expected).norm(dim=-1).max() < 2


def test_an_unknown_skeleton_is_refused_with_a_map_to_fill_in(tmp_path, monkeypatch, capsys, no_tags):
    source = tmp_path / "bvh"
    source.mkdir()
    text = WALK.read_text()
    for joint in ("LeftForeArm", "LeftHand"):
        text = text.replace(f"JOINT {joint}\n", f"JOINT {joint[4:]}x\n")
    (source / "odd.bvh").write_text(text.replace("OFFSET 25 0 0", "OFFSET 2 0 0"))
    with pytest.raises(UnknownSkeletonError, match=r"odd.bvh.*nearest is mixamo, but for left_elbow, left_wrist"):
        read_joints(source / "odd.bvh")
    (source / "walk.bvh").write_bytes(WALK.read_bytes())
    monkeypatch.chdir(tmp_path)
    build(monkeypatch, source, "file,caption\nodd.bvh,x\nwalk.bvh,x\n")
    assert "joint_map.json is a joint map to fill in" in capsys.readouterr().err
    draft = tmp_path / "joint_map.json"
    with pytest.raises(UserError, match="left_elbow is still empty"):
        load_joint_map(draft)
    filled = draft.read_text().replace('"left_elbow": ""', '"left_elbow": "ForeArmx"')
    draft.write_text(filled.replace('"left_wrist": ""', '"left_wrist": "Handx"'))
    assert len(read_joints(source / "odd.bvh", joint_map=load_joint_map(draft)).joints) == 45
    assert write_draft({}).name == "joint_map_2.json"


def test_several_roots(tmp_path):
    text = WALK.read_text()
    head, motion = text.split("MOTION\n")
    lines = motion.splitlines()
    prop = "ROOT Ball\n{\nOFFSET 0 0 0\nCHANNELS 3 Xposition Yposition Zposition\n}\n"
    for name, more, values in (("prop", prop, "5 5 5"), ("two", head.replace("HIERARCHY\n", ""), None)):
        rows = [f"{line} {values or line}" for line in lines[2:]]
        (tmp_path / f"{name}.bvh").write_text("\n".join([head + more + "MOTION", *lines[:2], *rows]) + "\n")
    expected = read_joints(WALK).joints
    assert (read_joints(tmp_path / "prop.bvh").joints - expected).abs().max() < 1e-6
    with pytest.raises(UserError, match=r"two.bvh.*2 performers"):
        read_joints(tmp_path / "two.bvh")


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("Frame Time: 0.050000", "Frame Time: 20", "Frame Time 20 is not the seconds of one frame"),
        ("Frame Time: 0.050000", "Frame Time: 0.9", "Frame Time 0.9"),
        ("Frames: 45", "Frames: 450", "Frames: 450 but 45 frames follow"),
        ("Frames: 45", "Frames: 4", "Frames: 4 but 45 frames follow"),
        ("CHANNELS 3", "CHANNELS 300", "CHANNELS 300"),
        ("Zrotation", "Qrotation", "unknown channel"),
    ],
)
def test_implausible_headers_are_refused_by_name(old, new, word, tmp_path):
    (tmp_path / "a.bvh").write_text(WALK.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=rf"a.bvh.*{word}"):
        read_joints(tmp_path / "a.bvh")


def test_a_hierarchy_larger_than_its_motion_asks_for_no_memory(tmp_path):
    joints = "JOINT a { OFFSET 0 0 0 } " * 20_000
    text = f"HIERARCHY ROOT r {{ OFFSET 0 0 0 CHANNELS 1 Xposition {joints}}} MOTION\nFrames: 99999\nFrame Time: .05\n"
    (tmp_path / "a.bvh").write_text(text + "0\n" * 99_999)
    with pytest.raises(UserError, match=r"a.bvh.*most never move"):
        read_take(tmp_path / "a.bvh")


def test_orders_of_an_asf_skeleton_are_obeyed():
    asf = (CASES / "06" / "base" / "01.asf").read_text()
    amc = (CASES / "06" / "base" / "01_01.amc").read_text()
    turned = amc.replace("root 0 15.9 0 0 0 0", "root 0 15.9 0 10 20 30", 1)
    other = amc.replace("root 0 15.9 0 0 0 0", "root 10 20 30 0 15.9 0", 1)
    plain = parse_amc(turned, asf)
    swapped = parse_amc(other, asf.replace("order TX TY TZ RX RY RZ", "order RX RY RZ TX TY TZ", 1))
    torch.testing.assert_close(swapped.position[:1], plain.position[:1])
    torch.testing.assert_close(swapped.rotation[:1], plain.rotation[:1])
    backwards = parse_amc(turned, asf.replace("axis XYZ", "axis ZYX", 1))
    assert (backwards.rotation[0, 0] - plain.rotation[0, 0]).abs().max() > 0.01
    # A word on the motion file's angles is missing: then the skeleton's counts.
    radians = parse_amc(amc.replace(":DEGREES\n", ""), asf.replace("angle deg", "angle rad"))
    assert (radians.rotation - parse_amc(amc, asf).rotation).abs().max() > 0.01
    for broken, word in (
        (asf.replace("dof rx", "dof tx", 1), "only rx"),
        (asf.replace("axis XYZ", "axis XYY", 1), "XYY"),
    ):
        with pytest.raises(ValueError, match=word):
            parse_amc(amc, broken)


def test_the_guess_of_the_up_axis_says_how_sure_it_is():
    walk = torch.from_numpy(read_motion(WALK).joints)
    assert find_up(walk).axis == "+y" and find_up(walk).sure and not find_up(walk).note
    # A body that is still and, without a rest pose, may stand on one floor or lie on another.
    lying = walk[:1, :, [0, 2, 1]].expand(40, -1, -1)
    lying = lying - lying.amin((0, 1))
    assert not find_up(lying).sure and "--up" in find_up(lying).note
    assert join_up(["--up", "-y", "--out", "-y"]) == ["--up=-y", "--out", "-y"]


def test_a_folder_goes_on_without_bad_files(tmp_path):
    (tmp_path / "walk.bvh").write_bytes(WALK.read_bytes())
    for name in ("stop.bvh", "nochan.bvh", "ft_1e-320.bvh"):
        (tmp_path / name).write_bytes((CASES / "fuzz" / name).read_bytes())
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 broken")
    results = {name: process_job(Job(path, "x"), CutOptions()) for name, path in find_motion_files(tmp_path).items()}
    assert [name for name, result in results.items() if result.unread] == [
        "b.npz", "ft_1e-320.bvh", "nochan.bvh", "stop.bvh",
    ]  # fmt: skip
    assert len(results["walk.bvh"].clips) == 1


def test_check_data_of_constant_features_and_foreign_texts(tmp_path, monkeypatch, no_tags):
    source = tmp_path / "arrays"
    source.mkdir()
    still = np.repeat(read_motion(WALK).joints[:1] / 100, 60, axis=0)
    for i in range(4):
        np.save(source / f"still{i}.npy", still)
    out = build(monkeypatch, source, "file,caption\n" + "".join(f"still{i}.npy,a man stands\n" for i in range(4)))
    spec = get_spec("mine", str(out))
    assert not check_data.check_data(spec).findings
    (out / "texts" / "still0.txt").write_bytes("a caf\u00e9#a/DET#0.0#0.0\n".encode("cp1252"))
    (out / "texts" / "still1.txt").write_text("x#x/X#nan#2.0\ny#y/Y#nan#nan\n")
    report = check_data.check_data(spec)
    findings = "\n".join(report.findings)
    assert "not UTF-8, their letters are lost; convert them: still0" in findings
    assert "1 captions have one time that is nan" in findings and len(report.findings) == 2
    assert any("1 captions have times that are nan" in note for note in report.notes)
