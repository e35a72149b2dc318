"""A web app: make, edit, describe and search motions in a browser.

    lamp app
    lamp app --library my_library --port 8080

It answers at http://127.0.0.1:7860 (extra `app`), with a JSON API of the same functions (documented at /docs).
Nothing is asked of the network. docs/app.md tells the rest.
"""

import os
import sys
import threading

from lamp.options.serve import AppOptions
from lamp.serve.loading import load_pipeline
from lamp.serve.network import LOCAL, listening
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors
from lamp.utils.run.launch import require_one_process


@main_with_errors
def main() -> None:
    """Answer requests until the program is stopped."""
    options = parse(AppOptions)
    require_one_process()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    with listening(options.host, options.port) as place:  # before Gradio, which takes seconds to import
        from lamp.serve.running import run
        from lamp.web.page import build_app
        from lamp.web.studio import Studio

        studio = Studio.open(load_pipeline(options).with_precision(options.precision), options.library, options.queue)
        app = build_app(studio, options.host, options.queue)
        if options.host not in LOCAL:
            print(f"warning: --host {options.host} lets anyone who reaches this computer use the app", file=sys.stderr)
        print(f"LaMP answers at http://{options.host}:{options.port}; stop it with Ctrl-C", flush=True)
        # While the page is opened and read. No daemon: the process aborts where it ends inside PyTorch.
        threading.Thread(target=studio.warm_up).start()
        run(app, place, studio.close)


if __name__ == "__main__":
    main()
