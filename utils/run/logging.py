"""The log of a run: lines for people on the console and in `logs/train.log`, numbers in `metrics.jsonl`."""

import json
import logging
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lamp.utils.errors import UserError
from lamp.utils.files import atomic_path


class _Console(logging.Handler):
    """Prints above a progress bar rather than through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


class _File(logging.FileHandler):
    """A log file; one that cannot be written (a full disk) is an error, and not a traceback beside the training."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Go on with the error under way."""
        raise


def run_logger(space: str | Path, main: bool = True, name: str = "train") -> logging.Logger:
    """Logger that prints and appends to `<space>/logs/<name>.log`; silent but for errors when not the main process.

    Lines of level DEBUG go to the file only.
    """
    logger = logging.getLogger(f"lamp.{Path(space).resolve()}.{name}")
    logger.propagate = False
    logger.setLevel(logging.DEBUG if main else logging.ERROR)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(_Console(logging.INFO))
    if main:
        path = Path(space) / "logs" / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _File(path, encoding="utf-8", delay=True)
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
        logger.addHandler(file)
    return logger


class Report:
    """The log of an evaluation: lines go to the console, and stamped with what made them to a file that starts anew.

    Attributes:
        stamp: what is put at the end of each line of the file; change it as the evaluation goes on.
    """

    def __init__(self, path: str | Path, stamp: str = "") -> None:
        self.path, self.stamp = Path(path), stamp
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def __call__(self, line: str) -> None:
        """Print and write a line."""
        tqdm.write(line, file=sys.stdout)
        sys.stdout.flush()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}  {self.stamp}".rstrip() + "\n")


class LossWindow:
    """Scalars of the steps since they were last asked for; they stay on the device until then."""

    def __init__(self) -> None:
        """Start empty."""
        self._steps: list[tuple[int, dict[str, Tensor]]] = []

    def __bool__(self) -> bool:
        """Whether there is anything to average."""
        return bool(self._steps)

    def add(self, iteration: int, values: dict[str, Tensor]) -> None:
        """Add what a step of that iteration gave."""
        self._steps.append((iteration, values))

    def means(self, overflows: bool = False) -> dict[str, float]:
        """Mean of each scalar over the steps that had a finite one; empties the window.

        Args:
            overflows: whether a loss may be infinite now and then (fp16, where the gradient scaler skips such steps).

        Raises:
            UserError: a loss was not finite, or with `overflows` none was.
        """
        steps, self._steps = self._steps, []
        keys = dict.fromkeys(key for _, values in steps for key in values)
        columns = [[values[key].float() for _, values in steps if key in values] for key in keys]
        numbers = torch.stack([value for column in columns for value in column]).cpu()
        parts = dict(zip(keys, numbers.split([len(column) for column in columns]), strict=True))
        finite = parts["loss"].isfinite()
        if not (finite.any() if overflows else finite.all()):
            iteration = steps[int(finite.int().argmin())][0]
            remedy = "lower --lr or set --grad_clip; --is_continue goes on from the last saved state"
            raise UserError(f"the loss is not finite at iteration {iteration}; {remedy}")
        return {key: part[part.isfinite()].mean().item() for key, part in parts.items()}


class MetricsRecorder:
    """Numbers over iterations: a line of `metrics.jsonl` and TensorBoard events under `logs/`."""

    def __init__(self, space: str | Path, iteration: int = 0) -> None:
        """Open the records of a run, without what lies after `iteration` (a resumed run writes that again)."""
        from torch.utils.tensorboard import SummaryWriter

        self.path = Path(space) / "metrics.jsonl"
        if self.path.exists():
            rows = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
            with atomic_path(self.path) as aside:
                aside.write_text("".join(row for row in rows if _iteration(row) <= iteration), encoding="utf-8")
        self._writer = SummaryWriter(str(Path(space) / "logs"), purge_step=iteration + 1 if iteration else None)

    def add(self, iteration: int, epoch: int, values: dict[str, float]) -> None:
        """Record `values` by name."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"iteration": iteration, "epoch": epoch, **values}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(name, value, iteration)

    def picture(self, iteration: int, name: str, image: np.ndarray) -> None:
        """Record an image (H, W, 3) uint8 in TensorBoard."""
        self._writer.add_image(name, image, iteration, dataformats="HWC")

    def close(self) -> None:
        """Write what is still held back."""
        self._writer.close()


def _iteration(row: str) -> float:
    """Iteration of a row; a row that a crash cut off counts as never reached."""
    try:
        return json.loads(row)["iteration"]
    except (ValueError, KeyError):
        return float("inf")
