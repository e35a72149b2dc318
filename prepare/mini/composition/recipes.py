"""Which motions are made of which, and what they then show."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lamp.prepare.mini.amounts import Measures
from lamp.prepare.mini.composition.bank import Bank, Clip
from lamp.prepare.mini.composition.motion import at_speed, join, sliding, to_and_fro
from lamp.prepare.mini.wording import Act
from lamp.utils.kinematics.arms import acting, held, smoothstep, stretched, through_body, with_arms
from lamp.utils.kinematics.foot_contact import clean_feet
from lamp.utils.kinematics.skeleton import HUMANML3D, MAX_FRAMES
from lamp.utils.scores.following.body import Body

FPS = HUMANML3D.fps
FADE = 6
"""Frames over which an arm goes from one clip's pose to the other's."""
LEGS = ("walk", "walk", "walk", "walk-back", "walk-turn", "walk-diagonal", "run", "side-step", "turn")
"""What legs do while arms do something else; walking comes most often."""
STILL = ("sit", "crouch", "kneel", "stand", "bow", "jump", "balance", "squat")
"""Postures that leave the arms free."""
HANDS = ("wave", "wave", "hold-up", "hold-up", "bye", "byebye", "punch", "drink", "phone", "guide", "wash-window")
ORDER = (
    *("walk", "walk", "walk", "run", "walk-back", "walk-turn", "wave", "raise-up", "bow", "bye", "punch", "kick"),
    *("jump", "squat", "sit", "turn", "pick-up", "stand", "dance", "guide", "throw", "crouch", "kneel", "get-up"),
)
REPEATED = ("bow", "raise-up", "jump", "squat", "throw")
"""Actions that a clip shows once; clips of punches show three to five, those of kicks one or two."""
TRAVEL = ("walk", "run", "walk-back", "walk-diagonal", "side-step", "dash")
"""Going on and on: these may be cut shorter anywhere."""
MOST_GAP = 0.30
"""Metres by which joints of two clips may differ on average where they are joined."""
MOST_SLIDE = 0.12
"""Metres a second by which a composed motion's carrying foot may slide more than its parts do."""


@dataclass(frozen=True)
class Made:
    """A composed motion.

    Attributes:
        kind: "single", "at_once", "in_order" or "repeated".
        acts: what it shows; of "at_once" the legs first.
        joints: (T, 22, 3).
        measures: what can be told of it in numbers.
        sources: names of the clips it was made of.
    """

    kind: str
    acts: tuple[Act, ...]
    joints: np.ndarray
    measures: Measures
    sources: tuple[str, ...]


def compose(bank: Bank, rng: random.Random) -> Made | None:
    """A motion made by one of the recipes; None if it turned out badly."""
    recipe = rng.choices([recipe for recipe, _ in RECIPES], [weight for _, weight in RECIPES])[0]
    made = recipe(bank, rng)
    if made is None or not 24 <= len(made.joints) - 1:
        return None
    made = replace(made, joints=made.joints[: MAX_FRAMES + 1])
    cleaned = made.joints
    if made.kind in ("in_order", "repeated"):
        cleaned = clean_feet(made.joints.astype(np.float64), FPS).astype(np.float32)
    speed = np.linalg.norm(np.diff(cleaned, axis=0), axis=-1).max() * FPS
    if speed > 12 or not np.isfinite(cleaned).all():
        return None
    return replace(made, joints=cleaned)


def at_once(bank: Bank, rng: random.Random) -> Made | None:
    """Legs and trunk of one clip, arms of another."""
    legs = _drawn(bank, rng, LEGS if rng.random() < 0.75 else STILL)
    hands = rng.choice(HANDS)
    source = "raise-up" if hands == "hold-up" else hands
    if legs is None or not bank.has(source):
        return None
    if legs.act.action == "walk" and len(legs.joints) > 100 and rng.random() < 0.5:
        legs = _shorter(legs, rng, 70)
    arms = bank.draw(rng, source)
    sides = [arms.act.side] if arms.act.side in ("left", "right") else ["left", "right"]
    spans = [span for side in sides if (span := acting(arms.joints, side)) is not None]
    if not spans:
        return None
    if len(spans) < len(sides):
        sides = [side for side in sides if acting(arms.joints, side) is not None]
    first, last = min(a for a, _ in spans), max(b for _, b in spans)
    if hands == "hold-up":
        first, last = held(arms.joints, sides, first, last)
    total = len(legs.joints)
    start = rng.randint(0, min(12, total // 5))
    frames = stretched(first, last, start, len(arms.joints), total)
    weight = smoothstep((np.arange(total) - (start - FADE)) / FADE) if start else np.ones(total)
    if rng.random() < 0.25 and total > 60:  # the arms sink again
        weight = weight * smoothstep((total - 1 - np.arange(total)) / (2 * FADE))
    joints = with_arms(legs.joints, arms.joints, sides, frames, weight)
    if through_body(joints, sides):
        return None
    act = Act(hands, arms.act.side, arms.act.style if rng.random() < 0.3 else "normal")
    lower = legs.act if act.style == "normal" else replace(legs.act, style="normal")
    return Made("at_once", (lower, act), joints, measured(joints), (legs.name, arms.name))


def in_order(bank: Bank, rng: random.Random) -> Made | None:
    """Two clips, now and then three, one after the other."""
    count = 3 if rng.random() < 0.2 else 2
    clips: list[Clip] = []
    for _ in range(count):
        clip = _drawn(bank, rng, ORDER)
        if clip is None or (clips and _same(clips[-1].act, clip.act)):
            return None
        clips.append(_at_most(clip, rng, MAX_FRAMES // count + (12 if count == 2 else 8)))
    return _joined(clips, "in_order")


def repeated(bank: Bank, rng: random.Random) -> Made | None:
    """The same action once to four times."""
    first = _drawn(bank, rng, REPEATED)
    if first is None:
        return None
    times = rng.choice((1, 2, 2, 3, 3, 4))
    clip = _trimmed(first)
    made = _joined([clip] * times, "repeated")
    if made is None or len(made.joints) > MAX_FRAMES + 1:
        return None
    return replace(made, acts=(first.act,), measures=replace(made.measures, times=times))


def other_speed(bank: Bank, rng: random.Random) -> Made | None:
    """An action faster or slower than it was, and told by how fast it is."""
    clip = _drawn(bank, rng, ("walk", "walk", "run", "walk-back", "walk-turn", "side-step", "turn"))
    if clip is None:
        return None
    joints = at_speed(clip.joints, rng.choice((0.6, 0.7, 0.8, 1.0, 1.2, 1.35, 1.5)))
    if clip.act.action in TRAVEL and len(joints) > MAX_FRAMES:
        joints = joints[: MAX_FRAMES + 1]
    act = replace(clip.act, style="normal")
    return Made("single", (act,), joints, measured(joints), (clip.name,))


def amount(bank: Bank, rng: random.Random) -> Made | None:
    """Some of the way that a clip goes, so that metres, steps and degrees mean something; or how high hands go."""
    actions = ("walk", "walk", "walk", "walk-back", "run", "walk-turn", "turn", "side-step", "raise-up", "raise-up")
    clip = _drawn(bank, rng, actions)
    if clip is None:
        return None
    joints = clip.joints
    if clip.act.action in TRAVEL:
        joints = _shorter(clip, rng, 30).joints
        still = standing(bank, rng) if rng.random() < 0.4 else None
        if still is not None:  # and stops
            seam = join(joints, still.joints[:40], tail=12, head=20)
            joints = seam.joints if seam.gap < MOST_GAP else joints
    act = replace(clip.act, style="normal")
    return Made("single", (act,), joints, measured(joints), (clip.name,))


def standing(bank: Bank, rng: random.Random) -> Made | None:
    """The moment before an action, held: standing still."""
    clip = _drawn(bank, rng, ("wave", "raise-up", "bow", "bye", "guide", "walk-turn"))
    if clip is None:
        return None
    speed = np.linalg.norm(np.diff(clip.joints, axis=0), axis=-1).max(-1)
    quiet = int(np.argmax(speed > 0.012)) if (speed > 0.012).any() else len(speed)
    if quiet < 5:
        return None
    joints = to_and_fro(clip.joints, 0, quiet, rng.randint(40, 140), rng.uniform(0.15, 0.4))
    style = clip.act.style if rng.random() < 0.2 else "normal"
    return Made("single", (Act("stand", "", style),), joints, measured(joints), (clip.name,))


RECIPES: tuple[tuple[Callable[[Bank, random.Random], Made | None], float], ...] = (
    (at_once, 0.28),
    (in_order, 0.48),
    (repeated, 0.06),
    (other_speed, 0.06),
    (amount, 0.09),
    (standing, 0.03),
)


def measured(joints: np.ndarray) -> Measures:
    """What can be told of a motion in numbers."""
    body = Body.of(joints)
    moving = body.speed[body.moving]
    hands = [float(body.hand(side)[:, 1].max()) for side in ("left", "right")]
    return Measures(
        metres=body.distance,
        steps=body.steps,
        degrees=body.turned,
        seconds=len(joints) / FPS,
        metres_per_second=float(moving.mean()) if len(moving) > 8 else None,
        above_shoulder=max(hands) if max(hands) > -0.12 else None,
    )


def _drawn(bank: Bank, rng: random.Random, actions: tuple[str, ...]) -> Clip | None:
    action = rng.choice(actions)
    if action == "stand" and not (bank.has("stand") and rng.random() < 0.5):
        made = standing(bank, rng)
        return None if made is None else Clip(made.sources[0], made.acts[0], made.joints)
    return bank.draw(rng, action) if bank.has(action) else None


def _same(a: Act, b: Act) -> bool:
    return (a.action, a.side) == (b.action, b.side) or (a.action in TRAVEL and {a.action, b.action} <= {"run", "dash"})


def _shorter(clip: Clip, rng: random.Random, least: int) -> Clip:
    """A part of a clip that goes on and on."""
    if len(clip.joints) <= least:
        return clip
    count = rng.randint(least, len(clip.joints))
    start = rng.randint(0, len(clip.joints) - count)
    return replace(clip, joints=clip.joints[start : start + count])


def _trimmed(clip: Clip) -> Clip:
    """A clip without the stillness before and after."""
    speed = np.linalg.norm(np.diff(clip.joints, axis=0), axis=-1).max(-1)
    lively = np.flatnonzero(speed > 0.02)
    if not len(lively):
        return clip
    first, last = max(0, int(lively[0]) - 4), min(len(clip.joints), int(lively[-1]) + 6)
    return replace(clip, joints=clip.joints[first:last])


def _at_most(clip: Clip, rng: random.Random, frames: int) -> Clip:
    """A clip of at most some frames: trimmed, and cut if it goes on and on; others are played faster."""
    if len(clip.joints) <= frames:
        return clip
    clip = _trimmed(clip)
    if clip.act.action in TRAVEL or clip.act.action in ("stand", "dance", "wave", "wash-window"):
        return replace(clip, joints=clip.joints[:frames])
    speed = len(clip.joints) / frames
    return replace(clip, joints=at_speed(clip.joints, speed)) if 1 < speed < 1.4 else clip


def _joined(clips: list[Clip], kind: str) -> Made | None:
    joints, parts = clips[0].joints, sliding(clips[0].joints).mean()
    for before, clip in itertools.pairwise(clips):
        tail = 25 if before.act.action in TRAVEL else 6
        seam = join(joints, clip.joints, tail=tail, head=25 if clip.act.action in TRAVEL else 8)
        if seam.gap > MOST_GAP:
            return None
        joints, parts = seam.joints, max(parts, sliding(clip.joints).mean())
    if len(joints) > MAX_FRAMES + 1 or sliding(joints).mean() > parts + 3 * MOST_SLIDE:
        return None
    acts = tuple(replace(clip.act, style="normal") for clip in clips)
    return Made(kind, acts, joints, measured(joints), tuple(clip.name for clip in clips))
