"""PyTorch's compiler, for models that are trained."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from lamp.utils.errors import UserError

VARIANTS = 64
COMPILERS = ("g++", "clang++", "c++", "cl")


def compile_in_place(model: nn.Module, mode: str) -> None:
    """Let calls of `model` run compiled; its parameters, methods and files stay as they are.

    Args:
        model: what is trained.
        mode: "default" fuses kernels; "reduce-overhead" also records CUDA graphs.

    Raises:
        UserError: no C++ compiler is installed, without which there is nothing to compile with.
    """
    _prepare()
    model.compile(mode=mode)


def compiled(function: Callable[..., Any], mode: str) -> Callable[..., Any]:
    """`function` compiled; with mode "no" as it is.

    Raises:
        UserError: no C++ compiler is installed.
    """
    if mode == "no":
        return function
    _prepare()
    return torch.compile(function, mode=mode)


def uncompiled(mode: str) -> AbstractContextManager[object]:
    """Context in which nothing runs compiled: for sizes that are seen too seldom to be worth compiling for.

    Without effect before PyTorch 2.6, and with mode "no".
    """
    if mode == "no" or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _prepare() -> None:
    """Check that there is a compiler, and set PyTorch's up.

    Raises:
        UserError: there is none.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS)):
        raise UserError(
            f"--compile needs a C++ compiler ({', '.join(COMPILERS)}); install one, for instance by "
            "apt install g++, name it in CXX, or leave --compile away"
        )
    import torch._dynamo

    # Alike layers share their code and so the number of variants, of which the default of eight is too few for LaMP.
    torch._dynamo.config.cache_size_limit = VARIANTS
