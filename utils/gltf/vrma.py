"""VRMA: a motion for VRM avatars (the glTF extension VRMC_vrm_animation 1.0): bones, no mesh."""

from pathlib import Path
from typing import TYPE_CHECKING

from lamp.utils.gltf.animation import add_motion, add_skeleton, rest_positions
from lamp.utils.gltf.container import Gltf

if TYPE_CHECKING:
    from lamp.utils.motion import Motion

EXTENSION = "VRMC_vrm_animation"


def write(motion: "Motion", path: Path) -> None:
    """Write a motion; an avatar plays it with its own proportions."""
    fit, gltf = motion.rotations(), Gltf()
    nodes = add_skeleton(gltf, fit, rest_positions(fit))
    bones = {role: {"node": nodes[joint]} for role, joint in fit.plan.roles.items()}
    gltf.document["extensionsUsed"] = [EXTENSION]
    gltf.document["extensions"] = {EXTENSION: {"specVersion": "1.0", "humanoid": {"humanBones": bones}}}
    gltf.document["scene"] = gltf.add("scenes", {"nodes": [nodes[0]]})
    add_motion(gltf, motion.text or "motion", motion.fps, fit, nodes)
    gltf.save(path)
