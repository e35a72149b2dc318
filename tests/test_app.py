"""The web app and its API, with the shipped models: over HTTP, and in a browser as a person uses it."""

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="needs the extra app")
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lamp.library.indexing import index, open_store
from lamp.library.licences import NOT_STATED, licence_of
from lamp.library.reader import MotionReader
from lamp.models.pipeline import LaMPPipeline
from lamp.models.t2m.token_maker import Guidance
from lamp.serve.desk import CancelledError, Desk
from lamp.serve.network import listening
from lamp.utils.errors import UserError
from lamp.utils.export import FORMATS
from lamp.utils.kinematics.skeleton import HUMANML3D
from lamp.utils.motion import Motion
from lamp.utils.motion_features import motion_features
from lamp.web import page
from lamp.web.page import build_app
from lamp.web.schemas import LARGEST_UPLOAD, EditAsk, MakeAsk
from lamp.web.studio import Studio
from tests.browser import opened, picture, serious_findings, troubles
from tests.marks import needs_npm
from tests.test_desk import wait
from tests.test_export import walk as walk_of

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Motion files: two clips below a licence, and one beside it."""
    place = tmp_path_factory.mktemp("app")
    pipe = LaMPPipeline.from_pretrained()
    prompts = ["a person walks forward", "a person kicks with the right leg", "someone bows"]
    for name, motion in zip(("mine/walk", "mine/kick", "bow"), pipe(prompts, [80, 60, 60])):
        (place / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        motion.save(place / "clips" / f"{name}.bvh")
    (place / "clips" / "mine" / "LICENSE.txt").write_text("\n# CC0: do what you like\nmore\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def studio(folder: Path) -> Studio:
    store = open_store(folder / "library", folder / "clips", reader := MotionReader())
    index(store, reader)
    return Studio.open(LaMPPipeline.from_pretrained(), folder / "library", waiting=2)


@pytest.fixture(scope="module")
def client(studio: Studio) -> TestClient:
    return TestClient(build_app(studio, HOST, 2), base_url=f"http://{HOST}", raise_server_exceptions=False)


def post(client: TestClient, path: str, status: int = 200, **ask: Any) -> Any:
    answer = client.post(f"/api/{path}", json=ask)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def walk(client: TestClient) -> dict[str, Any]:
    (motion,) = post(client, "make", prompt="a person walks forward", seconds=3, seed=4)["motions"]
    return motion


def test_a_motion_is_what_the_pipeline_makes(client: TestClient, walk: dict[str, Any], tmp_path: Path) -> None:
    expected = LaMPPipeline.from_pretrained()("a person walks forward", 60, seed=4)[0].with_foot_cleanup()
    (tmp_path / "a.npy").write_bytes(client.get(walk["files"]["npy"]).content)
    assert abs(Motion.load(tmp_path / "a.npy").joints - expected.joints).max() < 1e-5
    assert walk["kind"] == "made" and walk["seconds"] == 3.0
    assert 0 < walk["match"] <= 1 and 0 <= walk["skating"] <= 1 and walk["caption"]


def test_every_format_is_there(client: TestClient, walk: dict[str, Any]) -> None:
    assert set(walk["files"]) == set(FORMATS)
    for name, suffix in FORMATS.items():
        answer = client.get(walk["files"][name])
        assert answer.status_code == 200 and len(answer.content) > 1000
        assert answer.headers["content-disposition"].endswith(f'a_person_walks_forward{suffix}"')
    assert "three" in client.get(walk["viewer"]).text.lower()


def test_takes_have_successive_seeds(client: TestClient) -> None:
    made = post(client, "make", prompt="a person walks forward", seconds=3, seed=3, samples=2)["motions"]
    one = post(client, "make", prompt="a person walks forward", seconds=3, seed=4)["motions"]
    assert client.get(made[1]["files"]["npy"]).content == client.get(one[0]["files"]["npy"]).content
    assert client.get(made[0]["files"]["npy"]).content != client.get(one[0]["files"]["npy"]).content


def test_an_edit_keeps_the_rest(client: TestClient, walk: dict[str, Any], studio: Studio) -> None:
    ask = {"prompt": "a person kicks", "motion": walk["id"], "start": 1.0, "end": 2.0}
    (made,) = post(client, "edit", **ask)["motions"]
    before, after = (studio.kept(motion["id"]).source.features for motion in (walk, made))
    assert before is not None and after is not None
    assert (before[:12] == after[:12]).all() and (before[48:] == after[48:]).all()
    assert abs(before[24:36] - after[24:36]).max() > 0.1


@pytest.mark.parametrize("end", [1.6, 3.0])
def test_a_file_is_edited_to_its_end(client: TestClient, studio: Studio, folder: Path, end: float) -> None:
    """60 frames have 59 of features, of which the last 3 are no whole token."""
    data = (folder / "clips" / "mine" / "kick.bvh").read_bytes()
    motion = client.post("/api/motions", files={"file": ("kick.bvh", data)}).json()["id"]
    (made,) = post(client, "edit", prompt="a person bows", motion=motion, start=end - 1, end=end)["motions"]
    before = motion_features(studio.kept(motion).source, HUMANML3D).numpy()
    after = studio.kept(made["id"]).source.features
    assert after is not None and len(before) == len(after) == 59
    start = round((end - 1) * 20)
    assert (before[: start - 8] == after[: start - 8]).all()
    changed = abs(before - after).max(1) > 0
    assert changed[start : round(end * 20)].all() and changed[-3:].all() == (end == 3.0) == changed[-3:].any()


def test_the_library_reads_with_the_captioner_of_the_app(studio: Studio) -> None:
    assert studio.library is not None
    assert studio.library.reader.captioner is studio.pipe.captioner


def test_a_file_is_described_and_its_like_found(client: TestClient, folder: Path) -> None:
    data = (folder / "clips" / "mine" / "kick.bvh").read_bytes()
    answer = client.post("/api/motions", files={"file": ("my kick.bvh", data)})
    assert answer.status_code == 200 and answer.json()["title"] == "my kick"
    captions = post(client, "describe", motion=answer.json()["id"], count=2)["captions"]
    assert len(captions) == 2 and all(captions)
    best = post(client, "search", motion=answer.json()["id"], count=1)["motions"][0]
    assert best["source"].startswith("mine/kick.bvh, 0.0 to") and best["match"] > 0.95


def test_find_or_make_is_on_one_scale(client: TestClient) -> None:
    motions = post(client, "find-or-make", prompt="a person walks forward", found=3, samples=2)["motions"]
    scores = [motion["match"] for motion in motions]
    assert scores == sorted(scores, reverse=True)
    real = [motion for motion in motions if motion["kind"] == "real"]
    assert len(real) == 3 and sum(motion["kind"] == "made" for motion in motions) == 2
    licences = {motion["source"].partition(",")[0]: motion["licence"] for motion in real}
    assert licences == {
        "mine/walk.bvh": "CC0: do what you like", "mine/kick.bvh": "CC0: do what you like", "bow.bvh": NOT_STATED
    }  # fmt: skip


def test_what_is_outside_is_said(client: TestClient) -> None:
    assert post(client, "search", prompt="photosynthesis turns sunlight into sugar")["outside"]
    assert not post(client, "search", prompt="a person walks forward")["outside"]


@pytest.mark.parametrize(
    ("path", "ask", "status", "said"),
    [
        ("make", {"prompt": " "}, 400, "prompt is empty"),
        ("make", {"prompt": "x" * 1001}, 422, "prompt: String should have at most 1000"),
        ("make", {"prompt": "walk", "seconds": 100}, 422, "seconds:"),
        ("make", {"prompt": "walk", "samples": 100}, 422, "samples:"),
        ("make", {"prompt": "walk", "steps": 10**9}, 422, "steps:"),
        ("make", {"prompt": "walk", "guidance": 1e9}, 422, "guidance:"),
        ("make", {"prompt": "walk", "frames": 3}, 422, "frames: Extra"),
        ("edit", {"prompt": "walk", "motion": "none", "start": 0, "end": 1}, 400, "no such motion"),
        ("describe", {"motion": "none"}, 400, "no such motion"),
        ("search", {}, 400, "a sentence or by a motion"),
    ],
)
def test_what_cannot_be_is_one_line(client: TestClient, path: str, ask: dict[str, Any], status: int, said: str) -> None:
    detail = post(client, path, status, **ask)["detail"]
    assert said in detail and "\n" not in detail and "Traceback" not in detail


@pytest.mark.parametrize(
    ("name", "data", "status", "said"),
    [
        ("x.exe", b"MZ", 400, "motion files are"),
        ("x.bvh", b"nothing", 400, "x.bvh"),
        ("x.npy", b"\x80\x04cos\nsystem\n", 400, "x.npy"),
        ("x.npy", b"0" * (LARGEST_UPLOAD + 2**17), 413, "too large"),
    ],
)
def test_wrong_uploads_are_one_line(client: TestClient, name: str, data: bytes, status: int, said: str) -> None:
    answer = client.post("/api/motions", files={"file": (name, data)})
    detail = answer.json()["detail"]
    assert answer.status_code == status and said in detail and "\n" not in detail and "/tmp" not in detail


def test_only_this_computers_names_are_answered(client: TestClient, studio: Studio) -> None:
    assert client.get("/docs", headers={"host": "evil.example"}).status_code == 400
    other = TestClient(build_app(studio, "0.0.0.0", 2), base_url="http://mine.example")
    assert other.get("/docs").status_code == 200


def test_the_documentation_names_every_call(client: TestClient) -> None:
    answer = client.get("/docs")
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in answer.text
    assert "https://" not in answer.text and "1 to 4, default 1" in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_without_a_library_a_line_says_how_to_make_one(studio: Studio) -> None:
    pipe = copy(studio.pipe)
    pipe.known = None
    bare = TestClient(build_app(Studio(pipe), HOST, 2), base_url=f"http://{HOST}")
    assert "lamp index FOLDER" in post(bare, "search", 400, prompt="walk")["detail"]
    assert not post(bare, "make", prompt="photosynthesis", seconds=2)["outside"]  # nothing known, nothing said


def test_an_error_of_our_own_is_no_traceback(client: TestClient, studio: Studio, monkeypatch: Any) -> None:
    monkeypatch.setattr(studio, "make", lambda ask: 1 / 0)
    assert "went wrong" in post(client, "make", 500, prompt="walk")["detail"]


def test_the_queue_is_bounded_and_requests_are_cancelled(client: TestClient, studio: Studio) -> None:
    answers: dict[str, tuple[int, str]] = {}

    def ask(job: str) -> None:
        answer = client.post("/api/make", json={"prompt": "walk", "seconds": 2, "job": job})
        answers[job] = (answer.status_code, answer.text)

    with studio.desk.turn("mine"):
        threads = [threading.Thread(target=ask, args=(job,)) for job in ("a", "b")]
        for thread in threads:
            thread.start()
        wait(lambda: len(studio.desk) == 3)
        assert post(client, "make", 503, prompt="walk")["detail"].startswith("too many requests")
        assert post(client, "cancel/a")["cancelled"] and not post(client, "cancel/nobody")["cancelled"]
        threads[0].join()
        assert answers["a"] == (409, '{"detail":"cancelled"}')
    threads[1].join()
    assert answers["b"][0] == 200 and len(studio.desk) == 0


@pytest.mark.parametrize("what", ["make", "edit"])
@pytest.mark.parametrize(("network", "step"), [("masked", "_logits_at"), ("residual", "level_vectors")])
def test_a_request_is_cancelled_inside_a_take(
    what: str, network: str, step: str, studio: Studio, walk: dict[str, Any], monkeypatch: Any
) -> None:
    """By the step after which it was asked for, with others still to come."""
    part, steps = getattr(studio.pipe, network), []
    compute = getattr(part, step)

    def cancelled_at_the_second(*given: Any) -> Any:
        steps.append(given)
        if len(steps) == 2:
            assert studio.desk.cancel("x")
        return compute(*given)

    monkeypatch.setattr(part, step, cancelled_at_the_second)
    with pytest.raises(CancelledError):
        if what == "make":
            studio.make(MakeAsk(prompt="walk", seconds=2, job="x"))
        else:
            studio.edit(EditAsk(prompt="walk", motion=walk["id"], start=1, end=2, job="x"))
    assert len(steps) == 2 and not studio.desk.cancel("x")


def test_what_warming_up_lacks_is_left_to_the_first_request(studio: Studio, monkeypatch: Any) -> None:
    asked: list[object] = []

    def lacking(motions: object, **how: Any) -> None:
        asked.append(motions)
        raise UserError("no captioner here")

    monkeypatch.setattr(studio.pipe, "caption", lacking)
    studio.warm_up()
    assert len(asked) == 1 and len(studio.desk) == 0
    with pytest.raises(UserError, match="no captioner"):
        studio.make(MakeAsk(prompt="walk", seconds=2))


@pytest.fixture
def idle() -> TestClient:
    return TestClient(build_app(idle_studio(2), HOST, 2), base_url=f"http://{HOST}", raise_server_exceptions=False)


def test_bodies_are_bounded(idle: TestClient) -> None:
    answer = idle.post("/api/make", json={"prompt": "walk", "job": "x" * 2**16})
    assert answer.status_code == 413 and "at most 64 KB" in answer.json()["detail"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    # A little too large is not cut.
    answer = idle.post("/api/motions", files={"file": ("x.npy", b"0" * (LARGEST_UPLOAD + 1))})
    assert answer.status_code == 413 and "too large" in answer.json()["detail"]

    def endless() -> Iterator[bytes]:
        for _ in range(LARGEST_UPLOAD // 2**20 + 1):
            yield b"0" * 2**20

    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = idle.post("/gradio_api/upload", content=endless(), headers=form)
    assert answer.status_code == 413 and "too large" in answer.json()["detail"]
    assert idle.post("/api/motions", content=endless(), headers=form).status_code == 411


def test_what_pages_uploaded_is_removed(monkeypatch: Any) -> None:
    monkeypatch.setattr(page, "UPLOADS_STAY", (1, 1))
    with TestClient(build_app(idle_studio(2), HOST, 2), base_url=f"http://{HOST}") as client:
        (name,) = client.post("/gradio_api/upload", files={"files": ("x.npy", b"0")}).json()
        wait(lambda: not Path(name).exists())
    told = page._Page(idle_studio(2)).describe("", name, cast(Any, SimpleNamespace(session_hash="")))
    assert "x.npy was uploaded long ago" in told


def uploaded(client: TestClient, frames: int = 40) -> Any:
    file = io.BytesIO()
    np.save(file, walk_of(frames))
    answer = client.post("/api/motions", files={"file": ("walk.npy", file.getvalue())})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_videos_have_a_line_of_their_own() -> None:
    studio = idle_studio(2)
    client = TestClient(build_app(studio, HOST, 2), base_url=f"http://{HOST}")
    files = uploaded(client)["files"]
    studio.videos = Desk(0)
    with studio.videos.turn():
        answer = client.get(files["mp4"])
        assert answer.status_code == 503 and answer.json()["detail"].startswith("too many requests")
        assert client.get(files["npy"]).status_code == 200


def test_motions_are_forgotten_where_they_are_large(monkeypatch: Any, idle: TestClient) -> None:
    monkeypatch.setattr("lamp.web.studio.KEPT_BYTES", 400_000)
    first, second, third, large = (uploaded(idle, frames) for frames in (100, 40, 40, 1000))
    assert idle.get(large["files"]["npy"]).status_code == 200
    for motion in (first, second, third):
        assert idle.get(motion["files"]["npy"]).status_code == 400
    small = [uploaded(idle), uploaded(idle)]
    assert [idle.get(motion["files"]["npy"]).status_code for motion in (large, *small)] == [400, 200, 200]


def test_an_emptied_number_is_one_line() -> None:
    do, visitor = page._Page(idle_studio(2)), cast(Any, SimpleNamespace(session_hash=""))
    good: dict[str, Any] = {"prompt": "walk", "auto": False, "seconds": 4.0, "seed": 0, "samples": 1, "own": True}
    good |= {"guidance": 4.0, "steps": 10, "clean": True, "request": visitor}
    names = {"seconds": "seconds", "seed": "seed", "samples": "takes side by side", "guidance": "guidance"}
    for field, name in (names | {"steps": "steps"}).items():
        shown = do.make(**good | {field: None})[0]
        assert f"{name} is empty; give a number" in shown
    assert "to second is empty" in do.edit("x", "", 1.0, None, "walk", 0, visitor)
    assert "how many is empty" in do.search("walk", None, None, visitor)
    assert "seed is empty" in do.find_or_make("walk", None, visitor)


def test_a_licence_is_never_looked_for_outside(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("outside")
    (tmp_path / "clips").mkdir()
    assert licence_of(tmp_path / "clips", "a.bvh") == NOT_STATED


def test_the_command_answers(folder: Path) -> None:
    with listening(HOST, 0) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "lamp", "app", "--port", port, "--gpu_id", "-1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None and "LaMP answers at" in process.stdout.readline()
        ask = urllib.request.Request(
            f"http://{HOST}:{port}/api/make",
            json.dumps({"prompt": "a person walks", "seconds": 2}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(ask, timeout=120) as answer:
            assert len(json.load(answer)["motions"]) == 1
        taken = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert taken.returncode == 2 and "choose another --port" in taken.stderr
    finally:
        process.terminate()
        process.wait(20)


def test_a_stopped_app_waits_neither_for_open_pages_nor_for_what_is_computed() -> None:
    with listening(HOST, 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lamp", "app", "--port", str(port), "--gpu_id", "-1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and "LaMP answers at" in process.stdout.readline()
        # What loads the models while the app starts is not stopped in its middle.
        assert b"200 OK" in asking(port, "POST", "/api/make", {"prompt": "a person walks", "seconds": 2}).recv(4096)
        page = asking(port, "GET", "/gradio_api/heartbeat/mine")
        assert heard(page, b"ALIVE")
        # Long ones, one after the other.
        ask = {"prompt": "a person walks", "seconds": 9.8, "samples": 4, "steps": 50}
        computed = [asking(port, "POST", "/api/make", ask) for _ in range(3)]
        time.sleep(2)
        begun = time.monotonic()
        process.terminate()
        said = process.communicate(timeout=60)[1]
        assert time.monotonic() - begun < 30 and process.returncode == 143
        assert "terminated" in said and "Traceback" not in said
        for one in (page, *computed):
            one.close()
    finally:
        process.kill()
        process.wait(20)


def idle_studio(waiting: int) -> Studio:
    """Without models: nobody's turn comes."""
    return Studio(cast(LaMPPipeline, SimpleNamespace(fps=20.0, text=None, guidance=Guidance())), waiting=waiting)


def asking(port: int, method: str, path: str, ask: dict[str, Any] | None = None) -> socket.socket:
    """A connection on which something was asked for."""
    body = b"" if ask is None else json.dumps(ask).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n"
    connection = socket.create_connection((HOST, port), timeout=120)
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    return connection


def heard(connection: socket.socket, words: bytes) -> bool:
    """Whether an answer has these words; head and body may come one after the other."""
    answer = b""
    while words not in answer and (more := connection.recv(4096)):
        answer += more
    return words in answer


def test_who_goes_away_is_not_served_and_many_who_wait_hold_nobody_up() -> None:
    crowd = idle_studio(60)
    with served(build_app(crowd, HOST, 60)) as port, crowd.desk.turn():
        page = asking(port, "GET", "/gradio_api/heartbeat/mine")
        assert heard(page, b"ALIVE")
        others = [asking(port, "POST", "/api/make", {"prompt": "walk", "job": f"{i}"}) for i in range(60)]
        wait(lambda: len(crowd.desk) == 61)
        cancelled = asking(port, "POST", "/api/cancel/7")
        assert heard(cancelled, b'"cancelled":true')
        assert b"409" in others[7].recv(4096)[:20]
        # A quick answer that needs a thread.
        found = asking(port, "GET", "/api/view?ids=none")
        assert heard(found, b"no such motion any more")
        for one in (*others[:3], *others[50:], cancelled, found):
            one.close()
        wait(lambda: len(crowd.desk) == 61 - 14)
        # A page that is closed.
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: crowd.desk.turn("mine").__enter__())
            wait(lambda: len(crowd.desk) == 61 - 13)
            page.close()
            with pytest.raises(CancelledError):
                waiting.result(60)
        for one in others:
            one.close()
        wait(lambda: len(crowd.desk) == 1)


@contextmanager
def served(app: FastAPI) -> Iterator[int]:
    """The port at which an app answers meanwhile."""
    with listening(HOST, 0) as place:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3))
        thread = threading.Thread(target=server.run, args=([place],), daemon=True)
        thread.start()
        yield place.getsockname()[1]
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def address(studio: Studio) -> Iterator[str]:
    """Of the app, served as `lamp app` does."""
    with served(build_app(studio, HOST, 2)) as port:
        yield f"http://{HOST}:{port}"


@pytest.fixture(scope="module")
def driver(address: str) -> "Iterator[Chrome]":
    with opened() as chrome:
        yield chrome


def see(driver: "Chrome", css: str, inside: str = "") -> Any:
    """An element once it is shown and has a text in it."""
    from selenium.webdriver.common.by import By

    found: list[Any] = []

    def there() -> bool:
        found[:] = [e for e in driver.find_elements(By.CSS_SELECTOR, css) if e.is_displayed() and inside in e.text]
        return bool(found)

    wait(patient(there))
    return found[0]


def patient(true: Any) -> Any:
    """False where an element was replaced while it was looked at."""
    from selenium.common.exceptions import StaleElementReferenceException

    def look() -> bool:
        try:
            return true()
        except StaleElementReferenceException:
            return False

    return look


def open_page(driver: "Chrome", address: str, tab: str = "") -> None:
    driver.get(address)
    see(driver, "#prompt textarea, #prompt input")
    if tab:
        go(driver, tab)


def go(driver: "Chrome", tab: str) -> None:
    """Another tab; in a narrow window some are behind a button."""
    from selenium.webdriver.common.by import By

    def pressed(css: str) -> bool:
        for button in driver.find_elements(By.CSS_SELECTOR, css):
            if button.text == tab and button.is_displayed():
                button.click()
                return True
        return False

    if not pressed("button[role=tab]"):
        see(driver, ".overflow-menu > button").click()
        wait(patient(lambda: pressed(".overflow-dropdown button")))


def write(driver: "Chrome", css: str, text: str) -> Any:
    from selenium.webdriver.common.keys import Keys

    box = see(driver, css)
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(text)
    return box


def plays(driver: "Chrome", result: str) -> None:
    """The viewer of a result has drawn something: its middle has many colours."""
    frame = see(driver, f"{result} iframe")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", frame)

    def drawn() -> bool:
        shot = Image.open(io.BytesIO(picture(lambda: frame.screenshot_as_png))).convert("RGB")
        width, height = shot.size
        middle = shot.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4))
        return len(middle.getcolors(2**24) or ()) > 200

    wait(drawn)


@pytest.mark.browser
@needs_npm("axe-core")
def test_the_keyboard_alone_makes_a_motion(driver: "Chrome", address: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    open_page(driver, address)
    wait(patient(lambda: driver.switch_to.active_element.tag_name in ("textarea", "input")))  # it waits for words
    ActionChains(driver).send_keys(Keys.ENTER).perform()
    see(driver, "#made .card", "made by LaMP")
    plays(driver, "#made")
    assert serious_findings(driver) == []
    assert troubles(driver) == []
    outside = driver.execute_script(
        "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin)"
        " && !n.startsWith('data:') && !n.startsWith('blob:'))"
    )
    assert outside == []
    keep(driver, "make_1280")


@pytest.mark.browser
def test_one_click_makes_a_motion_that_is_edited(driver: "Chrome", address: str, client: TestClient) -> None:
    open_page(driver, address)
    see(driver, "#make").click()
    link = see(driver, "#made .files a", "bvh")
    with urllib.request.urlopen(link.get_attribute("href")) as answer:
        assert answer.read(9) == b"HIERARCHY"
    go(driver, "Edit")
    write(driver, "#edit_prompt textarea, #edit_prompt input", "a person kicks")
    see(driver, "#edit").click()
    see(driver, "#edited .card", "edited by LaMP")
    plays(driver, "#edited")
    keep(driver, "edit_1280")


@pytest.mark.browser
@needs_npm("axe-core")
def test_a_file_is_edited_in_the_page(driver: "Chrome", address: str, folder: Path, client: TestClient) -> None:
    from selenium.webdriver.common.by import By

    open_page(driver, address, "Edit")
    see(driver, "#edit_file")
    chosen = str(folder / "clips" / "mine" / "kick.bvh")
    driver.find_element(By.CSS_SELECTOR, "#edit_file input[type=file]").send_keys(chosen)
    plays(driver, "#edited")
    keep(driver, "edit_upload_1280")
    # The timeline is the file's: 2.95 s, its middle third chosen.
    ends = [see(driver, f"#{name} input[type=number]").get_attribute("value") for name in ("start", "end")]
    assert [float(end) for end in ends] == pytest.approx([1.0, 2.0], abs=0.05)
    write(driver, "#edit_prompt textarea, #edit_prompt input", "a person bows")
    see(driver, "#edit").click()
    see(driver, "#edited .card", "edited by LaMP")
    plays(driver, "#edited")
    assert serious_findings(driver) == []
    # Gradio's own script says this of every file that is uploaded.
    assert [line for line in troubles(driver) if "Method not implemented" not in line] == []
    keep(driver, "edit_file_1280")


@pytest.mark.browser
@needs_npm("axe-core")
def test_a_file_is_described_in_the_page(driver: "Chrome", address: str, folder: Path) -> None:
    from selenium.webdriver.common.by import By

    open_page(driver, address, "Describe")
    see(driver, "#describe_file")
    driver.find_element(By.CSS_SELECTOR, "#describe_file input[type=file]").send_keys(
        str(folder / "clips" / "mine" / "walk.bvh")
    )
    see(driver, "#describe_file", "walk")
    see(driver, "#describe").click()
    see(driver, "#described .captions li", "a")
    assert serious_findings(driver) == []
    keep(driver, "describe_1280")


@pytest.mark.browser
@needs_npm("axe-core")
def test_clips_are_found_in_the_page(driver: "Chrome", address: str) -> None:
    from selenium.webdriver.common.keys import Keys

    open_page(driver, address, "Search")
    write(driver, "#query textarea, #query input", "someone bows").send_keys(Keys.ENTER)
    see(driver, "#found .card", NOT_STATED)
    assert serious_findings(driver) == []
    go(driver, "Find or make")
    write(driver, "#wish textarea, #wish input", "the stock market fell by three percent on monday").send_keys(
        Keys.ENTER
    )
    see(driver, "#ranked .warn", "Outside what this model knows")
    see(driver, "#ranked .card", "CC0: do what you like")
    see(driver, "#ranked .card", "made by LaMP")
    assert serious_findings(driver) == []
    keep(driver, "find_1280")


@pytest.mark.browser
def test_a_person_cancels(driver: "Chrome", address: str, studio: Studio) -> None:
    open_page(driver, address)
    with studio.desk.turn():
        see(driver, "#make").click()
        wait(lambda: len(studio.desk) == 2)
        see(driver, "button", "Cancel").click()
        see(driver, "#made .warn", "cancelled")
    write(driver, "#prompt textarea, #prompt input", " ")
    see(driver, "#make").click()
    see(driver, "#made .warn", "prompt is empty")


@pytest.mark.browser
@needs_npm("axe-core")
def test_a_phone_is_wide_enough(address: str) -> None:
    with opened(390, 844) as driver:
        open_page(driver, address)
        see(driver, "#make").click()
        see(driver, "#made .card", "made by LaMP")
        plays(driver, "#made")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert serious_findings(driver) == []
        keep(driver, "make_390")
        shown = {"Edit": "#edit", "Describe": "#describe", "Search": "#query", "Find or make": "#wish"}
        for tab, css in shown.items():
            go(driver, tab)
            see(driver, css)
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 390, tab
            assert serious_findings(driver) == [], tab
            keep(driver, f"{css[1:]}_390")
        driver.get(f"{address}/docs")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert serious_findings(driver) == [] and troubles(driver) == []


def keep(driver: "Chrome", name: str) -> None:
    """What the window shows as a file, where `LAMP_PICTURES` names a folder to look at them."""
    if folder := os.environ.get("LAMP_PICTURES"):
        Path(folder, f"{name}.png").write_bytes(picture(driver.get_screenshot_as_png))
