"""FID, R-precision, matching score, diversity and multimodality: the public code's numbers, and what must hold."""

import numpy as np
import pytest
import torch

from lamp.utils.scores.metrics import (
    diversity,
    embedding_distances,
    fid,
    matching_score,
    mpjpe,
    multimodality,
    r_precision,
)
from tests.golden import load_golden


@pytest.fixture(scope="module")
def golden():
    return load_golden("metrics")


def test_fid_of_the_public_code(golden):
    given, wanted = golden["inputs"], golden["outputs"]
    assert fid(given["gen_emb"], given["motion_emb"]) == pytest.approx(wanted["fid"].item(), rel=1e-6)
    assert fid(given["motion_emb"], given["motion_emb"]) == pytest.approx(wanted["fid_self"].item(), abs=1e-6)


def test_r_precision_of_the_public_code(golden):
    given, wanted = golden["inputs"], golden["outputs"]
    pools = [given[key].unflatten(0, (-1, golden["config"]["batch"])) for key in ("text_emb", "gen_emb")]
    assert r_precision(*pools) == pytest.approx(wanted["r_precision"].tolist(), rel=1e-6)
    for text, motion, counts in zip(*pools, wanted["r_precision_per_batch"]):
        assert [32 * share for share in r_precision(text, motion)] == counts.tolist()
    full = r_precision(given["text_emb"], given["gen_emb"])
    assert full == pytest.approx(wanted["r_precision_full"].tolist(), rel=1e-6)


def test_distances_of_the_public_code(golden):
    given, wanted = golden["inputs"], golden["outputs"]
    matrix = embedding_distances(given["text_emb"][:32], given["gen_emb"][:32])
    torch.testing.assert_close(matrix, wanted["dist_matrix_first32"].double(), rtol=1e-6, atol=0)
    score = matching_score(given["text_emb"], given["gen_emb"])
    assert score == pytest.approx(wanted["matching_score"].item(), rel=1e-6)
    error = mpjpe(given["mpjpe_pred"], given["mpjpe_gt"])
    torch.testing.assert_close(error, wanted["mpjpe"], rtol=1e-6, atol=0)


def test_random_pairs_of_the_public_code(golden):
    given, wanted, config = golden["inputs"], golden["outputs"], golden["config"]
    value = diversity(given["gen_emb"], config["diversity_times"], np.random.RandomState(config["seed"]))
    assert value == pytest.approx(wanted["diversity"].item(), rel=1e-6)
    random = np.random.RandomState(config["seed"])
    value = multimodality(given["multimodality_emb"], config["multimodality_times"], random)
    assert value == pytest.approx(wanted["multimodality"].item(), rel=1e-6)


def test_fid_is_that_of_the_formula():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(200, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    b = b @ torch.randn(12, 12, generator=generator, dtype=torch.float64) + 0.3
    product = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).sqrt().sum().real
    expected = (a.mean(0) - b.mean(0)).square().sum() + torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * product
    assert fid(a, b) == pytest.approx(expected.item(), rel=1e-9)
    assert fid(a, b) == pytest.approx(fid(b, a), rel=1e-9)


def test_fid_of_known_gaussians():
    # Axis-aligned sets: the distance is that of the means plus that of the standard deviations.
    corners = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    spread = torch.cov(corners.T)[0, 0].item() ** 0.5
    assert fid(corners, 3 * corners + 2) == pytest.approx(8 + 2 * (2 * spread) ** 2, rel=1e-9)


@pytest.mark.parametrize("rows", [2, 5, 40])
def test_fid_of_singular_covariances_is_finite(rows):
    generator = torch.Generator().manual_seed(rows)
    a, b = (torch.randn(rows, 64, generator=generator) for _ in range(2))
    assert np.isfinite(fid(a, b)) and fid(a, b) > 0
    assert fid(a, a) == pytest.approx(0, abs=1e-6)
    assert fid(torch.ones(rows, 64), torch.ones(rows, 64)) == 0
    constant = fid(a, torch.zeros(rows, 64))
    assert constant == pytest.approx((a.double().mean(0).square().sum() + torch.cov(a.double().T).trace()).item())


def test_bounds():
    generator = torch.Generator().manual_seed(3)
    motions = torch.randn(320, 16, generator=generator)
    pools = motions.unflatten(0, (-1, 32))
    assert r_precision(pools, pools) == [1.0, 1.0, 1.0]
    assert matching_score(motions, motions) == 0
    shuffled = r_precision(motions[torch.randperm(320, generator=generator)].unflatten(0, (-1, 32)), pools)
    assert shuffled[0] < 0.08 and shuffled[0] <= shuffled[1] <= shuffled[2] < 0.2
    assert r_precision(torch.ones(8, 4), torch.ones(8, 4)) == [0.0, 0.0, 0.0]  # ties are no hits
    assert diversity(torch.ones(50, 4), 30, np.random.RandomState(0)) == 0
    assert multimodality(torch.ones(3, 10, 4), 5, np.random.RandomState(0)) == 0
    far = torch.tensor([[0.0], [1.0]]).repeat(50, 1)
    assert 0.2 < diversity(far, 100, np.random.RandomState(0)) < 0.8


def test_random_scores_depend_on_the_seed_only():
    motions = torch.randn(100, 8, generator=torch.Generator().manual_seed(1))
    first, second, other = (diversity(motions, 30, np.random.RandomState(seed)) for seed in (5, 5, 6))
    assert first == second != other
