"""A motion on an FBX character by way of Blender; what needs bpy is marked `blender`."""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamp.prepare.blender_retarget import main
from lamp.utils.errors import LONGEST_MESSAGE
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.motion import Motion
from tests.browser import opened, served, troubles
from tests.marks import NPM, needs_npm
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
        assert (
            after["fps"] == motion.fps and Path(file).stem in after["action"] and len(after["frames"]) == len(motion)
        ), file
        places = {bone: np.array([frame[bone] for frame in after["frames"]]) @ TO_Z_UP for bone in after["frames"][0]}
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


PAGE = """<!doctype html><script type="importmap">{"imports": {"three": "/npm/three/build/three.module.js",
"three/addons/": "/npm/three/examples/jsm/"}}</script><script type="module">
import * as THREE from 'three';
import {FBXLoader} from 'three/addons/loaders/FBXLoader.js';
const hero = await new FBXLoader().loadAsync('/out.fbx'), mixer = new THREE.AnimationMixer(hero), places = {};
const [clip] = hero.animations;
mixer.clipAction(clip).play();
for (let frame = 0; frame < 24; frame++) {
  mixer.setTime(Math.min(frame / 20, clip.duration * 0.99999));
  hero.updateMatrixWorld(true);
  hero.traverse(bone => {
    if (bone.isBone) (places[bone.name] ??= []).push(bone.getWorldPosition(new THREE.Vector3()).toArray());
  });
}
window.told = {places, name: clip.name, clips: hero.animations.length, seconds: clip.duration};
</script>"""


@needs_blender
@needs_npm("three")
@pytest.mark.blender
@pytest.mark.browser
def test_another_reader_of_fbx_sees_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, motion = RIGS["unreal"], Motion(walk(24), text="a man walks").with_constant_bones()
    run(monkeypatch, motion.save(tmp_path / "m.npz"), make_fbx(rig, tmp_path), tmp_path / "out.fbx")
    (tmp_path / "npm").symlink_to(NPM / "node_modules")
    (tmp_path / "favicon.ico").touch()
    (tmp_path / "page.html").write_text(PAGE)
    with served(tmp_path) as address, opened(160, 160) as driver:
        driver.get(f"{address}/page.html")
        begun = time.monotonic()
        while not (told := driver.execute_script("return window.told")) and time.monotonic() - begun < 120:
            time.sleep(0.2)
        assert troubles(driver) == []
    assert told["name"] == "a man walks" and told["clips"] == 1 and told["seconds"] == pytest.approx(23 / 20, abs=1e-4)
    places = {bone: np.array(values) / 100 for bone, values in told["places"].items()}  # centimetres
    assert np.median(angles(motion, places, rig.recipe.names)) < 3
    size = np.linalg.norm(np.ptp(places["pelvis"], axis=0)) / np.linalg.norm(np.ptp(motion.joints[:, 0], axis=0))
    assert 0.9 < size < 1.3  # the character is 1.1 times as large


@needs_blender
@pytest.mark.blender
def test_other_files_and_a_character_that_moves_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig, motion = RIGS["mixamo"], Motion(walk(24), text="a man  walks").with_constant_bones()
    hero, source = make_fbx(rig, tmp_path), motion.save(tmp_path / "m.npz")
    outs = [tmp_path / "first.fbx", tmp_path / "m.blend", tmp_path / "m.glb", tmp_path / "second.fbx"]
    for out in outs[:3]:
        run(monkeypatch, source, hero, out)
    run(monkeypatch, source, outs[0], outs[3])
    for out, told in zip(outs, tell(tmp_path, *outs)):
        if out.suffix == ".glb":  # Blender reads it at 24 frames a second
            frames, kept = told["frames"][::6], range(0, 24, 5)
        else:
            frames, kept = told["frames"], range(24)
        places = {bone: np.array([frame[bone] for frame in frames]) @ TO_Z_UP for bone in frames[0]}
        part = Motion(motion.joints[list(kept)])
        assert np.median(angles(part, places, rig.recipe.names)) < 3, out.name
        assert "a man walks" in told["action"] or out.suffix == ".glb"


@needs_blender
@pytest.mark.blender
def test_what_blender_cannot_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Motion(walk(24)).save(tmp_path / "m.npz")
    bare = make_fbx(RIGS["mixamo"], tmp_path, skinned=False).rename(tmp_path / "bare.fbx")
    (tmp_path / "text.fbx").write_text("; FBX 7.3.0 project file\n")
    (tmp_path / "cut.fbx").write_bytes(bare.read_bytes()[:5000])
    for name, told in (("bare", "no mesh"), ("text", "cannot be read"), ("cut", "cannot be read")):
        refused(monkeypatch, capsys, f"{name}.fbx.*{told}", source, tmp_path / f"{name}.fbx", tmp_path / "out.fbx")
    assert not list(tmp_path.glob("*out*"))


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], told: str, *words: str | Path) -> str:
    """Run the script, which ends with one line; returned is all that it wrote to stderr."""
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *words)
    text = capsys.readouterr().err
    line = text.strip().splitlines()[-1]
    assert ended.value.code == 2 and line.startswith("error: ") and len(line) < LONGEST_MESSAGE + 20
    assert re.search(told, line), line
    return text


STAND_IN = """#!{python}
import pathlib, shutil, sys
scene, act, hero, file, *out = sys.argv[1:]
if act == "read":
    shutil.copy(hero, file)
else:
    shutil.copy(file, out[0])
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for Blender: the character is the JSON of its bones, and what is written is the JSON of the poses."""
    script = tmp_path / "blender_python"
    script.write_text(STAND_IN.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setenv("LAMP_BLENDER_PYTHON", str(script))
    return script


def skeleton_file(folder: Path, names: dict[str, str]) -> Path:
    """An armature as Blender tells it: bones without rest rotations, Z up."""
    joints, *_ = body_of(Recipe(names))
    bones, plan = [], HUMAN_PLAN
    role_of = {joint: role for role, joint in ROLES.items()}
    for joint in plan.order:
        parent = plan.parents[joint]
        matrix = np.eye(4)
        matrix[:3, 3] = TO_Z_UP @ (joints[joint] - (joints[parent] if parent >= 0 else 0))
        above = names[role_of[parent]] if parent >= 0 else None
        bones.append({"name": names[role_of[joint]], "parent": above, "matrix": matrix.tolist()})
    path = folder / "hero.fbx"
    path.write_text(json.dumps({"armature": np.eye(4).tolist(), "bones": bones}))
    return path


def test_poses_for_blender_are_those_of_the_motion(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    motion = Motion(walk(24), text="somebody walks" * 9).with_constant_bones()
    hero, source = skeleton_file(tmp_path, MIXAMO), motion.save(tmp_path / "m.npz")
    run(monkeypatch, source, hero, tmp_path / "out.fbx")
    poses = json.loads((tmp_path / "out.fbx").read_text())
    assert poses["frames"] == 24 and poses["fps"] == 20 and motion.text.startswith(poses["name"])
    assert len(poses["name"]) < len(motion.text) and set(poses["rotations"]) <= set(MIXAMO.values())
    hips = np.array(poses["places"][MIXAMO["hips"]]) @ TO_Z_UP
    # The body has our proportions, so it goes where the motion goes.
    assert np.abs(hips - motion.joints[:, 0]).max() < 0.02


def test_a_skeleton_that_is_not_known_is_told_with_a_map_to_fill_in(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Motion(walk(24)).save(tmp_path / "m.npz")
    hero = skeleton_file(tmp_path, MIXAMO)
    document = json.loads(hero.read_text())
    document["bones"] = document["bones"][:8]
    hero.write_text(json.dumps(document))
    text = refused(monkeypatch, capsys, "hero.fbx.*--character_map", source, hero, "out.fbx")
    assert "joint_map.json is a map of bones" in text and "_joints" in json.loads(Path("joint_map.json").read_text())
    assert not Path("out.fbx").exists()


def test_wrong_files_and_a_missing_blender_are_told(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, hero = Motion(walk(24)).save(tmp_path / "m.npz"), skeleton_file(tmp_path, MIXAMO)
    out = tmp_path / "out.fbx"
    for told, *words in (
        ("no such file", source, tmp_path / "no.fbx", out),
        ("lamp convert --character", source, source, out),
        ("must be a file that ends in", source, hero, tmp_path / "out.obj"),
        ("the character itself", source, hero, hero),
        ("is a folder", tmp_path, hero, out),
        ("IN .*no such file", tmp_path / "no.bvh", hero, out),
        ("cannot write", source, hero, source / "below.fbx"),
        ("cannot run .*name a Python with bpy", source, hero, out, "--blender_python", tmp_path / "no_python"),
        (r"has no bpy; .*pip install bpy==5.0.1", source, hero, out, "--blender_python", sys.executable),
    ):
        refused(monkeypatch, capsys, told, *words)
    stand_in.write_text("#!/bin/sh\necho odd >&2\nexit 1\n")
    refused(monkeypatch, capsys, "Blender failed .odd.", source, hero, out)
    monkeypatch.delenv("LAMP_BLENDER_PYTHON")
    refused(monkeypatch, capsys, "python3.11 -m venv .*pip install bpy==5.0.1", source, hero, out)
    assert not out.exists()
