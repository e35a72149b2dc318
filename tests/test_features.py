"""Geometry and motion features: properties on procedural motion, and parity with the published features."""

import itertools
import math

import numpy as np
import pytest
import torch
from golden import load_golden
from torch import Tensor

from lamp.prepare.sample import motion as sample_motion
from lamp.utils.kinematics import geometry
from lamp.utils.kinematics.features import (
    FeatureLayout,
    canonicalize,
    extract_features,
    facing,
    features_to_joints,
    features_to_joints_by_rotation,
    joints_to_features,
    mirror_joints,
    normalization_std,
    recover_root,
    uniform_skeleton,
)
from lamp.utils.kinematics.inverse_kinematics import local_rotations
from lamp.utils.kinematics.skeleton import HUMANML3D, KIT, Skeleton
from tests.marks import needs_golden

SKELETONS = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda skeleton: skeleton.name)
UP = torch.tensor([0.0, 1.0, 0.0])


def walk(skeleton: Skeleton, frames: int = 60, turn: float = 0.3, seed: int = 0) -> Tensor:
    """A walk (T, J, 3) in units of about a metre."""
    rng = np.random.default_rng(seed)
    track = sample_motion.gait(frames, rng, skeleton.fps, speed=1.1, turn=turn, run=False)
    return sample_motion.to_joints(track, skeleton) / (1000.0 if skeleton is KIT else 1.0)


def random_quaternions(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(*shape, 4, generator=generator), dim=-1)


def same_rotation(a: Tensor, b: Tensor) -> Tensor:
    """1 - |a . b|, 0 where two quaternions are the same rotation."""
    return (1 - (a * b).sum(-1).abs()).abs().max()


@pytest.mark.parametrize("order", ["XYZ", "ZYX", "ZXY", "YXZ"])
def test_euler_angles_multiply_single_axis_rotations(order: str) -> None:
    angles = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.eye(3).expand(50, 3, 3)
    for i, axis in enumerate(order):
        sin, cos = angles[:, i].sin(), angles[:, i].cos()
        first, second = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
        single = torch.eye(3).repeat(50, 1, 1)
        single[:, first, first], single[:, second, second] = cos, cos
        single[:, first, second], single[:, second, first] = -sin, sin
        expected = expected @ single
    torch.testing.assert_close(geometry.quat_to_matrix(geometry.quat_from_euler(angles, order)), expected)


def test_euler_round_trip_also_at_the_pole() -> None:
    q = random_quaternions(500)
    assert same_rotation(geometry.quat_from_euler(geometry.quat_to_euler_zyx(q), "ZYX"), q) < 1e-5
    pole = geometry.quat_from_euler(torch.tensor([[0.7, math.pi / 2, 0.2], [0.7, -math.pi / 2, 0.2]]), "ZYX")
    assert same_rotation(geometry.quat_from_euler(geometry.quat_to_euler_zyx(pole), "ZYX"), pole) < 1e-4


def test_matrix_and_6d_round_trips() -> None:
    # Half turns are the hard case of matrix to quaternion.
    q = torch.cat((random_quaternions(500), torch.eye(4), torch.tensor([[0.0, 0.6, 0.8, 0.0]])))
    assert same_rotation(geometry.matrix_to_quat(geometry.quat_to_matrix(q)), q) < 1e-6
    matrices = geometry.quat_to_matrix(q)
    sixd = matrices[..., :2].mT.flatten(-2)
    torch.testing.assert_close(geometry.matrix_from_6d(sixd), matrices)
    v = torch.randn(len(q), 3, generator=torch.Generator().manual_seed(2))
    rotated = (geometry.quat_to_matrix(q) @ v[..., None])[..., 0]
    torch.testing.assert_close(geometry.quat_rotate(q, v), rotated, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(geometry.quat_rotate(geometry.quat_inverse(q), rotated), v, rtol=1e-5, atol=1e-5)


def test_quat_between_turns_one_vector_to_the_other() -> None:
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(2, 200, 3, generator=generator)
    b[:5] = -2 * a[:5]
    turned = geometry.quat_rotate(geometry.quat_between(a, b), torch.nn.functional.normalize(a, dim=-1))
    torch.testing.assert_close(turned, torch.nn.functional.normalize(b, dim=-1), rtol=1e-4, atol=1e-4)
    assert geometry.quat_between(torch.zeros(3), b[0]).tolist() == [1, 0, 0, 0]


def quaternion_kinematics(joints: Tensor, turn: Tensor, skeleton: Skeleton) -> Tensor:
    """What `local_rotations` gives for joints (..., T, J, 3), by general quaternions: (..., T, J-1, 6)."""
    parents = torch.tensor(skeleton.parents[1:])
    bones = torch.nn.functional.normalize(joints[..., 1:, :] - joints[..., parents, :], dim=-1)
    absolute = geometry.quat_between(skeleton.rest_directions(joints)[1:], bones)
    absolute = torch.cat((geometry.quat_from_yaw(turn)[..., None, :], absolute), dim=-2)
    before = absolute[..., skeleton.rotation_parents[1:], :]
    local = geometry.quat_multiply(geometry.quat_inverse(before), absolute[..., 1:, :])
    return geometry.quat_to_matrix(local)[..., :2].mT.flatten(-2)


def chained(bones: Tensor, skeleton: Skeleton) -> Tensor:
    """Joints (..., J, 3) of bone vectors, the first of which is the root's position."""
    joints = list(bones.unbind(-2))
    for chain in skeleton.chains:
        for parent, joint in itertools.pairwise(chain):
            joints[joint] = joints[parent] + bones[..., joint, :]
    return torch.stack(joints, dim=-2)


@SKELETONS
@pytest.mark.parametrize("noise", [None, 0.0, 1e-7, 1e-4, 1e-3, 0.1])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rotations_agree_with_general_quaternions(skeleton: Skeleton, noise: float | None, sign: float) -> None:
    generator = torch.Generator().manual_seed(5)
    bones = torch.randn(2, 3, 7, skeleton.num_joints, 3, generator=generator, dtype=torch.float64)
    if noise is not None:  # close to the rest pose, or opposite to it
        bones = sign * skeleton.rest_directions(bones) + noise * bones
    bones[..., 3, 4:9, :] = 0
    joints = chained(bones, skeleton)
    turn = torch.randn(2, 3, 7, generator=generator, dtype=torch.float64)
    rotations = local_rotations(joints.transpose(-1, -3).contiguous(), turn.cos(), turn.sin(), skeleton)
    # The sums along the chains round the bones, which counts where they are nearly opposite to the rest pose.
    expected = quaternion_kinematics(joints, turn, skeleton).flatten(-2).mT
    torch.testing.assert_close(rotations, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("frames", [2, 63, 64, 65, 200])
def test_gaussian_smoothing_weighs_frames_by_distance(frames: int) -> None:
    x = torch.randn(2, 3, frames, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    sigma, radius = 5.0, 20
    smooth = torch.zeros_like(x)
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(-radius, radius + 1)]
    for step, weight in zip(range(-radius, radius + 1), weights):
        smooth += weight / sum(weights) * x[..., (torch.arange(frames) + step).clamp(0, frames - 1)]
    torch.testing.assert_close(geometry.gaussian_smooth(x, sigma), smooth)


@SKELETONS
def test_gradients_stay_finite(skeleton: Skeleton) -> None:
    lengths = skeleton.measure_bones(walk(skeleton)[0])
    # Constants that are kept must not be of use to inference only.
    with torch.inference_mode():
        joints_to_features(walk(skeleton), skeleton, lengths)
    joints = walk(skeleton)
    joints[10:20, 4] = joints[10:20, skeleton.parents[4]]
    rest = chained(skeleton.rest_directions(joints).expand(5, -1, -1), skeleton)
    for motion in (joints, rest, rest * torch.tensor([1.0, -1.0, 1.0])):
        motion.requires_grad_()
        features = joints_to_features(motion, skeleton, lengths)
        (features.square().sum() + features_to_joints(features).square().sum()).backward()
        assert motion.grad is not None and motion.grad.isfinite().all()


def test_slerp_goes_the_short_way_at_constant_speed() -> None:
    a, b = random_quaternions(2, 100)
    assert same_rotation(geometry.quat_slerp(a, b, torch.zeros(100)), a) < 1e-6
    assert same_rotation(geometry.quat_slerp(a, -b, torch.ones(100)), b) < 1e-6
    half = geometry.quat_slerp(a, b, torch.full((100,), 0.5))
    torch.testing.assert_close((half * a).sum(-1).abs(), (half * b).sum(-1).abs(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-4, 1e-3, 1e-2])
def test_a_body_that_faces_away_stays_upright(angle: float) -> None:
    joints = walk(HUMANML3D, turn=0.0)
    front = facing(joints[0], HUMANML3D)
    to_back = math.pi - angle - torch.atan2(front[0], front[2])
    turned = geometry.quat_rotate(geometry.quat_from_yaw(to_back), joints)
    torch.testing.assert_close(canonicalize(turned, HUMANML3D), canonicalize(joints, HUMANML3D), rtol=1e-3, atol=1e-3)
    # And so it stays where the facing passes -Z in the middle of a clip.
    features = extract_features(turned - UP * turned[..., 1].min(), HUMANML3D, repair_turns=True)
    assert features[:, FeatureLayout(22).positions][:, 1::3].min() > -1e-3


@SKELETONS
def test_dimensions_and_groups(skeleton: Skeleton) -> None:
    layout = FeatureLayout(skeleton.num_joints)
    assert layout.dim == {"humanml3d": 263, "kit": 251}[skeleton.name]
    assert FeatureLayout.of_dim(layout.dim) == layout
    covered = [i for group in layout.groups.values() for i in range(group.start, group.stop)]
    assert covered == list(range(layout.dim))
    std = normalization_std(torch.rand(layout.dim) + 0.1, layout)
    assert all(std[group].std(correction=0) < 1e-6 for group in layout.groups.values())
    with pytest.raises(ValueError, match="262"):
        FeatureLayout.of_dim(262)


@SKELETONS
def test_recovering_gives_back_the_canonical_joints(skeleton: Skeleton) -> None:
    canonical = canonicalize(walk(skeleton), skeleton)
    features = extract_features(canonical, skeleton, repair_turns=True)
    recovered = features_to_joints(features)
    # The format sets the first root rotation to identity although the inverse kinematics see another facing there.
    torch.testing.assert_close(recovered, canonical[:-1], rtol=1e-4, atol=1e-4)


@SKELETONS
def test_recovering_by_rotation_agrees_with_positions(skeleton: Skeleton) -> None:
    canonical = canonicalize(walk(skeleton), skeleton)
    lengths = skeleton.measure_bones(canonical[0])
    features = extract_features(canonical, skeleton)
    by_rotation = features_to_joints_by_rotation(features, skeleton, lengths)
    torch.testing.assert_close(skeleton.measure_bones(by_rotation), lengths.expand(59, -1), rtol=1e-4, atol=1e-4)
    # Rotations are taken about the smoothed facing, so only the root path and the bone lengths are the same.
    torch.testing.assert_close(by_rotation[:, 0], features_to_joints(features)[:, 0])


@SKELETONS
def test_features_do_not_depend_on_place_and_heading(skeleton: Skeleton) -> None:
    joints = walk(skeleton)
    moved = geometry.quat_rotate(geometry.quat_from_yaw(torch.tensor(1.234)), joints) + torch.tensor([3.0, 0.7, -5.0])
    expected = joints_to_features(joints, skeleton, repair_turns=True)
    torch.testing.assert_close(joints_to_features(moved, skeleton, repair_turns=True), expected, rtol=1e-3, atol=2e-4)


@SKELETONS
def test_a_batch_gives_what_single_motions_give(skeleton: Skeleton) -> None:
    joints = torch.stack([walk(skeleton, seed=seed, turn=turn) for seed, turn in ((0, 0.4), (1, -0.8), (2, 0.0))])
    features = joints_to_features(joints, skeleton)
    single = torch.stack([joints_to_features(motion, skeleton) for motion in joints])
    torch.testing.assert_close(features, single, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        features_to_joints(features), torch.stack([features_to_joints(x) for x in single]), rtol=1e-5, atol=1e-5
    )


@SKELETONS
def test_mirroring(skeleton: Skeleton) -> None:
    joints = walk(skeleton)
    torch.testing.assert_close(mirror_joints(mirror_joints(joints, skeleton), skeleton), joints, rtol=0, atol=0)
    straight = joints_to_features(joints, skeleton, repair_turns=True)
    mirrored = joints_to_features(mirror_joints(joints, skeleton), skeleton, repair_turns=True)
    layout = FeatureLayout(skeleton.num_joints)
    # Turning and sideways speed change sign, forward speed and height stay, the feet change places.
    # The format's facing is not symmetric to the last digit in the first frame.
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored[1:, :4], straight[1:, :4] * signs, rtol=1e-3, atol=1e-3)
    assert torch.equal(mirrored[:, layout.contacts], straight[:, layout.contacts][:, [2, 3, 0, 1]])


@SKELETONS
def test_forward_is_positive_z_and_left_is_a_positive_turn(skeleton: Skeleton) -> None:
    features = joints_to_features(walk(skeleton, turn=0.0), skeleton)
    speed = features[5:, 2].mean() * skeleton.fps
    assert speed == pytest.approx(1.1, rel=0.1)
    assert features[5:, 1].abs().mean() < 0.02
    # KIT-ML's axes are left-handed.
    turn = 0.6
    expected = (turn if skeleton is KIT else -turn) / 2
    yaw = joints_to_features(walk(skeleton, turn=turn), skeleton)[20:-20, 0].mean() * skeleton.fps
    assert yaw == pytest.approx(expected, rel=0.2)


def test_repair_mends_the_path_of_a_turn_through_minus_z() -> None:
    joints = canonicalize(walk(HUMANML3D, frames=140, turn=1.5, seed=4), HUMANML3D)
    fixed = features_to_joints(extract_features(joints, HUMANML3D, repair_turns=True))
    published = features_to_joints(extract_features(joints, HUMANML3D))
    assert (fixed - joints[:-1]).abs().max() < 1e-3
    assert (published - joints[:-1]).abs().max() > 0.1


def test_uniform_skeleton_sets_lengths_and_keeps_directions() -> None:
    joints = walk(HUMANML3D) * 1.3
    target = torch.tensor(HUMANML3D.bone_lengths)
    uniform = uniform_skeleton(joints, HUMANML3D, target)
    torch.testing.assert_close(HUMANML3D.measure_bones(uniform), target.expand(60, -1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(uniform, joints / 1.3, rtol=1e-4, atol=1e-4)


def test_a_body_of_no_size_cannot_be_retargeted() -> None:
    joints = torch.stack((walk(HUMANML3D), torch.zeros(60, 22, 3)))
    features = joints_to_features(joints, HUMANML3D, torch.tensor(HUMANML3D.bone_lengths))
    assert features[0].isfinite().all() and not features[1].isfinite().all()


def test_too_short_or_wrong_motion_is_refused() -> None:
    with pytest.raises(ValueError, match="expected joints"):
        extract_features(torch.zeros(1, 22, 3), HUMANML3D)
    with pytest.raises(ValueError, match="expected joints"):
        extract_features(torch.zeros(5, 21, 3), HUMANML3D)


@needs_golden("motion_features")
def test_parity_with_published_features() -> None:
    golden = load_golden("motion_features")
    inputs, outputs = golden["inputs"], golden["outputs"]
    close = {"rtol": 1e-4, "atol": 1e-4, "check_dtype": False}
    lengths = inputs["tgt_offsets"].norm(dim=-1)
    joints = inputs["joints"]
    torch.testing.assert_close(uniform_skeleton(joints, HUMANML3D, lengths), outputs["uniform_skeleton"], **close)
    torch.testing.assert_close(
        canonicalize(joints, HUMANML3D, lengths), outputs["process_file_global_positions"], **close
    )
    features = joints_to_features(joints, HUMANML3D, lengths)
    torch.testing.assert_close(features, outputs["process_file"], **close)
    torch.testing.assert_close(extract_features(joints, HUMANML3D), outputs["extract_features"], **close)
    published = outputs["process_file"].float()
    root, position = recover_root(published)
    torch.testing.assert_close(root, outputs["recover_root_quat"][0], **close)
    torch.testing.assert_close(position, outputs["recover_root_pos"][0], **close)
    torch.testing.assert_close(features_to_joints(published)[None], outputs["recover_from_ric"], **close)
    by_rotation = features_to_joints_by_rotation(published, HUMANML3D, lengths)
    torch.testing.assert_close(by_rotation, outputs["recover_from_rot"], **close)


@needs_golden("motion_features")
def test_parity_of_recovery_on_random_features_of_both_skeletons() -> None:
    golden = load_golden("motion_features")
    for suffix in ("", "_kit"):
        recovered = features_to_joints(golden["inputs"][f"features_random{suffix}"])
        expected = golden["outputs"][f"recover_from_ric_random{suffix}"]
        torch.testing.assert_close(recovered, expected, rtol=1e-4, atol=1e-4)


@needs_golden("humanml3d_012314")
def test_parity_with_the_published_example_clip() -> None:
    golden = load_golden("humanml3d_012314")
    inputs, outputs = golden["inputs"], golden["outputs"]
    torch.testing.assert_close(features_to_joints(inputs["features"]), inputs["joints"], rtol=1e-4, atol=1e-4)
    features = extract_features(inputs["joints"], HUMANML3D).double()
    torch.testing.assert_close(features, outputs["extract_features"], rtol=1e-4, atol=1e-4)
    lengths = HUMANML3D.measure_bones(inputs["joints"][0])
    torch.testing.assert_close(lengths, torch.tensor(HUMANML3D.bone_lengths), rtol=0, atol=2e-6)
