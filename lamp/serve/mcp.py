"""Tools of the Model Context Protocol over a `Workspace`, for assistants that call tools."""

import functools
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from lamp.serve.workspace import Found, Saved, Workspace
from lamp.utils.errors import UserError
from lamp.utils.export import WRITERS

INSTRUCTIONS = (
    "LaMP makes 3D human motion from a sentence, describes motion in words, converts motion files and searches "
    "libraries of motion. Files have names relative to one folder on this computer. A generated motion has 22 joints, "
    "metres, Y up, 20 frames a second, 1.2 to 9.8 seconds."
)
P = ParamSpec("P")
R = TypeVar("R")


def _answering(tool: Callable[P, R]) -> Callable[P, R]:
    """A mistake of the caller becomes an answer that says what to change."""

    @functools.wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except UserError as error:
            raise ToolError(str(error)) from error

    return call


def build_server(workspace: Workspace) -> MCPServer:
    """A server whose tools are the workspace's methods."""
    server = MCPServer("lamp", instructions=INSTRUCTIONS)

    @server.tool()
    @_answering
    def generate_motion(
        prompt: Annotated[str, Field(description="one English sentence: what the person does")],
        seconds: Annotated[float | None, Field(description="duration; left out, the model chooses")] = None,
        seed: Annotated[int, Field(description="another seed gives another take")] = 0,
        formats: Annotated[list[str], Field(description="npy, npz, bvh, mp4, ...")] = ["npz", "bvh", "mp4"],  # noqa: B006
    ) -> Saved:
        """Generate a 3D human motion and write it to files."""
        return workspace.generate(prompt, seconds, seed, formats)

    @server.tool()
    @_answering
    def caption_motion(
        file: Annotated[str, Field(description="motion file: npy, npz, bvh or amc")],
        count: Annotated[int, Field(description="how many captions")] = 1,
    ) -> list[str]:
        """Describe a motion file in words, the best caption first."""
        return workspace.describe(file, count)

    @server.tool()
    @_answering
    def search_motion(
        library: Annotated[str, Field(description="folder that `lamp index` made")],
        prompt: Annotated[str, Field(description="one English sentence: what the person does")] = "",
        file: Annotated[str, Field(description="motion file whose like is searched for, instead of a sentence")] = "",
        count: Annotated[int, Field(description="how many segments")] = 5,
    ) -> list[Found]:
        """Find segments of a library of motion by a sentence or by a motion, the best first."""
        return workspace.search(library, prompt, file, count)

    @server.tool()
    @_answering
    def convert_motion(
        file: Annotated[str, Field(description="motion file: npy, npz, bvh or amc")],
        out: Annotated[str, Field(description=f"new file; its suffix names the format: {', '.join(WRITERS)}")],
        fps: Annotated[float | None, Field(description="frames a second; left out, the file's own")] = None,
        in_place: Annotated[bool, Field(description="take the travel out")] = False,
        character: Annotated[str, Field(description="rigged humanoid (.glb, .vrm) that gets the motion")] = "",
    ) -> Saved:
        """Write a motion file in another format, at another frame rate, in place, or on a character."""
        return workspace.convert(file, out, fps, in_place, character)

    @server.tool()
    @_answering
    def list_files() -> list[str]:
        """Motion files that there are."""
        return workspace.files()

    return server
