"""What tests have Blender do, in a Python with bpy: make FBX characters, and tell what is in an FBX file.

BLENDER_PYTHON tests/in_blender.py make SPEC.json OUT.fbx
BLENDER_PYTHON tests/in_blender.py tell OUT.json FILE...
"""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Matrix, Vector


def make(spec_file: str, out: str) -> None:
    """Write a rigged character; places of the specification are metres, Z up."""
    spec = json.loads(Path(spec_file).read_text())
    bpy.ops.wm.read_factory_settings(use_empty=True)
    unit = spec["unit"]  # metres in a unit of the armature
    armature = bpy.data.objects.new("Armature", bpy.data.armatures.new("Armature"))
    armature.matrix_world = Matrix.Rotation(spec["yaw"], 4, "Z") @ Matrix.Scale(unit, 4)
    bpy.context.collection.objects.link(armature)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in spec["bones"]:
        made = armature.data.edit_bones.new(bone["name"])
        made.head, made.tail = Vector(bone["head"]) / unit, Vector(bone["tail"]) / unit
        made.roll = bone["roll"]
        made.parent = armature.data.edit_bones.get(bone["parent"] or "")
        made.use_connect = bone["connected"]
    bpy.ops.object.mode_set(mode="OBJECT")
    if spec["vertices"]:
        mesh = bpy.data.meshes.new("Body")
        mesh.from_pydata([Vector(v) / unit for v in spec["vertices"]], [], spec["faces"])
        body = bpy.data.objects.new("Body", mesh)
        bpy.context.collection.objects.link(body)
        body.parent = armature
        for number, (name, colour) in enumerate(spec["materials"].items()):
            material = bpy.data.materials.new(name)
            material.use_nodes = True
            shader = material.node_tree.nodes["Principled BSDF"]
            shader.inputs["Base Color"].default_value = colour
            if number == 0:
                image = bpy.data.images.new("skin.png", 8, 8)
                image.pixels = [0.1, 0.5, 0.9, 1.0] * 64
                image.filepath_raw = str(Path(out).with_name("skin.png"))
                image.file_format = "PNG"
                image.save()
                texture = material.node_tree.nodes.new("ShaderNodeTexImage")
                texture.image = image
                material.node_tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
            mesh.materials.append(material)
        mesh.polygons.foreach_set("material_index", spec["material_of_face"])
        mesh.uv_layers.new(name="UVMap")
        for name, weights in spec["weights"].items():
            group = body.vertex_groups.new(name=name)
            for vertex, weight in weights:
                group.add([vertex], weight, "REPLACE")
        body.modifiers.new("Armature", "ARMATURE").object = armature
        body.shape_key_add(name="Basis")
        smile = body.shape_key_add(name="smile")
        smile.data[0].co = smile.data[0].co + Vector((0, 0, 0.01 / unit))
    bpy.ops.export_scene.fbx(
        filepath=out, add_leaf_bones=False, use_mesh_modifiers=False, path_mode="COPY", embed_textures=True
    )


def tell(out: str, *files: str) -> None:
    """Write what is in files: bones at rest and in each frame (metres, Z up), meshes, materials."""
    told = {}
    for file in files:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        if file.endswith(".blend"):
            bpy.ops.wm.open_mainfile(filepath=file)
        elif file.endswith(".glb"):
            bpy.ops.import_scene.gltf(filepath=file)
        else:
            bpy.ops.import_scene.fbx(filepath=file, anim_offset=0.0)
        (armature,) = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
        scene = bpy.context.scene
        frames, loose = [], 0.0
        action = armature.animation_data and armature.animation_data.action
        for frame in range(round(action.frame_range[1]) + 1 if action else 0):
            scene.frame_set(frame)
            loose = max([loose, *(looseness(thing, armature) for thing in bpy.data.objects if thing.find_armature())])
            frames.append({bone.name: list(armature.matrix_world @ bone.head) for bone in armature.pose.bones})
        told[file] = {
            "fps": scene.render.fps / scene.render.fps_base,
            "action": action.name if action else "",
            "frames": frames,
            "loose": loose,
            "rest": {
                bone.name: [list(row) for row in armature.matrix_world @ bone.matrix_local]
                for bone in armature.data.bones
            },
            "parents": {bone.name: bone.parent.name if bone.parent else "" for bone in armature.data.bones},
            "meshes": {thing.name: mesh_of(thing) for thing in bpy.data.objects if thing.find_armature()},
            "materials": {material.name: material_of(material) for material in bpy.data.materials if material.users},
        }
    Path(out).write_text(json.dumps(told))


def looseness(body, armature) -> float:
    """Metres between the skin and where its bones carry it from rest, of vertices that no shape key moves."""
    drawn = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
    into = armature.matrix_world.inverted() @ body.matrix_world
    carried = {
        bone.name: armature.matrix_world @ bone.matrix @ bone.bone.matrix_local.inverted() @ into
        for bone in armature.pose.bones
    }
    names, farthest = [group.name for group in body.vertex_groups], 0.0
    for vertex, moved in list(zip(body.data.vertices, drawn.data.vertices))[1::29]:
        total = sum(group.weight for group in vertex.groups)
        place = sum(
            (g.weight / total * (carried[names[g.group]] @ vertex.co) for g in vertex.groups), Vector((0, 0, 0))
        )
        farthest = max(farthest, (place - drawn.matrix_world @ moved.co).length)
    return farthest


def mesh_of(body) -> dict:
    """Places in the scene, faces, materials, shape keys and weights of a mesh."""
    mesh = body.data
    names = [group.name for group in body.vertex_groups]
    return {
        "vertices": [list(body.matrix_world @ vertex.co) for vertex in mesh.vertices],
        "faces": [list(face.vertices) for face in mesh.polygons],
        "material_of_face": [mesh.materials[face.material_index].name for face in mesh.polygons],
        "shape_keys": [key.name for key in mesh.shape_keys.key_blocks] if mesh.shape_keys else [],
        "weights": [{names[g.group]: g.weight for g in vertex.groups if g.weight > 0} for vertex in mesh.vertices],
    }


def material_of(material) -> dict:
    """Colour and images of a material."""
    nodes = material.node_tree.nodes
    images = [node.image for node in nodes if node.type == "TEX_IMAGE" and node.image]
    return {
        "colour": list(nodes["Principled BSDF"].inputs["Base Color"].default_value),
        "images": [[image.name, list(image.size), [round(p, 2) for p in image.pixels[:4]]] for image in images],
    }


if __name__ == "__main__":
    {"make": make, "tell": tell}[sys.argv[1]](*sys.argv[2:])
