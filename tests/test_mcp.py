"""The tools for assistants: a workspace that nothing leaves, and the protocol over standard input and output."""

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamp.library.indexing import index, open_store
from lamp.library.reader import MotionReader
from lamp.models.pipeline import LaMPPipeline
from lamp.serve.workspace import Workspace
from lamp.utils.capture.files import read_noted
from lamp.utils.errors import UserError
from lamp.utils.gltf.container import Gltf
from lamp.utils.motion import Motion
from tests.rigs import Recipe, build

ROOT = Path(__file__).resolve().parent.parent
mcp = pytest.importorskip("mcp", reason="needs the extra mcp")


@pytest.fixture(scope="module")
def pipe() -> LaMPPipeline:
    return LaMPPipeline.from_pretrained()


@pytest.fixture
def workspace(tmp_path: Path, pipe: LaMPPipeline) -> Workspace:
    return Workspace(tmp_path / "space", lambda: pipe)


def test_a_motion_is_made_listed_and_described(workspace: Workspace) -> None:
    saved = workspace.generate("a person walks forward", 2.0, 1, ["npy", "bvh"])
    assert saved.frames == 40 and saved.seconds == 2.0 and saved.warnings == []
    assert sorted(saved.files) == workspace.files()
    again = workspace.generate("a  person walks forward", 2.0, 1, [".npy"])
    other = workspace.generate("a person walks forward", 2.0, 2, ["npy"])
    assert again.files[0] in saved.files and other.files[0] not in saved.files
    captions = workspace.describe(saved.files[0], 2)
    assert len(captions) == 2 and "walk" in captions[0]


@pytest.mark.parametrize(
    "name", ["../a.npy", "/etc/passwd", "", ".", "link/a.npy", "a\0.npy", "x" * 5000, "sub/../../a"]
)
def test_nothing_outside_of_the_folder_is_touched(name: str, workspace: Workspace, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 22, 3), dtype=np.float32))
    (workspace.folder / "link").symlink_to(tmp_path)
    with pytest.raises(UserError) as caught:
        workspace.describe(name, 1)
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "seconds", "seed", "formats", "words"),
    [
        (" ", None, 0, ["npy"], "0 characters"),
        ("walk " * 1000, None, 0, ["npy"], "characters"),
        ("walk", 60.0, 0, ["npy"], "60 seconds"),
        ("walk", float("nan"), 0, ["npy"], "nan seconds"),
        ("walk", None, -1, ["npy"], "seed -1"),
        ("walk", None, 0, ["exe"], "'exe'"),
        ("walk", None, 0, [], "no format"),
        ("walk", None, 0, ["../x"], "'../x'"),
    ],
)
def test_mistakes_say_what_to_change(
    prompt: str, seconds: float | None, seed: int, formats: list[str], words: str, workspace: Workspace
) -> None:
    with pytest.raises(UserError, match=words):
        workspace.generate(prompt, seconds, seed, formats)
    assert workspace.files() == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pipe: LaMPPipeline) -> Workspace:
    """A workspace with two captures, a library of them and a character."""
    workspace = Workspace(tmp_path_factory.mktemp("served"), lambda: pipe)
    folder = workspace.folder
    prompts = {"walk": "a person walks forward", "bow": "a person bows"}
    for name, motion in zip(prompts, pipe(list(prompts.values()), 60, seed=1)):
        motion.save(folder / "takes" / f"{name}.bvh")
    index(open_store(folder / "library", folder / "takes", reader := MotionReader()), reader)
    build(Recipe(), folder / "hero.glb")
    (folder / "cmu").mkdir()
    (folder / "cmu" / "01.amc").write_text("")
    (folder / "cmu" / "01.asf").symlink_to(Path(__file__))
    return workspace


def test_a_library_is_searched_by_words_and_by_motion(served: Workspace) -> None:
    (best,) = served.search("library", "someone bows", count=1)
    assert best.file == "takes/bow.bvh" and best.below and best.end > best.start and best.caption
    assert served.describe(best.file, 1)
    alike = served.search("library", file="takes/walk.bvh")
    assert alike[0].file == "takes/walk.bvh" and alike[0].score > 0.95
    assert [found.score for found in alike] == sorted((found.score for found in alike), reverse=True)


def test_clips_outside_of_the_folder_are_found_by_name_only(
    served: Workspace, pipe: LaMPPipeline, tmp_path: Path
) -> None:
    inner = Workspace(tmp_path / "inner", lambda: pipe)
    shutil.copytree(served.folder / "library", inner.folder / "library")
    (found,) = inner.search("library", "someone bows", count=1)
    assert found.file == "bow.bvh" and not found.below
    table = inner.folder / "library" / "segments.csv"
    table.rename(tmp_path / "table.csv")
    table.symlink_to(tmp_path / "table.csv")
    with pytest.raises(UserError, match="not below the folder"):
        inner.search("library", "someone bows")


def test_a_file_is_converted(served: Workspace) -> None:
    saved = served.convert("takes/walk.bvh", "new/walk.npz", fps=30, in_place=True)
    assert saved.files == ["new/walk.npz"] and saved.fps == 30 and abs(saved.frames - 88) <= 2
    moved = Motion.load(served.folder / "new" / "walk.npz")
    assert abs(moved.joints[:, 0, [0, 2]]).max() < 1e-5 < np.ptp(moved.joints[:, 0, 1])
    saved = served.convert("takes/walk.bvh", "hero_walks.glb", character="hero.glb")
    assert saved.frames == 60
    made, own = (Gltf.load(served.folder / name).document for name in ("hero_walks.glb", "hero.glb"))
    assert len(made["animations"]) == 1 and made["nodes"][0]["name"] == own["nodes"][0]["name"]


def test_two_requests_for_one_file_are_one_file(served: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def slow(path: Path) -> tuple[Motion, list[str]]:
        # Without a lock both requests are here at once, and neither has written its file.
        with suppress(threading.BrokenBarrierError):
            both.wait(1)
        return read_noted(path)

    monkeypatch.setattr("lamp.serve.workspace.read_noted", slow)

    def convert(_: int) -> str:
        try:
            return served.convert("takes/walk.bvh", "new/twice.npz").files[0]
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(convert, range(2)), key=len)
    assert first == "new/twice.npz" and "is there already" in second


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("search", {"library": "library"}, "give one of them"),
        ("search", {"library": "library", "prompt": "walk", "file": "takes/walk.bvh"}, "give one of them"),
        ("search", {"library": "library", "prompt": "walk", "count": 0}, "1 to 50"),
        ("search", {"library": "library", "prompt": "x" * 2000}, "1000 characters"),
        ("search", {"library": "takes", "prompt": "walk"}, "is no library"),
        ("search", {"library": "../library", "prompt": "walk"}, "not below the folder"),
        ("search", {"library": "library", "file": "../walk.bvh"}, "not below the folder"),
        ("convert", {"file": "takes/walk.bvh", "out": "../x.npy"}, "not below the folder"),
        ("convert", {"file": "../walk.bvh", "out": "x.npy"}, "not below the folder"),
        ("convert", {"file": "takes/walk.bvh", "out": "x.npy", "character": "/etc/hero.glb"}, "not below the folder"),
        ("convert", {"file": "takes/walk.bvh", "out": "takes/walk.bvh"}, "is there already"),
        ("convert", {"file": "takes/walk.bvh", "out": "x.exe"}, "x.exe"),
        ("convert", {"file": "takes/walk.bvh", "out": "x.npy", "fps": 1e9}, "frames a second"),
        ("convert", {"file": "takes/walk.bvh", "out": "x.bvh", "character": "hero.glb"}, ".glb or .vrm"),
        ("convert", {"file": "takes/walk.bvh", "out": "x.glb", "character": "takes/walk.bvh"}, "must be a .glb"),
        ("convert", {"file": "takes/none.bvh", "out": "x.npy"}, "no file"),
        ("convert", {"file": "cmu/01.amc", "out": "x.npy"}, "not below the folder"),
    ],
)
def test_mistakes_of_search_and_convert_write_nothing(
    tool: str, given: dict[str, Any], words: str, served: Workspace
) -> None:
    before = sorted(served.folder.rglob("*"))
    with pytest.raises(UserError, match=words) as caught:
        getattr(served, tool)(**given)
    assert "\n" not in str(caught.value) and sorted(served.folder.rglob("*")) == before


def content(result: Any) -> Any:
    """What a tool answered."""
    return result.structured_content if not result.is_error else result.content[0].text


def test_a_client_of_the_protocol_gets_files_and_readable_mistakes(workspace: Workspace) -> None:
    from lamp.serve.mcp import build_server

    async def talk() -> None:
        async with mcp.Client(build_server(workspace)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {
                "generate_motion", "caption_motion", "search_motion", "convert_motion", "list_files"
            }  # fmt: skip
            assert tools["generate_motion"].input_schema["required"] == ["prompt"]
            made = content(await client.call_tool("generate_motion", {"prompt": "a person jumps", "formats": ["npz"]}))
            assert (workspace.folder / made["files"][0]).is_file() and made["fps"] == 20
            assert content(await client.call_tool("list_files", {}))["result"] == made["files"]
            wrong = await client.call_tool("caption_motion", {"file": "../secret.npy"})
            assert wrong.is_error and "not below the folder" in content(wrong)
            wrong = await client.call_tool("generate_motion", {"prompt": ["no", "text"]})
            assert wrong.is_error and "Traceback" not in content(wrong)

    asyncio.run(talk())


def test_a_client_of_the_protocol_searches_and_converts(served: Workspace) -> None:
    from lamp.serve.mcp import build_server

    async def talk() -> None:
        async with mcp.Client(build_server(served)) as client:
            asked = {"library": "library", "prompt": "someone bows", "count": 1}
            (best,) = content(await client.call_tool("search_motion", asked))["result"]
            assert best["file"] == "takes/bow.bvh" and 0 < best["score"] <= 1
            wanted = {"file": best["file"], "out": "bow.glb", "fps": 24}
            made = content(await client.call_tool("convert_motion", wanted))
            assert made["files"] == ["bow.glb"] and made["fps"] == 24 and (served.folder / "bow.glb").is_file()
            wrong = await client.call_tool("convert_motion", wanted)
            assert wrong.is_error and "is there already" in content(wrong)

    asyncio.run(talk())


def test_the_command_talks_over_standard_input_and_output(tmp_path: Path) -> None:
    async def talk() -> None:
        from mcp.client.stdio import StdioServerParameters

        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "lamp", "mcp", "--folder", str(tmp_path / "out"), "--gpu_id", "-1"],
            cwd=str(ROOT),
            env=dict(os.environ),
        )
        async with mcp.Client(server) as client:
            made = await client.call_tool(
                "generate_motion", {"prompt": "a person walks", "seconds": 1.2, "formats": ["npy"]}
            )
            assert not made.is_error, made.content
            assert np.load(tmp_path / "out" / made.structured_content["files"][0]).shape == (24, 22, 3)

    asyncio.run(talk())


def test_mistakes_on_the_command_line_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [sys.executable, "serve_mcp.py", "--folder", str(tmp_path / "file")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ended.returncode == 2 and len(ended.stderr.splitlines()) == 1 and "--folder" in ended.stderr
    assert ended.stdout == ""
