"""Make a library of a folder of motion capture without labels: segments, captions, search by text or motion.

    python index_mocap.py my_captures --out my_library
    python search_mocap.py "someone waves" --library my_library

Long takes are cut where the motion changes, copies are told, every segment gets a caption. `my_library/segments.csv` is
a table of captions to correct; `lamp.prepare.build_dataset --captions` reads it. Started again, only new and changed
files are read, and corrections stay. docs/library.md tells the rest.
"""

import sys

from lamp.library.indexing import index, open_store
from lamp.library.nearest import EXACT, NearestIndex
from lamp.library.reader import MotionReader
from lamp.library.table import TABLE
from lamp.options.files import IndexOptions
from lamp.utils.capture.files import find_motion_files, tell_left_out
from lamp.utils.capture.joint_map import load_joint_map
from lamp.utils.capture.upright import join_up
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process


@main_with_errors
def main() -> None:
    """A folder to a library."""
    options = parse(IndexOptions, join_up(sys.argv[1:]))
    require_one_process()
    find_motion_files(options.folder, "FOLDER")
    joint_map = None if options.joint_map is None else load_joint_map(options.joint_map)
    reader = MotionReader(options.models or None, resolve_device(options.gpu_id))
    store = open_store(options.out, options.folder, reader)
    report = index(store, reader, joint_map, options.up)
    if report.left_out:
        # An older library stays useful whatever new files are like.
        tell_left_out(report.left_out, report.files if len(store) == 0 else report.files + 1, "read")
    vectors = store.array("pooled")
    if len(vectors) > EXACT:
        NearestIndex(options.out / "nearest", vectors).build()
    if report.note:
        print(f"note: {report.note}", file=sys.stderr)
    print(
        f"{options.out}: {report.read} of {report.files} files read, {report.segments} segments, {report.copies} of "
        f"them copies; {report.gone} files changed or gone; captions to correct are in {options.out / TABLE}"
    )


if __name__ == "__main__":
    main()
