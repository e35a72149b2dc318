"""Marks that several test modules use."""

import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
SHARED = HERE.parent.parent / "shared"
LACKS = "not part of the repository"

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="PyTorch's compiler needs a C++ compiler")


NPM = HERE.parent / ".npm-ci"
"""Where `.ci/run` puts the packages of npm that tests use."""


def needs_npm(*packages: str) -> pytest.MarkDecorator:
    """Mark `npm` of a test that needs Node.js and packages of npm; `conftest.py` skips it where one lacks."""
    return pytest.mark.npm(*packages)


def skip_without_npm(item: pytest.Item) -> None:
    """Skip a test that is marked by `needs_npm` where something lacks."""
    for mark in item.iter_markers("npm"):
        lacking = [name for name in mark.args if not (NPM / "node_modules" / name).is_dir()]
        if lacking or not shutil.which("node"):
            command = f"npm install --prefix {NPM.name} {' '.join(mark.args)}"
            pytest.skip(f"needs Node.js and: {command}")


def chromium() -> str | None:
    """Path of a browser that tests drive."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def skip_without_browser(item: pytest.Item) -> None:
    """Skip a test that is marked `browser` where something lacks."""
    if item.get_closest_marker("browser"):
        pytest.importorskip("selenium", reason="needs selenium, which the extra dev installs")
        if not chromium() or not shutil.which("chromedriver"):
            pytest.skip("needs Chromium and its driver: apt install chromium chromium-driver")


def needs_shared(*paths: str) -> pytest.MarkDecorator:
    """Mark `shared` of a test that reads files beside the repository; where one lacks, `conftest.py` skips the test.

    Args:
        paths: files relative to `../shared`.
    """
    return pytest.mark.shared(*paths)


def needs_golden(*names: str) -> pytest.MarkDecorator:
    """`needs_shared` for the reference tensors `names` (see `golden.load_golden`) that `tests/golden` does not have."""
    return needs_shared(*(f"golden/public/{name}.pt" for name in names if not (GOLDEN / f"{name}.pt").is_file()))


def skip_without_shared(item: pytest.Item) -> None:
    """Skip a test that is marked by `needs_shared` if a file that it names is missing."""
    for mark in item.iter_markers("shared"):
        if missing := [path for path in mark.args if not (SHARED / path).is_file()]:
            pytest.skip(f"{LACKS}: ../shared/{', ../shared/'.join(missing)}")
