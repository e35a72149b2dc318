"""Where the code and the models that ship with it lie: a checkout, or a folder that `LAMP_HOME` names."""

import os
from pathlib import Path

from lamp.utils.errors import UserError

MODELS = Path("checkpoints", "mini")
"""Place of the shipped models in a checkout."""
_ROOT = Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """The repository this code runs from, or None for an installed wheel."""
    return _ROOT if (_ROOT / "gen_t2m.py").is_file() and (_ROOT / "pyproject.toml").is_file() else None


def shipped_models() -> Path:
    """Folder of the models that are used when none are named.

    `LAMP_HOME`, which is such a folder or holds `checkpoints/mini`, comes first; then the checkout that this code runs
    from, then one in the working folder.

    Raises:
        UserError: there are none.
    """
    home = os.environ.get("LAMP_HOME")
    if home:
        places = [Path(home) / MODELS, Path(home)]
    else:
        places = [root / MODELS for root in (checkout(), Path.cwd()) if root is not None]
    for place in places:
        if (place / "tokenizer").is_dir():
            return place
    if home:
        raise UserError(f"LAMP_HOME is {home}, which has no models (a folder with tokenizer, lamp, masked, ...)")
    raise UserError(
        "an installed LaMP brings no models: name a folder or hub id (--models, from_pretrained), or set LAMP_HOME to "
        "checkpoints/mini of a clone of the repository"
    )
