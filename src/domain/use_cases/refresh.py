"""Look at a job in Galaxy again, also at one that has ended."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve, frozen

from galaxy_jobs.domain.errors import RunNotFound, StaleVersion
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.verdict import confirmation_time, judge
from galaxy_jobs.domain.ports import Clock, InvocationRepository, WorkflowRunner
from galaxy_jobs.domain.use_cases.poll.sweep import details_of_culprit


@frozen
class RefreshJob:
    """Looks at a job again, which may have been repaired in Galaxy after its end.

    A job that has ended is reopened if it shows another state now. Galaxy is asked.

    Attributes:
        confirm_after: As in :class:`PollPolicy`: an end that is not certain yet is
            left to the poller, and the job is in progress until then.
    """

    invocations: InvocationRepository
    runner: WorkflowRunner
    clock: Clock
    confirm_after: timedelta

    def __call__(self, invocation_id: InvocationId) -> Invocation:
        """Return the job as Galaxy shows it now.

        Raises:
            JobNotFound: There is none.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        before = self.invocations.get(invocation_id)
        if self.runner.identity() != before.identity:
            raise RunNotFound(
                "The job ran on another Galaxy, or as another user of it."
            )
        at = self.clock()
        report = self.runner.report(invocation_id)
        sighting = judge(report, details_of_culprit(self.runner, report))
        uncertain = sighting.state.is_terminal and bool(
            confirmation_time(report, self.confirm_after)
        )
        while True:
            seen = sighting
            if uncertain and sighting.state is not before.state:
                seen = evolve(sighting, state=InvocationState.IN_PROGRESS)
            try:
                self.invocations.save(before, before.refreshed(seen, at))
            except StaleVersion:  # a poller came in between
                before = self.invocations.get(invocation_id)
            else:
                return self.invocations.get(invocation_id)
