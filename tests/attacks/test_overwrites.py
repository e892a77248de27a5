"""Reruns that overwrite: many at once, of a dataset with a long history."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from dependency_injector import providers

from galaxy_jobs.adapters.testing.memory import SimulatedGalaxy
from galaxy_jobs.adapters.testing.memory.galaxy import TEXT
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.entrypoints.container import Container
from tests.attacks.measure import Attack, another_client
from tests.support.rows import fill
from tests.support.service import Service, service


OVERWRITES = 40
EARLIER = 2_000

HERE = Identity("https://galaxy.test", "user1")
REQUEST = {"dataset_id": "reads", "workflow_name": "sort", "overwrite": True}


def simulate_galaxy() -> None:
    """Replace Galaxy in this process."""
    galaxy = SimulatedGalaxy(HERE)
    galaxy.add_workflow("sort", TEXT)
    Container.galaxy.override(providers.Object(galaxy))


@pytest.fixture
def simulated(tmp_path: Path, database_url: str) -> Iterator[Service]:
    """The API over a simulated Galaxy; its only dataset has many runs."""
    fill(database_url, EARLIER)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE workflow_invocations SET dataset_id = %s, workflow_name = %s",
            (REQUEST["dataset_id"], REQUEST["workflow_name"]),
        )
    with service(
        tmp_path, database=database_url, galaxy=HERE.url, key="none"
    ) as running:
        running.change = simulate_galaxy
        running.serve()
        source = {"src": "hda", "id": "5a1c"}
        body = {"dataset_id": REQUEST["dataset_id"], "name": "reads", "source": source}
        running.post("/datasets", body)
        yield running


def test_overwrites_at_once(simulated: Service, attack: Attack) -> None:
    job = simulated.get("/jobs?limit=1")["items"][0]["invocation_id"]
    barrier = threading.Barrier(OVERWRITES)

    def overwrite(_: int) -> int:
        barrier.wait()
        return simulated.request("POST", "/jobs", REQUEST).status_code

    url = f"{simulated.url}/jobs/{job}"
    with another_client(url) as client, ThreadPoolExecutor(OVERWRITES) as pool:
        began = time.monotonic()
        statuses = list(pool.map(overwrite, range(OVERWRITES)))
        seconds = time.monotonic() - began
    assert set(client.statuses) == {200}
    refused = sum(status != 201 for status in statuses)
    attack.at_most(0, "overwrites refused", refused, "requests")
    attack.at_most(5, f"{OVERWRITES} overwrites", seconds, "s")
    attack.at_most(250, "reads' p95", client.quantile(0.95), "ms")
