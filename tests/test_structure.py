"""Rules of the code base that a reader relies on."""

import ast
import runpy
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

import lamp

ROOT = Path(__file__).resolve().parent.parent
# What each part of the package may import besides itself. Scripts may import all of these, `prepare` scripts too;
# nobody imports `prepare` or a script.
MAY_IMPORT = {
    "utils": set(),
    "data": {"utils"},
    "models": {"utils"},
    "options": {"models", "utils"},
    "stages": {"options", "models", "data", "utils"},
    "library": {"stages", "options", "models", "data", "utils"},
    "serve": {"library", "stages", "options", "models", "data", "utils"},
    "web": {"serve", "library", "stages", "options", "models", "data", "utils"},
}
INSIDE = ("stages", "library", "serve", "web")  # of the folder lamp
FOLDERS = {part: ROOT / ("lamp" if part in INSIDE else "") / part for part in (*MAY_IMPORT, "prepare")}
FILES = {path: part for part, folder in FOLDERS.items() for path in sorted(folder.rglob("*.py"))}
SCRIPTS = sorted(path for path in ROOT.glob("*.py") if path.name != "setup.py")
SCRIPT_LINES, FILE_LINES, FOLDER_FILES = 150, 400, 15


def imported(source: str) -> set[str]:
    """Parts of our package that a source imports, and our scripts, under the new names (`lamp.x`) and the old ones."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {lamp._HOMES.get(alias.name, f"lamp.{alias.name}") for alias in node.names}
            names |= whole if node.module == "lamp" else {node.module}
    parts = {name.removeprefix("lamp.").split(".")[0] for name in names}
    return parts & {*FOLDERS, *(script.stem for script in SCRIPTS)}


def wrong_imports(source: str, part: str) -> set[str]:
    """What a source of some part ("scripts" for the scripts) imports and may not."""
    if part == "prepare":
        allowed = set(FOLDERS)
    elif part == "scripts":
        allowed = set(MAY_IMPORT)
    else:
        allowed = {part, *MAY_IMPORT[part]}
    return imported(source) - allowed


def longer(sources: dict[str, str], limit: int) -> list[str]:
    """Names of the sources with more lines than `limit`."""
    return [name for name, source in sources.items() if len(source.splitlines()) > limit]


def crowded(files: Iterable[Path], limit: int) -> list[Path]:
    """Folders that hold more of the files than `limit`."""
    return [folder for folder, count in Counter(path.parent for path in files).items() if count > limit]


def read(paths: Iterable[Path]) -> dict[str, str]:
    """Sources by path within the repository."""
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def our_files() -> list[Path]:
    """Every Python file of the repository outside the tests."""
    folders = [*(ROOT / name for name in ("lamp", "benchmarks")), *FOLDERS.values()]
    return sorted({*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_direction(path):
    assert not wrong_imports(path.read_text(encoding="utf-8"), FILES[path])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_the_package_only(path):
    assert not wrong_imports(path.read_text(encoding="utf-8"), "scripts")


@pytest.mark.parametrize(
    ("part", "source", "wrong"),
    [
        ("utils", "from lamp.data.spec import get_spec", {"data"}),
        ("utils", "def late():\n    import lamp.models.pipeline", {"models"}),
        ("data", "from lamp import models", {"models"}),
        ("data", "from lamp import LaMPPipeline, Motion", {"models"}),
        ("models", "from options.common import TrainOptions", {"options"}),
        ("options", "from lamp.stages.loading import loading", {"stages"}),
        ("stages", "from lamp.prepare.clips import read", {"prepare"}),
        ("stages", "from lamp.train_vq import main", {"train_vq"}),
        ("scripts", "from lamp.prepare.clips import read", {"prepare"}),
        ("scripts", "from train_vq import main", {"train_vq"}),
        ("scripts", "import lamp.gen_t2m", {"gen_t2m"}),
        ("prepare", "from lamp.gen_t2m import main", {"gen_t2m"}),
        ("scripts", "from lamp.stages.loading import loading\nimport torch", set()),
    ],
)
def test_a_wrong_import_is_found(part, source, wrong):
    assert wrong_imports(source, part) == wrong


def test_length_of_scripts():
    assert not longer(read(SCRIPTS), SCRIPT_LINES)


def test_length_of_files():
    assert not longer(read(our_files()), FILE_LINES)


def test_size_of_folders():
    assert not crowded(FILES, FOLDER_FILES)


def test_what_is_too_large_is_found():
    assert longer({"short.py": "x = 1\n" * 150, "long.py": "x = 1\n" * 151}, SCRIPT_LINES) == ["long.py"]
    few, many = ([Path(folder, f"{i}.py") for i in range(count)] for folder, count in (("a", 15), ("b", 16)))
    assert crowded([*few, *many], FOLDER_FILES) == [Path("b")]


def test_every_folder_of_the_package_is_installed(monkeypatch):
    told: dict[str, list[str]] = {}
    monkeypatch.setattr("setuptools.setup", lambda **values: told.update(values))
    runpy.run_path(str(ROOT / "setup.py"))
    names = {f"lamp.{part}": folder for part, folder in FOLDERS.items()}
    for name, folder in list(names.items()):
        inner = (path.parent.relative_to(folder).parts for path in folder.rglob("*/__init__.py"))
        names |= {".".join((name, *parts)): folder for parts in inner}
    assert set(told["packages"]) == {"lamp", *names}


def test_no_hard_coded_devices():
    for name, text in read(our_files()).items():
        assert ".cuda()" not in text and "cuda:" not in text, name


def test_readme_shows_what_ci_runs():
    readme, ci = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'pip install -e ".[dev]"' in readme and 'install -q -e ".[dev]"' in ci
    assert "pytest -n 2" in readme and "pytest -n 2" in ci
