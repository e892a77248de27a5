"""The poller beside runs whose looks take long, or are too large."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.hostile_galaxy import (
    KEY,
    WORKFLOW,
    Garbage,
    HostileGalaxy,
    Write,
    hostile_galaxy,
    http,
    recorded,
)
from tests.support.service import ENDED, Service, service
from tests.support.wait import until


LOOK = 12.0
"""Seconds until a slow look times out."""

CONFIG = """\
[poll]
confirm_after = 0
stale_after = 4
"""


@pytest.fixture
def hostile() -> Iterator[HostileGalaxy]:
    with hostile_galaxy() as galaxy:
        yield galaxy


@pytest.fixture
def unanswered() -> Iterator[Garbage]:
    """An answer that does not come before the end of the test."""
    ended = threading.Event()

    def wait(_: Write) -> None:
        ended.wait(60)

    yield wait
    ended.set()


@pytest.fixture
def jobs(
    hostile: HostileGalaxy, database_url: str, tmp_path: Path
) -> Iterator[Service]:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    with service(
        tmp_path,
        database=database_url,
        galaxy=hostile.url,
        key=KEY,
        GALAXY_TIMEOUT=str(LOOK),
        GALAXY_JOBS_CONFIG=str(config),
    ) as running:
        running.serve()
        yield running


def submitted(jobs: Service, number: int) -> list[str]:
    dataset = jobs.dataset("hda", "d1")
    return [jobs.submit(dataset, WORKFLOW) for _ in range(number)]


def seconds(condition: Callable[[], object]) -> float:
    """Return how long it takes until a condition holds."""
    began = time.monotonic()
    until(lambda: condition() or None, 60)
    return time.monotonic() - began


def ended(jobs: Service, id_: str) -> bool:
    return jobs.job(id_)["state"] in ENDED


def has_jobs(jobs: Service, id_: str, number: int) -> bool:
    return bool(jobs.job(id_)["progress"]["total"] == number)


@pytest.mark.parametrize("kind", ["full", "report"])
def test_others_do_not_wait_for_a_run_that_is_slow_to_look_at(
    jobs: Service, hostile: HostileGalaxy, unanswered: Garbage, kind: str
) -> None:
    slow, first, second, *others = submitted(jobs, 6)
    hostile.garbage = {f"{kind} {slow}": unanswered}
    hostile.mapped[slow] = {"running": 8000}
    jobs.poll(every=1)
    until(lambda: hostile.requests["report"] > len(others) or None)
    times_to_cancel = [time_to_cancel(jobs, hostile, first)]
    times_to_end = []
    for id_ in others:
        hostile.shown[id_] = recorded("run_success")
        times_to_end.append(seconds(partial(ended, jobs, id_)))
    times_to_cancel.append(time_to_cancel(jobs, hostile, second))
    times = f"others ended after {times_to_end} s, cancels took {times_to_cancel} s"
    assert max(times_to_end) < 5, times
    assert times_to_cancel[0] < 5, times
    assert times_to_cancel[1] < 2, times


def time_to_cancel(jobs: Service, hostile: HostileGalaxy, id_: str) -> float:
    """Return the seconds from a request until Galaxy is asked to cancel."""
    before = hostile.requests["cancel"]
    jobs.post(f"/jobs/{id_}/cancel", None)
    return seconds(lambda: hostile.requests["cancel"] > before)


def test_a_poller_that_is_stopped_does_not_wait_for_a_slow_look(
    jobs: Service, hostile: HostileGalaxy, unanswered: Garbage
) -> None:
    (slow,) = submitted(jobs, 1)
    hostile.garbage = {f"report {slow}": unanswered}
    poller = jobs.poll()
    until(lambda: hostile.requests["report"] or None)
    until(lambda: hostile.requests["identity"] > 4 or None)  # sweeps go on
    began = time.monotonic()
    assert poller.stop() == 0
    assert time.monotonic() - began < LOOK / 2
    assert "Traceback" not in poller.log.read_text()


def test_a_run_that_no_look_can_be_had_of_is_stale(
    jobs: Service, hostile: HostileGalaxy, unanswered: Garbage
) -> None:
    slow, other = submitted(jobs, 2)
    hostile.garbage = {f"report {slow}": unanswered}
    jobs.poll()
    until(lambda: jobs.job(slow)["stale"] or None, 30)
    assert not jobs.job(other)["stale"]
    hostile.garbage.clear()
    hostile.shown[slow] = recorded("run_success")
    assert jobs.wait(slow)["state"] == "completed"


TOO_LARGE = http(b"[" + b" " * (25 * 2**20) + b"]")


@pytest.mark.parametrize("number", [8_000, 60_000])
def test_a_run_of_too_many_jobs_to_list_gets_its_verdict(
    jobs: Service, hostile: HostileGalaxy, unanswered: Garbage, number: int
) -> None:
    good, bad = submitted(jobs, 2)
    hostile.garbage = {f"full {good}": TOO_LARGE, f"full {bad}": unanswered}
    for id_ in (good, bad):
        hostile.mapped[id_] = {"ok": 1, "running": number - 2, "error": 1}
    hostile.mapped[good] = {"ok": 1, "running": number - 1}
    jobs.poll(every=1)
    for id_ in (good, bad):
        until(partial(has_jobs, jobs, id_, number), 30)
    job = jobs.job(bad)
    assert job["state"] == "in_progress"
    assert job["failure"]["tool"]
    assert job["steps"][0]["jobs"] == {"error": 1, "ok": 1, "running": number - 2}
    hostile.mapped[good] = {"ok": number}
    hostile.mapped[bad] = {"ok": number - 1, "error": 1}
    took = seconds(lambda: ended(jobs, good) and ended(jobs, bad))
    assert jobs.job(good)["state"] == "completed"
    failed = jobs.job(bad)
    assert failed["state"] == "failed"
    assert failed["progress"]["failed"] == 1
    assert failed["failure"]["step"]
    assert took < 5
