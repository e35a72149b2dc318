"""Commands with worker processes leave none of them behind, and nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lamp.utils.errors import UserError, main_with_errors
from lamp.utils.workers import worker_pool

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
