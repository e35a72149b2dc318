"""What a training run keeps in its space, and how it is asked to stop."""

import dataclasses
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from lamp.utils.cli import Dataclass
from lamp.utils.errors import UserError


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
    """

    epoch: int = 0
    batch: int = 0
    iteration: int = 0
    seconds: float = 0.0
    best: dict[str, float] = dataclasses.field(default_factory=dict)
    finished: bool = False

    def state_dict(self) -> dict[str, Any]:
        """Values to save."""
        return dataclasses.asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over saved values."""
        self.__dict__.update(state)


def find_state(space: Path, is_continue: bool, overwrite: bool) -> Path | None:
    """Newest complete folder `<space>/state/<number>` to resume from; None to start anew.

    Raises:
        UserError: there is nothing to resume, or there is a run that is neither to be resumed nor overwritten.
    """
    found = [folder for folder in (space / "state").glob("*") if folder.name.isdigit()]
    if is_continue:
        if not found:
            raise UserError(f"--is_continue: {space} holds no state to resume; check --name, or leave the flag out")
        return max(found, key=lambda folder: int(folder.name))
    if not overwrite and (found or any(space.glob("latest")) or any(space.glob("net_best_*"))):
        remedy = "resume it by --is_continue, replace it by --overwrite, or take another --name"
        raise UserError(f"{space} holds a run already; {remedy}")
    return None


def clear_run(space: Path) -> None:
    """Remove what an earlier run left in the space."""
    kept = [folder for pattern in ("net_best_*", "epoch_*") for folder in space.glob(pattern)]
    for folder in [space / "state", space / "latest", space / "logs", *kept]:
        if folder.exists():
            shutil.rmtree(folder)
    (space / "metrics.jsonl").unlink(missing_ok=True)


def replace_state(aside: Path, number: int) -> None:
    """Make the complete `<space>/state/<aside>` the state of that number, then remove those before it."""
    final = aside.with_name(str(number))
    os.replace(aside, final)
    for old in final.parent.iterdir():
        if old != final:
            shutil.rmtree(old)


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
