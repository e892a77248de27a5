"""List the outputs of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from galaxy_jobs.domain.model.report import Output
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import InvocationRepository, WorkflowRunner


@frozen
class JobOutputs:
    """Lists the outputs of a job. Galaxy is asked."""

    invocations: InvocationRepository
    runner: WorkflowRunner
    identity: Callable[[], Identity]

    def __call__(self, invocation_id: InvocationId) -> Sequence[Output]:
        """Return its outputs as Galaxy has them now.

        Raises:
            JobNotFound: There is no such job.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        job = self.invocations.get(invocation_id)
        return self.runner.outputs(job.id_on(self.identity()))
