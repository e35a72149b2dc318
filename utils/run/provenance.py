"""Where a number comes from: digests of files and data, and the commit of the code."""

import hashlib
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from lamp.utils.home import checkout
from lamp.utils.litter import public_name

UNKNOWN_COMMIT = "unknown"


def digest(parts: Iterable[Any]) -> str:
    """Eight hexadecimal digits that change with any of `parts`: strings, or anything that has a buffer."""
    total = hashlib.blake2b(digest_size=4)
    for part in parts:
        total.update(part.encode() if isinstance(part, str) else memoryview(part).cast("B"))
    return total.hexdigest()


def model_identity(folder: str | Path) -> str:
    """Name of a model folder and a digest of its weights, such as `masked@1f3c9a2e`."""
    folder = Path(folder)
    name = public_name(folder.name)
    if name == "latest" or name.startswith(("net_best_", "epoch_")):
        name = f"{folder.parent.name}/{name}"
    return f"{name}@{digest([(folder / 'model.safetensors').read_bytes()])}"


@lru_cache(maxsize=1)
def commit() -> str:
    """Commit of the code, with a plus where files were changed since; "unknown" outside a git checkout."""

    root = checkout()
    if root is None:
        return UNKNOWN_COMMIT

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout

    try:
        changed = any(line for line in git("status", "--porcelain", "--untracked-files=no").splitlines())
        return git("rev-parse", "--short=7", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_COMMIT


def stamp(**sources: str) -> str:
    """What made a number, to be put on every line of a log: `[evaluator ... | data ... | commit ...]`."""
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in {**sources, "commit": commit()}.items()]
    return "[" + " | ".join(parts) + "]"
