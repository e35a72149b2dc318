"""Rules of the code base that a reader relies on."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "utils": {"utils"},
    "data": {"data", "utils"},
    "models": {"models", "utils"},
    "options": {"options", "models", "utils"},
}
PACKAGES = {"utils", "data", "models", "options", "prepare"}
FILES = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Our own packages that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names & PACKAGES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_direction(path):
    package = path.relative_to(ROOT).parts[0]
    assert imported(path) <= MAY_IMPORT[package]


def test_no_hard_coded_devices():
    for path in [*FILES, *ROOT.glob("*.py"), *(ROOT / "prepare").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert ".cuda()" not in text and "cuda:" not in text, path


def test_readme_shows_what_ci_runs():
    readme, ci = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install -e ".[dev]"' in readme and 'install -q -e ".[dev]"' in ci
    assert "pytest -n 2" in readme and "pytest -n 2" in ci
