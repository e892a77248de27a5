"""Many who wait, for a job or for Galaxy, are in nobody's way: a real process."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from galaxy_jobs.adapters.postgres import make_engine
from galaxy_jobs.adapters.testing.contracts.repositories import S
from tests.support.jobs import Jobs
from tests.support.service import Service, service
from tests.support.wait import until


NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def jobs(database_url: str) -> Iterator[Jobs]:
    engine = make_engine(database_url)
    yield Jobs(engine)
    engine.dispose()


@contextmanager
def serving(
    database_url: str, folder: Path, galaxy: str = NOBODY, **more: str
) -> Iterator[Service]:
    with service(
        folder, database=database_url, galaxy=galaxy, key="none", **more
    ) as one:
        yield one


class Asked:
    """A request that is under way; its answer is read when wanted."""

    def __init__(self, url: str, request: str, body: object = None) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname or "", parts.port or 0))
        said = b"" if body is None else json.dumps(body).encode()
        self.socket.sendall(
            f"{request} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(said)}\r\n\r\n".encode()
            + said
        )

    @property
    def answered(self) -> bool:
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def answer(self) -> tuple[int, Any]:
        self.socket.settimeout(60)
        whole = b""
        while more := self.socket.recv(65536):
            whole += more
        head, _, body = whole.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)


def ask(
    stack: ExitStack, count: int, url: str, request: str, body: object = None
) -> list[Asked]:
    asked = [Asked(url, request, body) for _ in range(count)]
    for one in asked:
        stack.callback(one.socket.close)
    return asked


def test_who_waits_for_a_job_is_answered_once_its_state_changes(
    database_url: str, tmp_path: Path, jobs: Jobs
) -> None:
    with serving(database_url, tmp_path) as one, ExitStack() as stack:
        one.serve()
        jobs.accept("inv1")
        jobs.accept("inv2")
        (waits,) = ask(stack, 1, one.url, "GET /jobs/inv1?wait=60")
        (for_its_end,) = ask(stack, 1, one.url, "GET /jobs/inv1?wait=60&until=ended")
        (times_out,) = ask(stack, 1, one.url, "GET /jobs/inv1?wait=1")
        assert times_out.answer()[1]["state"] == "queued"
        jobs.move("inv2", S.COMPLETED)
        assert not waits.answered
        jobs.move("inv1", S.IN_PROGRESS)
        status, job = waits.answer()
        assert (status, job["state"]) == (200, "in_progress")
        assert job["steps"]
        assert not for_its_end.answered
        jobs.move("inv1", S.FAILED)
        status, job = for_its_end.answer()
        assert (status, job["state"]) == (200, "failed")
        # What has ended does not change any more.
        assert one.get("/jobs/inv2?wait=60")["state"] == "completed"
        assert one.request("GET", "/jobs/nothing?wait=60").status_code == 404


@pytest.mark.parametrize("wait", ["61", "-1", "1.5", "x", "", "nan"])
def test_how_long_is_a_number_of_seconds(module_service: Service, wait: str) -> None:
    refused = module_service.request("GET", f"/jobs/inv1?wait={wait}")
    assert refused.status_code == 400
    assert "expected a whole number of seconds from 0 to 60" in refused.json()["detail"]


def test_what_is_waited_for_is_a_change_or_the_end(module_service: Service) -> None:
    refused = module_service.request("GET", "/jobs/inv1?wait=1&until=done")
    assert refused.status_code == 400
    assert "expected `changed` or `ended`" in refused.json()["detail"]


@pytest.fixture(scope="module")
def module_service(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with serving(module_database_url, tmp_path_factory.mktemp("service")) as one:
        one.serve()
        yield one


def test_500_who_wait_hold_no_thread_and_no_connection(
    database_url: str, tmp_path: Path, jobs: Jobs
) -> None:
    with serving(database_url, tmp_path) as one, ExitStack() as stack:
        server = one.serve()
        jobs.accept("inv1")
        waiting = ask(stack, 500, one.url, "GET /jobs/inv1?wait=60")

        proc = Path(f"/proc/{server.process.pid}")
        until(lambda: len(list((proc / "fd").iterdir())) >= len(waiting))
        assert one.get("/jobs")["items"]  # a reader is not kept waiting
        assert len(list((proc / "task").iterdir())) < len(waiting) / 5
        with psycopg.connect(database_url) as connection:
            (busy,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database()"
            ).fetchone() or (0,)
        assert busy <= 10 + 1 + 10 + 1  # two pools, who listens, and us
        assert not any(one.answered for one in waiting)
        jobs.move("inv1", S.COMPLETED)
        answers = [one.answer() for one in waiting]
        assert {(status, job["state"]) for status, job in answers} == {
            (200, "completed")
        }


def test_told_to_stop_it_answers_those_who_wait(
    database_url: str, tmp_path: Path, jobs: Jobs
) -> None:
    with serving(database_url, tmp_path) as one, ExitStack() as stack:
        server = one.serve()
        jobs.accept("inv1")
        waiting = ask(stack, 20, one.url, "GET /jobs/inv1?wait=60")
        until(lambda: "inv1" in one.get("/jobs")["items"][0]["invocation_id"])
        server.send(signal.SIGTERM)
        answers = [one.answer() for one in waiting]
        assert {(status, job["state"]) for status, job in answers} == {(200, "queued")}
        assert server.process.wait(20) == 0


def test_a_galaxy_that_does_not_answer_keeps_no_reader_waiting(
    database_url: str, tmp_path: Path, jobs: Jobs
) -> None:
    """It takes connections, and that is all it ever does."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=512) as silent,
        ExitStack() as stack,
    ):
        galaxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with serving(database_url, tmp_path, galaxy, GALAXY_TIMEOUT="15") as one:
            server = one.serve()
            jobs.accept("inv1")
            body = {"dataset_id": "d1", "workflow_name": "w"}
            submitting = ask(stack, 100, one.url, "POST /jobs", body)
            looking = ask(stack, 100, one.url, "GET /workflows/w")
            for path in ("/jobs", "/jobs/inv1", "/jobs/inv1/history", "/datasets"):
                assert one.request("GET", path).status_code == 200
            assert one.request("GET", "/health/ready").status_code == 200
            assert one.post("/jobs/inv1/cancel", None)["state"] == "cancelling"
            asking = [*submitting, *looking]
            assert not any(one.answered for one in asking)
            server.stop(signal.SIGKILL)
