"""Finding the model folder of a training run or of a shipped model."""

from pathlib import Path
from typing import Any

from lamp.models.hub import CONFIG_FILE
from lamp.utils.errors import UserError
from lamp.utils.files import read_json


def model_folder(space: str | Path, which: str = "best") -> Path:
    """Folder with `config.json` in the space of a run.

    Args:
        space: `checkpoints/<dataset>/<name>`; a shipped model has its files directly in it.
        which: "best" (the first `net_best_*` folder, so that of FID where it was measured, else `latest`), "latest", or
            the name of a folder in the space.

    Raises:
        UserError: there is none.
    """
    space = Path(space)
    if which == "best":
        candidates = [space, *sorted(space.glob("net_best_*")), space / "latest"]
    else:
        candidates = [space / which]
    for folder in candidates:
        if (folder / CONFIG_FILE).is_file():
            return folder
    there = sorted(f.parent.name for f in space.glob(f"*/{CONFIG_FILE}"))
    if not space.is_dir():
        raise UserError(f"no model {space}; train it first, or check its name and --dataset_name")
    raise UserError(f"{space} has no checkpoint '{which}'; there: {', '.join(there) or 'none yet'}")


def checkpoint_names(space: str | Path, which: str) -> list[str]:
    """What `model_folder` takes: `which` itself, or for "all" the name of every checkpoint in the space of a run.

    A shipped model, whose files lie directly in its space, is its own "best".
    """
    found = sorted(file.parent.name for file in Path(space).glob(f"*/{CONFIG_FILE}")) if which == "all" else [which]
    return found or ["best"]


def read_run_options(space: str | Path) -> dict[str, Any]:
    """Saved options of a run.

    Raises:
        UserError: there are none.
    """
    path = Path(space) / "opt.json"
    if not path.is_file():
        raise UserError(f"{path} is missing; {space} is no training run (check the name and --dataset_name)")
    return read_json(path)
