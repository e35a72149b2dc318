"""Metrics, retrieval protocols and the nearest-neighbour baseline against values worked out by hand."""

import math

import pytest
import torch
from golden import load_golden

from lamp.utils.kinematics.features import FeatureLayout
from lamp.utils.scores.metrics import code_usage, mpjpe, path_drift, recall_at, retrieval_ranks
from lamp.utils.scores.neighbours import NeighbourSearch
from lamp.utils.scores.reconstruction import evaluate_reconstruction
from lamp.utils.scores.retrieval import label_pools, nearest_names, retrieval_scores


def test_mpjpe_equals_the_public_one():
    golden = load_golden("metrics")
    error = mpjpe(golden["inputs"]["mpjpe_pred"], golden["inputs"]["mpjpe_gt"])
    torch.testing.assert_close(error, golden["outputs"]["mpjpe"].to(error), rtol=1e-5, atol=1e-6)


def test_mpjpe_ignores_the_root_path_and_drift_measures_it():
    joints = torch.randn(5, 22, 3)
    moved = joints + torch.linspace(0, 1, 5)[:, None, None] * torch.tensor([3.0, 7.0, 4.0])
    assert mpjpe(moved, joints).max() < 1e-5
    assert path_drift(moved, joints).item() == pytest.approx(5.0, abs=1e-4)
    bent = joints.clone()
    bent[:, 21, 0] += 22.0
    torch.testing.assert_close(mpjpe(bent, joints), torch.ones(5))


def test_ranks_and_recall():
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.7, 0.6], [0.3, 0.2, 0.1]])
    ranks = retrieval_ranks(similarity)
    assert ranks.tolist() == [0, 1, 2]
    scores = recall_at(ranks, (1, 2, 3))
    assert [round(scores[f"R@{k}"], 3) for k in (1, 2, 3)] == [33.333, 66.667, 100.0]
    assert scores["MedR"] == 2.0


def test_a_constant_similarity_is_not_a_perfect_one():
    assert recall_at(retrieval_ranks(torch.ones(8, 8)))["R@5"] == 0.0


def test_pools_hold_each_label_once():
    labels = [i % 40 for i in range(400)]
    pools = list(label_pools(labels, draws=3, seed=0))
    assert len(pools) == 3
    for pool in pools:
        assert len(pool) == 32 and len({labels[i] for i in pool}) == 32
    assert pools == list(label_pools(labels, draws=3, seed=0)) != list(label_pools(labels, draws=3, seed=1))
    assert [len(p) for p in label_pools(["a", "b", "a"], draws=2, seed=0)] == [2, 2]


def test_scores_of_a_perfect_and_a_reversed_similarity():
    pools = [[0, 1, 2, 3], [4, 5, 6, 7]]
    perfect = retrieval_scores(torch.eye(8), pools)
    assert perfect["t2m"]["R@1"] == perfect["m2t"]["R@1"] == 100.0
    assert retrieval_scores(-torch.eye(8), pools)["t2m"]["R@3"] == 0.0


def test_the_nearest_name_averages_a_labels_texts():
    similarity = torch.tensor([[0.0, 1.0, 0.6], [0.9, 0.0, 0.1]])
    assert nearest_names(similarity, ["a", "a", "b"]) == ["b", "a"]


def test_code_usage_and_perplexity():
    codes = torch.tensor([[0, 3], [1, 3], [2, 3], [3, -1]])
    usage, perplexity = code_usage(codes, nb_code=8)
    assert usage.tolist() == [0.5, 0.125]
    assert perplexity[0].item() == pytest.approx(4.0, rel=1e-4) and perplexity[1].item() == pytest.approx(1.0, rel=1e-4)


def test_nearest_motion_is_found_among_those_long_enough():
    layout = FeatureLayout(22)
    motions = [torch.randn(length, layout.dim) for length in (10, 30, 40)]
    search = NeighbourSearch(motions, layout)
    query = motions[1][:20] + 0.01
    found = search(query)
    assert found.index == 1
    # Joints 1 to 21 are off by 0.01 along each axis, the root is not.
    assert found.error == pytest.approx(0.01 * math.sqrt(3) * 21 / 22, rel=1e-4)
    assert search(torch.randn(41, layout.dim)) is None


def test_reconstruction_counts_valid_frames_only():
    class Batch:
        motion = torch.zeros(2, 8, 263)
        lengths = torch.tensor([8, 4])
        names = ("a", "b")

    def roundtrip(motion, lengths):
        recon = motion.clone()
        recon[..., 4] = 0.022  # joint 1 off by 22 mm in x
        recon[1, 4:] = 100.0  # padding must not count
        return recon, torch.zeros(2, 2, 1, dtype=torch.long)

    result = evaluate_reconstruction([Batch()], roundtrip, lambda x: x, 4, 1000.0, torch.device("cpu"))
    assert result.mpjpe == pytest.approx(1.0, rel=1e-4) and result.drift == pytest.approx(0.0, abs=1e-4)
    assert result.clips == 2 and result.usage == [0.25]
    assert result.clip_mpjpe == pytest.approx({"a": 1.0, "b": 1.0}, rel=1e-4)
