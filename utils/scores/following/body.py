"""A motion as predicates see it: of standard size, on the floor, with the measures that they are made of."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lamp.utils.errors import UserError
from lamp.utils.kinematics.foot_contact import floor_height
from lamp.utils.kinematics.skeleton import HUMANML3D

FPS = HUMANML3D.fps
assert HUMANML3D.bone_lengths is not None
LEG = HUMANML3D.bone_lengths[4] + HUMANML3D.bone_lengths[7]
"""Length of the standard body's leg, hip to ankle, metres (0.83)."""
STANDING = 0.72
"""Height of the hips above which a body stands, metres; upright ones have 0.78 to 0.93 in captures."""
TILT = 50
"""Degrees by which an upright trunk tilts at most."""
SIDES = ("left", "right")
SHORTEST = 8
"""Frames that a motion needs to be judged."""
_NAMES = {name: number for number, name in enumerate(HUMANML3D.joint_names)}


@dataclass(frozen=True)
class Body:
    """Joints of a standard body.

    Attributes:
        joints: (T, 22, 3) metres at 20 frames a second, Y up, legs of length `LEG`, floor at y = 0.
        ground: (T,) height at which the lower foot stands, 0 to 15 cm: its lowest within a second before and after. It
            follows generated motion that drifts off the floor, or whose floor is found too low.
    """

    joints: np.ndarray
    ground: np.ndarray

    @classmethod
    def of(cls, joints: np.ndarray, fps: float = FPS) -> "Body":
        """A motion (T, 22, 3) in any unit, see `standard`; noise of single frames is smoothed away (weights 1, 2, 1).

        Raises:
            UserError: see `standard`.
        """
        joints = standard(joints, fps)
        padded = np.concatenate((joints[:1], joints, joints[-1:]))
        joints = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        lower = np.minimum(*(_sole(joints, side) for side in SIDES))
        around = np.pad(lower, int(FPS), mode="edge")
        ground = np.lib.stride_tricks.sliding_window_view(around, 2 * int(FPS) + 1).min(-1)
        return cls(joints, np.clip(ground, 0.0, 0.15))

    def part(self, start: int, stop: int) -> "Body":
        """Some frames of it; size and floor stay those of the whole motion."""
        return Body(self.joints[start:stop], self.ground[start:stop])

    def __len__(self) -> int:
        return len(self.joints)

    def joint(self, name: str) -> np.ndarray:
        """Track (T, 3) of a joint of HumanML3D."""
        return self.joints[:, _NAMES[name]]

    def height(self, name: str) -> np.ndarray:
        """Height (T,) of a joint above the floor."""
        return self.joint(name)[:, 1]

    @cached_property
    def hips(self) -> np.ndarray:
        """Height (T,) of the hips, the mean of both joints: captures agree on these better than on the pelvis."""
        return (self.height("left_hip") + self.height("right_hip")) / 2

    @cached_property
    def heading(self) -> np.ndarray:
        """Direction (T,) that the body faces, radians about Y without jumps; it grows in a turn to the left."""
        across = self.joint("left_hip") - self.joint("right_hip")
        across = across + self.joint("left_shoulder") - self.joint("right_shoulder")
        return smooth(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])), 3)

    @property
    def turned(self) -> float:
        """Degrees from the first to the last facing, left positive; whole turns count."""
        edge = min(3, len(self))
        return float(np.rad2deg(self.heading[-edge:].mean() - self.heading[:edge].mean()))

    def in_front(self, vectors: np.ndarray) -> np.ndarray:
        """World vectors (T, 3) in the body's own axes: to its left, up, to the front."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        x, y, z = vectors.T
        return np.stack((cos * x - sin * z, y, sin * x + cos * z), axis=-1)

    @cached_property
    def velocity(self) -> np.ndarray:
        """Velocity (T, 3) of the pelvis in the body's own axes, m/s, over about 0.3 s."""
        return self.in_front(smooth(rate(self.joint("pelvis")), 5))

    @cached_property
    def speed(self) -> np.ndarray:
        """Horizontal speed (T,) of the pelvis, m/s."""
        return np.hypot(self.velocity[:, 0], self.velocity[:, 2])

    @property
    def distance(self) -> float:
        """Metres from the first place of the pelvis to its last."""
        return float(np.linalg.norm((self.joint("pelvis")[-1] - self.joint("pelvis")[0])[[0, 2]]))

    @property
    def path(self) -> float:
        """Metres that the pelvis travels, swaying on the spot left out."""
        return float(self.speed[self.moving].sum() / FPS)

    @cached_property
    def moving(self) -> np.ndarray:
        """Frames (T,) in which the body travels."""
        return self.speed > 0.2

    @cached_property
    def tilt(self) -> np.ndarray:
        """Degrees (T,) between the trunk, pelvis to neck, and the vertical."""
        trunk = self.joint("neck") - self.joint("pelvis")
        return np.rad2deg(np.arccos(np.clip(trunk[:, 1] / np.linalg.norm(trunk, axis=-1), -1, 1)))

    @property
    def upright(self) -> bool:
        """Whether the trunk never tilts by more than `TILT`, single frames left out."""
        return bool(smooth(self.tilt, 5).max() <= TILT)

    @cached_property
    def bend(self) -> np.ndarray:
        """Degrees (T,) by which the trunk leans to the front; negative to the back."""
        trunk = self.in_front(self.joint("neck") - self.joint("pelvis"))
        return np.rad2deg(np.arctan2(trunk[:, 2], trunk[:, 1]))

    def hand(self, side: str) -> np.ndarray:
        """A wrist (T, 3) seen from its shoulder, in the body's own axes."""
        return self.in_front(self.joint(f"{side}_wrist") - self.joint(f"{side}_shoulder"))

    def foot(self, side: str) -> np.ndarray:
        """An ankle (T, 3) seen from its hip, in the body's own axes."""
        return self.in_front(self.joint(f"{side}_ankle") - self.joint(f"{side}_hip"))

    def reach(self, side: str) -> np.ndarray:
        """How far (T,) an arm is stretched: wrist to shoulder as a part of the arm's length."""
        upper = np.linalg.norm(self.joint(f"{side}_elbow") - self.joint(f"{side}_shoulder"), axis=-1)
        lower = np.linalg.norm(self.joint(f"{side}_wrist") - self.joint(f"{side}_elbow"), axis=-1)
        return np.linalg.norm(self.hand(side), axis=-1) / np.maximum(upper + lower, 1e-6)

    def knee(self, side: str) -> np.ndarray:
        """Angle (T,) of a knee in degrees; 180 is straight."""
        thigh = self.joint(f"{side}_hip") - self.joint(f"{side}_knee")
        shin = self.joint(f"{side}_ankle") - self.joint(f"{side}_knee")
        lengths = np.linalg.norm(thigh, axis=-1) * np.linalg.norm(shin, axis=-1)
        return np.rad2deg(np.arccos(np.clip((thigh * shin).sum(-1) / np.maximum(lengths, 1e-9), -1, 1)))

    def lifted(self, side: str) -> np.ndarray:
        """Height (T,) of a foot's lower end above where it stands."""
        return _sole(self.joints, side) - self.ground

    @cached_property
    def flights(self) -> list[tuple[int, int]]:
        """Start and stop of each phase with both feet off the floor by 6 cm, for 0.1 to 1.2 s.

        Longer ones are no flight, but a floor that was found too low.
        """
        up = (self.lifted("left") > 0.06) & (self.lifted("right") > 0.06)
        return [(start, stop) for start, stop in runs(up) if 2 <= stop - start <= 24]

    @property
    def steps(self) -> int:
        """Steps: how often the faster foot changes."""
        return len(self.step_frames)

    @cached_property
    def step_frames(self) -> list[int]:
        """Frames in which a step begins."""
        fast = [np.linalg.norm(smooth(rate(self.joint(f"{side}_ankle")), 3)[:, [0, 2]], axis=-1) for side in SIDES]
        return swings(fast[0] - fast[1], 0.35)


def _sole(joints: np.ndarray, side: str) -> np.ndarray:
    """Height (T,) of the lower end of a foot: of the toe, or of the ankle less its height above a flat sole."""
    return np.minimum(joints[:, _NAMES[f"{side}_foot"], 1], joints[:, _NAMES[f"{side}_ankle"], 1] - 0.04)


def standard(joints: np.ndarray, fps: float = FPS) -> np.ndarray:
    """A motion (T, 22, 3) in any unit, Y up, at 20 frames a second, with legs of standard length, on the floor y = 0.

    Raises:
        UserError: it is shorter than `SHORTEST` frames, has other joints, or no legs.
    """
    joints = _at_rate(np.asarray(joints, dtype=np.float64), fps)
    if joints.shape[1:] != (HUMANML3D.num_joints, 3) or len(joints) < SHORTEST:
        raise UserError(f"joints {joints.shape} cannot be judged; give {SHORTEST} frames or more at 20 a second, 22, 3")
    ends = ((1, 4), (4, 7), (2, 5), (5, 8))
    leg = sum(float(np.median(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1))) for a, b in ends) / 2
    if not leg > 0:
        raise UserError("the legs of a motion have no length; give joints in the order of HumanML3D")
    joints = joints * (LEG / leg)
    joints[..., 1] -= floor_height(joints, FPS)
    return joints


def rate(track: np.ndarray) -> np.ndarray:
    """Change of a track (T, ...) a second, by central differences."""
    return np.gradient(track, axis=0) * FPS


def smooth(track: np.ndarray, width: int) -> np.ndarray:
    """Mean over `width` frames (odd) about each frame of a track (T, ...), fewer at its ends."""
    half = min(width // 2, (len(track) - 1) // 2)
    total = np.concatenate((np.zeros_like(track[:1]), np.cumsum(track, axis=0)))
    at = np.arange(len(track))
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(track))
    return (total[high] - total[low]) / (high - low).reshape(-1, *[1] * (track.ndim - 1))


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of True in a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def longest(mask: np.ndarray) -> int:
    """Frames of the longest run of True in a mask (T,)."""
    return max((stop - start for start, stop in runs(mask)), default=0)


def swings(signal: np.ndarray, height: float) -> list[int]:
    """Frames in which a signal (T,) goes beyond +height or -height after having been beyond the other one."""
    found, state = [], 0
    for frame, value in enumerate(signal.tolist()):
        now = 1 if value > height else -1 if value < -height else 0
        if now and now != state:
            found.append(frame)
            state = now
    return found


def reversals(signal: np.ndarray, size: float) -> int:
    """How often a signal (T,) turns back by at least `size` after having gone that far; two make an oscillation."""
    count, direction = 0, 0
    low = high = float(signal[0])
    for value in signal.tolist():
        low, high = min(low, value), max(high, value)
        if direction >= 0 and high - value >= size:
            count, direction, low = count + (direction > 0), -1, value
        elif direction <= 0 and value - low >= size:
            count, direction, high = count + (direction < 0), 1, value
    return count


def excursions(signal: np.ndarray, below: float, above: float) -> list[tuple[int, int]]:
    """Start and stop of each phase in which a signal (T,) goes above `above`, until it is down to `below` again."""
    found: list[tuple[int, int]] = []
    start = -1
    for frame, value in enumerate(signal.tolist()):
        if start < 0 and value >= above:
            start = frame
        elif start >= 0 and value <= below:
            found.append((start, frame))
            start = -1
    return [*found, (start, len(signal))] if start >= 0 else found


def _at_rate(joints: np.ndarray, fps: float) -> np.ndarray:
    """A motion at 20 frames a second, on straight lines between frames."""
    if abs(fps - FPS) < 1e-6 or len(joints) < 2:
        return joints
    time = np.arange(int((len(joints) - 1) / fps * FPS + 1e-6) + 1) / FPS * fps
    low = np.minimum(time.astype(int), len(joints) - 2)
    part = (time - low).reshape(-1, 1, 1)
    return joints[low] * (1 - part) + joints[low + 1] * part
