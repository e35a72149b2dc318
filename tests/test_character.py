"""A motion on a user's character: rigs of other programs, other rest poses, sizes, axes and further bones."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.character.character import Character
from lamp.utils.errors import UserError
from lamp.utils.export.body_plan import HUMAN_PLAN
from lamp.utils.export.npz import foot_contacts
from lamp.utils.gltf.animation import rest_positions
from lamp.utils.gltf.container import Gltf
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from tests.marks import needs_npm
from tests.rigs import DAZ, MIXAMO, ODD, OURS, UNREAL, Recipe, build, play
from tests.test_export import kit_motion, walk
from tests.test_gltf import turning, validate

ROOT = Path(__file__).resolve().parent.parent
RECIPES = {
    "mixamo": Recipe(),
    "mixamo by fbx": Recipe(pose="A", armature=True, crooked=True),
    "unreal": Recipe(UNREAL, pose="A", scale=1.1, wide=1.3, crooked=True, extra=True),
    "daz": Recipe(DAZ, pose="A", legs=1.1, arms=0.9),
    "ours, a child": Recipe(OURS, scale=0.6, legs=0.9, wide=0.8),
    "vrm 1.0": Recipe(ODD, scale=0.9, vrm="1.0", extra=True, missing=("upperChest",)),
    "vrm 0.x faces away": Recipe(ODD, vrm="0.x", yaw=np.pi, legs=1.15),
    "turned": Recipe(MIXAMO, yaw=1.0, pose="A", crooked=True),
}
# Bones whose directions are compared, by VRM's names.
BONES = [(f"{side}{a}", f"{side}{b}") for side in ("left", "right") for a, b in (
    ("UpperLeg", "LowerLeg"), ("LowerLeg", "Foot"), ("UpperArm", "LowerArm"), ("LowerArm", "Hand"))] + [
    ("hips", "head"), ("leftUpperArm", "rightUpperArm"), ("leftUpperLeg", "rightUpperLeg"), ("spine", "neck"),
]  # fmt: skip


def angles(motion: Motion, places: dict[str, np.ndarray], names: dict[str, str]) -> np.ndarray:
    """Degrees (T, B) between the bones of a motion and of a character."""
    joints, roles = motion.joints.astype(np.float64), HUMAN_PLAN.roles
    columns = []
    for a, b in BONES:
        ours = joints[:, roles[b]] - joints[:, roles[a]]
        theirs = places[names[b]] - places[names[a]]
        cosine = (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)
        columns.append(np.rad2deg(np.arccos(cosine.clip(-1, 1))))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("joints", [walk(40), turning("Y"), turning("Z")], ids=["walk", "spin", "cartwheel"])
@pytest.mark.parametrize("name", RECIPES)
def test_bones_point_as_those_of_the_motion(name: str, joints: np.ndarray, tmp_path: Path) -> None:
    recipe, motion = RECIPES[name], Motion(joints).with_constant_bones()
    character = Character(build(recipe, tmp_path / "hero.glb"))
    places = play(character.save(motion, tmp_path / "out.glb"))
    found = angles(motion, places, recipe.names)
    assert np.median(found) < 3 and np.median(found, axis=0).max() < 6 and found.max() < 25


@pytest.mark.parametrize("name", RECIPES)
def test_feet_stand_on_the_floor_where_they_stood(name: str, tmp_path: Path) -> None:
    recipe, motion = RECIPES[name], Motion(walk(60)).with_foot_cleanup()
    character = Character(build(recipe, tmp_path / "hero.glb"))
    places = play(character.save(motion, tmp_path / "out.glb"))
    fit = motion.rotations()
    contacts, roles = foot_contacts(fit, 20), HUMAN_PLAN.roles
    lengths = np.array(HUMANML3D.bone_lengths)[[4, 5, 7, 8]].sum() * recipe.legs * recipe.scale
    scale = lengths / np.linalg.norm(fit.offsets[[4, 5, 7, 8]], axis=1).sum()
    start = play_rest(tmp_path / "hero.glb", recipe)
    for side, column in (("left", 0), ("right", 2)):
        ankle = places[recipe.names[f"{side}Foot"]]
        ours = fit.joints[:, roles[f"{side}Foot"]] * scale
        assert np.abs(ankle[:, [0, 2]] - ours[:, [0, 2]]).max() < 0.01
        lift = start[recipe.names[f"{side}Foot"]][1] - scale * rest_positions(fit)[roles[f"{side}Foot"], 1]
        assert np.abs(ankle[:, 1] - ours[:, 1] - lift).max() < 0.01
        planted = contacts[1:, column] & contacts[:-1, column]
        assert np.linalg.norm(np.diff(ankle, axis=0)[planted], axis=-1).max() < 0.02 * recipe.scale + 0.01


def play_rest(path: Path, recipe: Recipe) -> dict[str, np.ndarray]:
    """Places (3,) of a character's bones by name in its rest pose."""
    from lamp.utils.character.rig import read_rig

    rig = read_rig(Gltf.load(path), path)
    return {recipe.names[role]: rig.places[place] for role, place in rig.bones.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_all_else_of_the_file_stays(name: str, tmp_path: Path) -> None:
    path = build(RECIPES[name], tmp_path / "hero.glb")
    before = Gltf.load(path)
    before.add("animations", {"name": "idle", "samplers": [], "channels": []})
    before.save(path)
    before, after = Gltf.load(path), Gltf.load(Character(path).save(Motion(walk(8)), tmp_path / "out.glb"))
    assert after.buffer[: len(before.buffer)] == before.buffer
    assert [a["name"] for a in after.document["animations"]] == ["motion", "idle"]
    for key, value in before.document.items():
        kept = after.document[key]
        if key in ("accessors", "bufferViews"):
            assert kept[: len(value)] == value
        elif key == "nodes":
            assert [n.get("children") for n in kept] == [n.get("children") for n in value]
            assert all(a == b for a, b in zip(kept, value) if "matrix" not in b)
        elif key not in ("buffers", "animations"):
            assert kept == value, key


def test_a_kit_motion_on_a_character(tmp_path: Path) -> None:
    character = Character(build(Recipe(), tmp_path / "hero.glb"))
    places = play(character.save(Motion(kit_motion(40)), tmp_path / "out.vrm"))
    hips = places[MIXAMO["hips"]]
    assert 0.7 < hips[:, 1].min() and hips[:, 1].max() < 1.2


def test_bones_by_a_map(tmp_path: Path) -> None:
    path = build(Recipe(ODD, pose="A"), tmp_path / "hero.glb")
    names = HUMAN_PLAN.skeleton.joint_names
    table = {names[joint]: ODD[role] for role, joint in HUMAN_PLAN.roles.items()}
    (tmp_path / "map.json").write_text(json.dumps(table))
    motion = Motion(walk(20)).with_constant_bones()
    character = Character(path, load_joint_map(tmp_path / "map.json"))
    assert np.median(angles(motion, play(character.save(motion, tmp_path / "out.glb")), ODD)) < 3
    (tmp_path / "map.json").write_text(json.dumps(table | {"head": "nobody"}))
    with pytest.raises(UserError, match=r"'nobody'.*--character_map"):
        Character(path, load_joint_map(tmp_path / "map.json"))


def test_what_is_no_character_is_named(tmp_path: Path) -> None:
    Motion(walk(4)).save(tmp_path / "m.vrma")
    (tmp_path / "m.vrma").rename(tmp_path / "bones.glb")
    build(Recipe(missing=("leftHand",)), tmp_path / "handless.glb")
    (tmp_path / "text.glb").write_text("{}")
    build(replace(Recipe(ODD), vrm="1.0", missing=("head",)), tmp_path / "headless.glb")
    for file, told in (
        ("bones.glb", "no skin"),
        ("handless.glb", "left_wrist|joint map|leftHand"),
        ("text.glb", "text form"),
        ("headless.glb", "no bones for head"),
        ("none.glb", "no file"),
        ("hero.fbx", "binary glTF"),
    ):
        with pytest.raises(UserError, match=told):
            Character(tmp_path / file)
    hero = Character(build(Recipe(), tmp_path / "hero.glb"))
    with pytest.raises(UserError, match="the character itself"):
        hero.save(Motion(walk(4)), tmp_path / "hero.glb")
    with pytest.raises(UserError, match=r"m\.bvh"):
        hero.save(Motion(walk(4)), tmp_path / "m.bvh")


@needs_npm("gltf-validator")
def test_the_validator_finds_no_errors_in_characters(tmp_path: Path) -> None:
    files = []
    for number, recipe in enumerate(RECIPES.values()):
        character = Character(build(recipe, tmp_path / f"hero{number}.glb"))
        files.append(character.save(Motion(walk(10)), tmp_path / f"out{number}.glb"))
    found = validate(files)
    assert all(counts[0] == 0 for counts in found.values()), found


def convert(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "convert.py", *words], capture_output=True, text=True)


def test_convert_puts_a_motion_on_a_character(tmp_path: Path) -> None:
    hero, motion = build(Recipe(pose="A"), tmp_path / "hero.glb"), Motion(walk(20)).with_constant_bones()
    file = motion.save(tmp_path / "walk.npy")
    ended = convert(file, tmp_path / "out.glb", "--character", hero)
    assert ended.returncode == 0, ended.stderr
    assert np.median(angles(motion, play(tmp_path / "out.glb"), MIXAMO)) < 3
    for words, told in (
        ((file, tmp_path / "out.bvh", "--character", hero), "--character"),
        ((file, tmp_path / "out.glb", "--character", file), "must be a .glb or .vrm"),
        ((file, tmp_path / "out.glb", "--character_map", file), "--character_map goes with --character"),
    ):
        ended = convert(*words)
        (line,) = ended.stderr.splitlines()
        assert ended.returncode == 2 and told in line


def test_a_character_takes_one_motion_after_another(tmp_path: Path) -> None:
    hero = Character(build(Recipe(), tmp_path / "hero.glb"))
    first, other = Motion(walk(20)), Motion(walk(20, slide=0.5))
    files = [hero.save(motion, tmp_path / f"{i}.glb") for i, motion in enumerate((first, other, first))]
    assert files[0].read_bytes() == files[2].read_bytes() != files[1].read_bytes()
