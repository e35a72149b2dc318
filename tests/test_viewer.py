"""The viewer's page: what it holds, what it refuses, and how it behaves in a browser."""

import base64
import html
import json
import re
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import view
from lamp.utils.errors import UserError
from lamp.utils.export.fit import forward
from lamp.utils.motion import Motion
from lamp.utils.viewer.page import MOST_MOTIONS, viewer_page
from tests.browser import opened, pixels, resize, serious_findings, troubles
from tests.marks import needs_npm
from tests.test_export import walk

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROOT = Path(__file__).resolve().parent.parent
NASTY = """</script><script>document.title = "hacked"</script> & "quoted" $heading é"""


def walking(frames: int = 40, text: str = "a person walks", **more: Any) -> Motion:
    return Motion(walk(frames), text=text, **more)


def data_of(page: str) -> dict[str, Any]:
    """What the page hands to its script."""
    found = re.search(r'<script type="application/json" id="motions">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def array(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.mark.parametrize("joints", [22, 21])
def test_the_page_holds_the_motion(joints: int) -> None:
    still = np.random.default_rng(0).normal(size=(6, 21, 3)).astype(np.float32) * 50
    motion = walking() if joints == 22 else Motion(still + 1000, fps=12.5)
    (facts,) = data_of(viewer_page([(motion, "x")]))["motions"]
    fit = motion.rotations()
    count = len(motion)
    assert facts["frames"] == count and facts["fps"] == motion.fps
    turns = array(facts["rotations"], "<i2").reshape(count, joints, 4)[..., [3, 0, 1, 2]] / 32767
    root = array(facts["root"], "<f4").reshape(count, 3).astype(float)
    offsets = array(facts["offsets"], "<f4").reshape(joints, 3).astype(float)
    offsets[0] = 0
    played = forward(offsets, turns / np.linalg.norm(turns, axis=-1, keepdims=True), root)
    apart = np.linalg.norm(played - fit.joints * fit.millimetres / 1000, axis=-1)
    assert apart.max() < 1e-3
    assert array(facts["contacts"], "u1").shape == (count * 4,)
    weights = array(facts["mesh"]["weights"], "u1").reshape(-1, 4)
    assert (weights.sum(1, dtype=int) == 255).all()


def test_titles_are_text_and_nothing_else() -> None:
    page = viewer_page([(walking(), NASTY), (walking(), "")], NASTY)
    assert "<script>document.title" not in page
    assert f'<h1 id="heading">{html.escape(NASTY)}</h1>' in page
    assert [motion["title"] for motion in data_of(page)["motions"]] == [NASTY, "Motion 2"]


def test_the_page_asks_nothing_of_the_network_and_is_small() -> None:
    page = viewer_page([(walking(196), "walk")])
    ours = re.sub(r"<script>\s*var THREE.*?</script>", "", page, flags=re.S)
    assert "http" not in ours.replace("http-equiv", "") and "src=" not in ours and "import(" not in ours
    assert len(page) < 800_000


@pytest.mark.parametrize("count", [0, MOST_MOTIONS + 1])
def test_a_page_shows_some_motions_and_not_too_many(count: int) -> None:
    with pytest.raises(UserError, match="motions on a page"):
        viewer_page([(walking(2), "x")] * count)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["view.py", *map(str, words)])
    try:
        view.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_shows_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or True)
    monkeypatch.chdir(tmp_path)
    walking(24, text="she <walks>").save("set/a.npz")
    walking(30).save("set/b.bvh")
    walking(24).save("c.npy")
    assert run(monkeypatch, "set", "c.npy") == 0
    page = tmp_path / "generation" / "view" / "set.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(page.relative_to(tmp_path))
    assert asked == [page.resolve().as_uri()]
    titles = [motion["title"] for motion in data_of(page.read_text(encoding="utf-8"))["motions"]]
    assert titles == ["she <walks>", "b", "c"]
    assert run(monkeypatch, "c.npy", "--out", "x.html", "--title", "mine", "--no_open") == 0
    assert len(asked) == 1 and "<title>mine</title>" in (tmp_path / "x.html").read_text(encoding="utf-8")
    np.save("bad.npy", np.zeros(3))
    assert run(monkeypatch, "c.npy", "bad.npy", "--no_open") == 0
    assert "left out: bad.npy" in (said := capsys.readouterr().err) and "1 of 2 files left out" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.npy"], "FILE none.npy: no such file"),
        (["a.npy", "--out", "a.npy"], "must end in .html"),
        (["a.npy", "--out", "folder.html"], "is a folder"),
        (["a.npy", "--out", "a.npy/x.html", "--no_open"], "a.npy"),
        (["a.txt"], "cannot read .txt"),
        (["bad.npy"], "bad.npy"),
        (["a.npy"] * (MOST_MOTIONS + 1), "at most 64"),
        (["a.npy", "--unit", "0"], "--unit"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    walking(24).save("a.npy")
    np.save("bad.npy", np.zeros(3))
    Path("a.txt").write_text("")
    Path("folder.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert run(monkeypatch, *words) == 2
    assert said in (message := capsys.readouterr().err) and len(message.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_script_runs_from_a_shell(tmp_path: Path) -> None:
    walking(24).save(tmp_path / "a.npy")
    command = [sys.executable, "view.py", str(tmp_path / "a.npy"), "--out", str(tmp_path / "a.html"), "--no_open"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "a.html").is_file()


@pytest.fixture(scope="module")
def driver() -> "Iterator[Chrome]":
    with opened() as driver:
        yield driver


@pytest.fixture
def page(driver: "Chrome", tmp_path: Path) -> "Chrome":
    """Two motions of different lengths in the browser."""
    path = tmp_path / "page.html"
    path.write_text(viewer_page([(walking(60), NASTY), (walking(30, fps=30.0), "short")], NASTY), encoding="utf-8")
    resize(driver, 1280, 800)
    driver.get_log("browser")
    driver.get(path.as_uri())
    return driver


def clock(driver: "Chrome") -> float:
    return float(driver.execute_script("return document.getElementById('time').value"))


def until(true: Callable[[], bool]) -> bool:
    """Wait until something is so, for at most half a minute: a busy machine draws slowly."""
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def press(driver: "Chrome", *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(*keys).perform()
    time.sleep(0.3)


def colorful(image: np.ndarray, strong: int, weak: int) -> int:
    """Pixels in which one colour is far stronger than another."""
    return int((image[..., strong] - image[..., weak] > 60).sum())


@pytest.mark.browser
def test_it_draws_plays_and_scrubs(page: "Chrome") -> None:
    from selenium.webdriver.common.keys import Keys

    assert page.execute_script("return document.getElementById('play').textContent") == "Play"
    press(page, " ")
    assert until(lambda: clock(page) > 0)
    press(page, " ")
    assert until(lambda: page.execute_script("return document.getElementById('play').textContent") == "Play")
    time.sleep(0.5)
    paused = clock(page)
    time.sleep(0.5)
    assert clock(page) == paused
    press(page, Keys.HOME)
    assert until(lambda: clock(page) == 0)
    start = pixels(page)
    # A body has a red and a blue side: both bodies are drawn.
    assert colorful(start, 0, 2) > 400 and colorful(start, 2, 0) > 400
    press(page, Keys.ARROW_RIGHT)
    assert until(lambda: clock(page) == pytest.approx(1 / 30, abs=1e-4))
    script = "const t = document.getElementById('time'); t.value = arguments[0]; t.dispatchEvent(new Event('input'))"
    page.execute_script(script, 1.5)
    assert until(lambda: clock(page) == pytest.approx(1.5))
    assert until(lambda: int((np.abs(pixels(page) - start).sum(-1) > 30).sum()) > 500)
    assert "1.50 / 2.95 s" in page.page_source
    assert troubles(page) == [] and page.title == NASTY
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.browser
def test_it_plays_on_its_own_where_motion_is_welcome(page: "Chrome") -> None:
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    try:
        page.refresh()
        assert until(lambda: clock(page) > 0)
    finally:
        still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", still)


@pytest.mark.browser
def test_what_the_buttons_do(page: "Chrome") -> None:
    press(page, "r")
    for button in ("contacts", "path", "follow"):
        before = pixels(page)
        page.execute_script("document.getElementById(arguments[0]).click()", button)
        page.execute_script("document.getElementById('reset').click()")
        assert until(lambda before=before: bool((pixels(page) != before).any())), button
    light = pixels(page)[200:700].mean()
    press(page, "t")
    assert until(lambda: pixels(page)[200:700].mean() < light - 60)
    page.execute_script("document.getElementById('loop').click()")
    press(page, " ")
    ended = (
        "return document.getElementById('play').textContent === 'Play' && Number(document.getElementById('time').value)"
    )
    assert until(lambda: page.execute_script(ended) == pytest.approx(2.95))
    assert troubles(page) == []


@pytest.mark.browser
def test_left_is_left_and_feet_are_on_the_floor(driver: "Chrome", tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(viewer_page([(Motion(walk(2)), "x")]), encoding="utf-8")
    resize(driver, 800, 800)
    driver.get(path.as_uri())
    assert until(lambda: colorful(pixels(driver), 0, 2) > 300)
    image = pixels(driver)[60:700]
    reds, blues = (np.argwhere(image[..., a] - image[..., b] > 60)[:, 1].mean() for a, b in ((0, 2), (2, 0)))
    assert reds < blues  # the body faces us: its right side, red, is to the left


@pytest.mark.browser
@needs_npm("axe-core")
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_phone_and_can_be_used_by_all(width: int, page: "Chrome") -> None:
    resize(page, width, 780)
    time.sleep(0.5)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    assert page.execute_script("return document.getElementById('view').clientHeight") > 300
    for _ in range(2):
        assert serious_findings(page) == []
        press(page, "t")


@pytest.mark.browser
def test_it_works_inside_another_page(driver: "Chrome", tmp_path: Path) -> None:
    inner = html.escape(viewer_page([(walking(24), "walk")]), quote=True)
    path = tmp_path / "outer.html"
    path.write_text(f'<iframe srcdoc="{inner}" width="700" height="600"></iframe>', encoding="utf-8")
    resize(driver, 800, 700)
    driver.get(path.as_uri())
    assert until(lambda: colorful(pixels(driver), 0, 2) > 300)
