"""Told to stop, the service records what it began on Galaxy, and ends in time."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from galaxy_jobs.adapters.postgres import make_engine
from tests.support.jobs import Jobs
from tests.support.service import service
from tests.support.slow_galaxy import WORKFLOW, slow_galaxy
from tests.support.wait import until


def registered(database_url: str) -> dict[str, Any]:
    """Register a dataset, and return the body that submits a job on it."""
    engine = make_engine(database_url)
    Jobs(engine).accept("inv1")
    engine.dispose()
    return {"dataset_id": "d1", "workflow_name": WORKFLOW}


def config(folder: Path, shutdown: float) -> str:
    path = folder / "config.toml"
    path.write_text(f"[http]\nshutdown = {shutdown}\n")
    return str(path)


@pytest.mark.parametrize(
    ("unanswered", "refusal", "state"),
    [
        ("GET /api/workflows", (503, "galaxy-unavailable"), None),
        ("POST /api/histories", (503, "galaxy-unavailable"), "rejected"),
        ("POST /api/workflows/", (504, "outcome-unknown"), "unknown"),
    ],
)
def test_a_submission_that_waits_for_galaxy_is_settled(
    database_url: str,
    tmp_path: Path,
    unanswered: str,
    refusal: tuple[int, str],
    state: str | None,
) -> None:
    with (
        slow_galaxy(unanswered) as galaxy,
        service(
            tmp_path,
            database=database_url,
            galaxy=galaxy.url,
            key="k",
            GALAXY_JOBS_CONFIG=config(tmp_path, 10),
        ) as ours,
        ThreadPoolExecutor() as pool,
    ):
        server = ours.serve()
        body = registered(database_url)
        submitting = pool.submit(ours.request, "POST", "/jobs", body)
        until(galaxy.come.is_set)
        server.send(signal.SIGTERM)
        answer = submitting.result()
        problem = answer.json()
        code = problem["type"].rpartition(":")[2]
        assert (answer.status_code, code) == refusal
        assert "before the service was stopped" in problem["detail"]
        assert server.process.wait(20) == 0
        assert "Unexpected:" not in server.log.read_text()
        with psycopg.connect(database_url) as connection:
            stored = connection.execute(
                "SELECT submission_id, state FROM submissions WHERE state <> 'accepted'"
            ).fetchall()
        assert [row[1] for row in stored] == ([state] if state else [])
        if state == "unknown":
            assert problem["submission_id"] == str(stored[0][0])


def test_whatever_is_still_running_is_left_at_the_end_of_the_time(
    database_url: str, tmp_path: Path
) -> None:
    with (
        slow_galaxy("POST /api/workflows/") as galaxy,
        service(
            tmp_path,
            database=database_url,
            galaxy=galaxy.url,
            key="k",
            GALAXY_JOBS_CONFIG=config(tmp_path, 2),
        ) as ours,
        ThreadPoolExecutor() as pool,
        psycopg.connect(database_url) as connection,
    ):
        server = ours.serve()
        body = registered(database_url)
        pool.submit(ours.request, "POST", "/jobs", body)
        until(galaxy.come.is_set)
        connection.execute("LOCK submissions")  # the outcome cannot be recorded
        server.send(signal.SIGTERM)
        assert server.process.wait(20) == 1
        connection.rollback()
        (state,) = connection.execute(
            "SELECT state FROM submissions WHERE state <> 'accepted'"
        ).fetchone() or ("",)
        assert state == "submitting"  # the poller settles it, as after a kill
