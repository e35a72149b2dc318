"""Serve LaMP's tools to an assistant by the Model Context Protocol, over standard input and output.

    lamp mcp --folder ~/motions

The assistant starts this command itself: its configuration names it. `docs/programs.md` shows how.
"""

from lamp.options.serve import McpOptions
from lamp.serve.loading import load_pipeline
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors
from lamp.utils.run.launch import require_one_process


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
