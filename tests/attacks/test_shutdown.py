"""Clients, and a Galaxy, that keep the service from stopping."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from galaxy_jobs.adapters.postgres import make_engine
from tests.attacks.measure import Attack
from tests.support.jobs import Jobs
from tests.support.service import Service, service
from tests.support.slow_galaxy import WORKFLOW, slow_galaxy


GET = b"GET %b HTTP/1.1\r\nHost: %%b\r\n\r\n"
POST = (
    b"POST /jobs HTTP/1.1\r\nHost: %%b\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
HALF_A_BODY = POST % (1000, b"{")
LONG = [
    GET % path
    for path in (b"/jobs/inv1?wait=60", b"/jobs/events", b"/ui/events", b"/health/live")
]


@contextmanager
def sent(api: Service, request: bytes) -> Iterator[socket.socket]:
    parts = urlsplit(api.url)
    with socket.create_connection((parts.hostname, parts.port), 90) as line:
        line.sendall(request % parts.netloc.encode())
        yield line


def seconds_to_stop(api: Service) -> float:
    """Stop the API as a supervisor does."""
    began = time.monotonic()
    assert api.commands[-1].stop(signal.SIGTERM, limit=100) == 0
    return time.monotonic() - began


def register(database_url: str) -> None:
    """Register the dataset d1, with a job on it."""
    engine = make_engine(database_url)
    Jobs(engine).accept("inv1")
    engine.dispose()


def test_stop_with_half_sent_bodies_streams_and_waiting_requests(
    api: Service, attack: Attack, database_url: str
) -> None:
    register(database_url)
    with ExitStack() as stack:
        for request in [HALF_A_BODY, *LONG] * 20:
            stack.enter_context(sent(api, request))
        time.sleep(1)
        # There is nothing to wait for.
        attack.at_most(10, "the end after SIGTERM", seconds_to_stop(api), "s")


def test_stop_while_galaxy_is_silent(
    tmp_path: Path, attack: Attack, database_url: str
) -> None:
    body = json.dumps({"dataset_id": "d1", "workflow_name": WORKFLOW}).encode()
    with (
        slow_galaxy("POST /api/workflows/") as galaxy,
        service(tmp_path, database=database_url, galaxy=galaxy.url, key="k") as api,
    ):
        api.serve()
        register(database_url)
        with sent(api, POST % (len(body), body)) as line:
            assert galaxy.come.wait(30)
            attack.at_most(20, "the end after SIGTERM", seconds_to_stop(api), "s")
            answer = line.recv(65536)
        with psycopg.connect(database_url) as connection:
            (lost,) = connection.execute(
                "SELECT count(*) FROM submissions WHERE state = 'submitting'"
            ).fetchone() or (0,)
        attack.at_most(0, "submissions without an outcome", lost, "rows")
        nameless = int(b'"submission_id"' not in answer)
        attack.at_most(0, "answers without a submission_id", nameless, "answers")
