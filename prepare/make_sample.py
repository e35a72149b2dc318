"""Make a small data set of procedural motion in the HumanML3D layout, to try the code without the published data.

    python -m lamp.prepare.make_sample --out dataset/sample --clips 48 --seed 0
    python train_vq.py --dataset_name mini --data_root dataset/sample ...

Clips with the prefix M are mirror images. `labels.json` names each clip's action.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lamp.data.text import Caption, format_caption
from lamp.prepare.sample import motion
from lamp.prepare.sample.motion import Track
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, check_replaceable, write_json
from lamp.utils.kinematics.features import (
    FeatureLayout,
    features_to_joints,
    joints_to_features,
    mirror_joints,
    normalization_std,
)
from lamp.utils.kinematics.skeleton import HUMANML3D, KIT, Skeleton

SKELETONS = {"humanml3d": HUMANML3D, "kit": KIT}
# Parts of the originals; the rest is the training split.
_VAL, _TEST = 0.1, 0.2
# One clip in so many has a caption that speaks of its first half only.
_PART_EVERY = 6

_SIDES = ("left", "right")
_SUBJECTS = ("a person", "a man", "someone", "the person")

# Lemma and part of speech (spaCy's tags) of the words in the captions.
_TAGS = {
    "a": "a/DET", "the": "the/DET", "both": "both/DET", "his": "his/PRON", "their": "their/PRON", "one": "one/NUM",
    "person": "person/NOUN", "man": "man/NOUN", "someone": "someone/PRON", "walks": "walk/VERB", "walking": "walk/VERB",
    "runs": "run/VERB", "running": "run/VERB", "jogs": "jog/VERB", "turns": "turn/VERB", "turning": "turn/VERB",
    "waves": "wave/VERB", "waving": "wave/VERB", "raises": "raise/VERB", "lifts": "lift/VERB", "bows": "bow/VERB",
    "bends": "bend/VERB", "kicks": "kick/VERB", "squats": "squat/VERB", "crouches": "crouch/VERB",
    "jumps": "jump/VERB", "hops": "hop/VERB", "stands": "stand/VERB", "stays": "stay/VERB", "standing": "stand/VERB",
    "hand": "hand/NOUN", "hands": "hand/NOUN", "arm": "arm/NOUN", "arms": "arm/NOUN", "leg": "leg/NOUN",
    "foot": "foot/NOUN", "head": "head/NOUN", "circle": "circle/NOUN", "place": "place/NOUN", "times": "time/NOUN",
    "knees": "knee/NOUN", "air": "air/NOUN", "left": "left/ADJ", "right": "right/ADJ", "still": "still/ADV",
    "forward": "forward/ADV", "slowly": "slowly/ADV", "quickly": "quickly/ADV", "down": "down/ADV", "up": "up/ADV",
    "straight": "straight/ADV", "back": "back/ADV", "then": "then/ADV", "twice": "twice/ADV", "once": "once/ADV",
    "to": "to/ADP", "in": "in/ADP", "with": "with/ADP", "above": "above/ADP", "while": "while/SCONJ",
    "and": "and/CCONJ", "fast": "fast/ADV", "three": "three/NUM", "several": "several/ADJ", "on": "on/ADP",
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """A clip before it has an id: its motion, a label and the ends of sentences about it."""

    track: Track
    label: str
    sentences: tuple[str, ...]


def make_sample(
    out: str | Path,
    clips: int = 48,
    *,
    seed: int = 0,
    skeleton: str = "humanml3d",
    frames: tuple[int, int] = (48, 160),
) -> Path:
    """Write a data set folder, replacing an earlier one.

    Args:
        out: folder.
        clips: number of clips; every second is the mirror image of the one before it.
        seed: of all random choices.
        skeleton: one of `SKELETONS`.
        frames: shortest and longest clip.

    Returns:
        The folder.
    """
    target, form = Path(out), SKELETONS[skeleton]
    rng = np.random.default_rng(seed)
    labels: dict[str, str] = {}
    features: dict[str, torch.Tensor] = {}
    check_replaceable(target, "labels.json")
    with atomic_folder(target) as folder:
        for name in ("new_joint_vecs", "new_joints", "texts"):
            (folder / name).mkdir()
        for i in range(clips):
            name = f"M{i // 2:06d}" if i % 2 else f"{i // 2:06d}"
            if not i % 2:
                clip = _make_clip(i // 2, int(rng.integers(frames[0], frames[1] + 1)), rng, form.fps)
                joints = motion.to_joints(clip.track, form)
                captions = _captions(clip, with_part=i // 2 % _PART_EVERY == _PART_EVERY - 1, rng=rng, fps=form.fps)
                labels[name] = clip.label
            else:
                joints = mirror_joints(joints, form)
                captions = [_mirror_caption(caption) for caption in captions]
                labels[name] = _mirror_text(clip.label)
            features[name] = joints_to_features(joints, form, repair_turns=True)
            np.save(folder / "new_joint_vecs" / f"{name}.npy", features[name].numpy())
            np.save(folder / "new_joints" / f"{name}.npy", features_to_joints(features[name]).numpy())
            lines = "".join(f"{format_caption(caption)}\n" for caption in captions)
            (folder / "texts" / f"{name}.txt").write_text(lines, encoding="utf-8")
        _write_stats(folder, torch.cat(list(features.values())), form)
        _write_splits(folder, list(labels))
        write_json(folder / "labels.json", labels)
    return target


def _make_clip(index: int, num_frames: int, rng: np.random.Generator, fps: float) -> Clip:
    """Clip `index`, which decides the action; one frame more than its features will have."""
    actions: tuple[Callable[..., Clip], ...] = (
        _walk, _wave, _run, _raise, _turn, _kick, _squat, _bow, _jump, _stand,
    )  # fmt: skip
    round_number, action = divmod(index, len(actions))
    return actions[action](num_frames + 1, rng, fps, _SIDES[round_number % 2])


def _walk(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    manner, speed = ("slowly", rng.uniform(0.5, 0.7)) if side == "left" else ("quickly", rng.uniform(1.4, 1.7))
    track = motion.gait(num_frames, rng, fps, speed=speed, turn=0.0, run=False)
    sentences = (f"walks forward {manner}.", f"is walking straight {manner}.", f"{manner} walks forward.")
    return Clip(track, f"walk {manner}", sentences)


def _turn(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    turn = rng.uniform(0.5, 0.9) * (1 if side == "left" else -1)
    track = motion.gait(num_frames, rng, fps, speed=rng.uniform(0.9, 1.2), turn=turn, run=False)
    sentences = (f"walks in a circle to the {side}.", f"walks and turns {side}.", f"is turning {side} while walking.")
    return Clip(track, f"turn {side}", sentences)


def _run(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    turn = 0.0 if side == "left" else rng.uniform(0.5, 0.8)
    track = motion.gait(num_frames, rng, fps, speed=rng.uniform(2.4, 3.0), turn=turn, run=True)
    if turn:
        return Clip(track, "run left", ("runs in a circle to the left.", "jogs and turns left.", "runs to the left."))
    return Clip(track, "run forward", ("runs forward.", "jogs straight forward.", "is running fast."))


def _wave(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    beat = np.sin(2 * np.pi * rng.uniform(1.0, 1.6) * np.arange(num_frames) / fps)
    track = motion.standing(num_frames, rng, fps)
    track = motion.wave(track, motion.pulses(num_frames, 1, hold=0.6), beat, (_SIDES.index(side),))
    sentences = (f"waves with the {side} hand.", f"raises the {side} hand and waves.", f"is waving his {side} arm.")
    return Clip(track, f"wave {side}", sentences)


def _raise(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    track, pulse = motion.standing(num_frames, rng, fps), motion.pulses(num_frames, 1, hold=0.4)
    if side == "left":
        sentences = ("raises both arms above the head.", "lifts both arms up.", "raises their hands and stays still.")
        return Clip(motion.raise_arms(track, pulse, (0, 1)), "raise both", sentences)
    sentences = ("raises the right arm above the head.", "lifts the right arm up.", "raises one arm, the right.")
    return Clip(motion.raise_arms(track, pulse, (1,)), "raise right", sentences)


def _kick(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    count = max(1, round(num_frames / fps / 2.5))
    pulse = np.clip(motion.pulses(num_frames, 2 * count, hold=0.0) * _every_second(num_frames, 2 * count), 0, 1)
    track = motion.kick(motion.standing(num_frames, rng, fps), pulse, _SIDES.index(side))
    sentences = (
        f"kicks with the {side} foot.",
        f"kicks forward with the {side} leg.",
        f"lifts the {side} leg and kicks.",
    )
    return Clip(track, f"kick {side}", sentences)


def _squat(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    count = max(1, round(num_frames / fps / 2.5))
    track = motion.squat(motion.standing(num_frames, rng, fps), motion.pulses(num_frames, count, hold=0.1))
    return Clip(track, "squat", ("squats down and stands up.", "bends the knees and crouches.", "squats slowly."))


def _bow(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    track = motion.bow(motion.standing(num_frames, rng, fps), motion.pulses(num_frames, 1), rng.uniform(0.8, 1.2))
    return Clip(track, "bow", ("bows forward.", "bends forward and then stands straight.", "bows down slowly."))


def _jump(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    count = max(1, round(num_frames / fps / 1.4))
    part = np.arange(num_frames) / num_frames * count % 1.0
    track = motion.jump(motion.standing(num_frames, rng, fps), part, rng.uniform(0.2, 0.35))
    return Clip(track, "jump", ("jumps up.", "jumps in place several times.", "hops up and down on the place."))


def _stand(num_frames: int, rng: np.random.Generator, fps: float, side: str) -> Clip:
    track = motion.standing(num_frames, rng, fps)
    return Clip(track, "stand", ("stands still.", "is standing in place.", "stays in place with arms down."))


def _every_second(num_frames: int, count: int) -> np.ndarray:
    """(T,) 1 in the first, third, ... of `count` equal parts and 0 in the others."""
    return 1.0 - np.arange(num_frames) * count // num_frames % 2


def _captions(clip: Clip, *, with_part: bool, rng: np.random.Generator, fps: float) -> list[Caption]:
    """A caption of each sentence, and if asked for one more of the clip's first half."""
    texts = [f"{rng.choice(_SUBJECTS)} {sentence}" for sentence in clip.sentences]
    captions = [Caption(text, _tag(text)) for text in texts]
    if with_part:
        half = round((len(clip.track.yaw) - 1) / 2 / fps, 1)
        captions.append(Caption(texts[0], _tag(texts[0]), 0.0, half))
    return captions


def _tag(text: str) -> list[str]:
    """`word/POS` of each word of a caption."""
    words = text.replace(".", "").replace(",", "").split()
    return [_TAGS.get(word, "be/AUX" if word == "is" else f"{word}/X") for word in words]


def _mirror_text(text: str) -> str:
    return re.sub(r"\b(left|right)\b", lambda match: _SIDES[1 - _SIDES.index(match[0])], text)


def _mirror_caption(caption: Caption) -> Caption:
    text = _mirror_text(caption.text)
    return Caption(text, _tag(text), caption.start, caption.end)


def _write_stats(folder: Path, frames: torch.Tensor, skeleton: Skeleton) -> None:
    """Mean.npy and Std.npy of all frames (F, D)."""
    std = normalization_std(frames.std(0, correction=0), FeatureLayout(skeleton.num_joints)).clamp_min(1e-4)
    np.save(folder / "Mean.npy", frames.mean(0).numpy())
    np.save(folder / "Std.npy", std.numpy())


def _write_splits(folder: Path, names: Sequence[str]) -> None:
    """Split files; a mirrored clip follows its original. Too few clips for three parts are in all of them."""
    originals = [name for name in names if not name.startswith("M")]
    order = np.random.default_rng(0).permutation(len(originals))
    val, test = (max(round(share * len(order)), 1) for share in (_VAL, _TEST))
    chosen = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
    if len(order) < len(chosen):
        chosen = dict.fromkeys(chosen, order)
    splits = {
        split: [name for name in names if int(name.lstrip("M")) in set(ids.tolist())] for split, ids in chosen.items()
    }
    splits["train_val"] = [name for name in names if name in {*splits["train"], *splits["val"]}]
    splits["all"] = list(names)
    for split, ids in splits.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")


@main_with_errors
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="dataset/sample", help="folder to write; an earlier sample there is replaced")
    parser.add_argument("--clips", type=int, default=48, help="number of clips, mirror images included")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices")
    parser.add_argument("--skeleton", choices=sorted(SKELETONS), default="humanml3d", help="joints and features")
    parser.add_argument("--frames", type=int, nargs=2, default=(48, 160), metavar=("MIN", "MAX"), help="clip lengths")
    options = parser.parse_args()
    shortest, longest = options.frames
    if options.clips < 2 or not 8 <= shortest <= longest:
        raise UserError("--clips must be at least 2, and --frames two numbers, the smaller first and at least 8")
    out = Path(options.out)
    if out.exists() and any(out.iterdir()) and not (out / "labels.json").is_file():
        raise UserError(f"{out} exists and is no earlier sample; name another folder with --out")
    make_sample(out, options.clips, seed=options.seed, skeleton=options.skeleton, frames=(shortest, longest))
    print(f"wrote {options.clips} clips of procedural motion to {out}")


if __name__ == "__main__":
    main()
