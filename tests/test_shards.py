"""Corpora in shards: the same batches as from files, tokens, what is refused."""

import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp.data.cache import open_cache
from lamp.data.corpus import shards as shards_module
from lamp.data.corpus.names import Names
from lamp.data.corpus.shards import SPLITS, ShardedMotions, Stack
from lamp.data.corpus.tokens import TextTokenBatch, TokenTextDataset
from lamp.data.draws import TestDraws
from lamp.data.loaders import has_features, load_split, load_stats, text_loader, tokenizer_loader
from lamp.data.spec import SHARDS_FILE, DatasetSpec, get_spec
from lamp.models.vq.model import RVQVAE, RVQConfig
from lamp.options.t2m import T2MOptions
from lamp.prepare import check_data
from lamp.prepare.make_sample import make_sample
from lamp.prepare.shards import to_shards as module
from lamp.prepare.shards.to_shards import to_shards
from lamp.stages import generators
from lamp.stages.generators import check_tokens
from lamp.utils.errors import UserError
from lamp.utils.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> RVQVAE:
    torch.manual_seed(0)
    config = RVQConfig(num_quantizers=2, nb_code=16, code_dim=12, width=16, depth=1)
    folder = tmp_path_factory.mktemp("models") / "vq"
    RVQVAE(config).eval().save_pretrained(folder)
    return RVQVAE.from_pretrained(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tokenizer: RVQVAE) -> tuple[DatasetSpec, DatasetSpec]:
    """A data folder of files, some of its captions of parts that stand before those of the whole, and its shards."""
    root = tmp_path_factory.mktemp("data")
    files = get_spec("mini", make_sample(root / "files", 16, frames=(28, 210)))
    for number, path in enumerate(sorted(files.text_folder.glob("*.txt"))):
        lines = path.read_text(encoding="utf-8").splitlines()
        lines.insert(number % 3, f"part {number}#part/NOUN#0.5#{2.5 + number / 4}")
        path.write_text("\n".join(lines), encoding="utf-8")
    (files.text_folder / "000002.txt").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHARD_BYTES", 100_000)
        patch.setattr(module, "_TOGETHER", 500)
        facts = to_shards(files, root / "shards", tokenizer=tokenizer)
    assert facts["clips"] == 16 and list(facts["problems"]) == ["clips without a file in texts/"]
    return files, get_spec("mini", root / "shards")


def test_shards_give_the_batches_of_the_files(pair: tuple[DatasetSpec, DatasetSpec]) -> None:
    _, sharded = pair
    assert len(list((sharded.root / "features").iterdir())) > 2
    for captions, augment in (("random", True), ("first", True), ("all", False)):
        loaders = [text_loader(spec, "all", batch_size=5, seed=3, captions=captions, augment=augment) for spec in pair]
        for loader in loaders:
            loader.sampler.set_epoch(2)
        for first, second in zip(*loaders, strict=True):
            assert (first.names, first.captions, first.tokens) == (second.names, second.captions, second.tokens)
            assert torch.equal(first.motion_ids, second.motion_ids) and torch.equal(first.keys, second.keys)
            torch.testing.assert_close(first.motion, second.motion, atol=0.02, rtol=2e-3)
        assert loaders[0].dataset.sample_names == loaders[1].dataset.sample_names
        assert loaders[0].dataset.dropped == loaders[1].dataset.dropped
    windows = [tokenizer_loader(spec, "train", batch_size=8, seed=1, epoch_size=40) for spec in pair]
    for first, second in zip(*windows, strict=True):
        assert first.names == second.names and torch.equal(first.lengths, second.lengths)
        torch.testing.assert_close(first.motion, second.motion, atol=0.02, rtol=2e-3)


def test_shards_are_read_as_the_cache_is(pair: tuple[DatasetSpec, DatasetSpec]) -> None:
    caches = [open_cache(spec) for spec in pair]
    assert list(caches[1].names) == list(caches[0].names) and dict(caches[1].rows) == dict(caches[0].rows)
    for name in caches[0].names:
        np.testing.assert_array_equal(caches[1].motion(name), caches[0].motion(name).astype(np.float16))
        assert caches[1].captions.get(name, ()) == caches[0].captions.get(name, ())
    assert caches[1].motion("000001").dtype == np.float32
    assert list(load_split(pair[1], "test")) == load_split(pair[0], "test")
    assert len(pickle.dumps(caches[1])) < 1000 and pickle.loads(pickle.dumps(caches[1])) is caches[1]
    assert TestDraws(pair[1], "all", seed=0).labels == TestDraws(pair[0], "all", seed=0).labels
    assert get_spec("mine", pair[1].root).feature_dim == 263


def test_tokens_are_those_of_the_whole_clips(pair: tuple[DatasetSpec, DatasetSpec], tokenizer: RVQVAE) -> None:
    files, sharded = pair
    cache = open_cache(sharded)
    assert isinstance(cache, ShardedMotions) and cache.tokens is not None
    for name in cache.names:
        row = cache.rows[name]
        motion = torch.from_numpy(np.array(open_cache(files).motion(name)))[None]
        motion = motion[:, : motion.shape[1] // 4 * 4]
        (codes,) = tokenizer.encode(tokenizer.normalize(motion))
        start = cache.token_offsets[row]
        np.testing.assert_array_equal(cache.tokens[start : start + len(motion[0]) // 4], codes.numpy())


def test_samples_of_tokens_are_crops_at_tokens(pair: tuple[DatasetSpec, DatasetSpec]) -> None:
    cache = open_cache(pair[1])
    assert isinstance(cache, ShardedMotions) and cache.tokens is not None
    features = text_loader(pair[1], "all", batch_size=5, seed=3)
    tokens = text_loader(pair[1], "all", batch_size=5, seed=3, tokens=True)
    assert isinstance(tokens.dataset, TokenTextDataset)
    shorter = 0
    for first, second in zip(features, tokens, strict=True):
        assert isinstance(second, TextTokenBatch) and isinstance(second.to("cpu"), TextTokenBatch)
        assert (first.names, first.captions) == (second.names, second.captions)
        assert torch.equal(first.keys, second.keys)
        for i, name in enumerate(second.names):
            length = int(second.lengths[i])
            shorter += int(first.lengths[i]) - length
            codes, row = second.motion[i].numpy(), cache.rows[name]
            assert (codes[length // 4 :] == -1).all() and (codes[: length // 4] >= 0).all()
            begin = cache.token_offsets[row]
            clip = cache.tokens[begin : begin + cache.lengths[row] // 4]
            starts = range(len(clip) - length // 4 + 1)
            assert any(np.array_equal(clip[start : start + length // 4], codes[: length // 4]) for start in starts)
    assert 0 <= shorter < 4 * len(features.dataset)  # parts that begin inside a token lose it
    whole = text_loader(pair[1], "all", batch_size=1, augment=False, captions="first", shuffle=False, tokens=True)
    for batch in whole:
        sample, row = int(batch.sample_ids[0]), cache.rows[batch.names[0]]
        if batch.captions[0].startswith("part"):
            # From 0.5 s: frame 10 is inside the third token.
            begin = cache.token_offsets[row] + 3
        else:
            begin = cache.token_offsets[row]
        assert torch.equal(batch.motion[0], torch.from_numpy(cache.tokens[begin : begin + batch.motion.shape[1]]))
        assert int(batch.lengths[0]) == min(whole.dataset.lengths[sample], 196)


def test_a_corpus_of_tokens_alone(pair: tuple[DatasetSpec, DatasetSpec], tmp_path: Path, tokenizer: RVQVAE) -> None:
    to_shards(pair[0], tmp_path / "tokens", tokenizer=tokenizer, features=False)
    spec = get_spec("mini", tmp_path / "tokens")
    assert not (spec.root / "features").exists() and not has_features(spec) and has_features(pair[1])
    assert len(next(iter(text_loader(spec, "all", batch_size=4, tokens=True)))) == 4
    with pytest.raises(UserError, match=r"tokens and no features.*--only_tokens"):
        next(iter(tokenizer_loader(spec, "all", batch_size=4)))
    other = RVQVAE.from_pretrained(tokenizer.folder)
    other.meta["digest"] = "0"
    cache = open_cache(spec)
    assert isinstance(cache, ShardedMotions)
    check_tokens(cache, spec, tokenizer)
    with pytest.raises(UserError, match=r"made by the tokenizer vq@.*lamp to-shards --tokenizer"):
        check_tokens(cache, spec, other)


def test_a_file_in_place_of_the_folder_stays(pair: tuple[DatasetSpec, DatasetSpec], tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="was not made by this command"):
        to_shards(pair[0], file)
    assert file.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["features/00000.npy", "names.npy", "splits/train.npy"])
def test_an_empty_file_is_told(pair: tuple[DatasetSpec, DatasetSpec], tmp_path: Path, name: str) -> None:
    spec = get_spec("mini", shutil.copytree(pair[1].root, tmp_path / "shards"))
    (spec.root / name).write_bytes(b"")
    with pytest.raises(UserError, match="is not complete"):
        open_cache(spec)
        load_split(spec, "train")


def test_captions_of_few_clips_are_remembered(
    pair: tuple[DatasetSpec, DatasetSpec], tokenizer: RVQVAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tmp_path / "mini"
    shutil.copytree(ROOT / "checkpoints" / "mini" / "lamp", space / "lamp")
    shutil.copytree(tokenizer.folder, space / "vq")
    spec = get_spec("mini", shutil.copytree(pair[1].root, tmp_path / "shards"))
    for split in ("train", "val"):
        shutil.copy(spec.root / SPLITS / "all.npy", spec.root / SPLITS / f"{split}.npy")
    options = T2MOptions(dataset_name="mini", checkpoints_dir=tmp_path, vq_name="vq", lamp_name="lamp")
    for most, remembered in ((16, True), (15, False)):
        monkeypatch.setattr(generators, "MOST_CLIPS", most)
        _, text = generators.load_frozen(options, spec, torch.device("cpu"))
        assert text.remembers is remembered


def test_what_is_no_folder_of_shards_is_told(pair: tuple[DatasetSpec, DatasetSpec], tmp_path: Path) -> None:
    files, sharded = pair
    for call, message in (
        (lambda: to_shards(sharded, tmp_path / "again"), "folder of shards already"),
        (lambda: to_shards(files, tmp_path / "none", features=False), "--only_tokens needs --tokenizer"),
        (lambda: load_split(sharded, "nowhere"), r"nowhere\.npy is missing; splits there: all, test"),
        (lambda: check_data.check_data(sharded), "check the data folder"),
        (lambda: open_cache(replace(sharded, texts="texts_heldout")), "texts_heldout has no captions"),
        (lambda: open_cache(get_spec("kit", sharded.root)), "--dataset_name kit"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    assert not list(tmp_path.iterdir())
    broken = tmp_path / "broken"
    broken.mkdir()
    facts = read_json(sharded.root / SHARDS_FILE)
    for text, message in (
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"version": 1, "features": true, "tokenizer": ""}', "no unit_length, width"),
        ('{"version": 9}', "version 9, not 1"),
    ):
        (broken / SHARDS_FILE).write_text(text)
        with pytest.raises(UserError, match=message):
            open_cache(get_spec("mini", broken))
    (broken / "texts").symlink_to(sharded.text_folder)
    write_json(broken / SHARDS_FILE, facts)
    with pytest.raises(UserError, match="is not complete"):
        open_cache(get_spec("mini", broken))
    with pytest.raises(UserError, match="is not complete"):
        Stack(broken / "features", np.float32)
    shutil.rmtree(broken)
    shutil.copytree(sharded.root, broken)
    next((broken / "tokens").iterdir()).unlink()
    with pytest.raises(UserError, match="tokens is not complete"):
        open_cache(get_spec("mini", broken))
    shutil.copytree(sharded.root, broken, dirs_exist_ok=True)
    next((broken / "features").iterdir()).unlink()
    with pytest.raises(UserError, match=r"features is not complete \(\d+ rows instead of \d+\)"):
        open_cache(get_spec("mini", broken))
    shutil.copytree(sharded.root, broken, dirs_exist_ok=True)
    (broken / "texts" / "captions.arrow").write_bytes(b"ARROW1")
    shards_module._open.cache_clear()
    with pytest.raises(UserError, match="is not complete"):
        open_cache(get_spec("mini", broken))


def test_parts_of_other_shards_are_told(
    pair: tuple[DatasetSpec, DatasetSpec], tokenizer: RVQVAE, tmp_path: Path
) -> None:
    files, sharded = pair
    shutil.copytree(files.root, tmp_path / "files")
    spec = get_spec("mini", tmp_path / "files")
    some = sorted(spec.text_folder.glob("*.txt"))
    some[0].write_text("One more.#one/NUM#0.0#0.0\n" + some[0].read_text(encoding="utf-8"), encoding="utf-8")
    to_shards(spec, tmp_path / "more", tokenizer=tokenizer)
    mixed = shutil.copytree(sharded.root, tmp_path / "mixed")
    table = mixed / "texts" / "captions.arrow"
    shutil.copy(tmp_path / "more" / "texts" / "captions.arrow", table)
    with pytest.raises(UserError, match=r"texts is not complete \(captions\.arrow has \d+ captions, their index \d+\)"):
        open_cache(get_spec("mini", mixed))
    shutil.copytree(tmp_path / "more" / "texts", mixed / "texts", dirs_exist_ok=True)
    names = np.load(mixed / "names.npy")
    names[-1] = b"zzz"
    np.save(mixed / "names.npy", names)
    with pytest.raises(UserError, match=r"captions\.arrow speaks of \w+ where the index has zzz"):
        open_cache(get_spec("mini", mixed))
    with module.writing(table, {"text": "string"}) as writer:
        writer.write({"text": "walks"})
    with pytest.raises(UserError, match=r"captions\.arrow has no clip, end, start, tokens"):
        open_cache(get_spec("mini", mixed))
    for rows in (np.array([0, 16]), np.array([-1]), np.array([0.0]), np.zeros((1, 1), int)):
        np.save(mixed / SPLITS / "test.npy", rows)
        with pytest.raises(UserError, match=r"splits/test\.npy is not of its 16 clips"):
            load_split(get_spec("mini", mixed), "test")


def test_names_that_splits_lose_are_told(tmp_path: Path) -> None:
    spec = get_spec("mini", make_sample(tmp_path / "files", 16, frames=(28, 60)))
    listed = (spec.root / "train.txt").read_text(encoding="utf-8").split()
    (spec.root / "train.txt").write_text("\n".join([*listed, "gone"]), encoding="utf-8")
    (spec.root / "extra.txt").write_text("nobody\n", encoding="utf-8")
    problems = to_shards(spec, tmp_path / "shards")["problems"]
    assert problems["names in train.txt without a clip"] == ["gone"]
    assert problems["text files that list no clip, so that there is no such split"] == ["extra.txt"]


def test_unusable_motions_are_left_out(tmp_path: Path) -> None:
    spec = get_spec("mini", make_sample(tmp_path / "files", 16, frames=(28, 60)))
    for name, value in (("000000", np.nan), ("000001", 1e5)):
        motion = np.load(spec.motion_folder / f"{name}.npy")
        motion[3, 5] = value
        np.save(spec.motion_folder / f"{name}.npy", motion)
    np.save(spec.motion_folder / "000002.npy", np.zeros((3, 263), np.float32))
    problems = to_shards(spec, tmp_path / "shards")["problems"]
    assert problems["motions with NaN or infinity"] == ["000000.npy"]
    assert problems["motions beyond float16"] == ["000001.npy"]
    assert problems["motions shorter than a token"] == ["000002.npy"]
    cache = open_cache(get_spec("mini", tmp_path / "shards"))
    assert len(cache.names) == 13 and "000000" not in cache.rows
    assert "000000" not in load_split(get_spec("mini", tmp_path / "shards"), "all")


def test_names_are_found() -> None:
    names = sorted(["b", "ab", "ä", "走", "a", "zzz"])
    found = Names(np.array([name.encode() for name in names]))
    assert list(found) == names and len(found.rows) == 6
    assert [found.rows[name] for name in names] == list(range(6))
    assert not any(name in found.rows for name in ("", "c", "zzzz", "zzzzzzzzzz", "aa"))


def test_command(pair: tuple[DatasetSpec, DatasetSpec], tokenizer: RVQVAE, tmp_path: Path, monkeypatch, capsys) -> None:
    def call(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["to_shards", "--dataset_name", "mini", *map(str, arguments)])
        module.main()

    out = tmp_path / "out"
    call("--data_root", pair[0].root, "--out", out, "--tokenizer", tokenizer.folder, "--gpu_id", -1)
    assert "16 clips" in capsys.readouterr().out
    assert {path.stem for path in (out / SPLITS).iterdir()} == {"all", "test", "train", "train_val", "val"}
    assert load_stats(get_spec("mini", out)).mean.shape == (263,)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").touch()
    with pytest.raises(SystemExit) as stop:
        call("--data_root", pair[0].root, "--out", tmp_path / "mine")
    assert stop.value.code == 2 and "was not made by this command" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.txt"]
    with pytest.raises(SystemExit):
        call("--data_root", pair[0].root, "--out", tmp_path / "x", "--tokenizer", tmp_path / "nowhere")
    assert "no model" in capsys.readouterr().err
