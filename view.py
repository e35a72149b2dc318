"""Look at motions in a browser: one page that plays them in 3D, side by side, without network.

    python view.py generation/exp1/joints/0/sample0_repeat0_len120.npy
    python view.py walk.bvh run.bvh --title "Walk or run" --out gaits.html --no_open

Drag to turn, scroll to come nearer; Space plays, the arrow keys step frame by frame. The page can be sent to others:
everything is in it. docs/viewer.md has its keys. Of several files, those that cannot be read are left out, each with
its reason.
"""

import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from lamp.options.view import ViewOptions
from lamp.utils.capture.files import find_motion_files, read_in_metres, tell_left_out
from lamp.utils.capture.joint_map import UnknownSkeletonError, load_joint_map
from lamp.utils.capture.upright import join_up
from lamp.utils.cli import parse
from lamp.utils.errors import UserError, main_with_errors, told
from lamp.utils.motion import Motion
from lamp.utils.run.launch import require_one_process
from lamp.utils.viewer.page import MOST_MOTIONS, save_page, viewer_page


def find(files: list[Path]) -> list[Path]:
    """The motion files that are named, or lie below folders that are.

    Raises:
        UserError: there are none, or more than a page shows.
    """
    found = [path for given in files for path in find_motion_files(given, "FILE").values()]
    if len(found) > MOST_MOTIONS:
        raise UserError(f"{len(found)} motions; a page shows at most {MOST_MOTIONS}: name fewer FILEs")
    return found


@main_with_errors
def main() -> None:
    """Files to a page."""
    options = parse(ViewOptions, join_up(sys.argv[1:]))
    require_one_process()
    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    shown: list[tuple[Motion, str]] = []
    left_out: list[tuple[str, Mapping[str, object]]] = []
    paths = find(options.files)
    for path in paths:
        try:
            motion = read_in_metres(path, joint_map, options.up, options.unit)
        except UserError as error:
            left_out.append((str(error), error.draft if isinstance(error, UnknownSkeletonError) else {}))
            if len(paths) > 1:
                print(f"left out: {told(error)}", file=sys.stderr)
            continue
        shown.append((motion, motion.text or path.stem))
    tell_left_out(left_out, len(paths), "shown")
    assert options.out is not None
    try:
        save_page(viewer_page(shown, options.title), options.out)
    except OSError as error:
        raise UserError(f"cannot write --out {options.out}: {error.strerror or error}; name another file") from error
    print(options.out)
    if options.open and not webbrowser.open(options.out.resolve().as_uri()):
        print("note: no browser found here; open the page yourself", file=sys.stderr)


if __name__ == "__main__":
    main()
