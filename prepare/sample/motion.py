"""Procedural human motion for either skeleton: gaits on planted feet, and gestures of a standing body.

Lengths are metres until the end, +Y is up, and a body at yaw 0 faces +Z with its left side at +X.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lamp.utils.kinematics.skeleton import HUMANML3D, KIT, Skeleton

# KIT-ML's lengths depend on the user's copy of the data; these are a plausible body, metres.
_KIT_LENGTHS = (
    0, 0.11, 0.19, 0.19, 0.16, 0.18, 0.29, 0.25, 0.18, 0.29, 0.25, 0.09, 0.42, 0.42, 0.07, 0.11,
    0.09, 0.42, 0.42, 0.07, 0.11,
)  # fmt: skip
_KIT_UNITS_PER_METRE = 1000.0

_LEFT, _RIGHT = 0, 1
_SIDES = np.array([1.0, -1.0])


@dataclass(frozen=True)
class _Body:
    """Joints of a skeleton by their part in a body; pairs are (left, right).

    Attributes:
        spine: joints from the lowest to the head.
        arms: (shoulder, elbow, wrist) chains, and legs (hip, knee, ankle), of each side.
        collars: joint between chest and shoulder of each side, if the skeleton has one.
        feet: joints after the ankle of each side.
        foot_directions: of the bones that end at `feet`, for a flat foot that points to +Z: (y, z).
    """

    skeleton: Skeleton
    lengths: np.ndarray
    spine: tuple[int, ...]
    arms: tuple[tuple[int, int, int], tuple[int, int, int]]
    collars: tuple[int, int] | None
    legs: tuple[tuple[int, int, int], tuple[int, int, int]]
    feet: tuple[tuple[int, ...], tuple[int, ...]]
    foot_directions: tuple[tuple[float, float], ...]

    @property
    def sole(self) -> np.ndarray:
        """From the ankle to the toe of a flat foot (3,)."""
        bones = [self.lengths[j] * np.array([0.0, y, z]) for j, (y, z) in zip(self.feet[0], self.foot_directions)]
        return np.sum(bones, axis=0)

    @property
    def leg(self) -> float:
        """Length of thigh and shin."""
        return float(self.lengths[list(self.legs[0][1:])].sum())


_BODIES = {
    "humanml3d": _Body(
        skeleton=HUMANML3D,
        lengths=np.array(HUMANML3D.bone_lengths),
        spine=(3, 6, 9, 12, 15),
        arms=((16, 18, 20), (17, 19, 21)),
        collars=(13, 14),
        legs=((1, 4, 7), (2, 5, 8)),
        feet=((10,), (11,)),
        foot_directions=((-0.45, 0.893),),
    ),
    "kit": _Body(
        skeleton=KIT,
        lengths=np.array(_KIT_LENGTHS),
        spine=(1, 2, 3, 4),
        arms=((5, 6, 7), (8, 9, 10)),
        collars=None,
        legs=((11, 12, 13), (16, 17, 18)),
        feet=((14, 15), (19, 20)),
        foot_directions=((-0.8, 0.6), (-0.1, 0.995)),
    ),
}


@dataclass
class Track:
    """A motion before it has joints, T frames; angles in radians.

    Attributes:
        root: (T, 2) position of the pelvis on the floor (x, z).
        yaw: (T,) heading, positive to the left.
        drop: (T,) how far the pelvis is under its highest place.
        rise: (T,) height of the whole body above the floor.
        pitch: (T,) bend of the trunk to the front.
        twist: (T,) turn of the shoulders against the pelvis.
        toes: (T, 2, 3) position of each toe, left then right, without `rise`.
        foot_yaw: (T, 2) heading of each foot.
        heel: (T, 2) lift of the heel about the toe.
        arms: (T, 2, 2, 2) of each side's upper arm and forearm: swing to the front, lift to the side.
    """

    root: np.ndarray
    yaw: np.ndarray
    drop: np.ndarray
    rise: np.ndarray
    pitch: np.ndarray
    twist: np.ndarray
    toes: np.ndarray
    foot_yaw: np.ndarray
    heel: np.ndarray
    arms: np.ndarray


def standing(num_frames: int, rng: np.random.Generator, fps: float) -> Track:
    """A person who stands and sways a little."""
    time = np.arange(num_frames) / fps
    sway = 0.008 * np.sin(2 * np.pi * (rng.uniform(0.2, 0.4) * time[:, None] + rng.uniform(size=2)))
    toes = np.zeros((num_frames, 2, 3))
    toes[..., 0] = _SIDES * rng.uniform(0.09, 0.13)
    toes[..., 2] = 0.12
    arms = np.zeros((num_frames, 2, 2, 2))
    arms[..., 0, 0] = 0.05 * np.sin(2 * np.pi * 0.3 * time)[:, None]
    arms[..., 1, 0] = 0.25 + arms[..., 0, 0]
    arms[..., 1] = 0.15
    zeros = np.zeros(num_frames)
    return Track(
        root=sway,
        yaw=0.02 * np.sin(2 * np.pi * 0.15 * time + rng.uniform(0, 6)),
        drop=0.01 + 0.004 * np.sin(2 * np.pi * 0.25 * time),
        rise=zeros.copy(),
        pitch=0.03 + 0.01 * np.sin(2 * np.pi * 0.25 * time),
        twist=zeros.copy(),
        toes=toes,
        foot_yaw=np.broadcast_to(_SIDES * 0.12, (num_frames, 2)).copy(),
        heel=np.zeros((num_frames, 2)),
        arms=arms,
    )


def gait(num_frames: int, rng: np.random.Generator, fps: float, *, speed: float, turn: float, run: bool) -> Track:
    """Walking or running at `speed` m/s, turning by `turn` rad/s; a foot stays where it is put until it is lifted."""
    cycle = 1.0 / np.clip(0.55 + 0.35 * speed if not run else 1.0 + 0.12 * speed, 0.5, 1.6)
    duty = 0.36 if run else 0.62
    time = np.arange(num_frames) / fps + rng.uniform(0, cycle)
    phase = time[:, None] / cycle + np.array([0.0, 0.5])
    step, part = np.floor(phase), phase % 1.0
    here, there = (_plant(step + ahead, cycle, duty, speed, turn) for ahead in (0, 1))
    swing = np.clip((part - duty) / (1 - duty), 0, 1)
    ease = _ease(swing)[..., None]
    footing = here * (1 - ease) + there * ease
    toes = np.stack((footing[..., 0], (0.22 if run else 0.07) * np.sin(np.pi * swing), footing[..., 1]), axis=-1)
    heel = (1.0 if run else 0.6) * _ease((part / duty - 0.55) / 0.45) * (1 - _ease(1.5 * swing))
    rhythm = 2 * np.pi * (time / cycle - duty / 2)
    size = 0.7 if run else np.clip(0.4 * speed, 0.1, 0.6)
    arms = np.zeros((num_frames, 2, 2, 2))
    # An arm swings against the leg of its side.
    arms[..., 0, 0] = size * np.sin(rhythm)[:, None] * _SIDES
    arms[..., 1, 0] = arms[..., 0, 0] + (1.5 if run else 0.35)
    arms[..., 1] = 0.15
    bob = np.cos(2 * rhythm)
    drop = 0.03 * (1 + bob) if run else 0.012 * (1 - bob)
    return Track(
        root=_path(time, speed, turn),
        yaw=turn * time,
        drop=drop,
        rise=np.zeros(num_frames),
        pitch=np.full(num_frames, 0.18 if run else 0.05),
        twist=-0.15 * np.sin(rhythm) * size,
        toes=toes,
        foot_yaw=footing[..., 2],
        heel=heel,
        arms=arms,
    )


def raise_arms(track: Track, pulse: np.ndarray, sides: tuple[int, ...]) -> Track:
    """Lift arms to the side and over the head; `pulse` (T,) is 0 at rest and 1 at the top."""
    arms = track.arms.copy()
    for side in sides:
        arms[:, side, :, 1] += 2.7 * pulse[:, None]
        arms[:, side, 1, 0] *= 1 - pulse
    return replace(track, arms=arms)


def wave(track: Track, pulse: np.ndarray, beat: np.ndarray, sides: tuple[int, ...]) -> Track:
    """Hold hands up and swing the forearms by `beat` (T,), which runs from -1 to 1."""
    arms = track.arms.copy()
    for side in sides:
        arms[:, side, 0, 1] += 1.2 * pulse
        arms[:, side, 1, 1] += (2.5 + 0.45 * beat) * pulse
        arms[:, side, 1, 0] *= 1 - pulse
    return replace(track, arms=arms)


def bow(track: Track, pulse: np.ndarray, depth: float) -> Track:
    """Bend the trunk by `depth` radians; the hips move back to keep balance."""
    root, arms = track.root.copy(), track.arms.copy()
    root[:, 1] -= 0.12 * pulse
    # The arms hang down whatever the trunk does.
    arms[..., 0] += depth * pulse[:, None, None]
    return replace(track, pitch=track.pitch + depth * pulse, root=root, arms=arms)


def squat(track: Track, pulse: np.ndarray) -> Track:
    """Bend the knees with the arms to the front."""
    arms, root = track.arms.copy(), track.root.copy()
    arms[..., 0] += 1.3 * pulse[:, None, None]
    root[:, 1] -= 0.1 * pulse
    return replace(track, drop=track.drop + 0.38 * pulse, pitch=track.pitch + 0.6 * pulse, arms=arms, root=root)


def kick(track: Track, pulse: np.ndarray, side: int) -> Track:
    """Swing a leg to the front."""
    toes, root, pitch = track.toes.copy(), track.root.copy(), track.pitch - 0.2 * pulse
    toes[:, side, 2] += 0.65 * pulse
    toes[:, side, 1] += 0.55 * pulse
    # The weight goes over the other foot.
    root[:, 0] -= 0.09 * _SIDES[side] * np.sqrt(pulse)
    arms = track.arms.copy()
    arms[:, 1 - side, :, 0] += 0.6 * pulse[:, None]
    return replace(track, toes=toes, root=root, pitch=pitch, arms=arms)


def jump(track: Track, part: np.ndarray, height: float) -> Track:
    """Jumps on the spot; `part` (T,) runs from 0 to 1 in each: crouch, flight, landing."""
    crouch = np.sin(np.pi * np.clip(part / 0.35, 0, 1)) + 0.7 * np.sin(np.pi * np.clip((part - 0.7) / 0.3, 0, 1))
    flight = np.clip((part - 0.35) / 0.35, 0, 1)
    airborne = 4 * flight * (1 - flight)
    arms = track.arms.copy()
    arms[..., 0] += (1.8 * airborne - 0.7 * crouch)[:, None, None]
    return replace(
        track,
        drop=track.drop + 0.22 * crouch,
        rise=track.rise + height * airborne,
        pitch=track.pitch + 0.4 * crouch,
        heel=track.heel + 0.6 * airborne[:, None],
        arms=arms,
    )


def pulses(num_frames: int, count: int, hold: float = 0.3) -> np.ndarray:
    """(T,) `count` rises from 0 to 1 and back, each staying at 1 for the part `hold` of its time."""
    part = np.arange(num_frames) / num_frames * count % 1.0
    edge = (1 - hold) / 2
    return _ease(np.minimum(part, 1 - part) / edge)


def to_joints(track: Track, skeleton: Skeleton) -> Tensor:
    """Joint positions (T, J, 3) float32 of a track in the data's unit."""
    body = _BODIES[skeleton.name]
    joints = np.zeros((len(track.yaw), skeleton.num_joints, 3))
    pelvis = _turn_y(track.yaw)
    hips = {leg[0]: side for side, leg in enumerate(body.legs)}
    down = {hip: pelvis @ (body.lengths[hip] * np.array([0.6 * _SIDES[side], -0.8, 0.0])) for hip, side in hips.items()}
    ankles = _ankles(track, body)
    joints[:, 0, [0, 2]] = track.root
    on_floor = track.toes[..., 1] < 0.01
    joints[:, 0, 1] = _highest_pelvis(joints[:, 0], down, ankles, on_floor, body) - track.drop
    for side, (hip, knee, ankle) in enumerate(body.legs):
        joints[:, hip] = joints[:, 0] + down[hip]
        lengths = body.lengths[[knee, ankle]]
        joints[:, knee], joints[:, ankle] = _reach(joints[:, hip], ankles[:, side], pelvis[..., 2], lengths)
        turn = _turn_y(track.foot_yaw[:, side]) @ _turn_x(track.heel[:, side])
        _chain(joints, ankle, body.feet[side], [turn @ [0.0, y, z] for y, z in body.foot_directions], body.lengths)
    # The bend of the trunk is spread over the spine.
    bends = [track.pitch * (i + 1) / len(body.spine) for i in range(len(body.spine))]
    _chain(joints, 0, body.spine, [(pelvis @ _turn_x(bend))[..., 1] for bend in bends], body.lengths)
    chest = _turn_y(track.yaw + track.twist) @ _turn_x(track.pitch)
    for side in (_LEFT, _RIGHT):
        _place_arm(joints, body, side, chest, track.arms[:, side])
    joints[..., 1] += track.rise[:, None]
    if skeleton.name == "kit":
        # KIT-ML's published axes are left-handed: its left joints are at -X of a body that faces +Z.
        joints = joints * np.array([-1.0, 1.0, 1.0]) * _KIT_UNITS_PER_METRE
    return torch.from_numpy(joints).float()


def _place_arm(joints: np.ndarray, body: _Body, side: int, chest: np.ndarray, angles: np.ndarray) -> None:
    """Fill in collar and arm of a side."""
    sign = _SIDES[side]
    swing, lift = angles[..., 0], angles[..., 1]
    local = np.stack((sign * np.sin(lift), -np.cos(lift) * np.cos(swing), np.cos(lift) * np.sin(swing)), axis=-1)
    arm = np.einsum("tij,tsj->sti", chest, local)
    chain: tuple[int, ...] = body.arms[side]
    directions = [chest @ [sign, 0.0, 0.0], *arm]
    if body.collars:
        chain, directions = (body.collars[side], *chain), [chest @ [0.6 * sign, 0.8, 0.0], *directions]
    _chain(joints, body.skeleton.parents[chain[0]], chain, directions, body.lengths)


def _chain(
    joints: np.ndarray, start: int, chain: tuple[int, ...], directions: list[np.ndarray], lengths: np.ndarray
) -> None:
    """Fill in joints one after the other along unit directions (T, 3)."""
    for joint, direction in zip(chain, directions):
        joints[:, joint] = joints[:, start] + lengths[joint] * direction
        start = joint


def _ankles(track: Track, body: _Body) -> np.ndarray:
    """Ankle positions (T, 2, 3) over the toes."""
    turn = _turn_y(track.foot_yaw) @ _turn_x(track.heel)
    return track.toes - turn @ body.sole


def _highest_pelvis(
    root: np.ndarray, down: dict[int, np.ndarray], ankles: np.ndarray, on_floor: np.ndarray, body: _Body
) -> float:
    """Height at which no standing leg has to be longer than it is, in any frame."""
    heights = []
    for side, (hip, _, _) in enumerate(body.legs):
        gap = (root + down[hip] - ankles[:, side])[:, [0, 2]]
        room = np.sqrt(np.maximum((0.99 * body.leg) ** 2 - (gap**2).sum(-1), 0.0))
        heights.append((ankles[:, side, 1] + room - down[hip][:, 1])[on_floor[:, side]])
    return float(np.concatenate(heights).min())


def _reach(hip: np.ndarray, ankle: np.ndarray, front: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knee and ankle (T, 3) of a leg that reaches for `ankle`, the knee bent to the front (law of cosines)."""
    thigh, shin = lengths
    line = ankle - hip
    distance = np.clip(np.linalg.norm(line, axis=-1, keepdims=True), 1e-6, None)
    line = line / distance
    distance = np.clip(distance, abs(thigh - shin) + 1e-3, 0.999 * (thigh + shin))
    along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
    aside = front - (front * line).sum(-1, keepdims=True) * line
    aside = aside / np.linalg.norm(aside, axis=-1, keepdims=True)
    knee = hip + along * line + np.sqrt(np.maximum(thigh**2 - along**2, 0.0)) * aside
    return knee, hip + distance * line


def _path(time: np.ndarray, speed: float, turn: float) -> np.ndarray:
    """Position (..., 2) of (x, z) at `time` on a circle, or a line if `turn` is 0."""
    if abs(turn) < 1e-6:
        return np.stack((np.zeros_like(time), speed * time), axis=-1)
    radius = speed / turn
    return np.stack((radius * (1 - np.cos(turn * time)), radius * np.sin(turn * time)), axis=-1)


def _plant(step: np.ndarray, cycle: float, duty: float, speed: float, turn: float) -> np.ndarray:
    """Where each foot stands in its step number `step` (T, 2): toe x, toe z, heading (T, 2, 3)."""
    time = (step + duty / 2 - np.array([0.0, 0.5])) * cycle
    yaw = turn * time
    left, front = (np.stack(pair, axis=-1) for pair in ((np.cos(yaw), -np.sin(yaw)), (np.sin(yaw), np.cos(yaw))))
    place = _path(time, speed, turn) + 0.08 * _SIDES[:, None] * left + 0.12 * front
    return np.concatenate((place, yaw[..., None]), axis=-1)


def _ease(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 to 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def _turn_y(angle: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about +Y."""
    zero, one, sin, cos = np.zeros_like(angle), np.ones_like(angle), np.sin(angle), np.cos(angle)
    return np.stack((cos, zero, sin, zero, one, zero, -sin, zero, cos), axis=-1).reshape(*angle.shape, 3, 3)


def _turn_x(angle: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) about +X; a positive angle tips +Y to +Z."""
    zero, one, sin, cos = np.zeros_like(angle), np.ones_like(angle), np.sin(angle), np.cos(angle)
    return np.stack((one, zero, zero, zero, cos, -sin, zero, sin, cos), axis=-1).reshape(*angle.shape, 3, 3)
