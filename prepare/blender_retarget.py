# SPDX-License-Identifier: GPL-3.0-or-later
# A script that drives Blender by bpy is under Blender's licence; the rest of the project, which it calls, is MIT.
"""Put a motion on an FBX character, by way of Blender.

    python3.11 -m venv blender_env && blender_env/bin/pip install bpy==5.0.1
    python -m lamp.prepare.blender_retarget walk.bvh hero.fbx hero_walks.fbx --blender_python blender_env/bin/python

IN is a motion file as `lamp convert` reads them (.bvh, .npz, .npy, .amc); to change its frame rate or take the travel
out, convert it first. OUT is the character with the motion as its one animation: .fbx, or .blend or .glb. Blender reads
and writes the character in a process of its own; the motion is put on its bones as `lamp convert --character` puts it
on a .glb. docs/blender.md has more.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lamp.utils.capture.files import find_motion_files, read_in_metres
from lamp.utils.capture.joint_map import JointMap, UnknownSkeletonError, load_joint_map, write_draft
from lamp.utils.capture.upright import AXES, join_up
from lamp.utils.character.retarget import retarget
from lamp.utils.character.rig import Rig, read_rig
from lamp.utils.errors import UserError, brief, main_with_errors, naming
from lamp.utils.files import atomic_path
from lamp.utils.gltf.animation import continuous
from lamp.utils.gltf.container import Gltf
from lamp.utils.motion import Motion
from lamp.utils.packages import is_installed

SCENE = Path(__file__).resolve().parent / "blender" / "scene.py"
SUFFIXES = (".fbx", ".blend", ".glb")
VARIABLE = "LAMP_BLENDER_PYTHON"
INSTALL = "python3.11 -m venv blender_env && blender_env/bin/pip install bpy==5.0.1"
_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""From Blender's axes to those of glTF and of ours."""
_NO_BPY = 3
"""Exit code of `SCENE` in a Python without bpy."""
_LONGEST_NAME = 60
"""Characters of a name that Blender keeps."""


def find_blender(given: Path | None) -> str:
    """The Python that has bpy: the one that is given, or that the environment names, or this one.

    Raises:
        UserError: there is none.
    """
    named = given or os.environ.get(VARIABLE)
    if named:
        return str(named)
    if is_installed("bpy"):
        return sys.executable
    raise UserError(f"Blender's bpy is needed, of Python 3.11; {INSTALL}, then --blender_python blender_env/bin/python")


def in_blender(python: str, *words: str | Path) -> None:
    """Run `SCENE`.

    Raises:
        UserError: no such Python, one without bpy, or a file that Blender cannot read or write.
    """
    command = [python, str(SCENE), *map(str, words)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise UserError(f"cannot run {python}: {error.strerror or error}; name a Python with bpy") from error
    if ended.returncode == _NO_BPY:
        raise UserError(f"{python} has no bpy; {INSTALL}, then --blender_python blender_env/bin/python")
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if said:
            raise UserError(said[-1])
        raise UserError(f"Blender failed ({brief(lines[-1])}); check that {python} has bpy 5.0.1")


def rig_of(skeleton: dict[str, Any], path: Path, joint_map: JointMap | None) -> tuple[Rig, list[str]]:
    """An armature as a character's skeleton, and the names of its nodes.

    Args:
        skeleton: as `SCENE` writes it.
        path: the character, for errors.
        joint_map: from our 22 joints to names of its bones.

    Raises:
        UserError: no human's skeleton.
    """
    bones = skeleton["bones"]
    place = {bone["name"]: number for number, bone in enumerate(bones, start=1)}
    matrices = [_FROM_Z_UP @ np.array(skeleton["armature"]), *(np.array(bone["matrix"]) for bone in bones)]
    names = ["", *(bone["name"] for bone in bones)]
    nodes: list[dict[str, Any]] = [
        {"name": name, "matrix": matrix.T.reshape(-1).tolist()} for name, matrix in zip(names, matrices)
    ]
    for number, bone in enumerate(bones, start=1):
        nodes[place.get(bone["parent"], 0)].setdefault("children", []).append(number)
    document = {"nodes": nodes, "skins": [{"joints": list(place.values())}]}
    rig = read_rig(Gltf(document), path, joint_map)
    return rig, [names[node] for node in rig.nodes]


def poses_of(motion: Motion, rig: Rig, names: list[str]) -> dict[str, Any]:
    """A motion on a character as `SCENE` reads it: rotations (w, x, y, z) and places in the frames of the parents."""
    made = retarget(motion.rotations(), rig)
    return {
        "name": motion.text.encode()[:_LONGEST_NAME].decode(errors="ignore"),
        "fps": motion.fps,
        "frames": len(motion),
        "rotations": {names[bone]: continuous(turns.numpy()).tolist() for bone, turns in made.rotations.items()},
        "places": {names[rig.bones["hips"]]: made.hips.tolist()},
    }


def put_on(motion: Motion, character: Path, out: Path, python: str, joint_map: JointMap | None = None) -> None:
    """Write a character with a motion.

    Args:
        motion: in metres; its text names the animation.
        character: FBX file.
        out: .fbx, .blend or .glb file to write.
        python: a Python that has bpy.
        joint_map: from our 22 joints to names of the character's bones; None to find them.

    Raises:
        UserError: the character cannot be read, is no rigged humanoid, or cannot be written there.
    """
    with tempfile.TemporaryDirectory() as folder:
        bones, poses = Path(folder, "bones.json"), Path(folder, "poses.json")
        in_blender(python, "read", character, bones)
        rig, names = rig_of(json.loads(bones.read_text(encoding="utf-8")), character, joint_map)
        with naming(character):
            poses.write_text(json.dumps(poses_of(motion, rig, names)), encoding="utf-8")
        made = Path(folder, "made").with_suffix(out.suffix.lower())
        in_blender(python, "write", character, poses, made)
        try:
            with atomic_path(out) as half:
                shutil.copyfile(made, half)
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror or error}; choose another folder") from error


def parse_arguments() -> argparse.Namespace:
    """The command line, checked.

    Raises:
        UserError: files of other kinds, or that are not there.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motion", type=Path, metavar="IN", help="motion file: .bvh, .npz, .npy, .amc (with its .asf)")
    parser.add_argument("character", type=Path, metavar="CHARACTER", help="rigged humanoid, .fbx")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write: .fbx, .blend or .glb")
    parser.add_argument(
        "--character_map", type=Path, help="for other bone names: JSON from our 22 joint names to those of its bones"
    )
    parser.add_argument("--blender_python", type=Path, help=f"Python 3.11 with bpy; by default ${VARIABLE}")
    parser.add_argument("--up", choices=AXES, help="up axis of IN; by default found")
    args = parser.parse_args(join_up(sys.argv[1:]))
    if not args.character.is_file():
        raise UserError(f"CHARACTER {args.character}: no such file")
    if args.character.suffix.lower() != ".fbx":
        other = "; for .glb and .vrm use lamp convert --character"
        raise UserError(f"CHARACTER {args.character} must be an .fbx file{other}")
    if args.out.suffix.lower() not in SUFFIXES or args.out.is_dir():
        raise UserError(f"OUT {args.out} must be a file that ends in {', '.join(SUFFIXES)}")
    if args.out.exists() and args.out.samefile(args.character):
        raise UserError(f"OUT {args.out} is the character itself; name another file")
    if args.motion.is_dir():
        raise UserError(f"IN {args.motion} is a folder; name a file in it")
    return args


@main_with_errors
def main() -> None:
    """Command line."""
    args = parse_arguments()
    python = find_blender(args.blender_python)
    (path,) = find_motion_files(args.motion, "IN").values()
    joint_map = None if args.character_map is None else load_joint_map(args.character_map)
    motion = read_in_metres(path, up=args.up)
    motion = replace(motion, text=" ".join(motion.text.split()) or path.stem)
    try:
        put_on(motion, args.character, args.out, python, joint_map)
    except UnknownSkeletonError as error:
        if error.draft:
            print(f"{write_draft(error.draft)} is a map of bones to fill in for --character_map", file=sys.stderr)
        raise
    print(f"{path} -> {args.out} ({len(motion)} frames, {motion.fps:g} a second)")


if __name__ == "__main__":
    main()
