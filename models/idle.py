"""Parameters that a loss does not depend on: several processes wait for the gradient of every trained parameter."""

from collections.abc import Hashable, Iterable

import torch
from torch import Tensor, nn


def unreached(loss: Tensor, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those of the trained parameters that have no part in the graph of a loss."""
    waiting, seen, reached = [loss.grad_fn], set(), {id(loss)}
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        reached.add(id(getattr(node, "variable", None)))
        waiting += [following for following, _ in node.next_functions]
    return [parameter for parameter in parameters if parameter.requires_grad and id(parameter) not in reached]


def with_zero_gradient(loss: Tensor, parameters: Iterable[nn.Parameter]) -> Tensor:
    """The loss, with parameters in its graph whose gradient then is zero."""
    idle = [parameter.flatten()[:1] for parameter in parameters]
    return loss + 0 * torch.cat(idle).sum() if idle else loss


class Idle:
    """Parameters that have no part in a loss that is computed in several ways, by way; found at the first of each."""

    def __init__(self) -> None:
        self._known: dict[Hashable, list[nn.Parameter]] = {}

    def join(self, loss: Tensor, way: Hashable, parameters: Iterable[nn.Parameter]) -> Tensor:
        """The loss with those that it does not depend on in its graph."""
        if not loss.requires_grad:
            return loss
        if way not in self._known:
            self._known[way] = unreached(loss, parameters)
        return with_zero_gradient(loss, self._known[way])

    def freeze(self) -> None:
        """Take the gradients from those found so far, and forget them."""
        for parameters in self._known.values():
            for parameter in parameters:
                parameter.requires_grad_(False)
        self._known.clear()
