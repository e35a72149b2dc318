"""Messages: one line of at most 300 characters, whatever the names in it, and a remedy that is never cut off."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamp.utils.capture.files import find_motion_files
from lamp.utils.errors import LONGEST_MESSAGE, StepsByHand, UserError, main_with_errors, told
from lamp.utils.files import files_below

ROOT = Path(__file__).resolve().parent.parent
LONG = "n" * 3000
DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("message", "end"),
    [
        ("short; do this", "short; do this"),
        (f"{LONG} is missing; choose another --output_dir", "...; choose another --output_dir"),
        (f"a; b {LONG}; fetch it again", "...; fetch it again"),
        (f"no remedy {LONG}", "nnn..."),
        (f"x; {LONG}", "nnn..."),
        ("two\nlines\r\n; and a tab\t.", "two lines ; and a tab ."),
    ],
)
def test_a_message_is_one_line_that_keeps_its_remedy(message: str, end: str) -> None:
    shown = told(UserError(message))
    assert shown.endswith(end) and len(shown) <= LONGEST_MESSAGE and "\n" not in shown


def test_steps_that_a_person_does_keep_their_lines() -> None:
    assert told(StepsByHand("get it:\n  1\n  2")) == "get it:\n  1\n  2"


@pytest.mark.parametrize("error", [UserError(f"{LONG}\n{LONG}; mend it"), OSError(errno.EACCES, "no", LONG)])
def test_what_a_script_prints(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    @main_with_errors
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) <= LONGEST_MESSAGE + len("error: ") and line.endswith(("; mend it", "; name another place"))


@pytest.mark.parametrize(
    "words",
    [
        ["gen_t2m.py", "--text_path", LONG],
        ["gen_t2m.py", "--text_prompt", "walk", "--models", LONG],
        ["gen_t2m.py", "--text_prompt", "walk", "--name", LONG],
        ["gen_t2m.py", "--text_prompt", "walk", "--ext", LONG],
        ["gen_t2m.py", "--text_prompt", "walk", "--motion_length", DIGITS],
        ["gen_t2m.py", "--text_prompt", "walk", "--output_dir", f"{LONG}/{LONG}"],
        ["gen_t2m.py", f"--{LONG}"],
        ["gen_t2m.py", "--config", LONG],
        ["caption.py", "--motion", LONG],
        ["caption.py", "--motion", "{folder}/walk.npy", "--models", LONG],
        ["train_vq.py", "--name", "x", "--dataset_name", LONG],
        ["train_vq.py", "--name", "x", "--data_root", LONG],
        ["eval_t2m_trans_res.py", "--name", LONG],
    ],
)
def test_long_words_on_the_command_line(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "walk.npy").write_bytes(b"")
    words = [word.replace("{folder}", str(tmp_path)) for word in words]
    ended = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert len(line) <= LONGEST_MESSAGE + 60 and "Traceback" not in line


def test_a_prompt_file_with_a_length_of_thousands_of_digits(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text(f"walk#{DIGITS}\n")
    command = [sys.executable, "gen_t2m.py", "--text_path", str(tmp_path / "prompts.txt")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 2 and "line 1" in line and len(line) <= LONGEST_MESSAGE


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "takes" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "takes" / "walk.bvh").write_text("")
    assert list(find_motion_files(tmp_path / "takes")) == ["walk.bvh"]
    scandir = os.scandir

    def refuse(path: str) -> object:
        # The tests may run as root, who may list everything.
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for look in (find_motion_files, files_below):
        with pytest.raises(UserError, match=r"cannot list .*closed: Permission denied; make the folder readable"):
            look(tmp_path / "takes")


def test_files_below_a_folder(tmp_path: Path) -> None:
    for name in ("b.BVH", "a.npy", "sub/c.bvh", "sub/.hidden.bvh", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "dangling.bvh").symlink_to(tmp_path / "nowhere")
    names = [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path, ".bvh")]
    assert names == ["b.BVH", "sub/.hidden.bvh", "sub/c.bvh"]
    assert len(files_below(tmp_path)) == 5


def test_the_reason_for_each_file_that_is_left_out_is_short(tmp_path: Path) -> None:
    takes = Path(tmp_path, *["n" * 200] * 3)
    takes.mkdir(parents=True)
    for name in ("a.bvh", "b.bvh"):
        (takes / name).write_text("HIERARCHY")
    command = [sys.executable, "convert.py", str(takes), str(tmp_path / "out"), "--to", "npy"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = ended.stderr.splitlines()
    assert ended.returncode == 2 and len(lines) == 3, lines
    assert all(len(line) <= LONGEST_MESSAGE + len("left out: ") for line in lines), lines
