"""Cancel a job."""

from __future__ import annotations

from attrs import frozen

from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Clock, InvocationRepository
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.saving import save_changed


@frozen
class CancelJob:
    """Requests the cancel of a job.

    The request is only recorded: the poller passes it on to Galaxy, repeatedly
    until it takes effect, and never for a run that has ended with every job settled,
    since Galaxy would turn a completed invocation ``cancelled``.
    """

    invocations: InvocationRepository
    clock: Clock
    record: Recorder = no_record

    def __call__(self, invocation_id: InvocationId, viewer: Viewer) -> Invocation:
        """Return the job with a cancel pending, or as it is if cancelled already.

        Raises:
            JobNotFound: There is none.
            AlreadyEnded: It has completed, or failed with every job settled.
            StoreUnavailable: Others were changing it all the time.
        """
        job = save_changed(
            self.invocations,
            self.invocations.get(invocation_id, viewer),
            viewer,
            lambda before: before.request_cancel(self.clock()),
        )
        self.record(viewer, Action.CANCEL, Kind.JOB, invocation_id)
        return job
