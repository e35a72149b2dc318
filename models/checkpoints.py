"""Finding the model folder of a training run or of a shipped model."""

import functools
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from lamp.models.hub import CONFIG_FILE, WEIGHTS_FILE, LaMPModel
from lamp.models.model_files import load_weights, read_facts
from lamp.utils.errors import UserError, brief
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
        raise UserError(f"no model {space}; check its name and --dataset_name; {list_runs(space.parent)}")
    raise UserError(f"{space} has no checkpoint '{which}'; there: {', '.join(there) or 'none yet'}")


@functools.cache
def _say_once(line: str) -> None:
    if int(os.environ.get("RANK", 0)) == 0:
        print(line, file=sys.stderr)


def start_from(model: LaMPModel[Any], space: str | Path) -> None:
    """Give a new network the weights of a trained one.

    Args:
        model: of the same sizes; its other settings (dropout, attention) stay its own.
        space: `checkpoints/<dataset>/<name>` of the trained one.

    Raises:
        UserError: there is none, it is another network, or its sizes differ.
    """
    check_network(space, model.kind(), "--start_from")
    load_weights(model, model_folder(space) / WEIGHTS_FILE)


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
    """Saved options of a run; asking for one that is not there is a `UserError` too.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    path = Path(space) / "opt.json"
    if not path.is_file():
        raise UserError(
            f"{path} is missing: no training run (check the name and --dataset_name); {list_runs(path.parent.parent)}"
        )
    values = read_facts(path)
    for key, value in values.items():
        named = key.endswith("_name") or key in ("text_encoder", "clip_source", "sentence_source")
        if named and not isinstance(value, str | None):
            raise UserError(f"{path}: {key} is {brief(repr(value), 40)}, which is no name")
    return _RunOptions(values, path=path)


class _RunOptions(dict[str, Any]):
    """Options of a run by name; one that is not there is the user's to mend."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> NoReturn:
        raise UserError(f"{self._path} has no entry {key}; it is of another kind of run, or of another version")
