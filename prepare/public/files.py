"""Reading the files of public systems: checkpoints without running anything in them, `opt.txt`, `meta/`."""

import argparse
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamp.utils.cli import read_opt_txt
from lamp.utils.errors import UserError, brief
from lamp.utils.files import files_below
from lamp.utils.reading import read_npy

STATISTICS = (("mean.npy", "Mean.npy"), ("std.npy", "Std.npy"))
DEEPEST = 3
_OPTION_KEYS = ("config", "opt", "args", "hparams")


@dataclass(frozen=True)
class CheckpointFile:
    """What a checkpoint holds.

    Attributes:
        path: the file.
        states: state dicts by their place in the file ("" for the file itself), optimizers left out.
        options: options stored in the file.
        facts: numbers beside the weights: epoch, iteration.
    """

    path: Path
    states: dict[str, dict[str, Tensor]]
    options: dict[str, Any]
    facts: dict[str, float]

    @property
    def space(self) -> Path:
        """Folder of the public run, which has `opt.txt`, `meta/` and the checkpoint itself or in `model/`."""
        folder = self.path.parent
        return folder.parent if folder.name == "model" else folder


def read_checkpoint(path: str | Path) -> CheckpointFile:
    """Read a `.tar`, `.pth` or `.pt` file of torch; classes that are not plain data are refused, never run.

    Raises:
        UserError: there is no such file, or it is no checkpoint, cut off, or holds foreign classes or no weights.
    """
    path = Path(path)
    if path.is_dir():
        inside = [file.relative_to(path).as_posix() for file in files_below(path, ".tar", ".pth", ".pt")]
        raise UserError(f"{path} is a folder; name a file of it: {', '.join(inside[:3]) or 'there is no checkpoint'}")
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    content = _load(path)
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not a checkpoint with named weights")
    states: dict[str, dict[str, Tensor]] = {}
    _collect("", content, states)
    if not states:
        raise UserError(f"{path} holds no weights; there are only {', '.join(map(str, content)) or 'no entries'}")
    options: dict[str, Any] = {}
    for key in _OPTION_KEYS:
        value = content.get(key)
        options |= vars(value) if isinstance(value, argparse.Namespace) else dict(_plain(value))
    facts = {str(key): number for key, value in content.items() if (number := _number(value)) is not None}
    return CheckpointFile(path, states, options, facts)


def read_options(file: CheckpointFile, opt: Path | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Public options: the file's own, then those of `opt.txt` (beside the checkpoint by default), then the flags.

    Raises:
        UserError: the named file is missing or cannot be read.
    """
    path = file.space / "opt.txt" if opt is None else opt
    options = dict(file.options)
    if path.is_file():
        try:
            options |= read_opt_txt(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as an opt.txt: {error}") from error
    elif opt is not None:
        raise UserError(f"--opt {opt}: there is no such file")
    return options | {key: value for key, value in flags.items() if value is not None}


def read_statistics(folder: Path, width: int) -> tuple[Tensor, Tensor] | None:
    """Mean and std (width,) from `mean.npy` and `std.npy` (or HumanML3D's `Mean.npy`, `Std.npy`) of a folder.

    Returns:
        None if one of them is not there.

    Raises:
        UserError: they are broken or of another width.
    """
    values = []
    for names in STATISTICS:
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            return None
        try:
            value = read_npy(path)
        except (UserError, OSError) as error:
            raise UserError(f"{path} is no array of numbers ({brief(error)})") from error
        if value.shape != (width,) or not np.issubdtype(value.dtype, np.floating) or not np.isfinite(value).all():
            raise UserError(f"{path}: {width} finite numbers are needed, not {value.dtype} of shape {value.shape}")
        values.append(torch.from_numpy(value).float())
    if (values[1] <= 0).any():
        raise UserError(f"{folder}: a standard deviation is not above 0")
    return values[0], values[1]


class _Bounded(io.BufferedReader):
    """A file of which no more is asked than it has: readers of pickles believe the lengths that stand there."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; all that are left for None or a negative number."""
        left = max(self._size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


def _load(path: Path) -> Any:
    torch.serialization.add_safe_globals(_harmless())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _Bounded(path) as file:
                return torch.load(path if zipfile.is_zipfile(path) else file, map_location="cpu", weights_only=True)
    # Hostile or broken bytes can make the reader fail in any way; whatever it is, it is the file's fault.
    except Exception as error:
        # What is before it is the library's advice to run the file's code.
        reason = " ".join(str(error).rpartition("WeightsUnpickler error:")[2].split())
        if foreign := re.search(r"GLOBAL ([\w.]+\w)", reason):
            raise UserError(
                f"{path} holds more than weights ({foreign[1]}) and was not read, for that could run code; "
                "save its state dict by itself"
            ) from error
        short = re.split(r"\. | Check ", reason)[0][:100]
        why = f"{type(error).__name__}: {short}" if short else type(error).__name__
        raise UserError(f"{path} is no checkpoint of torch, or it is cut off ({why}); fetch it again") from error


def _harmless() -> list[Any]:
    """Classes of plain data that checkpoints come with beside tensors: option namespaces and numpy's numbers."""
    scalar = np.float64(0).__reduce__()[0]
    assert callable(scalar)
    numbers = [np.dtype, *{type(np.dtype(code)) for code in ("?", *np.typecodes["AllInteger"], *np.typecodes["Float"])}]
    # The function's module was renamed in numpy 2; files have either name.
    aliases = [_renamed(scalar, module) for module in ("numpy.core.multiarray", "numpy._core.multiarray")]
    return [argparse.Namespace, *numbers, *aliases]


def _renamed(function: Callable[..., Any], module: str) -> Callable[..., Any]:
    def renamed(*arguments: Any) -> Any:
        return function(*arguments)

    renamed.__module__, renamed.__name__, renamed.__qualname__ = module, function.__name__, function.__name__
    return renamed


def _collect(place: str, content: Mapping[Any, Any], states: dict[str, dict[str, Tensor]], depth: int = 0) -> None:
    """Find the state dicts of nested dicts; numbers that are tensors make no state dict, and optimizers are none."""
    if "param_groups" in content or depth > DEEPEST:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if any(tensor.dim() for tensor in tensors.values()):
        states[place] = _unwrapped(tensors, place)
    for key, value in content.items():
        if isinstance(value, Mapping):
            _collect(f"{place}.{key}" if place else str(key), value, states, depth + 1)


def _unwrapped(tensors: dict[str, Tensor], place: str) -> dict[str, Tensor]:
    """Weights without what several GPUs (`module.` before all) and PyTorch's compiler (`_orig_mod.`) put into names.

    Raises:
        UserError: two names become one.
    """
    plain = {key: re.sub(r"(?<![^.])_orig_mod\.", "", key) for key in tensors}
    wrapped = all(name.startswith("module.") for name in plain.values())
    result = {name.removeprefix("module.") if wrapped else name: tensors[key] for key, name in plain.items()}
    if len(result) < len(tensors):
        raise UserError(f"weights {place or 'of the file'} are there twice, with and without _orig_mod.; save one copy")
    return result


def _plain(value: Any) -> Mapping[str, Any]:
    """A dict of options, or nothing."""
    if not isinstance(value, Mapping):
        return {}
    return {key: item for key, item in value.items() if isinstance(key, str) and not isinstance(item, Tensor)}


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor):
        return value.item() if value.dim() == 0 else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
