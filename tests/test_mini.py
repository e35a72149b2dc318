"""The mini data set: what it takes of the public captures, what is held out, and the captions of the CMU clips."""

import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lamp.prepare import build_dataset
from lamp.prepare.clips import Clip, Job
from lamp.prepare.mini import cmu
from lamp.prepare.mini import plan as mini
from lamp.prepare.mini.captions import parse_bandai_name
from lamp.prepare.mini.tables import CMU_CAPTIONS
from lamp.prepare.plan import ClipText, Plan
from lamp.utils.errors import UserError


def test_mini_splits_hold_labels_out_in_every_form():
    contents = ("walk", "walk-turn-left", "walk-turn-right", "run", "raise-up-both-hands", "wave-left-hand")
    styles = ("normal", "active", "elderly", "exhausted", "masculine", "feminine", "youthful")
    stems = [f"dataset-2_{c}_{s}_{n:03d}" for c in contents for s in styles for n in range(1, 26)]
    stems += [f"dataset-1_{c}_{s}_001" for c in ("walk", "run", "bow") for s in ("tired", "old", "proud", "happy")]
    splits = mini._bandai_splits(stems, seed=0)
    by_split = {s: {parse_bandai_name(x).key for x in stems if splits[x] == s} for s in set(splits.values())}
    mirrored = {parse_bandai_name(x).mirrored().key for x in stems if splits[x] == "test_unseen"}
    assert not (by_split["test_unseen"] | mirrored) & (by_split["train"] | by_split["val"] | by_split["test_seen"])
    # "tired" is the word of set 1 for set 2's "exhausted".
    assert splits["dataset-1_walk_tired_001"] == splits["dataset-2_walk_exhausted_001"] == "test_unseen"
    seen = [s for s in stems if splits[s] == "test_seen" and s.startswith("dataset-2_walk_normal")]
    assert seen == [f"dataset-2_walk_normal_{n:03d}" for n in (23, 24, 25)]
    share = sum(s == "val" for s in splits.values()) / sum(s in ("train", "val") for s in splits.values())
    assert math.isclose(share, 0.05, abs_tol=0.005)


@pytest.fixture
def captures(tmp_path) -> Path:
    """Folder with empty files of the names that mini takes, in the layout of the public downloads."""
    for name in ("cmu/02/02_01.bvh", "cmu/02/02_06.amc", "cmu/05/05_01.bvh", "cmu/01/01_02.bvh", "cmu/99_99.bvh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("bandai/dataset-2_walk_normal_001.bvh", "drawings/fair1/dab.bvh", "drawings/other/else.bvh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def _texts(plan: Plan) -> dict[str, ClipText]:
    """What a plan says of its jobs' first clips."""
    frames = np.zeros((0, 263), np.float32)
    clips = [Clip(job.name, job.name, 0 if job.segments else -1, frames, frames) for job in plan.jobs]
    return {clip.id: plan.describe(clip) for clip in clips}


def test_mini_needs_only_the_folders_that_it_is_given(captures, capsys):
    # A label file beside the CMU folder, which earlier versions read.
    (captures / "labels_cmu.json").write_text(json.dumps([{"file": "99_99.bvh", "cmu_label": "walk"}]))
    plan = mini.plan_mini(mini.MiniSources(captures / "bandai", captures / "cmu"), seed=0)
    jobs = {job.name: job for job in plan.jobs}
    assert list(jobs) == ["dataset-2_walk_normal_001", "cmu_02_01", "cmu_02_06", "cmu_05_01"]
    assert jobs["cmu_02_06"].segments == ((11.0, 18.65),) and jobs["cmu_02_01"].segments == ()
    texts = _texts(plan)
    assert texts["cmu_02_01"].split == "train" and texts["cmu_05_01"].split == "test_cmu"
    assert set(texts["cmu_05_01"].captions) & set(CMU_CAPTIONS["walk"])
    assert texts["cmu_05_01"].label == texts["cmu_02_01"].label == "cmu_walk"
    output = capsys.readouterr().out
    assert "--animated_drawings" in output and "143 of 146 CMU clips" in output
    drawn = mini.plan_mini(
        mini.MiniSources(captures / "bandai", captures / "cmu", animated_drawings=captures / "drawings"), seed=0
    )
    assert drawn.jobs[-1] == Job(captures / "drawings" / "fair1" / "dab.bvh", "drawings_dab")


@pytest.mark.parametrize("packed", [False, True])
def test_held_out_cmu_clips_take_humanml3d_captions(captures, packed):
    clone = captures / "clone" / "HumanML3D"
    names = [prefix + part.clip for clip in cmu.shipped_clips() for part in clip.segments for prefix in ("", "M")]
    lines = {name: f"about {name}#about/ADP#0.0#0.0\na part of it#a/DET#1.0#2.0\n" for name in names}
    clone.mkdir(parents=True)
    if packed:
        with zipfile.ZipFile(clone / "texts.zip", "w") as archive:
            for name, text in lines.items():
                archive.writestr(f"texts/{name}.txt", text)
    else:
        (clone / "texts").mkdir()
        for name, text in lines.items():
            (clone / "texts" / f"{name}.txt").write_text(text)
    sources = mini.MiniSources(captures / "bandai", captures / "cmu", humanml3d=clone.parent)
    found = _texts(mini.plan_mini(sources, seed=0))["cmu_02_06"]
    assert (found.captions, found.mirrored, found.label) == (["about 000327"], ["about M000327"], "cmu_02_06")
    if not packed:
        (clone / "texts" / "M000327.txt").unlink()
        with pytest.raises(UserError, match=r"--humanml3d.*M000327"):
            mini.plan_mini(sources, seed=0)


def test_another_list_of_cmu_clips(captures):
    captions = [{"start_frame": "0", "end_frame": "100", "captions": ["to the left", ""], "mirror_captions": []}]
    entries = [
        {"file": "05_01.bvh", "cmu_label": "walk", "held_out": True, "humanml3d_captions": captions},
        {"file": "01_02.bvh", "cmu_label": "playground - climb"},
        {"file": "99_99.bvh", "cmu_label": "run"},
    ]
    path = captures / "list.json"
    path.write_text(json.dumps(entries))
    plan = mini.plan_mini(mini.MiniSources(captures / "bandai", captures / "cmu", cmu_labels=path), seed=0)
    texts = _texts(plan)
    assert list(texts) == ["dataset-2_walk_normal_001", "cmu_05_01", "cmu_99_99"]
    assert (texts["cmu_05_01"].captions, texts["cmu_05_01"].mirrored) == (["to the left"], ["to the right"])
    for content in ("no json", '{"file": 1}', '[{"file": "05_01.bvh"}]'):
        path.write_text(content)
        with pytest.raises(UserError, match=r"--cmu_labels .*list.json"):
            cmu.read_clips(path)
    with pytest.raises(UserError, match=r"--cmu .*02_01.bvh"):
        cmu.find_captures(captures / "bandai", cmu.shipped_clips())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--bandai_namco .", "--cmu DIR"),
        ("--bandai_namco . --cmu nowhere", "--cmu nowhere is not a folder"),
        ("--bandai_namco . --cmu . --humanml3d nowhere", "--humanml3d nowhere is not a folder"),
        ("--bandai_namco . --cmu . --humanml3d . --cmu_labels x.json", "leave out --humanml3d"),
        ("--bandai_namco . --cmu .", "no dataset-"),
    ],
)
def test_mistakes_of_the_mini_command(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["build_dataset", "--preset", "mini", "--out", "mini", *flags.split()])
    with pytest.raises(SystemExit) as stop:
        build_dataset.main()
    message = capsys.readouterr().err
    assert stop.value.code == 2 and words in message and len(message.splitlines()) == 1
