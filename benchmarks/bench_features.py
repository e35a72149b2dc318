"""Joints to motion features and back.

python -m benchmarks.bench_features
"""

import torch
from torch import Tensor

from benchmarks.common import Bench, Part, run_script
from lamp.utils.errors import main_with_errors
from lamp.utils.kinematics.features import features_to_joints, features_to_joints_by_rotation, joints_to_features
from lamp.utils.kinematics.skeleton import HUMANML3D


def random_joints(bench: Bench, clips: int, frames: int) -> Tensor:
    """Random walks (clips, frames + 1, 22, 3): so many frames of features."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(clips, frames + 1, 22, 3, generator=generator).cumsum(1).to(bench.device)


def parts(bench: Bench) -> list[Part]:
    """Single clips as the baseline has them, and batches."""
    lengths = torch.tensor(HUMANML3D.bone_lengths, device=bench.device)
    frames, long, many = bench.pick(170, 16), bench.pick(196, 24), bench.pick(32, 2)
    one, batch = random_joints(bench, 1, frames)[0], random_joints(bench, many, long)
    features = joints_to_features(one, HUMANML3D)[None]
    batch_features = joints_to_features(batch, HUMANML3D)
    rows = {
        "features_uniform": (
            f"joints to features, {frames} frames, skeleton normalised",
            frames,
            lambda: joints_to_features(one, HUMANML3D, lengths),
        ),
        "features": (f"joints to features, {frames} frames", frames, lambda: joints_to_features(one, HUMANML3D)),
        "features_32": (
            f"joints to features, {many} x {long} frames, skeleton normalised",
            many * long,
            lambda: joints_to_features(batch, HUMANML3D, lengths),
        ),
        "joints_1": (f"features to joints, 1 x {frames} frames", frames, lambda: features_to_joints(features)),
        "joints_32": (
            f"features to joints, {many} x {long} frames",
            many * long,
            lambda: features_to_joints(batch_features),
        ),
        "joints_by_rotation_32": (
            f"features to joints by rotations, {many} x {long} frames",
            many * long,
            lambda: features_to_joints_by_rotation(batch_features, HUMANML3D, lengths),
        ),
    }
    return [
        Part(key, title, items, "frames", lambda function=function: function)
        for key, (title, items, function) in rows.items()
    ]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_features", parts)


if __name__ == "__main__":
    main()
