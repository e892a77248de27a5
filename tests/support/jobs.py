"""Jobs in PostgreSQL that change as a test tells them, without any Galaxy."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve, frozen
from sqlalchemy import Engine

from galaxy_jobs.adapters.postgres import (
    PostgresDatasets,
    PostgresInvocations,
    PostgresSubmissions,
)
from galaxy_jobs.adapters.testing.contracts.repositories import (
    LATER,
    NOON,
    a_dataset,
    a_run,
    a_submission,
    sighting,
)
from galaxy_jobs.domain import HistoryId, InvocationId
from galaxy_jobs.domain.model.invocation import InvocationState
from galaxy_jobs.domain.model.viewer import SERVICE


HOUR = timedelta(hours=1)


@frozen
class Jobs:
    """Makes and changes jobs as submitters and pollers do, without any Galaxy."""

    engine: Engine

    def accept(self, name: str, dataset: str = "d1", **labels: str) -> None:
        PostgresDatasets(self.engine).add(a_dataset(dataset), SERVICE)
        submissions = PostgresSubmissions(self.engine)
        opened = a_submission(dataset)
        opened = evolve(opened, request=evolve(opened.request, labels=labels))
        submissions.open(opened, deadline=HOUR, key_lifetime=HOUR)
        begun = opened.with_history(HistoryId("his"), NOON)
        submissions.save(opened, begun, look_in=HOUR)
        run = a_run(begun, name)
        submissions.accept(begun, begun.accepted(run.invocation_id, NOON), run)

    def move(self, name: str, *states: InvocationState) -> None:
        invocations = PostgresInvocations(self.engine)
        for state in states:
            before = invocations.get(InvocationId(name), SERVICE)
            invocations.save(before, before.seen(sighting(state), LATER))
