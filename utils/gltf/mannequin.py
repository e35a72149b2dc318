"""A low-poly mannequin around a motion's own bones: one mesh whose vertices follow one bone, or two where they meet.

Rings of vertices along each arm and leg, along the trunk and along the feet are joined to surfaces. Near a joint a ring
passes over from one bone to the next, so that the surface bends rather than breaks. Left, right and middle have
colours of their own, and the face a visor, so that one sees which way the body faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lamp.utils.export.body_plan import PLANS, BodyPlan

SIDES = 14
LEFT, RIGHT, MIDDLE, VISOR = "left", "right", "middle", "visor"
COLORS = {LEFT: (52, 106, 210), RIGHT: (216, 62, 52), MIDDLE: (158, 164, 178), VISOR: (38, 42, 54)}
"""sRGB; left and right are those of the stick-figure video."""

Weights = dict[int, float]

# Of arms and legs: share of the way through the three joints (0, 1, 2), radius as a part of the body's height.
_ARM = ((-0.06, 0.026), (0.1, 0.031), (0.35, 0.027), (0.7, 0.024), (0.88, 0.0225), (1.0, 0.0225), (1.12, 0.0225),
        (1.35, 0.0235), (1.7, 0.018), (2.0, 0.0145))  # fmt: skip
_LEG = ((-0.08, 0.040), (0.06, 0.050), (0.3, 0.048), (0.65, 0.038), (0.88, 0.032), (1.0, 0.0315), (1.1, 0.030),
        (1.3, 0.034), (1.65, 0.026), (1.9, 0.020), (2.0, 0.0205))  # fmt: skip
# Of the trunk from below: share of the way up from the pelvis to the neck, half width, half depth, how far forward.
# Shares below 0 are parts of the height.
_TRUNK = ((-0.060, 0.030, 0.034, 0.0), (-0.045, 0.062, 0.050, 0.0), (-0.015, 0.088, 0.060, -0.004),
          (0.08, 0.086, 0.060, -0.002), (0.22, 0.073, 0.052, 0.002), (0.37, 0.072, 0.052, 0.004),
          (0.53, 0.084, 0.058, 0.006), (0.65, 0.094, 0.062, 0.006), (0.78, 0.096, 0.058, 0.002),
          (0.90, 0.074, 0.046, 0.0), (0.98, 0.040, 0.034, 0.0))  # fmt: skip
# Of a foot from the heel to the tip: place between ankle (0), toe joint (1) and tip (2), half width, height.
_FOOT = ((-0.42, 0.010, 0.018), (-0.36, 0.017, 0.034), (-0.1, 0.020, 0.050), (0.3, 0.021, 0.044), (0.7, 0.0245, 0.032),
         (1.0, 0.0255, 0.025), (1.5, 0.0235, 0.020), (1.85, 0.017, 0.015), (2.0, 0.009, 0.009))  # fmt: skip
_TIP, _HAND = 0.032, 0.105
"""Lengths beyond the toe joint and the wrist, as parts of the height."""
_TOE_SPRING = 0.008
"""Height of the sole at the tip: joints say nothing of toes, which would else go into the floor as the heel rises."""
_ROUND = np.deg2rad([75.0, 50.0, 25.0])


@dataclass(frozen=True)
class Mesh:
    """A skinned mesh in the rest pose.

    Attributes:
        positions, normals: (N, 3) float32.
        joints: (N, 4) uint8, joints that each vertex follows.
        weights: (N, 4) float32, how much, each row of sum 1.
        triangles: for each material (M, 3) vertices, counter-clockwise seen from outside.
    """

    positions: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    weights: np.ndarray
    triangles: dict[str, np.ndarray]


def build_mannequin(rest: np.ndarray) -> Mesh:
    """The mesh around joints (J, 3) in a T-pose: Y up, facing +Z, metres, the soles at y = 0."""
    body = _Body(rest, PLANS[len(rest)])
    body.trunk()
    body.head()
    for side in (LEFT, RIGHT):
        body.limb([body.role(f"{side}{part}") for part in ("UpperLeg", "LowerLeg", "Foot")], _LEG, side)
        body.foot(side)
        body.shoulder(side)
        body.limb([body.role(f"{side}{part}") for part in ("UpperArm", "LowerArm", "Hand")], _ARM, side)
        body.hand(side)
    return body.mesh()


def _smooth(x: float) -> float:
    """0 below 0, 1 above 1, and smooth between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def _at(x: float, y: float, z: float) -> np.ndarray:
    return np.array([x, y, z], dtype=np.float64)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / max(float(np.linalg.norm(v)), 1e-9)


class _Body:
    """Collects rings of vertices and the triangles between them."""

    def __init__(self, rest: np.ndarray, plan: BodyPlan) -> None:
        self.rest, self.plan = rest, plan
        self.height = 1.1 * float(rest[:, 1].max())
        self.positions: list[np.ndarray] = []
        self.weights: list[Weights] = []
        self.triangles: dict[str, list[tuple[int, int, int]]] = {name: [] for name in COLORS}

    def role(self, name: str) -> int:
        """The joint that turns a bone, by VRM's name."""
        return self.plan.roles[name]

    def limb(self, chain: list[int], profile: Sequence[tuple[float, float]], side: str) -> None:
        """An arm or leg along three joints, round at its upper end."""
        upper, middle, end = (self.rest[joint] for joint in chain)
        parent = self.plan.parents[chain[0]]
        axis = _unit(middle - upper)
        first = profile[0][1] * self.height
        rings = [
            (
                self._along((upper, middle, end), profile[0][0]) - first * np.sin(angle) * axis,
                first * np.cos(angle),
                0.0,
            )
            for angle in _ROUND
        ]
        rings += [(self._along((upper, middle, end), at), r * self.height, at) for at, r in profile]
        ahead = np.array([0.0, 0.0, 1.0])
        across = _unit(ahead - (ahead @ axis) * axis)
        over = np.cross(axis, across)
        self._surface([(c, r * across, r * over, self._limb_weights(at, [parent, *chain])) for c, r, at in rings], side)

    @staticmethod
    def _along(points: Sequence[np.ndarray], place: float) -> np.ndarray:
        """The point at a place between points; beyond the ends the line goes on."""
        k = min(max(int(np.floor(place)), 0), len(points) - 2)
        return points[k] + (place - k) * (points[k + 1] - points[k])

    @staticmethod
    def _limb_weights(place: float, joints: list[int]) -> Weights:
        """Whom a ring follows: at its upper end the body too, near elbow or knee both bones."""
        parent, upper, lower, _ = joints
        if place < 0.5:
            share = 0.5 + 0.5 * _smooth(place / 0.3)
            return {upper: share, parent: 1 - share}
        share = _smooth((place - 0.85) / 0.3)
        return {upper: 1 - share, lower: share}

    def trunk(self) -> None:
        """From the crotch to the neck; a ring follows the spine's bones below and above it."""
        spine = list(self.plan.spine)
        # KIT-ML's chest is where its neck begins.
        joints = [*spine, self.role("neck")] if "neck" in self.plan.roles else spine
        points = self.rest[joints]
        up = np.concatenate(([0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()))
        up /= up[-1]
        # A bone's own part is where only it is followed.
        own = np.concatenate(((up[1:] + up[:-1]) / 2, up[-1:]))[: len(spine)]
        hips = abs(float(self.rest[self.role("leftUpperLeg"), 0])) + 0.042 * self.height
        rings = []
        for share, wide, deep, forward in _TRUNK:
            low = points[0] + _at(0, min(share, 0.0) * self.height, 0)
            middle = low if share < 0 else np.array([np.interp(share, up, points[:, axis]) for axis in range(3)])
            k = min(max(int(np.searchsorted(own, share)) - 1, 0), len(spine) - 2)
            above = float(np.interp(share, own[k : k + 2], (0.0, 1.0)))
            weights = {spine[k]: 1 - above, spine[k + 1]: above}
            # Around the hips as wide as they are.
            width = max(wide * self.height, hips) if -0.02 < share < 0.1 else wide * self.height
            across, over = _at(0, 0, deep * self.height), _at(width, 0, 0)
            rings.append((middle + _at(0, 0, forward * self.height), across, over, weights))
        self._surface(rings, MIDDLE)

    def head(self) -> None:
        """Neck, head and visor."""
        head, chest = self.role("head"), self.plan.spine[-1]
        neck = self.plan.roles.get("neck", chest)
        at, size = self.rest[head], self.height
        start = self.rest[neck] - _at(0, 0.02 * size, 0)
        middle = at + _at(0, 0.042 * size, 0.008 * size)
        axis = _unit(middle - start)
        ahead = _unit(np.array([0, 0, 1.0]) - axis[2] * axis)
        over = np.cross(axis, ahead)
        rings = []
        for share, radius in ((0.0, 0.034), (0.35, 0.029), (0.8, 0.028)):
            weights = {chest: 1.0} if neck == chest else {chest: 1 - _smooth(2 * share), neck: _smooth(2 * share)}
            if share > 0.5:
                weights = {neck: 0.5, head: 0.5}
            r = radius * size
            rings.append((start + share * (middle - start), r * ahead, r * over, weights))
        self._surface(rings, MIDDLE)
        self._ball(middle, np.array([0.044, 0.064, 0.053]) * size, head, MIDDLE)
        self._ball(middle + _at(0, 0.008 * size, 0.030 * size), np.array([0.035, 0.016, 0.028]) * size, head, VISOR)

    def shoulder(self, side: str) -> None:
        """Between the chest and the arm."""
        arm, chest = self.role(f"{side}UpperArm"), self.plan.spine[-1]
        collar = self.plan.roles.get(f"{side}Shoulder", chest)
        end, size = self.rest[arm], self.height
        start = end * [0.25, 1, 1] + np.array([0, 0.012, -0.002]) * size
        axis = _unit(end - start)
        across = _unit(np.array([0, 0, 1.0]) - axis[2] * axis)
        over = np.cross(axis, across)
        rings = []
        for share, radius in ((0.0, 0.030), (0.5, 0.035), (0.9, 0.031), (1.1, 0.024), (1.2, 0.012)):
            weights = {chest: 1 - _smooth(2 * share), collar: _smooth(2 * share)} if collar != chest else {chest: 1.0}
            r = radius * size
            rings.append((start + share * (end - start), 1.1 * r * across, r * over, weights))
        self._surface(rings, MIDDLE)

    def hand(self, side: str) -> None:
        """A mitten with a thumb, palm down."""
        wrist, elbow = self.role(f"{side}Hand"), self.role(f"{side}LowerArm")
        at, size = self.rest[wrist], self.height
        axis = _unit(at - self.rest[elbow])
        ahead = _unit(np.array([0, 0, 1.0]) - axis[2] * axis)
        over = np.cross(axis, ahead)
        self._surface(
            [
                (
                    at + along * _HAND * size * axis,
                    wide * size * ahead,
                    thick * size * over,
                    {wrist: 1.0} if along > 0.15 else {elbow: 0.5, wrist: 0.5},
                )
                for along, wide, thick in (
                    (-0.05, 0.0135, 0.0125), (0.2, 0.018, 0.011), (0.5, 0.0225, 0.010), (0.8, 0.020, 0.008),
                    (0.97, 0.013, 0.006), (1.0, 0.006, 0.003),
                )
            ],
            side,
        )  # fmt: skip
        root, out = at + 0.03 * size * axis + 0.012 * size * ahead, _unit(axis + 0.9 * ahead)
        flat = _unit(ahead - (ahead @ out) * out)
        thumb = ((0.0, 0.008), (0.45, 0.0075), (0.85, 0.006), (1.0, 0.002))
        up = np.cross(out, flat)
        self._surface(
            [(root + s * 0.036 * size * out, r * size * flat, r * size * up, {wrist: 1.0}) for s, r in thumb], side
        )

    def foot(self, side: str) -> None:
        """A shoe with a flat sole."""
        ankle, toe = self.role(f"{side}Foot"), self.role(f"{side}Toes")
        ends = self.plan.children[toe]
        level = np.array([1, 0, 1])
        start, ball = self.rest[ankle] * level, self.rest[toe] * level
        axis = _unit(ball - start)
        tip = self.rest[ends[0]] * level if ends else ball + _TIP * self.height * axis
        across = np.cross(np.array([0, 1.0, 0]), axis)
        rings = []
        for place, wide, high in _FOOT:
            lift = _TOE_SPRING * max(place - 1, 0.0) * self.height
            middle = self._along((start, ball, tip), place) + _at(0, high * self.height / 2 + lift, 0)
            share = _smooth((place - 0.75) / 0.5)
            up = _at(0, high * self.height / 2, 0)
            rings.append((middle, wide * self.height * across, up, {ankle: 1 - share, toe: share}))
        self._surface(rings, side, flat=True)

    def _ball(self, middle: np.ndarray, radii: np.ndarray, joint: int, color: str) -> None:
        """An ellipsoid that follows one joint."""
        rings = []
        for angle in np.linspace(-np.pi / 2, np.pi / 2, 11)[1:-1]:
            wide = np.cos(angle) * radii
            at = middle + _at(0, radii[1] * np.sin(angle), 0)
            rings.append((at, np.array([0, 0, wide[2]]), np.array([wide[0], 0, 0]), {joint: 1.0}))
        self._surface(rings, color)

    def _surface(
        self, rings: list[tuple[np.ndarray, np.ndarray, np.ndarray, Weights]], color: str, flat: bool = False
    ) -> None:
        """Triangles between neighbouring ellipses (middle, half axes, weights), and over both ends.

        Half axes and the way from ring to ring are right-handed; `flat` presses the ellipses to squares with round
        upper corners.
        """
        first = len(self.weights)
        angles = np.arange(SIDES) * 2 * np.pi / SIDES
        cos, sin = np.cos(angles), np.sin(angles)
        if flat:
            cos = np.sign(cos) * np.abs(cos) ** 0.6
            sin = np.where(sin < 0, -(np.abs(sin) ** 0.3), sin)
        for middle, across, over, weights in rings:
            self.positions.append(middle + np.outer(cos, across) + np.outer(sin, over))
            self.weights += [{joint: share for joint, share in weights.items() if share > 0}] * SIDES
        faces = self.triangles[color]
        for ring in range(len(rings) - 1):
            low = first + ring * SIDES
            for k in range(SIDES):
                a, b = low + k, low + (k + 1) % SIDES
                faces += [(a, b, b + SIDES), (a, b + SIDES, a + SIDES)]
        last = first + (len(rings) - 1) * SIDES
        for k in range(1, SIDES - 1):
            faces += [(first, first + k + 1, first + k), (last, last + k, last + k + 1)]

    def mesh(self) -> Mesh:
        """All of it, with normals that are smooth over each surface."""
        positions = np.concatenate(self.positions)
        triangles = {name: np.array(faces) for name, faces in self.triangles.items()}
        normals = np.zeros_like(positions)
        for faces in triangles.values():
            a, b, c = (positions[faces[:, i]] for i in range(3))
            normal = np.cross(b - a, c - a)
            for i in range(3):
                np.add.at(normals, faces[:, i], normal)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        joints = np.zeros((len(positions), 4), dtype=np.uint8)
        weights = np.zeros((len(positions), 4), dtype=np.float32)
        for vertex, shares in enumerate(self.weights):
            joints[vertex, : len(shares)], weights[vertex, : len(shares)] = list(shares), list(shares.values())
        weights /= weights.sum(1, keepdims=True)
        return Mesh(positions.astype(np.float32), normals.astype(np.float32), joints, weights, triangles)
