"""A crowd at the app: clients of whom a third ask for nonsense, cancel or hang up, and prompts that wait together.

    python -m benchmarks.crowd                            # 200 clients for 5 minutes, after 32 prompts at once
    python -m benchmarks.crowd --clients 20 --minutes 0.5
    python -m benchmarks.crowd --minutes 0 --rounds 5     # the prompts at once alone

Needs the extra `crowd`. The app runs in a process of its own, on the loopback address and the CPU. What is told:
motions a second with 32 prompts waiting, requests by what came of them, their times, and the memory of the app. The
exit code is 1 if a request got no answer or a wrong one, or if the app ended.
"""

import locust  # first: it makes sockets and threads of this process cooperative  # isort: skip

import argparse
import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import psutil
from locust.env import Environment
from locust.exception import StopUser

ROOT = Path(__file__).resolve().parent.parent
PROMPTS = (
    "a person walks forward", "someone waves with the right hand", "a man bows", "a person runs in a curve to the left",
    "she kicks with the left leg", "a person raises both hands", "he walks backward", "someone walks, then bows",
)  # fmt: skip
BAD: tuple[tuple[str, Any, int], ...] = (
    ("make", {"prompt": "  "}, 400),
    ("make", {"prompt": "walk", "seconds": -1}, 422),
    ("make", {"prompt": "walk " * 1000}, 422),
    ("make", {"prompt": "walk", "unknown": 1}, 422),
    ("make", {"prompt": "w" * 100_000}, 413),
    ("edit", {"prompt": "walk", "motion": "nobody", "start": 0, "end": 1}, 400),
    ("describe", {"motion": "nobody"}, 400),
    ("search", {"prompt": "walk"}, 400),
    ("make", b"{", 422),
    ("make", b"\xff\xfe", 422),
)
"""Requests that nobody can answer: path, body and status."""
WAITING = 32
WAYS: dict[str, dict[str, bool | int]] = {
    "as by default": {},
    "without captions": {"caption": False},
    "and without foot clean-up": {"caption": False, "clean_feet": False},
    "without captions, in 4 rounds": {"caption": False, "steps": 4},
}
"""How prompts are asked for at once: what `make` is told."""
REFUSED, CANCELLED = 503, 409


@dataclass
class Seen:
    """What came of requests."""

    by_kind: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of the motions that were made."""
    faults: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and MB of the app."""


@contextmanager
def app(queue: int, precision: str = "float32") -> Iterator[tuple[str, psutil.Process]]:
    """The app's address and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "app.py", "--port", str(port), "--queue", str(queue), "--gpu_id", "-1"]
    words += ["--precision", precision]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                if process.poll() is not None:
                    raise SystemExit(f"the app ended with exit code {process.returncode}; {' '.join(words)} says why")
                try:
                    urllib.request.urlopen(f"{address}/openapi.json", timeout=1).read()
                    break
                except OSError:
                    time.sleep(0.2)
            else:
                raise SystemExit("the app did not answer within two minutes")
            yield address, psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def post(address: str, path: str, ask: dict[str, Any]) -> Any:
    """The answer of the app."""
    body = json.dumps(ask).encode()
    asked = urllib.request.Request(f"{address}/api/{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=600) as answer:
        return json.load(answer)


def together(address: str, waiting: int, seconds: float, **more: Any) -> float:
    """Motions a second where `waiting` prompts come at once, from the first byte sent to the last answer read."""
    asks = [{"prompt": PROMPTS[i % (len(PROMPTS) - 1)], "seconds": seconds, "seed": i, **more} for i in range(waiting)]
    began = time.monotonic()
    answers = [gevent.spawn(post, address, "make", ask) for ask in asks]
    gevent.joinall(answers, raise_error=True)
    return waiting / (time.monotonic() - began)


def client_of(seen: Seen, draw: random.Random) -> type[locust.HttpUser]:
    """Clients that write down what they see."""

    class Client(locust.HttpUser):
        """Two thirds make motions and fetch files of some; the others ask for nonsense, cancel or hang up."""

        wait_time = locust.between(0.5, 3)

        def ask(self, name: str, path: str, body: Any, expected: Sequence[int], **how: Any) -> Any:
            """The answer, if it was one of those expected; else a fault."""
            given = {"data": body} if isinstance(body, bytes) else {"json": body}
            with self.client.post(f"/api/{path}", **given, name=name, catch_response=True, **how) as answer:
                if answer.status_code not in expected:
                    seen.faults.append(f"{name} {str(body)[:80]}: {answer.status_code} {answer.text[:200]!r}")
                    answer.failure("unexpected")
                    raise StopUser
                if answer.status_code != 200 and "\n" in answer.json()["detail"]:
                    seen.faults.append(f"{name}: {answer.text[:200]!r} is not one line")
                answer.success()
                return answer

        @locust.task(4)
        def make(self) -> None:
            """A motion, and sometimes a file of it."""
            began = time.monotonic()
            body = {"prompt": draw.choice(PROMPTS), "seconds": draw.choice([2, 3, 5]), "seed": draw.randrange(1000)}
            answer = self.ask("make", "make", body, (200, REFUSED), timeout=300)
            if answer.status_code == REFUSED:
                seen.by_kind["refused, the queue being full"] += 1
                return
            seen.by_kind["motions made"] += 1
            seen.seconds.append(time.monotonic() - began)
            if draw.random() < 0.3:
                address = answer.json()["motions"][0]["files"][draw.choice(["npy", "bvh", "glb"])]
                with self.client.get(address, name="file", catch_response=True, timeout=300) as file:
                    # 400: so many were made meanwhile that the motion is forgotten.
                    if file.status_code not in (200, 400, REFUSED):
                        seen.faults.append(f"file: {file.status_code}")
                    file.success()
                    seen.by_kind["files fetched" if file.status_code == 200 else "files refused"] += 1

        @locust.task
        def nonsense(self) -> None:
            """What cannot be answered."""
            path, body, status = draw.choice(BAD)
            self.ask("nonsense", path, body, (status, REFUSED))
            seen.by_kind["nonsense, answered by one line"] += 1

        @locust.task
        def leave(self) -> None:
            """A motion that is cancelled, or not waited for."""
            body = {"prompt": draw.choice(PROMPTS), "seconds": 5, "job": f"job {draw.randrange(10**12)}"}
            if draw.random() < 0.5:
                asked = gevent.spawn(self.ask, "cancelled", "make", body, (200, CANCELLED, REFUSED), timeout=300)
                gevent.sleep(draw.random() * 2)
                self.client.post(f"/api/cancel/{body['job']}", name="cancel")
                status = asked.get().status_code
                seen.by_kind[{200: "cancelled too late", CANCELLED: "cancelled", REFUSED: "refused"}[status]] += 1
            else:
                with self.client.post("/api/make", json=body, name="hung up", timeout=0.3, catch_response=True) as one:
                    one.success()
                seen.by_kind["hung up"] += 1

    return Client


def crowd(address: str, process: psutil.Process, clients: int, minutes: float, seed: int) -> Seen:
    """What `clients` see in some minutes."""
    seen = Seen()
    user = client_of(seen, random.Random(seed))
    user.host = address
    environment = Environment(user_classes=[user], catch_exceptions=True)
    runner = environment.create_local_runner()
    began = time.monotonic()
    runner.start(clients, spawn_rate=20)
    while (now := time.monotonic() - began) < 60 * minutes:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            seen.faults.append("the app has ended")
            break
        seen.memory.append((now, process.memory_info().rss / 2**20))
        gevent.sleep(2)
    runner.stop()
    lost = {name: count for (name, count) in _lost(environment).items() if count}
    seen.faults += [f"{name}: {count} times" for name, count in lost.items()]
    return seen


def _lost(environment: Environment) -> dict[str, int]:
    """Requests that got no answer: errors of connections, by their text."""
    return {error.to_name(): error.occurrences for error in environment.stats.errors.values()}


def report(seen: Seen) -> list[str]:
    """Lines that tell what was seen."""
    lines = [f"{kind}: {count}" for kind, count in sorted(seen.by_kind.items())]
    if seen.seconds:
        ordered = sorted(seen.seconds)
        half, most = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
        lines.append(f"a motion that was made took {half:.1f} s (p50), {most:.1f} s (p95), with the wait")
    minutes: dict[int, list[float]] = {}
    for seconds, memory in seen.memory:
        minutes.setdefault(int(seconds // 60), []).append(memory)
    means = ", ".join(f"{sum(some) / len(some):.0f}" for some in minutes.values())
    lines.append(f"memory of the app, MB, mean of each minute: {means}")
    return lines + [f"FAULT {fault}" for fault in dict.fromkeys(seen.faults)]


def main() -> None:
    """Prompts that wait together, then the crowd."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200, help="at a time")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the crowd; 0: none")
    parser.add_argument("--waiting", type=int, default=WAITING, help="prompts at once")
    parser.add_argument("--seconds", type=float, nargs="+", default=[3.0, 6.0], help="of the motions of these")
    parser.add_argument("--rounds", type=int, default=3, help="of prompts at once, whose median is told")
    parser.add_argument("--queue", type=int, default=WAITING, help="requests that may wait, as of the app")
    parser.add_argument("--precision", default="float32", help="that of the app")
    parser.add_argument("--seed", type=int, default=0, help="of what the clients do")
    given = parser.parse_args()
    seen = Seen()
    with app(max(given.queue, given.waiting), given.precision) as (address, process):
        post(address, "make", {"prompt": PROMPTS[0], "seconds": 3})  # the captioner is loaded, weights are packed
        for seconds in given.seconds if given.rounds else ():
            for name, more in WAYS.items():
                rates = [together(address, given.waiting, seconds, **more) for _ in range(given.rounds)]
                told = f"{statistics.median(rates):.1f} motions a second ({min(rates):.1f} to {max(rates):.1f})"
                print(f"{given.waiting} prompts of {seconds:g} s at once, {name}: {told}", flush=True)
        if given.minutes:
            seen = crowd(address, process, given.clients, given.minutes, given.seed)
            print("\n".join(report(seen)))
    raise SystemExit(bool(seen.faults))


if __name__ == "__main__":
    main()
