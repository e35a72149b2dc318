"""Check a data folder: is everything there, does it fit together, is it the published data?

    python -m lamp.prepare.check_data --dataset_name t2m
    python -m lamp.prepare.check_data --dataset_name kit --data_root /data/KIT-ML

Exit code 0 if nothing was found, 1 with findings, 2 if the folder cannot be used at all. Notes are no findings.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from lamp.data.cache import MotionCache, open_cache, shorten
from lamp.data.loaders import Stats, load_stats
from lamp.data.spec import DatasetSpec, get_spec, is_sharded
from lamp.utils.errors import UserError, brief, main_with_errors
from lamp.utils.files import read_json
from lamp.utils.kinematics.features import features_to_joints, normalization_std
from lamp.utils.reading import numbers, read_names, read_npy, reading

# Motions published: all, then the splits; KIT-ML's as remembered. What the folder's own files say is used, not these.
PUBLISHED = {
    "t2m": {"all": 29_228, "train": 23_384, "val": 1_460, "test": 4_384},
    "kit": {"all": 6_018, "train": 4_888, "val": 300, "test": 830},
}
# Published with NaN, HumanML3D's own notebook says so; nothing to be mended by a user.
_PUBLISHED_BROKEN = {"t2m": ("007975", "M007975")}
BUILD_STATE = "build_state.json"
"""Where prepare.build_humanml3d keeps its options, and whether it finished."""
_SPLITS = ("train", "val", "test", "train_val", "all")
# Greatest accepted distance of the data's mean and std from the files', in units of the std.
_STATS_TOLERANCE = 0.05
_LEAST_STD = 1e-4
"""A std below this is none, see `lamp.prepare.write_dataset`."""
# Greatest accepted distance of joint files from the features, as a part of the mean root height.
_JOINT_TOLERANCE = 2e-3
# The lowest point of a clip is the floor in this format: greatest accepted depth, as a part of the mean root height.
_FLOOR_TOLERANCE = 0.05


@dataclass
class Report:
    """What is printed: facts, notes that need no action, and findings."""

    facts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def fact(self, name: str, text: str) -> None:
        """Add a line of the table."""
        self.facts.append(f"{name:<11}{text}")

    def __str__(self) -> str:
        lines = list(self.facts)
        lines += [f"{'note':<11}{text}" for text in self.notes]
        lines += [f"{'FINDING':<11}{text}" for text in self.findings]
        return "\n".join([*lines, f"{len(self.findings)} findings" if self.findings else "nothing wrong was found"])


def check_data(spec: DatasetSpec, *, compare: Stats | None = None, joint_clips: int = 200) -> Report:
    """Check a data folder.

    Args:
        spec: data set.
        compare: other statistics to compare the folder's with.
        joint_clips: number of clips whose joint files are compared with the features.

    Raises:
        UserError: there is no usable motion.
    """
    if is_sharded(spec):
        raise UserError(f"{spec.root} is a folder of shards; check the data folder that they were made of")
    report = Report()
    cache = open_cache(spec)
    report.fact("data set", f"{spec.name} in {spec.root}")
    _check_build(spec, report)
    _check_motions(spec, cache, report)
    _check_splits(spec, cache, report)
    _check_captions(spec, cache, report)
    _check_text_files(spec, report)
    _check_joints(spec, cache, report, joint_clips)
    _check_stats(spec, cache, report, compare)
    return report


def _check_build(spec: DatasetSpec, report: Report) -> None:
    state = spec.root / BUILD_STATE
    if not state.is_file():
        return
    with reading(state, "state of a build"):
        whole = read_json(state)["complete"]
    if not whole:
        report.findings.append("lamp.prepare.build_humanml3d did not finish here; run the same command again")


def _check_motions(spec: DatasetSpec, cache: MotionCache, report: Report) -> None:
    hours = len(cache.frames) / spec.fps / 3600
    lengths = f"{cache.lengths.min()} to {cache.lengths.max()} frames"
    report.fact("motions", f"{len(cache.names):,} of {spec.feature_dim} features, {lengths}, {hours:.2f} h")
    known = [f"{name}.npy" for name in _PUBLISHED_BROKEN.get(spec.name, ())]
    for kind, found in cache.problems.items():
        if set(found) <= set(known):
            report.notes.append(f"{len(found):,} {kind}, as in the published data: {shorten(found)}")
        else:
            report.findings.append(f"{len(found):,} {kind}: {shorten(found)}")
    outside = int(((cache.lengths < spec.min_frames) | (cache.lengths >= spec.frame_limit)).sum())
    if outside:
        limits = f"{spec.min_frames} to {spec.frame_limit - 1}"
        report.notes.append(f"{outside:,} motions are not of {limits} frames; text models leave them out as a whole")
    sunk = [name for name in cache.names if _is_sunk(cache.motion(name), spec)]
    if sunk:
        report.findings.append(f"{len(sunk):,} motions go through the floor or stand on their head: {shorten(sunk)}")


def _is_sunk(motion: np.ndarray, spec: DatasetSpec) -> bool:
    heights = motion[:, spec.layout.positions][:, 1::3]
    return bool(heights.min() < -_FLOOR_TOLERANCE * np.abs(motion[:, spec.layout.root_height]).mean())


def _check_splits(spec: DatasetSpec, cache: MotionCache, report: Report) -> None:
    counts, listed = [], {}
    for split in _SPLITS:
        path = spec.root / f"{split}.txt"
        if not path.is_file():
            if split != "all":
                report.findings.append(f"{path.name} is missing")
            continue
        try:
            listed[split] = read_names(path)
        except UserError as error:
            report.findings.append(str(error))
            continue
        counts.append(f"{split} {len(listed[split]):,}")
        gone = [name for name in listed[split] if name not in cache.rows]
        if not set(gone) <= set(_PUBLISHED_BROKEN.get(spec.name, ())):
            report.findings.append(f"{len(gone):,} clips of {path.name} have no usable motion: {shorten(gone)}")
    report.fact("splits", ", ".join(counts))
    if spec.name in PUBLISHED:
        lengths = {split: len(names) for split, names in listed.items()}
        files = sum(not file.name.startswith(".") for file in spec.motion_folder.glob("*.npy"))
        report.fact("published", compare_published(spec.name, {**lengths, "all": files}))
    for first, second in (("train", "test"), ("train", "val"), ("val", "test")):
        both = sorted(set(listed.get(first, ())) & set(listed.get(second, ())))
        if both:
            report.findings.append(f"{len(both):,} clips are both in {first} and in {second}: {shorten(both)}")


def compare_published(name: str, counts: Mapping[str, int]) -> str:
    """How many motions a folder and its splits have of the published ones, as a line of text.

    Args:
        name: a key of `PUBLISHED`.
        counts: "all" is the number of motions, the others are of split files; a missing one counts as 0.
    """
    published = PUBLISHED[name]
    parts = [f"{split} {counts.get(split, 0):,} of {number:,}" for split, number in published.items()]
    same = all(counts.get(split, 0) == number for split, number in published.items())
    verdict = "the same" if same else "not the same; the folder's own files count"
    remembered = " (as remembered)" if name == "kit" else ""
    return f"{', '.join(parts)}{remembered}: {verdict}"


def _check_captions(spec: DatasetSpec, cache: MotionCache, report: Report) -> None:
    captions = [caption for entries in cache.captions.values() for caption in entries]
    parts = sum(not caption.whole for caption in captions)
    report.fact("texts", f"{len(cache.captions):,} files, {len(captions):,} captions, {parts:,} of them of a part")
    missing = [name for name in cache.names if name not in cache.captions]
    empty = [name for name, entries in cache.captions.items() if not entries]
    untagged = [name for name, entries in cache.captions.items() if any(not caption.tokens for caption in entries)]
    short = [
        name
        for name in cache.names
        for caption in cache.captions.get(name, ())
        if not caption.whole and not _usable_part(spec, caption.frames(int(cache.lengths[cache.rows[name]]), spec.fps))
    ]
    stray = [name for name in cache.captions if name not in cache.rows]
    for found, text in (
        (missing, "motions have no text file"),
        (empty, "text files have no usable caption"),
        (untagged, "text files have captions without word tags, which the evaluators need"),
    ):
        if found:
            report.findings.append(f"{len(found):,} {text}: {shorten(found)}")
    for found, text in (
        (short, f"captions speak of parts not of {spec.min_frames} to {spec.frame_limit - 1} frames and are left out"),
        (stray, "text files have no usable motion"),
    ):
        if found:
            report.notes.append(f"{len(found):,} {text}: {shorten(found)}")


def _check_text_files(spec: DatasetSpec, report: Report) -> None:
    """Text files that readers take for something else than what was meant: another encoding, times that are nan."""
    foreign, half, absent = [], [], 0
    for path in sorted(spec.text_folder.glob("*.txt")):
        data = path.read_bytes()
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            foreign.append(path.stem)
        for line in data.lower().split(b"\n"):
            given = [time.strip() not in (b"nan", b"-nan", b"+nan") for time in line.split(b"#")[2:4]]
            half += [path.stem] if len(given) == 2 and given[0] != given[1] else []
            absent += len(given) == 2 and not any(given)
    if foreign:
        report.findings.append(
            f"{len(foreign):,} text files are not UTF-8, their letters are lost; convert them: {shorten(foreign)}"
        )
    if half:
        report.findings.append(
            f"{len(half):,} captions have one time that is nan, which is read as 0; write both: {shorten(half)}"
        )
    if absent:
        report.notes.append(f"{absent:,} captions have times that are nan, read as those of the whole motion")


def _usable_part(spec: DatasetSpec, part: slice) -> bool:
    return spec.min_frames <= part.stop - part.start < spec.frame_limit


def _check_joints(spec: DatasetSpec, cache: MotionCache, report: Report, limit: int) -> None:
    if not spec.joint_folder.is_dir():
        report.notes.append(f"{spec.joint_folder} is missing; training does not need it")
        return
    present = {file.stem for file in spec.joint_folder.glob("*.npy")}
    missing = [name for name in cache.names if name not in present]
    if missing:
        report.findings.append(f"{len(missing):,} motions have no joint file: {shorten(missing)}")
    candidates = [name for name in cache.names if name in present]
    chosen = (
        [candidates[i] for i in np.unique(np.linspace(0, len(candidates) - 1, limit).astype(int))] if present else []
    )
    worst, differing = 0.0, []
    for name in chosen:
        try:
            joints = numbers(read_npy(spec.joint_folder / f"{name}.npy"), name)
        except UserError as error:
            differing.append(f"{name} cannot be read ({brief(error)})")
            continue
        recovered = features_to_joints(torch.tensor(cache.motion(name))).numpy()
        if joints.shape != recovered.shape:
            differing.append(f"{name} has shape {joints.shape} instead of {recovered.shape}")
            continue
        distance = float(np.abs(joints - recovered).max() / np.abs(recovered[:, 0, 1]).mean())
        worst = max(worst, distance)
        if not distance <= _JOINT_TOLERANCE:
            differing.append(f"{name} by {distance:.1%} of the root's height")
    report.fact(
        "joints", f"{len(present):,} files; {len(chosen):,} compared with the features, largest distance {worst:.2%}"
    )
    if differing:
        report.findings.append(f"{len(differing):,} joint files differ from the features: {shorten(differing, 3)}")


def _check_stats(spec: DatasetSpec, cache: MotionCache, report: Report, compare: Stats | None) -> None:
    try:
        stats = load_stats(spec)
    except UserError as error:
        report.findings.append(str(error))
        return
    own, names = measure_stats(cache, spec, cache.names), "all motions"
    train = spec.root / "train.txt"
    if not stats_distance(own, stats) <= _STATS_TOLERANCE and train.is_file():
        # Data sets other than the published ones may take them from the training split, as is sounder.
        chosen = [name for name in read_names(train) if name in cache.rows]
        own, names = measure_stats(cache, spec, chosen or cache.names), "training motions"
    _compare_stats(report, own, stats, names, "Mean.npy and Std.npy")
    if compare is not None:
        _compare_stats(report, stats, compare, "Mean.npy and Std.npy", "the files of --compare")


def measure_stats(cache: MotionCache, spec: DatasetSpec, names: Sequence[str]) -> Stats:
    """Mean and std of the clips' frames in the format's way, in one pass of float64 sums about the first frame."""
    shift = cache.motion(names[0])[0].astype(np.float64)
    total, squares, count = np.zeros_like(shift), np.zeros_like(shift), 0
    for name in names:
        frames = cache.motion(name) - shift
        total += frames.sum(0)
        squares += np.einsum("td,td->d", frames, frames)
        count += len(frames)
    mean = total / count
    std = torch.from_numpy(np.sqrt(np.maximum(squares / count - mean**2, 0.0)))
    return Stats(torch.from_numpy(mean + shift).float(), normalization_std(std, spec.layout).float())


def stats_distance(a: Stats, b: Stats) -> float:
    """Greatest distance of the means and of the stds in units of the latter's std.

    A feature that never changes has no std; files have a small number for it, lest anything be divided by 0.
    """
    a_std, b_std = a.std.clamp_min(_LEAST_STD), b.std.clamp_min(_LEAST_STD)
    return float(max(((a.mean - b.mean).abs() / b_std).max(), (a_std / b_std - 1).abs().max()))


def _compare_stats(report: Report, a: Stats, b: Stats, name_a: str, name_b: str) -> None:
    distance = stats_distance(a, b)
    report.fact("statistics", f"{name_a} against {name_b}: at most {distance:.3f} standard deviations apart")
    if not distance <= _STATS_TOLERANCE:
        report.findings.append(f"{name_a} and {name_b} do not agree; one of them is of other data")


def load_stats_files(paths: Sequence[str | Path], spec: DatasetSpec) -> Stats:
    """A mean and a std file.

    Raises:
        UserError: one cannot be read or is of another format.
    """
    values = []
    for path in map(Path, paths):
        try:
            value = numbers(read_npy(path), str(path))
        except (UserError, OSError) as error:
            raise UserError(f"{path} cannot be read ({brief(error)}); give a Mean.npy and a Std.npy") from error
        if value.shape != (spec.feature_dim,):
            raise UserError(f"{path} has shape {value.shape}, not ({spec.feature_dim},); give other files")
        values.append(torch.from_numpy(value.astype(np.float32)))
    return Stats(*values)


@main_with_errors
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_name", default="t2m", help="t2m, kit, mini, or a name of your own")
    parser.add_argument("--data_root", help="folder, if not the usual one")
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("MEAN", "STD"),
        help="published Mean.npy and Std.npy to compare with the folder's",
    )
    parser.add_argument("--joint_clips", type=int, default=200, help="clips whose joint files are compared")
    options = parser.parse_args()
    spec = get_spec(options.dataset_name, options.data_root)
    compare = load_stats_files(options.compare, spec) if options.compare else None
    report = check_data(spec, compare=compare, joint_clips=options.joint_clips)
    print(report)
    raise SystemExit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
