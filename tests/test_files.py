"""Files and folders are there whole or not at all, whatever ends the process that writes them."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lamp.models.checkpoints import checkpoint_names, model_folder
from lamp.utils import files, litter
from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_folder, atomic_path, is_plain_name

DIES_BETWEEN_RENAMES = """
import os, signal, sys
from lamp.models.checkpoints import checkpoint_names, model_folder
from lamp.utils import files
if sys.argv[2] == "fallback":
    files._exchange = lambda one, other: False
rename, seen = os.replace, []
def replace(one, other):
    if seen:
        os.kill(os.getpid(), signal.SIGKILL)
    seen.append(rename(one, other))
os.replace = replace
with files.atomic_folder(sys.argv[1]) as aside:
    (aside / "config.json").write_text("new")
    if sys.argv[2] == "early":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(folder: Path, how: str) -> None:
    """Replace a folder in a process that is killed on the way."""
    subprocess.run([sys.executable, "-c", DIES_BETWEEN_RENAMES, str(folder), how], cwd=Path(__file__).parent.parent)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def latest(tmp_path: Path) -> Path:
    """A folder that is there already."""
    folder = tmp_path / "latest"
    folder.mkdir()
    (folder / "config.json").write_text("old")
    return folder


def test_there_is_always_a_folder_to_read(latest: Path) -> None:
    killed(latest, "fallback")
    assert not latest.exists() and (litter.standing(latest) / "config.json").read_text() == "old"
    assert model_folder(latest.parent, "latest") == model_folder(latest.parent) == litter.standing(latest)
    assert checkpoint_names(latest.parent, "all") == ["best"]
    litter.sweep(latest.parent)
    assert checkpoint_names(latest.parent, "all") == ["latest"]
    assert (latest / "config.json").read_text() == "old" and names(latest.parent) == ["latest"]


def test_exchanged_folders_leave_no_gap(latest: Path) -> None:
    killed(latest, "exchange")
    if files._exchange(latest, latest.parent):  # where this system cannot, the test above counts
        pytest.fail("a folder was exchanged with its own parent")
    assert (litter.standing(latest) / "config.json").read_text() in ("old", "new")


@pytest.mark.parametrize("how", ["early", "fallback"])
def test_what_a_killed_process_left_goes_with_the_next_write(latest: Path, how: str) -> None:
    killed(latest, how)
    assert len(names(latest.parent)) == 2
    with atomic_folder(latest) as aside:
        (aside / "config.json").write_text("newer")
    assert (latest / "config.json").read_text() == "newer" and names(latest.parent) == ["latest"]


def test_files_of_killed_and_of_living_processes(tmp_path: Path) -> None:
    def aside(pid: int, host: str = litter._host()) -> Path:
        path = tmp_path / f".walk.tmp-{host}-{pid}-0123abcd.mp4"
        path.touch()
        return path

    living, foreign = aside(os.getppid()), aside(1 << 29, "0" * 8)
    dead, own, other = aside(1 << 29), aside(os.getpid()), tmp_path / ".tmp-notes.mp4"
    other.touch()
    with atomic_path(tmp_path / "walk.mp4") as mine:
        mine.touch()
        litter.sweep(tmp_path)
        assert mine.exists()
    assert living.exists() and foreign.exists() and other.exists()
    assert not dead.exists() and not own.exists()


@pytest.mark.parametrize("how", ["exchange", "fallback"])
def test_a_folder_is_replaced_whole(latest: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "fallback":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    with atomic_folder(latest) as aside:
        (aside / "weights").write_text("new")
    assert names(latest) == ["weights"] and names(latest.parent) == ["latest"]


def test_a_failed_rename_puts_the_old_folder_back(latest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.replace

    def replace(one: Path, other: Path) -> None:
        if Path(other) == latest and not str(one).endswith(".old"):
            raise KeyboardInterrupt
        rename(one, other)

    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt), atomic_folder(latest):
        pass
    assert (latest / "config.json").read_text() == "old" and names(latest.parent) == ["latest"]


def test_symbolic_links_stay_links(latest: Path) -> None:
    link, file, pointer = (latest.parent / name for name in ("link", "notes.txt", "pointer.txt"))
    link.symlink_to(latest, target_is_directory=True)
    pointer.symlink_to(file)
    with atomic_folder(link) as aside:
        (aside / "config.json").write_text("new")
    with atomic_path(pointer) as aside:
        aside.write_text("words")
    assert link.is_symlink() and (latest / "config.json").read_text() == "new"
    assert pointer.is_symlink() and file.read_text() == "words"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("1000 requested and 512 written"),  # numpy
        RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/2: file write failed"),
    ],
)
def test_a_full_disk_is_one_line_and_keeps_what_was_there(latest: Path, error: Exception) -> None:
    with pytest.raises(UserError, match=r"no space is left on the disk for .*latest"), atomic_folder(latest):
        raise error
    with pytest.raises(UserError, match="no space"), atomic_path(latest / "config.json") as aside:
        aside.write_text("half")
        raise error
    assert (latest / "config.json").read_text() == "old" and names(latest.parent) == ["latest"]


def test_other_errors_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    for error in (OSError(errno.EINVAL, "no"), RuntimeError("sizes differ"), ZeroDivisionError()):
        with pytest.raises(type(error)), atomic_path(tmp_path / "a"):
            raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b.npy"), "a/b.npy"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "long"), "long"),
    ],
)
def test_what_the_system_refuses_is_one_line(error: OSError, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        main_with_errors(main)()
    told = capsys.readouterr().err
    assert ended.value.code == 2 and told.startswith("error: ") and words in told and told.count("\n") == 1


def test_names_are_counted_in_bytes() -> None:
    assert is_plain_name("걷기" * 33) and not is_plain_name("걷기" * 34)
    assert not any(map(is_plain_name, ("", ".", "..", "a/b", "x" * 201, "a\nb")))


def test_many_files_are_flushed(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "set") as aside:
        for index in range(files._MANY + 1):
            np.save(aside / f"{index}.npy", np.zeros(1))
    assert len(names(tmp_path / "set")) == files._MANY + 1


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Names that are flushed and renamed, in order."""
    if sys.platform != "linux":
        pytest.skip("asks /proc what an open file is called")
    done: list[tuple[str, str]] = []
    flush, rename, exchange = os.fsync, os.replace, files._exchange

    def fsync(number: int) -> None:
        done.append(("fsync", Path(os.readlink(f"/proc/self/fd/{number}")).name))
        flush(number)

    def replace(one: Path, other: Path) -> None:
        done.append(("rename", f"{Path(one).name} {Path(other).name}"))
        rename(one, other)

    def swap(one: Path, other: Path) -> bool:
        done.append(("rename", f"{one.name} {other.name}"))
        return exchange(one, other)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(files, "_exchange", swap)
    return done


def test_what_is_renamed_is_on_the_disk_and_its_folder_after_it(tmp_path: Path, done: list[tuple[str, str]]) -> None:
    with atomic_path(tmp_path / "a.json") as aside:
        aside.write_text("1")
    assert done == [("fsync", aside.name), ("rename", f"{aside.name} a.json"), ("fsync", tmp_path.name)]
    for _ in range(2):  # a new folder, then one in the place of another
        done.clear()
        with atomic_folder(tmp_path / "latest") as aside:
            (aside / "deep").mkdir()
            (aside / "b").write_text("1")
            (aside / "deep" / "c").write_text("2")
        at = done.index(("rename", f"{aside.name} latest"))
        assert {name for what, name in done[:at] if what == "fsync"} == {"b", "c", "deep", aside.name}
        assert ("fsync", tmp_path.name) in done[at:]


def test_a_state_is_on_the_disk_before_it_has_its_name(tmp_path: Path, done: list[tuple[str, str]]) -> None:
    from tests.test_trainer import Batches, options, trainer

    trainer(options(tmp_path, max_iter=1)).fit(Batches())
    at = done.index(("rename", ".unfinished 1"))
    (state,) = tmp_path.rglob("state/1")
    assert {("fsync", path.name) for path in state.iterdir()} | {("fsync", ".unfinished")} <= set(done[:at])
    assert ("fsync", "state") in done[at:]
