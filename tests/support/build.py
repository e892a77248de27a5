"""Short ways to make the things that the unit tests are about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

from attrs import evolve

from galaxy_jobs.domain import (
    DatasetId,
    GalaxyState,
    HistoryId,
    Identity,
    Invocation,
    InvocationId,
    InvocationReport,
    InvocationState,
    JobId,
    JobReport,
    JobState,
    Request,
    StepReport,
    Submission,
    SubmissionId,
    SubmissionState,
)
from galaxy_jobs.domain.model.invocation import STALE_AFTER
from galaxy_jobs.domain.model.report import NamedStep


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
HERE = Identity("http://galaxy.test", "user1")

_numbers = count(1)


def an_invocation(
    state: InvocationState = InvocationState.QUEUED, at: datetime = NOON
) -> Invocation:
    return Invocation(
        invocation_id=InvocationId("inv1"),
        submission_id=SubmissionId(UUID(int=1)),
        identity=HERE,
        history_id=HistoryId("his1"),
        dataset_id=DatasetId("d1"),
        workflow_name="w",
        state=state,
        created_at=at,
        updated_at=at,
        observed_at=at,
        stale_at=at + STALE_AFTER,
    )


def a_submission(
    state: SubmissionState = SubmissionState.SUBMITTING, at: datetime = NOON
) -> Submission:
    return Submission(
        submission_id=SubmissionId(UUID(int=1)),
        identity=HERE,
        request=Request(dataset_id=DatasetId("d1"), workflow_name="w"),
        state=state,
        created_at=at,
        updated_at=at,
    )


def a_job(state: JobState, tool: str | None = "sort") -> JobReport:
    return JobReport(JobId(f"job{next(_numbers)}"), state, tool)


def a_step(
    *states: JobState,
    label: str | None = None,
    scheduled: bool = True,
    expanding: bool = False,
    sub: InvocationReport | None = None,
    empty: bool = False,
    review: bool = False,
    needs: Sequence[int] | None = None,
) -> StepReport:
    """One step, whose place :func:`a_report` fills in."""
    return StepReport(
        index=0,
        label=label,
        scheduled=scheduled,
        expanding=expanding,
        jobs=tuple(a_job(state) for state in states),
        sub=sub,
        empty=empty,
        review=review,
        needs=None if needs is None else tuple(needs),
    )


def a_report(
    *steps: StepReport,
    state: GalaxyState = GalaxyState.SCHEDULED,
    messages: Sequence[str] = (),
    reasons: Sequence[str] = (),
    quiet_for: timedelta | None = timedelta(days=1),
    visited_for: timedelta | None = None,
    named: NamedStep | None = None,
) -> InvocationReport:
    """An invocation of these steps, numbered as they come."""
    return InvocationReport(
        invocation_id=InvocationId(f"inv{next(_numbers)}"),
        state=state,
        steps=tuple(evolve(step, index=i) for i, step in enumerate(steps)),
        messages=tuple(messages),
        reasons=tuple(reasons),
        quiet_for=quiet_for,
        visited_for=visited_for,
        named=named,
    )
