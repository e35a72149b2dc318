"""A fitted motion as nodes and animation channels of a glTF document."""

from collections.abc import Mapping

import numpy as np

from lamp.utils.export.fit import SkeletonFit
from lamp.utils.gltf.container import Gltf
from lamp.utils.kinematics.foot_contact import SOLE


def add_skeleton(gltf: Gltf, fit: SkeletonFit, rest: np.ndarray) -> list[int]:
    """Add a node for each joint, in the rest pose, and return their indices in the motion's order.

    Args:
        gltf: the document.
        fit: whose skeleton is added.
        rest: (J, 3) joints of the rest pose, see `rest_positions`.
    """
    plan, names = fit.plan, fit.plan.names
    offsets = rest - rest[[max(parent, 0) for parent in plan.parents]]
    offsets[0] = rest[0]
    nodes = [gltf.add("nodes", {"name": name, "translation": o.tolist()}) for name, o in zip(names, offsets)]
    for joint in plan.order:
        if plan.parents[joint] >= 0:
            parent = gltf.document["nodes"][nodes[plan.parents[joint]]]
            parent.setdefault("children", []).append(nodes[joint])
    return nodes


def rest_positions(fit: SkeletonFit) -> np.ndarray:
    """Joints (J, 3) of the T-pose in metres, standing on the floor y = 0."""
    places = fit.rest_joints * fit.millimetres / 1000
    return places + np.array([0, SOLE - places[:, 1].min(), 0])


def add_motion(gltf: Gltf, name: str, fps: float, fit: SkeletonFit, nodes: list[int]) -> None:
    """Add the rotations of all joints and the places of the root as an animation, for the nodes of `add_skeleton`."""
    rotations = {node: fit.rotations[:, joint] for joint, node in enumerate(nodes) if fit.plan.children[joint]}
    add_animation(gltf, name, fps, rotations, {nodes[0]: fit.root * fit.millimetres / 1000})


def add_animation(
    gltf: Gltf,
    name: str,
    fps: float,
    rotations: Mapping[int, np.ndarray],
    translations: Mapping[int, np.ndarray],
    *,
    first: bool = False,
) -> None:
    """Add an animation with one key a frame.

    Args:
        gltf: the document.
        name: of the animation.
        fps: frames a second.
        rotations: by node, local quaternions (T, 4) as (w, x, y, z).
        translations: by node, (T, 3).
        first: put it before the animations that are there.
    """
    count = len(next(iter(rotations.values())))
    times = gltf.accessor((np.arange(count) / fps).astype(np.float32))
    samplers, channels = [], []
    values = [(node, "rotation", continuous(quats)[:, [1, 2, 3, 0]]) for node, quats in rotations.items()]
    values += [(node, "translation", places) for node, places in translations.items()]
    for node, path, keys in values:
        output = gltf.accessor(keys.astype(np.float32))
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})
    animations = gltf.document.setdefault("animations", [])
    animation = {"name": name, "samplers": samplers, "channels": channels}
    animations.insert(0 if first else len(animations), animation)


def continuous(quats: np.ndarray) -> np.ndarray:
    """Unit quaternions (T, 4) of the same rotations, each on the side of the one before; players do not spin then."""
    quats = quats / np.linalg.norm(quats, axis=-1, keepdims=True)
    turns = np.where((quats[1:] * quats[:-1]).sum(-1) < 0, -1.0, 1.0)
    return quats * np.concatenate(([1.0], np.cumprod(turns)))[:, None]
