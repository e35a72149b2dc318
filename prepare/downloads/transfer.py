"""Fetching one file: resumes a broken transfer, retries with growing waits, shows progress with the time left.

An unfinished transfer is a folder `<name>.<hash of the address>.part`, so that an interrupted command goes on when it
is run again. Files of Google Drive come through gdown, which knows Drive's pages; all others over plain HTTP with Range
and If-Range (RFC 9110, sections 13 and 14).
"""

import errno
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import gdown
import requests
from tqdm import tqdm

from lamp.utils.errors import UserError

_LASTING_ANSWERS = (401, 403, 404, 410)


class LinkError(Exception):
    """This link does not give the file; another one may."""


class HostError(LinkError):
    """The link's server cannot be reached at all."""


@dataclass(frozen=True)
class Patience:
    """How long to insist."""

    attempts: int = 5
    """Failures in a row, without a new byte between them."""
    lasting_attempts: int = 3
    """The same for what repeating seldom changes: 404, no such server."""
    first_wait: float = 1.0
    """Seconds; doubles with each failure in a row."""
    longest_wait: float = 30.0
    timeout: float = 20.0
    """Seconds without a byte."""


def fetch(url: str, path: Path, patience: Patience, *, sha256: str = "", label: str = "") -> None:
    """Download a file; an earlier unfinished transfer from the same address is continued.

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
    part = path.with_name(f"{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
    for last_try in (False, True):
        continued = part.exists()
        try:
            _insist(url, part, patience, label or path.name)
        except KeyboardInterrupt:
            print(f"\n{path.name}: {_size(part) / 1e6:.1f} MB are kept; run the same command to go on", flush=True)
            raise
        finally:
            if part.is_dir() and not _size(part):
                shutil.rmtree(part)
        if not part.exists():
            raise LinkError("gives an empty file")
        if not sha256 or file_sha256(part / "content") == sha256:
            break
        shutil.rmtree(part)
        # After a resumed transfer the likely cause is two versions of the file in one.
        if last_try or not continued:
            raise LinkError("gives a file with another checksum than the published one")
    os.replace(part / "content", path)
    shutil.rmtree(part)


def file_sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _size(part: Path) -> int:
    """Bytes that an unfinished transfer has; gdown adds a suffix to the name until the file is complete."""
    return sum(file.stat().st_size for file in part.glob("content*"))


def _insist(url: str, part: Path, patience: Patience, label: str) -> None:
    """Repeat attempts until one succeeds or patience ends; new bytes restore patience."""
    attempt = _from_drive if url.startswith("https://drive.google.com/") else _over_http
    failures, furthest = 0, _size(part)
    while True:
        try:
            part.mkdir(parents=True, exist_ok=True)
            return attempt(url, part, patience.timeout, label)
        except OSError as error:
            # Errors of the disk name a file or have one of these numbers.
            if error.filename or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise UserError(f"cannot write {part}: {error.strerror}; make room, or use --cache") from error
            if (reached := _size(part)) > furthest:
                failures, furthest = 0, reached
            failures += 1
            answer = error.response if isinstance(error, requests.HTTPError) else None
            unreachable = isinstance(error, requests.ConnectionError) and not reached
            lasting = unreachable or (answer is not None and answer.status_code in _LASTING_ANSWERS)
            if failures >= (patience.lasting_attempts if lasting else patience.attempts):
                raise (HostError if unreachable else LinkError)(_explain(error)) from error
            asked = answer.headers.get("Retry-After", "") if answer is not None else ""
            wait = max(patience.first_wait * 2 ** (failures - 1), float(asked) if asked.isdigit() else 0.0)
            wait = min(wait, patience.longest_wait)
            print(f"{label}: {_explain(error)}; again in {wait:.0f} s", flush=True)
            time.sleep(wait)


def _explain(error: OSError) -> str:
    """One line for an error of the network; those of requests hold whole object representations."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answers {error.response.status_code} {error.response.reason}".strip()
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return f"no connection ({type(error).__name__})" if isinstance(error, requests.RequestException) else str(error)


def _over_http(url: str, part: Path, timeout: float, label: str) -> None:
    """One connection: ask for what is missing and append it to the content."""
    content, version = part / "content", part / "version"
    have = _size(part) if version.is_file() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version.read_text(encoding="utf-8")}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        place = response.headers.get("Content-Range", "")
        # 416, nothing is missing; otherwise the file has become shorter.
        if have and response.status_code == 416 and place.endswith(f"/{have}"):
            return
        if have and (response.status_code == 416 or (response.status_code == 206 and f"bytes {have}-" not in place)):
            shutil.rmtree(part)
            raise ConnectionError("the file has changed; from the beginning")
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise LinkError("answers with a web page instead of the file")
        if response.status_code != 206:
            have = 0
            version.unlink(missing_ok=True)
            content.unlink(missing_ok=True)
            etag = response.headers.get("ETag", "W/")
            # A transfer can be continued only if the server has a strong name for this version of the file.
            if name := response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag:
                version.write_text(name, encoding="utf-8")
        length = response.headers.get("Content-Length")
        with content.open("ab") as file, _bar(label, have + int(length) if length else None, have) as bar:
            for chunk in response.iter_content(1 << 16):
                file.write(chunk)
                bar.update(len(chunk))


def _from_drive(url: str, part: Path, timeout: float, label: str) -> None:
    """One attempt of gdown, which resumes from what its last attempt left in the folder."""
    have = _size(part)
    try:
        with _bar(label) as bar:

            def show(done: int, total: int | None) -> None:
                bar.total = total
                bar.update(done - bar.n)

            target = str(part / "content")
            gdown.download(url, target, quiet=True, use_cookies=False, resume=True, progress=show, timeout=timeout)
    except gdown.FileURLRetrievalError as error:
        reason = " ".join(str(error).split()).removeprefix("Failed to retrieve file url: ")
        raise LinkError(reason.partition(" You may still be able")[0]) from error
    except gdown.DownloadError as error:
        # Without progress what is here cannot be continued.
        if have and _size(part) <= have:
            shutil.rmtree(part)
        raise ConnectionError(str(error).partition("\n")[0]) from error


def _bar(label: str, total: int | None = None, initial: int = 0) -> tqdm:
    """Progress bar with the time left; none where the output is not a terminal."""
    return tqdm(desc=label, total=total, initial=initial, unit="B", unit_scale=True, disable=None)
