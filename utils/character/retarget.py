"""From the rotations of a motion to those of a character's bones.

The rest poses are aligned first: the character turns to face +Z, and its arms and legs come to lie as in our T-pose.
Each bone then takes the orientation that the motion's has. Bone lengths stay the character's; the path of the hips is
scaled by the legs, and two-bone inverse kinematics puts the feet where the motion has them, in that scale.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lamp.utils.character.rig import Rig, turns_of
from lamp.utils.errors import UserError
from lamp.utils.export.fit import SkeletonFit, world_rotations
from lamp.utils.gltf.animation import rest_positions
from lamp.utils.kinematics.foot_contact import SOLE, two_bones
from lamp.utils.kinematics.geometry import (
    quat_between,
    quat_from_yaw,
    quat_identity,
    quat_inverse,
    quat_multiply,
    quat_rotate,
)

SIDES = ("left", "right")
_SPINE = ("spine", "chest", "upperChest")
_FOOT = 0.15
"""Metres: greatest height of the lowest foot joint above the soles, of a body of our size."""
_REACH = 0.9995
"""Of a leg's length, so that a knee never locks."""


@dataclass(frozen=True)
class Retargeted:
    """A motion on a character.

    Attributes:
        rotations: (T, 4) local rotations of bones, by their place in the rig's list.
        hips: (T, 3) local translation of the hips.
    """

    rotations: dict[int, Tensor]
    hips: Tensor


def retarget(fit: SkeletonFit, rig: Rig) -> Retargeted:
    """Put a motion on a character.

    Args:
        fit: the motion.
        rig: the character.

    Raises:
        UserError: the character stands on its head, or has legs of no length.
    """
    return _Retargeting(fit, rig).run()


class _Retargeting:
    """One motion and one character; places are metres in the scene, Y up."""

    def __init__(self, fit: SkeletonFit, rig: Rig) -> None:
        self.rig, self.bones = rig, rig.bones
        self.joints = torch.from_numpy(fit.joints * fit.millimetres / 1000)
        self.our_rest = torch.from_numpy(rest_positions(fit))
        self.our_turns = torch.stack(world_rotations(torch.from_numpy(fit.rotations), fit.plan), dim=1)
        self.joint_of = {role: joint for role, joint in fit.plan.roles.items() if role in self.bones}
        spine = [role for role in _SPINE if role in self.joint_of]
        if spine:  # whatever the character has of it, the chest turns as ours
            self.joint_of[spine[-1]] = fit.plan.spine[-1]
        self.places = torch.from_numpy(rig.places.copy())
        self.rest_turns = turns_of(rig.world)
        self.facing = quat_from_yaw(self._yaw())
        legs = [self._length(self.places, [self.bones[f"{side}{p}"] for p in _LEG]) for side in SIDES]
        ours = [self._length(self.our_rest, [fit.plan.roles[f"{side}{p}"] for p in _LEG]) for side in SIDES]
        if not min(legs) > 1e-6:
            raise UserError("the character has legs of no length; export it with its rest pose")
        self.scale = sum(legs) / sum(ours)

    @staticmethod
    def _length(places: Tensor, chain: list[int]) -> float:
        return float((places[chain[1:]] - places[chain[:-1]]).norm(dim=-1).sum())

    def _bone(self, role: str) -> Tensor:
        return self.places[self.bones[role]]

    def _yaw(self) -> Tensor:
        """Angle about Y that makes the character face +Z."""
        up = self._bone("head") - self._bone("hips")
        left = sum((self._bone(f"left{p}") - self._bone(f"right{p}") for p in ("UpperLeg", "UpperArm")), torch.zeros(3))
        if not up[1] > 0.5 * up.norm() or not left[[0, 2]].norm() > 0.3 * left.norm():
            raise UserError(
                "the character does not stand upright in its rest pose; export it with Y up, as glTF has it"
            )
        return torch.atan2(left[2], left[0])

    def _alignment(self) -> dict[str, Tensor]:
        """For each bone the rotation (4,) from the character's rest pose to our T-pose."""
        turns = {role: self.facing for role in self.joint_of}
        for side in SIDES:
            for chain in (("UpperArm", "LowerArm", "Hand"), _LEG):
                roles = [f"{side}{part}" for part in chain]
                turn = self.facing
                for role, after in pairwise(roles):
                    bone = quat_rotate(turn, self._bone(after) - self._bone(role))
                    ours = self.our_rest[self.joint_of[after]] - self.our_rest[self.joint_of[role]]
                    turn = quat_multiply(quat_between(bone, ours), turn)
                    turns[role] = turn
                turns[roles[-1]] = turn if chain[-1] == "Hand" else self._foot_turn(side)
        for side in SIDES:
            if f"{side}Toes" in turns:
                turns[f"{side}Toes"] = turns[f"{side}Foot"]
        return turns

    def _foot_turn(self, side: str) -> Tensor:
        """Of a foot only its heading is aligned: soles are flat in both rest poses."""
        toes = f"{side}Toes"
        if toes not in self.joint_of:
            return self.facing
        bone = quat_rotate(self.facing, self._bone(toes) - self._bone(f"{side}Foot"))
        ours = self.our_rest[self.joint_of[toes]] - self.our_rest[self.joint_of[f"{side}Foot"]]
        turn = torch.atan2(ours[0], ours[2]) - torch.atan2(bone[0], bone[2])
        return quat_multiply(quat_from_yaw(turn), self.facing)

    def run(self) -> Retargeted:
        """Rotations and places."""
        align = self._alignment()
        world = {
            self.bones[role]: quat_multiply(
                quat_multiply(self.our_turns[:, joint], align[role]), self.rest_turns[self.bones[role]]
            )
            for role, joint in self.joint_of.items()
        }
        hips = self._hips(world)
        for side in SIDES:
            self._plant(side, world, hips)
        rotations = {}
        for bone, turn in world.items():
            parent = self.rig.parents[bone]
            above = self._orientation(parent, world) if parent >= 0 else quat_identity(1, like=turn)
            rotations[bone] = F.normalize(quat_multiply(quat_inverse(above), turn), dim=-1)
        return Retargeted(rotations, self._into_parent(self.bones["hips"], hips))

    def _orientation(self, node: int, world: dict[int, Tensor]) -> Tensor:
        """Orientation (T, 4) of any node: with the bone that it hangs on, or as at rest."""
        rest = self.rest_turns[node]
        while node >= 0 and node not in world:
            node = self.rig.parents[node]
        if node < 0:
            return rest[None]
        return quat_multiply(world[node], quat_multiply(quat_inverse(self.rest_turns[node]), rest))

    def _place(self, role: str, world: dict[int, Tensor], hips: Tensor) -> Tensor:
        """Where a bone is (T, 3), by forward kinematics."""
        path = [self.bones[role]]
        while path[-1] != self.bones["hips"]:
            path.append(self.rig.parents[path[-1]])
            if path[-1] < 0:
                raise UserError(
                    f"the character's {role} does not hang on its hips; name its bones with --character_map"
                )
        place = hips
        for parent, node in zip(path[:0:-1], path[-2::-1]):
            offset = quat_rotate(quat_inverse(self.rest_turns[parent]), self.places[node] - self.places[parent])
            place = place + quat_rotate(self._orientation(parent, world), offset)
        return place

    def _ankle_lift(self) -> Tensor:
        """How much higher (3,) the character's ankles stand above the floor than ours, in its scale."""
        ours = torch.stack([self.our_rest[self.joint_of[f"{side}Foot"], 1] for side in SIDES]).mean()
        theirs = torch.stack([self._bone(f"{side}Foot")[1] for side in SIDES]).mean() - self._floor()
        return torch.stack((theirs * 0, theirs - self.scale * ours, theirs * 0))

    def _floor(self) -> float:
        """Height of the floor under the character's rest pose: 0, unless its feet are not near that."""
        toes = [role for side in SIDES for role in (f"{side}Foot", f"{side}Toes") if role in self.bones]
        lowest = min(float(self._bone(role)[1]) for role in toes)
        return 0.0 if 0 <= lowest <= _FOOT * self.scale else lowest - SOLE * self.scale

    def _hips(self, world: dict[int, Tensor]) -> Tensor:
        """Places (T, 3) of the hips: where the legs begin is where ours do, in the character's scale."""
        start = self.joints[:, [self.joint_of[f"{side}UpperLeg"] for side in SIDES]].mean(1) * self.scale
        at_origin = torch.stack(
            [self._place(f"{side}UpperLeg", world, torch.zeros_like(start)) for side in SIDES]
        ).mean(0)
        return start + self._ankle_lift() - at_origin

    def _plant(self, side: str, world: dict[int, Tensor], hips: Tensor) -> None:
        """Turn thigh and shin so that the ankle is where ours is, in the character's scale; the foot keeps its turn."""
        upper, lower, foot = (f"{side}{part}" for part in _LEG)
        hip, knee, ankle = (self._place(role, world, hips) for role in (upper, lower, foot))
        goal = self.joints[:, self.joint_of[foot]] * self.scale + self._ankle_lift()
        thigh, shin = (knee - hip).norm(dim=-1, keepdim=True), (ankle - knee).norm(dim=-1, keepdim=True)
        lengths = (thigh.numpy(), shin.numpy())
        solved = two_bones(hip.numpy(), goal.numpy(), lengths, (knee - hip).numpy(), _REACH)
        new_knee, new_ankle = map(torch.from_numpy, solved)
        for role, before, after in ((upper, knee - hip, new_knee - hip), (lower, ankle - knee, new_ankle - new_knee)):
            world[self.bones[role]] = quat_multiply(quat_between(before, after), world[self.bones[role]])

    def _into_parent(self, node: int, place: Tensor) -> Tensor:
        """Places (T, 3) in the frame of a node's parent, which stands still."""
        parent = self.rig.parents[node]
        if parent < 0:
            return place
        inverse = np.linalg.inv(self.rig.world[parent])
        return place @ torch.from_numpy(inverse[:3, :3].T) + torch.from_numpy(inverse[:3, 3])


_LEG = ("UpperLeg", "LowerLeg", "Foot")
