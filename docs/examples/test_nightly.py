"""Test a service that embeds the use cases, with no database and no Galaxy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dependency_injector import providers

from galaxy_jobs.adapters.testing.memory import (
    FAILURE,
    ManualClock,
    MemoryAuditLog,
    MemoryDatasets,
    MemoryInvocations,
    MemoryPollQueue,
    MemorySigningKeys,
    MemoryStore,
    MemorySubmissions,
    MemorySupersededRuns,
    MemoryTagChanges,
    MemoryUploads,
    SimulatedGalaxy,
)
from galaxy_jobs.domain import SERVICE, InvocationState
from galaxy_jobs.entrypoints.container import Container
from galaxy_jobs.entrypoints.settings import Settings
from nightly import run_nightly


@pytest.fixture
def galaxy() -> SimulatedGalaxy:
    return SimulatedGalaxy()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def container(galaxy: SimulatedGalaxy, clock: ManualClock) -> Iterator[Container]:
    store = MemoryStore(now=clock)
    container = Container(settings=Settings(home=Path("unused")))
    container.galaxy.override(providers.Object(galaxy))
    container.clock.override(providers.Object(clock))
    container.datasets.override(providers.Object(MemoryDatasets(store)))
    container.submissions.override(providers.Object(MemorySubmissions(store)))
    container.invocations.override(providers.Object(MemoryInvocations(store)))
    container.audit_log.override(providers.Object(MemoryAuditLog(store)))
    container.queue.override(providers.Object(MemoryPollQueue(store)))
    container.superseded.override(providers.Object(MemorySupersededRuns(store)))
    container.tag_changes.override(providers.Object(MemoryTagChanges(store)))
    container.uploads.override(providers.Object(MemoryUploads(store)))
    container.signing_keys.override(providers.Object(MemorySigningKeys(store)))
    yield container
    container.shutdown_resources()


def test_runs_once_a_day(
    container: Container, galaxy: SimulatedGalaxy, clock: ManualClock
) -> None:
    galaxy.add_workflow("sort-and-count")
    first = run_nightly(container, "d1", "sort-and-count")
    assert run_nightly(container, "d1", "sort-and-count") == first
    assert len(galaxy.runs) == 1
    clock.advance(timedelta(days=1))
    assert run_nightly(container, "d1", "sort-and-count") != first


def test_knows_that_a_run_failed(
    container: Container, galaxy: SimulatedGalaxy, clock: ManualClock
) -> None:
    galaxy.add_workflow("breaks", plan=FAILURE)
    job = run_nightly(container, "d1", "breaks")
    while not job.state.is_terminal:
        galaxy.tick()
        clock.advance(container.poll_policy().max_interval)
        container.poll()()
        job = container.invocations().get(job.invocation_id, SERVICE)
    assert job.state is InvocationState.FAILED
    assert job.failure is not None
    assert job.failure.step == "sort"
