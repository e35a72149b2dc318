"""The evaluation protocol: what is drawn, that batches do not matter, means and confidence, provenance."""

import json
import shutil

import numpy as np
import pytest
import torch

from lamp.data.draws import TestDraws
from lamp.data.spec import get_spec
from lamp.utils.errors import UserError
from lamp.utils.run import provenance
from lamp.utils.run.logging import Report
from lamp.utils.scores import cautions
from lamp.utils.scores.cautions import fid_cautions, pool_cautions
from lamp.utils.scores.evaluation import (
    Judge,
    Repetition,
    judge_repetition,
    match_scores,
    measure_batch,
    multimodality_of,
    quick_scores,
    statistic,
    summarize,
)
from lamp.utils.scores.metrics import fid
from lamp.utils.scores.published import TEXT_TO_MOTION
from lamp.utils.scores.tables import format_table, pool_table, protocol_tables


class Ruler:
    """An evaluator that needs no training: means of features and lengths of captions, and counts what it embeds."""

    device = torch.device("cpu")

    def __init__(self):
        self.captions = 0

    def embed_motions(self, features, lengths):
        valid = torch.arange(features.shape[1]) < lengths[:, None]
        return (features * valid[..., None]).sum(1)[:, :6] / lengths[:, None]

    def embed_texts(self, tokens):
        self.captions += len(tokens)
        return torch.tensor([[float(len(" ".join(caption))), len(caption), 0, 0, 0, 0] for caption in tokens])


def real(batch, seeds):
    return batch.motion


def noisy(batch, seeds):
    """Depends on each sample's seed only."""
    noise = [torch.randn(6, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return batch.motion + torch.nn.functional.pad(torch.stack(noise), (0, batch.motion.shape[-1] - 6))[:, None]


@pytest.fixture(scope="module")
def spec(sample_data, tmp_path_factory):
    """The sample without its labels, as HumanML3D has none."""
    root = tmp_path_factory.mktemp("plain") / "data"
    shutil.copytree(sample_data, root, ignore=shutil.ignore_patterns(".cache", "labels.json"))
    return get_spec("t2m", root)


@pytest.fixture(scope="module")
def labelled(sample_data, tmp_path_factory):
    """The sample's training motions with a label for every two."""
    root = tmp_path_factory.mktemp("labelled") / "data"
    shutil.copytree(sample_data, root, ignore=shutil.ignore_patterns(".cache"))
    names = (root / "train.txt").read_text().split()
    (root / "labels.json").write_text(json.dumps({name: f"label {i // 2}" for i, name in enumerate(names)}))
    return get_spec("t2m", root)


def test_without_labels_the_whole_split_in_batches(spec):
    draws = TestDraws(spec, "train", seed=1)
    first, second = draws.draw(0), draws.draw(1)
    size = first.pools.shape[1]
    assert len(first) == len(draws.dataset) // size * size
    assert sorted(first.pools.flatten().tolist()) == list(range(len(first)))
    assert first.indices.tolist() != second.indices.tolist()
    assert TestDraws(spec, "train", seed=1).draw(0).indices.tolist() == first.indices.tolist()
    assert TestDraws(spec, "train", seed=2).draw(0).indices.tolist() != first.indices.tolist()
    assert len(TestDraws(spec, "train", seed=1, max_samples=5).draw(0)) == 5


def test_with_labels_one_motion_of_each(labelled):
    draws = TestDraws(labelled, "train", seed=1)
    ids = np.array(draws.dataset.motion_ids)
    for repeat in range(3):
        draw = draws.draw(repeat)
        assert sorted(ids[draw.indices]) == sorted(set(ids.tolist()))
        for pool in draw.pools:
            assert len(set(pool.tolist())) == len(pool)


def test_batches_are_the_rows_they_say(spec):
    draw = TestDraws(spec, "train", seed=3).draw(2)
    seen = torch.cat([rows for rows, _ in draw.batches(4)])
    assert sorted(seen.tolist()) == list(range(len(draw)))
    for rows, batch in draw.batches(4):
        for place, row in enumerate(rows.tolist()):
            alone = draw.pick([row])
            assert alone.names[0] == batch.names[place] and alone.captions[0] == batch.captions[place]
            length = int(alone.lengths[0])
            torch.testing.assert_close(alone.motion[0, :length], batch.motion[place, :length])
    names = [batch.names for _, batch in draw.batches(4)]
    assert names == [batch.names for _, batch in draw.batches(4, again=True)]


def test_batch_size_does_not_change_results(spec):
    draw = TestDraws(spec, "train", seed=3).draw(0)
    small, large = (judge_repetition(draw, Judge(Ruler()), noisy, seed=7, batch_size=size) for size in (3, 64))
    for name in ("texts", "real", "again", "produced"):
        torch.testing.assert_close(getattr(small, name), getattr(large, name), rtol=1e-5, atol=1e-6)
    assert small.measures["produced"] == pytest.approx(large.measures["produced"], rel=1e-4)


def test_motions_are_measured_where_they_are(spec, monkeypatch):
    draw = TestDraws(spec, "train", seed=3).draw(0)
    batches = [*draw.batches(64), *draw.batches(64, again=True)]
    monkeypatch.setattr(type(draw), "batches", lambda self, *args, **how: iter(batches))
    for name in ("cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, lambda self: pytest.fail("a batch was taken to the CPU"))
    judge_repetition(draw, Judge(Ruler()), lambda batch, seeds: batch.motion + 0.1, seed=7, reconstruction=True)


def test_captions_are_embedded_once(spec):
    ruler = Ruler()
    judge, draws = Judge(ruler), TestDraws(spec, "train", seed=3)
    for repeat in range(6):
        judge_repetition(draws.draw(repeat), judge, real, seed=0)
    known = {tuple(c.tokens) for captions in draws.dataset._cache.captions.values() for c in captions}
    assert 0 < ruler.captions <= len(known)


def test_reconstruction_error_is_that_of_the_joints(spec):
    draw = TestDraws(spec, "train", seed=3).draw(0)
    _, batch = next(draw.batches(4))
    assert measure_batch(batch.motion, batch.lengths, batch.motion)["MPJPE mm"] == 0
    assert "MPJPE mm" not in measure_batch(batch.motion, batch.lengths)
    moved = batch.motion.clone()
    moved[..., 4] += 0.1  # the x of the first joint after the root, of 22
    total = measure_batch(moved, batch.lengths, batch.motion)["MPJPE mm"]
    assert total / len(batch) == pytest.approx(100 / 22, rel=1e-3)


def test_real_motions_score_well_and_noise_badly(labelled):
    draws = TestDraws(labelled, "train", seed=0)
    judge = Judge(Ruler())
    good, bad = (
        summarize([judge_repetition(draws.draw(i), judge, produce, seed=i) for i in range(3)], seed=0, pooled=True)
        for produce in (real, noisy)
    )
    assert good.rows["produced"]["FID"].mean == pytest.approx(0, abs=1e-9)
    assert good.rows["real"]["FID"].mean < bad.rows["produced"]["FID"].mean
    assert good.repeats == 3 and good.motions == draws.labels
    assert json.loads(json.dumps(good.json()))["rows"]["real"]["R@1"]["mean"] >= 0
    quick = quick_scores(draws, judge, noisy, seed=0)
    assert quick["fid"] > 0 and set(quick) == {"fid", "R@1", "R@3", "MM-Dist"}


def test_validation_warns_of_small_pools_and_few_motions(labelled, capsys):
    cautions._warn.cache_clear()
    for _ in range(2):
        quick_scores(TestDraws(labelled, "train", seed=0, max_samples=3), Judge(Ruler()), noisy, seed=0)
    assert capsys.readouterr().err.splitlines() == pool_cautions(3)  # 15 motions, 6 dimensions: no word of FID


def repetition(seed: int) -> Repetition:
    generator = torch.Generator().manual_seed(seed)
    texts, motions, again, produced = (torch.randn(40, 3, generator=generator) for _ in range(4))
    pools = torch.arange(40).reshape(2, 20)
    return Repetition(texts, motions, again, produced, pools, {"real": {"x": 1.0}, "produced": {"x": float(seed)}})


def test_tables_have_the_size_of_the_pool_and_warn_where_it_is_not_32():
    scores = summarize([repetition(i) for i in range(4)], seed=0, pooled=True)
    assert (scores.pool, scores.fid_motions, scores.dimensions) == (20, 160, 3)
    assert {"pool": 20, "fid_motions": 160, "dimensions": 3}.items() <= scores.json().items()
    *_, head, real, made, paper, warning = protocol_tables(
        scores, "generated", ("FID", "R@1"), {"MoMask": TEXT_TO_MOTION["t2m"]["MoMask"]}
    )
    assert head.split() == ["FID", "pool", "R@1"]
    assert [line.split()[-2] for line in (real, made, paper)] == ["20", "20", "32"]
    assert warning.startswith("warning: pools of 20, not of 32")
    assert pool_cautions(32) == [] and "R@3 is 1 whatever" in pool_cautions(3)[0]
    assert pool_table({"ours": {"R@1": 1}}, 32, ["R@1"], {})[0].split() == ["pool", "R@1"]


def test_fid_of_fewer_motions_than_dimensions_warns():
    few = [
        Repetition(*(torch.randn(32, 40) for _ in range(4)), torch.arange(32)[None], {"real": {}, "produced": {}})
        for _ in range(2)
    ]
    assert summarize(few, seed=0, pooled=True).cautions == []  # 64 motions
    (line,) = summarize(few, seed=0, pooled=False).cautions
    assert "FID of 32 motions in 40 dimensions" in line
    assert fid_cautions(41, 40) == [] and len(fid_cautions(40, 40)) == 1


def test_pooled_fid_is_that_of_all_repetitions():
    repetitions = [repetition(i) for i in range(4)]
    pooled = summarize(repetitions, seed=0, pooled=True).rows["produced"]
    together = fid(torch.cat([r.produced for r in repetitions]), torch.cat([r.real for r in repetitions]))
    assert pooled["FID"].mean == pytest.approx(together) and pooled["FID"].interval > 0
    single = summarize(repetitions, seed=0, pooled=False).rows["produced"]
    assert single["FID"].mean == pytest.approx(np.mean([fid(r.produced, r.real) for r in repetitions]))
    assert single["FID"].mean > pooled["FID"].mean  # few samples make it larger
    assert pooled["x"].mean == 1.5
    assert pooled["R@1"] == single["R@1"]
    assert summarize(repetitions[:1], seed=0, pooled=True).rows["real"]["FID"].interval == 0


def test_statistic_is_the_field_s():
    values = [1.0, 2.0, 4.0]
    result = statistic(values)
    assert result.mean == pytest.approx(7 / 3)
    assert result.interval == pytest.approx(1.96 * np.std(values) / 3**0.5)
    assert str(result) == "2.333±1.411"


def test_match_scores_by_hand():
    texts = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    motions = torch.tensor([[0.9], [0.2], [5.0], [6.0]])
    scores = match_scores(texts, motions, torch.tensor([[0, 1], [2, 3]]))
    assert scores["R@1"] == 0.5 and scores["R@2"] == 1.0
    assert scores["MM-Dist"] == pytest.approx((0.9 + 0.8) / 4)


def test_multimodality_of_equal_motions_is_zero():
    assert multimodality_of([torch.ones(3, 5, 4)] * 2, seed=0).mean == 0


def test_every_line_says_what_made_it(tmp_path, spec, capsys):
    draws = TestDraws(spec, "train", seed=0)
    log = Report(tmp_path / "eval" / "x.log", provenance.stamp(evaluator="e@1", data=draws.identity))
    log("FID 1")
    log("FID 2")
    assert capsys.readouterr().out == "FID 1\nFID 2\n"
    for line in (tmp_path / "eval" / "x.log").read_text(encoding="utf-8").splitlines():
        assert "evaluator e@1" in line and f"data {draws.identity}" in line and f"commit {provenance.commit()}" in line


def test_identity_changes_with_the_data(labelled, tmp_path):
    before = TestDraws(labelled, "val", seed=0).identity
    root = tmp_path / "data"
    shutil.copytree(labelled.root, root, ignore=shutil.ignore_patterns(".cache"))
    assert TestDraws(get_spec("t2m", root), "val", seed=5).identity == before
    name = (root / "val.txt").read_text().split()[0]
    motion = np.load(root / "new_joint_vecs" / f"{name}.npy")
    motion[0, 0] += 1e-3
    np.save(root / "new_joint_vecs" / f"{name}.npy", motion)
    assert TestDraws(get_spec("t2m", root), "val", seed=0).identity != before


def test_a_broken_file_is_named_and_left_out(labelled, tmp_path, caplog):
    root = tmp_path / "data"
    shutil.copytree(labelled.root, root, ignore=shutil.ignore_patterns(".cache"))
    name = (root / "train.txt").read_text().split()[0]
    (root / "new_joint_vecs" / f"{name}.npy").write_bytes(b"broken")
    draws = TestDraws(get_spec("t2m", root), "train", seed=0)
    assert f"{name}.npy" in caplog.text
    assert len(draws.dataset) == len(TestDraws(labelled, "train", seed=0).dataset) - 1
    with pytest.raises(UserError, match="nowhere"):
        TestDraws(labelled, "nowhere", seed=0)


def test_table():
    lines = format_table({"real": {"FID": 0.1, "R@1": 0.5}, "generated": {"FID": 12.25}}, ["FID", "R@1", "unused"])
    assert lines == ["           FID    R@1", "real       0.1    0.5", "generated  12.25  -"]
