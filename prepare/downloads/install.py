"""From the mirrors of a package to its files in the target folder, by way of a cache."""

import os
import shutil
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from lamp.prepare.downloads.files import check_file, find_root, is_archive, move_aside, unpack
from lamp.prepare.downloads.sources import Link, Package, address
from lamp.prepare.downloads.transfer import HostError, LinkError, Patience, fetch, file_sha256
from lamp.utils.errors import UserError


class PackageError(UserError):
    """One package cannot be had; the others may."""


@dataclass
class Downloader:
    """Fetches packages into a cache and installs them below a root folder."""

    root: Path
    cache: Path
    patience: Patience = field(default_factory=Patience)
    force: bool = False
    unreachable: dict[str, str] = field(default_factory=dict)
    """Hosts given up in this run, with the reason."""

    def provide(self, package: Package) -> None:
        """Make sure that a package is installed.

        Raises:
            PackageError: no mirror has it (the message tells the way by hand), or an existing folder is incomplete.
            UserError: the disk is full or not writable.
        """
        target = self.root / package.target
        if not self.force and _is_complete(package, target):
            say(f"{package.name}: already in {package.target}, left as it is (--force installs it anew)")
            return
        # On the target's disk, so that installing is a rename.
        near = next(folder for folder in target.resolve().parents if folder.is_dir())
        try:
            with TemporaryDirectory(prefix=".lamp-", dir=near) as aside:
                self._install(self._stage(package, Path(aside)), package, target)
        except OSError as error:
            raise UserError(f"cannot write {error.filename or near}: {error.strerror}") from error
        for name in {package.file, *(link.save_as for link in package.links if link.save_as)}:
            for part in self.cache.rglob(f"{name}.*.part"):
                shutil.rmtree(part, ignore_errors=True)

    def _stage(self, package: Package, aside: Path) -> Path:
        """Get a package's content, checked, into a folder: from the cache or the first mirror that has it."""
        reasons = []
        cached = self.cache / package.file
        if cached.is_file():
            say(f"{package.name}: using {cached}")
            known = {links[0].sha256 for links in package.mirrors if len(links) == 1} - {""}
            if known and file_sha256(cached) not in known:
                say(f"{package.name}: note: its checksum is not the published one")
            try:
                return _open_package(package, [(cached, package.file)], aside / "cached")
            except LinkError as error:
                say(f"{package.name}: {cached} {error}; now {move_aside(cached, 'bad').name}, fetched again")
        for number, links in enumerate(package.mirrors):
            files: list[tuple[Path, str]] = []
            try:
                self._fetch_mirror(package, links, files)
                return _open_package(package, files, aside / str(number))
            except LinkError as error:
                for path, _ in files:
                    path.unlink()
                shutil.rmtree(aside / str(number), ignore_errors=True)
                reasons.append(f"{links[0].page}: {error}")
                say(f"{package.name}: {reasons[-1]}")
        raise PackageError(_manual_route(package, reasons, cached))

    def _fetch_mirror(self, package: Package, links: Sequence[Link], files: list[tuple[Path, str]]) -> None:
        """Download a mirror's files; each is added to `files` with its path below the target."""
        for link in links:
            url = address(link)
            host = urllib.parse.urlsplit(url).netloc
            if host in self.unreachable:
                raise HostError(self.unreachable[host])
            path = self.cache / (package.file if len(links) == 1 else f"{package.name}/{link.save_as}")
            if path.is_file() and link.sha256 and file_sha256(path) != link.sha256:
                path.unlink()
            if not path.is_file():
                say(f"{package.name}: from {url} ({link.origin})")
                try:
                    fetch(url, path, self.patience, sha256=link.sha256, label=path.name)
                except HostError as error:
                    self.unreachable[host] = str(error)
                    raise
            files.append((path, link.save_as or package.file))

    def _install(self, staged: Path, package: Package, target: Path) -> None:
        """Move staged entries to the target; what exists stays, or with `force` is put aside first."""
        target.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("old-%Y%m%d-%H%M%S")
        for entry in sorted(staged.iterdir()):
            if entry.name.startswith((".", "__MACOSX")) or (package.keep and entry.name not in package.keep):
                continue
            place, shown = target / entry.name, f"{package.target}/{entry.name}"
            if os.path.lexists(place):
                if not self.force:
                    say(f"{package.name}: {shown} exists, left as it is")
                    continue
                say(f"{package.name}: the old {shown} is now {move_aside(place, stamp).name}")
            shutil.move(entry, place)
            say(f"{package.name}: installed {shown}")


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def _is_complete(package: Package, target: Path) -> bool:
    """Whether a package is installed.

    Raises:
        PackageError: a folder of it is there, and would be left as it is, although a file is missing in it.
    """
    if package.plain:
        return (target / package.file).exists() or (target / Path(package.file).stem).exists()
    missing = [name for name in package.expects if not (target / name).is_file()]
    for name in missing:
        if os.path.lexists(entry := target / Path(name).parts[0]):
            raise PackageError(
                f"{package.name}: {entry} exists, but {target / name} does not; "
                "--force puts the folder aside and installs the public one"
            )
    return not missing


def _open_package(package: Package, files: Sequence[tuple[Path, str]], aside: Path) -> Path:
    """Lay out fetched files as they will be in the target and check them.

    Args:
        package: what the files belong to.
        files: each with its path below the target (unused for archives).
        aside: folder to make.

    Returns:
        Folder with the entries of the target.

    Raises:
        LinkError: a file is not what it should be.
    """
    aside.mkdir()
    root, (archive, _) = aside, files[0]
    if len(files) == 1 and is_archive(archive):
        # LaMP's checkpoints are called .tar; should one be a real archive, its content is what is wanted.
        unpack(archive, aside / Path(package.file).stem if package.plain else aside)
        root = aside if package.plain else find_root(aside, package.expects[0])
    elif len(files) == 1 and not package.plain:
        raise LinkError("is neither a zip nor a tar archive")
    else:
        for path, name in files:
            check_file(path)
            shutil.copyfile(path, aside / name)
    for name in package.expects:
        if not (root / name).is_file():
            raise LinkError(f"is another file than expected: {name} is not in it")
        check_file(root / name)
    return root


def _manual_route(package: Package, reasons: Sequence[str], cached: Path) -> str:
    """What to do when no mirror has a package."""
    pages = dict.fromkeys([package.page, *(links[0].page for links in package.mirrors if len(links) == 1)])
    lines = [f"{package.name} could not be downloaded:", *(f"  {reason}" for reason in reasons)]
    lines += [f"By hand: get {package.file} in a browser, from one of", *(f"  {page}" for page in pages)]
    return "\n".join([*lines, f"save it as {cached.resolve()} and run the same command again."])
