"""A database in trouble, as on a full disk: reported as that, and recovered from."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from bench.galaxy import KEY, simulated
from sqlalchemy import Engine

from galaxy_jobs.adapters.embedded.errors import EmbeddedError
from galaxy_jobs.adapters.embedded.postgres import EmbeddedPostgres
from galaxy_jobs.adapters.embedded.system import is_alive, locked
from galaxy_jobs.adapters.postgres import AsyncReader, make_engine
from galaxy_jobs.adapters.postgres.engine import read, write
from galaxy_jobs.domain.errors import StoreUnavailable
from tests.support.service import Command, Service, environment, running
from tests.support.wait import until


STATES = sorted(
    error.sqlstate or ""
    for error in vars(psycopg.errors).values()
    if isinstance(error, type)
    and issubclass(error, psycopg.Error)
    and (error.sqlstate or "").startswith(("53", "57", "58", "XX"))
)
"""No resources, an operator's doing, an error of its system, an error of itself."""


@pytest.fixture(scope="module")
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = make_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE FUNCTION trouble(state text) RETURNS int LANGUAGE plpgsql AS $$"
                "BEGIN RAISE 'No space left on device' USING ERRCODE = state; END $$"
            )
        )
    yield engine
    with engine.begin() as connection:
        connection.execute(sa.text("DROP FUNCTION trouble"))
    engine.dispose()


@pytest.mark.parametrize("state", STATES)
def test_trouble_of_the_server_is_no_defect_of_ours(engine: Engine, state: str) -> None:
    statement = sa.text("SELECT trouble(:state)")
    for run in (read, write):
        with pytest.raises(StoreUnavailable, match="No space left on device"):
            run(engine, lambda c: c.execute(statement, {"state": state}))

    async def fetch() -> None:
        reader = AsyncReader(lambda: engine)
        try:
            await reader.fetch_row(b"SELECT trouble(%(state)s)", {"state": state})
        finally:
            await reader.close()

    with pytest.raises(StoreUnavailable, match="No space left on device"):
        asyncio.run(fetch())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path)
    with server:
        yield server
    shutil.rmtree(server.folder, ignore_errors=True)


def break_down(server: EmbeddedPostgres) -> None:
    """Kill a server that cannot be started again."""
    control = server.data / "global/pg_control"
    control.rename(control.with_suffix(".aside"))
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid))


def repair(server: EmbeddedPostgres) -> None:
    control = server.data / "global/pg_control"
    control.with_suffix(".aside").rename(control)


def attempts(server: EmbeddedPostgres) -> int:
    """Return how often the server was begun to be started."""
    return server.log.read_text().count("could not find the database system")


def test_an_attempt_to_start_counts_for_all_calls_of_a_second(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_down(server)
    now = time.monotonic()
    for seconds, expected in [(0, 1), (0.9, 1), (1.1, 2)]:
        monkeypatch.setattr(time, "monotonic", lambda at=now + seconds: at)
        with pytest.raises(EmbeddedError, match="could not find the database system"):
            server.revive()
        assert attempts(server) == expected
    monkeypatch.undo()
    repair(server)
    until(lambda: revived(server))


def revived(server: EmbeddedPostgres) -> bool:
    try:
        server.revive()
    except EmbeddedError:
        return False
    return True


def test_a_start_by_another_process_is_not_waited_for_without_end(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "galaxy_jobs.adapters.embedded.postgres"
    monkeypatch.setattr(f"{module}.REVIVAL_TIMEOUT", 0.2)
    break_down(server)
    with (
        locked(server.folder / "start.lock"),
        pytest.raises(EmbeddedError, match="Another process"),
    ):
        server.revive()


def test_the_service_goes_on_once_the_server_can_be_started(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with (
        simulated(0) as galaxy,
        running(on_embedded_database(tmp_path, galaxy.url)) as jobs,
    ):
        jobs.serve()
        poller = jobs.poll(0.1)
        until(lambda: sweeps(jobs))
        break_down(server)
        for path in ("/jobs", "/jobs/none", "/datasets", "/jobs/events"):
            answer = jobs.request("GET", path)
            assert answer.status_code == 503, (path, answer.text)
            assert answer.json()["type"].endswith(":database-unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        ready = jobs.request("GET", "/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert "did not start" in ready.json()["problem"]
        assert jobs.request("GET", "/", accept="text/html").status_code == 503
        assert jobs.request("GET", "/health/live").ok
        until(lambda: "did not start" in poller.log.read_text())
        repair(server)
        until(lambda: jobs.request("GET", "/health/ready").ok)
        assert jobs.get("/jobs")["items"] == []
        assert poller.process.poll() is None
        before = sweeps(jobs)
        until(lambda: sweeps(jobs) > before)


def sweeps(jobs: Service) -> float:
    """Return how many sweeps there were."""
    metrics = jobs.request("GET", "/metrics").text
    found = re.search(r"^galaxy_jobs_sweeps_total\S* (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def on_embedded_database(home: Path, galaxy: str) -> Service:
    env = environment(home, database="", galaxy=galaxy, key=KEY)
    del env["DATABASE_URL"]
    return Service(env, home)


def events(command: Command) -> list[str]:
    return [line["event"] for line in command.logged()]
