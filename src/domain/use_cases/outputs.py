"""Look at jobs. Only `JobOutputs` asks Galaxy."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from galaxy_jobs.domain.model.invocation import Invocation, Transition
from galaxy_jobs.domain.model.report import Output
from galaxy_jobs.domain.model.submission import Submission
from galaxy_jobs.domain.model.values import InvocationId, SubmissionId
from galaxy_jobs.domain.ports import (
    Cursor,
    InvocationRepository,
    JobFilter,
    Page,
    SubmissionRepository,
    WorkflowRunner,
)


@frozen
class ShowJob:
    """Looks one job up."""

    invocations: InvocationRepository

    def __call__(self, invocation_id: InvocationId) -> Invocation:
        """Return it as it is recorded.

        Raises:
            JobNotFound: There is none.
        """
        return self.invocations.get(invocation_id)


@frozen
class ListJobs:
    """Lists jobs."""

    invocations: InvocationRepository

    def __call__(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[Invocation]:
        """Return at most *limit* of those wanted, newest first, beyond *after*."""
        return self.invocations.page(wanted, limit, after)


@frozen
class JobHistory:
    """Tells how a job came to where it is."""

    invocations: InvocationRepository

    def __call__(self, invocation_id: InvocationId) -> Sequence[Transition]:
        """Return its transitions, oldest first.

        Raises:
            JobNotFound: There is no such job.
        """
        return self.invocations.transitions(invocation_id)


@frozen
class JobOutputs:
    """Tells what a job has made."""

    invocations: InvocationRepository
    runner: WorkflowRunner

    def __call__(self, invocation_id: InvocationId) -> Sequence[Output]:
        """Return its outputs as Galaxy has them now.

        Raises:
            JobNotFound: There is no such job.
            RunNotFound: Galaxy has it no more.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        return self.runner.outputs(self.invocations.get(invocation_id).invocation_id)


@frozen
class ShowSubmission:
    """Tells what became of a submission."""

    submissions: SubmissionRepository

    def __call__(self, submission_id: SubmissionId) -> Submission:
        """Return it.

        Raises:
            SubmissionNotFound: There is none.
        """
        return self.submissions.get(submission_id)
