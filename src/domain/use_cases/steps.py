"""Show the steps of a job and the logs of its failed jobs, as the engine has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from attrs import frozen

from galaxy_jobs.domain.errors import RunNotFound
from galaxy_jobs.domain.model.invocation import StepSummary
from galaxy_jobs.domain.model.report import (
    BAD,
    SETTLED,
    JobDetails,
    JobState,
    StepReport,
)
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.model.verdict import Row, row_of, summary
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import InvocationRepository, WorkflowRunner
from galaxy_jobs.domain.use_cases.poll.sweep import report_or_outline


LOGS_LIMIT = 20
"""The failed jobs whose logs are shown at most; each takes a request or two."""


@frozen(kw_only=True)
class TimedStep:
    """A step with its times.

    Attributes:
        path: The labels of the sub-workflows down to it, its own last.
        summary: Its state and jobs.
        began_at: When the first of its jobs was created, by the engine's clock; None
            if it has none, or that is not known.
        ended_at: When the last of its jobs changed; None unless all are settled.
    """

    path: tuple[str, ...]
    summary: StepSummary
    began_at: datetime | None
    ended_at: datetime | None


@frozen
class JobSteps:
    """Lists the steps of a job and of its sub-workflows. Galaxy is asked."""

    invocations: InvocationRepository
    runner: WorkflowRunner
    identity: Callable[[], Identity]

    def __call__(
        self, invocation_id: InvocationId, viewer: Viewer
    ) -> Sequence[TimedStep]:
        """Return its steps in the workflow's order, as Galaxy has them now.

        Raises:
            JobNotFound: There is no such job.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        job = self.invocations.get(invocation_id, viewer)
        report = report_or_outline(self.runner, job.id_on(self.identity()))
        row = row_of(report)
        return [_timed(path, step, row) for path, step in report.walk()]


def _timed(path: tuple[str, ...], step: StepReport, row: Row) -> TimedStep:
    jobs = [*step.all_jobs()]
    created = [job.created_at for job in jobs if job.created_at]
    updated = [job.updated_at for job in jobs if job.updated_at]
    settled = step.all_states.keys() <= SETTLED and not step.expanding
    if len(jobs) < step.all_states.total():
        created = updated = []  # of some jobs alone they would mislead
    return TimedStep(
        path=path,
        summary=summary(step, row),
        began_at=min(created, default=None),
        ended_at=max(updated, default=None) if settled else None,
    )


@frozen(kw_only=True)
class FailedJob:
    """A failed job of a run, with its log.

    Attributes:
        path: The labels of the sub-workflows down to its step, that of the step last.
        state: Its state.
        details: Its log; None where Galaxy has none any more.
    """

    path: tuple[str, ...]
    state: JobState
    details: JobDetails | None


@frozen
class JobLogs:
    """Shows the logs of the failed jobs of a run. Galaxy is asked."""

    invocations: InvocationRepository
    runner: WorkflowRunner
    identity: Callable[[], Identity]

    def __call__(
        self, invocation_id: InvocationId, viewer: Viewer
    ) -> tuple[Sequence[FailedJob], int]:
        """Return its failed jobs, and the number of those that are left out.

        Jobs that never ran since others failed are not among them. At most
        :data:`LOGS_LIMIT` are returned, in the workflow's order.

        Raises:
            JobNotFound: There is no such job.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        job = self.invocations.get(invocation_id, viewer)
        report = report_or_outline(self.runner, job.id_on(self.identity()))
        failed = [
            (path, bad)
            for path, _, bad in report.bad_jobs
            if bad.state is not JobState.BLOCKED
        ]
        logs = []
        for path, bad in failed[:LOGS_LIMIT]:
            try:
                details = self.runner.details(bad.job_id)
            except RunNotFound:
                details = None
            logs.append(FailedJob(path=path, state=bad.state, details=details))
        number = sum(report.states[state] for state in BAD - {JobState.BLOCKED})
        return logs, number - len(logs)
