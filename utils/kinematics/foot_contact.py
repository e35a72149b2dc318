"""Foot clean-up: planted feet stop sliding and stand on the floor, without stretching a bone or shaking the hips.

Contact phases are found from height and speed, each is pinned to one place, the correction fades out around it, and
each leg follows by two-bone inverse kinematics (footskate clean-up in the manner of Kovar et al. 2002).
`remove_foot_skate` is the simpler step of the public systems, which moves foot joints only.
"""

from dataclasses import dataclass

import numpy as np

from lamp.utils.kinematics.skeleton import HUMANML3D

# Hip, knee, ankle, toe of each leg; then the joints that do not belong to a leg.
LEGS = ((1, 4, 7, 10), (2, 5, 8, 11))
FEET = HUMANML3D.left_foot + HUMANML3D.right_foot
ABOVE_LEGS = tuple(j for j in range(22) if j not in (4, 5, 7, 8, 10, 11))

SOLE = 0.025  # the toe joint of a planted foot is this far above the floor, metres
EASY_REACH = 0.985
REACH = 0.999  # of the leg's length, so that a knee never locks


@dataclass(frozen=True)
class ContactLimits:
    """When a foot counts as planted; speeds in m/s, heights and lengths in metres, times in seconds.

    Attributes:
        enter_speed: contact needs a frame slower than this,
        keep_speed, ankle_keep_speed: and lasts while the toe or ankle is slower than this (an ankle also turns about a
            planted toe, which is no sliding).
        toe_height, ankle_height: highest above the floor.
        rise: a foot this far above the middle height of its phase has not landed yet or is taking off.
        shortest: time of a phase.
        longest_gap: an interruption as short as this is noise.
        blend: time over which a correction fades in and out.
        largest_slide: a foot that strays further within a phase does so on purpose.
    """

    enter_speed: float = 0.3
    keep_speed: float = 0.6
    ankle_keep_speed: float = 0.4
    toe_height: float = 0.10
    ankle_height: float = 0.20
    rise: float = 0.015
    shortest: float = 0.15
    longest_gap: float = 0.1
    blend: float = 0.3
    largest_slide: float = 0.15


def clean_feet(joints: np.ndarray, fps: float, limits: ContactLimits | None = None) -> np.ndarray:
    """Pin planted feet, stand them on the floor y = 0 and adjust legs; every frame keeps its bone lengths.

    Args:
        joints: (T, 22, 3) metres, Y up.
        fps: frames a second.
        limits: what counts as contact.

    Returns:
        (T, 22, 3) of the same type; the floor is at y = 0.
    """
    limits = limits or ContactLimits()
    result = joints.astype(np.float64)
    result[..., 1] -= floor_height(result, fps)
    contact = detect_contacts(result, fps, limits)
    window = max(2, round(limits.blend * fps))
    feet = [
        _foot_targets(result[:, leg[2]], result[:, leg[3]], contact[:, [2 * i, 2 * i + 1]], window, limits)
        for i, leg in enumerate(LEGS)
    ]
    result[:, ABOVE_LEGS, 1] += _body_shift(result, [ankle for ankle, _ in feet], window)[:, None]
    for (hip, knee, ankle, toe), (ankle_target, toe_target) in zip(LEGS, feet):
        moved = _bend_leg(result[:, hip], joints[:, [hip, knee, ankle, toe]], ankle_target, toe_target)
        result[:, [knee, ankle, toe]] = moved
    return result.astype(joints.dtype)


def floor_height(joints: np.ndarray, fps: float) -> float:
    """Height of the floor under a motion (T, 22, 3): a sole below where the lower toe is while it is slow.

    Joints that go further down than that (lying, crawling) lower the estimate, single noisy frames do not.
    """
    toes = joints[:, [FEET[1], FEET[3]]]
    low = toes[..., 1].min(1)
    speed = np.take_along_axis(_speed(toes, fps), toes[..., 1].argmin(1)[:, None], axis=1)[:, 0]
    near = low < np.quantile(low, 0.25) + 0.05
    standing = near & (speed < 0.5)
    floor = float(np.median(low[standing] if standing.any() else low[near])) - SOLE
    return min(floor, float(np.quantile(joints[..., 1].min(1), 0.05)))


def detect_contacts(joints: np.ndarray, fps: float, limits: ContactLimits | None = None) -> np.ndarray:
    """Which foot joints are planted, (T, 4) bool: left ankle, left toe, right ankle, right toe.

    Contact begins below `enter_speed` and lasts while below `keep_speed`, so noise does not break it up.

    Args:
        joints: (T, 22, 3) above a floor at y = 0.
    """
    limits = limits or ContactLimits()
    feet = joints[:, FEET]
    speed = _speed(feet, fps)
    low = feet[..., 1] < np.array([limits.ankle_height, limits.toe_height] * 2)
    steady = speed < np.array([limits.ankle_keep_speed, limits.keep_speed] * 2)
    contact = np.zeros(low.shape, dtype=bool)
    for k in range(4):
        keep = _close_gaps(low[:, k] & steady[:, k], round(limits.longest_gap * fps))
        for start, stop in _runs(keep):
            start, stop = _trim_rise(feet[:, k, 1], start, stop, limits.rise)
            slow = (low[start:stop, k] & (speed[start:stop, k] < limits.enter_speed)).any()
            long = stop - start >= min(limits.shortest * fps, len(joints))
            contact[start:stop, k] = slow and long
    return contact


def _trim_rise(height: np.ndarray, start: int, stop: int, rise: float) -> tuple[int, int]:
    """A phase without the frames at its ends in which the foot is already, or still, off its middle height."""
    level = np.flatnonzero(height[start:stop] <= np.median(height[start:stop]) + rise)
    return start + int(level[0]), start + int(level[-1]) + 1


def _speed(positions: np.ndarray, fps: float) -> np.ndarray:
    """Speed (T, K) in m/s of positions (T, K, 3), the slower of the steps before and after each frame."""
    if len(positions) == 1:
        return np.zeros(positions.shape[:-1])
    step = np.linalg.norm(np.diff(positions, axis=0), axis=-1) * fps
    return np.minimum(np.concatenate((step[:1], step)), np.concatenate((step, step[-1:])))


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of True in a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _close_gaps(mask: np.ndarray, longest: int) -> np.ndarray:
    closed = mask.copy()
    for start, stop in _runs(~mask):
        if start > 0 and stop < len(mask) and stop - start <= longest:
            closed[start:stop] = True
    return closed


def _foot_targets(
    ankle: np.ndarray, toe: np.ndarray, contact: np.ndarray, window: int, limits: ContactLimits
) -> tuple[np.ndarray, np.ndarray]:
    """Where ankle and toe (T, 3) of one foot should be, at their own distance in every frame.

    The toe leads: its correction carries the whole foot, and the ankle's contact adds what is left.
    """
    place = _pins(toe, contact[:, 1], limits)
    # Noise in height is taken out; a foot that rests well above the floor stands on something.
    above = place[:, 1] - SOLE
    place[:, 1] -= above * _fade((above - 0.015) / 0.03)
    shift = _spread(place - toe, contact[:, 1], window)
    # A foot pulled down must be up again soon, or its swing would scrape the floor.
    shift[:, 1] = _spread(place[:, 1:2] - toe[:, 1:2], contact[:, 1], window // 2)[:, 0]
    left = _pins(ankle, contact[:, 0], limits) - ankle - shift
    new_toe = toe + shift
    new_ankle = ankle + shift + _spread(left, contact[:, 0], window)
    new_toe[:, 1] = _soft_floor(new_toe[:, 1])
    new_ankle[:, 1] = _soft_floor(new_ankle[:, 1])
    # Whichever is planted keeps its place when the distance between the two is put right.
    toe_weight = _spread(np.ones((len(toe), 1)), contact[:, 1], window)
    bone = new_toe - new_ankle
    length = np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
    surplus = bone * (1 - np.linalg.norm(toe - ankle, axis=-1, keepdims=True) / length)
    return new_ankle + toe_weight * surplus, new_toe - (1 - toe_weight) * surplus


def _pins(position: np.ndarray, contact: np.ndarray, limits: ContactLimits) -> np.ndarray:
    """Resting place (T, 3) in each frame of contact: the mean of its phase.

    A phase that strays further than `largest_slide` is a slide or a turn and becomes several shorter ones.
    """
    pins = position.copy()
    pending = _runs(contact)
    while pending:
        start, stop = pending.pop()
        part = position[start:stop]
        stray = np.linalg.norm((part - part.mean(0))[:, [0, 2]], axis=-1).max()
        if stray > limits.largest_slide and stop - start > 5:
            middle = (start + stop) // 2
            pending += [(start, middle), (middle, stop)]
            continue
        pins[start:stop] = part.mean(0)
    return pins


def _spread(correction: np.ndarray, contact: np.ndarray, window: int) -> np.ndarray:
    """A correction (T, C) as it is in contact, fading to 0 within `window` frames on each side of a phase.

    Between two phases closer than that, the fades add up to one: the correction passes smoothly from one to the next.
    """
    frames = np.arange(len(contact))
    if not contact.any():
        return np.zeros_like(correction)
    before = np.maximum.accumulate(np.where(contact, frames, -1))
    after = np.minimum.accumulate(np.where(contact, frames, len(frames))[::-1])[::-1]
    has_before, has_after = before >= 0, after < len(frames)
    gap = np.where(has_before & has_after, after - before, window)
    reach = np.maximum(np.minimum(gap, window), 1)
    result = np.zeros_like(correction)
    for edge, exists in ((before, has_before), (after, has_after)):
        weight = _fade(np.abs(frames - edge) / reach) * exists
        result += weight[:, None] * correction[np.clip(edge, 0, len(frames) - 1)]
    return np.where(contact[:, None], correction, result)


def _fade(u: np.ndarray) -> np.ndarray:
    """Smooth step from 1 at u <= 0 to 0 at u >= 1."""
    u = np.clip(u, 0, 1)
    return 2 * u**3 - 3 * u**2 + 1


def _soft_floor(height: np.ndarray, softness: float = 0.01) -> np.ndarray:
    """Heights with those below 0 lifted smoothly: never under the floor, unchanged from `softness` up and at 0."""
    lifted = np.where(height < softness, (height + softness) ** 2 / (4 * softness), height)
    return np.where(height <= 0, 0.0, np.where(height < softness, np.minimum(lifted, height), height))


def _body_shift(joints: np.ndarray, ankles: list[np.ndarray], window: int) -> np.ndarray:
    """Vertical shift (T,) of everything above the legs: down so that the ankles are in reach, up out of the floor."""
    drop = np.zeros(len(joints))
    for (hip, knee, ankle, _), target in zip(LEGS, ankles):
        # A leg may become straighter than it was only while it stays well bent: near the end a knee shoots through.
        bones = np.linalg.norm(np.diff(joints[:, [hip, knee, ankle]], axis=1), axis=-1).sum(1)
        bones = np.maximum(np.linalg.norm(joints[:, ankle] - joints[:, hip], axis=-1), EASY_REACH * bones)
        across = np.linalg.norm((target - joints[:, hip])[:, [0, 2]], axis=-1)
        height = np.sqrt(np.maximum(bones**2 - across**2, 0.0))
        drop = np.maximum(drop, joints[:, hip, 1] - target[:, 1] - height)
    lift = np.maximum(-joints[:, ABOVE_LEGS, 1].min(1), 0)
    return _envelope(lift, window) - _envelope(np.minimum(drop, 0.08), window) * (lift == 0)


def _envelope(need: np.ndarray, window: int) -> np.ndarray:
    """A smooth curve (T,) nowhere below `need`: running maximum, then a running mean of the same width."""
    width = 2 * window + 1
    padded = np.pad(need, 2 * window, mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(padded, width).max(-1)
    return np.lib.stride_tricks.sliding_window_view(highest, width).mean(-1)


def _bend_leg(hip: np.ndarray, leg: np.ndarray, ankle_target: np.ndarray, toe_target: np.ndarray) -> np.ndarray:
    """Two-bone inverse kinematics of a leg, keeping the side to which the knee points.

    Args:
        hip: (T, 3) where the hip is now.
        leg: (T, 4, 3) hip, knee, ankle, toe before.
        ankle_target, toe_target: (T, 3).

    Returns:
        (T, 3, 3) knee, ankle, toe.
    """
    bones = np.diff(leg.astype(np.float64), axis=1)
    thigh, shin, foot = np.moveaxis(np.linalg.norm(bones, axis=-1, keepdims=True), 1, 0)
    # A nearly straight leg does not say where its knee points, but its foot does.
    pole = bones[:, 0] + 0.02 * bones[:, 2] / np.maximum(foot, 1e-9)
    knee, ankle = two_bones(hip, ankle_target, (thigh, shin), pole, REACH)
    aim = toe_target - ankle
    toe = ankle + foot * aim / np.maximum(np.linalg.norm(aim, axis=-1, keepdims=True), 1e-9)
    return np.stack((knee, ankle, toe), axis=1)


def two_bones(
    hip: np.ndarray, goal: np.ndarray, lengths: tuple[np.ndarray, np.ndarray], pole: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where knee and ankle (T, 3) of a leg are whose ankle is to be at `goal`, or as near as the leg is long.

    Args:
        hip, goal: (T, 3).
        lengths: (T, 1) of thigh and shin.
        pole: (T, 3) to which the knee points; what of it lies along the leg does not count.
        reach: greatest stretch, as a part of the leg's length.
    """
    thigh, shin = lengths
    line = goal - hip
    wanted = np.linalg.norm(line, axis=-1, keepdims=True)
    line = line / np.maximum(wanted, 1e-9)
    distance = np.clip(wanted, np.abs(thigh - shin) / reach + 1e-6, (thigh + shin) * reach)
    pole = pole - (pole * line).sum(-1, keepdims=True) * line
    pole /= np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-9)
    along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
    knee = hip + along * line + np.sqrt(np.maximum(thigh**2 - along**2, 0)) * pole
    return knee, hip + distance * line


def remove_foot_skate(joints: np.ndarray, speed_limit: float = 0.05, reach: int = 5) -> np.ndarray:
    """Foot-skate removal as the public systems do it: lower the body, then move foot joints alone.

    Args:
        joints: (T, 22, 3).
        speed_limit: squared displacement to the next frame below which a low foot joint is in contact.
        reach: frames around a contact over which a foot joint is drawn to it.

    Returns:
        (T, 22, 3); leg bones change their lengths, so a skeleton has to be fitted to it.
    """
    result = joints.astype(np.float64)
    feet = result[:, FEET]
    moved = np.diff(feet, axis=0, append=feet[-1:])
    if len(moved) > 1:
        moved[-1] = moved[-2]
    contact = (np.square(moved).sum(-1) < speed_limit) & (feet[..., 1] < [0.06, 0.03, 0.06, 0.03])
    lowest = np.sort(feet[..., 1].min(1))
    result[..., 1] -= lowest[len(lowest) // 4 : max(len(lowest) // 2, 1)].mean()
    for k, joint in enumerate(FEET):
        position = result[:, joint].copy()
        for start, stop in _runs(contact[:, k]):
            position[start:stop] = position[start:stop].mean(0) * [1, 0, 1]
        result[:, joint] = _draw_to_contacts(position, contact[:, k], reach)
    return result


def _draw_to_contacts(position: np.ndarray, contact: np.ndarray, reach: int) -> np.ndarray:
    """Blend the frames around contacts with the place of the contact before, after, or both."""
    frames = np.arange(len(contact))
    before = np.maximum.accumulate(np.where(contact, frames, -1))
    after = np.minimum.accumulate(np.where(contact, frames, len(frames))[::-1])[::-1]
    sides, near = [], []
    for edge, exists in ((before, before >= 0), (after, after < len(frames))):
        distance = np.abs(frames - edge)
        weight = _fade((distance + 1) / (reach + 1))[:, None]
        sides.append(position * (1 - weight) + position[np.clip(edge, 0, len(frames) - 1)] * weight)
        near.append((exists & (distance <= reach))[:, None])
    mix = _fade((frames - before + 1) / (after - before + 1))[:, None]
    both = sides[0] * mix + sides[1] * (1 - mix)
    blended = np.select([near[0] & near[1], near[0], near[1]], [both, *sides], default=position)
    return np.where(contact[:, None], position, blended)
