"""Reading the files of a model folder with distrust: they may be damaged, cut off, of other sizes or made up.

Nothing is built or allocated before the sizes that `config.json` asks for were compared with those in the weights.
"""

import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from lamp.utils.errors import UserError, brief
from lamp.utils.files import read_json
from lamp.utils.reading import is_finite

Result = TypeVar("Result")
Sizes = dict[str, tuple[int, ...]]

COUNTS = ("num_layers", "depth", "down_t", "num_quantizers", "cross_attention_freq")
"""Entries of a config that count parts of a network; each has a weight of its own at least."""
_SLACK = 1 << 24
"""Numbers that a network may hold beyond those of its file: tables that are computed."""
_SHOWN = 3
_NO_WIDER = (torch.float16, torch.bfloat16, torch.float32)
"""Types whose numbers all are float32's too."""
BROKEN = (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError, OSError)
"""How networks and readers fail on values that they are not made for."""


def read_facts(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        UserError: it does not.
    """
    try:
        values = read_json(path)
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path} is not valid JSON ({brief(error)}); fetch it again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} does not hold an object of names and values; fetch it again")
    return values


def check_meta(meta: Any, path: Path) -> None:
    """Make sure that what a config says about its weights can be used.

    Raises:
        UserError: it cannot.
    """
    names = {"name": str, "digest": str, "dataset": str, "built_on": dict}
    wrong = not isinstance(meta, dict) or any(not isinstance(meta.get(k, kind()), kind) for k, kind in names.items())
    if wrong or not all(isinstance(value, str) for value in meta.get("built_on", {}).values()):
        raise UserError(f"{path}: the entries under meta are not what a model is saved with; fetch it again")


def make_config(kind: type[Result], values: Mapping[str, Any], path: Path) -> Result:
    """A config of the values in `path`.

    Raises:
        UserError: unknown, missing or impossible values.
    """
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(values) - set(hints)):
        raise UserError(f"{path} has unknown entries {_some(unknown)}; it was written by another version")
    for name, value in values.items():
        if not _is_of(value, hints[name]):
            wanted = brief(str(getattr(hints[name], "__name__", hints[name])).replace("typing.", ""), 60)
            raise UserError(f"{path}: {name} is {brief(repr(value), 40)}, which is not of type {wanted}")
    # JSON has no tuples; frozen configs use them for sequences.
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except BROKEN as error:
        raise UserError(f"{path} describes no model ({brief(error)}); fetch it again") from error


def read_sizes(path: Path) -> Sizes:
    """Shape of each weight in a file, without reading the weights.

    Raises:
        UserError: it is no file of weights.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} cannot be read ({brief(error)}); fetch or train it again") from error


def check_sizes(build: Callable[[], nn.Module], config: Any, sizes: Sizes, folder: tuple[Path, Path]) -> None:
    """Make sure that a network is as large as its weights, before memory is asked for.

    Args:
        build: makes the network; called where tensors have shapes only.
        config: of the network.
        sizes: shape of each weight in the file.
        folder: the files of config and weights.

    Raises:
        UserError: it is not.
    """
    path, weights = folder
    for name in COUNTS:
        if getattr(config, name, 0) > len(sizes):
            raise UserError(f"{path}: {name} {getattr(config, name)} is more than {weights.name} has weights")
    try:
        with torch.device("meta"):
            network = build()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (*BROKEN, MemoryError, RecursionError) as error:
        raise UserError(f"{path} describes no model ({brief(error)}); fetch it again") from error
    held = sum(math.prod(shape) for shape in sizes.values())
    if sum(part.numel() for part in (*network.parameters(), *network.buffers())) > 4 * held + _SLACK:
        raise UserError(f"{path} describes a model that is much larger than {weights.name}; fetch both again")
    wanted = {name: tuple(value.shape) for name, value in nn.Module.state_dict(network).items()}
    wrong = [name for name, shape in wanted.items() if sizes.get(name, shape) != shape]
    other = [f"{name} {list(sizes[name])} for {list(wanted[name])}" for name in wrong]
    if other:
        raise UserError(f"{weights} does not fit its {path.name}: weights of other sizes: {_some(other)}")


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a file of weights strictly; parameters keep their own type, whatever that of the file.

    Raises:
        UserError: it is damaged, lacks weights or has others, or some are not numbers.
    """
    try:
        state = load_file(path)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise UserError(f"{path} cannot be read ({brief(error)}); fetch or train it again") from error
    if broken := [name for name, value in state.items() if not _is_finite(value)]:
        raise UserError(f"{path} holds weights that are NaN or infinite ({_some(broken)}); fetch or train it again")
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        known = set(nn.Module.state_dict(model))
        lacks, extra = sorted(known - set(state)), sorted(set(state) - known)
        found = [f"lacks {_some(lacks)}" if lacks else "", f"has besides {_some(extra)}" if extra else ""]
        reason = "; ".join(filter(None, found)) or brief(error)
        raise UserError(f"{path} does not fit its config.json: it {reason}") from error


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or not value.numel():
        return True
    narrow = value if value.dtype in _NO_WIDER else value.float()
    # A NaN becomes both, an infinity one of them: for that, `isfinite` takes ten times as long.
    return all(math.isfinite(extreme) for extreme in narrow.aminmax())


def _some(names: list[str]) -> str:
    """The first few of many, and how many there are."""
    first = ", ".join(brief(name, 60) for name in names[:_SHOWN])
    return first if len(names) <= _SHOWN else f"{first} and {len(names) - _SHOWN} more"


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value of a JSON file is of a field's type."""
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, option) for option in typing.get_args(hint))
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in typing.get_args(hint))
    if origin is tuple:
        return isinstance(value, (list, tuple)) and all(_is_of(item, typing.get_args(hint)[0]) for item in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint if origin is None else origin)
