"""Which joints of a capture skeleton are the 22 of the format, and turning any capture upright and into metres."""

import json
from pathlib import Path

import torch
from torch import Tensor

from lamp.utils.capture.take import Take
from lamp.utils.errors import UserError
from lamp.utils.kinematics.features import facing
from lamp.utils.kinematics.skeleton import HUMANML3D

# A target joint is a source joint, or (a, b, t): the point that lies t of the way from a to b, for joints that the
# source lacks or gives no length of their own.
Source = str | tuple[str, str, float]
JointMap = dict[str, Source]


def _sided(pattern: dict[str, str], left: str, right: str) -> JointMap:
    """Entries for both sides; `{}` in a source name stands for the side."""
    return {
        f"{side}_{joint}": name.format(word)
        for joint, name in pattern.items()
        for side, word in (("left", left), ("right", right))
    }


def _limbs(hip: str, knee: str, ankle: str, foot: str, shoulder: str, elbow: str, wrist: str) -> dict[str, str]:
    names = ("hip", "knee", "ankle", "foot", "shoulder", "elbow", "wrist")
    return dict(zip(names, (hip, knee, ankle, foot, shoulder, elbow, wrist)))


_MIXAMO_LIMBS = _limbs("{}UpLeg", "{}Leg", "{}Foot", "{}ToeBase", "{}Arm", "{}ForeArm", "{}Hand")
_CMU_LIMBS = _limbs("{}Hip", "{}Knee", "{}Ankle", "{}Toe", "{}Shoulder", "{}Elbow", "{}Wrist")

# In order of preference: the first table whose joints a skeleton has is used.
JOINT_MAPS: dict[str, JointMap] = {
    "smpl": {name: name for name in HUMANML3D.joint_names},
    "bandai_namco": {
        "pelvis": "Hips",
        "spine1": ("Hips", "Spine", 0.5),
        "spine2": "Spine",
        "spine3": "Chest",
        "neck": "Neck",
        "head": "Head",
        **_sided({"collar": "Shoulder_{}"}, "L", "R"),
        **_sided(
            _limbs("UpperLeg_{}", "LowerLeg_{}", "Foot_{}", "Toes_{}", "UpperArm_{}", "LowerArm_{}", "Hand_{}"),
            "L",
            "R",
        ),
    },
    "cmu_daz": {
        "pelvis": "hip",
        "spine1": ("hip", "abdomen", 0.5),
        "spine2": "abdomen",
        "spine3": "chest",
        "neck": "neck",
        "head": "head",
        **_sided({"collar": "{}Collar"}, "l", "r"),
        **_sided(_limbs("{}Thigh", "{}Shin", "{}Foot", "{}Foot_end", "{}Shldr", "{}ForeArm", "{}Hand"), "l", "r"),
    },
    "cmu": {
        "pelvis": "Hips",
        "spine1": "Chest",
        "spine2": ("Chest", "Chest2", 0.5),
        "spine3": "Chest2",
        "neck": "Neck",
        "head": "Head",
        "left_collar": ("Chest2", "LeftShoulder", 0.5),
        "right_collar": ("Chest2", "RightShoulder", 0.5),
        **_sided(_CMU_LIMBS, "Left", "Right"),
    },
    "cmu_motionbuilder": {
        "pelvis": "Hips",
        "spine1": "Spine",
        "spine2": ("Spine", "Spine1", 0.5),
        "spine3": "Spine1",
        "neck": "Neck1",
        "head": "Head",
        "left_collar": ("Spine1", "LeftArm", 0.5),
        "right_collar": ("Spine1", "RightArm", 0.5),
        **_sided(_MIXAMO_LIMBS, "Left", "Right"),
    },
    "cmu_asf": {
        "pelvis": "root",
        "spine1": "lowerback",
        "spine2": "upperback",
        "spine3": "thorax",
        "neck": "lowerneck",
        "head": "upperneck",
        "left_collar": ("thorax", "lclavicle", 0.5),
        "right_collar": ("thorax", "rclavicle", 0.5),
        **_sided(_limbs("{}hipjoint", "{}femur", "{}tibia", "{}foot", "{}clavicle", "{}humerus", "{}radius"), "l", "r"),
    },
    "mixamo_4_spines": {
        "pelvis": "Hips",
        "spine1": "Spine1",
        "spine2": "Spine2",
        "spine3": "Spine3",
        "neck": "Neck",
        "head": "Head",
        **_sided({"collar": "{}Shoulder"}, "Left", "Right"),
        **_sided(_MIXAMO_LIMBS, "Left", "Right"),
    },
    "mixamo": {
        "pelvis": "Hips",
        "spine1": "Spine",
        "spine2": "Spine1",
        "spine3": "Spine2",
        "neck": "Neck",
        "head": "Head",
        **_sided({"collar": "{}Shoulder"}, "Left", "Right"),
        **_sided(_MIXAMO_LIMBS, "Left", "Right"),
    },
}
# Our own BVH files: Mixamo's names but for the toes.
JOINT_MAPS["lamp"] = JOINT_MAPS["mixamo"] | _sided({"foot": "{}Toe"}, "Left", "Right")

# Raw frames to drop at the start: these exports begin in a T-pose, the Daz-friendly ones with an after-swing.
LEAD_IN_FRAMES = {"cmu_daz": 10, "cmu_motionbuilder": 1}


def load_joint_map(path: str | Path) -> JointMap:
    """Read a user's joint map: JSON object from our 22 joint names to source names or [a, b, t].

    Raises:
        UserError: unreadable, not of this form, or a joint is missing or unknown.
    """
    try:
        table = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read joint map {path}: {error}") from error
    wanted = set(HUMANML3D.joint_names)
    if not isinstance(table, dict):
        raise UserError(f"joint map {path} must be a JSON object from our 22 joint names to yours")
    if set(table) != wanted:
        missing, unknown = sorted(wanted - set(table)), sorted(set(table) - wanted)
        raise UserError(f"joint map {path} must name exactly our 22 joints; missing {missing}, unknown {unknown}")
    return {joint: _source(path, joint, value) for joint, value in table.items()}


def _source(path: str | Path, joint: str, value: object) -> Source:
    match value:
        case str():
            return value
        case [str(a), str(b), int(t) | float(t)]:
            return a, b, float(t)
    raise UserError(f'joint map {path}: {joint} must be a name, or ["NAME", "NAME", share of the way], not {value!r}')


def _source_names(source: Source) -> tuple[str, ...]:
    return (source,) if isinstance(source, str) else source[:2]


def _short(name: str) -> str:
    """A joint's name without the namespace that exporters put before it ("mixamorig:Hips")."""
    return name.rsplit(":", 1)[-1].removeprefix("mixamorig")


def choose_joint_map(names: list[str]) -> str:
    """Name of the table that fits a skeleton with these joints.

    Raises:
        UserError: none fits; the message names the joints and the remedy.
    """
    have = {_short(name) for name in names}
    for table, entries in JOINT_MAPS.items():
        if all(name in have for source in entries.values() for name in _source_names(source)):
            return table
    raise UserError(f"no joint map fits a skeleton with joints {sorted(have)}; give one with --joint_map FILE.json")


def map_joints(take: Take, table: JointMap) -> Tensor:
    """Positions (T, 22, 3) of the format's joints, in the take's unit and axes."""
    index = {_short(name): i for i, name in enumerate(take.names)}
    columns = []
    for joint in HUMANML3D.joint_names:
        source = table[joint]
        if missing := [name for name in _source_names(source) if name not in index]:
            raise UserError(f"the joint map's {missing} are not in the skeleton ({sorted(index)})")
        if isinstance(source, str):
            columns.append(take.positions[:, index[source]])
        else:
            a, b, t = source
            columns.append(torch.lerp(take.positions[:, index[a]], take.positions[:, index[b]], t))
    return torch.stack(columns, dim=1)


def upright(joints: Tensor, up: str | None = None) -> Tensor:
    """Turn a motion (T, 22, 3) so that +Y is up.

    Args:
        joints: in any axes.
        up: "+x", "-y", ... in the input's axes; None finds the axis along which feet, pelvis and head are stacked.
    """
    if up is None:
        feet = joints[:, [7, 8, 10, 11]].mean(1)
        spine = (joints[:, 15] - feet).mean(0)
        axis = int(spine.abs().argmax())
        sign = 1.0 if spine[axis] > 0 else -1.0
    else:
        axis, sign = "xyz".index(up[-1].lower()), -1.0 if up.startswith("-") else 1.0
    # A cyclic change of axes is a rotation; half a turn about z then mends a negative sign.
    joints = joints[..., [(axis + 2) % 3, axis, (axis + 1) % 3]]
    return joints * joints.new_tensor([sign, sign, 1.0])


def check_handedness(joints: Tensor) -> bool:
    """True if the toes of a motion (T, 22, 3) mostly point where hips and shoulders say that the body faces.

    Only the lower foot of each frame counts: the swinging foot of a sprinter points backwards.
    """
    forward = facing(joints, HUMANML3D)
    ankles, toes = joints[:, [7, 8]], joints[:, [10, 11]]
    lower = ankles[..., 1].argmin(1)
    foot = (toes - ankles)[torch.arange(len(joints)), lower]
    return bool((forward * foot).sum(-1).mean() > 0)
