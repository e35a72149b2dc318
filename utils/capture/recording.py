"""What a motion capture file holds: a skeleton, and the pose of each joint relative to its parent in every frame."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from lamp.utils.kinematics.geometry import quat_multiply, quat_rotate, quat_slerp


def check_size(frames: int, joints: int, size: int) -> None:
    """Make sure that a recording is no larger than the `size` bytes of its file justify.

    A file has at least one number, so two bytes, for each joint of each frame, but for joints that do not move.

    Raises:
        ValueError: it is larger.
    """
    if frames * joints > max(size, 1000):
        raise ValueError(f"{joints} joints in {frames} frames, of which most never move; export a plain skeleton")


@dataclass
class Rig:
    """A skeleton, joint by joint, parents first.

    Attributes:
        names: joint names, each used once; the end of a chain is called `<parent>_end`.
        parents: parent of each joint, -1 for a root.
        offsets: place of each joint in its parent's frame.
    """

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, name: str, parent: int, offset: tuple[float, ...] = (0.0, 0.0, 0.0)) -> int:
        """Append a joint and return its index."""
        self.names.append(name)
        self.parents.append(parent)
        self.offsets.append(offset)
        return len(self.names) - 1

    def rest_pose(self, frames: int) -> tuple[Tensor, Tensor]:
        """Local positions (T, N, 3), which are the offsets, and local rotations (T, N, 4) that do not turn, float64."""
        position = torch.tensor(self.offsets, dtype=torch.float64).expand(frames, len(self.names), 3).clone()
        rotation = torch.zeros(frames, len(self.names), 4, dtype=torch.float64)
        rotation[..., 0] = 1.0
        return position, rotation


@dataclass
class Recording:
    """A skeleton in motion.

    Attributes:
        rig: the skeleton.
        position: (T, N, 3) of each joint in its parent's frame, float64, in the file's unit and axes.
        rotation: (T, N, 4) of each joint against its parent, quaternions (w, x, y, z), float64.
        fps: frames a second.
    """

    rig: Rig
    position: Tensor
    rotation: Tensor
    fps: float

    def __len__(self) -> int:
        return len(self.position)

    @property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return bool(self.position.isfinite().all() and self.rotation.isfinite().all())

    def without_first(self, frames: int) -> "Recording":
        """The recording without its first frames."""
        return replace(self, position=self.position[frames:], rotation=self.rotation[frames:])

    def resampled(self, fps: float) -> "Recording":
        """The recording at `fps`: local positions linearly, local rotations spherically interpolated.

        Bones keep their lengths, which they would not if global positions were interpolated.
        """
        duration = (len(self) - 1) / self.fps
        time = torch.arange(int(duration * fps + 1e-6) + 1, dtype=torch.float64) / fps * self.fps
        low = time.floor().long().clamp(max=len(self) - 2)
        t = time - low
        position = torch.lerp(self.position[low], self.position[low + 1], t[:, None, None])
        rotation = quat_slerp(self.rotation[low], self.rotation[low + 1], t[:, None])
        return Recording(self.rig, position, rotation, fps)

    def global_positions(self) -> Tensor:
        """Positions (T, N, 3) of all joints in the file's axes, by forward kinematics."""
        absolute, place = [self.rotation[:, 0]], [self.position[:, 0]]
        for joint, parent in enumerate(self.rig.parents[1:], start=1):
            if parent < 0:
                place.append(self.position[:, joint])
                absolute.append(self.rotation[:, joint])
                continue
            place.append(place[parent] + quat_rotate(absolute[parent], self.position[:, joint]))
            absolute.append(quat_multiply(absolute[parent], self.rotation[:, joint]))
        return torch.stack(place, dim=1)
