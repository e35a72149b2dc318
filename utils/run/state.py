"""The state of a training run, which resuming needs: `<space>/state/<number>`, the newest two of them."""

import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.utils.errors import UserError, brief, disk_full, is_disk_full
from lamp.utils.files import flush_tree, read_json, write_json
from lamp.utils.litter import sweep
from lamp.utils.run import provenance
from lamp.utils.run.runs import ANIMATIONS, RunLock

if TYPE_CHECKING:  # of the extra `train`: a script says in one line that it is missing
    from accelerate import Accelerator

BEGUN_FILE = ".begun"
"""Says that a run has not saved its first state yet."""
CONTENTS_FILE = "contents.json"
"""In the folder of a state: size and digest of each of its files."""
UNFINISHED = ".unfinished"
"""Folder of the state that is being written."""


def enter_space(space: Path, is_continue: bool, overwrite: bool) -> tuple[RunLock | None, Path | None]:
    """Lock the space of a run and find the state to resume from.

    Returns:
        The lock, of the first process only, and what `find_state` gives.

    Raises:
        UserError: another run is there, or the options do not fit what is.
    """
    lock = RunLock(space) if int(os.environ.get("RANK", 0)) == 0 else None
    try:
        if lock:
            tidy_space(space)
        return lock, find_state(space, is_continue, overwrite)
    except BaseException:
        if lock:
            lock.release()
        raise


def find_state(space: Path, is_continue: bool, overwrite: bool) -> Path | None:
    """Newest folder `<space>/state/<number>` to resume from that is complete and undamaged; None to start anew.

    A run that was killed before its first state was saved has nothing to go on from: it starts anew.

    Raises:
        UserError: there is nothing to resume, or there is a run that is neither to be resumed nor overwritten.
    """
    found = _numbered(space)
    if is_continue:
        damages: list[str] = []
        for folder in found:
            damage = find_damage(folder)
            if damage is None:
                if damages:
                    _say(f"warning: {damages[0]}; resuming from the state before, {folder}")
                return folder
            damages.append(f"{folder} cannot be used ({damage})")
        if damages:
            raise UserError(f"--is_continue: {damages[0]}, and there is no other state; start anew by --overwrite")
        if (space / BEGUN_FILE).exists():
            _say(f"note: {space} had not saved a state yet; starting from the beginning")
            return None
        raise UserError(f"--is_continue: {space} holds no state to resume; check --name, or leave the flag out")
    if not overwrite and (found or any(space.glob("latest")) or any(space.glob("net_best_*"))):
        remedy = "resume it by --is_continue, replace it by --overwrite, or take another --name"
        raise UserError(f"{space} holds a run already; {remedy}")
    return None


def newest_number(space: Path) -> int:
    """Number of the newest state in a space, damaged or not; 0 if there is none."""
    return max((int(folder.name) for folder in _numbered(space)), default=0)


def clear_run(space: Path) -> None:
    """Remove what an earlier run left in the space."""
    kept = [folder for pattern in ("net_best_*", "epoch_*") for folder in space.glob(pattern)]
    for folder in [space / "state", space / "latest", space / "logs", space / ANIMATIONS, *kept]:
        if folder.exists():
            shutil.rmtree(folder)
    for name in ("metrics.jsonl", BEGUN_FILE):
        (space / name).unlink(missing_ok=True)


def tidy_space(space: Path) -> None:
    """Remove what killed runs left unfinished in a space, and put back what they were just replacing.

    Only for who holds the space's lock.
    """
    for path in space.glob(".*"):  # as versions before named them
        if re.fullmatch(r"\.(latest|net_best_.+|epoch_\d+)\.[0-9a-f]{8}(\.old)?", path.name):
            target = space / path.name[1:].removesuffix(".old")[:-9]
            if path.name.endswith(".old") and not target.exists():
                os.replace(path, target)
            else:
                shutil.rmtree(path, ignore_errors=True)
    sweep(space)
    shutil.rmtree(space / "state" / UNFINISHED, ignore_errors=True)


def save_state(accelerator: "Accelerator", space: Path, number: int, keep: Path | None) -> Path:
    """Write the state of that number; all processes call it.

    Args:
        accelerator: knows what belongs to the state.
        space: of the run.
        number: of the state, higher than those before.
        keep: the state that the run was last saved in or resumed from. It stays, to resume from if the new one turns
            out to be damaged; all others go, before space is needed for the new one.

    Returns:
        Its folder.

    Raises:
        UserError: the disk is full.
    """
    aside, final = space / "state" / UNFINISHED, space / "state" / str(number)
    main = accelerator.is_main_process
    if main:
        for folder in (space / "state").glob("*"):
            if folder != keep:
                shutil.rmtree(folder)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(aside), safe_serialization=False)
        accelerator.wait_for_everyone()
        if main:
            write_json(aside / CONTENTS_FILE, {path.name: _facts(path) for path in sorted(aside.iterdir())})
            flush_tree(aside)
            os.replace(aside, final)
            flush_tree(final.parent)
            (space / BEGUN_FILE).unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        if is_disk_full(error, aside):
            raise disk_full(aside.parent) from error
        raise
    finally:
        if main:
            shutil.rmtree(aside, ignore_errors=True)
    return final


def load_state(accelerator: "Accelerator", space: Path, folder: Path) -> None:
    """Load a state; all processes call it.

    Raises:
        UserError: it is of another model, or cannot be read.
    """
    try:
        accelerator.load_state(str(folder))
    except (RuntimeError, ValueError, KeyError, TypeError, OSError, EOFError) as error:
        remedy = f"resume with the options of {space / 'opt.json'}"
        raise UserError(f"{folder} does not fit this model; {remedy}: {brief(error)}") from error


def find_damage(folder: Path) -> str | None:
    """What is wrong with the files of a state; None if they are as they were written."""
    contents = folder / CONTENTS_FILE
    if not contents.is_file():  # saved by a version that did not note them
        files = [*folder.glob("*.bin"), *folder.glob("*.pkl")]
        cut = [path.name for path in files if not zipfile.is_zipfile(path)]
        return f"{cut[0]} is damaged" if cut else None if files else "it is empty"
    try:
        noted = read_json(contents)
        for name, (size, digest) in noted.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes of {size}"
            if _facts(path)[1] != digest:
                return f"{name} is damaged"
    except (OSError, ValueError, TypeError, AttributeError):
        return f"{CONTENTS_FILE} is damaged"
    return None


def _facts(path: Path) -> tuple[int, str]:
    """Size and digest of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, provenance.digest(iter(lambda: file.read(1 << 22), b""))


def _numbered(space: Path) -> list[Path]:
    """Folders of states, newest first."""
    found = [folder for folder in (space / "state").glob("*") if folder.name.isdigit()]
    return sorted(found, key=lambda folder: int(folder.name), reverse=True)


def _say(line: str) -> None:
    if int(os.environ.get("RANK", 0)) == 0:
        print(line, file=sys.stderr)
