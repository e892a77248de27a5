"""List the outputs of a job, and notice what was changed in Galaxy after its end.

People repair runs in Galaxy, and delete what runs have made. Nobody looks at a job
that has ended, so this is noticed where its outputs are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from attrs import frozen

from galaxy_jobs.domain.errors import RunnerError, listed
from galaxy_jobs.domain.model.dataset import DELETED, PURGED
from galaxy_jobs.domain.model.invocation import Invocation, InvocationState
from galaxy_jobs.domain.model.report import Output
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.model.verdict import judge
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Clock, InvocationRepository, WorkflowRunner
from galaxy_jobs.domain.use_cases.poll.sweep import report_or_outline
from galaxy_jobs.domain.use_cases.saving import save_changed, with_results


@frozen
class JobOutputs:
    """Lists the outputs of a job. Galaxy is asked.

    If the outputs do not fit the end of the job, its `attention` says that it was
    changed in Galaxy after the end. Only a look at the whole run shows that it has
    another end by now: a job may fail whose outputs are none of the workflow's, and an
    output may have elements in error that came so with the input.
    """

    invocations: InvocationRepository
    runner: WorkflowRunner
    identity: Callable[[], Identity]
    clock: Clock

    def __call__(self, invocation_id: InvocationId, viewer: Viewer) -> Sequence[Output]:
        """Return its outputs as Galaxy has them now.

        Raises:
            JobNotFound: There is no such job.
            ResultsDeleted: Its results were deleted.
            RunNotFound: Galaxy no longer has it, or it ran on another Galaxy or as
                another user.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
            StoreUnavailable: What was noticed could not be stored.
        """
        job = with_results(self.invocations.get(invocation_id, viewer))
        galaxy_id = job.id_on(self.identity())
        outputs = self.runner.outputs(galaxy_id)
        self._compare(job, viewer, galaxy_id, outputs)
        return outputs

    def _compare(
        self,
        job: Invocation,
        viewer: Viewer,
        galaxy_id: InvocationId,
        outputs: Sequence[Output],
    ) -> None:
        at = self.clock()
        deleted = [output.label for output in outputs if output.state in _DELETED]
        if _is_doubtful(job.state, {output.state for output in outputs}):
            try:
                sighting = judge(report_or_outline(self.runner, galaxy_id))
            except RunnerError:
                return  # the next time will do
            job = save_changed(
                self.invocations,
                job,
                viewer,
                partial(Invocation.compared, sighting=sighting, at=at),
            )
        # The history of a superseded job is deleted by this service, too.
        if deleted and job.superseded_by is None and not job.attention:
            # What a run has failed for may have been deleted before.
            note = f"Deleted in Galaxy: {listed(deleted)}."
            if job.state is InvocationState.COMPLETED:
                note = f"Changed in Galaxy after the end: deleted {listed(deleted)}."
            save_changed(
                self.invocations,
                job,
                viewer,
                partial(Invocation.noted, attention=note, at=at),
            )


_DELETED = frozenset({DELETED, PURGED})
_GOOD = frozenset({"ok", "empty", None})


def _is_doubtful(state: InvocationState, outputs: set[str | None]) -> bool:
    """Whether a run whose outputs are in these states may have another end by now."""
    if state is InvocationState.COMPLETED:
        return not outputs <= _GOOD | _DELETED
    return state is InvocationState.FAILED and bool(outputs) and outputs <= _GOOD
