"""Look at a job in Galaxy again, also at one that has ended."""

from __future__ import annotations

from attrs import evolve, frozen

from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.verdict import confirmation_time, judge
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Clock, InvocationRepository, WorkflowRunner
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy
from galaxy_jobs.domain.use_cases.poll.sweep import (
    details_of_culprit,
    own_report,
)
from galaxy_jobs.domain.use_cases.saving import save_changed


@frozen
class RefreshJob:
    """Looks at a job again, which may have been repaired in Galaxy after its end.

    A job that has ended is reopened if it shows another state now. Galaxy is asked; but
    not about one whose results were deleted, which stays as it is.

    Attributes:
        policy: An end that is not certain yet is left to the poller, and the job is in
            progress until then.
    """

    invocations: InvocationRepository
    runner: WorkflowRunner
    clock: Clock
    policy: PollPolicy
    record: Recorder = no_record

    def __call__(self, invocation_id: InvocationId, viewer: Viewer) -> Invocation:
        """Return the job as Galaxy shows it now.

        Raises:
            JobNotFound: There is none.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
            StoreUnavailable: Others were changing it all the time.
        """
        before = self.invocations.get(invocation_id, viewer)
        if before.results_deleted_at is not None:
            return before  # what Galaxy shows of it by now says nothing about its end
        galaxy_id = before.id_on(self.runner.identity())
        at = self.clock()
        report = own_report(self.runner, before, galaxy_id)
        sighting = judge(report, details_of_culprit(self.runner, report))
        uncertain = sighting.state.is_terminal and bool(
            confirmation_time(
                report, self.policy.confirm_after, self.policy.blocked_after
            )
        )

        def refreshed(job: Invocation) -> Invocation:
            seen = sighting
            if uncertain and sighting.state is not job.state:
                seen = evolve(sighting, state=InvocationState.IN_PROGRESS)
            return job.refreshed(seen, at)

        save_changed(self.invocations, before, viewer, refreshed)
        self.record(viewer, Action.REFRESH, Kind.JOB, invocation_id)
        return self.invocations.get(invocation_id, viewer)
