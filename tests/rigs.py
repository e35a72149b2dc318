"""Characters to test with: rigged mannequins with other names, rest poses, axes, sizes and further bones."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from lamp.utils.character.rig import matrix_of
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.export.fit import SkeletonFit, forward, rest_directions
from lamp.utils.gltf.container import INDICES, VERTICES, Gltf
from lamp.utils.gltf.mannequin import build_mannequin
from lamp.utils.kinematics.geometry import matrix_to_quat, quat_from_euler, quat_multiply, quat_rotate, quat_to_matrix
from lamp.utils.kinematics.skeleton import HUMANML3D

ROLES = HUMAN_PLAN.roles
_PARTS = ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand")
_ROLE_PARTS = ("UpperLeg", "LowerLeg", "Foot", "Toes", "Shoulder", "UpperArm", "LowerArm", "Hand")


def _sided(form: str, names: tuple[str, ...]) -> dict[str, str]:
    return {
        f"{side}{part}": form.format(side=side.capitalize(), s=side[0], part=name)
        for side in ("left", "right")
        for part, name in zip(_ROLE_PARTS, names)
    }


MIXAMO = {
    "hips": "mixamorig:Hips", "spine": "mixamorig:Spine", "chest": "mixamorig:Spine1", "upperChest": "mixamorig:Spine2",
    "neck": "mixamorig:Neck", "head": "mixamorig:Head", **_sided("mixamorig:{side}{part}", _PARTS),
}  # fmt: skip
UNREAL = {
    "hips": "pelvis", "spine": "spine_01", "chest": "spine_02", "upperChest": "spine_03", "neck": "neck_01",
    "head": "head",
    **_sided("{part}_{s}", ("thigh", "calf", "foot", "ball", "clavicle", "upperarm", "lowerarm", "hand")),
}  # fmt: skip
DAZ = {
    "hips": "hip", "spine": "abdomenLower", "chest": "abdomenUpper", "upperChest": "chestLower", "neck": "neckLower",
    "head": "head",
    **_sided("{s}{part}", ("ThighBend", "Shin", "Foot", "Toe", "Collar", "ShldrBend", "ForearmBend", "Hand")),
}  # fmt: skip
OURS = {role: HUMAN_PLAN.names[joint] for role, joint in ROLES.items()}
ODD = {role: f"b{number:02d}" for number, role in enumerate(ROLES)}


@dataclass(frozen=True)
class Recipe:
    """How to build a character.

    Attributes:
        names: of its bones, by role.
        pose: "T" or "A".
        scale: size against an adult.
        legs, arms, wide: further factors of the lengths of those bones, and of hips and shoulders.
        yaw: radians that it is turned away from +Z.
        crooked: joints have axes of their own, in any direction.
        armature: its skeleton hangs on a node that is scaled and turned, as after an export by way of FBX.
        extra: twist bones within the limbs, and hair.
        vrm: "" or the version of the extension that names its bones.
        missing: bones that it does not have.
    """

    names: dict[str, str] = field(default_factory=lambda: MIXAMO)
    pose: str = "T"
    scale: float = 1.0
    legs: float = 1.0
    arms: float = 1.0
    wide: float = 1.0
    yaw: float = 0.0
    crooked: bool = False
    armature: bool = False
    extra: bool = False
    vrm: str = ""
    missing: tuple[str, ...] = ()


def body_of(recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray, SkeletonFit]:
    """Joints (22, 3) of the rest pose, and the mesh's places, normals and T-pose."""
    lengths = torch.tensor(HUMANML3D.bone_lengths, dtype=torch.float64)
    lengths[[4, 5, 7, 8]] *= recipe.legs
    lengths[[18, 19, 20, 21]] *= recipe.arms
    lengths[[1, 2, 13, 14, 16, 17]] *= recipe.wide
    offsets = (rest_directions() * lengths[:, None]).numpy() * recipe.scale
    euler = torch.zeros(1, 22, 3, dtype=torch.float64)
    if recipe.pose == "A":
        euler[0, 16, 0], euler[0, 17, 0] = -0.8, 0.8
        euler[0, 18, 1], euler[0, 19, 1] = -0.25, 0.25
        euler[0, 1, 0], euler[0, 2, 0] = 0.1, -0.1
        euler[0, 7, 0], euler[0, 8, 0] = -0.1, 0.1
    rotations = quat_from_euler(euler, "zyx").numpy()
    still = np.zeros_like(rotations)
    still[..., 0] = 1
    rest = forward(offsets, still, np.zeros((1, 3)))[0]
    rest = rest - [0, rest[:, 1].min() - 0.025 * recipe.scale, 0]
    posed = forward(offsets, rotations, rest[:1])
    posed = posed - [0, posed[..., 1].min() - 0.025 * recipe.scale, 0]
    mesh = build_mannequin(rest)
    local = torch.from_numpy(rotations)[0]
    world = [local[0]]
    for joint, parent in enumerate(HUMAN_PLAN.parents[1:], start=1):
        world.append(quat_multiply(world[parent], local[joint]))
    turns = torch.stack(world)
    vertices = np.zeros_like(mesh.positions, dtype=np.float64)
    for k in range(4):
        bone = mesh.joints[:, k].astype(int)
        moved = quat_rotate(turns[bone], torch.from_numpy(mesh.positions - rest[bone])).numpy() + posed[0][bone]
        vertices += mesh.weights[:, k : k + 1] * moved
    return posed[0], vertices, mesh.normals, mesh


def build(recipe: Recipe, path: Path) -> Path:
    """Write a character."""
    rng = np.random.default_rng(1)
    joints, vertices, normals, mesh = body_of(recipe)
    turn = quat_to_matrix(quat_from_euler(torch.tensor([recipe.yaw], dtype=torch.float64), "Y")).numpy()
    joints, vertices, normals = joints @ turn.T, vertices @ turn.T, normals @ turn.T
    gltf = Gltf()
    gltf.document["asset"]["copyright"] = "somebody"
    gltf.document["extras"] = {"made by": "tests"}
    top = np.eye(4)
    armature = {"name": "Armature"}
    if recipe.armature:
        armature |= {"scale": [0.01] * 3, "rotation": [0.5**0.5, 0.0, 0.0, 0.5**0.5]}
        top = matrix_of(armature)
    root = gltf.add("nodes", armature)
    node_of: dict[int, int] = {}
    world: dict[int, np.ndarray] = {root: top}

    def add(name: str, parent: int, place: np.ndarray, plain: bool = False) -> int:
        matrix = np.eye(4)
        if recipe.crooked and not plain:
            q = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal(4)), dim=0)
            matrix[:3, :3] = quat_to_matrix(q).numpy()
        matrix[:3, :3] *= np.linalg.norm(top[:3, 0])
        matrix[:3, 3] = place
        local = np.linalg.inv(world[parent]) @ matrix
        index = gltf.add("nodes", {"name": name})
        if name.endswith("Spine"):  # some exporters write matrices
            gltf.document["nodes"][index]["matrix"] = local.T.reshape(-1).tolist()
        else:
            size = np.linalg.norm(local[:3, :3], axis=0)
            q = matrix_to_quat(torch.from_numpy(local[:3, :3] / size))
            gltf.document["nodes"][index] |= {
                "translation": local[:3, 3].tolist(),
                "rotation": q[[1, 2, 3, 0]].tolist(),
                "scale": size.tolist(),
            }
        gltf.document["nodes"][parent].setdefault("children", []).append(index)
        world[index] = matrix
        return index

    roles = {joint: role for role, joint in ROLES.items()}
    for joint in HUMAN_PLAN.order:
        parent = HUMAN_PLAN.parents[joint]
        above = node_of[parent] if parent >= 0 else root
        if roles[joint] in recipe.missing:
            node_of[joint] = above
            continue
        if recipe.extra and joint in (18, 19):  # a twist bone between upper arm and forearm
            above = add(f"twist{joint}", above, (joints[joint] + joints[parent]) / 2)
        node_of[joint] = add(recipe.names[roles[joint]], above, joints[joint])
    if recipe.extra:
        add("hair", node_of[ROLES["head"]], joints[15] + [0, 0.2, 0])
    own = sorted(set(node_of.values()))
    bind = np.stack([np.linalg.inv(world[node]) for node in own]).astype(np.float32)
    skin = gltf.add("skins", {"joints": own, "inverseBindMatrices": gltf.accessor(bind)})
    slots = np.array([own.index(node_of[joint]) for joint in range(22)])
    weights, bound = _bound(mesh.joints, mesh.weights, slots)
    attributes = {
        "POSITION": gltf.accessor(vertices.astype(np.float32), VERTICES),
        "NORMAL": gltf.accessor(normals.astype(np.float32), VERTICES),
        "JOINTS_0": gltf.accessor(bound, VERTICES),
        "WEIGHTS_0": gltf.accessor(weights, VERTICES),
    }
    primitives = []
    for number, (name, faces) in enumerate(mesh.triangles.items()):
        colour = {"baseColorFactor": [0.2 + 0.2 * number, 0.6, 0.9 - 0.2 * number, 1.0], "metallicFactor": 0.0}
        material = gltf.add("materials", {"name": name, "pbrMetallicRoughness": colour})
        indices = gltf.accessor(faces.astype(np.uint16).reshape(-1), INDICES)
        primitives.append({"attributes": attributes, "indices": indices, "material": material})
    shape = gltf.add("meshes", {"name": "Body", "primitives": primitives})
    body = gltf.add("nodes", {"name": "Body", "mesh": shape, "skin": skin})
    gltf.document["scene"] = gltf.add("scenes", {"nodes": [root, body]})
    bones = {role: node_of[joint] for role, joint in ROLES.items() if role not in recipe.missing}
    if recipe.vrm == "1.0":
        human = {"humanBones": {role: {"node": node} for role, node in bones.items()}}
        meta = {"name": "hero", "authors": ["tests"], "licenseUrl": "https://vrm.dev/licenses/1.0/"}
        gltf.document["extensions"] = {"VRMC_vrm": {"specVersion": "1.0", "meta": meta, "humanoid": human}}
    elif recipe.vrm == "0.x":
        human = {"humanBones": [{"bone": role, "node": node} for role, node in bones.items()]}
        gltf.document["extensions"] = {"VRM": {"specVersion": "0.0", "meta": {"title": "hero"}, "humanoid": human}}
    if recipe.vrm:
        gltf.document["extensionsUsed"] = list(gltf.document["extensions"])
    gltf.save(path)
    return path


def _bound(joints: np.ndarray, weights: np.ndarray, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (N, 4) and bones (N, 4) where several of our joints can be one bone."""
    dense = np.zeros((len(joints), int(slots.max()) + 1), dtype=np.float32)
    for k in range(4):
        np.add.at(dense, (np.arange(len(joints)), slots[joints[:, k]]), weights[:, k])
    bones = np.argsort(-dense, axis=1)[:, :4]
    shares = np.take_along_axis(dense, bones, axis=1)
    return shares, np.where(shares > 0, bones, 0).astype(np.uint8)


def _array(gltf: Gltf, index: int) -> np.ndarray:
    accessor = gltf.document["accessors"][index]
    view = gltf.document["bufferViews"][accessor["bufferView"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    data = gltf.buffer[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.frombuffer(bytes(data), np.float32).reshape(-1, width).astype(np.float64)


def play(path: Path) -> dict[str, np.ndarray]:
    """Places (T, 3) of all nodes by name that the first animation of a file gives, in the scene."""
    gltf = Gltf.load(path)
    nodes, animation = gltf.document["nodes"], gltf.document["animations"][0]
    moving = {
        (channel["target"]["node"], channel["target"]["path"]): _array(
            gltf, animation["samplers"][channel["sampler"]]["output"]
        )
        for channel in animation["channels"]
    }
    frames = len(_array(gltf, animation["samplers"][0]["input"]))
    places: dict[str, np.ndarray] = {}

    def visit(index: int, above: np.ndarray) -> None:
        local = np.repeat(matrix_of(nodes[index])[None], frames, axis=0)
        if (index, "rotation") in moving:
            size = np.array(nodes[index].get("scale", (1, 1, 1)))
            quats = torch.from_numpy(moving[index, "rotation"][:, [3, 0, 1, 2]])
            local[:, :3, :3] = quat_to_matrix(quats).numpy() * size
        if (index, "translation") in moving:
            local[:, :3, 3] = moving[index, "translation"]
        here = above @ local
        places[nodes[index]["name"]] = here[:, :3, 3]
        for child in nodes[index].get("children", ()):
            visit(child, here)

    for root in gltf.document["scenes"][gltf.document["scene"]]["nodes"]:
        visit(root, np.repeat(np.eye(4)[None], frames, axis=0))
    return places
