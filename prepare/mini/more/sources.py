"""The six sources: how their files are found and read, and what is let pass of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lamp.prepare.mini.more.exponential import read_exponential_maps
from lamp.prepare.mini.more.humanoid import read_humanoid
from lamp.prepare.mini.more.points import read_accad, read_box_climbing, read_skillmimic
from lamp.prepare.mini.more.robot import find_urdf, read_g1


@dataclass(frozen=True)
class Source:
    """A source.

    Attributes:
        name: of its flag (`--name DIR`) and in `more_clips.json`.
        what: what its files are.
        suffix: of its files.
        read: joints (T, 22, 3) of a file, metres, Y up, 20 frames a second.
        max_speed: m/s above which a take is broken, where that is more than elsewhere.
        level: whether clips stand on one level floor.
        with_folder: how many folders above a file are part of a clip's name.
        check: makes sure of what else is needed in the folder.
    """

    name: str
    what: str
    suffix: str
    read: Callable[[Path], Tensor]
    max_speed: float = 0.0
    level: bool = True
    with_folder: int = 0
    check: Callable[[Path], None] | None = None

    def clip_name(self, path: Path) -> str:
        """Name of a file's clip in `more_clips.json`."""
        folders = path.parts[-1 - self.with_folder : -1]
        return "__".join((*folders, path.stem))


SOURCES = {
    source.name: source
    for source in (
        # A sprinter's toes and hands reach 14 m/s: fast limbs, not broken takes.
        Source("accad", "ACCAD's BVH files of Male1", ".bvh", read_accad, max_speed=16.0, level=False),
        Source("skillmimic", "SkillMimic's BallPlay-M", ".pt", read_skillmimic, with_folder=1),
        Source("g1_moves", "G1 Moves and g1_29dof.urdf", ".csv", read_g1, max_speed=14.0, check=find_urdf),
        Source(
            "cmu_expmap", "CMU clips as exponential maps", ".txt", read_exponential_maps, max_speed=14.0, with_folder=2
        ),
        Source("box_climbing", "box climbing of holosoma-retargeting", ".npy", read_box_climbing, level=False),
        Source(
            "deepmimic", "the humanoid's motions of pybullet_data", ".txt", read_humanoid, max_speed=16.0, level=False
        ),
    )
}
