"""Time the conversion of joints to motion features and back.

    python -m benchmarks.bench_features --clips 64 --frames 196

Prints milliseconds a clip and frames a second, one clip at a time and as a batch.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from utils.features import features_to_joints, features_to_joints_by_rotation, joints_to_features
from utils.skeleton import HUMANML3D


def measure(function: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Shortest time of a call in seconds, after one call to warm up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=64, help="clips in a batch")
    parser.add_argument("--frames", type=int, default=196, help="frames of a clip")
    parser.add_argument("--repeats", type=int, default=5, help="the shortest of so many times counts")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    options = parser.parse_args()
    device = torch.device(options.device)
    lengths = torch.tensor(HUMANML3D.bone_lengths, device=device)
    generator = torch.Generator().manual_seed(0)
    joints = torch.randn(options.clips, options.frames + 1, 22, 3, generator=generator).cumsum(1).to(device)
    features = joints_to_features(joints, HUMANML3D, lengths)
    conversions: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "joints to features": (lambda x: joints_to_features(x, HUMANML3D, lengths), joints),
        "features to joints": (features_to_joints, features),
        "features to joints by rotation": (lambda x: features_to_joints_by_rotation(x, HUMANML3D, lengths), features),
    }
    print(f"{options.clips} clips of {options.frames} frames on {device}, {torch.get_num_threads()} threads")
    print(f"{'':<32}{'single':>12}{'batch':>12}{'batch':>18}")
    for name, (function, motion) in conversions.items():
        single = measure(partial(function, motion[0]), device, options.repeats)
        batch = measure(partial(function, motion), device, options.repeats) / options.clips
        print(f"{name:<32}{single * 1e3:>9.2f} ms{batch * 1e3:>9.2f} ms{options.frames / batch:>11,.0f} frames/s")


if __name__ == "__main__":
    main()
