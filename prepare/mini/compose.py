"""Add composed motion, and many more wordings, to the training part of the `mini` data set.

    python -m lamp.prepare.mini.compose --data dataset/mini --out dataset/mini_composed

Two things at once, one after the other, again and again, faster, slower, shorter (`lamp.prepare.mini.composition`); the
captions of `lamp.prepare.mini.wording` for these and for the clips there were. Test and validation parts stay as they
are. Some pairs of actions are kept for a test of composition, `test_composed`, and never trained on.
"""

import argparse
import json
import random
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lamp.data.text import parse_captions
from lamp.prepare.mini.cmu import label_key
from lamp.prepare.mini.composition.bank import Bank, actions, acts_of
from lamp.prepare.mini.composition.recipes import Made, compose
from lamp.prepare.mini.tables import CMU_CAPTIONS
from lamp.prepare.mini.wording import caption, cmu_caption
from lamp.prepare.texts import caption_line, mirror_caption
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable, read_json, write_json
from lamp.utils.kinematics.features import canonicalize, extract_features
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.scores.following.sentences import SHIPPED, read_sentences
from lamp.utils.workers import worker_pool

REPORT_FILE = "composed.json"
CAPTIONS, FURTHER = 6, 4
"""Captions of a composed motion, and further ones of a clip."""
SHARES = {"mini": 0.42, "more": 0.18, "composed": 0.40}
"""How much of training the clips of before, further sources and composed motion take."""
RESERVED = (
    {"run", "wave-both"},
    {"walk-back", "hold-up-left"},
    {"walk-back", "hold-up-right"},
    {"bow", "kick"},
    {"walk-turn-left", "wave-left"},
    {"walk-turn-right", "wave-right"},
)
"""Pairs of actions that are tested on and never trained on."""
PART = 100
"""Motions that one process makes at a time."""


def make(part: int, root: Path, seed: int, count: int) -> list[Made]:
    """Some composed motions; the same part and seed give the same."""
    bank, rng = Bank(root, "train"), random.Random(f"{seed} {part}")
    made: list[Made] = []
    while len(made) < count:
        motion = compose(bank, rng)
        if motion is not None:
            made.append(motion)
    return made


def features_of(joints: np.ndarray) -> np.ndarray:
    """Features (T, 263) of joints (T + 1, 22, 3)."""
    tensor = torch.from_numpy(joints).double()
    canonical = canonicalize(tensor, HUMANML3D, tensor.new_tensor(HUMANML3D.bone_lengths))
    return extract_features(canonical, HUMANML3D, repair_turns=True).float().numpy()


def captions_of(made: Made, rng: random.Random) -> list[str]:
    """Captions of a composed motion, all different."""
    measures = made.measures if made.kind in ("single", "repeated") else None
    found = dict.fromkeys(caption(made.kind, made.acts, rng, "train", measures) for _ in range(3 * CAPTIONS))
    return [text for text in found if _plain(text) not in _asked()][:CAPTIONS]


@cache
def _asked() -> frozenset[str]:
    """The sentences of the benchmark of following, which nobody may train on."""
    return frozenset(_plain(sentence.text) for sentence in read_sentences(SHIPPED))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", text.lower()).strip()


def is_reserved(made: Made) -> bool:
    """Whether a motion shows a pair that is tested on."""
    names = set(actions(made.acts).split("+"))
    return any(pair <= names for pair in RESERVED)


def compose_dataset(root: Path, out: Path, count: int, seed: int, workers: int) -> dict[str, int]:
    """Write the data set of `root` with `count` composed motions to `out`, and return how many of each kind.

    Raises:
        UserError: `root` is no data set with labels, or `out` holds something else.
    """
    check_replaceable(out, REPORT_FILE)
    if not (root / "labels.json").is_file():
        raise UserError(f"{root} has no labels.json; build it with `build_dataset --preset mini` first")
    labels: dict[str, str] = read_json(root / "labels.json")
    weights: dict[str, float] = read_json(root / "weights.json")
    with atomic_folder(out) as folder:
        shutil.copytree(root, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".cache", "new_joints"))
        kinds: Counter[str] = Counter()
        train, test, texts = (root / "train.txt").read_text(encoding="utf-8").split(), list[str](), {}
        groups = {name: "more" if labels.get(name, "").startswith("more_") else "mini" for name in train}
        for number, made in enumerate(_all_made(root, count, seed, workers)):
            name, rng = f"composed_{number:05d}", random.Random(f"{seed} caption {number}")
            np.save(folder / "new_joint_vecs" / f"{name}.npy", features_of(made.joints))
            texts[name] = captions_of(made, rng)
            labels[name] = f"{made.kind}:{actions(made.acts)}"
            kinds[made.kind] += 1
            if is_reserved(made):
                test.append(name)
            else:
                groups[name] = "composed"
        further = {name: _further(folder, name, labels, seed) for name in train}
        _write_texts(folder, texts, further)
        train = list(groups)
        (folder / "train.txt").write_text("".join(f"{name}\n" for name in train), encoding="utf-8")
        (folder / "test_composed.txt").write_text("".join(f"{name}\n" for name in test), encoding="utf-8")
        write_json(folder / "labels.json", labels)
        write_json(folder / "weights.json", weights | balanced(groups, labels, weights))
        write_json(folder / REPORT_FILE, dict(kinds) | {"train": len(train), "test_composed": len(test)})
    return dict(kinds)


def balanced(groups: dict[str, str], labels: dict[str, str], weights: dict[str, float]) -> dict[str, float]:
    """Sampling weights by which each group takes its share, labels within it as before."""
    counts = Counter(labels[name] for name in groups)
    raw = {name: weights.get(name, counts[labels[name]] ** -0.6) for name in groups}
    totals: Counter[str] = Counter()
    for name, group in groups.items():
        totals[group] += raw[name]  # type: ignore[assignment]
    scale = {group: SHARES[group] * len(groups) / total for group, total in totals.items()}
    return {name: round(raw[name] * scale[group], 6) for name, group in groups.items()}


def _all_made(root: Path, count: int, seed: int, workers: int) -> Iterator[Made]:
    parts = range(-(-count // PART))
    work = partial(make, root=root, seed=seed, count=PART)
    with worker_pool(workers) as pool:
        found = (made for part in pool.map(work, parts) for made in part)
        for _, made in zip(range(count), tqdm(found, total=count, unit="motion", desc="composing")):
            yield made


def _further(folder: Path, name: str, labels: dict[str, str], seed: int) -> list[str]:
    """Further captions of a clip whose label says what it shows; none that it has already."""
    rng = random.Random(f"{seed} further {name}")
    found = dict.fromkeys(further_captions(labels.get(name, ""), rng, FURTHER))
    if not found:
        return []
    known = {c.text for c in parse_captions((folder / "texts" / f"{name}.txt").read_text(encoding="utf-8")).captions}
    return [text for text in found if text not in known and _plain(text) not in _asked()]


def further_captions(label: str, rng: random.Random, count: int) -> list[str]:
    """`count` captions by a clip's label, the same one twice at times; none where the label has no wordings."""
    acts = acts_of(label)
    cmu = _cmu_labels().get(label.removesuffix("_mirrored"))

    def draw() -> str:
        if cmu is not None and (not acts or rng.random() < 0.5):
            text = cmu_caption(cmu, rng)
            return mirror_caption(text) if label.endswith("_mirrored") else text
        return caption("single" if len(acts) == 1 else "in_order", acts, rng)

    return [draw() for _ in range(count)] if acts or cmu is not None else []


@cache
def _cmu_labels() -> dict[str, str]:
    return {label_key(label): label for label in CMU_CAPTIONS}


def _write_texts(folder: Path, new: dict[str, list[str]], further: dict[str, list[str]]) -> None:
    """Captions of composed motions, and further ones of clips; without parts of speech, which only evaluators read."""
    for name, texts in (new | further).items():
        lines = "".join(caption_line(text, " ".join(f"{word}/X" for word in text.split())) + "\n" for text in texts)
        path = folder / "texts" / f"{name}.txt"
        path.write_text((_kept(path.read_text(encoding="utf-8")) if name in further else "") + lines, encoding="utf-8")


def _kept(lines: str) -> str:
    """The lines of a text file without sentences of the benchmark, unless it has no others."""
    kept = [line for line in lines.splitlines(keepends=True) if _plain(line.split("#")[0]) not in _asked()]
    return "".join(kept) or lines


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("dataset/mini"), help="data set with labels and joints")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, replaced whole")
    parser.add_argument("--count", type=int, default=8000, help="composed motions")
    parser.add_argument("--seed", type=int, default=0, help="of all choices")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    return parser.parse_args(argv)


@main_with_errors
def main() -> None:
    """Compose and print how many of each kind there are."""
    args = parse_arguments(sys.argv[1:])
    if args.count < 1:
        raise UserError(f"--count {args.count} must be at least 1")
    kinds = compose_dataset(args.data, args.out, args.count, args.seed, args.workers)
    print(json.dumps(kinds, indent=2))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
