"""Finding the model folder of a training run or of a shipped model."""

from pathlib import Path

from models.hub import CONFIG_FILE
from utils.errors import UserError


def model_folder(space: str | Path, which: str = "best") -> Path:
    """Folder with `config.json` in the space of a run.

    Args:
        space: `checkpoints/<dataset>/<name>`; a shipped model has its files directly in it.
        which: "best" (a `best_*` folder, else `latest`), "latest", or the name of a folder in the space.

    Raises:
        UserError: there is none.
    """
    space = Path(space)
    if which == "best":
        candidates = [space, *sorted(space.glob("best_*")), space / "latest"]
    else:
        candidates = [space / which]
    for folder in candidates:
        if (folder / CONFIG_FILE).is_file():
            return folder
    there = sorted(f.parent.name for f in space.glob(f"*/{CONFIG_FILE}"))
    if not space.is_dir():
        raise UserError(f"no model {space}; train it first, or check its name and --dataset_name")
    raise UserError(f"{space} has no checkpoint '{which}'; there: {', '.join(there) or 'none yet'}")
