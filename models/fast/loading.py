"""Networks without random weights, where those of a file will replace them anyway."""

from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FILLS = frozenset((Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_))


class WithoutDraws(TorchFunctionMode):
    """Leaves tensors alone that would be filled with random numbers: drawing takes longer than reading the file."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Call `func`, unless it draws."""
        kwargs = kwargs or {}
        if func in FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
