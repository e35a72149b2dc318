"""Time of turning a motion into files: `python -m benchmarks.bench_export [--frames 196] [--repeat 5]`."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from utils.export.bvh import fit_skeleton, rest_directions, to_bvh
from utils.export.video import write_mp4
from utils.foot_contact import clean_feet
from utils.motion import Motion
from utils.skeleton import HUMANML3D


def example(frames: int) -> np.ndarray:
    """A T-pose (T, 22, 3) that wanders and wobbles; what it looks like does not matter for time."""
    offsets = rest_directions().numpy() * np.array(HUMANML3D.bone_lengths)[:, None]
    pose = np.zeros((22, 3))
    for joint in range(1, 22):
        pose[joint] = pose[HUMANML3D.parents[joint]] + offsets[joint]
    path = np.stack((np.linspace(0, 4, frames), np.full(frames, 0.95), np.zeros(frames)), axis=1)
    wobble = 0.02 * np.random.default_rng(0).standard_normal((frames, 22, 3)).cumsum(0) / np.sqrt(frames)
    return pose + path[:, None] + wobble


def median_seconds(function: Callable[[], object], repeat: int) -> float:
    """Median time of `repeat` calls, after one to warm up."""
    function()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    """Print one line for each writer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=196, help="length of the motion")
    parser.add_argument("--repeat", type=int, default=5, help="timed calls, of which the median is printed")
    options = parser.parse_args()
    torch.set_num_threads(2)
    joints = example(options.frames)
    fitted = fit_skeleton(joints).joints
    motion = Motion(joints, text="a person walks")
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], object]] = {
            "joints -> BVH text": lambda: to_bvh(joints, 20.0),
            "foot clean-up": lambda: clean_feet(fitted, 20.0),
            "skeleton fit and foot clean-up": motion.with_foot_cleanup,
            "npz": lambda: motion.save(Path(folder) / "m.npz"),
            "stick-figure mp4": lambda: write_mp4(joints, Path(folder) / "m.mp4", title=motion.text),
        }
        for name, function in parts.items():
            print(f"{name:32s} {1000 * median_seconds(function, options.repeat):8.1f} ms", flush=True)


if __name__ == "__main__":
    main()
