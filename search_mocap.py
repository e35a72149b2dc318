"""Search a library of motion by a sentence or by a motion.

    python search_mocap.py "someone waves" --library my_library
    python search_mocap.py wave.bvh --library my_library --count 5 --json

`index_mocap.py` makes libraries. Answers name file and seconds, the best first, with the cosine of LaMP's embeddings
and the caption. What looks like the path of a motion file (.bvh, .amc, .npy, .npz) is read as one.
"""

import json
from dataclasses import asdict
from pathlib import Path

from lamp.library.reader import MotionReader
from lamp.library.search import Library, lines
from lamp.library.store import Store
from lamp.options.files import SearchOptions
from lamp.utils.capture.files import MOTION_SUFFIXES, find_motion_files, read_motion
from lamp.utils.cli import parse
from lamp.utils.errors import main_with_errors
from lamp.utils.motion import Motion
from lamp.utils.run.device import resolve_device
from lamp.utils.run.launch import require_one_process


def asked(query: str) -> str | Motion:
    """The sentence, or the motion of the file that it names.

    Raises:
        UserError: there is no such file, or it holds no motion.
    """
    path = Path(query)
    if path.suffix.lower() not in MOTION_SUFFIXES:
        return query
    find_motion_files(path, "QUERY")
    return read_motion(path)


@main_with_errors
def main() -> None:
    """A query to answers."""
    options = parse(SearchOptions)
    require_one_process()
    query, store = asked(options.query), Store(options.library)
    library = Library(store, MotionReader(options.models or None, resolve_device(options.gpu_id)))
    answers = library.search(query, options.count)
    if options.json:
        found = [asdict(answer) | {"path": str(library.source / answer.file)} for answer in answers]
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines(answers) or ["the library has no segments"]))


if __name__ == "__main__":
    main()
