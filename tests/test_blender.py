"""A motion on an FBX character by way of Blender; what needs bpy is marked `blender`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamp.prepare.blender_retarget import main
from lamp.utils.errors import LONGEST_MESSAGE
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.motion import Motion
from tests.rigs import MIXAMO, ODD, ROLES, UNREAL, Recipe, body_of
from tests.test_character import angles
from tests.test_export import walk
from tests.test_gltf import BLENDER, turning

IN_BLENDER = Path(__file__).resolve().with_name("in_blender.py")
TO_Z_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # Blender's axes
needs_blender = pytest.mark.skipif(not BLENDER, reason="LAMP_BLENDER_PYTHON names no Python that has bpy")


@dataclass(frozen=True)
class Fbx:
    """An FBX character: its body, the metres in its unit, and whether bones have rolls, are connected, and are more."""

    recipe: Recipe
    unit: float = 0.01
    rolls: bool = False
    connected: bool = False
    mapped: bool = False


RIGS = {
    "mixamo": Fbx(Recipe(MIXAMO)),
    "unreal": Fbx(Recipe(UNREAL, pose="A", scale=1.1, wide=1.3, extra=True), rolls=True, connected=True),
    "odd": Fbx(Recipe(ODD, pose="A", scale=0.6, legs=0.9, yaw=2.5), unit=1.0, rolls=True, mapped=True),
}
MOTIONS = {"walk.bvh": walk(40), "cartwheel.npz": turning("Z")}


def blender(*words: str | Path) -> None:
    """Run `in_blender.py`."""
    ended = subprocess.run([BLENDER or "", IN_BLENDER, *words], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]


def tell(folder: Path, *files: Path) -> list[dict[str, Any]]:
    """What is in files that Blender reads."""
    blender("tell", folder / "told.json", *files)
    told = json.loads((folder / "told.json").read_text())
    return [told[str(file)] for file in files]


def bones_of(rig: Fbx, joints: np.ndarray) -> list[dict[str, Any]]:
    """Bones for `in_blender.py` where the joints (22, 3) are; extra ones are a root, twists and hair."""
    rng, plan, names = np.random.default_rng(3), HUMAN_PLAN, rig.recipe.names
    role_of = {joint: role for role, joint in ROLES.items()}
    bones = []

    def add(name: str, parent: str, head: np.ndarray, tail: np.ndarray, connected: bool = False) -> None:
        roll = float(rng.uniform(-3, 3)) if rig.rolls else 0.0
        ends = {"head": (TO_Z_UP @ head).tolist(), "tail": (TO_Z_UP @ tail).tolist()}
        bones.append({"name": name, "parent": parent, "roll": roll, "connected": connected, **ends})

    if rig.recipe.extra:
        add("root", "", np.zeros(3), np.array([0, 0.2, 0]))
    for joint in plan.order:
        name, parent = names[role_of[joint]], plan.parents[joint]
        above = names[role_of[parent]] if parent >= 0 else "root" if rig.recipe.extra else ""
        children = plan.children[joint]
        tail = joints[children[0]] if children else joints[joint] + (joints[joint] - joints[parent]) / 2
        if rig.recipe.extra and joint in (18, 19):
            middle = (joints[joint] + joints[parent]) / 2
            add(f"twist{joint}", above, middle, joints[joint])
        first = parent >= 0 and plan.children[parent][0] == joint
        add(name, above, joints[joint], tail, connected=rig.connected and first)
    if rig.recipe.extra:
        add("hair", names["head"], joints[15] + [0, 0.2, 0], joints[15] + [0, 0.3, -0.1])
    return bones


def make_fbx(rig: Fbx, folder: Path, skinned: bool = True) -> Path:
    """Write a character."""
    joints, vertices, _, mesh = body_of(rig.recipe)
    role_of = {joint: role for role, joint in ROLES.items()}
    weights: dict[str, list[tuple[int, float]]] = {}
    for vertex, (bones, shares) in enumerate(zip(mesh.joints, mesh.weights)):
        for bone, share in zip(bones.tolist(), shares.tolist()):
            if share > 0:
                weights.setdefault(rig.recipe.names[role_of[bone]], []).append((vertex, share))
    sides = list(mesh.triangles)
    spec = {
        "unit": rig.unit,
        "yaw": rig.recipe.yaw,
        "bones": bones_of(rig, joints),
        "vertices": (vertices @ TO_Z_UP.T).tolist() if skinned else [],
        "faces": np.concatenate(list(mesh.triangles.values())).tolist(),
        "materials": {side: [0.2 + 0.2 * i, 0.6, 0.4, 1.0] for i, side in enumerate(sides)},
        "material_of_face": [i for i, side in enumerate(sides) for _ in mesh.triangles[side]],
        "weights": weights,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    blender("make", folder / "spec.json", folder / "hero.fbx")
    return folder / "hero.fbx"


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    """Run the script."""
    monkeypatch.setattr(sys, "argv", ["blender_retarget", *map(str, words)])
    main()


def flags(rig: Fbx, folder: Path) -> list[str | Path]:
    """The map of a character whose bones have no usual names."""
    if not rig.mapped:
        return []
    names = {HUMAN_PLAN.skeleton.joint_names[joint]: rig.recipe.names[role] for role, joint in ROLES.items()}
    (folder / "map.json").write_text(json.dumps(names))
    return ["--character_map", folder / "map.json"]


@needs_blender
@pytest.mark.blender
@pytest.mark.parametrize("name", RIGS)
def test_a_motion_on_an_fbx_character(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, hero = RIGS[name], make_fbx(RIGS[name], tmp_path)
    outs = {file: tmp_path / f"{file}.fbx" for file in MOTIONS}
    for file, joints in MOTIONS.items():
        source = Motion(joints).with_constant_bones().save(tmp_path / file)
        run(monkeypatch, source, hero, outs[file], "--up", "+y", *flags(rig, tmp_path))
    before, *afters = tell(tmp_path, hero, *outs.values())
    for (file, joints), after in zip(MOTIONS.items(), afters):
        motion = Motion(joints).with_constant_bones()
        assert after["fps"] == motion.fps and Path(file).stem in after["action"] and len(after["frames"]) == len(motion), file
        places = {
            bone: np.array([frame[bone] for frame in after["frames"]]) @ TO_Z_UP for bone in after["frames"][0]
        }
        found = angles(motion, places, rig.recipe.names)
        assert np.median(found) < 3 and np.median(found, axis=0).max() < 6 and found.max() < 25, file
        check_bones_and_skin(before, after, places)


def check_bones_and_skin(before: dict[str, Any], after: dict[str, Any], places: dict[str, np.ndarray]) -> None:
    """Skeleton, mesh, weights and materials are as they were, and bones keep their lengths in every frame."""
    assert after["parents"] == before["parents"]
    rest = {bone: np.array(matrix) for bone, matrix in before["rest"].items()}
    for bone, matrix in after["rest"].items():
        np.testing.assert_allclose(matrix, rest[bone], atol=1e-4, err_msg=bone)
    for bone, parent in before["parents"].items():
        if parent and parent != "root":
            length = np.linalg.norm(rest[bone][:3, 3] - rest[parent][:3, 3])
            moving = np.linalg.norm(places[bone] - places[parent], axis=-1)
            assert np.abs(moving - length).max() < 1e-3 * max(length, 0.1), bone
    assert after["meshes"].keys() == before["meshes"].keys()
    for thing, mesh in after["meshes"].items():
        was = before["meshes"][thing]
        np.testing.assert_allclose(mesh["vertices"], was["vertices"], atol=1e-5)
        assert mesh["faces"] == was["faces"] and mesh["material_of_face"] == was["material_of_face"]
        assert mesh["shape_keys"] == was["shape_keys"] == ["Basis", "smile"]
        for vertex, (new, old) in enumerate(zip(mesh["weights"], was["weights"])):
            assert new == pytest.approx(old, abs=1e-5), vertex
    assert after["materials"].keys() == before["materials"].keys()
    for name, material in after["materials"].items():
        assert material["images"] == before["materials"][name]["images"]
        assert material["colour"] == pytest.approx(before["materials"][name]["colour"], abs=1e-5)
    assert any(material["images"] for material in after["materials"].values())
