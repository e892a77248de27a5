"""A Galaxy that answers with garbage, and what it costs the poller and the API."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from bench.galaxy import id_of
from bench.store import Store

from galaxy_jobs.adapters.postgres import make_engine
from tests.attacks.measure import Attack, peak_memory
from tests.support.hostile_galaxy import (
    DEEP,
    KEY,
    LATE,
    WORKFLOW,
    Garbage,
    HostileGalaxy,
    hostile_galaxy,
    http,
    many,
    recorded,
)
from tests.support.service import Command, service
from tests.support.wait import until


JOBS = 1000
WAIT = 30
"""Seconds that an attack lasts at most."""


@contextmanager
def polled(
    tmp_path: Path, database_url: str, galaxy: HostileGalaxy
) -> Iterator[Command]:
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
        # A run in another history would be another one, by an id that is given again.
        with psycopg.connect(database_url) as connection:
            rows = connection.execute(
                "SELECT invocation_id, history_id FROM workflow_invocations"
            )
            galaxy.histories |= dict(rows.fetchall())
        poller = running.poll(every=1)
        until(lambda: galaxy.requests["identity"], 30)
        yield poller


def written(database_url: str) -> int:
    """Return how many jobs were observed since :class:`Store` has stored them."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM active_invocations "
            "WHERE observed_at > accepted_at + interval '1 hour'"
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


def details(job: str, exit_code: str) -> bytes:
    shown = json.dumps({**recorded("job_failed"), "id": job})
    return http(shown.replace('"exit_code": 3', f'"exit_code": {exit_code}'))


# Its length is not known in advance.
LISTS = b"HTTP/1.1 200 OK\r\n\r\n" + many(b"[]", 63_000_000)
STEPS = many(b'{"order_index":1,"jobs":[{"id":"a","state":"ok"}]}', 63_000_000)

GARBAGE: Mapping[str, Garbage] = {
    "depth": http(DEEP),
    "lists": LISTS,
    "objects": http(many(b'{"a":{}}', 63_000_000)),
    "steps": http(b'{"id":"1","state":"new","history_id":"h","steps":' + STEPS + b"}"),
    "message": message(20_000_000),
    "pause": http(b"{}", 503, Retry_After=LATE),
    "bomb": http(gzip.compress(bytes(10**8)), Content_Encoding="gzip"),
}


def test_garbage_about_some_of_a_thousand_jobs(
    tmp_path: Path, database_url: str, attack: Attack
) -> None:
    with hostile_galaxy() as galaxy:
        for number, garbage in enumerate(GARBAGE.values()):
            galaxy.shown[id_of(number)] = recorded("run_success")  # it has moved
            galaxy.garbage[f"report {id_of(number)}"] = garbage
        # And three more have failed, for reasons that cannot be stored.
        for number, code in enumerate(("NaN", "1" + "0" * 400, '"\\ud800"'), JOBS - 3):
            failed = json.dumps(recorded("run_first_fails"))
            job = f"{number}{code[:3]}".encode().hex()
            for old in re.findall(r'"id": "([0-9a-f]+)"[^{}]*"state": "error"', failed):
                failed = failed.replace(old, job)
            galaxy.shown[id_of(number)] = json.loads(failed)
            galaxy.garbage[f"details {job}"] = details(job, code)
        with polled(tmp_path, database_url, galaxy) as poller:
            with peak_memory(poller.process.pid) as peak:
                began = time.monotonic()
                while time.monotonic() - began < WAIT:
                    if written(database_url) >= JOBS - len(GARBAGE) - 3:
                        break
                    time.sleep(0.1)
                seconds = time.monotonic() - began
                time.sleep(2)
            ended = poller.process.poll() is not None
    attack.at_most(256, "memory of the poller", peak.growth, "MiB")
    attack.at_most(10, "time until the other jobs were written", seconds, "s")
    attack.at_most(0, "pollers that ended", int(ended), "")


EVERY_ANSWER: Mapping[str, Mapping[str, Garbage]] = {
    "reports": {"report": LISTS, "summaries": http(b"{}")},
    "summaries": {"summaries": LISTS},
    "identity": {"identity": http(b"{}", 429, Retry_After=LATE)},
}


@pytest.mark.parametrize("garbage", EVERY_ANSWER.values(), ids=EVERY_ANSWER)
def test_garbage_about_every_job(
    tmp_path: Path,
    database_url: str,
    attack: Attack,
    garbage: Mapping[str, Garbage],
) -> None:
    with hostile_galaxy() as galaxy:
        galaxy.garbage.update(garbage)  # before anything can be written
        with polled(tmp_path, database_url, galaxy) as poller:
            with peak_memory(poller.process.pid) as peak:
                time.sleep(6)
            galaxy.garbage.clear()
            began = time.monotonic()
            while (seconds := time.monotonic() - began) < WAIT:
                if written(database_url) >= 0.9 * JOBS:
                    break
                time.sleep(0.1)
            ended = poller.process.poll() is not None
    attack.at_most(256, "memory of the poller", peak.growth, "MiB")
    attack.at_most(0, "pollers that ended", int(ended), "")
    attack.at_most(25, "time after it until nine in ten jobs are written", seconds, "s")


ROUTES = {
    "export": ("GET", f"/workflows/{WORKFLOW}"),
    "report": ("GET", "/jobs/{id}/outputs"),
    "create": ("POST", "/jobs"),
    "invoke": ("POST", "/jobs"),
}


def test_garbage_to_requests(tmp_path: Path, database_url: str, attack: Attack) -> None:
    lies = 0
    with (
        hostile_galaxy() as galaxy,
        service(
            tmp_path,
            database=database_url,
            galaxy=galaxy.url,
            key=KEY,
            GALAXY_TIMEOUT="10",
        ) as running,
    ):
        running.cold = True
        api = running.serve()
        body = {"dataset_id": running.dataset("hda", "d1"), "workflow_name": WORKFLOW}
        id_ = running.post("/jobs", body)["invocation_id"]
        with peak_memory(api.process.pid) as peak:
            for garbage in (LISTS, GARBAGE["bomb"], http(b'{"id": "a\\u0000b"}')):
                for kind, (method, path) in ROUTES.items():
                    galaxy.garbage = {kind: garbage}
                    sent = body if method == "POST" else None
                    answer = running.request(method, path.format(id=id_), sent)
                    truth = 504 if kind == "invoke" else 503
                    lies += answer.status_code != truth
        lies += api.process.poll() is not None
    attack.at_most(256, "memory of the API", peak.growth, "MiB")
    attack.at_most(0, "answers that are not 503, or 504 to an invoke", lies, "")
