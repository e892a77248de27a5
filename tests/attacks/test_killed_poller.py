"""A poller that is killed while it holds claims on a thousand runs."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.galaxy import Galaxy, simulated
from bench.store import Store

from galaxy_jobs.adapters.postgres import make_engine
from tests.attacks.measure import Attack
from tests.support.service import Service, service
from tests.support.wait import until


RUNS = 2_000
BOUND = 30.0
"""Seconds within which every run is to be looked at again."""

CONFIG = "[poll]\nmin_interval = 1\nmax_interval = 1\n"


@pytest.fixture
def galaxy() -> Iterator[Galaxy]:
    """A Galaxy that takes its time, so that batches are always under way."""
    with simulated(RUNS, latency=1, logs=1) as running:
        yield running


@pytest.fixture
def pollers(tmp_path: Path, database_url: str, galaxy: Galaxy) -> Iterator[Service]:
    """Two pollers, each with its own key, and runs that are all due."""
    engine = make_engine(database_url)
    Store(database_url, engine).fill(galaxy.url, RUNS)
    engine.dispose()
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    with service(
        tmp_path,
        database=database_url,
        galaxy=galaxy.url,
        key="first",
        GALAXY_JOBS_CONFIG=str(config),
    ) as running:
        running.poll()
        running.env = {**running.env, "GALAXY_API_KEY": "second"}
        running.poll()
        yield running


def test_one_of_two_pollers_killed(
    galaxy: Galaxy, pollers: Service, attack: Attack
) -> None:
    until(lambda: len(looks(galaxy, "first")) and len(looks(galaxy)) == RUNS, 60)
    # The first holds claims: it is in the middle of a bulk question.
    known = sum(map(len, looks(galaxy, "first").values()))
    until(lambda: sum(map(len, looks(galaxy, "first").values())) > known, 30)
    pollers.commands[0].send(signal.SIGKILL)
    killed = time.monotonic()
    before = {id_: times[-1] for id_, times in looks(galaxy).items()}

    def after() -> dict[str, float]:
        return {
            id_: times[-1]
            for id_, times in looks(galaxy, "second").items()
            if times[-1] > killed
        }

    while len(after()) < RUNS and time.monotonic() < killed + 1.5 * BOUND:
        time.sleep(0.2)
    seen, now = after(), time.monotonic()
    longest = max(seen.get(id_, now) - at for id_, at in before.items())
    attack.at_most(BOUND, "longest unseen", longest, "s")


def looks(galaxy: Galaxy, key: str | None = None) -> dict[str, list[float]]:
    """Return when each run was looked at, by one poller or all of them."""
    times: dict[str, list[float]] = defaultdict(list)
    for at, who, ids in galaxy.log():
        if key in {None, who}:
            for id_ in ids:
                times[id_].append(at)
    return times
