"""A Galaxy that answers with garbage, and what it costs the poller and the API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from bench.store import Store

from galaxy_jobs.adapters.postgres import make_engine
from tests.attacks.measure import Attack, peak_memory
from tests.support.hostile_galaxy import (
    DEEP,
    KEY,
    LATE,
    Garbage,
    HostileGalaxy,
    hostile_galaxy,
    http,
    many,
    recorded,
)
from tests.support.service import Command, Service, service
from tests.support.wait import until


JOBS = 1000
WAIT = 30
"""Seconds that an attack lasts at most."""

BATCH = "GET /api/invocations/000000000000000"


@contextmanager
def polled(
    tmp_path: Path, database_url: str, galaxy: HostileGalaxy
) -> Iterator[tuple[Service, Command]]:
    """Poll a thousand jobs that run, each of which is due."""
    with service(
        tmp_path,
        database=database_url,
        galaxy=galaxy.url,
        key=KEY,
        GALAXY_TIMEOUT="10",
    ) as running:
        running.cold = True
        engine = make_engine(database_url)
        Store(database_url, engine).fill(galaxy.url, JOBS)
        engine.dispose()
        poller = running.poll(every=1)
        until(lambda: galaxy.requests["identity"], 30)
        yield running, poller


def written(database_url: str) -> int:
    """Return how many jobs have been written since the poller began."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM active_invocations "
            "WHERE lease_until IS NULL AND next_poll_at > now() - interval '1 minute'"
        ).fetchone()
    assert row
    return int(row[0])


def message(size: int) -> bytes:
    failed = {
        "reason": "unexpected_failure",
        "details": "x" * size,
        "workflow_step_id": 1,
    }
    return http(json.dumps({**recorded("run_wrong_when"), "messages": [failed]}))


def exit_code(text: str) -> bytes:
    shown = json.dumps(recorded("job_failed"))
    return http(shown.replace('"exit_code": 3', f'"exit_code": {text}'))


ONE_ANSWER: dict[str, dict[str, Garbage]] = {
    "depth": {"report": http(DEEP)},
    "empty lists": {"report": http(many(b"[]", 63_000_000))},
    "objects": {"report": http(many(b'{"a":{}}', 63_000_000))},
    "steps": {
        "report": http(
            b'{"id":"1","state":"new","history_id":"h","steps":'
            + many(b'{"order_index":1,"jobs":[{"id":"a","state":"ok"}]}', 63_000_000)
            + b"}"
        )
    },
    "message": {"report": message(20_000_000)},
    "number": {"details": exit_code("NaN")},
    "digits": {"details": exit_code("1" + "0" * 400)},
    "pause": {"report": http(b"{}", 503, Retry_After=LATE)},
}


@pytest.mark.parametrize("garbage", ONE_ANSWER.values(), ids=ONE_ANSWER)
def test_garbage_about_one_job(
    tmp_path: Path, database_url: str, attack: Attack, garbage: dict[str, Garbage]
) -> None:
    target = f"{7:016x}"
    with hostile_galaxy() as galaxy:
        galaxy.garbage |= {
            f"report {target}": g for k, g in garbage.items() if k == "report"
        }
        galaxy.garbage |= {k: g for k, g in garbage.items() if k != "report"}
        galaxy.shown[target] = recorded("run_first_fails")
        with polled(tmp_path, database_url, galaxy) as (_, poller):
            with peak_memory(poller.process.pid) as peak:
                began = time.monotonic()
                until(lambda: any(galaxy.requests[k] for k in garbage), 30)
                while time.monotonic() - began < WAIT:
                    if written(database_url) >= JOBS - 1:
                        break
                    time.sleep(0.1)
                seconds = time.monotonic() - began
                time.sleep(1)
            ended = poller.process.poll() is not None
    attack.at_most(256, "memory of the poller", peak.growth, "MiB")
    attack.at_most(10, "time until the other jobs were written", seconds, "s")
    attack.at_most(0, "pollers that ended", int(ended), "")


EVERY_ANSWER: dict[str, dict[str, Garbage]] = {
    "reports": {"report": http(many(b"[]", 63_000_000)), "summaries": http(b"{}")},
    "identity": {"identity": http(b"{}", 429, Retry_After=LATE)},
    "summaries": {"summaries": http(many(b"[]", 63_000_000))},
}


@pytest.mark.parametrize("garbage", EVERY_ANSWER.values(), ids=EVERY_ANSWER)
def test_garbage_about_every_job(
    tmp_path: Path, database_url: str, attack: Attack, garbage: dict[str, Garbage]
) -> None:
    with (
        hostile_galaxy() as galaxy,
        polled(tmp_path, database_url, galaxy) as (_, poller),
    ):
        galaxy.garbage.update(garbage)
        with peak_memory(poller.process.pid) as peak:
            time.sleep(8)
        ended = poller.process.poll() is not None
        galaxy.garbage.clear()
        before, began = galaxy.requests["identity"], time.monotonic()
        if not ended:
            until(lambda: galaxy.requests["identity"] > before, WAIT)
        seconds = time.monotonic() - began
    attack.at_most(256, "memory of the poller", peak.growth, "MiB")
    attack.at_most(0, "pollers that ended", int(ended), "")
    attack.at_most(15, "time until it polls again", seconds, "s")
