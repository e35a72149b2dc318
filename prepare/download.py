"""Download what others have published: checkpoints, the evaluators of Guo et al., the word vectors.

    python -m lamp.prepare.download models       # MoMask's and LaMP's checkpoints, to checkpoints/{t2m,kit}
    python -m lamp.prepare.download evaluator    # text_mot_match, to checkpoints/{t2m,kit}
    python -m lamp.prepare.download glove        # word vectors of the evaluator, to glove
    python -m lamp.prepare.download list         # what there is, and from where

`bash prepare/download_models.sh`, `download_evaluator.sh` and `download_glove.sh` are the same. Interrupted downloads
go on when the command is run again. What is already there is left alone; `--force` puts it aside and installs anew. A
file fetched by hand is taken from the cache folder. The packages that this needs: `pip install -e ".[download]"`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lamp.prepare.downloads.sources import PACKAGES, Package, address
from lamp.utils.errors import StepsByHand, UserError, main_with_errors

if TYPE_CHECKING:
    from lamp.prepare.downloads.transfer import Patience

IMPORT = "python -m lamp.prepare.import_checkpoint"


def describe(packages: Sequence[Package]) -> str:
    """Table of all packages and their mirrors."""
    lines = ["None of these addresses was opened when the table was written; some may be dead.", ""]
    for package in packages:
        lines.append(f"{package.action} {package.name}: {package.file} -> {package.target}")
        for link in package.links:
            lines.append(f"  {address(link)}")
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


def run(argv: Sequence[str], patience: "Patience | None" = None) -> None:
    """Download what the command line asks for.

    Args:
        argv: command line.
        patience: retries and waits; None: the usual ones.

    Raises:
        UserError: something could not be had; everything else is installed.
    """
    args = parse_arguments(argv)
    if args.action == "list":
        print(describe(PACKAGES))
        return
    try:
        from lamp.prepare.downloads.install import Downloader, PackageError, say
        from lamp.prepare.downloads.transfer import Patience
    except ModuleNotFoundError as error:
        command = f"{sys.executable} -m pip install -e '.[download]'"
        raise UserError(f"downloads need the package {error.name}: {command}") from error
    wanted = [
        package
        for package in PACKAGES
        if package.action == args.action
        and package.dataset in (None, *args.dataset_name)
        and package.name in (args.only or package.name)
    ]
    if not wanted:
        raise UserError(f"--only names nothing of '{args.action}'; see: python -m lamp.prepare.download list")
    downloader = Downloader(args.root, args.cache, patience or Patience(), args.force)
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
        raise StepsByHand("\n".join(failures))


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
