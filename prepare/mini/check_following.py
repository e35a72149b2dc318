"""Check the predicates of `lamp.utils.scores.following` on real clips: what of the action do they miss, what else pass?

    python -m lamp.prepare.mini.check_following --motions bandai_namco cmu AnimatedDrawings --accad accad/bvh \
        --skillmimic SkillMimic --g1_moves g1-moves --cmu_expmap cmu_expmap --deepmimic pybullet-3.2.7 --out check.md

`--accad` and the flags after it are those of `build_dataset --preset mini`; their clips are called `accad-<name>`.

`following_clips.json` says by file names what clips show, in their first second to last or in a span of frames
("name:80-113"), and what they may show besides, of which nothing is counted. Long clips are cut into parts of 196
frames at most. Of each predicate the table has

    missed: share of the clips of the action that fail,
    passed by others: share of all other clips that pass,
    worst: the other action that passes most often, among those with five clips or more.

For `then` clips are put one after the other, for `both` the arms of one clip are put on the body of another one; the
others are the two clips alone, and for `then` the wrong order. Measures of real motion come below.
"""

import argparse
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from lamp.prepare.mini.more.sources import SOURCES, Source
from lamp.utils.capture.files import MOTION_SUFFIXES, read_motion
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path, files_below, read_json
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.reading import reading
from lamp.utils.scores.following.body import SHORTEST, Body, standard
from lamp.utils.scores.following.score import PHYSICS
from lamp.utils.scores.following.tests import Test, check_test, passes
from lamp.utils.scores.physics import MEASURES

TABLE = Path(__file__).with_name("following_clips.json")
FEWEST = 5
"""Clips from which on an action is named as the worst."""
PAIRS, LONG = 40, 40
BLEND = 8
_ARMS = (13, 14, 16, 17, 18, 19, 20, 21)


@dataclass(frozen=True)
class Piece:
    """A real clip of at most 196 frames.

    Attributes:
        name: of its file, with `:start-stop` or `_p<part>`.
        shows, may_show: actions.
        joints: (T, 22, 3) at standard size.
    """

    name: str
    shows: tuple[str, ...]
    may_show: tuple[str, ...]
    joints: np.ndarray

    @property
    def action(self) -> str:
        """What it shows first, or its name without the number of the take."""
        return self.shows[0] if self.shows else re.sub(r"(:.*|_p\d+|_\d+)+$", "", self.name)


def read_pieces(
    folders: Sequence[Path], more: Mapping[str, Path], clips: Sequence[dict[str, Any]], most: int
) -> list[Piece]:
    """The clips that the table knows, of each action `most` at most, evenly chosen.

    Args:
        folders: searched for captures and arrays of joints.
        more: folders of the sources of `lamp.prepare.mini.more`, by name; all their clips are taken.
        clips: what clips show, see `following_clips.json`.
        most: takes of an action.

    Raises:
        UserError: there are none.
    """
    takes: dict[str, list[Path]] = defaultdict(list)
    for path in (path for folder in folders for path in files_below(folder, *MOTION_SUFFIXES)):
        takes[re.sub(r"_\d{3}$", "", path.stem)].append(path)
    files = [(path.stem, path, None) for paths in takes.values() for path in _evenly(sorted(paths), most)]
    for source, folder in ((SOURCES[name], folder) for name, folder in more.items()):
        paths = files_below(folder, source.suffix)
        files += [(f"{source.name}-{source.clip_name(path.resolve())}", path, source) for path in paths]
    pieces: list[Piece] = []
    for name, path, source in tqdm(files, desc="reading", disable=None):
        if any(fnmatchcase(name, re.sub(r"(:.*|_p[^_]*)$", "", entry["files"])) for entry in clips):
            try:
                joints = _joints(path, source)
            except UserError as error:
                print(f"left out: {error}")
                continue
            pieces += [piece for piece in _pieces(name, joints, clips) if len(piece.joints) >= SHORTEST]
    if not pieces:
        raise UserError(f"--motions: none of the clips of {TABLE.name} is in {', '.join(map(str, folders))}")
    return pieces


def _joints(path: Path, source: Source | None) -> np.ndarray:
    """Joints (T, 22, 3) of a file, of a source or of any kind.

    Raises:
        UserError: it cannot be read.
    """
    if source is None:
        return read_motion(path).joints
    with reading(path, "motion"):
        return source.read(path).float().numpy()


def _evenly(paths: list[Path], most: int) -> list[Path]:
    return paths if len(paths) <= most else [paths[round(i)] for i in np.linspace(0, len(paths) - 1, most)]


def _pieces(name: str, joints: np.ndarray, clips: Sequence[dict[str, Any]]) -> Iterable[Piece]:
    """Spans that the table names, and the parts of the whole."""
    for entry in clips:
        file, mark, span = entry["files"].partition(":")
        if mark and file == name:
            start, stop = map(int, span.split("-"))
            yield _piece(f"{name}:{span}", entry, joints[start:stop])
    count = -(-len(joints) // MAX_FRAMES)
    for number, part in enumerate(np.array_split(joints, count)):
        full = f"{name}_p{number}" if count > 1 else name
        fits = (entry for entry in clips if any(fnmatchcase(one, entry["files"]) for one in (full, name)))
        if (entry := next(fits, None)) is not None:
            yield _piece(full, entry, part)


def _piece(name: str, entry: dict[str, Any], joints: np.ndarray) -> Piece:
    joints = standard(joints) if len(joints) >= SHORTEST else joints
    return Piece(name, tuple(entry["shows"]), tuple(entry["may_show"]), joints)


def check(test: Test, shows: Sequence[str], may_show: Sequence[str], pieces: Sequence[Piece]) -> str:
    """Cells of a row of the table."""
    own, others = [], defaultdict(list)
    for piece in pieces:
        if any(action in piece.shows for action in shows):
            own.append(passes(test, Body.of(piece.joints)))
        elif not _may(piece, shows, may_show):
            others[piece.action].append(passes(test, Body.of(piece.joints)))
    return _cells(own, others)


def _may(piece: Piece, shows: Sequence[str], may_show: Sequence[str]) -> bool:
    """Whether a clip is left out: it may show one of the actions, or shows one that is too close to them."""
    possible = any(fnmatchcase(action, pattern) for action in shows for pattern in piece.may_show)
    return possible or any(action in piece.shows for action in may_show)


def _cells(own: Sequence[bool], others: dict[str, list[bool]]) -> str:
    rest = [good for row in others.values() for good in row]
    shares = {name: float(np.mean(row)) for name, row in others.items() if len(row) >= FEWEST}
    worst = max(shares, key=lambda name: shares[name], default="")
    missed = f"{100 * (1 - np.mean(own)):.1f} % of {len(own)}" if own else "no clip"
    named = f"{worst} {100 * shares[worst]:.0f} %" if worst and shares[worst] else "-"
    return f"{missed} | {100 * float(np.mean(rest)):.1f} % of {len(rest)} | {named}"


def follow_on(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two motions (T, 22, 3) one after the other: the second goes on where the first ends and faces as it does."""
    turn = Body.of(first).heading[-1] - Body.of(second).heading[0]
    moved = _turned(second - second[0, 0] * [1, 0, 1], turn) + first[-1, 0] * [1, 0, 1]
    weight = (np.arange(1, BLEND + 1) / (BLEND + 1)).reshape(-1, 1, 1)
    between = first[-1] * (1 - weight) + moved[0] * weight
    return np.concatenate((first, between, moved))


def with_arms(body: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """The first motion (T, 22, 3) with the arms of the second, seen from the neck and turned as the body faces."""
    frames = min(len(body), len(arms))
    start = (len(arms) - frames) // 2  # hands are not up yet at the start of a take
    body, arms = body[:frames].copy(), arms[start : start + frames]
    turns = Body.of(body).heading - Body.of(arms).heading
    for frame in range(frames):
        seen = arms[frame, _ARMS] - arms[frame, 12]
        body[frame, _ARMS] = body[frame, 12] + _turned(seen, turns[frame])
    return body


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (..., 3) turned about Y; a positive angle turns to the left of who faces +z."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack((np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x), axis=-1)


def check_composed(entry: dict[str, Any], pieces: Sequence[Piece], seed: int) -> str:
    """Cells of a row of the table: pairs of clips, drawn at random, whose parts pass their own tests.

    What is asked is whether the composition is judged rightly; what the parts' own tests miss is in their rows.
    """
    rng, (test, how) = random.Random(seed), (entry["test"], entry["how"])
    parts = next(iter(test.values()))
    known = [[p.joints for p in pieces if action in p.shows and len(p.joints) >= LONG] for action in entry["clips"]]
    known = [[one for one in row if passes(part, Body.of(one))] for row, part in zip(known, parts)]
    if not all(known):
        return _cells([], {"none": [False]})
    own, others = [], defaultdict(list)
    for _ in range(PAIRS):
        first, second = (rng.choice(row) for row in known)
        join = follow_on if how == "then" else with_arms
        own.append(passes(test, Body.of(join(first, second))))
        alone = {"the first alone": first, "the second alone": second}
        wrong = {"the wrong order": follow_on(second, first)} if how == "then" else {}
        for name, joints in (alone | wrong).items():
            others[name].append(passes(test, Body.of(joints)))
    return _cells(own, others)


def real_physics(pieces: Sequence[Piece]) -> str:
    """Means of the measures that `eval_follow.py` has beside its table, over all clips."""
    values: dict[str, list[float]] = defaultdict(list)
    for piece in pieces:
        for name in PHYSICS:
            values[name].append(float(MEASURES[name](torch.from_numpy(piece.joints)[None], HUMANML3D)))
    return ", ".join(f"{name} {np.mean(row):.3g}" for name, row in values.items())


@main_with_errors
def main() -> None:
    """Clips to verdicts to a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, nargs="+", required=True, help="folders with motion files")
    for name, source in SOURCES.items():
        parser.add_argument(f"--{name}", type=Path, help=f"folder with {source.what} (searched)")
    parser.add_argument("--most", type=int, default=12, help="takes of each label at most")
    parser.add_argument("--out", type=Path, required=True, help="Markdown table to write")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs of clips that are composed")
    options = parser.parse_args()
    known = read_json(TABLE)
    for entry in (*known["checks"].values(), *known["composed"].values()):
        check_test(entry["test"])
    more = {name: folder for name in SOURCES if (folder := getattr(options, name)) is not None}
    pieces = read_pieces(options.motions, more, known["clips"], options.most)
    lines = ["| predicate | missed | passed by others | worst |", "| --- | --- | --- | --- |"]
    for name, entry in tqdm(known["checks"].items(), desc="checking", disable=None):
        lines.append(f"| {name} | {check(entry['test'], entry['shows'], entry['may_show'], pieces)} |")
    for name, entry in tqdm(known["composed"].items(), desc="composing", disable=None):
        lines.append(f"| {name} | {check_composed(entry, pieces, options.seed)} |")
    lines += ["", f"Real motion, {len(pieces)} clips: {real_physics(pieces)}"]
    print("\n".join(lines))
    with atomic_path(options.out) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
