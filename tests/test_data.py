"""The data layer on procedural data sets: captions, cache, windows, text samples, loaders, and the data tools."""

import itertools
import multiprocessing
import os
import pickle
import shutil
import sys
import time
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lamp.data import cache as cache_module
from lamp.data import sampling
from lamp.data.cache import open_cache
from lamp.data.draws import TestDraws
from lamp.data.frames import motions_device
from lamp.data.loaders import load_split, load_stats, text_loader, tokenizer_loader
from lamp.data.motion import MotionTextDataset, WindowDataset
from lamp.data.sampling import EpochSampler, draw_stratified, permuted, uniform
from lamp.data.spec import SPECS, DatasetSpec, get_spec
from lamp.data.text import Caption, format_caption, parse_captions
from lamp.prepare import check_data
from lamp.prepare.make_sample import main as make_sample_main
from lamp.prepare.make_sample import make_sample
from lamp.utils.errors import UserError
from lamp.utils.files import read_json, write_json
from lamp.utils.kinematics.features import FeatureLayout, joints_to_features, mirror_joints
from lamp.utils.kinematics.skeleton import HUMANML3D, KIT


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> DatasetSpec:
    """16 clips of HumanML3D's format; not to be changed by a test."""
    return get_spec("mini", make_sample(tmp_path_factory.mktemp("data") / "sample", 16, frames=(28, 100)))


@pytest.fixture()
def own(tmp_path: Path) -> DatasetSpec:
    """8 clips that a test may change."""
    return get_spec("mini", make_sample(tmp_path / "sample", 8, frames=(40, 60)))


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> DatasetSpec:
    """12 clips of KIT-ML's format."""
    return get_spec("kit", make_sample(tmp_path_factory.mktemp("data") / "kit", 12, skeleton="kit", frames=(30, 80)))


def text_dataset(spec: DatasetSpec, split: str = "all", **options) -> MotionTextDataset:
    stats = load_stats(spec)
    return MotionTextDataset(
        open_cache(spec), load_split(spec, split), spec=spec, mean=stats.mean, std=stats.std, **options
    )


def window_dataset(spec: DatasetSpec, split: str = "all", **options) -> WindowDataset:
    stats = load_stats(spec)
    options = {"window": 64, **options}
    return WindowDataset(open_cache(spec), load_split(spec, split), mean=stats.mean, std=stats.std, **options)


def write_captions(spec: DatasetSpec, name: str, *lines: str) -> None:
    (spec.text_folder / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")


# Specifications


def test_specs_of_the_published_formats() -> None:
    assert {name: (spec.feature_dim, spec.fps, spec.min_frames) for name, spec in SPECS.items()} == {
        "t2m": (263, 20.0, 40),
        "kit": (251, 12.5, 24),
        "mini": (263, 20.0, 24),
    }


def test_spec_errors_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of t2m, kit, mini.*no folder dataset.humanml.*--data_root"):
        get_spec("humanml")
    with pytest.raises(UserError, match=r"nowhere does not exist.*--data_root"):
        get_spec("t2m", tmp_path / "nowhere")
    with pytest.raises(UserError, match="new_joint_vecs"):
        get_spec("t2m", tmp_path)


def test_any_folder_of_the_layout_has_a_specification(sample: DatasetSpec, kit: DatasetSpec) -> None:
    mine = get_spec("mine", sample.root)
    assert (mine.name, mine.root, mine.feature_dim, mine.fps) == ("mine", sample.root, 263, 20.0)
    assert get_spec("other", kit.root).feature_dim == 251
    assert len(open_cache(mine).names) == len(open_cache(sample).names)


def test_a_folder_by_its_name_below_dataset(
    sample: DatasetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine").symlink_to(sample.root)
    assert get_spec("mine").root == Path("dataset/mine")


def test_folders_that_hold_no_motion_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "new_joint_vecs").mkdir()
    with pytest.raises(UserError, match="no motions"):
        get_spec("mine", tmp_path)
    np.save(tmp_path / "new_joint_vecs" / "a.npy", np.zeros((40, 100), np.float32))
    with pytest.raises(UserError, match=r"a\.npy is no motion of 263 .* or 251"):
        get_spec("mine", tmp_path)
    (tmp_path / "new_joint_vecs" / "a.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.npy is no motion"):
        get_spec("mine", tmp_path)


# Captions


def test_captions_are_read_and_broken_lines_are_reported() -> None:
    lines = [
        "a person wälks — 走る.#a/DET person/NOUN walk/VERB#0.0#0.0",
        "",
        "he jumps.#he/PRON jump/VERB#1.5#4.0\r",
        "no times#no/DET#nan#nan",
        "no tags at all",
        "one#field#too#many#here",
        "bad times#bad/ADJ#x#2",
        "endless#a/DET#0#inf",
        "backward#a/DET#-1#2",
        " #a/DET#0#0",
        "line\u2028separator#line/NOUN#0#0",
    ]
    parsed = parse_captions("\n".join(lines))
    assert [caption.text for caption in parsed.captions] == [
        "a person wälks — 走る.", "he jumps.", "no times", "line\u2028separator",
    ]  # fmt: skip
    assert parsed.captions[0].tokens == ["a/DET", "person/NOUN", "walk/VERB"]
    assert [caption.whole for caption in parsed.captions] == [True, False, True, True]
    assert [problem.split(" has")[0] for problem in parsed.problems] == [f"line {n}" for n in range(5, 11)]


def test_caption_frames_stay_inside_the_clip() -> None:
    assert Caption("", []).frames(50, 20) == slice(0, 50)
    assert Caption("", [], 1.0, 2.0).frames(50, 20) == slice(20, 40)
    assert Caption("", [], 1.0, 9.0).frames(50, 20) == slice(20, 50)
    assert Caption("", [], 5.0, 9.0).frames(50, 20) == slice(50, 50)
    assert Caption("", [], 2.0, 1.0).frames(50, 20) == slice(40, 40)


def test_caption_lines_round_trip() -> None:
    caption = Caption("a man bows.", ["a/DET", "man/NOUN", "bow/VERB"], 0.5, 2.0)
    assert parse_captions(format_caption(caption)).captions == [caption]


# Cache


def test_cache_holds_every_motion_and_is_not_built_twice(own: DatasetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache(own)
    assert cache.names == tuple(sorted(load_split(own, "all")))
    for name in cache.names:
        np.testing.assert_array_equal(cache.motion(name), np.load(own.motion_folder / f"{name}.npy"))
        assert len(cache.captions[name]) >= 3
    assert not cache.frames.flags.writeable
    monkeypatch.setattr(cache_module, "atomic_folder", lambda *_: pytest.fail("built again"))
    assert open_cache(own) is cache
    cache_module._read.cache_clear()
    np.testing.assert_array_equal(open_cache(own).frames, cache.frames)


def _open_cold(root: Path, log: Path, start: Any) -> None:
    """Open a cache at the same time as other processes; what is built is noted in `log`."""
    build = cache_module._build_motions

    def noted(*arguments: Any) -> Any:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.2)  # long enough for all others to find nothing
        return build(*arguments)

    cache_module._build_motions = noted
    start.wait()
    assert len(open_cache(get_spec("mini", root)).names) == len(load_split(get_spec("mini", root), "all"))


def test_of_several_processes_one_builds_the_cache(own: DatasetSpec, tmp_path: Path) -> None:
    context, log = multiprocessing.get_context("fork"), tmp_path / "builds"
    start = context.Barrier(6)
    processes = [context.Process(target=_open_cold, args=(own.root, log, start)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(log.read_text().split()) == 1


def test_cache_follows_changes_of_the_data(own: DatasetSpec) -> None:
    before = open_cache(own)
    np.save(own.motion_folder / "000000.npy", np.ones((50, 263), np.float64))
    (own.motion_folder / "M000000.npy").unlink()
    write_captions(own, "000001", "something else#something/PRON else/ADV#0#0")
    after = open_cache(own)
    assert (after.motion("000000") == 1).all() and after.frames.dtype == np.float32
    assert "M000000" not in after.names
    assert [caption.text for caption in after.captions["000001"]] == ["something else"]
    assert not any(folder.exists() for folder in before.folders)
    assert set((own.root / ".cache").iterdir()) == set(after.folders)


def test_another_caption_folder_shares_the_motions(own: DatasetSpec) -> None:
    first = open_cache(own)
    shutil.copytree(own.text_folder, own.root / "texts_heldout")
    write_captions(replace(own, texts="texts_heldout"), "000000", "held out#hold/VERB out/ADP#0#0")
    second = open_cache(replace(own, texts="texts_heldout"))
    assert second.captions["000000"][0].text == "held out" and second.folders[0] == first.folders[0]
    assert open_cache(own) is first


def test_unusable_motions_are_left_out_counted_and_named(own: DatasetSpec, caplog: pytest.LogCaptureFixture) -> None:
    broken = np.load(own.motion_folder / "000000.npy")
    broken[3, 5] = np.nan
    np.save(own.motion_folder / "000000.npy", broken)
    np.save(own.motion_folder / "000001.npy", np.zeros((50, 251), np.float32))
    (own.motion_folder / "000002.npy").write_bytes(b"not an array")
    (own.motion_folder / "._M000003.npy").write_bytes(b"left behind by a Mac")
    write_captions(own, "000003", "no fields")
    cache = open_cache(own)
    assert set(cache.names) == set(load_split(own, "all")) - {"000000", "000001", "000002"}
    assert cache.problems["motions with NaN or infinity"] == ["000000.npy"]
    assert cache.problems["motions of a wrong shape"] == ["000001.npy has shape (50, 251)"]
    assert cache.problems["unreadable motions"][0].startswith("000002.npy")
    assert cache.problems["broken caption lines"] == ["000003.txt line 1 has 1 fields instead of 4"]
    assert "1 motions with NaN or infinity (000000.npy)" in caplog.text


def test_cache_goes_to_the_home_folder_if_the_data_cannot_be_written(
    own: DatasetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # A file in the way: permissions do not stop the superuser, under whom tests may run.
    (own.root / ".cache").write_text("")
    cache = open_cache(own)
    assert all(folder.is_relative_to(tmp_path / "home" / ".cache" / "lamp") for folder in cache.folders)
    assert open_cache(own) is cache


def test_data_of_the_other_format_is_refused(own: DatasetSpec) -> None:
    with pytest.raises(UserError, match=r"no motion with 251 features.*--dataset_name kit"):
        open_cache(get_spec("kit", own.root))
    assert list((own.root / ".cache").iterdir()) == []


def test_cache_travels_to_workers_as_a_path(sample: DatasetSpec) -> None:
    cache = open_cache(sample)
    assert len(pickle.dumps(cache)) < 1000
    assert pickle.loads(pickle.dumps(cache)).names == cache.names


# Random numbers


def test_hashed_numbers_are_uniform_and_independent() -> None:
    draws = np.stack([uniform(seed, list(range(20000)), stream) for seed in (0, 1) for stream in (0, 1)])
    assert draws.min() >= 0 and draws.max() < 1
    np.testing.assert_allclose(draws.mean(1), 0.5, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(np.concatenate((draws, np.roll(draws, 1, axis=1)))), np.eye(8), atol=0.03)
    np.testing.assert_array_equal(uniform(0, [7, 5], 1), draws[1, [7, 5]])


def test_strata_follow_the_weights() -> None:
    cumulative = np.cumsum([1.0, 0.0, 3.0, 0.5, 0.0])
    for epoch in range(3):
        items, fraction = draw_stratified(cumulative, 450, [epoch * 450 + i for i in range(450)], seed=epoch)
        counts = np.bincount(items, minlength=5)
        np.testing.assert_allclose(counts, [100, 0, 300, 50, 0], atol=1)
        assert fraction.min() >= 0 and fraction.max() <= 1


def test_sampler_changes_order_with_the_epoch_and_repeats_by_seed() -> None:
    sampler, again = EpochSampler(10, shuffle=True, seed=3), EpochSampler(10, shuffle=True, seed=3)
    first = list(sampler)
    assert sorted(first) == list(range(10)) and first == list(again)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(second) == list(range(10, 20)) and [i - 10 for i in second] != first
    assert list(EpochSampler(4, shuffle=False)) == [0, 1, 2, 3]
    # NumPy's order of 8-byte numbers, which runs of before had.
    assert first == np.random.default_rng((3, 0)).permutation(10).tolist()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("largest", [10**6, 10])
def test_sampler_starts_inside_an_epoch(shuffle: bool, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LARGEST_ORDER", largest)
    monkeypatch.setattr(sampling, "SHEET", 64)
    sampler = EpochSampler(1000, shuffle=shuffle, seed=3)
    sampler.set_epoch(2)
    whole = list(sampler)
    assert sorted(whole) == list(range(2000, 3000)) and (whole != sorted(whole)) == shuffle
    sampler.start_at(900)
    assert list(sampler) == whole[900:]
    assert list(sampler) == whole


@pytest.mark.parametrize("size", [1, 2, 17, 1000, 65537])
def test_keyed_order_is_a_permutation(size: int) -> None:
    orders = [permuted(np.arange(size), size, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(size))
    assert np.array_equal(permuted(np.arange(size)[size // 2 :], size, 0, 1), orders[1][size // 2 :])
    if size > 500:
        ranks = np.stack([*orders, np.arange(size), np.roll(orders[0], 1)])
        np.testing.assert_allclose(np.corrcoef(ranks), np.eye(5), atol=4 / size**0.5)


def test_sampler_of_a_huge_epoch_is_cheap() -> None:
    sampler, start = EpochSampler(144_000_000, shuffle=True, seed=1), time.monotonic()
    tracemalloc.start()
    sampler.start_at(130_000_000)
    drawn = list(itertools.islice(sampler, 50_000))
    assert tracemalloc.get_traced_memory()[1] < 20e6 and time.monotonic() - start < 5
    tracemalloc.stop()
    assert len(set(drawn)) == 50_000 and 0 <= min(drawn) and max(drawn) < 144_000_000


# Windows


def test_an_epoch_holds_every_window_once(sample: DatasetSpec) -> None:
    dataset, stats, cache = window_dataset(sample), load_stats(sample), open_cache(sample)
    batch = dataset.__getitems__(list(range(len(dataset))))
    expected = Counter()
    for name in cache.names:
        expected[name] = max(len(cache.motion(name)) - 64 + 1, 1)
    assert Counter(batch.names) == expected
    index = 0
    for name in load_split(sample, "all"):
        motion = (torch.tensor(cache.motion(name)) - stats.mean) / stats.std
        length, count = min(64, len(motion) // 4 * 4), expected[name]
        clip = slice(index, index + count)
        assert (batch.lengths[clip] == length).all() and (batch.motion[clip, length:] == 0).all()
        windows = motion[: count - 1 + length].unfold(0, length, 1).transpose(1, 2)
        torch.testing.assert_close(batch.motion[clip, :length], windows)
        index += count
    assert index == len(dataset) and batch.lengths.min() < 64


def test_clip_weights_multiply_the_chance_of_windows(sample: DatasetSpec) -> None:
    names = open_cache(sample).names
    weights = {name: 0.0 for name in names[2:]} | {names[0]: 3.0}
    dataset = window_dataset(sample, weights=weights, epoch_size=1000)
    counts = Counter(dataset.__getitems__(list(range(1000))).names)
    windows = {name: max(len(open_cache(sample).motion(name)) - 63, 1) for name in names[:2]}
    share = 3 * windows[names[0]] / (3 * windows[names[0]] + windows[names[1]])
    assert set(counts) == set(names[:2])
    assert counts[names[0]] / 1000 == pytest.approx(share, abs=0.002)
    with pytest.raises(UserError, match=r"weights\.json"):
        window_dataset(sample, weights=dict.fromkeys(names, 0.0))


def test_windows_of_a_short_epoch_differ_between_epochs(sample: DatasetSpec) -> None:
    loader = tokenizer_loader(sample, "all", batch_size=16, epoch_size=64, seed=5)
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append(torch.cat([batch.motion for batch in loader]))
    assert torch.equal(epochs[0], epochs[2]) and not torch.equal(epochs[0], epochs[1])
    assert epochs[0].shape == (64, 64, 263)


# Held by a device


def test_a_device_that_holds_all_motions_cuts_the_same_batches(sample: DatasetSpec) -> None:
    held = torch.device("cpu")
    for make in (window_dataset, text_dataset):
        mapped, there = make(sample), make(sample, device=held)
        rows = list(range(len(mapped)))[:200]
        first, second = mapped.__getitems__(rows), there.__getitems__(rows)
        assert torch.equal(first.motion, second.motion) and torch.equal(first.lengths, second.lengths)
        assert first.names == second.names


def test_short_clips_are_padded_with_zeros_by_a_device_too(sample: DatasetSpec) -> None:
    dataset = window_dataset(sample, window=400, device=torch.device("cpu"))
    batch = dataset.__getitems__(list(range(len(dataset))))
    assert (batch.lengths < 400).any()
    for motion, length in zip(batch.motion, batch.lengths):
        assert motion[:length].abs().sum() > 0 and (motion[length:] == 0).all()


def test_motions_are_held_by_a_gpu_with_room(sample: DatasetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu, room = torch.device("cpu"), torch.device("cuda", 0), open_cache(sample).frames.nbytes * 4
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (room, room))
    assert motions_device(sample, cpu, choice="auto") is None
    assert motions_device(sample, cpu, choice="yes") is None
    assert motions_device(sample, gpu, choice="auto") == gpu
    assert motions_device(sample, gpu, choice="no") is None
    assert motions_device(sample, gpu, choice="auto", workers=2) is None
    assert motions_device(sample, torch.device("mps"), choice="auto") is None
    room -= 1
    assert motions_device(sample, gpu, choice="auto") is None
    assert motions_device(sample, gpu, choice="yes") == gpu


# Motion and text


def test_training_samples_are_crops_with_a_caption_of_their_clip(sample: DatasetSpec) -> None:
    dataset, stats, cache = text_dataset(sample), load_stats(sample), open_cache(sample)
    texts = {name: {caption.text for caption in captions} for name, captions in cache.captions.items()}
    seen = Counter()
    for epoch in range(15):
        batch = dataset.__getitems__([epoch * len(dataset) + i for i in range(len(dataset))])
        assert batch.motion.shape[1] == batch.lengths.max()
        for i, name in enumerate(batch.names):
            assert batch.captions[i] in texts[name] and len(batch.tokens[i]) >= 3
            seen[batch.captions[i], name] += 1
            length, clip = int(batch.lengths[i]), cache.motion(name)
            assert length % 4 == 0
            assert (batch.motion[i, length:] == 0).all()
            crop = batch.motion[i, :length] * stats.std + stats.mean
            starts = np.flatnonzero(np.abs(clip[: len(clip) - length + 1] - crop[0].numpy()).max(1) < 1e-3)
            assert any(np.allclose(clip[s : s + length], crop, atol=1e-3) for s in starts)
    assert len(seen) == sum(len(captions) for captions in texts.values())


def test_a_third_of_the_samples_is_one_unit_shorter(sample: DatasetSpec, kit: DatasetSpec) -> None:
    for spec in (sample, kit):
        dataset = text_dataset(spec)
        full = torch.cat([b.lengths for b in text_dataset(spec, augment=False)])
        indices = list(range(40 * len(dataset)))
        shorter = full[torch.tensor(indices) % len(dataset)] - dataset.__getitems__(indices).lengths
        assert set(shorter.tolist()) <= {0, 4}
        assert (shorter == 4).float().mean() == pytest.approx(1 / 3, abs=0.04)


def test_evaluations_of_kit_shorten_a_third_too(kit: DatasetSpec) -> None:
    draws = TestDraws(kit, "test", seed=0)
    shorter = []
    for repeat in range(100):
        draw = draws.draw(repeat)
        for rows, batch in draw.batches(8):
            whole = draws.dataset.lengths[draw.indices[rows.numpy()]] // 4 * 4
            shorter += (whole - batch.lengths.numpy()).tolist()
    assert set(shorter) == {0, 4}
    assert shorter.count(4) / len(shorter) == pytest.approx(1 / 3, abs=0.1)


def test_evaluation_samples_are_whole_motions(sample: DatasetSpec) -> None:
    first = text_dataset(sample, captions="first", augment=False)
    every = text_dataset(sample, captions="all", augment=False)
    cache, stats = open_cache(sample), load_stats(sample)
    assert len(every) == sum(len(captions) for captions in cache.captions.values())
    for epoch in (0, 4):
        batch = first.__getitems__([epoch * len(first) + i for i in range(len(first))])
        assert batch.sample_ids.tolist() == list(range(len(first)))
        for i, name in enumerate(batch.names):
            assert batch.captions[i] == cache.captions[name][0].text
            length = int(batch.lengths[i])
            expected = (torch.tensor(cache.motion(name)[:length]) - stats.mean) / stats.std
            torch.testing.assert_close(batch.motion[i, :length], expected)


def test_parts_become_samples_and_unfit_ones_are_counted(own: DatasetSpec) -> None:
    np.save(own.motion_folder / "000000.npy", np.tile(np.arange(230, dtype=np.float32)[:, None], 263))
    write_captions(
        own, "000000", "all#all/DET#0#0", "part#part/NOUN#2.0#6.0", "tiny#tiny/ADJ#1#2", "late#late/ADV#90#99"
    )
    np.save(own.motion_folder / "000001.npy", np.zeros((20, 263), np.float32))
    (own.text_folder / "000002.txt").unlink()
    dataset = text_dataset(own, augment=False)
    stats = load_stats(own)
    part = next(batch for batch in dataset if batch.names == ["000000"])
    assert part.captions == ["part"] and part.lengths.tolist() == [80]
    frames = (part.motion[0] * stats.std + stats.mean)[:, 0]
    torch.testing.assert_close(frames, torch.arange(40.0, 120.0), rtol=1e-4, atol=1e-3)
    assert dataset.dropped == {
        "samples not under 200 frames": 1,
        "samples under 24 frames": 3,
        "clips without a caption": 1,
    }
    assert len(text_dataset(replace(own, min_frames=10), augment=False)) == len(dataset) + 3 - 1


def test_nothing_left_is_an_error(own: DatasetSpec) -> None:
    with pytest.raises(UserError, match=r"samples under 90 frames.*prepare\.check_data"):
        text_dataset(replace(own, min_frames=90))


def test_equal_labels_are_never_negatives(sample: DatasetSpec) -> None:
    labels = read_json(sample.root / "labels.json")
    batch = next(iter(text_loader(sample, "all", batch_size=16)))
    for i, first in enumerate(batch.names):
        for j, second in enumerate(batch.names):
            assert (batch.motion_ids[i] == batch.motion_ids[j]) == (labels[first] == labels[second])
    unlabelled = text_dataset(sample)
    batch = unlabelled.__getitems__(list(range(len(unlabelled))))
    assert len(set(batch.motion_ids.tolist())) == len(set(batch.names)) == 16


def test_folder_weights_decide_how_often_a_clip_is_drawn(own: DatasetSpec) -> None:
    names = load_split(own, "all")
    write_json(own.root / "weights.json", {name: 2.0 if name == names[0] else 1.0 for name in names})
    loader = text_loader(own, "all", batch_size=len(names))
    counts = Counter()
    for epoch in range(90):
        loader.sampler.set_epoch(epoch)
        counts.update(name for batch in loader for name in batch.names)
    assert counts[names[0]] / counts[names[1]] == pytest.approx(2, rel=0.2)
    plain = text_loader(own, "all", batch_size=4, captions="first", augment=False, shuffle=False, drop_last=False)
    assert [name for batch in plain for name in batch.names] == names
    (own.root / "weights.json").write_text("{")
    with pytest.raises(UserError, match=r"weights\.json is not valid JSON"):
        text_loader(own, "all", batch_size=4)


# Loaders


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_samples_do_not_depend_on_the_batch(sample: DatasetSpec, batch_size: int) -> None:
    def samples(size: int) -> list[tuple]:
        loader = text_loader(sample, "all", batch_size=size, drop_last=False, seed=2)
        loader.sampler.set_epoch(3)
        return [
            (batch.captions[i], batch.names[i], batch.motion[i, : batch.lengths[i]].sum().item())
            for batch in loader
            for i in range(len(batch))
        ]

    for first, second in zip(samples(7), samples(batch_size), strict=True):
        assert first[:2] == second[:2] and first[2] == pytest.approx(second[2], rel=1e-4, abs=1e-2)


def test_workers_give_the_same_batches(sample: DatasetSpec) -> None:
    for workers in (0, 1):
        loader = text_loader(sample, "train", batch_size=8, workers=workers)
        loader.sampler.set_epoch(1)
        batches = list(loader)
        if workers == 0:
            expected = batches
    for first, second in zip(expected, batches, strict=True):
        assert first.captions == second.captions and torch.equal(first.motion, second.motion)


def test_batches_move_to_a_device(sample: DatasetSpec) -> None:
    batch = next(iter(text_loader(sample, "train", batch_size=4)))
    moved = batch.to("meta")
    assert type(moved) is type(batch) and moved.captions == batch.captions and len(moved) == 4
    assert {moved.motion.device.type, moved.lengths.device.type, moved.motion_ids.device.type} == {"meta"}
    assert batch.motion.device.type == "cpu"


def test_accelerate_prepares_the_loader(sample: DatasetSpec) -> None:
    accelerate = pytest.importorskip("accelerate")
    plain = text_loader(sample, "train", batch_size=4)
    prepared = accelerate.Accelerator(cpu=True).prepare_data_loader(text_loader(sample, "train", batch_size=4))
    for epoch in (0, 1):
        plain.sampler.set_epoch(epoch)
        prepared.set_epoch(epoch)
        assert [batch.captions for batch in plain] == [batch.captions for batch in prepared]


def test_batch_size_is_lowered_to_a_small_data_set(own: DatasetSpec, caplog: pytest.LogCaptureFixture) -> None:
    loader = text_loader(own, "all", batch_size=512)
    assert len(loader) == 1 and "lowered from 512" in caplog.text


def test_split_errors_and_missing_clips(own: DatasetSpec, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match=r"dev\.txt is missing; splits there: all, test, train, train_val, val"):
        load_split(own, "dev")
    ids = [f"9{i:05d}" for i in range(7)]
    (own.root / "val.txt").write_text("\n".join(["000000", *ids, "000000", ""]))
    assert load_split(own, "val") == ["000000"]
    assert "7 clips that do not exist: 900000, 900001, 900002, 900003, 900004, ..." in caplog.text
    (own.root / "val.txt").write_text("\n".join(ids))
    with pytest.raises(UserError, match="none of the 7 clips"):
        load_split(own, "val")


def test_statistics(own: DatasetSpec) -> None:
    stats = load_stats(own)
    biased = stats.with_feature_bias(own.layout, 5.0)
    ratio = stats.std / biased.std
    weighted = torch.ones(263)
    weighted[:4] = weighted[-4:] = 5
    torch.testing.assert_close(ratio, weighted)
    np.save(own.root / "Std.npy", np.zeros(263))
    with pytest.raises(UserError, match=r"Std\.npy.*positive"):
        load_stats(own)
    np.save(own.root / "Mean.npy", np.zeros(251))
    with pytest.raises(UserError, match=r"Mean\.npy of shape \(251,\)"):
        load_stats(own)
    (own.root / "Mean.npy").unlink()
    with pytest.raises(UserError, match=r"Mean\.npy is missing"):
        load_stats(own)


# Tools


def test_sample_is_fast_and_reproducible(tmp_path: Path) -> None:
    begin = time.process_time()
    make_sample(tmp_path / "a", 48, seed=7)
    assert time.process_time() - begin < 6
    make_sample(tmp_path / "b", 48, seed=7)
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
def test_sample_motion_is_plausible(tmp_path: Path, skeleton) -> None:
    folder = make_sample(tmp_path / "s", 40, skeleton=skeleton.name, frames=(60, 80))
    labels, unit = read_json(folder / "labels.json"), 1000.0 if skeleton is KIT else 1.0
    assert len(set(labels.values())) >= 14
    for name, label in labels.items():
        joints = np.load(folder / "new_joints" / f"{name}.npy") / unit
        bones = np.linalg.norm(joints[:, 1:] - joints[:, list(skeleton.parents[1:])], axis=-1)
        np.testing.assert_allclose(bones, bones[:1].repeat(len(bones), 0), atol=1e-3)
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * skeleton.fps
        assert speed.max() < 11, label
        feet = joints[:, [skeleton.left_foot[1], skeleton.right_foot[1]]]
        planted = (feet[:-1, :, 1] < 0.01) & (feet[1:, :, 1] < 0.01)
        if "jump" not in label:
            assert speed[:, [skeleton.left_foot[1], skeleton.right_foot[1]]][planted].mean() < 0.2, label
        if label.split()[0] in ("walk", "turn"):
            assert planted.any(0).all() and 0.3 < planted.mean() < 0.9, label
            assert planted.any(1).mean() > 0.9, label


def test_mirrored_clips_are_mirror_images(sample: DatasetSpec) -> None:
    labels = read_json(sample.root / "labels.json")
    mirrored = [name for name in labels if name.startswith("M")]
    assert len(mirrored) == 8
    splits = {split: set(load_split(sample, split)) for split in ("train", "val", "test")}
    for name in mirrored:
        assert labels[name].replace("right", "left") == labels[name[1:]].replace("right", "left")
        assert all((name in ids) == (name[1:] in ids) for ids in splits.values())
        joints = torch.from_numpy(np.load(sample.joint_folder / f"{name[1:]}.npy"))
        expected = np.load(sample.joint_folder / f"{name}.npy")
        again = joints_to_features(mirror_joints(joints, HUMANML3D), HUMANML3D, repair_turns=True).numpy()
        # The clip's end differs, since the last frame's velocity is not stored and the facing is smoothed.
        height = FeatureLayout(22).root_height
        np.testing.assert_allclose(again[:, height], expected[:-1, 0, 1:2], atol=1e-3)
    text = (sample.text_folder / f"{mirrored[1]}.txt").read_text()
    assert "right hand" in text and "left" not in text


def run_check(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["check_data", *arguments])
    with pytest.raises(SystemExit) as exit_:
        check_data.main()
    return exit_.value.code


def test_check_data_finds_nothing_in_good_data(sample: DatasetSpec, kit: DatasetSpec) -> None:
    for spec in (sample, kit):
        report = check_data.check_data(spec, compare=load_stats(spec))
        assert report.findings == []
        assert "all" in str(report) and "nothing wrong" in str(report)


def test_check_data_names_what_is_wrong(
    own: DatasetSpec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert run_check(monkeypatch, "--dataset_name", "mini", "--data_root", str(own.root)) == 0
    broken = np.load(own.motion_folder / "000000.npy")
    broken[:, own.layout.positions] *= -1
    np.save(own.motion_folder / "000000.npy", broken)
    np.save(own.motion_folder / "M000000.npy", np.full((50, 263), np.inf, np.float32))
    (own.joint_folder / "000001.npy").unlink()
    (own.text_folder / "M000001.txt").unlink()
    write_captions(own, "000002", "")
    write_captions(own, "000003", "untagged##0#0", "broken")
    np.save(own.root / "Mean.npy", load_stats(own).mean.numpy() + 1)
    (own.root / "test.txt").write_text("000000\nabsent\n")
    (own.root / "train.txt").write_text("000000\n000001\n")
    capsys.readouterr()
    assert run_check(monkeypatch, "--dataset_name", "mini", "--data_root", str(own.root)) == 1
    page = capsys.readouterr().out
    for text in (
        "1 motions with NaN or infinity: M000000.npy",
        "1 motions go through the floor or stand on their head: 000000",
        "1 motions have no joint file: 000001",
        "1 joint files differ from the features: 000000",
        "1 motions have no text file: M000001",
        "1 text files have no usable caption: 000002",
        "1 text files have captions without word tags, which the evaluators need: 000003",
        "1 broken caption lines: 000003.txt line 2",
        "do not agree; one of them is of other data",
        "1 clips of test.txt have no usable motion: absent",
        "1 clips are both in train and in test: 000000",
    ):
        assert text in page, text
    assert len(page.splitlines()) < 40


def test_check_data_refuses_a_wrong_folder(
    own: DatasetSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert run_check(monkeypatch, "--data_root", str(tmp_path / "nowhere")) == 2
    assert run_check(monkeypatch, "--dataset_name", "kit", "--data_root", str(own.root)) == 2
    assert capsys.readouterr().err.count("error: ") == 2


def test_make_sample_does_not_replace_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    monkeypatch.setattr(sys, "argv", ["make_sample", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        make_sample_main()
    assert exit_.value.code == 2 and "--out" in capsys.readouterr().err
    assert (tmp_path / "precious.txt").read_text() == "keep"
