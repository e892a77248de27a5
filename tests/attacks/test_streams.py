"""Thousands of streams, and streams that are to outlive their tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from galaxy_jobs.adapters.postgres import make_engine
from galaxy_jobs.entrypoints.api.auth import COOKIE, TOKENS_EXIST_TTL
from tests.attacks.measure import Attack, Client, another_client, memory
from tests.attacks.open_streams import open_streams
from tests.support.jobs import Jobs
from tests.support.service import Service
from tests.support.sse import Events


STREAMS = 2000
JOBS = 100
SECONDS = 3.0


@pytest.fixture
def jobs(database_url: str) -> Iterator[Jobs]:
    engine = make_engine(database_url)
    yield Jobs(engine)
    engine.dispose()


@contextmanager
def progress(database_url: str) -> Iterator[None]:
    """Change the progress of another job every 0.2 s while the block runs."""
    stopping = threading.Event()

    def run() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            number = 0
            while not stopping.wait(0.2):
                number += 1
                connection.execute(
                    "UPDATE workflow_invocations"
                    " SET version = version + 1, updated_at = now()"
                    " WHERE invocation_id = %s",
                    [f"inv{number % JOBS}"],
                )

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def measured(api: Service) -> tuple[Client, Client]:
    """Return what two clients were answered: a reader's, and a health check's."""
    with (
        another_client(f"{api.url}/jobs/inv1") as reader,
        another_client(f"{api.url}/health/ready") as health,
    ):
        time.sleep(SECONDS)
    return reader, health


def test_streams_of_2000_pages(
    api: Service, attack: Attack, jobs: Jobs, database_url: str
) -> None:
    for number in range(JOBS):
        jobs.accept(f"inv{number}")
    lists = ["/ui/events"] * (STREAMS // 2)
    pages = [f"/ui/jobs/inv{n % JOBS}/events" for n in range(STREAMS // 2)]
    process = api.commands[-1].process.pid
    with progress(database_url):
        before, before_memory = measured(api), memory(process)
        with open_streams(api.url, [*lists, *pages]) as streams:
            during, during_memory = measured(api), memory(process)
        after = measured(api)
    for name, *clients in zip(
        ("GET /jobs/{id}", "/health/ready"), before, during, after, strict=True
    ):
        # Below 10 ms it is the machine that decides.
        without = max(10, *(clients[n].quantile(0.95) for n in (0, 2)))
        ratio = clients[1].quantile(0.95) / without
        attack.at_most(2, f"p95 of {name} over that without", ratio, "times")
    growth = 1024 * (during_memory - before_memory) / STREAMS
    attack.at_most(64, "memory of a stream", growth, "KiB")
    assert streams.changes


@contextmanager
def opened(api: Service, **headers: str) -> Iterator[list[threading.Event]]:
    """Open a stream of events, one of a page, and a request that waits.

    Yields the events of their ends.
    """
    with ExitStack() as stack:
        ends = []
        for path in ("/jobs/events", "/ui/events", "/jobs/inv1?wait=60"):
            if path.endswith("wait=60"):
                ended = threading.Event()

                def wait(ended: threading.Event = ended) -> None:
                    response = api.request("GET", "/jobs/inv1?wait=60", **headers)
                    if response.status_code == 401:
                        ended.set()

                threading.Thread(target=wait, daemon=True).start()
                ends.append(ended)
                continue
            stream = Events(api.url + path, **headers)
            assert stream.status == 200
            stack.callback(stream.close)
            ends.append(stream.ended)
        time.sleep(1)
        yield ends


def revoke(api: Service, _: str) -> None:
    assert api.run("token", "revoke", "reader").returncode == 0


def expire(_: Service, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE tokens SET expires_at = now()")


def create_the_first(api: Service, _: str) -> None:
    assert api.run("token", "create", "reader", "--scope", "read").returncode == 0


@pytest.mark.parametrize("end", [revoke, expire, create_the_first])
def test_streams_outlive_their_token(
    api: Service,
    attack: Attack,
    jobs: Jobs,
    database_url: str,
    end: Callable[[Service, str], None],
) -> None:
    jobs.accept("inv1")
    token, cookie = {}, {}
    if end is not create_the_first:
        text = api.run("token", "create", "reader", "--scope", "read").stdout.strip()
        token = {"Authorization": f"Bearer {text}"}
        cookie = {"Cookie": f"{COOKIE}={text}"}
        time.sleep(2 * TOKENS_EXIST_TTL)
    with opened(api, **token) as ends, opened(api, **cookie) as more_ends:
        end(api, database_url)
        began = time.monotonic()
        for ended in (*ends, *more_ends):
            ended.wait(max(began + 10 - time.monotonic(), 0))
        attack.at_most(5, "the last end", time.monotonic() - began, "s")
