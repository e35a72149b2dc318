"""Requests of a kind that are computed together: who is computed with whom, what each gets, what ends what."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from lamp.serve.desk import BusyError, CancelledError, Desk, Kind
from lamp.utils.errors import UserError
from lamp.utils.motion import with_constant_bones

ROOT = Path(__file__).resolve().parent.parent


def wait(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def test_a_desk_lets_one_name_wait_once() -> None:
    desk = Desk(1)
    with desk.turn("a"):
        with pytest.raises(UserError, match="last request"), desk.turn("a"):
            pass
    with Desk(0).turn() as check:
        check()
    single = Desk(0)
    with single.turn(), pytest.raises(BusyError), single.turn():
        pass


def test_a_desk_serves_in_the_order_in_which_they_came() -> None:
    desk, order = Desk(20), list[int]()

    def come(number: int) -> None:
        with desk.turn():
            order.append(number)

    with ThreadPoolExecutor(20) as pool:
        with desk.turn():
            for number in range(20):
                pool.submit(come, number)
                wait(lambda: len(desk) == number + 2)  # noqa: B023
    assert order == list(range(20))


def test_a_closed_desk_sends_everybody_away() -> None:
    desk = Desk(1)
    with ThreadPoolExecutor(1) as pool, desk.turn() as check:
        waiting = pool.submit(lambda: desk.turn().__enter__())
        wait(lambda: len(desk) == 2)
        desk.close()
        with pytest.raises(BusyError, match="being stopped"):
            waiting.result(60)
        with pytest.raises(BusyError, match="being stopped"):
            check()


def crowd(desk: Desk, kind: Kind[int, int], items: list[int], sizes: list[int] | None = None) -> list[Future[int]]:
    """Results of items that come, one after the other, while somebody else is served."""
    pool = ThreadPoolExecutor(len(items))
    with desk.turn():
        before, futures = len(desk), list[Future[int]]()
        for place, item in enumerate(items, start=1):
            size = 1 if sizes is None else sizes[place - 1]
            futures.append(pool.submit(desk.together, str(item), kind, item, size))
            wait(lambda: len(desk) == before + place)  # noqa: B023
    pool.shutdown(wait=False)
    return futures


def test_requests_of_a_kind_are_computed_together() -> None:
    desk, batches = Desk(20), list[list[int]]()

    def double(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        batches.append(list(items))
        return [2 * item for item in items]

    futures = crowd(desk, Kind("a", double, 4), [1, 2, 3, 4, 5])
    assert [future.result(60) for future in futures] == [2, 4, 6, 8, 10]
    assert batches == [[1, 2, 3, 4], [5]] and len(desk) == 0
    batches.clear()
    futures = crowd(desk, Kind("a", double, 4), [1, 2, 3, 4], sizes=[2, 3, 2, 4])
    assert [future.result(60) for future in futures] == [2, 4, 6, 8]
    assert batches == [[1, 3], [2], [4]]


def test_requests_that_come_at_once_are_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the first one, which nobody is served before."""
    monkeypatch.setattr("lamp.serve.desk.GATHER", 60)
    monkeypatch.setattr("lamp.serve.desk.LONGEST", 60)
    desk, batches = Desk(20), list[list[int]]()

    def kept(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        batches.append(list(items))
        return list(items)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(desk.together, "", Kind("a", kept, 4), item) for item in (1, 2, 3, 4)]
        assert [future.result(50) for future in futures] == [1, 2, 3, 4]
    assert len(batches) == 1 and len(desk) == 0


def test_other_kinds_and_turns_stay_apart() -> None:
    desk, batches = Desk(20), list[list[int]]()

    def kept(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        batches.append(list(items))
        return list(items)

    with ThreadPoolExecutor(4) as pool:
        with desk.turn():
            futures = [pool.submit(desk.together, "", Kind(item % 2, kept, 4), item) for item in (1, 2, 3, 4)]
            wait(lambda: len(desk) == 5)
        assert [future.result(60) for future in futures] == [1, 2, 3, 4]
    assert sorted(map(sorted, batches)) == [[1, 3], [2, 4]]


def test_an_error_is_of_the_request_that_makes_it() -> None:
    desk, batches = Desk(20), list[list[int]]()

    def invert(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        batches.append(list(items))
        if 0 in items:
            raise UserError("zero")
        return [-item for item in items]

    futures = crowd(desk, Kind("a", invert, 8), [1, 2, 0, 3])
    assert [futures[place].result(60) for place in (0, 1, 3)] == [-1, -2, -3]
    with pytest.raises(UserError, match="zero"):
        futures[2].result(60)
    assert len(batches) == 5 and len(desk) == 0  # together, then one by one


def test_who_cancels_leaves_the_others_their_results() -> None:
    desk, begun, go_on = Desk(20), threading.Event(), threading.Event()

    def slow(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        begun.set()
        assert go_on.wait(60)
        check()
        return list(items)

    futures = crowd(desk, Kind("a", slow, 8), [1, 2, 3])
    assert begun.wait(60)
    assert desk.cancel("1") and desk.cancel("3")  # the one that computes, and one it computes for
    with pytest.raises(CancelledError):
        futures[2].result(60)
    go_on.set()
    assert futures[1].result(60) == 2
    with pytest.raises(CancelledError):
        futures[0].result(60)
    assert len(desk) == 0


def test_a_cancelled_name_is_free_again_though_its_place_computes_for_others() -> None:
    desk, begun, go_on = Desk(20), threading.Event(), threading.Event()

    def slow(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        begun.set()
        assert go_on.wait(60)
        return list(items)

    kind = Kind("a", slow, 8)
    futures = crowd(desk, kind, [1, 2])
    assert begun.wait(60) and desk.cancel("1") and not desk.cancel("1")
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(desk.together, "1", kind, 3)
        wait(lambda: len(desk) == 3)
        go_on.set()
        assert again.result(60) == 3 and futures[1].result(60) == 2


def test_who_failed_together_takes_nobody_along() -> None:
    desk, batches, go_on = Desk(20), list[list[int]](), threading.Event()

    def invert(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        batches.append(list(items))
        if len(batches) > 1:
            assert go_on.wait(60)
        if 0 in items:
            raise UserError("zero")
        return [-item for item in items]

    kind = Kind("a", invert, 8)
    futures = crowd(desk, kind, [1, 0])
    wait(lambda: len(batches) == 2)
    with ThreadPoolExecutor(2) as pool:
        late = [pool.submit(desk.together, str(item), kind, item) for item in (5, 6)]
        wait(lambda: len(desk) == 4)
        go_on.set()
        assert [one.result(60) for one in late] == [-5, -6] and futures[0].result(60) == -1
    with pytest.raises(UserError, match="zero"):
        futures[1].result(60)
    assert batches[:3] == [[1, 0], [1], [0]] and sorted(batches[3]) == [5, 6]


def test_when_all_have_cancelled_computing_ends() -> None:
    desk, begun, ended = Desk(20), threading.Event(), threading.Event()

    def endless(items: Sequence[int], check: Callable[[], None]) -> list[int]:
        begun.set()
        try:
            while True:
                check()
                time.sleep(0.01)
        finally:
            ended.set()

    futures = crowd(desk, Kind("a", endless, 8), [1, 2])
    assert begun.wait(60)
    assert desk.cancel("1") and desk.cancel("2") and ended.wait(60)
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(60)


def test_a_crowd_gets_what_each_gets_alone() -> None:
    """The shipped models: the same bits, with and without a length, whole and clause by clause."""
    schemas = pytest.importorskip("lamp.web.schemas", reason="needs the extra app")
    from lamp.models.pipeline import LaMPPipeline
    from lamp.web.studio import Studio

    studio = Studio(LaMPPipeline.from_pretrained(), waiting=8)
    prompts = ["a person walks", "someone bows", "he runs", "a person walks, then bows", "a person kicks"]
    asks = [
        schemas.MakeAsk(prompt=prompt, seed=place, seconds=None if place > 3 else 2 + place, caption=place < 2)
        for place, prompt in enumerate(prompts)
    ]
    sizes, make_all = list[int](), studio._make_all

    def counted(given: Sequence[schemas.MakeAsk], check: Callable[[], None]) -> object:
        sizes.append(len(given))
        return make_all(given, check)

    studio._make_all = counted

    def made(ask: schemas.MakeAsk) -> tuple[np.ndarray, str]:
        (motion,) = studio.make(ask).motions
        return studio.kept(motion.id).shown.joints, motion.caption

    alone = [made(ask) for ask in asks]
    assert sizes == [1] * 5
    with ThreadPoolExecutor(5) as pool:
        with studio.desk.turn():
            futures = [pool.submit(made, ask) for ask in asks]
            wait(lambda: len(studio.desk) == 6)
        together = [future.result(120) for future in futures]
    assert sorted(sizes[5:]) == [1, 2, 2]
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]
    assert [bool(caption) for _, caption in alone] == [True, True, False, False, False]


def test_motions_alone_and_together_have_the_same_bits() -> None:
    """The shipped models with `alone`: of many lengths, whole and clause by clause, in any company."""
    from lamp.models.pipeline import LaMPPipeline

    pipe = LaMPPipeline.from_pretrained()
    prompts = [
        "a person walks",
        "someone walks, then bows",
        "he runs",
        "a man stops, then kicks, then sits down",
        "jumps",
    ]
    lengths, seeds, steps = [24, 100, 196, 150, 30], [5, 6, 7, 8, 9], {"time_steps": 2, "alone": True}
    together = pipe(prompts * 2, lengths * 2, seeds=seeds * 2, **steps)
    some = [3, 0, 4]
    fewer = pipe([prompts[i] for i in some], [lengths[i] for i in some], seeds=[seeds[i] for i in some], **steps)
    for i, (prompt, length, seed) in enumerate(zip(prompts, lengths, seeds)):
        (alone,) = pipe(prompt, length, seed=seed, **steps)
        others = [together[i], together[i + 5], *([fewer[some.index(i)]] if i in some else [])]
        for rigid, motion in zip(with_constant_bones(others), others):
            np.testing.assert_array_equal(motion.features, alone.features)
            np.testing.assert_array_equal(motion.joints, alone.joints)
            np.testing.assert_array_equal(rigid.joints, alone.with_constant_bones().joints)
            assert rigid.features is None and rigid.fit is not None


def test_a_small_crowd_loses_nothing() -> None:
    """The benchmark of the crowd, small: over HTTP, a third of the requests nonsense, cancelled or not waited for."""
    if find_spec("locust") is None:  # not imported: it changes the sockets and locks of the process that does
        pytest.skip("needs the extra crowd")
    command = [sys.executable, "-m", "benchmarks.crowd", "--clients", "12", "--minutes", "0.15", "--rounds", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "motions made" in done.stdout and "memory of the app" in done.stdout and "FAULT" not in done.stdout
