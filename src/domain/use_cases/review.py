"""Answer a review that a job waits for."""

from __future__ import annotations

from contextlib import suppress

from attrs import evolve, frozen

from galaxy_jobs.domain.errors import (
    AlreadyEnded,
    NoReview,
    RunnerError,
    StepNotFound,
)
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.verdict import reviews
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import InvocationRepository, WorkflowRunner
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.poll.sweep import own_report
from galaxy_jobs.domain.use_cases.refresh import RefreshJob


@frozen
class AnswerReview:
    """Answers a review that a job waits for. Galaxy is asked.

    Attributes:
        refresh: Shows what came of it.
    """

    invocations: InvocationRepository
    runner: WorkflowRunner
    refresh: RefreshJob
    record: Recorder = no_record

    def __call__(
        self, invocation_id: InvocationId, viewer: Viewer, place: str, *, approve: bool
    ) -> Invocation:
        """Return the job after the answer.

        Args:
            invocation_id: The job.
            viewer: Who answers.
            place: The step, as in :meth:`InvocationReport.places`.
            approve: Whether the job goes on; else it is cancelled.

        Raises:
            JobNotFound: There is none.
            StepNotFound: It has no such step, or not yet.
            NoReview: That step waits for no review.
            AlreadyEnded: The job has ended.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunRejected: Galaxy refused the answer.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        job = self.invocations.get(invocation_id, viewer)
        if job.state.is_terminal:
            raise AlreadyEnded(invocation_id, job.state.value, "reviewed")
        galaxy_id = job.id_on(self.runner.identity())
        report = own_report(self.runner, job, galaxy_id)
        if place not in dict(report.places()):
            raise StepNotFound(invocation_id, place)
        waiting = dict(reviews(report))
        if place not in waiting or job.state is InvocationState.CANCELLING:
            raise NoReview(invocation_id, place, list(waiting))
        self.runner.review(galaxy_id, place, approve=approve)
        self.record(viewer, Action.REVIEW, Kind.JOB, invocation_id)
        # The answer counts, even if Galaxy cannot be asked what came of it.
        with suppress(RunnerError):
            return evolve(self.refresh, record=no_record)(invocation_id, viewer)
        return self.invocations.get(invocation_id, viewer)
