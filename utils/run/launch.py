"""What a launcher (torchrun, accelerate launch) says of the processes it started; it needs no PyTorch."""

import os
import sys
from pathlib import Path

from lamp.utils.errors import UserError


def launched_processes() -> int:
    """Processes that the launcher started together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1))


def require_one_process() -> None:
    """Refuse to run a script several times at once, each copy writing the same files.

    Raises:
        UserError: in the first of several processes; the others end with the same code, silently.
    """
    count = launched_processes()
    if count == 1:
        return
    if int(os.environ.get("RANK", 0)):
        raise SystemExit(2)
    script = Path(sys.argv[0]).name
    raise UserError(f"{script} runs in one process, not {count}; start it by `python {script}`, without a launcher")
