"""What other programs send: uploads and requests of the app, skeletons and requests of MMCP, names of files."""

import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamp.models.pipeline import LaMPPipeline
from lamp.serve.workspace import Workspace
from lamp.utils.errors import UserError
from lamp.utils.export import WRITERS
from lamp.utils.motion import Motion
from tests.fuzzing import ODD, SEEN, any_json, changed, damaged, fuzz, hypothesis, st, watched
from tests.test_export import walk
from tests.test_pipeline import assemble, tiny_parts

pytest.importorskip("gradio", reason="needs the extra app")
pytest.importorskip("motionmcp", reason="needs the extra mmcp")
from fastapi.testclient import TestClient

from lamp.serve.mmcp import LaMPBackbone, build_server
from lamp.web.api import build_api
from lamp.web.studio import Studio
from tests.test_mmcp import mixamo, request_of

CASES = Path(__file__).parent / "cases"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def pipe() -> LaMPPipeline:
    """Untrained models, which answer with noise of the right shapes, and a captioner that says nothing."""
    made = assemble(tiny_parts())
    made.caption = lambda motions, **how: [["a person moves"] * how.get("num_captions", 1) for _ in motions]  # type: ignore[method-assign]
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """The folder that temporary files go to."""
    folder, before = tmp_path_factory.mktemp("serve"), tempfile.tempdir
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def client(pipe, place) -> Iterator[TestClient]:
    with TestClient(build_api(Studio(pipe), HOST), base_url=f"http://{HOST}", raise_server_exceptions=False) as client:
        yield client


def answered(client: TestClient, place: Path, path: str, **request: Any) -> dict[str, Any]:
    """The answer to a request: no error of the server's own, and nothing left on the disk."""
    with watched(place, seconds=10.0), warnings.catch_warnings():  # models answer some of them
        warnings.simplefilter("ignore")
        answer = client.post(path, **request)
    assert answer.status_code < 500, answer.text
    assert not any(place.iterdir())
    SEEN.refused += answer.status_code >= 400
    return answer.json()


def _joints() -> bytes:
    with tempfile.TemporaryDirectory() as made:
        return Motion(walk(2)).save(Path(made, "x.npz")).read_bytes()


SEEDS = {"a.bvh": (CASES / "07" / "walk.bvh").read_bytes(), "a.npz": _joints(), "../a.npy": b"\x93NUMPY"}


@fuzz()
@hypothesis.given(st.sampled_from(sorted(SEEDS)), st.data())
def test_uploads(client, place, name, data):
    answer = answered(client, place, "/api/motions", files={"file": (name, data.draw(damaged(SEEDS[name])))})
    assert "\n" not in str(answer.get("detail", "")) and str(place) not in str(answer.get("detail", ""))


ASKS = {
    "make": {"prompt": "walk", "seconds": 2, "samples": 1, "guidance": 2.0, "steps": 1, "seed": 1, "job": "a"},
    "edit": {"prompt": "walk", "motion": "x", "start": 0.5, "end": 1.0, "seed": 1, "job": "a"},
    "describe": {"motion": "x", "count": 2},
    "search": {"prompt": "walk", "motion": "", "count": 2},
    "find-or-make": {"prompt": "walk", "found": 1, "samples": 1},
}


@fuzz()
@hypothesis.given(st.sampled_from(sorted(ASKS)), st.data())
def test_requests_of_the_app(client, place, name, data):
    body = data.draw(any_json(ASKS[name]))
    answered(client, place, f"/api/{name}", content=body, headers={"content-type": "application/json"})


@pytest.fixture(scope="module")
def mmcp(pipe, place) -> Iterator[TestClient]:
    server = build_server(LaMPBackbone(pipe), HOST)
    with TestClient(server, base_url=f"http://{HOST}", raise_server_exceptions=False) as client:
        yield client


ASKED = request_of(mixamo(), frames=30, options={"seed": 3, "num_samples": 1, "model_options": {"time_steps": 1}})

SEGMENTS = changed(ASKED["segments"])


@fuzz()
@hypothesis.given(any_json(ASKED) | SEGMENTS.map(lambda value: json.dumps(ASKED | {"segments": value}).encode()))
def test_requests_of_mmcp(mmcp, place, body):
    answered(mmcp, place, "/generate", content=body, headers={"content-type": "application/json"})


NAMES = st.text(max_size=12) | st.sampled_from(
    ["../x.npy", "/etc/passwd", "a\0.npy", "x" * 300 + ".npy", "link/x.npy", "b/../../x.npy", "a.npy", "x.bvh", ".", ""]
)


@fuzz()
@hypothesis.given(NAMES, NAMES, st.sampled_from(sorted(WRITERS)) | st.just(""), ODD)
def test_names_that_assistants_give(pipe, tmp_path_factory, file, out, suffix, fps):
    root = tmp_path_factory.mktemp("names")
    space = Workspace(root / "space", lambda: pipe)
    np.save(space.folder / "a.npy", walk(1))
    np.save(root / "x.npy", walk(1))
    (space.folder / "link").symlink_to(root)
    fps = fps if isinstance(fps, float) else None
    with watched(space.folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            space.convert(file, out + suffix if suffix != ".mp4" else out, fps)
        except UserError as error:
            SEEN.refused += 1
            assert "\n" not in str(error) and str(root) not in str(error).replace(str(space.folder), "")
    assert sorted(path.name for path in root.iterdir()) == ["space", "x.npy"]


def test_a_type_of_a_segment_that_is_no_text(mmcp):
    answer = mmcp.post("/generate", json=ASKED | {"segments": [{"type": [0], "prompt": "walk", "duration_frames": 30}]})
    assert answer.status_code == 422 and answer.json()["error"]["code"] == "schema_validation"
