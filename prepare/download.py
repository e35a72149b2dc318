"""Download what others have published: checkpoints, the evaluators of Guo et al., the word vectors.

    python -m lamp.prepare.download models       # MoMask's and LaMP's checkpoints, to checkpoints/{t2m,kit}
    python -m lamp.prepare.download evaluator    # text_mot_match, to checkpoints/{t2m,kit}
    python -m lamp.prepare.download glove        # word vectors of the evaluator, to glove
    python -m lamp.prepare.download list         # what there is, and from where

`bash prepare/download_models.sh`, `download_evaluator.sh` and `download_glove.sh` are the same. Interrupted downloads
go on when the command is run again. What is already there is left alone; `--force` puts it aside and installs anew. A
file fetched by hand is taken from the cache folder.
"""

import argparse
import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lamp.prepare.downloads.files import check_file, find_root, is_archive, move_aside, unpack
from lamp.prepare.downloads.open import HostError, Hosts, LinkError
from lamp.prepare.downloads.sources import PACKAGES, Link, Package
from lamp.prepare.downloads.transfer import Patience, fetch, file_sha256
from lamp.utils.errors import UserError, main_with_errors

IMPORT = "python -m lamp.prepare.import_checkpoint"


class PackageError(UserError):
    """One package cannot be had; the others may."""


@dataclass
class Downloader:
    """Fetches packages into a cache and installs them below a root folder."""

    root: Path
    cache: Path
    hosts: Hosts
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
        if not self.force:
            if _is_complete(package, target):
                say(f"{package.name}: already in {package.target}, left as it is (--force installs it anew)")
                return
            _refuse_incomplete(package, target)
        with _folder_beside(target) as aside:
            self._install(self._stage(package, aside), package, target)
        for name in {package.file, *(link.save_as for link in package.links if link.save_as)}:
            for part in self.cache.rglob(f"{name}.*.part*"):
                part.unlink()

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
                bad = move_aside(cached, "bad")
                say(f"{package.name}: {cached} {error}; now {bad.name}")
        for number, links in enumerate(package.mirrors):
            files: list[tuple[Path, str]] = []
            try:
                self._fetch_mirror(package, links, files)
                return _open_package(package, files, aside / str(number))
            except LinkError as error:
                for path, _ in files:
                    path.unlink()
                shutil.rmtree(aside / str(number), ignore_errors=True)
                reasons.append(f"{links[0]}: {error}")
                say(f"{package.name}: {reasons[-1]}")
        raise PackageError(_manual_route(package, reasons, cached))

    def _fetch_mirror(self, package: Package, links: Sequence[Link], files: list[tuple[Path, str]]) -> None:
        """Download a mirror's files; each is added to `files` with its path below the target."""
        for link in links:
            if link.host in self.unreachable:
                raise HostError(self.unreachable[link.host])
            path = self.cache / (package.file if len(links) == 1 else f"{package.name}/{link.save_as}")
            if not path.is_file():
                say(f"{package.name}: from {link} ({link.origin})")
                try:
                    fetch(self.hosts.url(link), path, self.patience, sha256=link.sha256, label=path.name)
                except HostError as error:
                    self.unreachable[link.host] = str(error)
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
            if place.exists() or place.is_symlink():
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
    if package.plain:
        return (target / package.file).exists() or (target / Path(package.file).stem).exists()
    return all((target / name).is_file() for name in package.expects)


def _refuse_incomplete(package: Package, target: Path) -> None:
    """Complain of a folder that would be left as it is although a file is missing in it."""
    for name in package.expects:
        entry = target / Path(name).parts[0]
        if not (target / name).is_file() and (entry.exists() or entry.is_symlink()):
            raise PackageError(
                f"{package.name}: {entry} exists, but {target / name} does not; "
                "--force puts the folder aside and installs the public one"
            )


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """Temporary folder on the target's disk, so that installing is a rename; folders that stay empty are removed."""
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    made = [folder for folder in aside.parents if not folder.exists()]
    try:
        aside.mkdir(parents=True)
        yield aside
    except OSError as error:
        raise UserError(f"cannot write {error.filename or aside}: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _open_package(package: Package, files: Sequence[tuple[Path, str]], aside: Path) -> Path:
    """Lay out fetched files as they will be in the target and check them.

    Args:
        package: what the files belong to.
        files: each with its path below the target (unused for archives).
        aside: folder to make.

    Raises:
        LinkError: a file is not what it should be.
    """
    aside.mkdir()
    archive, name = files[0]
    if len(files) == 1 and not package.plain:
        if not is_archive(archive):
            raise LinkError("is neither a zip nor a tar archive")
        unpack(archive, aside)
        root = find_root(aside, package.expects[0])
    elif len(files) == 1 and is_archive(archive):
        # Checkpoints are called .tar here; should one be a real archive, its content is what is wanted.
        root = aside / "content"
        unpack(archive, root / Path(name).stem)
    else:
        root = aside
        for path, name in files:
            shutil.copyfile(path, root / name)
            check_file(root / name)
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


def describe(packages: Sequence[Package], hosts: Hosts) -> str:
    """Table of all packages and their mirrors."""
    lines = ["None of these addresses was opened when the table was written; some may be dead.", ""]
    for package in packages:
        lines.append(f"{package.action} {package.name}: {package.file} -> {package.target}")
        for link in package.links:
            lines.append(f"  {hosts.url(link)}")
            lines.append(f"    published in: {link.origin}; checksum: {link.sha256 or 'none known'}")
    return "\n".join(lines)


def default_cache() -> Path:
    """Cache folder of this user; the environment variable LAMP_CACHE names another."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("LAMP_CACHE") or base / "lamp-motion")


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Command line."""
    names = [package.name for package in PACKAGES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("models", "evaluator", "glove", "list"), help="what to download")
    parser.add_argument("--dataset_name", nargs="+", choices=("t2m", "kit"), default=["t2m", "kit"], help="data sets")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="packages, by their names in the list")
    parser.add_argument("--force", action="store_true", help="put aside what is there and install it anew")
    parser.add_argument("--root", type=Path, default=Path(), help="folder that holds checkpoints/ and glove/")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where downloads are kept")
    return parser.parse_args(argv)


def run(argv: Sequence[str], patience: Patience | None = None) -> None:
    """Download what the command line asks for.

    Raises:
        UserError: something could not be had; everything else is installed.
    """
    args = parse_arguments(argv)
    hosts = Hosts.from_environment()
    if args.action == "list":
        print(describe(PACKAGES, hosts))
        return
    wanted = [
        package
        for package in PACKAGES
        if package.action == args.action
        and package.dataset in ("", *args.dataset_name)
        and package.name in (args.only or package.name)
    ]
    if not wanted:
        raise UserError(f"--only names nothing of '{args.action}'; see: python -m lamp.prepare.download list")
    downloader = Downloader(args.root, args.cache, hosts, patience or Patience(), args.force)
    done, failures = [], []
    for package in wanted:
        try:
            downloader.provide(package)
            done.append(package)
        except PackageError as error:
            failures.append(str(error))
    if done and args.cache.is_dir():
        size = sum(file.stat().st_size for file in args.cache.rglob("*") if file.is_file())
        say(f"downloads are kept in {args.cache} ({size / 1e6:.0f} MB) and can be deleted")
    for line in dict.fromkeys(_next_step(package, args.root) for package in done):
        say(f"next: {line}")
    if failures:
        raise UserError("\n".join(failures))


def _next_step(package: Package, root: Path) -> str:
    """Command that makes use of an installed package."""
    if package.action == "glove":
        return "bash prepare/download_evaluator.sh, the evaluators that use these word vectors"
    if package.action == "models":
        return f"{IMPORT} --help shows the commands that turn these checkpoints into models of this code"
    target = root / package.target
    # Mean and std are not in the evaluator's own folder.
    meta = [target / name / "meta" for name in package.keep if (target / name / "meta" / "mean.npy").is_file()]
    flags = f" --meta {meta[0]}" if meta else ""
    return f"{IMPORT} {target / package.expects[0]} {target / 'evaluator'}{flags} --glove {root / 'glove'}"


@main_with_errors
def main() -> None:
    """Download what the command line asks for."""
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
