"""Tracks what a conversion reads of a public state dict, so that missing and unread tensors are reported."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from lamp.models.hub import LaMPModel
from lamp.utils.errors import UserError

Model = TypeVar("Model", bound=LaMPModel)

LISTED = 4


class TrackedState(dict[str, Tensor]):
    """Public state dict that records which of its tensors were read by `[]`, and which of those read are missing.

    A missing tensor reads as an empty one: a conversion first reads all it needs, then calls `finish`, which reports
    all missing and unread tensors at once.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__(state)
        self.read: set[str] = set()
        self.missing: list[str] = []

    def __getitem__(self, key: str) -> Tensor:
        if key not in self:
            self.missing.append(key)
            return torch.empty(0)
        self.read.add(key)
        value = super().__getitem__(key)
        return value.float() if value.is_floating_point() else value

    def numbers(self, pattern: str) -> list[int]:
        """Sorted numbers that the group of `pattern` has in the keys that match it whole."""
        matches = (re.fullmatch(pattern, key) for key in self)
        return sorted({int(match[1]) for match in matches if match})

    def finish(self, lacks: str, ignore: Sequence[str] = ()) -> None:
        """Check that no tensor is missing and none is unread.

        Args:
            lacks: start of the message, such as "the public weights lack".
            ignore: patterns of keys that are known and not needed.

        Raises:
            UserError: listing the keys.
        """
        known = re.compile("|".join(ignore)) if ignore else None
        left = sorted(key for key in set(self) - self.read if known is None or not known.fullmatch(key))
        parts = [f"{lacks} {listed(dict.fromkeys(self.missing))}"] if self.missing else []
        if left:
            parts.append(f"{'there are also' if parts else 'the file has'} unknown tensors {listed(left)}")
        if parts:
            raise UserError("; ".join(parts))


def listed(keys: Iterable[str]) -> str:
    """Keys as text; of very many the first ones and how many more there are."""
    keys = list(keys)
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more


def build_model(kind: type[Model], config: Any, tensors: Mapping[str, Tensor]) -> Model:
    """A model with converted tensors, in eval mode.

    Raises:
        UserError: a tensor's shape contradicts those that the sizes were taken from, or values are not finite.
    """
    try:
        with torch.device("meta"):
            model = kind(config)
    except ValueError as error:
        raise UserError(f"these weights make no {kind.__name__}: {error}") from error
    expected = model.state_dict()
    wrong = [
        f"{key} {tuple(tensor.shape)} instead of {tuple(expected[key].shape)}"
        for key, tensor in tensors.items()
        if key in expected and tensor.shape != expected[key].shape
    ]
    if wrong:
        raise UserError(f"tensors whose shapes contradict the others: {listed(wrong)}")
    if broken := [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
        raise UserError(f"tensors with values that are not finite: {listed(broken)}")
    model.load_state_dict(tensors, strict=True, assign=True)
    return model.eval()
