"""A batch: how soon it is recorded and answered, and how fast its items are invoked.

Galaxy is a small one, whose answers take as long as those of a quick real one. The
rival has the ids at hand and stock BioBlend: as many threads as we invoke with make a
history and invoke the workflow into it, over and over. Nothing is recorded.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from bioblend.galaxy import GalaxyInstance
from tests.support.hostile_galaxy import KEY, WORKFLOW, HostileGalaxy, hostile_galaxy
from tests.support.service import Service, service

from bench.store import postgres, store
from bench.table import Row


SIZE = 1000
ITEMS = 120
THREADS = 4
TURNS = 3
LATENCY = {"create": 0.03, "invoke": 0.15}
"""Seconds that a real Galaxy on the same machine takes for each."""


def rows() -> Iterator[Row]:
    """Measure."""
    with (
        _slowed_down(),
        hostile_galaxy() as galaxy,
        postgres() as server,
        store(server) as database,
        tempfile.TemporaryDirectory() as folder,
        service(
            Path(folder), database=database.url, galaxy=galaxy.url, key=KEY
        ) as jobs,
    ):
        jobs.serve()
        for number in range(SIZE):
            source = {"src": "hda", "id": f"{number:016x}"}
            body = {"dataset_id": f"s{number}", "name": "s", "source": source}
            jobs.post("/datasets?check=false", body)
        answered = statistics.median(_recorded(jobs) for _ in range(TURNS))
        yield Row(
            f"POST /batches with {SIZE} items: recorded and answered, median of "
            f"{TURNS}, s",
            answered,
            None,
            answered,
            "<= 1 s",
            answered <= 1,
        )
        turns = [(_invoked(jobs, galaxy), _bare(galaxy)) for _ in range(TURNS)]
    ours = statistics.median(rate for rate, _ in turns)
    theirs = statistics.median(rate for _, rate in turns)
    yield Row(
        f"items of a batch invoked, 1/s, against BioBlend's create_history and "
        f"invoke_workflow in {THREADS} threads",
        ours,
        theirs,
        ours / theirs,
        "ratio >= 0.9",
        ours / theirs >= 0.9,
    )


@contextmanager
def _slowed_down() -> Iterator[None]:
    """Have small Galaxies take as long as a real one."""
    answer = HostileGalaxy.answer

    def slow(
        galaxy: HostileGalaxy, method: str, target: str, body: bytes
    ) -> tuple[str, Any]:
        kind, content = answer(galaxy, method, target, body)
        time.sleep(LATENCY.get(kind, 0.01))
        if kind == "workflows":  # the same each time, as in a Galaxy nobody edits
            content[0]["update_time"] = "2026-01-01"
        return kind, content

    with mock.patch.object(HostileGalaxy, "answer", slow):
        yield


def _batch(jobs: Service, size: int) -> str:
    items = [{"dataset_id": f"s{number}"} for number in range(size)]
    body = {"workflow_name": WORKFLOW, "items": items}
    batch_id: str = jobs.post("/batches", body)["batch_id"]
    return batch_id


def _recorded(jobs: Service) -> float:
    began = time.perf_counter()
    batch_id = _batch(jobs, SIZE)
    seconds = time.perf_counter() - began
    jobs.request("POST", f"/batches/{batch_id}/cancel")
    return seconds


def _rate(galaxy: HostileGalaxy, start: Callable[[], object]) -> float:
    """Return how many invocations come each second, from the first to the last."""
    before = len(galaxy.invoked)
    start()
    while len(galaxy.invoked) == before:
        time.sleep(0.001)
    began = time.perf_counter()
    while len(galaxy.invoked) < before + ITEMS:
        time.sleep(0.001)
    return (ITEMS - 1) / (time.perf_counter() - began)


def _invoked(jobs: Service, galaxy: HostileGalaxy) -> float:
    return _rate(galaxy, lambda: _batch(jobs, ITEMS))


def _bare(galaxy: HostileGalaxy) -> float:
    bare = GalaxyInstance(galaxy.url, KEY)

    def run(number: int) -> None:
        history = bare.histories.create_history(f"bench {number}")["id"]
        bare.workflows.invoke_workflow(
            "w1",
            inputs={"text": {"src": "hda", "id": f"{number:016x}"}},
            inputs_by="name",
            history_id=history,
        )

    with ThreadPoolExecutor(THREADS) as pool:
        return _rate(galaxy, lambda: [pool.submit(run, n) for n in range(ITEMS)])
