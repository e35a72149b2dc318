"""Errors that are the user's to mend: one clear line and exit code 2, never a traceback."""

import functools
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake in the user's input; its message names the file or flag and the remedy."""


def main_with_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a script's ``main`` so that a `UserError` prints one line to stderr and exits with code 2."""

    @functools.wraps(main)
    def wrapped() -> None:
        try:
            main()
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None

    return wrapped
