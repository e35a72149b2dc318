# SPDX-License-Identifier: GPL-3.0-or-later
# A script that imports bpy is a work based on Blender, so this file is under Blender's licence; the rest is MIT.
"""An FBX character in Blender: its skeleton is read, or a motion is put on it and the character written again.

    BLENDER_PYTHON scene.py read HERO.fbx BONES.json
    BLENDER_PYTHON scene.py write HERO.fbx POSES.json OUT.fbx    (or OUT.blend, OUT.glb)

BLENDER_PYTHON is a Python with bpy; nothing of this project is imported. `prepare/blender_retarget.py` runs it.
Mistakes are one line to stderr that begins with "error: ", and exit code 2; exit code 3 is a Python without bpy.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

try:
    import bpy
    from mathutils import Matrix, Quaternion, Vector
except ImportError:
    sys.exit(3)


def fail(text: str) -> NoReturn:
    """End with a message."""
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)


def last_line(error: Exception) -> str:
    """What an error of Blender says: the last line of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Location:" not in line]
    return lines[-1].removeprefix("Error: ") if lines else "no reason given"


def load(path: str) -> Any:
    """Read an FBX file into an empty scene, in its rest pose, and return the armature that moves the meshes."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    try:
        bpy.ops.import_scene.fbx(filepath=path, use_anim=False)
    except RuntimeError as error:
        fail(f"{path} cannot be read by Blender ({last_line(error)}); export it again as binary FBX")
    bound = [
        modifier.object
        for thing in bpy.data.objects
        if thing.type == "MESH"
        for modifier in thing.modifiers
        if modifier.type == "ARMATURE" and modifier.object is not None
    ]
    if not bound:
        fail(f"{path} has no mesh that is bound to bones; export the character rigged")
    for armature in bound:
        for bone in armature.pose.bones:
            bone.matrix_basis = Matrix()
    bpy.context.view_layer.update()
    return max(bound, key=lambda armature: len(armature.pose.bones))


def local_rest(bone: Any) -> Any:
    """A bone's rest transform (4, 4) in the frame of its parent, or of the armature."""
    return bone.parent.matrix_local.inverted() @ bone.matrix_local if bone.parent else bone.matrix_local.copy()


def rows(matrix: Any) -> list[list[float]]:
    """A matrix as lists."""
    return [list(row) for row in matrix]


def read(path: str, out: str) -> None:
    """Write the skeleton as JSON: the armature's transform in the scene (metres, Z up), and its bones."""
    armature = load(path)
    bones = [
        {"name": bone.name, "parent": bone.parent.name if bone.parent else None, "matrix": rows(local_rest(bone))}
        for bone in armature.data.bones
    ]
    Path(out).write_text(json.dumps({"armature": rows(armature.matrix_world), "bones": bones}), encoding="utf-8")


def write(path: str, poses: str, out: str) -> None:
    """Put poses on the character and write it; other animations of the file are left behind."""
    armature = load(path)
    given = json.loads(Path(poses).read_text(encoding="utf-8"))
    scene = bpy.context.scene
    scene.name = given["name"]  # exporters call the animation so
    scene.render.fps = max(1, round(given["fps"]))
    scene.render.fps_base = scene.render.fps / given["fps"]
    scene.frame_start, scene.frame_end = 0, given["frames"] - 1
    _loosen(armature, given["places"])
    for name, turns in given["rotations"].items():
        bone = armature.pose.bones[name]
        rest = local_rest(bone.bone).to_quaternion().inverted()
        bone.rotation_mode = "QUATERNION"
        for frame, turn in enumerate(turns):
            bone.rotation_quaternion = rest @ Quaternion(turn)
            bone.keyframe_insert("rotation_quaternion", frame=frame)
    for name, places in given["places"].items():
        bone = armature.pose.bones[name]
        into = local_rest(bone.bone).inverted()
        for frame, place in enumerate(places):
            bone.location = into @ Vector(place)
            bone.keyframe_insert("location", frame=frame)
    armature.animation_data.action.name = given["name"]
    scene.frame_set(0)
    _save(out)


def _loosen(armature: Any, names: dict[str, Any]) -> None:
    """Let bones travel: one that is connected to its parent's tip cannot."""
    if any(armature.data.bones[name].use_connect for name in names):
        bpy.context.view_layer.objects.active = armature
        bpy.ops.object.mode_set(mode="EDIT")
        for name in names:
            armature.data.edit_bones[name].use_connect = False
        bpy.ops.object.mode_set(mode="OBJECT")


def _save(out: str) -> None:
    suffix = Path(out).suffix.lower()
    try:
        if suffix == ".blend":
            bpy.ops.file.pack_all()
            bpy.ops.wm.save_as_mainfile(filepath=out, copy=True)
        elif suffix == ".glb":
            bpy.ops.export_scene.gltf(filepath=out, export_format="GLB", export_animation_mode="SCENE")
        else:
            bpy.ops.export_scene.fbx(
                filepath=out,
                use_mesh_modifiers=False,  # these would melt shape keys into the mesh
                use_custom_props=True,
                add_leaf_bones=False,
                bake_anim_use_nla_strips=False,
                bake_anim_use_all_actions=False,
                bake_anim_simplify_factor=0.0,
                path_mode="COPY",
                embed_textures=True,
            )
    except (RuntimeError, OSError) as error:
        fail(f"Blender cannot write the character as {suffix} ({last_line(error)}); try .blend")


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
