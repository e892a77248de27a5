"""Ten minutes of ordinary work and a few kills: ``make soak``.

Readers, submitters, waiting requests, event streams and pages use one API, one poller
follows the jobs, and another is killed twice; the embedded PostgreSQL is killed three
times. It shows whether memory grows while the load does not, which answers were
wrong, and how long it takes until all goes on after a kill.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
from attrs import define, field, frozen

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.attacks.measure import memory
from tests.attacks.soak_galaxy import KEY, WORKFLOW, small_galaxy
from tests.support.service import Command, Service, environment, running
from tests.support.sse import Events


MAX_SLOPE = 0.1
"""MB a minute that the memory of a process may grow, once it has warmed up."""

MAX_UNSEEN = 30.0
"""Seconds after the kill of a poller until every job has been looked at again."""

RECOVERY_LIMIT = 60.0
"""Seconds for which a recovery is waited for."""

SAMPLE_INTERVAL = 5.0
"""Seconds between two samples of memory."""

EXCUSE_TIME = 30.0
"""Seconds after a kill in which a 5xx may tell of it."""

EXCUSED = frozenset(
    {
        (503, "database-unavailable"),
        (503, "galaxy-unavailable"),
        (504, "outcome-unknown"),
    }
)
"""The status and problem of answers that are right while something is killed."""

EVENT_STREAMS = 20
PAGE_STREAMS = 10
READ_PATHS = (
    "/jobs",
    "/jobs?state=in_progress&limit=200",
    "/jobs?workflow_name=two%20steps&limit=20",
    "/jobs/{job}",
    "/jobs/{job}/history",
    "/jobs/{job}/outputs",
    "/datasets",
    "/workflows",
    "/workflows/two%20steps",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/schema/openapi.json",
    "/jobs/0000000000000000",
    "/jobs?cursor=none",
    "/",
    "/ui/jobs/{job}",
    "/docs",
)


@frozen
class Kill:
    """A process that was killed, and the times of recovery in seconds.

    Attributes:
        what: What was killed.
        at: When, in seconds since the start of the soak.
        reads: Until reads were answered again for good.
        accepted: Until a submission was accepted.
        looked: Until every job that was active has been looked at.
    """

    what: str
    at: float
    reads: float
    accepted: float
    looked: float

    def broken(self) -> list[str]:
        """Return a sentence for each recovery that took too long."""
        limits = {
            "reads": (self.reads, RECOVERY_LIMIT),
            "a submission": (self.accepted, RECOVERY_LIMIT),
            "a look at every job": (
                self.looked,
                MAX_UNSEEN if self.what == "poller" else RECOVERY_LIMIT,
            ),
        }
        return [
            f"{name} took {seconds:.1f} s (at most {limit:g}) after the kill of the "
            f"{self.what} at {self.at:.0f} s"
            for name, (seconds, limit) in limits.items()
            if seconds >= limit
        ]


@define(eq=False)
class Soak:
    """The service, its clients, and what they have seen."""

    jobs: Service
    server: EmbeddedPostgres
    seconds: float
    began: float = field(factory=time.monotonic)
    stopping: threading.Event = field(factory=threading.Event)
    answers: Counter[tuple[int, str]] = field(factory=Counter)
    wrong: list[str] = field(factory=list)
    known: list[str] = field(factory=list)
    accepted_at: float = 0.0
    kills: list[Kill] = field(factory=list)
    killed_at: list[float] = field(factory=list)
    samples: list[tuple[float, float, float]] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    def job(self) -> str:
        """Return the id of one of the latest jobs."""
        with self._lock:
            return random.choice(self.known[-200:] or ["0000000000000000"])

    def send(
        self, session: requests.Session, method: str, path: str, **options: Any
    ) -> requests.Response | None:
        """Send a request and count the answer; None: there was none."""
        began = time.monotonic()
        status, code, answer = 0, "no answer", None
        with suppress(requests.RequestException):
            answer = session.request(
                method, self.jobs.url + path, timeout=90, **options
            )
            status, code = answer.status_code, _code(answer)
        self.count(f"{method} {path}", status, code, began)
        return answer

    def count(self, what: str, status: int, code: str, began: float) -> None:
        """Count an answer, which may be wrong."""
        now = time.monotonic()
        excused = (status, code) in EXCUSED and any(
            began - EXCUSE_TIME <= at <= now for at in self.killed_at
        )
        with self._lock:
            self.answers[status, code] += 1
            if (status == 0 or status >= 500) and not excused:
                at = began - self.began
                self.wrong.append(f"{status} {code} to {what} at {at:.0f} s")

    # --- clients; each is a thread ---

    def read(self) -> None:
        """Read everything there is to read."""
        with requests.Session() as session:
            while not self.stopping.wait(random.uniform(0.02, 0.1)):
                path = random.choice(READ_PATHS).replace("{job}", self.job())
                self.send(session, "GET", path)

    def submit(self) -> None:
        """Submit, some of it wrong or repeated, cancel and run again."""
        with requests.Session() as session:
            while not self.stopping.wait(random.uniform(0.3, 0.9)):
                key = str(uuid4())
                wish = {
                    "dataset_id": f"reads-{random.randrange(20)}",
                    "workflow_name": WORKFLOW,
                    "parameters": {"sleep_s": random.randrange(70)},
                    "overwrite": random.random() < 0.2,
                }
                for _ in range(random.choice([1, 1, 1, 2])):
                    began = time.monotonic()
                    answer = self.send(
                        session,
                        "POST",
                        "/jobs",
                        json=wish,
                        headers={"Idempotency-Key": key},
                    )
                    if answer is not None and answer.status_code == 201:
                        with self._lock:
                            self.known.append(answer.json()["invocation_id"])
                            self.accepted_at = max(self.accepted_at, began)
                chance = random.random()
                if chance < 0.1:
                    self.send(session, "POST", f"/jobs/{self.job()}/cancel")
                elif chance < 0.2:
                    self.send(session, "POST", f"/jobs/{self.job()}/rerun")

    def wait_for_changes(self) -> None:
        """Wait for changes of jobs."""
        with requests.Session() as session:
            while not self.stopping.wait(0.1):
                seconds = random.choice([1, 3, 10])
                self.send(session, "GET", f"/jobs/{self.job()}?wait={seconds}")

    def stream(self, path: str) -> None:
        """Read streams, each for a while."""
        while not self.stopping.wait(random.uniform(0, 0.5)):
            began = time.monotonic()
            address = self.jobs.url + path.replace("{job}", self.job())
            status, code = 0, "no answer"
            with suppress(OSError, HTTPException):
                events = Events(address)
                status = events.status
                code = _stream_code(events)
                events.ended.wait(random.uniform(1, 30) if status == 200 else 0.5)
                events.close()
            self.count(f"stream {path}", status, code, began)

    def clients(self) -> Sequence[Callable[[], None]]:
        """Return all clients."""
        streams = ["/jobs/events"] * EVENT_STREAMS + [
            "/ui/events?mark=none",
            "/ui/jobs/{job}/events?mark=none",
        ] * (PAGE_STREAMS // 2)
        return [
            *[self.read] * 5,
            *[self.submit] * 2,
            *[self.wait_for_changes] * 4,
            *[lambda path=path: self.stream(path) for path in streams],
        ]

    # --- kills ---

    def kill_database(self) -> None:
        """Kill the embedded PostgreSQL, and watch all recover."""
        pid = int((self.server.data / "postmaster.pid").read_text().split()[0])
        self._recover("PostgreSQL", lambda: os.kill(pid, signal.SIGKILL))

    def kill_poller(self) -> None:
        """Kill the poller that was started last, start another, and watch."""

        def kill() -> None:
            self.jobs.commands[-1].process.kill()
            self.jobs.commands[-1].process.wait()

        # A supervisor starts another; the claims of the dead one are what matters.
        self._recover("poller", kill)
        self.jobs.poll()

    def _recover(self, what: str, kill: Callable[[], None]) -> None:
        active = set(self._active() or {})
        killed, killed_utc = time.monotonic(), _utc()
        self.killed_at.append(killed)
        kill()
        reads = looked = accepted = RECOVERY_LIMIT
        failed = True
        with requests.Session() as session:
            while not self.stopping.wait(0.1):
                if (passed := time.monotonic() - killed) >= RECOVERY_LIMIT:
                    break
                answer = self.send(session, "GET", "/jobs?limit=1")
                if answer is None or answer.status_code != 200:
                    failed = True
                elif failed:
                    failed, reads = False, time.monotonic() - killed
                if accepted == RECOVERY_LIMIT and self.accepted_at > killed:
                    accepted = passed
                if looked == RECOVERY_LIMIT:
                    found = self._active()
                    if found is not None and not any(
                        found.get(id_, "9") < killed_utc for id_ in active
                    ):
                        looked = passed
                calm = passed > 5
                if calm and not failed and max(accepted, looked) < RECOVERY_LIMIT:
                    break
        if failed:
            reads = RECOVERY_LIMIT
        self.kills.append(Kill(what, killed - self.began, reads, accepted, looked))

    def _active(self) -> dict[str, str] | None:
        """Return when each active job was observed; None without an answer."""
        found: dict[str, str] = {}
        path = "/jobs?state=in_progress&state=queued&state=cancelling&limit=200"
        with requests.Session() as session:
            cursor = ""
            while True:
                answer = self.send(session, "GET", path + cursor)
                if answer is None or answer.status_code != 200:
                    return None
                page = answer.json()
                found |= {
                    job["invocation_id"]: job["observed_at"] or ""
                    for job in page["items"]
                }
                if page["next_cursor"] is None:
                    return found
                cursor = f"&cursor={page['next_cursor']}"

    # --- the run ---

    def run(self, api: Command, poller: Command) -> None:
        """Let clients and kills happen, and sample memory."""
        threads = [
            threading.Thread(target=client, daemon=True) for client in self.clients()
        ]
        for thread in threads:
            thread.start()
        killer = threading.Thread(target=self._kill_all, daemon=True)
        killer.start()
        while self.elapsed < self.seconds:
            self.samples.append(
                (self.elapsed, memory(api.process.pid), memory(poller.process.pid))
            )
            if len(self.samples) % 12 == 1:
                _, first, second = self.samples[-1]
                say(
                    f"[{self.elapsed / 60:4.1f} min] API {first:.1f} MB, poller "
                    f"{second:.1f} MB, {self.answers.total()} answers"
                )
            time.sleep(SAMPLE_INTERVAL)
        self.stopping.set()
        for thread in [killer, *threads]:
            thread.join(100)
        for command, name in ((api, "API"), (poller, "poller")):
            if command.process.poll() is not None:
                self.wrong.append(f"the {name} ended: {command.log.read_text()[-500:]}")

    def _kill_all(self) -> None:
        kills = [
            (0.12, self.kill_database),
            (0.25, self.kill_poller),
            (0.40, self.kill_database),
            (0.55, self.kill_poller),
            (0.72, self.kill_database),
        ]
        for share, kill in kills:
            if self.stopping.wait(max(share * self.seconds - self.elapsed, 0)):
                return
            kill()

    def report(self) -> list[str]:
        """Print the table; return a sentence for each bar that was broken."""
        warm = self.seconds / 2
        print("minute  API MB  poller MB")
        for minute in range(int(self.seconds // 60) + 1):
            at, api, poller = min(self.samples, key=lambda s: abs(s[0] - 60 * minute))
            print(f"{at / 60:6.1f}  {api:6.1f}  {poller:9.1f}")
        broken = [*self.wrong[:20], *(b for kill in self.kills for b in kill.broken())]
        for name, column in (("API", 1), ("poller", 2)):
            points = [(s[0] / 60, s[column]) for s in self.samples if s[0] >= warm]
            slope = slope_of(points)
            print(
                f"slope of the {name} after {warm / 60:g} minutes: {slope:+.3f} MB a "
                f"minute (at most {MAX_SLOPE:g})"
            )
            if slope > MAX_SLOPE:
                broken.append(f"the {name} grows by {slope:.3f} MB a minute")
        print("killed       at s   reads s  accepted s  looked at s")
        for kill in self.kills:
            print(
                f"{kill.what:10}  {kill.at:5.0f}  {kill.reads:8.2f}  "
                f"{kill.accepted:10.2f}  {kill.looked:11.2f}"
            )
        print("status  answers")
        for (status, code), number in sorted(self.answers.items()):
            print(f"{status:6}  {number:7}  {code}")
        print(
            f"answers={self.answers.total()} jobs={len(self.known)} "
            f"kills={len(self.kills)} wrong={len(self.wrong)}"
        )
        return broken


def slope_of(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a line through points, by least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum(
        (x - mean_x) ** 2 for x, _ in points
    )


def say(words: object) -> None:
    print(words, file=sys.stderr, flush=True)


def _utc() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())


def _code(answer: requests.Response) -> str:
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("application/problem+json"):
        return str(answer.json()["type"].rpartition(":")[2])
    return kind.partition(";")[0] if answer.status_code >= 400 else ""


def _stream_code(events: Events) -> str:
    if events.status == 200:
        return "stream"
    # The body is read by its thread; the status says enough of streams.
    return {503: "database-unavailable"}.get(events.status, "stream")


@contextmanager
def scene(galaxy: str) -> Iterator[tuple[Service, EmbeddedPostgres]]:
    """Give a service with an embedded PostgreSQL of its own."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    env = environment(folder, database="", galaxy=galaxy, key=KEY)
    del env["DATABASE_URL"]
    server = EmbeddedPostgres(folder)
    try:
        with server, running(Service(env, folder, cold=True)) as jobs:
            yield jobs, server
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run the soak; return 1 if a bar was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    minutes: float = parser.parse_args().minutes
    with small_galaxy() as galaxy, scene(galaxy) as (jobs, server):
        api = jobs.serve()
        for number in range(20):
            body = {
                "dataset_id": f"reads-{number}",
                "name": f"reads {number}",
                "source": {"src": "hda", "id": f"{number:016x}"},
            }
            jobs.post("/datasets", body)
        poller = jobs.poll(1)
        jobs.poll(1)
        soak = Soak(jobs, server, 60 * minutes)
        soak.run(api, poller)
    broken = soak.report()
    for sentence in broken:
        print(f"BROKEN: {sentence}")
    print("soak: " + ("BROKEN" if broken else "held"))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
