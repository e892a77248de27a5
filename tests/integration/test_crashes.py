"""Nothing lost, nothing run twice: real processes, killed and paused for real.

A process is stopped at one boundary: by the proxy in front of Galaxy, before
Galaxy has a request or after it has answered; or by a lock in the database, before
a transaction commits. There it is killed, or paused past every deadline and then
continued. Afterwards the client repeats its request with the same key until it is
told of a run. Then: exactly one run in Galaxy, which is asked itself; the state
right; nothing left open.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
import requests
from attrs import define, field, frozen

from galaxy_jobs.adapters.embedded.galaxy import LocalGalaxy
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from tests.support.galaxy import Lab
from tests.support.proxy import Fate, Gate, Proxy, Stage
from tests.support.service import (
    Command,
    Service,
    environment,
    report_each_sweep,
    running,
)
from tests.support.truth import Truth, fenced_off
from tests.support.wait import until
from tests.support.workflows import data, parameter, tool, workflow


SETTINGS = """
[submit]
deadline = 3
fence_wait = 0.5
lease = 1
retry_in = 0.5
look_again = 1
[poll]
min_interval = 0.3
max_interval = 1
lease = 1
"""
#: A process that is stopped inside a transaction is cut off by PostgreSQL.
LET_GO = "&options=-c%20idle_in_transaction_session_timeout%3D1500"
LIMIT = 60.0

SLEEPS = "sleeps"

_keys = (f"key {number}" for number in count(1))


@define(repr=False)
class World:
    """The service behind a proxy, and the truth beside it.

    Attributes:
        jobs: The service, an API and a poller of which are never harmed.
        proxy: Between it and Galaxy.
        truth: Past both.
        lab: What Galaxy has.
        poller: The poller that is never harmed; None while there is none.
    """

    jobs: Service
    proxy: Proxy
    truth: Truth
    lab: Lab
    poller: Command | None = None
    others: list[Command] = field(factory=list)

    # --- processes ---

    def api(self) -> tuple[Command, str]:
        """Start one more API, to be harmed."""
        safe = self.jobs.url
        command = self.jobs.serve()
        self.others.append(command)
        url, self.jobs.url = self.jobs.url, safe
        return command, url

    def victim(self) -> Command:
        """Start a poller to be harmed."""
        command = self.jobs.poll()
        self.others.append(command)
        return command

    def unpolled(self) -> None:
        """Make sure that nobody polls, and that nothing is left to be done."""
        self.polled()
        until(self.quiet, LIMIT, every=0.1)
        self.stop_polling()

    def stop_polling(self) -> None:
        if self.poller is not None:
            self.poller.stop(signal.SIGKILL)
            self.poller = None

    def quiet(self) -> bool:
        ((left,),) = self.truth.rows(
            "SELECT (SELECT count(*) FROM submissions WHERE look_at IS NOT NULL)"
            " + (SELECT count(*) FROM active_invocations)"
        )
        return not left

    def polled(self) -> None:
        """Make sure that somebody unharmed polls."""
        if self.poller is None:
            self.poller = self.jobs.poll()

    def clear(self) -> None:
        """End whoever was there to be harmed."""
        for one in self.others:
            one.stop(signal.SIGKILL)
        self.others.clear()

    # --- what a client does ---

    def dataset(self) -> str:
        return self.jobs.dataset("hda", self.lab.text)

    def request(self, key: str, body: Any, url: str | None = None) -> requests.Response:
        return requests.post(
            f"{url or self.jobs.url}/jobs",
            json=body,
            headers={"Idempotency-Key": key},
            timeout=120,
        )

    def insist(self, key: str, body: Any) -> str:
        """Repeat a request until it is told of a run, as a client would."""

        def accepted() -> str | None:
            answer = self.request(key, body)
            if answer.status_code == 201:
                told: str = answer.json()["invocation_id"]
                return told
            assert answer.status_code in {409, 503, 504}, answer.text
            return None

        return until(accepted, LIMIT, every=0.2)

    # --- what is true ---

    def check(self, key: str, body: Any) -> str:
        """Insist; then all is as if nothing had happened. Return the run."""
        self.polled()
        told = self.insist(key, body)
        until(lambda: self.truth.open() == 0, LIMIT, every=0.2)
        submissions = self.truth.submissions(key)

        def ran() -> list[str]:
            return [run for one in submissions for run in self.truth.runs(one)]

        # What arrives behind the fence, Galaxy cancels when it comes to it.
        until(lambda: ran() == [told], LIMIT, every=0.2)
        job = self.jobs.wait(told)
        assert job["state"] == "completed", job
        assert not self.deleted(told), "its results are thrown away"
        transitions = self.jobs.get(f"/jobs/{told}/history")["items"]
        assert transitions[0]["from_state"] is None
        assert transitions[-1]["to_state"] == "completed"
        return told

    def deleted(self, invocation_id: str) -> bool:
        history = self.jobs.job(invocation_id)["history_id"]
        return bool(self.truth.ask(f"histories/{history}")["deleted"])


@pytest.fixture(scope="module")
def one_world(
    galaxy: LocalGalaxy,
    lab: Lab,
    module_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("crashes")
    lab.add(
        workflow(
            SLEEPS,
            data("text"),
            parameter("sleep_s", default=0),
            tool("sleep", "text", sleep_s="@sleep_s"),
        )
    )
    with a_world(lab, folder, module_database_url) as world:
        yield world


@pytest.fixture
def world(one_world: World) -> Iterator[World]:
    yield one_world
    one_world.clear()


@contextmanager
def a_world(lab: Lab, folder: Path, database: str) -> Iterator[World]:
    config = folder / "config.toml"
    config.write_text(SETTINGS)
    with (
        Proxy(lab.url).running() as proxy,
        running(
            Service(
                environment(
                    folder,
                    database=database + LET_GO,
                    galaxy=proxy.url,
                    key=lab.key,
                    GALAXY_JOBS_CONFIG=str(config),
                    GALAXY_TIMEOUT="20",
                ),
                folder,
                change=report_each_sweep,
            )
        ) as jobs,
    ):
        jobs.serve()
        yield World(jobs, proxy, Truth(lab.url, lab.key, database), lab)


def a_body(dataset_id: str, **more: Any) -> Any:
    return {"dataset_id": dataset_id, "workflow_name": "no jobs", **more}


# --- how time is stopped ------------------------------------------------------

Reached: TypeAlias = Callable[[], None]
Stop: TypeAlias = Callable[[World], AbstractContextManager[Reached]]


@frozen
class Boundary:
    """A moment between two steps, and how to stop time there.

    Attributes:
        name: In words.
        stop: Stops time there; what it gives waits until somebody has come.
        recorded: Whether the submission is recorded by then.
    """

    name: str
    stop: Stop
    recorded: bool = True


def each(boundaries: list[Boundary]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "boundary", boundaries, ids=[one.name for one in boundaries]
    )


@frozen
class Request:
    """A request to Galaxy."""

    method: str
    pattern: str
    skip: int = 0  #: how many like it pass before

    def gate(self, world: World, stage: Stage) -> Gate:
        return world.proxy.gate(self.method, self.pattern, stage, self.skip)

    def before(self, then: Fate = Fate.PASS) -> Stop:
        """Stop before Galaxy has it; afterwards it goes on, or not."""
        return lambda world: self._stop(self.gate(world, "before"), then)

    def after(self) -> Stop:
        """Stop when Galaxy has answered, and nobody knows."""
        return lambda world: self._stop(self.gate(world, "after"), Fate.PASS)

    @contextmanager
    def _stop(self, gate: Gate, then: Fate) -> Iterator[Reached]:
        try:
            yield partial(_wait, gate)
        finally:
            gate.release(then)


def _wait(gate: Gate) -> None:
    gate.wait()


def at_commit(statement: str, table: str, past: Request | None = None) -> Stop:
    """Stop the transaction that is about to write to a table.

    Args:
        statement: How its statement begins.
        table: Which.
        past: A request to Galaxy that comes before: earlier transactions pass.
    """

    @contextmanager
    def stop(world: World) -> Iterator[Reached]:
        gate = None if past is None else past.gate(world, "after")
        with psycopg.connect(world.truth.database) as connection:

            def lock() -> None:
                connection.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())

            def blocked() -> bool:
                found = world.truth.rows(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database() AND query LIKE %s",
                    f"{statement}%",
                )
                return bool(found)

            def reached() -> None:
                if gate is not None:
                    gate.wait()
                    lock()
                    gate.release()
                until(blocked)

            if gate is None:
                lock()
            try:
                yield reached
            finally:
                connection.rollback()

    return stop


def kill(command: Command) -> None:
    command.process.kill()
    command.process.wait()


def pause(command: Command) -> None:
    command.send(signal.SIGSTOP)

    def stopped() -> bool:
        status = Path(f"/proc/{command.process.pid}/status").read_text()
        return "State:\tT" in status

    until(stopped)


# --- submitting ---------------------------------------------------------------

CREATE = Request("POST", r"/api/histories(\?|$)")
INVOKE = Request("POST", r"/api/workflows/\w+/invocations")
RUNS = "workflow_invocations"

SUBMITTING = [
    Boundary(
        "before the submission is committed",
        at_commit("INSERT INTO submissions", "submissions"),
        recorded=False,
    ),
    Boundary("before Galaxy is asked for a history", CREATE.before()),
    Boundary("after Galaxy has made the history", CREATE.after()),
    Boundary(
        "before the history is committed",
        at_commit("UPDATE submissions", "submissions", past=CREATE),
    ),
    Boundary("before Galaxy has the invoke", INVOKE.before()),
    Boundary("before the invoke, which never arrives", INVOKE.before(Fate.DROP)),
    Boundary("after Galaxy has invoked", INVOKE.after()),
    Boundary(
        "before the run is committed",
        at_commit("INSERT INTO workflow_invocations", RUNS, past=INVOKE),
    ),
]


@define
class Sender:
    """Sends a request whose answer may never come."""

    answers: list[requests.Response] = field(factory=list)
    thread: threading.Thread = field(init=False)

    def send(self, world: World, key: str, body: Any, url: str) -> None:
        def go() -> None:
            with contextlib.suppress(requests.ConnectionError):
                self.answers.append(world.request(key, body, url))

        self.thread = threading.Thread(target=go, daemon=True)
        self.thread.start()

    def join(self) -> requests.Response | None:
        """Wait until it is answered, or told that it will not be."""
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()
        return self.answers[0] if self.answers else None


@each(SUBMITTING)
def test_an_api_that_is_killed_leaves_one_run(world: World, boundary: Boundary) -> None:
    world.polled()
    key, body = next(_keys), a_body(world.dataset())
    api, url = world.api()
    sender = Sender()
    with boundary.stop(world) as reached:
        sender.send(world, key, body, url)
        reached()
        kill(api)
    assert sender.join() is None
    assert len(world.truth.submissions(key)) == int(boundary.recorded)
    world.check(key, body)


@each(SUBMITTING)
def test_an_api_that_is_paused_past_every_deadline_leaves_one_run(
    world: World, boundary: Boundary
) -> None:
    world.polled()
    key, body = next(_keys), a_body(world.dataset())
    api, url = world.api()
    sender = Sender()
    with boundary.stop(world) as reached:
        sender.send(world, key, body, url)
        reached()
        pause(api)
    told = world.check(key, body)
    api.send(signal.SIGCONT)
    answer = sender.join()
    assert answer is not None
    if answer.status_code == 201:
        assert answer.json()["invocation_id"] == told
    else:
        assert answer.status_code in {409, 503, 504}, answer.text
    assert world.check(key, body) == told
    assert world.jobs.request("GET", "/health/ready").ok
    assert requests.get(f"{url}/health/ready", timeout=60).ok, "it works again"


def test_an_api_killed_after_the_commit_is_asked_again_and_says_the_same(
    world: World,
) -> None:
    key, body = next(_keys), a_body(world.dataset())
    api, url = world.api()
    with Proxy(url).running() as between:
        gate = between.gate("POST", "/jobs", "after")
        sender = Sender()
        sender.send(world, key, body, between.url)
        said = json.loads(gate.wait().body)
        kill(api)
        gate.release(Fate.DROP)
        assert sender.join() is None
    assert world.check(key, body) == said["invocation_id"]
    assert len(world.truth.submissions(key)) == 1


def test_an_invoke_that_arrives_after_all_was_settled_runs_nothing(
    world: World,
) -> None:
    world.polled()
    key, body = next(_keys), a_body(world.dataset())
    api, url = world.api()
    gate = INVOKE.gate(world, "before")
    Sender().send(world, key, body, url)
    gate.wait()
    kill(api)
    told = world.check(key, body)
    first = next(
        one for one in world.truth.submissions(key) if not world.truth.invoked(one)
    )
    gate.release()
    (late,) = until(
        lambda: [one for one in world.truth.invoked(first) if fenced_off(one)],
        LIMIT,
        every=0.3,
    )
    assert late["id"] != told
    assert world.check(key, body) == told
    assert world.jobs.request("GET", f"/jobs/{late['id']}").status_code == 404


# --- reconciling --------------------------------------------------------------

LIST = Request("GET", r"/api/invocations\?.*history_id=")
DELETE = Request("DELETE", r"/api/histories/\w+")
DELETE_AGAIN = Request("DELETE", r"/api/histories/\w+", skip=1)
UNDELETE = Request("POST", r"/api/histories/deleted/\w+/undelete")

harms = pytest.mark.parametrize("harm", [kill, pause], ids=["killed", "paused"])


def lost(world: World, key: str, body: Any, stage: Stage) -> None:
    """Leave a submission whose invoke never arrived, or whose answer did not."""
    gate = INVOKE.gate(world, stage)
    sender = Sender()
    sender.send(world, key, body, world.jobs.url)
    gate.wait()
    gate.release(Fate.DROP)
    answer = sender.join()
    assert answer is not None
    assert answer.status_code == 504


def harmed(world: World, stop: Stop, harm: Callable[[Command], None]) -> Command:
    """Let a poller come to a boundary, alone, and harm it there."""
    until(
        lambda: world.truth.rows(
            "SELECT 1 FROM submissions HAVING"
            " max(created_at) < now() - interval '1.5 seconds'"
        )
    )
    with stop(world) as reached:
        victim = world.victim()
        reached()
        harm(victim)
    return victim


def others_carry_on(world: World, victim: Command, key: str, body: Any) -> str:
    """Check that another poller makes up for it, and bears its coming back."""
    told = world.check(key, body)
    if victim.process.poll() is None:
        sweeps = len(victim.logged())
        victim.send(signal.SIGCONT)
        until(lambda: len(victim.logged()) > sweeps + 2, LIMIT)
        assert world.check(key, body) == told
    return told


@harms
@each(
    [
        Boundary(
            "before the fence is noted",
            at_commit("UPDATE submissions", "submissions", past=LIST),
        ),
        Boundary("before the history is deleted", DELETE.before()),
        Boundary("after the history is deleted", DELETE.after()),
        Boundary(
            "before it is rejected",
            at_commit("UPDATE submissions", "submissions", past=DELETE_AGAIN),
        ),
    ]
)
def test_a_poller_harmed_while_it_makes_sure_that_nothing_ran(
    world: World, boundary: Boundary, harm: Callable[[Command], None]
) -> None:
    world.unpolled()
    key, body = next(_keys), a_body(world.dataset())
    lost(world, key, body, "before")
    victim = harmed(world, boundary.stop, harm)
    others_carry_on(world, victim, key, body)
    assert len(world.truth.submissions(key)) == 2


@harms
def test_a_poller_harmed_before_it_commits_a_run_that_it_found(
    world: World, harm: Callable[[Command], None]
) -> None:
    world.unpolled()
    key, body = next(_keys), a_body(world.dataset())
    lost(world, key, body, "after")
    victim = harmed(world, at_commit("INSERT INTO workflow_invocations", RUNS), harm)
    others_carry_on(world, victim, key, body)
    assert len(world.truth.submissions(key)) == 1


@harms
@each(
    [
        Boundary("before its history is brought back", UNDELETE.before()),
        Boundary("after its history is brought back", UNDELETE.after()),
        Boundary(
            "before the run is committed",
            at_commit("INSERT INTO workflow_invocations", RUNS, past=UNDELETE),
        ),
    ]
)
def test_a_poller_harmed_while_it_adopts_a_run_that_slipped_past_the_fence(
    world: World, boundary: Boundary, harm: Callable[[Command], None]
) -> None:
    world.unpolled()
    key, body = next(_keys), a_body(world.dataset())
    api, url = world.api()
    invoke, fence = INVOKE.gate(world, "before"), DELETE.gate(world, "before")
    Sender().send(world, key, body, url)
    invoke.wait()
    kill(api)
    (submission,) = world.truth.submissions(key)

    def begun() -> bool:
        runs = world.truth.invoked(submission)
        return bool(runs) and runs[0]["state"] not in {"new", "ready"}

    def slip_past() -> None:
        fence.wait()
        invoke.release()
        until(begun, LIMIT, every=0.3)
        fence.release()

    threading.Thread(target=slip_past, daemon=True).start()
    victim = harmed(world, boundary.stop, harm)
    others_carry_on(world, victim, key, body)
    assert world.truth.submissions(key) == [submission]


@harms
def test_a_poller_harmed_before_its_fence_does_not_stop_what_has_run_meanwhile(
    world: World, harm: Callable[[Command], None]
) -> None:
    """The worst: its fence goes up an hour late, behind a run that was adopted."""
    world.unpolled()
    key, body = next(_keys), a_body(world.dataset())
    invoke = INVOKE.gate(world, "before")
    sender = Sender()
    sender.send(world, key, body, world.jobs.url)
    invoke.wait()
    (submission,) = world.truth.submissions(key)
    (history,) = world.truth.histories(submission)
    fence = Request("DELETE", f"/api/histories/{history['id']}")
    with fence.before()(world) as reached:
        victim = world.victim()
        reached()
        harm(victim)
        invoke.release()
        answer = sender.join()
    assert answer is not None
    assert answer.status_code == 504, "its run can be stopped any moment"
    others_carry_on(world, victim, key, body)


# --- overwrite ----------------------------------------------------------------

STOP = Request("DELETE", r"/api/invocations/\w+")


def superseded(world: World, earlier: str, later: str) -> None:
    """Check what is left of a run that a later one took the place of."""

    def dealt_with() -> bool:
        ((left,),) = world.truth.rows(
            "SELECT count(*) FROM workflow_invocations WHERE superseded_by = %s"
            " AND history_dealt_with_at IS NULL",
            later,
        )
        return not left

    until(dealt_with, LIMIT, every=0.2)
    assert world.jobs.job(earlier)["superseded_by"] == later
    assert world.deleted(earlier)
    assert not world.deleted(later)


@harms
def test_an_api_harmed_before_it_commits_that_a_run_overwrites_another(
    world: World, harm: Callable[[Command], None]
) -> None:
    world.polled()
    dataset_id = world.dataset()
    earlier = world.check(next(_keys), a_body(dataset_id))
    key, body = next(_keys), a_body(dataset_id, overwrite=True)
    api, url = world.api()
    with at_commit("INSERT INTO workflow_invocations", RUNS, past=INVOKE)(
        world
    ) as reached:
        Sender().send(world, key, body, url)
        reached()
        harm(api)
    assert not world.deleted(earlier)
    later = world.check(key, body)
    api.send(signal.SIGCONT)
    superseded(world, earlier, later)


@harms
@each(
    [
        Boundary("before the history is deleted", DELETE.before()),
        Boundary("after the history is deleted", DELETE.after()),
        Boundary(
            "before that is noted",
            at_commit("UPDATE workflow_invocations SET history", RUNS, past=DELETE),
        ),
    ]
)
def test_a_poller_harmed_while_it_deletes_what_was_superseded(
    world: World, boundary: Boundary, harm: Callable[[Command], None]
) -> None:
    world.polled()
    dataset_id = world.dataset()
    earlier = world.check(next(_keys), a_body(dataset_id))
    world.unpolled()
    key, body = next(_keys), a_body(dataset_id, overwrite=True)
    world.insist(key, body)
    victim = harmed(world, boundary.stop, harm)
    later = others_carry_on(world, victim, key, body)
    superseded(world, earlier, later)


@harms
@each(
    [
        Boundary("before Galaxy is told to stop it", STOP.before()),
        Boundary("after Galaxy was told to stop it", STOP.after()),
    ]
)
def test_a_poller_harmed_while_it_stops_what_was_superseded(
    world: World, boundary: Boundary, harm: Callable[[Command], None]
) -> None:
    world.polled()
    dataset_id = world.dataset()
    wanted = {"dataset_id": dataset_id, "workflow_name": SLEEPS}
    earlier = world.insist(next(_keys), {**wanted, "parameters": {"sleep_s": 60}})
    world.jobs.wait(earlier, "in_progress")
    world.stop_polling()
    key, body = next(_keys), {**wanted, "overwrite": True}
    world.insist(key, body)
    victim = harmed(world, boundary.stop, harm)
    later = others_carry_on(world, victim, key, body)
    assert world.jobs.wait(earlier)["state"] == "cancelled"
    superseded(world, earlier, later)


# --- the database -------------------------------------------------------------


@each([SUBMITTING[3], SUBMITTING[7]])
def test_a_database_killed_in_the_middle_leaves_one_run(
    lab: Lab, tmp_path: Path, boundary: Boundary
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    try:
        with server as database, a_world(lab, tmp_path, database) as world:
            world.polled()
            key, body = next(_keys), a_body(world.dataset())
            sender = Sender()
            # Who held the lock that stopped time loses his connection, too.
            with (
                contextlib.suppress(psycopg.OperationalError),
                boundary.stop(world) as reached,
            ):
                sender.send(world, key, body, world.jobs.url)
                reached()
                first = (server.data / "postmaster.pid").read_text().split()[0]
                os.kill(int(first), signal.SIGQUIT)
                until(lambda: not Path(f"/proc/{first}").exists())
            server.revive()
            answer = sender.join()
            assert answer is not None
            assert answer.status_code in {201, 503, 504}, answer.text
            told = world.check(key, body)
            if answer.status_code == 201:
                assert answer.json()["invocation_id"] == told
    finally:
        shutil.rmtree(server.folder, ignore_errors=True)
