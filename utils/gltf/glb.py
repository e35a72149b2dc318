"""GLB: the mannequin with a motion, for three.js, Blender, Unity, Godot and the viewers of Windows and macOS."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lamp.utils.gltf.animation import add_motion, add_skeleton, rest_positions
from lamp.utils.gltf.container import INDICES, VERTICES, Gltf
from lamp.utils.gltf.mannequin import COLORS, Mesh, build_mannequin

if TYPE_CHECKING:
    from lamp.utils.motion import Motion


def write(motion: "Motion", path: Path) -> None:
    """Write a motion on a skinned mannequin whose bones are the motion's, in metres."""
    fit, gltf = motion.rotations(), Gltf()
    rest = rest_positions(fit)
    nodes = add_skeleton(gltf, fit, rest)
    to_bones = np.tile(np.eye(4, dtype=np.float32), (len(rest), 1, 1))
    to_bones[:, :3, 3] = -rest
    skin = {"joints": nodes, "skeleton": nodes[0], "inverseBindMatrices": gltf.accessor(to_bones)}
    body = {"name": "Mannequin", "mesh": _add_mesh(gltf, build_mannequin(rest)), "skin": gltf.add("skins", skin)}
    # A skinned mesh stands beside its skeleton: its own place counts for nothing.
    gltf.document["scene"] = gltf.add("scenes", {"nodes": [nodes[0], gltf.add("nodes", body)]})
    add_motion(gltf, motion.text or "motion", motion.fps, fit, nodes)
    gltf.save(path)


def _add_mesh(gltf: Gltf, mesh: Mesh) -> int:
    shared = {
        "POSITION": gltf.accessor(mesh.positions, VERTICES),
        "NORMAL": gltf.accessor(mesh.normals, VERTICES),
        "JOINTS_0": gltf.accessor(mesh.joints, VERTICES),
        "WEIGHTS_0": gltf.accessor(mesh.weights, VERTICES),
    }
    primitives = []
    for name, faces in mesh.triangles.items():
        color = [*((np.array(COLORS[name]) / 255) ** 2.2).round(4).tolist(), 1.0]
        surface = {"baseColorFactor": color, "metallicFactor": 0.0, "roughnessFactor": 0.7}
        material = gltf.add("materials", {"name": name, "pbrMetallicRoughness": surface})
        indices = gltf.accessor(faces.astype(np.uint16).reshape(-1), INDICES)
        primitives.append({"attributes": shared, "indices": indices, "material": material})
    return gltf.add("meshes", {"name": "Mannequin", "primitives": primitives})
