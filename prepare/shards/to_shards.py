"""Make memory-mapped shards of a data folder: features in float16, tokens in int16, captions in Arrow.

    lamp to-shards --data_root dataset/HumanML3D --out /data/humanml3d_shards
    lamp to-shards --data_root dataset/big --dataset_name big --out /data/big --tokenizer checkpoints/big/vq_name

Training takes the folder by --data_root. With --tokenizer it has the tokens, too, of which the transformers and the
length estimator are trained; --only_tokens leaves the features out, which the tokenizer and LaMP need.
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamp.data.cache import list_files, read_captions, read_motions, shorten
from lamp.data.captions import IndexWriter
from lamp.data.corpus.shards import (
    CAPTIONS_FILE,
    CLIPS_FILE,
    FEATURES,
    LENGTHS_FILE,
    NAMES_FILE,
    SPLITS,
    TOKENS,
    VERSION,
)
from lamp.data.spec import SHARDS_FILE, DatasetSpec, get_spec, is_sharded
from lamp.models.checkpoints import model_folder
from lamp.models.vq.model import RVQVAE
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable, write_json
from lamp.utils.packages import need
from lamp.utils.run.device import resolve_device

SHARD_BYTES = 128 * 2**20
_COPIED = ("Mean.npy", "Std.npy", "labels.json", "weights.json")
_TOGETHER = 16_384
"""Frames that the tokenizer encodes together, padding included."""


class StackWriter:
    """Writes rows of clips into files of about `SHARD_BYTES`, no clip in two of them."""

    def __init__(self, folder: Path, dtype: type[np.generic]) -> None:
        folder.mkdir()
        self._folder, self._dtype = folder, dtype
        self._waiting: list[np.ndarray] = []
        self._size = self._written = 0

    def add(self, rows: np.ndarray) -> None:
        """Append the rows (n, width) of a clip."""
        self._waiting.append(rows.astype(self._dtype))
        self._size += self._waiting[-1].nbytes
        if self._size >= SHARD_BYTES:
            self.close()

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            np.save(self._folder / f"{self._written:05d}.npy", np.concatenate(self._waiting))
            self._written += 1
            self._size, self._waiting = 0, []


def to_shards(
    spec: DatasetSpec, out: Path, *, tokenizer: RVQVAE | None = None, features: bool = True
) -> dict[str, Any]:
    """Make a folder of shards of a data folder of files.

    Args:
        spec: data set.
        out: folder to make; one that is there is replaced when all is written.
        tokenizer: also write the tokens that it makes of each clip.
        features: write the features.

    Returns:
        What `shards.json` says.

    Raises:
        UserError: the folder has no usable motion, `out` is something else than shards, or a package is missing.
    """
    need("datasets")
    if is_sharded(spec):
        raise UserError(f"{spec.root} is a folder of shards already; give the data folder of files")
    if tokenizer is None and not features:
        raise UserError("--only_tokens needs --tokenizer")
    check_replaceable(out, SHARDS_FILE)
    with atomic_folder(out) as aside:
        problems: dict[str, list[str]] = {}
        names, lengths = _write_motions(spec, aside, problems, tokenizer, features)
        for texts in sorted(path for path in spec.root.glob("texts*") if path.is_dir()):
            _write_captions(spec, texts, names, aside / texts.name, problems)
        _write_splits(spec, names, aside / SPLITS, problems)
        with writing(aside / CLIPS_FILE, {"name": "string", "frames": "int64"}) as writer:
            for name, length in zip(names, lengths, strict=True):
                writer.write({"name": name, "frames": length})
        for name in _COPIED:
            if (spec.root / name).is_file():
                shutil.copyfile(spec.root / name, aside / name)
        facts = {
            "version": VERSION,
            "width": spec.feature_dim,
            "unit_length": spec.unit_length,
            "clips": len(names),
            "frames": sum(lengths),
            "features": features,
            "tokenizer": "" if tokenizer is None else tokenizer.identity,
            "problems": problems,
        }
        write_json(aside / SHARDS_FILE, facts)
    return facts


def _write_motions(
    spec: DatasetSpec, out: Path, problems: dict[str, list[str]], tokenizer: RVQVAE | None, features: bool
) -> tuple[list[str], list[int]]:
    """Write features, tokens, names and lengths; the last two are given back, in order of the names."""
    if tokenizer is not None:
        _check(tokenizer, spec)
    names: list[str] = []
    lengths: list[int] = []
    stacks = [StackWriter(out / FEATURES, np.float16)] if features else []
    tokens = None if tokenizer is None else _TokenWriter(StackWriter(out / TOKENS, np.int16), tokenizer)
    for name, motion in read_motions(spec, list(list_files(spec.motion_folder, ".npy")), problems):
        if np.abs(motion).max() > np.finfo(np.float16).max:
            problems.setdefault("motions beyond float16", []).append(f"{name}.npy")
            continue
        if len(motion) < spec.unit_length:
            problems.setdefault("motions shorter than a token", []).append(f"{name}.npy")
            continue
        names.append(name)
        lengths.append(len(motion))
        for stack in stacks:
            stack.add(motion)
        if tokens is not None:
            tokens.add(motion)
    if not names:
        first = next(iter(problems.values()), [f"{spec.motion_folder} is empty"])[0]
        raise UserError(f"{spec.root} has no motion with {spec.feature_dim} features ({first}); check --data_root")
    for writer in (*stacks, *([tokens] if tokens else [])):
        writer.close()
    # In order of the code points, in which `list_files` gives them, bytes of UTF-8 are sorted too.
    np.save(out / NAMES_FILE, np.array([name.encode() for name in names]))
    np.save(out / LENGTHS_FILE, np.array(lengths, dtype=np.int64))
    return names, lengths


def _check(tokenizer: RVQVAE, spec: DatasetSpec) -> None:
    """Make sure that a tokenizer is for the data, and its codes are numbers of 16 bits.

    Raises:
        UserError: they are not.
    """
    config = tokenizer.config
    if (config.input_width, config.frames_per_token) != (spec.feature_dim, spec.unit_length):
        raise UserError(
            f"--tokenizer reads {config.input_width} features, {config.frames_per_token} frames a token; "
            f"{spec.root} has {spec.feature_dim} and {spec.unit_length}"
        )
    if config.nb_code > np.iinfo(np.int16).max:
        raise UserError(f"--tokenizer has {config.nb_code} codes; shards hold up to {np.iinfo(np.int16).max}")


class _TokenWriter:
    """Encodes clips, several at a time, and writes their tokens in order."""

    def __init__(self, stack: StackWriter, tokenizer: RVQVAE) -> None:
        self._stack, self._tokenizer, self._unit = stack, tokenizer, tokenizer.config.frames_per_token
        self._waiting: list[torch.Tensor] = []

    def add(self, motion: np.ndarray) -> None:
        """Append a clip (T, D)."""
        # Frames beyond the last whole token are not seen in training either.
        motion = motion[: len(motion) // self._unit * self._unit]
        longest = max([len(motion), *map(len, self._waiting)])
        if self._waiting and longest * (len(self._waiting) + 1) > _TOGETHER:
            self._encode()
        self._waiting.append(torch.from_numpy(motion))

    @torch.inference_mode()
    def _encode(self) -> None:
        model = self._tokenizer
        lengths = torch.tensor([len(motion) for motion in self._waiting], device=model.device)
        padded = torch.nn.utils.rnn.pad_sequence(self._waiting, batch_first=True).to(model.device)
        codes = model.encode(model.normalize(padded), lengths).cpu()
        for row, count in zip(codes, (lengths // self._unit).tolist(), strict=True):
            self._stack.add(row[:count].numpy())
        self._waiting = []

    def close(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._encode()
        self._stack.close()


def _write_captions(
    spec: DatasetSpec, texts: Path, names: list[str], out: Path, problems: dict[str, list[str]]
) -> None:
    """Write the captions of a folder of text files; a clip without one has none."""
    out.mkdir()
    there = list_files(texts, ".txt")
    if missing := [name for name in names if name not in there]:
        problems[f"clips without a file in {texts.name}/"] = missing
    found = read_captions(replace(spec, texts=texts.name), [name for name in names if name in there], problems)
    index = IndexWriter()
    columns = {**dict.fromkeys(("clip", "text", "tokens"), "string"), **dict.fromkeys(("start", "end"), "float64")}
    with writing(out / CAPTIONS_FILE, columns) as writer:
        for name in names:
            captions = next(found) if name in there else []
            index.add(captions)
            for caption in captions:
                said = {"clip": name, "text": caption.text, "tokens": " ".join(caption.tokens)}
                writer.write({**said, "start": caption.start, "end": caption.end})
    index.save(out)


def _write_splits(spec: DatasetSpec, names: list[str], out: Path, problems: dict[str, list[str]]) -> None:
    """Write the rows of each split's clips, in the order of its file; of a text file that lists none there is none."""
    out.mkdir()
    rows = {name: row for row, name in enumerate(names)}
    for path in sorted(spec.root.glob("*.txt")):
        listed = dict.fromkeys(path.read_text(encoding="utf-8-sig", errors="replace").split())
        found = [rows[name] for name in listed if name in rows]
        if not found:
            problems.setdefault("text files that list no clip, so that there is no such split", []).append(path.name)
            continue
        if missing := [name for name in listed if name not in rows]:
            problems[f"names in {path.name} without a clip"] = missing
        np.save(out / f"{path.stem}.npy", np.array(found, dtype=np.int64))


@contextmanager
def writing(path: Path, columns: dict[str, str]) -> Iterator[Any]:
    """Context with the writer of a table of Arrow, which has some columns, each of a type that `datasets` knows."""
    from datasets import Features, Value
    from datasets.arrow_writer import ArrowWriter

    writer = ArrowWriter(path=str(path), features=Features({name: Value(kind) for name, kind in columns.items()}))
    try:
        yield writer
        writer.finalize()
    finally:
        writer.close()


@main_with_errors
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_name", default="t2m", help="t2m, kit, mini, or a name of your own")
    parser.add_argument("--data_root", help="data folder of files, if not the usual one")
    parser.add_argument("--out", type=Path, required=True, help="folder to make; an earlier one there is replaced")
    parser.add_argument("--tokenizer", type=Path, help="space of a trained tokenizer, or its model folder")
    parser.add_argument("--only_tokens", action="store_true", help="leave the features out")
    parser.add_argument("--gpu_id", type=int, help="GPU of the tokenizer, -1 for the CPU; by default the best device")
    options = parser.parse_args()
    spec = get_spec(options.dataset_name, options.data_root)
    tokenizer = None
    if options.tokenizer is not None:
        tokenizer = RVQVAE.from_pretrained(model_folder(options.tokenizer), device=resolve_device(options.gpu_id))
    facts = to_shards(spec, options.out, tokenizer=tokenizer, features=not options.only_tokens)
    for text, entries in facts["problems"].items():
        print(f"note: {len(entries)} {text} ({shorten(entries)})")
    hours = facts["frames"] / spec.fps / 3600
    print(f"{options.out}: {facts['clips']:,} clips, {hours:.2f} h; give it as --data_root {options.out}")


if __name__ == "__main__":
    main()
