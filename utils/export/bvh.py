"""BVH: a fitted motion as text, see `lamp.utils.export.fit` for its rest pose."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamp.utils.export.body_plan import BodyPlan
from lamp.utils.export.fit import SkeletonFit, fit_skeleton
from lamp.utils.export.rotations import one_thread, smoothest_euler
from lamp.utils.files import atomic_path

if TYPE_CHECKING:
    from lamp.utils.motion import Motion


def write(motion: "Motion", path: Path) -> None:
    """Write a motion as BVH, in metres."""
    text = format_bvh(motion.rotations(), motion.fps)
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="ascii")


def to_bvh(joints: np.ndarray, fps: float) -> str:
    """BVH text of joint positions (T, J, 3); see `format_bvh`."""
    return format_bvh(fit_skeleton(joints), fps)


@one_thread()
def format_bvh(fit: SkeletonFit, fps: float) -> str:
    """BVH text of a fitted motion in metres; 6 decimals.

    Angles are in degrees and go on without jumps, over more than half a turn too. Channels are Z, Y, X (R = Rz Ry Rx),
    or another order where that comes near gimbal lock, see `smoothest_euler`.
    """
    order, turns = smoothest_euler(torch.from_numpy(fit.rotations))
    metres = fit.millimetres / 1000
    angles = np.rad2deg(turns[:, fit.plan.order].numpy()).reshape(len(turns), -1)
    # Adding 0 after rounding turns -0.0 into 0.0.
    rows = np.round(np.concatenate((fit.root * metres, angles), axis=1), 6) + 0.0
    line = "%.6f " * rows.shape[1] + "\n"
    motion = "".join(line % tuple(row) for row in rows.tolist())
    hierarchy = "\n".join(_hierarchy_lines(fit.offsets * metres, fit.plan, order, 0, depth=0))
    return f"HIERARCHY\n{hierarchy}\nMOTION\nFrames: {len(rows)}\nFrame Time: {1 / fps:.8f}\n{motion}"


def _hierarchy_lines(offsets: np.ndarray, plan: BodyPlan, order: str, joint: int, depth: int) -> list[str]:
    tab = "\t" * depth
    offset = "OFFSET {:.6f} {:.6f} {:.6f}"
    rotation = " ".join(f"{axis}rotation" for axis in order)
    channels = f"CHANNELS 6 Xposition Yposition Zposition {rotation} " if joint == 0 else f"CHANNELS 3 {rotation}"
    head = f"{'JOINT' if depth else 'ROOT'} {plan.names[joint]}"
    lines = [f"{tab}{head}", f"{tab}{{", f"{tab}\t{offset.format(*(offsets[joint] + 0.0))}", f"{tab}\t{channels}"]
    for child in sorted(plan.children[joint], key=plan.order.index):
        lines += _hierarchy_lines(offsets, plan, order, child, depth=depth + 1)
    if not plan.children[joint]:
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\t{offset.format(0, 0, 0)}", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"]
