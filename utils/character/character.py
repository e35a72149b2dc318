"""A user's character file, which motions are put on."""

import copy
from pathlib import Path

import numpy as np

from lamp.utils.capture.joint_map import JointMap, load_joint_map
from lamp.utils.character.retarget import retarget
from lamp.utils.character.rig import Rig, read_rig, turns_of
from lamp.utils.errors import UserError, naming
from lamp.utils.gltf.animation import add_animation
from lamp.utils.gltf.container import Gltf
from lamp.utils.motion import Motion
from lamp.utils.reading import reading

SUFFIXES = (".glb", ".vrm")


class Character:
    """A rigged humanoid of a .glb or .vrm file.

    Args:
        path: the file.
        joint_map: from our 22 joints to names of its nodes; None to find its bones.

    Raises:
        UserError: it cannot be read, or is no rigged humanoid.
    """

    def __init__(self, path: str | Path, joint_map: JointMap | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in SUFFIXES:
            raise UserError(f"character {self.path} must be a {' or '.join(SUFFIXES)} file; export it as binary glTF")
        self._gltf = Gltf.load(self.path)
        self._rig = read_rig(self._gltf, self.path, joint_map)

    def save(self, motion: Motion, path: str | Path) -> Path:
        """Write the character's file with the motion as its first animation; all else in it stays as it is.

        Raises:
            UserError: the place cannot be written to, or is the character's own file.
        """
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"a character is written as {' or '.join(SUFFIXES)}, not {path.name}; name such a file")
        if path.exists() and path.samefile(self.path):
            raise UserError(f"{path} is the character itself; name another file to write")
        gltf = copy.deepcopy(self._gltf)
        with naming(self.path), reading(self.path, "character"):
            _animate(gltf, self._rig, motion)
        try:
            gltf.save(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
        return path


def load_character(path: Path | None, map_file: Path | None = None) -> Character | None:
    """The character of a file, if one is given, with its bones as a user's map says, if one is given."""
    if path is None:
        return None
    return Character(path, None if map_file is None else load_joint_map(map_file))


def _animate(gltf: Gltf, rig: Rig, motion: Motion) -> None:
    made = retarget(motion.rotations(), rig)
    if not all(values.isfinite().all() for values in (made.hips, *made.rotations.values())):
        raise ValueError("its rest pose has sizes beyond all measure")
    for place in made.rotations:
        _without_matrix(gltf, rig, place)
    rotations = {rig.nodes[place]: turns.numpy() for place, turns in made.rotations.items()}
    translations = {rig.nodes[rig.bones["hips"]]: made.hips.numpy()}
    add_animation(gltf, motion.text or "motion", motion.fps, rotations, translations, first=True)


def _without_matrix(gltf: Gltf, rig: Rig, place: int) -> None:
    """Give a node that has a matrix translation, rotation and scale instead: only these can be animated."""
    node = gltf.document["nodes"][rig.nodes[place]]
    if node.pop("matrix", None) is not None:
        matrix = rig.local[place]
        node["translation"] = matrix[:3, 3].tolist()
        node["rotation"] = turns_of(matrix[None])[0][[1, 2, 3, 0]].tolist()
        node["scale"] = np.linalg.norm(matrix[:3, :3], axis=0).tolist()
