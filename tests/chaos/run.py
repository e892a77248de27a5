"""The run itself: the weather, the killer, and everybody at work in it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import requests
from attrs import define, field, frozen

from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.embedded.samples import call, upload_text
from tests.chaos import unsafe
from tests.chaos.clients import QUICK, SLEEPS, Clients
from tests.chaos.events import FAILURES, Events
from tests.chaos.judge import Verdict, judge, runs, undecided
from tests.support import workflows
from tests.support.proxy import Fate, Passing, Proxy
from tests.support.service import Command, Service, environment, running
from tests.support.truth import Truth


SETTINGS = """
[submit]
deadline = 4
fence_wait = 1
lease = 3
retry_in = 0.5
look_again = 6
[poll]
min_interval = 0.3
max_interval = 2
lease = 3
[webhooks]
allow_http = true
allowed_networks = ["127.0.0.0/8"]
"""
GALAXY_TIMEOUT = 4.0
LET_GO = "&options=-c%20idle_in_transaction_session_timeout%3D2000"
SETTLED_WITHIN = 240.0
DELIVER_EACH = 10
"""So many looks are between two times that deliveries are made due."""

EVERY_FAULT = frozenset(
    {
        "busy before",
        "database killed",
        "delay after",
        "delay before",
        "drop after",
        "drop before",
        "error after",
        "error before",
        "hold after",
        "hold before",
        "pause",
        *FAILURES,
    }
)

BEGINS = ("/api/histories", "/invocations")
"""How the paths of those POSTs end with which a run begins."""


@frozen(kw_only=True)
class Plan:
    """How much of what there is to be.

    Attributes:
        seed: For everything that is left to chance, but for when it happens.
        submissions: At least so many.
        kills: At least so many processes are killed.
        restarts: So often PostgreSQL is killed and started again.
        clients: How many there are at the same time.
        apis: How many APIs.
        pollers: How many pollers.
        unsafe: Whether the submission is recorded only after the invoke.
    """

    seed: int
    submissions: int = 300
    kills: int = 100
    restarts: int = 2
    clients: int = 6
    apis: int = 2
    pollers: int = 2
    unsafe: bool = False


@define(eq=False)
class Weather:
    """Decides the fate of what passes between the service and Galaxy.

    Attributes:
        chance: What it is left to.
        fair: Whether everything passes now.
        faults: How often what has happened.
    """

    chance: random.Random
    fair: bool = False
    faults: Counter[str] = field(factory=Counter)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def __call__(self, passing: Passing) -> Fate:
        begins = passing.method == "POST" and passing.path.partition("?")[0].endswith(
            BEGINS
        )
        with self._lock:
            if self.fair or self.chance.random() > (0.15 if begins else 0.02):
                return Fate.PASS
            kind = self.chance.choice(
                ["drop", "error", "delay", "hold", "busy"]
                if passing.stage == "before"
                else ["drop", "error", "delay", "hold"]
            )
            self.faults[f"{kind} {passing.stage}"] += 1
            # A held one goes on when its sender has given up long ago.
            wait = {"delay": 1.5, "hold": 2 * GALAXY_TIMEOUT}.get(kind, 0.0)
            wait *= self.chance.uniform(0.6, 1)
        time.sleep(wait)
        fates = {"drop": Fate.DROP, "error": Fate.ERROR, "busy": Fate.BUSY}
        return fates.get(kind, Fate.PASS)


@define(eq=False)
class Processes:
    """Keeps APIs and pollers there, whatever becomes of them."""

    jobs: Service
    urls: dict[str, Command] = field(factory=dict)
    pollers: list[Command] = field(factory=list)
    kills: int = 0

    def add_api(self) -> None:
        command = self.jobs.serve()
        self.urls = {**self.urls, self.jobs.url: command}

    def add_poller(self) -> None:
        self.pollers.append(self.jobs.poll())

    def all(self) -> list[Command]:
        return [*self.urls.values(), *self.pollers]

    def told_of(self, submission_id: str) -> Mapping[str, Any]:
        """Ask an API what became of a submission."""
        url = next(iter(self.urls))
        answer = requests.get(f"{url}/submissions/{submission_id}", timeout=60)
        answer.raise_for_status()
        told: Mapping[str, Any] = answer.json()
        return told

    def kill(self, victim: Command) -> None:
        """Kill it, and start another one in its place."""
        victim.process.kill()
        victim.process.wait()
        self.kills += 1
        if victim in self.pollers:
            self.pollers.remove(victim)
            self.add_poller()
        else:
            self.urls = {u: c for u, c in self.urls.items() if c is not victim}
            self.add_api()


@define(eq=False)
class Killer:
    """Kills, pauses and restarts, until told to stop."""

    processes: Processes
    server: EmbeddedPostgres
    chance: random.Random
    plan: Plan
    clients: Clients
    faults: Counter[str]
    restarts: int = 0
    _timers: list[threading.Timer] = field(factory=list, init=False)

    def work(self) -> None:
        while self.clients.busy:
            time.sleep(self.chance.uniform(0.1, 1.2))
            victim = self.chance.choice(self.processes.all())
            what = self.chance.choices(["kill", "pause"], [75, 25])[0]
            done = min(
                len(self.clients.wishes) / self.plan.submissions,
                self.processes.kills / max(1, self.plan.kills),
            )
            if done > (self.restarts + 1) / (self.plan.restarts + 1):
                self.restart()
            elif what == "kill" and self.processes.kills < 2 * self.plan.kills:
                self.processes.kill(victim)
            elif what == "pause":
                self.pause(victim)
        for timer in self._timers:
            timer.join()

    def pause(self, victim: Command) -> None:
        """Stop it for a while, mostly past every deadline."""
        self.faults["pause"] += 1
        victim.send(signal.SIGSTOP)
        seconds = self.chance.uniform(0.5, 12)
        timer = threading.Timer(seconds, victim.send, [signal.SIGCONT])
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def restart(self) -> None:
        """Kill PostgreSQL as a power cut would, and start it again."""
        self.restarts += 1
        self.faults["database killed"] += 1
        pid = int((self.server.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGQUIT)
        time.sleep(self.chance.uniform(0.5, 2))
        self.server.revive()


@frozen(kw_only=True)
class Outcome:
    """What came of a run."""

    submissions: int
    kills: int
    faults: Counter[str]
    verdict: Verdict
    deliveries: int

    def __str__(self) -> str:
        verdict = self.verdict
        return (
            f"submissions={self.submissions} kills={self.kills}"
            f" faults={self.faults.total()} lost={len(verdict.lost)}"
            f" doubled={len(verdict.doubled)} stuck={len(verdict.stuck)}"
            f" wrong={len(verdict.wrong)} deliveries={self.deliveries}"
            f" undelivered={len(verdict.undelivered)}"
        )


def say(words: object) -> None:
    print(words, file=sys.stderr, flush=True)


def run(plan: Plan, url: str, key: str) -> Outcome:
    """Let it happen, wait until it has settled, and judge.

    Args:
        plan: How much of it.
        url: A real Galaxy's.
        key: Of a user who has never run anything.
    """
    text = prepare(url, key)
    weather = Weather(random.Random(f"{plan.seed} weather"))
    events = Events(random.Random(f"{plan.seed} receiver"), weather.faults)
    with (
        events.receiving() as address,
        scene(plan, url, key, weather) as (server, processes, truth),
    ):
        events.secret = processes.jobs.post("/webhooks", {"url": address})["secret"]
        datasets = [processes.jobs.dataset("hda", text) for _ in range(12)]
        clients = Clients(
            urls=lambda: list(processes.urls),
            datasets=datasets,
            seed=plan.seed,
            wanted=plan.submissions,
            go_on=lambda: processes.kills < plan.kills,
            batches=not plan.unsafe,
        )
        killer = Killer(
            processes,
            server,
            random.Random(f"{plan.seed} killer"),
            plan,
            clients,
            weather.faults,
        )
        began = time.monotonic()
        with ThreadPoolExecutor(plan.clients + 1) as pool:
            clients.start(pool, plan.clients)
            killing = pool.submit(killer.work)
            while not killing.done():
                wait([killing], 10)
                say(
                    f"[{time.monotonic() - began:5.0f} s] {len(clients.wishes)}"
                    f" submissions, {processes.kills} kills,"
                    f" {weather.faults.total()} faults"
                )
            killing.result()
            clients.result()
        weather.fair = events.fair = True
        settle(truth)
        say(f"[{time.monotonic() - began:5.0f} s] settled")
        verdict = judge(
            clients.wishes, truth, processes.told_of, list(events.accepted.values())
        )
    kinds = ", ".join(f"{n} x {kind}" for kind, n in sorted(weather.faults.items()))
    say(f"faults: {kinds}")
    for sentence in verdict.sentences():
        say(sentence)
    return Outcome(
        submissions=len(clients.wishes),
        kills=processes.kills,
        faults=weather.faults,
        verdict=verdict,
        deliveries=len(events.accepted),
    )


def prepare(url: str, key: str) -> str:
    """Give the user a dataset and workflows; return the dataset's id in Galaxy."""
    label = workflows.parameter("label", "text", default="")
    steps = {
        QUICK: [],
        SLEEPS: [
            workflows.parameter("sleep_s", default=0),
            workflows.tool("sleep", "text", sleep_s="@sleep_s"),
        ],
    }
    for name, more in steps.items():
        made = workflows.workflow(name, workflows.data("text"), label, *more)
        call(url, key, "POST", "workflows", {"workflow": made})
    history = call(url, key, "POST", "histories", {"name": "test data"})["id"]
    return upload_text(url, key, "fruits.txt", "banana\napple\n", history)


@contextmanager
def scene(
    plan: Plan, url: str, key: str, weather: Weather
) -> Iterator[tuple[EmbeddedPostgres, Processes, Truth]]:
    """Give a database of its own, the proxy, the processes and the truth."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    (folder / "config.toml").write_text(SETTINGS)
    server = EmbeddedPostgres(folder / "postgres")
    try:
        with (
            server as database,
            Proxy(url, weather).running() as proxy,
            running(
                Service(
                    environment(
                        folder,
                        database=database + LET_GO,
                        galaxy=proxy.url,
                        key=key,
                        GALAXY_JOBS_CONFIG=str(folder / "config.toml"),
                        GALAXY_TIMEOUT=str(GALAXY_TIMEOUT),
                    ),
                    folder,
                )
            ) as jobs,
        ):
            if plan.unsafe:
                jobs.change = unsafe.record_only_after_the_invoke
            processes = Processes(jobs)
            for _ in range(plan.apis):
                processes.add_api()
            for _ in range(plan.pollers):
                processes.add_poller()
            yield server, processes, Truth(url, key, database)
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def settle(truth: Truth) -> None:
    """Wait until nothing is under way any more, here and in Galaxy.

    What still is after a while, the judge finds stuck.
    """
    deadline = time.monotonic() + SETTLED_WITHIN
    looks = count(1)
    while time.monotonic() < deadline:
        at_work = undecided(truth) or any(
            one.state in {"new", "ready", "scheduled", "cancelling"}
            for one in runs(truth)
        )
        if not at_work:
            return
        if next(looks) % DELIVER_EACH == 0:
            deliver_now(truth)
        time.sleep(0.5)


def deliver_now(truth: Truth) -> None:
    """Have what is not delivered sent now, whenever it would have been.

    What a killed poller had claimed would be due only after a minute.
    """
    truth.rows(
        "WITH due AS (UPDATE webhook_deliveries SET next_attempt_at = now()"
        "  WHERE state = 'pending')"
        " UPDATE webhooks SET rests_until = now() RETURNING 1"
    )
