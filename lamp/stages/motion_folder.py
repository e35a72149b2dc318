"""Motions of another model as files: what is asked of it, how its files are called, reading and writing them.

    <folder>/<sample>.npz                               one motion of each sample, for all repetitions, or
    <folder>/<repetition>/<sample>.npz                  one for each repetition's caption and length
    <folder>/<repetition>/variants/<sample>/<number>.npz  further ones of the same text, for multimodality

A sample is called by its clip id (see `MotionTextDataset.sample_names`); .npy and .bvh do as well as .npz.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lamp.data.draws import Draw, TestDraws
from lamp.data.motion import TextMotionBatch
from lamp.data.text import Caption
from lamp.utils.capture.files import MOTION_SUFFIXES, read_motion
from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path, files_below
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from lamp.utils.motion_features import motion_features
from lamp.utils.run.provenance import digest

VARIANTS = "variants"


class MotionWriter:
    """Writes motions as `MotionFolder` reads them, with features and text.

    Args:
        folder: where to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._place, self._names = folder, folder, list[str]()

    def begin(self, draws: TestDraws, repeat: int) -> None:
        """The motions that come next are of this repetition."""
        self._place, self._names = self._folder / str(repeat), draws.dataset.sample_names

    def write(self, batch: TextMotionBatch, motions: Sequence[Motion], numbers: Sequence[int] | None = None) -> None:
        """Write a motion for each sample; with `numbers` as variants."""
        for i, (sample, motion) in enumerate(zip(batch.sample_ids.tolist(), motions, strict=True)):
            motion.save(self._place / f"{file_stem(self._names[sample], None if numbers is None else numbers[i])}.npz")


def file_stem(sample: str, number: int | None = None) -> str:
    """Place of a sample's motion, or of one of its variants, in the folder of a repetition, without suffix."""
    return sample if number is None else f"{VARIANTS}/{sample}/{number}"


class MotionFolder:
    """Motions of files, in the form that the protocol judges.

    A motion is judged as long as the real one that was drawn, or as long as it is, if it is shorter; `shorter` counts
    those. Where a file says its text (.npz), this one of the sample's captions is taken, not a random one.

    Args:
        folder: with a motion for each sample; see above.
        splits: what will be drawn.
        repeats: how often.

    Raises:
        UserError: there is no such folder, motions are missing, or one is there twice.
    """

    def __init__(self, folder: Path, splits: Sequence[TestDraws], repeats: int) -> None:
        if not folder.is_dir():
            raise UserError(f"--motions {folder}: no such folder")
        self.folder, self.shorter = folder, 0
        self.kept: list[Motion] | None = None
        self._files = _find(folder)
        self._repeated = any(place.partition("/")[0].isdigit() and "/" in place for place in self._files)
        self._features: dict[str, tuple[Tensor, str]] = {}
        self._repeat, self._draws = 0, splits[0]
        for draws in splits:
            self._check(draws, repeats)

    @property
    def identity(self) -> str:
        """Name of the folder and a digest of its motions, such as `rival@1f3c9a2e`."""
        parts = (part for place, path in sorted(self._files.items()) for part in (place, path.read_bytes()))
        return f"{self.folder.resolve().name}@{digest(parts)}"

    def begin(self, draws: TestDraws, repeat: int) -> Draw:
        """The samples of a repetition, with the captions that the files say they were made from."""
        self._repeat, self._draws = repeat, draws
        self.shorter = self.shorter if repeat else 0
        if self._repeated:
            self._features.clear()
        return replace(draws.draw(repeat), caption_of=self.text_of)

    def __call__(self, batch: TextMotionBatch, seeds: list[int]) -> tuple[Tensor, Tensor]:
        """Features (B, T, D) and lengths (B,) of the samples' motions."""
        return self._read(batch, [None] * len(batch))

    def count_variants(self, draw: Draw, rows: list[int]) -> int:
        """Variants of each of the texts of some rows.

        Raises:
            UserError: some texts have others than the first, or a single one.
        """
        stems = [self._place(sample, 0).removesuffix("0") for sample in draw.indices[rows].tolist()]
        count = max((sum(place.startswith(stem) for place in self._files) for stem in stems), default=0)
        wanted = [f"{stem}{number}" for stem in stems for number in range(count)]
        if count == 1 or not self._files.keys() >= set(wanted):
            lacking = next((place for place in wanted if place not in self._files), f"{stems[0]}1")
            raise UserError(
                f"--motions {self.folder} lacks {lacking}; multimodality needs as many motions of each text, two at "
                "least, numbered from 0 (--mm_batches 0 leaves it out)"
            )
        return count

    def variants(self, batch: TextMotionBatch, numbers: list[int], seeds: list[int]) -> tuple[Tensor, Tensor]:
        """Features (B, T, D) and lengths (B,) of variants by number."""
        return self._read(batch, numbers)

    def text_of(self, sample: int) -> Caption | None:
        """The caption that a sample's file says it was made from; None if it says none.

        Raises:
            UserError: it is no caption of that sample.
        """
        place = self._place(sample)
        text = self._load(place)[1]
        if not text:
            return None
        captions = self._draws.dataset.captions(sample)
        if (found := next((caption for caption in captions if caption.text == text), None)) is None:
            raise UserError(
                f"{self._files[place]} says it was made from {text[:60]!r}, which is no caption of it; take those that "
                "--write_prompts writes, or leave the text out"
            )
        return found

    def _check(self, draws: TestDraws, repeats: int) -> None:
        self._draws = draws
        for repeat in range(repeats if self._repeated else 1):
            self._repeat = repeat
            samples = draws.draw(self._repeat).indices.tolist() if self._repeated else range(len(draws.dataset))
            if missing := [place for sample in samples if (place := self._place(sample)) not in self._files]:
                remedy = f"; it needs {repeats} repetitions (--repeat_times)" if self._repeated else ""
                raise UserError(
                    f"--motions {self.folder} lacks {len(missing)} of the {len(samples)} motions of {draws.split}, "
                    f"such as {', '.join(missing[:3])}{remedy}; --write_prompts lists what is needed"
                )
        self._repeat = 0

    def _place(self, sample: int, number: int | None = None) -> str:
        stem = file_stem(self._draws.dataset.sample_names[sample], number)
        return f"{self._repeat}/{stem}" if self._repeated else stem

    def _read(self, batch: TextMotionBatch, numbers: Sequence[int | None]) -> tuple[Tensor, Tensor]:
        motions = []
        for sample, number, wanted in zip(batch.sample_ids.tolist(), numbers, batch.lengths.tolist(), strict=True):
            features = self._load(self._place(sample, number))[0]
            unit = self._draws.spec.unit_length
            motions.append(features[: min(len(features) // unit * unit, wanted)])
            self.shorter += len(motions[-1]) < wanted
        if self.kept is not None:
            fps = self._draws.spec.fps
            self.kept += [
                Motion(features_to_joints(some).numpy(), some.numpy(), fps=fps, text=text)
                for some, text in zip(motions, batch.captions)
            ]
        return pad_sequence(motions, batch_first=True), torch.tensor([len(some) for some in motions])

    def _load(self, place: str) -> tuple[Tensor, str]:
        """Features (T, D) of a file and the text it was made from, read once in a repetition."""
        if place not in self._features:
            if place not in self._files:
                raise UserError(f"--motions {self.folder} lacks {place}; --write_prompts lists what is needed")
            self._features[place] = read_features(self._files[place], self._draws)
        return self._features[place]


def read_features(path: Path, draws: TestDraws) -> tuple[Tensor, str]:
    """Features (T, D) of a motion file, as in the data, and its text.

    Joints give a frame less of features than they have frames: the last one is repeated, so that the motion stays as
    long as it is.

    Raises:
        UserError: it holds no motion of the data's skeleton, is too short, or not finite.
    """
    motion = read_motion(path)
    try:
        features = motion_features(motion, draws.spec.skeleton)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if motion.features is None:
        features = torch.cat((features, features[-1:]))
    if len(features) < draws.spec.unit_length or not features.isfinite().all():
        raise UserError(f"{path} has fewer than {draws.spec.unit_length} frames, or a value that is not finite")
    return features, motion.text


def _find(folder: Path) -> dict[str, Path]:
    """Motion files of a folder by their place in it, without suffix."""
    found: dict[str, Path] = {}
    for path in files_below(folder, *MOTION_SUFFIXES):
        place = path.relative_to(folder).with_suffix("").as_posix()
        if place in found:
            raise UserError(f"--motions {folder} has {found[place].name} and {path.name} of one motion; keep one")
        found[place] = path
    return found


def write_prompts(path: Path, wanted: Iterable[tuple[str, int, str]]) -> int:
    """Write the table of what another model is to generate, and return the number of its rows.

    Args:
        path: CSV file.
        wanted: place in the folder without suffix, frames and text of each motion.

    Raises:
        UserError: it cannot be written.
    """
    rows = list(wanted)
    try:
        with atomic_path(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("file", "frames", "text"), *rows])
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name another --write_prompts") from error
    return len(rows)
