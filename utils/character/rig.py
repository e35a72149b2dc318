"""The skeleton of a character file: its nodes in the rest pose, and which of them are the bones of a human."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError
from lamp.utils.capture.joint_names import joint_keys, plain_key
from lamp.utils.capture.skeletons import fit_joint_map
from lamp.utils.capture.take import Take
from lamp.utils.errors import UserError
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.files import shown
from lamp.utils.gltf.container import Gltf
from lamp.utils.kinematics.geometry import matrix_to_quat
from lamp.utils.reading import reading

_LARGEST = 1e6
"""Metres, and sizes of nodes."""
_LIMBS = ("UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")
NEEDED = ("hips", "head", *(f"{side}{part}" for side in ("left", "right") for part in _LIMBS))
"""Bones without which no motion can be put on a character, by VRM's names."""


@dataclass(frozen=True)
class Rig:
    """A character's nodes, parents before children.

    Attributes:
        nodes: their indices in the file.
        parents: place of each node's parent in this list, -1 for none.
        local: (N, 4, 4) rest transforms in the parents' frames.
        world: (N, 4, 4) the same in the scene: metres, Y up.
        bones: place in this list of each bone, by VRM's name.
    """

    nodes: list[int]
    parents: list[int]
    local: np.ndarray
    world: np.ndarray
    bones: dict[str, int]

    @property
    def places(self) -> np.ndarray:
        """Where the nodes are in the rest pose (N, 3)."""
        return self.world[:, :3, 3]


def read_rig(gltf: Gltf, path: Path, joint_map: JointMap | None = None) -> Rig:
    """The skeleton of a character.

    Bones are those that a VRM file names, or those of `joint_map`, or are found by the names that the usual programs
    give them (`utils/capture/skeletons.json`), or by the skeleton's structure.

    Args:
        gltf: the file's document.
        path: its name, for errors.
        joint_map: from our 22 joints to names of nodes.

    Raises:
        UserError: no skin, or no human's skeleton.
    """
    with reading(path, "character"):
        nodes = gltf.document.get("nodes", [])
        order = _ordered(nodes)
        place = {node: i for i, node in enumerate(order)}
        parent_of = {child: node for node in order for child in nodes[node].get("children", ())}
        parents = [place[parent_of[node]] if node in parent_of else -1 for node in order]
        local = np.stack([matrix_of(nodes[node]) for node in order]) if order else np.zeros((0, 4, 4))
        world = local.copy()
        for i, parent in enumerate(parents):
            world[i] = local[i] if parent < 0 else world[parent] @ local[i]
        if not (np.abs(world) < _LARGEST).all():
            raise ValueError("its nodes are beyond all measure")
        names = [str(nodes[node].get("name", f"node{node}")) for node in order]
        skinned = {place[joint] for skin in gltf.document.get("skins", []) for joint in skin["joints"]}
        if not skinned:
            raise UserError(f"{path} has no skin: a character needs a mesh that is bound to bones; export it rigged")
        bones = {role: place[node] for role, node in _vrm_bones(gltf.document).items()}
        if joint_map is not None:
            bones = _mapped(joint_map, names, path)
        elif not bones:
            bones = _found(names, parents, world, skinned, path)
    if missing := [role for role in NEEDED if role not in bones]:
        raise UserError(f"{path} has no bones for {', '.join(missing[:4])}; name them with --character_map")
    return Rig(order, parents, local, world, bones)


def _ordered(nodes: list[dict[str, Any]]) -> list[int]:
    """All nodes, parents before children.

    Raises:
        ValueError: they are no forest.
    """
    children = {child for node in nodes for child in node.get("children", ())}
    pending = [index for index in range(len(nodes)) if index not in children][::-1]
    order: list[int] = []
    while pending:
        node = pending.pop()
        order.append(node)
        pending += reversed(nodes[node].get("children", []))
        if len(order) > len(nodes):
            break
    if len(order) != len(nodes) or len(set(order)) != len(nodes):
        raise ValueError("its nodes are no tree")
    return order


def matrix_of(node: Mapping[str, Any]) -> np.ndarray:
    """A node's transform (4, 4) in its parent's frame."""
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    matrix = np.eye(4)
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    matrix[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    matrix[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return matrix


def turns_of(matrices: np.ndarray) -> torch.Tensor:
    """Rotations (N, 4) of transforms (N, 4, 4), whatever their scales."""
    turns = matrices[:, :3, :3] / np.maximum(np.linalg.norm(matrices[:, :3, :3], axis=1, keepdims=True), 1e-12)
    return matrix_to_quat(torch.from_numpy(turns))


def _vrm_bones(document: Mapping[str, Any]) -> dict[str, int]:
    """Node of each humanoid bone that a VRM file names (1.0 or 0.x)."""
    extensions = document.get("extensions", {})
    if "VRMC_vrm" in extensions:
        return {role: bone["node"] for role, bone in extensions["VRMC_vrm"]["humanoid"]["humanBones"].items()}
    return {bone["bone"]: bone["node"] for bone in extensions.get("VRM", {}).get("humanoid", {}).get("humanBones", ())}


def _roles(joint_map: JointMap) -> dict[str, str]:
    """Names of nodes by VRM's bone names; our joints that are points between two have no bone."""
    names = HUMAN_PLAN.skeleton.joint_names
    sources = {role: joint_map[names[joint]] for role, joint in HUMAN_PLAN.roles.items()}
    return {role: source for role, source in sources.items() if isinstance(source, str)}


def _mapped(joint_map: JointMap, names: list[str], path: Path) -> dict[str, int]:
    keys = joint_keys(names)
    bones = {}
    for role, name in _roles(joint_map).items():
        found = [i for i, other in enumerate(names) if other == name]
        found = found or [i for i, key in enumerate(keys) if key == plain_key(name)]
        if len(found) != 1:
            raise UserError(f"{path}: the map's {shown(name)} is not there, or not only once; check --character_map")
        bones[role] = found[0]
    return bones


def _found(names: list[str], parents: list[int], world: np.ndarray, skinned: set[int], path: Path) -> dict[str, int]:
    """Bones by names or structure, among the nodes that a skin moves and what they hang on."""
    used = set(skinned)
    for joint in skinned:
        while (joint := parents[joint]) >= 0:
            used.add(joint)
    chosen = sorted(used)
    place = {node: i for i, node in enumerate(chosen)}
    unique: list[str] = []
    for node in chosen:
        name, number = names[node], 1
        while name in unique:
            number += 1
            name = f"{names[node]}#{number}"
        unique.append(name)
    still = torch.from_numpy(world[chosen, :3, 3]).expand(2, len(chosen), 3)
    take = Take(unique, [place.get(parents[node], -1) for node in chosen], still, 20.0)
    try:
        joint_map = fit_joint_map(take).joint_map
    except UnknownSkeletonError as error:
        text = str(error).replace("--joint_map", "--character_map")
        raise UnknownSkeletonError(f"{path}: {text}", error.draft) from error
    return {role: chosen[unique.index(name)] for role, name in _roles(joint_map).items()}
