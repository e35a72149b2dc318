"""What keeps a number from being compared with the field's: pools that are not of 32, an FID of few motions."""

import functools
import os
import sys

POOL = 32
"""Candidates of the field's R-precision and of retrieval in small batches."""


def pool_cautions(pool: int) -> list[str]:
    """A line where pools of `pool` candidates are not those of the published tables; none otherwise."""
    if pool == POOL:
        return []
    sure = "; R@3 is 1 whatever the model" if pool <= 3 else ""
    return [f"warning: pools of {pool}, not of {POOL} as published: R@k is easier the smaller the pool{sure}"]


def fid_cautions(motions: int, dimensions: int) -> list[str]:
    """A line where an FID of `motions` motions has covariances of `dimensions` dimensions that they cannot fill."""
    if motions > dimensions:
        return []
    return [
        f"warning: FID of {motions} motions in {dimensions} dimensions: their covariances are singular and the FID is "
        "too high; compare it only with an FID of as many motions"
    ]


def warn_once(lines: list[str]) -> None:
    """Print lines to stderr, each once and in the first process only."""
    for line in lines:
        _warn(line)


@functools.cache
def _warn(line: str) -> None:
    if int(os.environ.get("RANK", 0)) == 0:
        print(line, file=sys.stderr)
