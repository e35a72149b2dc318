"""Serve LaMP to animation programs by the Motion Model Context Protocol (MMCP), over HTTP.

    lamp serve-mmcp --port 8000

Programs that speak MMCP, Blender with the add-on Proscenium for instance, get motions on their own character's skeleton
from http://127.0.0.1:8000. `docs/programs.md` shows how.
"""

import sys

from lamp.options.serve import MmcpOptions
from lamp.serve.loading import load_pipeline
from lamp.serve.network import LOCAL, listening
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors
from lamp.utils.run.launch import require_one_process


@main_with_errors
def main() -> None:
    """Answer requests until the program is stopped."""
    options = parse(MmcpOptions)
    require_one_process()
    from lamp.serve.mmcp import LaMPBackbone, build_server
    from lamp.serve.running import run

    with listening(options.host, options.port) as place:
        backbone = LaMPBackbone(load_pipeline(options))
        if options.host not in LOCAL:
            print(
                f"warning: --host {options.host} lets anyone who reaches this computer ask for motions", file=sys.stderr
            )
        print(f"LaMP answers at http://{options.host}:{options.port}; stop it with Ctrl-C", flush=True)
        run(build_server(backbone, options.host), place, backbone.close)


if __name__ == "__main__":
    main()
