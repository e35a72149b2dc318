"""What a training run is asked for, how far it is, who has its space, and how it is told to stop."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

import numpy as np

from lamp.utils.cli import Dataclass
from lamp.utils.errors import UserError

LOCK_FILE = ".running"
ANIMATIONS = "animations"
"""Folder of a space with what `Animation` writes, a folder for each iteration."""
_TAKEN: set[Path] = set()
"""Spaces of this process's runs: the system's locks keep processes apart, but not two runs of one."""


class RunOptions(Dataclass, Protocol):
    """What the training loop wants to know of a run; `lamp.options.common.TrainOptions` says what each is."""

    name: str
    dataset_name: str
    gpu_id: int | None
    seed: int
    batch_size: int
    max_epoch: int
    max_iter: int
    max_minutes: float
    grad_clip: float
    gradient_accumulation_steps: int
    ema_decay: float
    mixed_precision: Literal["no", "bf16", "fp16"]
    compile: Literal["no", "default", "reduce-overhead"]
    log_every: int
    save_latest: int
    save_every_e: int
    eval_every_e: int
    eval_iter: int
    is_continue: bool
    overwrite: bool

    @property
    def space(self) -> Path:
        """Folder of the run."""
        ...


Shown = TypeVar("Shown", contravariant=True)
Gives = TypeVar("Gives", covariant=True)


class Batches(Protocol[Gives]):
    """The batches of an epoch, anew each time it is iterated, with a length."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Gives]: ...


def start_of(loader: Any, processes: int) -> Callable[[int], None] | None:
    """What begins the next iteration of a torch DataLoader at a batch of each process, without drawing those before it.

    Its sampler's `start_at(sample)` does, which promises that batches depend on their indices alone; None without one.
    """
    start = getattr(loader.sampler, "start_at", None)
    # Without drop_last, several processes fill up the last batch with the first ones, which must be seen for that.
    if start is None or loader.batch_size is None or not (loader.drop_last or processes == 1):
        return None
    samples = loader.batch_size * processes
    return lambda batch: start(batch * samples)


class Animation(Protocol[Shown]):
    """What shows people how far a model is; the same motions each time, and it draws nothing that training draws.

    Attributes:
        every: epochs between two times, 1 at least; it is also shown at the end of training.
    """

    every: int

    def __call__(self, model: Shown, folder: Path, heading: str) -> np.ndarray:
        """Write files into a folder, for a model in eval mode; gives an image (H, W, 3) uint8 for TensorBoard."""
        ...


@dataclasses.dataclass
class Progress:
    """How far a run is; saved with its state.

    Attributes:
        epoch: epochs done.
        batch: batches done of the epoch under way.
        iteration: updates of the weights done.
        seconds: time spent, over all the times it was resumed.
        best: best value so far of each number in the Trainer's `best`.
        finished: whether training ended by itself, that is, was not interrupted.
        evaluated: iteration of the last evaluation.
    """

    epoch: int = 0
    batch: int = 0
    iteration: int = 0
    seconds: float = 0.0
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    finished: bool = False
    evaluated: int = -1

    def state_dict(self) -> dict[str, Any]:
        """Values to save."""
        return dataclasses.asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved values."""
        self.__dict__.update(state)
        if "evaluated" not in state and self.finished:  # saved by a version before this entry
            self.evaluated = self.iteration


class RunLock:
    """Keeps others out of a space as long as this process lives or until `release`, also when it is killed."""

    def __init__(self, space: Path) -> None:
        """Lock a space, which is made if need be.

        Raises:
            UserError: another run has it.
        """
        self._made = not space.exists()
        space.mkdir(parents=True, exist_ok=True)
        self._path = (space / LOCK_FILE).resolve()
        self._file: BinaryIO | None = None
        self._owner = os.getpid()
        if self._path in _TAKEN:  # opening the file here would already undo the lock
            raise _in_use(space, "of this process")
        while self._file is None:
            file = self._path.open("ab+", buffering=0)
            if not _lock(file):
                holder = _holder(file)
                file.close()
                raise _in_use(space, holder)
            # The one who held it may have removed the file since it was opened.
            if self._path.exists() and os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                self._file = file
            else:
                file.close()
        _TAKEN.add(self._path)
        facts = {"process": os.getpid(), "machine": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError):  # a full disk is told where it matters
            self._file.truncate(0)
            self._file.write(json.dumps(facts).encode())

    def release(self) -> None:
        """Let others in; also when done already."""
        if self._file is not None and self._owner == os.getpid():  # not in a worker, which has a copy of this
            with contextlib.suppress(OSError):  # Windows does not remove open files; the next run takes it over
                self._path.unlink(missing_ok=True)
                if self._made and not any(self._path.parent.iterdir()):  # a mistaken name leaves nothing behind
                    self._path.parent.rmdir()
            self._file.close()
            self._file = None
            _TAKEN.discard(self._path)

    def __del__(self) -> None:
        """A run that is given up without having trained."""
        if getattr(self, "_file", None) is not None:
            self.release()


def _in_use(space: Path, holder: str) -> UserError:
    remedy = "stop it, wait for it, or take another --name"
    return UserError(f"{space} is in use by another training run ({holder}); {remedy}")


def _lock(file: BinaryIO) -> bool:
    """Lock an open file for this process; False if another one has it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(1 << 20)  # far beyond the text, which others may read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            # Not flock, which workers of a data loader inherit and keep for a while after their parent was killed.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _holder(file: BinaryIO) -> str:
    """Who holds a lock, for a message."""
    try:
        file.seek(0)
        facts = json.load(file)
        return f"process {facts['process']} on {facts['machine']}, since {facts['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "which has just begun"


@contextmanager
def stop_signals(report: Callable[[str], None]) -> Iterator[None]:
    """Report Ctrl-C and SIGTERM rather than end the process; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner, seen = os.getpid(), []

    def handle(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a worker of the data loader, which inherits the handler
            if number == signal.SIGTERM:
                os._exit(1)
            return
        if number == signal.SIGINT and number in seen:
            raise KeyboardInterrupt
        seen.append(number)
        report(f"interrupted by {signal.Signals(number).name}")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
