"""The page beside an evaluation's log: plots, tables, the best and worst motions, and what a browser makes of it."""

import base64
import html
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from lamp.data.motion import TextMotionBatch
from lamp.stages.pages.evaluation import EvaluationPage
from lamp.stages.pages.extremes import KEPT, Extremes, far_from_real, far_from_text
from lamp.utils import packages
from lamp.utils.kinematics.features import features_to_joints
from lamp.utils.motion import Motion
from lamp.utils.report.charts import confusion_chart, levels_chart, scores_chart
from lamp.utils.report.page import Part, Table, report_page
from lamp.utils.run.logging import Report
from lamp.utils.scores.evaluation import Scores, Statistic
from lamp.utils.scores.metrics import mpjpe
from tests.browser import opened, serious_findings, troubles
from tests.marks import needs_npm
from tests.test_export import walk

NASTY = """</script><script>document.title = "hacked"</script> & 'quoted' "name" $x$ é"""


def text_of(svg: str) -> list[str]:
    """Words of a picture; matplotlib notes each beside its outline."""
    return [comment.strip() for comment in re.findall(r"<!--(.*?)-->", svg, re.S)]


def pictures(page: str) -> list[str]:
    return [base64.b64decode(data).decode() for data in re.findall(r'src="data:image/svg\+xml;base64,([^"]*)"', page)]


def scores() -> Scores:
    rows = {
        kind: {"FID": Statistic(base, 0.1), "R@1": Statistic(0.5, 0.01), "jitter m/s^3": Statistic(90.0, 2.0)}
        for kind, base in (("real", 0.2), ("produced", 1.5))
    }
    return Scores(motions=64, repeats=3, pool=16, fid_motions=64, dimensions=512, rows=rows)


def test_plots_show_their_numbers_and_are_the_same_twice():
    rows = {"real motions": {"FID": Statistic(0.1, 0.02)}, "ours": {"FID": Statistic(2.5, 0.3), "R@1": 0.5}}
    twice = [scores_chart(rows | {"theirs": {"FID": 0.4}}, ["FID", "R@1", "nobody has it"], ["theirs"]) for _ in "ab"]
    assert twice[0] == twice[1]
    words = text_of(twice[0])
    assert {"FID", "R@1", "real motions", "ours", "theirs"} <= set(words) and "nobody has it" not in words
    # A bar of confidence is a line of the length of its interval, so a wider one gives another picture.
    wider = scores_chart({**rows, "ours": {"FID": Statistic(2.5, 0.6), "R@1": 0.5}}, ["FID", "R@1"], [])
    assert wider != scores_chart(rows, ["FID", "R@1"], [])
    assert {"Codes in use", "of 64 codes"} <= set(text_of(levels_chart([0.5, 0.25], [20.0, 3.0], 64)))


def test_a_confusion_plot_names_the_labels_that_are_confused():
    many = [f"label {i}" for i in range(100)]
    counts = np.diag(np.full(100, 9))
    counts[98, 99] = 4
    words = text_of(confusion_chart(counts, many))
    assert {"label 98", "label 99"} <= set(words)
    assert sum(word.startswith("label ") for word in set(words)) == 60
    # Neither a formula nor markup.
    ElementTree.fromstring(confusion_chart(np.array([[1, 0], [2, 0]]), [NASTY, "walk"]))


def test_texts_are_shown_as_they_are_written():
    table = Table(["", NASTY], [[NASTY, 0.5], ["b", NASTY]])
    page = report_page(NASTY, [(NASTY, [Part(NASTY, [NASTY], "<svg/>", NASTY, table, NASTY)])])
    assert "<script" not in page and html.escape(NASTY) in page
    assert pictures(page) == ["<svg/>"]


def batch_of(features: torch.Tensor, names: list[str]) -> TextMotionBatch:
    count = len(names)
    return TextMotionBatch(
        motion=features,
        lengths=torch.tensor([features.shape[1] - 4 * (i % 2) for i in range(count)]),
        names=names,
        captions=[f"caption of {name}" for name in names],
        tokens=[[f"{name}/NOUN"] for name in names],
        motion_ids=torch.arange(count),
        sample_ids=torch.arange(count),
        keys=torch.arange(count),
    )


def test_the_best_and_the_worst_are_kept_whatever_the_batches():
    torch.manual_seed(0)
    names, values = list("abcdefgh"), torch.tensor([3.0, 1.0, 8.0, 2.0, 8.0, 5.0, 4.0, 7.0])
    features = 0.1 * torch.randn(8, 12, 263)
    by_name = dict(zip(names, values))

    def measure(batch: TextMotionBatch, made: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return torch.stack([by_name[name] for name in batch.names])

    for size in (1, 3, 8):
        found = Extremes(8, measure)
        made = found.watch(lambda batch, seeds: batch.motion + 0.01)
        for start in range(0, 8, size):
            batch = batch_of(features[start : start + size], names[start : start + size])
            assert torch.equal(made(batch, []), batch.motion + 0.01)
        made(batch_of(features[:1], ["late"]), [])  # the next repetition, which is not looked at: it has no value
        assert [one.name for one in found.best] == ["b", "d", "a"] and len(found.best) == KEPT
        assert [one.name for one in found.worst] == ["c", "e", "h"]
    assert found.best[0].made.text == "caption of b"
    assert not np.array_equal(found.best[0].made.joints, found.best[0].real.joints)


def test_what_good_is():
    torch.manual_seed(0)
    batch = batch_of(0.1 * torch.randn(2, 12, 263), ["a", "b"])
    made = batch.motion + 0.02 * torch.randn(2, 12, 263)
    errors = far_from_real(1000.0)(batch, made, batch.lengths)
    for i, length in enumerate(batch.lengths.tolist()):
        first, second = (features_to_joints(motion[i, :length]) for motion in (made, batch.motion))
        assert errors[i].item() == pytest.approx(1000 * mpjpe(first, second).mean().item(), rel=1e-5)
    padded = torch.cat([made, torch.full((2, 8, 263), 9.0)], dim=1)
    assert torch.equal(far_from_real(1000.0)(batch, padded, batch.lengths), errors)
    places = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    judge: Any = SimpleNamespace(texts=lambda tokens: torch.zeros(2, 2), motions=lambda motion, lengths: places)
    assert far_from_text(judge)(batch, made, batch.lengths).tolist() == [5.0, 1.0]


def fill(page: EvaluationPage) -> None:
    page.levels("best, test", [0.5, 0.25], [20.0, 3.0], 64)
    page.protocol("best, test", scores(), "generated", ("FID", "R@1"), {"MoMask": {"FID": 0.045}})
    page.confusion("best, test", ["run", "run", "walk"], ["run", "walk", "walk"])
    page.motions("best, test", "Best motions", [(Motion(walk(30), text=NASTY), f"data: {NASTY}")], ["By eye."])
    page.write()


@pytest.fixture
def log(tmp_path: Path) -> Report:
    return Report(tmp_path / "eval" / "test.log", stamp="[data mini@1 | commit 2]")


def test_a_page_has_all_that_was_found(log):
    fill(EvaluationPage(log, NASTY))
    page = (log.path.parent / "test.html").read_text(encoding="utf-8")
    assert len(pictures(page)) == 4
    assert "[data mini@1 | commit 2]" in page and "2 of 3 motions were named right, of 2 labels." in page
    assert "warning: pools of 16, not of 32" in page and "1.500±0.100" in page
    assert "MoMask (LaMP, arXiv 2410.07093)" in page and "Diamonds are published numbers" in page
    assert re.search(r'<th scope="row">run</th><td class="words">walk</td><td>1</td><td>2</td>', page)
    fill(EvaluationPage(log, NASTY))
    assert (log.path.parent / "test.html").read_text(encoding="utf-8") == page


def test_without_matplotlib_there_are_tables_and_a_line_says_what_is_missing(log, monkeypatch, capsys):
    known = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "matplotlib" else known(name))
    fill(EvaluationPage(log, "Test"))
    command = 'matplotlib missing from this Python: pip install -e ".[train]"'
    assert f"warning: plots are left out: {command}" in capsys.readouterr().err
    page = (log.path.parent / "test.html").read_text(encoding="utf-8")
    assert not pictures(page) and "1.500±0.100" in page and html.escape(command) in page and "<iframe" in page


@pytest.mark.browser
@needs_npm("axe-core")
def test_a_browser_shows_the_page(log):
    fill(EvaluationPage(log, NASTY))
    with opened(390, 800) as driver:
        driver.get((log.path.parent / "test.html").as_uri())
        assert driver.title == " ".join(NASTY.split())
        assert not driver.execute_script("return [...document.images].filter(i => !i.naturalWidth).length")
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert not serious_findings(driver)
        # The viewer begins when it is opened.
        frame = driver.find_element("css selector", "iframe")
        assert not frame.is_displayed()
        driver.find_element("css selector", "summary").click()
        driver.switch_to.frame(frame)
        end = time.monotonic() + 20
        while not (heading := driver.execute_script("return document.querySelector('h1')?.textContent")):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert heading == "Best motions"
        assert driver.execute_script("return document.querySelector('#trouble').hidden")
        assert not troubles(driver)
