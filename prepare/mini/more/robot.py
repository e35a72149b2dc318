"""G1 Moves: dances and karate as joint angles of the Unitree G1, made a human's joints by the robot's URDF."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from lamp.prepare.mini.more.frames import FPS, check_columns, pose_chain, resampled, y_up
from lamp.utils.errors import UserError
from lamp.utils.files import files_below
from lamp.utils.kinematics.geometry import quat_from_euler, quat_multiply, quat_rotate
from lamp.utils.kinematics.skeleton import HUMANML3D

URDF = "g1_29dof.urdf"
_FPS = 60
_ANGLES = 29
_HUMAN = 1.69 / 1.28
"""Metres of a human for a metre of the robot, by their heights."""
_TORSO = "torso_link"
_STILL, _MARGIN = 0.25, 10
"""Metres a second below which all joints stand still, and frames that are kept of it before and after."""
# Where each of our joints is: a link of the robot, and a place in its frame in metres (x forward, y left, z up). The
# robot has neither neck nor toes, and one joint for our spine: these are made, as the head is fixed to its torso.
_PLACES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "pelvis": ("pelvis", (0, 0, 0)),
    "spine1": (_TORSO, (0, 0, 0.03)),
    "spine2": (_TORSO, (0, 0, 0.11)),
    "spine3": (_TORSO, (0, 0, 0.14)),
    "neck": (_TORSO, (0, 0, 0.28)),
    "head": (_TORSO, (0.02, 0, 0.37)),
}
for _side, _sign in (("left", 1), ("right", -1)):
    _PLACES |= {
        f"{_side}_hip": (f"{_side}_hip_roll_link", (0, 0, 0)),
        f"{_side}_knee": (f"{_side}_knee_link", (0, 0, 0)),
        f"{_side}_ankle": (f"{_side}_ankle_roll_link", (0, 0, 0)),
        f"{_side}_foot": (f"{_side}_ankle_roll_link", (0.12, 0, -0.03)),
        f"{_side}_collar": (_TORSO, (0, 0.05 * _sign, 0.23)),
        f"{_side}_shoulder": (f"{_side}_shoulder_roll_link", (0, 0, 0)),
        f"{_side}_elbow": (f"{_side}_elbow_link", (0, 0, 0)),
        f"{_side}_wrist": (f"{_side}_wrist_yaw_link", (0, 0, 0)),
    }


@dataclass(frozen=True)
class _Robot:
    """The joints of a URDF in its order, the root link first.

    Attributes:
        links: name of the link that each joint moves.
        parents: index of each one's parent, -1 for the root.
        offsets: (J, 3) metres in the parent's frame.
        turns: (J, 4) quaternion of each joint's frame in its parent's at angle 0.
        axes: (J, 3) axis that the joint turns about, 0 for one that does not turn.
    """

    links: list[str]
    parents: list[int]
    offsets: Tensor
    turns: Tensor
    axes: Tensor


def read_g1(path: Path) -> Tensor:
    """Joints (T, 22, 3) of a G1 Moves .csv file, metres of a human, Y up, 20 frames a second.

    Columns: root position (m, Z up), root quaternion (x, y, z, w), 29 angles in the order of the URDF. The URDF is
    looked for in the folders above the file. What the performer waits before and after is left out.

    Raises:
        UserError: the table has another shape, or there is no URDF or another robot's.
    """
    table = torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2))
    check_columns(table, 7 + _ANGLES, str(path))
    robot = _robot(_urdf_above(path))
    half = torch.zeros(len(table), len(robot.links), dtype=torch.float64)
    half[:, robot.axes.abs().sum(1) > 0] = table[:, 7:] / 2
    turned = torch.cat((half.cos()[..., None], half.sin()[..., None] * robot.axes), dim=-1)
    root = torch.nn.functional.normalize(table[:, [6, 3, 4, 5]], dim=-1)
    local = quat_multiply(robot.turns, turned)
    places, turns = pose_chain(robot.parents, robot.offsets, local, (table[:, :3], root))
    joints = []
    for name in HUMANML3D.joint_names:
        link, place = _PLACES[name]
        index = robot.links.index(link)
        joints.append(places[:, index] + quat_rotate(turns[:, index], table.new_tensor(place)))
    return _without_waiting(resampled(y_up(torch.stack(joints, 1)) * _HUMAN, _FPS))


def _without_waiting(joints: Tensor) -> Tensor:
    """Joints (T, 22, 3) without the seconds at both ends in which the performer stands and waits."""
    moving = torch.nonzero((joints[1:] - joints[:-1]).norm(dim=-1).amax(1) * FPS > _STILL)
    if not len(moving):
        return joints
    return joints[max(0, int(moving[0]) - _MARGIN) : int(moving[-1]) + 1 + _MARGIN]


def _urdf_above(path: Path) -> Path:
    """The robot's URDF in one of the four folders above a file of the source.

    Raises:
        UserError: it is in none.
    """
    for folder in list(path.resolve().parents)[:4]:
        if (folder / URDF).is_file():
            return folder / URDF
    raise UserError(f"{path}: no {URDF} in the folders above; put the one of holosoma-retargeting into --g1_moves DIR")


def find_urdf(folder: Path) -> None:
    """Make sure that a folder of the source has the robot's URDF.

    Raises:
        UserError: it has not.
    """
    if not (folder / URDF).is_file():
        inside = [path for path in files_below(folder, ".urdf") if path.name == URDF]
        where = f"; move {inside[0]} there" if inside else f"; copy {URDF} of holosoma-retargeting there"
        raise UserError(f"--g1_moves {folder} lacks {URDF}{where}")


@lru_cache
def _robot(path: Path) -> _Robot:
    """The robot of a URDF.

    Raises:
        UserError: it has another number of turning joints, or lacks links.
    """
    links, parents, offsets, turns, axes = ["pelvis"], [-1], [[0.0] * 3], [[0.0] * 3], [[0.0] * 3]
    for joint in ElementTree.parse(path).getroot().findall("joint"):
        links.append(_link(joint, "child"))
        parents.append(links.index(_link(joint, "parent")))
        offsets.append(_numbers(joint.find("origin"), "xyz"))
        turns.append(_numbers(joint.find("origin"), "rpy"))
        axes.append(_numbers(joint.find("axis"), "xyz") if joint.get("type") == "revolute" else [0.0] * 3)
    found = torch.tensor(axes, dtype=torch.float64)
    angles = int((found.abs().sum(1) > 0).sum())
    missing = sorted({link for link, _ in _PLACES.values()} - set(links))
    if angles != _ANGLES or missing:
        lacking = f" and lacks {', '.join(missing[:3])}" if missing else ""
        raise UserError(f"{path} has {angles} turning joints, not {_ANGLES}{lacking}; it is another robot's")
    # URDF: roll, pitch and yaw about fixed axes, R = Rz Ry Rx.
    rotation = quat_from_euler(torch.tensor(turns, dtype=torch.float64).flip(-1), "ZYX")
    return _Robot(links, parents, torch.tensor(offsets, dtype=torch.float64), rotation, found)


def _link(joint: ElementTree.Element, end: str) -> str:
    """Name of a joint's parent or child link."""
    element = joint.find(end)
    return "" if element is None else element.get("link", "")


def _numbers(element: ElementTree.Element | None, name: str) -> list[float]:
    """Three numbers of an attribute; 0 where they are left out, as the camera of this URDF has two angles only."""
    words = "" if element is None else element.get(name, "")
    return [*map(float, words.split()), 0.0, 0.0, 0.0][:3]
