"""Change the labels of a job."""

from __future__ import annotations

from attrs import frozen

from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.labels import LabelPatch, merged
from galaxy_jobs.domain.model.values import InvocationId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports import Clock, InvocationRepository
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.saving import save_changed


@frozen
class LabelJob:
    """Changes the labels of a job, in whatever state it is."""

    invocations: InvocationRepository
    clock: Clock
    record: Recorder = no_record

    def __call__(
        self,
        invocation_id: InvocationId,
        viewer: Viewer,
        patch: LabelPatch,
    ) -> Invocation:
        """Return the job after a patch of its labels.

        Raises:
            JobNotFound: There is none.
            InvalidValue: A label is malformed, or there would be too many.
            StoreUnavailable: Others were changing it all the time.
        """
        before = self.invocations.get(invocation_id, viewer)
        job = save_changed(
            self.invocations,
            before,
            viewer,
            lambda job: job.labelled(merged(job.labels, patch), self.clock()),
        )
        if job is not before:
            self.record(viewer, Action.LABEL, Kind.JOB, invocation_id)
        return job
