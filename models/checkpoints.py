"""Finding the model folder of a training run or of a shipped model."""

import functools
import os
import sys
from pathlib import Path
from typing import Any

from lamp.models.hub import CONFIG_FILE
from lamp.utils.errors import UserError
from lamp.utils.files import read_json
from lamp.utils.litter import standing
from lamp.utils.run.listing import WORDS, list_runs, network_in

BEST = ("fid", "R@1", "cider", "mpjpe", "loss")
"""By which number the best checkpoint of a run is chosen: the first of these that it was measured by."""


def model_folder(space: str | Path, which: str = "best") -> Path:
    """Folder with `config.json` in the space of a run.

    Args:
        space: `checkpoints/<dataset>/<name>`; a shipped model has its files directly in it.
        which: "best" (see `BEST`; which folder that is, is said once on stderr), "latest", or the name of a folder in
            the space.

    Raises:
        UserError: there is none.
    """
    space = Path(space)
    if which == "best":
        others = sorted(space.glob("net_best_*"))
        candidates = [space, *(space / f"net_best_{number}" for number in BEST), *others, space / "latest"]
    else:
        candidates = [space / which]
    for folder in map(standing, candidates):
        if (folder / CONFIG_FILE).is_file():
            if which == "best" and folder != space:
                _say_once(f"best checkpoint of {space}: {folder.name}")
            return folder
    there = _checkpoints(space)
    if not space.is_dir():
        raise UserError(
            f"no model {space}; train it first, or check its name and --dataset_name; {list_runs(space.parent)}"
        )
    raise UserError(f"{space} has no checkpoint '{which}'; there: {', '.join(there) or 'none yet'}")


@functools.cache
def _say_once(line: str) -> None:
    if int(os.environ.get("RANK", 0)) == 0:
        print(line, file=sys.stderr)


def checkpoint_names(space: str | Path, which: str) -> list[str]:
    """What `model_folder` takes: `which` itself, or for "all" the name of every checkpoint in the space of a run.

    A shipped model, whose files lie directly in its space, is its own "best".
    """
    found = _checkpoints(Path(space)) if which == "all" else [which]
    return found or ["best"]


def _checkpoints(space: Path) -> list[str]:
    """Names of the model folders in a space, without what is being written or was left half-written."""
    found = (file.parent.name for file in space.glob(f"*/{CONFIG_FILE}"))
    return sorted(name for name in found if not name.startswith("."))


def check_network(space: str | Path, kind: str, flag: str) -> None:
    """Make sure that a run holds the network that a flag asks for.

    Args:
        space: `checkpoints/<dataset>/<name>`; one that does not exist is left to `model_folder`.
        kind: class of the network.
        flag: that names the run, such as "--res_name".

    Raises:
        UserError: it holds another one.
    """
    space, found = Path(space), network_in(space)
    if found and found != kind:
        raise UserError(
            f"{flag} {space.name} is a run of a {WORDS[found]}, not of a {WORDS[kind]}; {list_runs(space.parent, kind)}"
        )


def read_run_options(space: str | Path) -> dict[str, Any]:
    """Saved options of a run.

    Raises:
        UserError: there are none.
    """
    path = Path(space) / "opt.json"
    if not path.is_file():
        raise UserError(
            f"{path} is missing; {space} is no training run (check the name and --dataset_name); "
            f"{list_runs(path.parent.parent)}"
        )
    return read_json(path)
