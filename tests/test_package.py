"""The package `lamp`: a wheel beside foreign folders of the same names, the command, and the old import names."""

import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from lamp import __main__ as command
from lamp.utils.errors import UserError
from lamp.utils.home import shipped_models

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import data, models, utils
from lamp import CaptionPipeline, LaMPPipeline, Motion
import lamp
assert utils.OWNER == models.OWNER == data.OWNER == "somebody else"
assert "site-packages" in lamp.__file__, lamp.__file__
motion = LaMPPipeline.from_pretrained()("a person walks forward", 40, seed=1)[0]
assert isinstance(motion, Motion) and motion.joints.shape == (40, 22, 3)
motion.save("walk.bvh")
"""


def call(*command: str | Path, cwd: Path = ROOT, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command without this checkout on the path; its output is kept."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LAMP_HOME")}
    if home is not None:
        environment["LAMP_HOME"] = str(home)
    return subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of executables of an environment with the wheel, and a project with `utils`, `models` and `data` of its
    own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    # A copy, since building leaves files in the source.
    source = folder / "source"
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.split("\0")
    for name in listed:
        if name and not name.startswith(("checkpoints/", "tests/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = call(*pip, "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", folder, source)
    assert built.returncode == 0, built.stderr
    venv.create(folder / "venv")
    # The packages of this environment, but not the editable LaMP in it, which only works through its own .pth file.
    places = Path(site.getsitepackages([str(folder / "venv")])[0])
    (places / "packages.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    binaries = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    wheel = next(folder.glob("*.whl"))
    installed = call(*pip, "--python", binaries / "python", "install", "-q", "--no-deps", "--no-index", wheel)
    assert installed.returncode == 0, installed.stderr
    project = folder / "project"
    for name in ("utils", "models", "data"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text('OWNER = "somebody else"\n', encoding="utf-8")
    return binaries, project


def test_a_wheel_lives_beside_foreign_folders(elsewhere: tuple[Path, Path]) -> None:
    binaries, project = elsewhere
    (project / "program.py").write_text(PROGRAM, encoding="utf-8")
    result = call(binaries / "python", "program.py", cwd=project, home=ROOT / "checkpoints" / "mini")
    assert result.returncode == 0, result.stderr
    assert (project / "walk.bvh").is_file()


def test_the_command_of_a_wheel(elsewhere: tuple[Path, Path]) -> None:
    binaries, project = elsewhere
    prompt = ("--text_prompt", "a person bows", "--motion_length", "40", "--no_video", "--ext", "bow")
    without = call(binaries / "lamp", "generate", *prompt, cwd=project)
    assert without.returncode == 2 and "LAMP_HOME" in without.stderr and "Traceback" not in without.stderr
    result = call(binaries / "lamp", "generate", *prompt, cwd=project, home=ROOT)
    assert result.returncode == 0, result.stderr
    assert (project / "generation/bow/joints/0/sample0_repeat0_len40.npy").is_file()
    assert "generate" in call(binaries / "lamp", "--help", cwd=project).stdout
    unknown = call(binaries / "lamp", "fly", cwd=project)
    assert unknown.returncode == 2 and "no command 'fly'" in unknown.stderr


def test_a_wheel_has_its_data_files(elsewhere: tuple[Path, Path]) -> None:
    binaries, project = elsewhere
    program = "import lamp.prepare.mini.captions as c, lamp.options as o, pathlib; "
    program += "print(len(list((pathlib.Path(o.__path__[0]) / 'mini').glob('*.json'))))"
    result = call(binaries / "python", "-c", program, cwd=project)
    assert result.returncode == 0 and result.stdout.strip() == "7", result.stderr


def test_old_names_are_the_new_modules() -> None:
    program = (
        "from models.pipeline import LaMPPipeline as old; from lamp import LaMPPipeline as new; assert old is new; "
        "from utils.skeleton import HUMANML3D as a; from lamp.utils.kinematics.skeleton import HUMANML3D as b; "
        "assert a is b; import models.m2t.pipeline"
    )
    result = call(sys.executable, "-c", program)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("deprecated") == result.stderr.count("\n") == 1
    assert call(sys.executable, "-c", "import models.no_such_module").returncode == 1


def test_old_commands_still_work() -> None:
    result = call(sys.executable, "-m", "prepare.check_data", "--help")
    assert result.returncode == 0 and "check_data" in result.stdout and "deprecated" in result.stderr


def test_scripts_run_from_any_folder(tmp_path: Path) -> None:
    result = call(sys.executable, ROOT / "train_vq.py", "--help", cwd=tmp_path)
    assert result.returncode == 0 and "deprecated" not in result.stderr


def test_import_of_the_package_alone_is_light() -> None:
    result = call(sys.executable, "-c", "import sys, lamp; print('torch' in sys.modules)")
    assert result.stdout.strip() == "False"


def test_shipped_models_are_found_or_missed_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMP_HOME", raising=False)
    assert shipped_models() == ROOT / "checkpoints" / "mini"
    monkeypatch.setenv("LAMP_HOME", str(tmp_path))
    with pytest.raises(UserError, match="LAMP_HOME is"):
        shipped_models()
    (tmp_path / "tokenizer").mkdir()
    assert shipped_models() == tmp_path


def test_ctrl_c_while_a_script_is_imported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "import_module", interrupted)
    monkeypatch.setattr(sys, "argv", ["lamp", "generate"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130 and capsys.readouterr().err == "interrupted\n"
