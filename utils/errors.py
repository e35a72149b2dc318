"""Errors that are the user's to mend: one clear line and exit code 2, never a traceback."""

import errno
import functools
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from lamp.utils.litter import public_name
from lamp.utils.threads.garbage import leave_at_exit

_DISK = (errno.ENOSPC, errno.EDQUOT)
_TOLD = (*_DISK, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENAMETOOLONG)
"""What the system cannot do for a reason outside the program."""
_FULL = 1 << 20
_WRITERS = ("PytorchStreamWriter failed", "iostream error", " requested and ")
"""How libraries that do not pass on the system's own error say that a file could not be written."""


class UserError(Exception):
    """A mistake in the user's input; its message names the file or flag and the remedy."""


class StepsByHand(UserError):
    """What a person must do where the program cannot: the one kind of message that has several lines."""


LONGEST_MESSAGE = 300
_LONGEST_REMEDY = 140


def told(message: BaseException | str) -> str:
    """A message as it is printed: one line of at most `LONGEST_MESSAGE` characters, its remedy kept.

    Names and paths in it may be of any length; the remedy is what follows the last semicolon.
    """
    if isinstance(message, StepsByHand):
        return str(message)
    text = " ".join(str(message).split())
    if len(text) <= LONGEST_MESSAGE:
        return text
    head, mark, remedy = text.rpartition("; ")
    if not mark or len(remedy) > _LONGEST_REMEDY:
        return f"{text[: LONGEST_MESSAGE - 3]}..."
    return f"{head[: LONGEST_MESSAGE - len(remedy) - 5]}...; {remedy}"


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the name of a file in front of the messages of checks that do not know it.

    Raises:
        UserError: in place of one that does not name `path`.
    """
    try:
        yield
    except UserError as error:
        text = str(error)
        raise UserError(text if str(path) in text else f"{path}: {text}") from error


def brief(error: BaseException | str, longest: int = 160) -> str:
    """What an error of a library says, in one line that is cut where it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= longest else f"{text[:longest]}..."


def is_disk_full(error: BaseException, path: str | Path) -> bool:
    """Whether what failed while `path` was written failed for lack of space."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _DISK
    if not isinstance(error, (OSError, RuntimeError)):
        return False
    folder = next((parent for parent in Path(path).absolute().parents if parent.is_dir()), Path("/"))
    return any(words in str(error) for words in _WRITERS) or shutil.disk_usage(folder).free < _FULL


def disk_full(path: str | Path) -> UserError:
    """The error to raise then."""
    path = Path(*(public_name(part) for part in Path(path).parts))
    return UserError(f"no space is left on the disk for {path}; free some and run the command again")


@contextmanager
def _clean_end() -> Iterator[None]:
    """Let SIGTERM end the process as an error does, so that what is half-written is removed and workers end."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    owner = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a child that was forked has no part in this
            os._exit(128 + number)
        print("terminated", file=sys.stderr)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave_to_main(failed: threading.ExceptHookArgs) -> None:
    """Print the traceback of a thread, but not where a full disk stopped a writer: its owner is told."""
    if not (isinstance(failed.exc_value, OSError) and failed.exc_value.errno in _DISK):
        threading.__excepthook__(failed)


def main_with_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a script's ``main`` so that a mistake prints one line to stderr and exits with code 2.

    That is a `UserError`, a full disk, a file that may not be read or written, or an import of a package that this
    Python does not have.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        leave_at_exit()
        traceback, threading.excepthook = threading.excepthook, _leave_to_main
        try:
            with _clean_end():
                main()
        except UserError as error:
            print(f"error: {told(error)}", file=sys.stderr)
            raise SystemExit(2) from None
        except OSError as error:
            if error.errno not in _TOLD or isinstance(error, (ConnectionError, TimeoutError)):
                raise
            where = f"{error.filename}: " if error.filename else ""
            remedy = "free some and run the command again" if error.errno in _DISK else "name another place"
            print(f"error: {told(f'{where}{os.strerror(error.errno)}; {remedy}')}", file=sys.stderr)
            raise SystemExit(2) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if not package or find_spec(package) is not None:
                raise  # a part of a package that is there: a bug
            from lamp.utils.packages import install_command

            install = f"run {sys.executable} -m {install_command(package)}"
            remedy = f"use the environment's Python (source .venv/bin/activate), or {install}"
            print(f"error: {told(f'{sys.executable} has no package {package}; {remedy}')}", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None
        finally:
            threading.excepthook = traceback

    return wrapped
