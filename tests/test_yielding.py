"""Threads yield where others need the processor, and spin where not; what is computed stays the same."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from lamp.utils.threads import yielding
from lamp.utils.threads.yielding import Look, Yielding, gnu_openmp

ROOT = Path(__file__).resolve().parent.parent
on_linux = pytest.mark.skipif(not yielding.CAN, reason="needs Linux, and the usual way of waiting")
NAME = "more threads than cores"


def test_what_others_use_of_the_cores_that_we_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert Yielding.wanted(Look(0, 0, 0), Look(2, 6, 4)) == 1  # 6 s were used in 2 s, 4 of them by us
    assert Yielding.wanted(Look(0, 5, 1), Look(2, 9, 5)) == 0
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert Yielding.wanted(Look(0, 0, 0), Look(1, 3, 2)) == -1  # one other, and two cores to spare


@on_linux
def test_it_begins_where_others_compute_and_ends_where_they_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    openmp = gnu_openmp()
    if openmp is None:
        pytest.skip("PyTorch brings another OpenMP here")
    monkeypatch.setattr(torch, "get_num_threads", lambda: len(os.sched_getaffinity(0)))
    looks = iter([Look(0, 0, 0), Look(1, 20, 0), Look(2, 40, 0), Look(3, 40, 0), Look(9, 90, 0), Look(19, 190, 6)])
    monkeypatch.setattr(Yielding, "_look", staticmethod(lambda: next(looks)))
    monkeypatch.setattr(Yielding, "wanted", staticmethod(lambda before, after: after.used - before.used))
    one, seen = Yielding(), list[bool]()
    a, b = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(0)).unbind()
    product = a @ b
    one.mind()
    assert not one.on  # nothing is known yet
    for _ in range(5):
        one.mind()
        seen.append(one.on)
        assert torch.equal(a @ b, product)
        assert one.on == any(thread.name == NAME for thread in threading.enumerate())
    # Before the last but one, it was long idle; before the last, it worked for long.
    assert seen == [True, True, False, False, True]
    one.end()


@on_linux
def test_looks_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yielding, "WINDOW", 600.0)  # however slow the machine
    one, looks = Yielding(), list[int]()
    monkeypatch.setattr(one, "_look", lambda: looks.append(1) or Look(time.monotonic(), 0, 0))
    for _ in range(1000):
        one.mind()
    assert len(looks) <= 1


@on_linux
def test_what_cannot_be_done_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(yielding, "STATISTICS", tmp_path / "none")
    one = Yielding()
    for _ in range(2):
        one.mind()
    assert not one.on
    (tmp_path / "maps").write_text(
        "7f r-xp 0 0:0 1 /a/libgomp.so.1\n7f r-xp 0 0:0 1 /b c/libgomp-1.so.1.0\n7f 0 [heap]\n"
    )
    monkeypatch.setattr(yielding, "MAPS", tmp_path / "maps")
    assert gnu_openmp() is None


@on_linux
@pytest.mark.parametrize(
    ("name", "value"), [("GOMP_SPINCOUNT", "1000"), ("OMP_WAIT_POLICY", "active"), ("LAMP_FAST", "0")]
)
def test_who_says_how_threads_wait_is_not_contradicted(name: str, value: str) -> None:
    code = "from lamp.utils.threads import yielding; y = yielding.Yielding(); y.mind(); print(yielding.CAN, y.on)"
    words, environment = [sys.executable, "-c", code], os.environ | {name: value}
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@on_linux
def test_a_forked_child_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yielding._of_this_process, "_holder", threading.Thread())
    assert yielding._of_this_process.on
    child = os.fork()
    if not child:
        os._exit(int(yielding._of_this_process.on))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
