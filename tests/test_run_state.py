"""A run's folder: one run at a time, states that are damaged or cut off, full disks, resuming when all is done."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lamp.utils.errors import UserError
from lamp.utils.run import trainer as training
from lamp.utils.run.runs import LOCK_FILE, RunLock
from lamp.utils.run.state import BEGUN_FILE, CONTENTS_FILE
from tests.test_trainer import BATCHES, Batches, draw, options, rows, state_of, step, trainer, weights

HOLDS = "import sys; from pathlib import Path; from lamp.utils.run.runs import RunLock\n"
HOLDS += "lock = RunLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def space_of(folder: Path) -> Path:
    return folder / "t2m" / "run"


def train(folder: Path, *, evaluate: Any = None, **values: Any) -> Any:
    return trainer(options(folder, **values), evaluate=evaluate).fit(Batches())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["optimizer.bin", "random_states_0.pkl", "pytorch_model.bin", "custom_checkpoint_0.pkl"]
)
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_state_gives_way_to_the_one_before(
    tmp_path: Path, name: str, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "a", max_iter=7)
    train(tmp_path / "b", max_iter=3)
    train(tmp_path / "b", max_iter=5, is_continue=True)
    damage(state_of(tmp_path / "b") / name)
    train(tmp_path / "b", max_iter=7, is_continue=True)
    told = capsys.readouterr().err
    assert name in told and "resuming from the state before" in told
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert rows(tmp_path / "a")[-1] == rows(tmp_path / "b")[-1]


def test_without_an_undamaged_state_there_is_one_clear_line(tmp_path: Path) -> None:
    train(tmp_path, max_iter=1)
    flip(state_of(tmp_path) / "optimizer.bin")
    with pytest.raises(UserError, match=r"state/1 cannot be used \(optimizer.bin is damaged\).*--overwrite"):
        train(tmp_path, max_iter=2, is_continue=True)
    (state_of(tmp_path) / CONTENTS_FILE).write_text("[")
    with pytest.raises(UserError, match=CONTENTS_FILE):
        train(tmp_path, max_iter=2, is_continue=True)


def test_states_of_earlier_versions_are_resumed_and_checked(tmp_path: Path) -> None:
    train(tmp_path, max_iter=1)
    (state_of(tmp_path) / CONTENTS_FILE).unlink()
    assert train(tmp_path, max_iter=2, is_continue=True).iteration == 2
    (state_of(tmp_path) / CONTENTS_FILE).unlink()
    cut(state_of(tmp_path) / "random_states_0.pkl")
    assert train(tmp_path, max_iter=3, is_continue=True).iteration == 3


def test_two_states_are_kept(tmp_path: Path) -> None:
    train(tmp_path, save_latest=1)
    assert len(list((space_of(tmp_path) / "state").iterdir())) == 2


def test_a_full_disk_stops_with_one_line_and_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, max_iter=2)
    run = trainer(options(tmp_path, is_continue=True))
    torch_save = torch.save

    def save(value: Any, file: Any, *rest: Any, **how: Any) -> None:
        if "optimizer" in str(file):
            Path(file).write_bytes(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
        torch_save(value, file, *rest, **how)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(UserError, match="no space is left on the disk for"):
        run.fit(Batches())
    monkeypatch.undo()
    state = space_of(tmp_path) / "state"
    assert [folder.name for folder in state.iterdir()] == ["1"]
    assert train(tmp_path, is_continue=True).iteration == 2 * BATCHES


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(options(tmp_path))
    monkeypatch.setattr(run.log.handlers[1], "flush", lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        run.fit(Batches())


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    train(tmp_path, max_iter=1)
    command, root = [sys.executable, "-c", HOLDS, str(space_of(tmp_path))], Path(__file__).parent.parent
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        for how in ({"is_continue": True}, {"overwrite": True}, {}):
            with pytest.raises(UserError, match=rf"in use by another training run \(process {other.pid} on .*--name"):
                train(tmp_path, max_iter=2, **how)
        other.kill()
    assert train(tmp_path, max_iter=2, is_continue=True).iteration == 2
    assert not (space_of(tmp_path) / LOCK_FILE).exists()


def test_two_runs_of_one_process_do_not_share_a_folder(tmp_path: Path) -> None:
    first = trainer(options(tmp_path))
    with pytest.raises(UserError, match="of this process"):
        trainer(options(tmp_path))
    first.fit(Batches())
    assert train(tmp_path, max_epoch=3, is_continue=True).epoch == 3


def test_a_forked_worker_does_not_unlock(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    child = os.fork()
    if not child:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / LOCK_FILE).exists()
    lock.release()


def test_a_wrong_name_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no state to resume"):
        train(tmp_path, is_continue=True)
    assert not space_of(tmp_path).exists()


def test_a_run_killed_before_its_first_state_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "a", evaluate=draw)

    def killed(*_: Any) -> None:
        raise SystemExit(9)

    monkeypatch.setattr(training, "save_state", killed)
    with pytest.raises(SystemExit):
        train(tmp_path / "b", evaluate=draw)
    monkeypatch.undo()
    space = space_of(tmp_path / "b")
    assert (space / "latest").is_dir() and (space / BEGUN_FILE).exists()
    with pytest.raises(UserError, match="--is_continue"):
        train(tmp_path / "b", evaluate=draw)
    train(tmp_path / "b", evaluate=draw, is_continue=True)
    assert "starting from the beginning" in capsys.readouterr().err
    assert rows(tmp_path / "a") == rows(tmp_path / "b") and not (space / BEGUN_FILE).exists()


def test_a_run_without_its_states_is_not_trained_anew(tmp_path: Path) -> None:
    train(tmp_path, max_iter=1)
    shutil.rmtree(space_of(tmp_path) / "state")
    with pytest.raises(UserError, match="no state to resume"):
        train(tmp_path, is_continue=True)


def test_resuming_a_finished_run_adds_no_rows(tmp_path: Path) -> None:
    train(tmp_path, evaluate=draw)
    before = rows(tmp_path)
    train(tmp_path, evaluate=draw, is_continue=True)
    assert rows(tmp_path) == before


def test_litter_of_killed_runs_is_cleared(tmp_path: Path) -> None:
    train(tmp_path, max_iter=1)
    space = space_of(tmp_path)
    os.replace(space / "latest", space / ".latest.0123abcd.old")  # as an earlier version put it aside
    for name in (".net_best_fid.0123abcd", "state/.unfinished"):
        (space / name).mkdir()
    trainer(options(tmp_path, is_continue=True, max_iter=1))
    assert (space / "latest").is_dir() and not list(space.glob(".*atest*")) and not list(space.glob(".net*"))
    assert not (space / "state" / ".unfinished").exists()


def test_a_state_that_does_not_fit_is_told_in_one_line(tmp_path: Path) -> None:
    train(tmp_path, max_iter=1)
    run = trainer(options(tmp_path, is_continue=True, max_iter=2), step=step)
    run.accelerator.load_state = lambda folder: (_ for _ in ()).throw(RuntimeError("key\n" * 500))
    with pytest.raises(UserError, match="does not fit this model") as told:
        run.fit(Batches())
    assert len(str(told.value)) < 300 + len(str(tmp_path)) * 2 and "\n" not in str(told.value)
