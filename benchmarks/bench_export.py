"""Motions to files: BVH with and without foot clean-up, stick-figure video, npz.

python -m benchmarks.bench_export
"""

import numpy as np

from benchmarks.common import Bench, Part, run_script
from lamp.utils.errors import main_with_errors
from lamp.utils.export.fit import fit_skeleton, rest_directions
from lamp.utils.export.scene import Style
from lamp.utils.export.video import write_mp4
from lamp.utils.kinematics.foot_contact import clean_feet
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion

TITLE = "a person walks"
VIDEO_SIDES = {"mp4": 480, "mp4_1000": 1000}
"""Pixels of the videos: our size, and the one that the public code has where nothing is said."""


def example(frames: int, seed: int = 0) -> np.ndarray:
    """A T-pose (T, 22, 3) that wanders and wobbles; what it looks like does not matter for time."""
    offsets = rest_directions().numpy() * np.array(HUMANML3D.bone_lengths)[:, None]
    pose = np.zeros((22, 3))
    for joint in range(1, 22):
        pose[joint] = pose[HUMANML3D.parents[joint]] + offsets[joint]
    path = np.stack((np.linspace(0, 4, frames), np.full(frames, 0.95), np.zeros(frames)), axis=1)
    wobble = 0.02 * np.random.default_rng(seed).standard_normal((frames, 22, 3)).cumsum(0) / np.sqrt(frames)
    return pose + path[:, None] + wobble


def parts(bench: Bench) -> list[Part]:
    """One part a writer; none of them uses a GPU."""
    frames = bench.pick(196, 16)
    motion = Motion(example(frames), text=TITLE)
    fitted = fit_skeleton(motion.joints).joints

    def video(key: str) -> None:
        style = Style(size=(VIDEO_SIDES[key],) * 2)
        write_mp4(motion.joints, bench.folder / "m.mp4", title=motion.text, style=style)

    rows = {
        "bvh": ("joints to BVH", lambda: motion.save(bench.folder / "m.bvh")),
        "bvh_ik": ("joints to BVH with foot clean-up", lambda: motion.with_foot_cleanup().save(bench.folder / "k.bvh")),
        "mp4": ("stick-figure mp4, 480 x 480", lambda: video("mp4")),
        "mp4_1000": ("stick-figure mp4, 1000 x 1000", lambda: video("mp4_1000")),
        "feet": ("foot clean-up alone", lambda: clean_feet(fitted, 20.0)),
        "npz": ("npz", lambda: motion.save(bench.folder / "m.npz")),
    }
    return [
        Part(key, f"{title}, {frames} frames", frames, "frames", lambda function=function: function)
        for key, (title, function) in rows.items()
    ]


@main_with_errors
def main() -> None:
    """Measure."""
    run_script("bench_export", parts)


if __name__ == "__main__":
    main()
