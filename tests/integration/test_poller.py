"""The poller as a process: its metrics, and what it holds while Galaxy answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests
from bench.galaxy import KEY, Galaxy, simulated
from bench.store import Store

from galaxy_jobs.adapters.postgres import make_engine
from tests.support.service import Service, service
from tests.support.wait import until


@pytest.fixture
def galaxy() -> Iterator[Galaxy]:
    """One that takes a second for each answer."""
    with simulated(300, latency=1) as one:
        yield one


@pytest.fixture
def jobs(galaxy: Galaxy, database_url: str, tmp_path: Path) -> Iterator[Service]:
    with service(tmp_path, database=database_url, galaxy=galaxy.url, key=KEY) as one:
        engine = make_engine(database_url)
        Store(database_url, engine).fill(galaxy.url, 300)
        engine.dispose()
        yield one


def test_no_transaction_is_open_while_galaxy_answers(
    jobs: Service, galaxy: Galaxy, database_url: str
) -> None:
    poller = jobs.poll(every=60)
    with psycopg.connect(database_url, autocommit=True) as connection:
        until(lambda: galaxy.asked()["bulk"], 60, every=0.05)
        # Both bulk answers are a second away, and everything is claimed.
        leased = connection.execute(
            "SELECT count(*) FROM active_invocations WHERE lease_until > now()"
        ).fetchone()
        states = connection.execute(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
    assert leased == (300,)
    assert states
    assert {state for (state,) in states} == {"idle"}
    poller.stop()


def test_metrics_are_served_beside_the_loop(jobs: Service) -> None:
    poller = jobs.start("poll", "--every", "0.5", "--metrics-port", "0")

    def address() -> str | None:
        told = [one for one in poller.logged() if one["event"] == "metrics"]
        return told[0]["url"] if told else None

    url = until(address, 60)
    assert url.startswith("http://127.0.0.1:")

    def text() -> str:
        return requests.get(url, timeout=10).text

    def swept() -> bool:
        return 'galaxy_jobs_sweep_asked_total{galaxy="http' in text() and any(
            line.startswith("galaxy_jobs_sweep_asked_total")
            and not line.endswith(" 0.0")
            for line in text().splitlines()
        )

    until(swept, 60)
    assert 'route="histories/{id}/jobs_summary"' in text()
    port = url.rpartition(":")[2].removesuffix("/metrics")
    done = jobs.run("poll", "--once", "--metrics-port", port)
    assert done.returncode == 1
    said = f"galaxy-jobs: --metrics-port {port}: cannot listen on 127.0.0.1:{port}"
    assert any(line.startswith(said) for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
    assert poller.stop() == 0
