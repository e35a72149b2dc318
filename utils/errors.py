"""Errors that are the user's to mend: one clear line and exit code 2, never a traceback."""

import functools
import sys
from collections.abc import Callable
from importlib.util import find_spec


class UserError(Exception):
    """A mistake in the user's input; its message names the file or flag and the remedy."""


def main_with_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a script's ``main`` so that a mistake prints one line to stderr and exits with code 2.

    That is a `UserError`, or an import of a package that this Python does not have.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            main()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if not package or find_spec(package) is not None:
                raise  # a part of a package that is there: a bug
            from lamp.utils.packages import install_command

            remedy = f"use the environment's Python, or run {sys.executable} -m {install_command(package)}"
            print(f"error: {sys.executable} has no package {package}; {remedy}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None

    return wrapped
