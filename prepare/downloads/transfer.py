"""Fetching one file over HTTP: goes on where a broken transfer stopped, repeats with growing waits, shows progress.

A transfer is kept as `<name>.part` with `<name>.part.json` (what the server called this version of the file) until it
is complete, so that an interrupted command goes on when it is run again (HTTP Range, RFC 9110 section 14).
"""

import errno
import hashlib
import http.client
import os
import re
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lamp.prepare.downloads.open import HostError, LinkError, open_file
from lamp.utils.errors import UserError
from lamp.utils.files import read_json, write_json

_CHUNK = 1 << 18
_LASTING_ANSWERS = (401, 403, 404, 410)


@dataclass(frozen=True)
class Patience:
    """How long to insist."""

    attempts: int = 5
    """Failures in a row, without a new byte between them."""
    lasting_attempts: int = 3
    """The same for what repeating seldom changes: 404, no such server."""
    first_wait: float = 1.0
    longest_wait: float = 30.0
    timeout: float = 20.0
    """Seconds without a byte."""


def fetch(url: str, path: Path, patience: Patience, *, sha256: str = "", label: str = "") -> None:
    """Download a file; a former transfer of the same address is continued.

    Args:
        url: what to fetch.
        path: where the complete file goes; it appears only when it is complete and its checksum is right.
        patience: retries and waits.
        sha256: checksum, if one is known.
        label: name in front of the progress bar.

    Raises:
        LinkError: the address does not give the file.
        UserError: the disk is full or not writable.
    """
    part = _part_of(path, url)
    for last_try in (False, True):
        continued = part.exists()
        try:
            _insist(url, part, patience, label or path.name)
        except KeyboardInterrupt:
            print(f"\n{path.name}: {_size(part) / 1e6:.1f} MB are kept; run the same command to go on", flush=True)
            raise
        if not sha256 or file_sha256(part) == sha256:
            break
        _discard(part)
        # Two versions of a file glued together are the likely cause after a continued transfer.
        if last_try or not continued:
            raise LinkError("gives a file with another checksum than the published one")
    os.replace(part, path)
    _state_of(part).unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _part_of(path: Path, url: str) -> Path:
    """Unfinished file; each address has its own, since mirrors may differ."""
    return path.with_name(f"{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")


def _state_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_of(part).unlink(missing_ok=True)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _insist(url: str, part: Path, patience: Patience, label: str) -> None:
    """Repeat `_attempt` until it succeeds or patience ends; new bytes restore patience."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            return _attempt(url, part, patience, label)
        except (OSError, http.client.HTTPException) as error:
            if _is_of_the_disk(error):
                raise UserError(f"cannot write {part}: {error.strerror}; make room, or use --cache") from error
            if (reached := _size(part)) > furthest:
                failures, furthest = 0, reached
            failures += 1
            unreachable = isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError)
            lasting = (unreachable and not reached) or getattr(error, "code", 0) in _LASTING_ANSWERS
            if failures >= (patience.lasting_attempts if lasting else patience.attempts):
                raise (HostError if unreachable else LinkError)(_explain(error)) from error
            wait = _wait_before(failures, error, patience)
            print(f"{label}: {_explain(error)}; again in {wait:.0f} s", flush=True)
            time.sleep(wait)


def _is_of_the_disk(error: Exception) -> bool:
    """Whether an error is not the network's: full, not writable."""
    if isinstance(error, urllib.error.URLError) or not isinstance(error, OSError):
        return False
    return error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def _wait_before(failures: int, error: Exception, patience: Patience) -> float:
    """Seconds before the next attempt: doubling, or what the server asks for."""
    wait = patience.first_wait * 2 ** (failures - 1)
    asked = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    return min(max(wait, float(asked) if asked.isdigit() else 0.0), patience.longest_wait)


def _explain(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"answers {error.code} {error.reason}".strip()
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__


def _attempt(url: str, part: Path, patience: Patience, label: str) -> None:
    """One connection: ask for what is missing and append it to `part`."""
    state = _read_state(part)
    have = _size(part)
    try:
        response = open_file(url, have, state.get("version", ""), patience.timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        # Nothing is missing, or the file has become shorter.
        if _total(error.headers.get("Content-Range", "")) == have:
            return
        _discard(part)
        raise ConnectionError("the file has changed; from the beginning") from error
    with response:
        start, total = _place(response)
        known = state.get("total")
        if start != have or (start and known is not None and total != known):
            if start:
                _discard(part)
                raise ConnectionError("the server continues at another place; from the beginning")
            have = 0
        version = response.headers.get("ETag", "")
        version = response.headers.get("Last-Modified", "") if not version or version.startswith("W/") else version
        _append(response, part, {"url": url, "version": version, "total": total}, start=have, label=label)
    if total is not None and _size(part) < total:
        raise ConnectionError(f"the connection ended at {_size(part) / 1e6:.1f} of {total / 1e6:.1f} MB")


def _read_state(part: Path) -> dict[str, Any]:
    """What is known of an unfinished file; without it nothing can be continued."""
    try:
        return read_json(_state_of(part))
    except (OSError, ValueError):
        _discard(part)
        return {}


def _place(response: Any) -> tuple[int, int | None]:
    """Offset of the first byte of an answer, and the size of the whole file if the server tells it."""
    if response.status == 206:
        content_range = response.headers.get("Content-Range", "")
        found = re.match(r"bytes (\d+)-", content_range)
        return (int(found[1]) if found else -1), _total(content_range)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _total(content_range: str) -> int | None:
    found = re.search(r"/(\d+)$", content_range)
    return int(found[1]) if found else None


def _append(response: Any, part: Path, state: dict[str, Any], *, start: int, label: str) -> None:
    """Write an answer's body behind the first `start` bytes of `part`."""
    write_json(_state_of(part), state)
    bar = tqdm(desc=label, total=state["total"], initial=start, unit="B", unit_scale=True, disable=None)
    with part.open("r+b" if start else "wb") as file, bar:
        file.seek(start)
        # Not read(): that waits until a chunk is full, and what it has gathered is lost if the connection breaks.
        while chunk := response.read1(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
