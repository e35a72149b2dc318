"""The tools for assistants: a workspace that nothing leaves, and the protocol over standard input and output."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamp.models.pipeline import LaMPPipeline
from lamp.serve.workspace import Workspace
from lamp.utils.errors import UserError

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


def content(result: Any) -> Any:
    """What a tool answered."""
    return result.structured_content if not result.is_error else result.content[0].text


def test_a_client_of_the_protocol_gets_files_and_readable_mistakes(workspace: Workspace) -> None:
    from lamp.serve.mcp import build_server

    async def talk() -> None:
        async with mcp.Client(build_server(workspace)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert {"generate_motion", "caption_motion", "list_files"} <= set(tools)
            assert tools["generate_motion"].input_schema["required"] == ["prompt"]
            made = content(await client.call_tool("generate_motion", {"prompt": "a person jumps", "formats": ["npz"]}))
            assert (workspace.folder / made["files"][0]).is_file() and made["fps"] == 20
            assert content(await client.call_tool("list_files", {}))["result"] == made["files"]
            wrong = await client.call_tool("caption_motion", {"file": "../secret.npy"})
            assert wrong.is_error and "not below the folder" in content(wrong)
            wrong = await client.call_tool("generate_motion", {"prompt": ["no", "text"]})
            assert wrong.is_error and "Traceback" not in content(wrong)

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
