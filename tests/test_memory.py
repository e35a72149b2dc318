"""Free memory that is given back to the system."""

import sys

import pytest

from lamp.utils.threads import memory


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was given back yet, and the C library is not known."""
    monkeypatch.setattr(memory, "_last", -memory.SECONDS)
    memory._malloc_trim.cache_clear()


@pytest.mark.skipif(memory._malloc_trim() is None, reason="not glibc")
def test_memory_is_given_back_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])
    assert memory.give_back() and not memory.give_back()
    now[0] += memory.SECONDS
    assert memory.give_back()


@pytest.mark.skipif(sys.platform != "linux", reason="how much a process has is read from /proc")
def test_what_lies_between_living_things_is_given_back() -> None:
    def resident() -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096 // 2**20

    pieces = [bytearray(100_000) for _ in range(2000)]  # below glibc's limit for pieces with a mapping of their own
    full = resident()
    pieces = pieces[::100]
    kept = resident()
    if memory.give_back():
        assert resident() < min(kept, full - 120)
    assert pieces


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        """A C library without that function."""

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Other())
    assert not memory.give_back()
