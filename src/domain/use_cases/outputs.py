"""List the outputs of a job."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from galaxy_jobs.domain.model.report import Output
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.ports import InvocationRepository, WorkflowRunner


@frozen
class JobOutputs:
    """Lists the outputs of a job. Galaxy is asked."""

    invocations: InvocationRepository
    runner: WorkflowRunner

    def __call__(self, invocation_id: InvocationId) -> Sequence[Output]:
        """Return its outputs as Galaxy has them now.

        Raises:
            JobNotFound: There is no such job.
            RunNotFound: Galaxy no longer has it.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
        """
        return self.runner.outputs(self.invocations.get(invocation_id).invocation_id)
