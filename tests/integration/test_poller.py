"""The poller as a process: its metrics, and what it holds while Galaxy answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests
import sqlalchemy as sa
from bench.galaxy import KEY, Galaxy, simulated
from bench.store import Store

from galaxy_jobs.adapters.postgres import make_engine
from tests.support.service import Service, report_each_sweep, service
from tests.support.terminal import Terminal
from tests.support.wait import until


@pytest.fixture
def galaxy() -> Iterator[Galaxy]:
    """One that takes a second for each answer."""
    with simulated(300, latency=1) as galaxy:
        yield galaxy


@pytest.fixture
def jobs(galaxy: Galaxy, database_url: str, tmp_path: Path) -> Iterator[Service]:
    with service(
        tmp_path, database=database_url, galaxy=galaxy.url, key=KEY
    ) as running:
        engine = make_engine(database_url)
        Store(database_url, engine).fill(galaxy.url, 300)
        engine.dispose()
        yield running


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
        lines = [line for line in poller.logged() if line["event"] == "metrics"]
        return lines[0]["url"] if lines else None

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
    message = f"galaxy-jobs: --metrics-port {port}: cannot listen on 127.0.0.1:{port}"
    assert any(line.startswith(message) for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
    assert poller.stop() == 0


def test_people_are_told_what_there_is_to_tell(
    galaxy: Galaxy, jobs: Service, tmp_path: Path
) -> None:
    terminal = Terminal(("poll", "--every", "0.5"), jobs.env, tmp_path, columns=250)
    terminal.read_until("asked=300")
    terminal.interrupt()
    assert terminal.end() == 0
    assert "due=300" in terminal.text
    assert not re.search(r"=0\b(?!\.)", terminal.text), terminal.text
    assert galaxy.asked()["bulk"]


def sweeps(database_url: str) -> float:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(total), 0) FROM sweep_totals WHERE name = 'sweeps'"
        ).fetchone()
    assert row is not None
    return float(row[0])


def test_people_are_not_told_that_nothing_was_to_do(
    galaxy: Galaxy, database_url: str, tmp_path: Path
) -> None:
    with service(tmp_path, database=database_url, galaxy=galaxy.url, key=KEY) as idle:
        terminal = Terminal(("poll", "--every", "0.5"), idle.env, tmp_path, columns=250)
        terminal.read_until("polling")
        until(lambda: sweeps(database_url) >= 2, 60)
        terminal.interrupt()
        assert terminal.end() == 0
        assert "stopped" in terminal.text
        assert "sweep" not in terminal.text
        once = Terminal(("poll", "--once"), idle.env, tmp_path, columns=250)
        assert once.end() == 0
        assert once.text.startswith("due=0 asked=0 ")  # no bar, and all the counts
        polling, before = idle.poll(), sweeps(database_url)
        until(lambda: sweeps(database_url) >= before + 2, 60)
        assert "sweep" not in {line["event"] for line in polling.logged()}
        (ready,) = (line for line in polling.logged() if line["event"] == "polling")
        assert ready["database"].endswith(sa.make_url(database_url).database or "?")


def test_a_poller_without_work_reports_once_in_a_while(
    galaxy: Galaxy, database_url: str, tmp_path: Path
) -> None:
    with service(tmp_path, database=database_url, galaxy=galaxy.url, key=KEY) as idle:
        idle.change = report_each_sweep
        polling = idle.poll()
        until(lambda: len(polling.logged()) >= 3, 60)
        assert {line["event"] for line in polling.logged()} == {"polling"}
