"""GLB and VRMA: what other programs read in them, the mannequin's surface, and the Khronos validator."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch

from lamp.utils.errors import UserError
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.export.fit import forward
from lamp.utils.gltf.container import Gltf
from lamp.utils.gltf.mannequin import LEFT, RIGHT, build_mannequin
from lamp.utils.kinematics.geometry import quat_from_euler, quat_multiply, quat_rotate
from lamp.utils.motion import Motion
from tests.browser import served
from tests.marks import NPM, needs_npm
from tests.test_export import kit_motion, walk

BLENDER = os.environ.get("LAMP_BLENDER_PYTHON")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TO_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def turning(axis: str, frames: int = 40) -> np.ndarray:
    """A walk (T, 22, 3) on the spot whose body turns round twice."""
    joints = torch.from_numpy(walk(frames) - walk(frames)[:, :1] * [1, 0, 1])
    turn = torch.linspace(0, 4 * np.pi, frames, dtype=torch.float64)
    root = joints[:, :1]
    return (root + quat_rotate(quat_from_euler(turn[:, None], axis)[:, None], joints - root)).numpy()


MOTIONS = {"walk": walk(40), "spin": turning("Y"), "cartwheel": turning("Z"), "kit": kit_motion(40)}


def values(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    """The array of an accessor, read by another library."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
    kind = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}[accessor.componentType]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, kind).reshape(accessor.count, width)


def played(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Places (T, 3) of the nodes by name that a file's only animation gives, and its times, read by another library."""
    gltf = pygltflib.GLTF2().load_binary(str(path))
    (animation,) = gltf.animations
    times = values(gltf, animation.samplers[0].input)[:, 0]
    moving = {
        (channel.target.node, channel.target.path): values(gltf, animation.samplers[channel.sampler].output)
        for channel in animation.channels
    }
    places: dict[str, np.ndarray] = {}

    def visit(index: int, turn: torch.Tensor, place: torch.Tensor) -> None:
        node = gltf.nodes[index]
        here = moving.get((index, "translation"), np.array(node.translation or [0, 0, 0])[None])
        place = place + quat_rotate(turn, torch.from_numpy(here.astype(np.float64)))
        local = moving.get((index, "rotation"), np.array([[0.0, 0, 0, 1]]))[:, [3, 0, 1, 2]].astype(np.float64)
        turn = quat_multiply(turn, torch.from_numpy(local))
        places[node.name] = place.numpy()
        for child in node.children or ():
            visit(child, turn, place)

    still = torch.zeros(len(times), 4, dtype=torch.float64)
    still[:, 0] = 1
    for root in gltf.scenes[gltf.scene].nodes:
        visit(root, still, torch.zeros(len(times), 3, dtype=torch.float64))
    return places, times


@pytest.mark.parametrize("suffix", [".glb", ".vrma"])
@pytest.mark.parametrize("name", MOTIONS)
def test_files_play_back_the_motion(name: str, suffix: str, tmp_path: Path) -> None:
    motion = Motion(MOTIONS[name], fps=25.0).with_constant_bones()
    places, times = played(motion.save(tmp_path / f"m{suffix}"))
    plan = motion.rotations().plan
    scale = 1 if name != "kit" else 0.001
    for joint, bone in enumerate(plan.names):
        assert np.abs(places[bone] - motion.joints[:, joint] * scale).max() < 1e-4, bone
    assert np.allclose(times, np.arange(40) / 25, atol=1e-6)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["walk", "kit"])
def test_vrma_names_humanoid_bones_in_a_t_pose(name: str, tmp_path: Path) -> None:
    gltf = Gltf.load(Motion(MOTIONS[name]).save(tmp_path / "m.vrma"))
    extension = gltf.document["extensions"]["VRMC_vrm_animation"]
    bones = {role: bone["node"] for role, bone in extension["humanoid"]["humanBones"].items()}
    sides = ("UpperLeg", "LowerLeg", "Foot", "UpperArm", "LowerArm", "Hand")
    needed = {"hips", "spine", "head", *(f"{side}{part}" for side in ("left", "right") for part in sides)}
    assert needed <= set(bones) and gltf.document["extensionsUsed"] == ["VRMC_vrm_animation"]
    nodes = gltf.document["nodes"]
    moved = [channel["target"] for channel in gltf.document["animations"][0]["channels"]]
    assert [t["node"] for t in moved if t["path"] == "translation"] == [bones["hips"]]
    # Hips as high as they are in the T-pose; arms along X, legs down.
    assert 0.8 < nodes[bones["hips"]]["translation"][1] < 1.1
    assert nodes[bones["leftLowerArm"]]["translation"][0] > 0.2 > nodes[bones["rightLowerArm"]]["translation"][0]
    assert nodes[bones["leftLowerLeg"]]["translation"][1] < -0.3


@pytest.mark.parametrize("name", ["walk", "kit"])
def test_the_mannequin_is_a_closed_surface_around_its_bones(name: str) -> None:
    fit = Motion(MOTIONS[name]).rotations()
    rest = fit.rest_joints * fit.millimetres / 1000
    rest = rest - [0, rest[:, 1].min() - 0.025, 0]
    mesh = build_mannequin(rest)
    assert len(mesh.positions) < 3000 and np.isfinite(mesh.normals).all()
    assert np.abs(mesh.weights.sum(1) - 1).max() < 1e-6 and mesh.joints.max() < len(rest)
    assert -0.001 < mesh.positions[:, 1].min() < 0.01  # the soles
    faces = np.concatenate(list(mesh.triangles.values()))
    edges = np.sort(np.concatenate((faces[:, :2], faces[:, 1:], faces[:, [2, 0]])), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    corners = mesh.positions[faces].astype(np.float64)
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = (corners[:, 0] * outward).sum() / 6
    assert 0.03 < volume < 0.12  # cubic metres; of surfaces that point outwards it is positive
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        assert (sign * mesh.positions[mesh.triangles[side], 0]).min() > -0.03
    # Mirrored, left is right.
    left, right = (mesh.positions[np.unique(mesh.triangles[side])] for side in (LEFT, RIGHT))
    assert np.abs(np.sort(left[:, 1]) - np.sort(right[:, 1])).max() < 0.02


def skinned(motion: Motion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (T, N, 3) of the mannequin in each frame, at rest (N, 3), and its edges (E, 2)."""
    fit = motion.rotations()
    mesh = build_mannequin(fit.rest_joints - [0, fit.rest_joints[:, 1].min() - 0.025, 0])
    rest = fit.rest_joints - [0, fit.rest_joints[:, 1].min() - 0.025, 0]
    local = torch.from_numpy(fit.rotations)
    world = [local[:, 0]]
    for joint, parent in enumerate(fit.plan.parents[1:], start=1):
        world.append(quat_multiply(world[parent], local[:, joint]))
    joints = torch.from_numpy(forward(fit.offsets, fit.rotations, fit.root))
    vertices = torch.zeros(len(motion), len(mesh.positions), 3, dtype=torch.float64)
    for k in range(4):
        bone = mesh.joints[:, k].astype(int)
        arms = torch.from_numpy(mesh.positions - rest[bone])
        turned = quat_rotate(torch.stack(world, dim=1)[:, bone], arms.double())
        vertices += torch.from_numpy(mesh.weights[:, k : k + 1]).double() * (turned + joints[:, bone])
    faces = np.concatenate(list(mesh.triangles.values()))
    return vertices.numpy(), mesh.positions, np.unique(np.sort(faces[:, :2], axis=1), axis=0)


@pytest.mark.parametrize("name", ["walk", "spin", "cartwheel"])
def test_skin_is_not_wrung(name: str) -> None:
    vertices, rest, edges = skinned(Motion(MOTIONS[name]).with_constant_bones())
    lengths, before = (
        np.linalg.norm(v[..., edges[:, 0], :] - v[..., edges[:, 1], :], axis=-1) for v in (vertices, rest)
    )
    stretch = lengths / before
    # A limb twisted by half a turn would be drawn together to nothing at its joint.
    assert np.quantile(stretch, 0.001) > 0.5 and np.quantile(stretch, 0.999) < 2.2


VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
(async () => {
  const found = {};
  for (const file of process.argv.slice(1)) {
    const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)));
    found[file] = [report.issues.numErrors, report.issues.numWarnings, report.issues.messages.slice(0, 2)];
  }
  console.log(JSON.stringify(found));
})();
"""


def validate(files: list[Path]) -> dict[str, list]:
    """Errors, warnings and first messages of the Khronos validator for each file."""
    environment = {**os.environ, "NODE_PATH": str(NPM / "node_modules")}
    ended = subprocess.run(["node", "-e", VALIDATE, *files], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@needs_npm("gltf-validator")
def test_the_khronos_validator_finds_no_errors(tmp_path: Path) -> None:
    files = []
    for number in range(50):
        joints = walk(1 + 2 * number, slide=0.1 * (number % 3), noise=0.003 * (number % 2)) * (0.5 + number / 50)
        if number % 5 == 4:
            joints = turning("XYZ"[number % 3], 20)
        if number % 10 == 3:
            joints = kit_motion(1 + number)
        files.append(Motion(joints, text='"<é 걷>"' * (number % 2)).save(tmp_path / f"{number}.glb"))
        if number % 5 == 0:
            files.append(Motion(joints).save(tmp_path / f"{number}.vrma"))
    found = validate(files)
    assert len(found) == 60 and all(counts[:2] == [0, 0] for counts in found.values()), found


PAGE = """<script type="importmap">{"imports": {"three": "/npm/three/build/three.module.js",
"three/addons/": "/npm/three/examples/jsm/"}}</script><script type="module">
import * as THREE from 'three';
import {GLTFLoader} from 'three/addons/loaders/GLTFLoader.js';
const gltf = await new GLTFLoader().loadAsync('/m.glb'), scene = new THREE.Scene();
scene.add(gltf.scene, new THREE.HemisphereLight(0xffffff, 0x888888, 3));
const mixer = new THREE.AnimationMixer(gltf.scene), clip = gltf.animations[0], places = {};
mixer.clipAction(clip).play();
const times = clip.tracks[0].times;
for (const time of times) {
  mixer.setTime(Math.min(time, clip.duration * 0.99999));
  gltf.scene.updateMatrixWorld(true);
  gltf.scene.traverse(node => {
    const p = node.getWorldPosition(new THREE.Vector3());
    (places[node.name] ??= []).push([p.x, p.y, p.z]);
  });
}
const renderer = new THREE.WebGLRenderer({preserveDrawingBuffer: true});
renderer.setSize(160, 160);
renderer.setClearColor(0xffffff);
const camera = new THREE.PerspectiveCamera(40, 1, 0.1, 50), hips = places.Hips.at(-1);
camera.position.set(hips[0], 1, hips[2] + 3);
gltf.scene.traverse(node => { node.frustumCulled = false; });
renderer.render(scene, camera);
const pixels = new Uint8Array(160 * 160 * 4), gl = renderer.getContext();
gl.readPixels(0, 0, 160, 160, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
let red = [0, 0], blue = [0, 0];
for (let i = 0; i < 160 * 160; i++) {
  const d = pixels[4 * i] - pixels[4 * i + 2], side = d > 60 ? red : d < -60 ? blue : null;
  if (side) { side[0]++; side[1] += i % 160; }
}
document.body.textContent = JSON.stringify({places, red, blue});
</script>"""


@needs_npm("three")
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
def test_three_js_draws_and_plays_the_motion(tmp_path: Path) -> None:
    motion = Motion(walk(24)).with_constant_bones()
    motion.save(tmp_path / "m.glb")
    (tmp_path / "page.html").write_text(PAGE)
    (tmp_path / "npm").symlink_to(NPM / "node_modules")
    flags = "--headless=new --no-sandbox --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --dump-dom"
    with served(tmp_path) as address:
        command = [CHROMIUM, *flags.split(), "--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'user'}"]
        ended = subprocess.run([*command, f"{address}/page.html"], capture_output=True, text=True, timeout=120)
    found = json.loads(ended.stdout.partition("<body>")[2].partition("</body>")[0])
    for joint, bone in enumerate(HUMAN_PLAN.names):
        assert np.abs(np.array(found["places"][bone]) - motion.joints[:, joint]).max() < 1e-3, bone
    # The walk comes towards us: its right side, red, is on our left.
    (reds, red), (blues, blue) = found["red"], found["blue"]
    assert reds > 300 and blues > 300 and red / reds < blue / blues


IN_BLENDER = """
import bpy, json, sys
out = {}
for file in sys.argv[2:]:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 20
    if file.endswith(".glb"):
        bpy.ops.import_scene.gltf(filepath=file)
    else:
        bpy.ops.import_anim.bvh(filepath=file, update_scene_fps=True)
    (rig,) = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
    frames = []
    for frame in range(40):
        # Of a BVH file the first frame is 1, of glTF that at the time 0.
        bpy.context.scene.frame_set(frame + file.endswith(".bvh"))
        frames.append({bone.name: list(rig.matrix_world @ bone.head) for bone in rig.pose.bones})
    out[file] = frames
json.dump(out, open(sys.argv[1], "w"))
"""


@pytest.mark.blender
@pytest.mark.skipif(not BLENDER, reason="LAMP_BLENDER_PYTHON names no Python that has bpy (pip install bpy==5.0.1)")
@pytest.mark.parametrize("name", ["walk", "spin", "cartwheel"])
def test_blender_imports_the_motion_to_a_centimetre(name: str, tmp_path: Path) -> None:
    motion = Motion(MOTIONS[name]).with_constant_bones()
    files = [motion.save(tmp_path / f"m{suffix}") for suffix in (".glb", ".bvh")]
    command = [BLENDER or "", "-c", IN_BLENDER, tmp_path / "out.json", *files]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    wanted = motion.joints @ TO_Z_UP.T  # Blender's axes
    for file, frames in json.loads((tmp_path / "out.json").read_text()).items():
        found = np.array([[frame[bone] for bone in HUMAN_PLAN.names] for frame in frames])
        assert np.linalg.norm(found - wanted, axis=-1).max() < 0.01, file


def test_documents_keep_what_they_do_not_know(tmp_path: Path) -> None:
    gltf = Gltf()
    gltf.document["extensions"] = {"VENDOR_thing": {"a": [1, 2.5, None], "ü": "한"}}
    gltf.accessor(np.arange(9, dtype=np.float32).reshape(3, 3))
    gltf.save(tmp_path / "a.glb")
    again = Gltf.load(tmp_path / "a.glb")
    assert again.document == gltf.document and again.buffer == gltf.buffer


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{}", "text form"),
        (b"", "no binary glTF"),
        (b"glTF" + bytes(8), "damaged"),
        (b"glTF\x02\0\0\0\xff\0\0\0", "damaged"),
    ],
)
def test_damaged_documents_are_named(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.glb").write_bytes(content)
    with pytest.raises(UserError, match=f"x.glb.*{told}"):
        Gltf.load(tmp_path / "x.glb")
