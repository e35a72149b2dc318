"""Serve LaMP's tools to an assistant by the Model Context Protocol, over standard input and output.

    lamp mcp --folder ~/motions

The assistant starts this command itself: its configuration names it. `docs/programs.md` shows how.
"""

from typing import TYPE_CHECKING

from lamp.options.serve import McpOptions
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors
from lamp.utils.run.launch import require_one_process

if TYPE_CHECKING:
    from lamp.models.pipeline import LaMPPipeline


def load_pipeline(options: McpOptions) -> "LaMPPipeline":
    """The models that the options name."""
    from lamp.models.pipeline import LaMPPipeline
    from lamp.utils.run.device import resolve_device

    return LaMPPipeline.from_pretrained(options.models or None, resolve_device(options.gpu_id))


@main_with_errors
def main() -> None:
    """Answer requests until standard input ends."""
    options = parse(McpOptions)
    require_one_process()
    from lamp.serve.mcp import build_server
    from lamp.serve.workspace import Workspace

    build_server(Workspace(options.folder, lambda: load_pipeline(options))).run("stdio")


if __name__ == "__main__":
    main()
