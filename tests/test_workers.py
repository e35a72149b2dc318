"""Commands with worker processes leave none of them behind, and nothing half-written."""

import gc
import os
import signal
import subprocess
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.files import atomic_path
from lamp.utils.threads.garbage import starting
from lamp.utils.workers import helper, worker_pool

psutil = pytest.importorskip("psutil")

BUILDS = """
import signal, sys, time
from pathlib import Path
from lamp.utils.errors import main_with_errors
from lamp.utils.files import atomic_folder
from lamp.utils.workers import worker_pool

# What starts tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

@main_with_errors
def main():
    with atomic_folder(sys.argv[1]) as folder, worker_pool(2) as pool:
        list(pool.map(abs, range(8)))
        slow = [pool.submit(time.sleep, 600) for _ in range(4)]
        print("working", flush=True)
        slow[0].result()
main()
"""


def square(value: int) -> int:
    return value * value


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_command(tmp_path: Path, number: int) -> None:
    command, root = [sys.executable, "-c", BUILDS, str(tmp_path / "set")], Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None and process.stdout.readline() == "working\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.send_signal(number)
        try:
            told = process.communicate(timeout=30)[1]
        finally:
            process.kill()
    end = time.monotonic() + 10
    while any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers):
        assert time.monotonic() < end, "a worker is still alive"
        time.sleep(0.05)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number and told.count("\n") == 1, told
        assert not list(tmp_path.iterdir())


def modules() -> set[str]:
    return set(sys.modules)


def test_a_helper_has_only_what_it_was_prepared_with() -> None:
    with helper(partial(import_module, "lamp.utils.export.video")) as process:
        found = process.submit(modules).result()
    assert "lamp.utils.export.video" in found and "torch" not in found


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_error_ends_a_helper_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match="mistake"), helper(time.time) as process:
        process.submit(time.sleep, 600)
        raise UserError("mistake")
    assert time.monotonic() - begun < 60


def write_slowly(path: Path) -> None:
    with atomic_path(path) as aside:
        aside.write_bytes(b"half")
        (path.parent / "begun").touch()
        time.sleep(600)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_helper_that_is_ended_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mistake"), helper(time.time) as process:
        process.submit(write_slowly, tmp_path / "whole.bin")
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        raise UserError("mistake")
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_a_helper_runs_nothing_of_what_started_it() -> None:
    program = "import time\nfrom lamp.utils.workers import helper\nprint('once')\nwith helper(time.time) as one:\n"
    program += "    print(one.submit(abs, -3).result())\n"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, cwd=root, timeout=120)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["once", "3"], "", 0)


def test_nobody_looks_for_garbage_while_a_command_starts() -> None:
    frozen = gc.get_freeze_count()
    with starting():
        with starting():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > frozen


def test_results_come_in_order() -> None:
    with worker_pool(2) as pool:
        assert list(pool.map(square, range(9))) == [i * i for i in range(9)]


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(UserError, match=r"one of 2 worker processes was killed.*; give fewer --num_workers"):
        with worker_pool(2, "--num_workers") as pool:
            pool.submit(os._exit, 1).result()


def test_signals_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main_with_errors(lambda: None)()
    assert signal.getsignal(signal.SIGTERM) is before
