"""Follow a run that somebody started in Galaxy itself.

A submission is recorded for it, and accepted at once, without a history of its own: so
the reconciler has nothing to look for. A process that dies in between leaves a
submission that is rejected later, and the run can be adopted again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    DomainError,
    JobExists,
    KeyInProgress,
    RunMismatch,
    RunNotFound,
    SubmissionNotFound,
    WorkflowNotFound,
    quoted,
)
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.dataset import Dataset, GalaxyData
from galaxy_jobs.domain.model.invocation import STALE_AFTER, Invocation
from galaxy_jobs.domain.model.report import Invoked
from galaxy_jobs.domain.model.source_json import source_to_json
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Request,
    Submission,
    history_mark,
)
from galaxy_jobs.domain.model.values import (
    DatasetId,
    HistoryId,
    Identity,
    InvocationId,
    Json,
    SubmissionId,
    engine_id,
)
from galaxy_jobs.domain.model.viewer import SERVICE, Viewer
from galaxy_jobs.domain.ports import (
    Clock,
    InvocationRepository,
    RunHistories,
    SubmissionRepository,
    WorkflowRunner,
)
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.submit import Check, SubmitPolicy, Submitted


CALLER = "adopt"
"""The caller of the keys by which a run is adopted once. No token has this id."""

_MARK = re.compile(re.escape(history_mark(SubmissionId(UUID(int=0)))[:-36]) + "(.{36})")


@frozen(kw_only=True)
class AdoptRun:
    """Follows a run of Galaxy like one that was submitted here.

    Its history is not deleted where the run is superseded.

    Attributes:
        stale_after: How long it may wait for its first look.
    """

    check: Check
    submissions: SubmissionRepository
    invocations: InvocationRepository
    runner: WorkflowRunner
    histories: RunHistories
    identity: Callable[[], Identity]
    clock: Clock
    policy: SubmitPolicy = field(factory=SubmitPolicy)
    stale_after: timedelta = STALE_AFTER
    new_id: Callable[[], UUID] = uuid4
    record: Recorder = no_record

    def __call__(
        self,
        invocation_id: InvocationId,
        dataset_id: DatasetId,
        viewer: Viewer,
        workflow_name: str | None = None,
    ) -> Submitted:
        """Record the run, and return its job. Repeating it is safe.

        Args:
            invocation_id: Galaxy's id of the run.
            dataset_id: The dataset that the job is about.
            viewer: Who adopts it, and owns the job.
            workflow_name: The workflow as it is called here; None: as Galaxy calls it.

        Raises:
            DatasetNotFound: There is no such dataset.
            RunNotFound: Galaxy has no such run, or it is another owner's.
            JobExists: It is followed on another dataset, or with another workflow; or
                its history is that of another job.
            WorkflowNotAllowed: The workflow is not on the allowlist.
            RunMismatch: The run is of another workflow.
            KeyInProgress: It is being adopted at this moment.
            InvalidValue: A name or id is malformed.
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked.
            StoreUnavailable: The database could not be reached.
        """
        engine_id(invocation_id)  # refuses what no engine gives out
        Request(
            dataset_id=dataset_id, workflow_name=workflow_name or "any"
        ).check_size()
        dataset = self.check.datasets.get(dataset_id, viewer)
        identity = self.identity()
        if found := self._followed(invocation_id, identity, dataset, viewer):
            return self._same(found, workflow_name)
        try:
            history_id = self.runner.report(invocation_id).history_id
            invoked = self.histories.invoked(invocation_id)
        except RunNotFound as error:
            raise _no_run(invocation_id) from error
        self._check_history(invocation_id, history_id)
        name = workflow_name or invoked.workflow_name or ""
        self._check_workflow(invocation_id, name, invoked, viewer)
        inputs = {key: _as_json(value) for key, value in invoked.inputs.items()}
        takes = [key for key, data in invoked.inputs.items() if data == dataset.source]
        rest = {key: value for key, value in inputs.items() if key not in takes[:1]}
        now = self.clock()
        submission = Submission(
            submission_id=SubmissionId(self.new_id()),
            identity=identity,
            request=Request(
                dataset_id=dataset.stored_id,
                workflow_name=name,
                parameters=rest,
                dataset_input=takes[0] if takes else None,
            ),
            workflow_id=invoked.workflow_id,
            inputs=inputs,
            key=_key(identity, invocation_id),
            owner=viewer.owner,
            private=not viewer.sees_all,
            created_at=now,
            updated_at=now,
        )
        holder = self.submissions.open(
            submission,
            deadline=self.policy.deadline,
            key_lifetime=self.policy.key_lifetime,
        )
        if holder is not None:
            if found := self._followed(invocation_id, identity, dataset, viewer):
                return self._same(found, workflow_name)
            raise KeyInProgress(holder.submission_id)
        run = submission.invocation(invocation_id, now, self.stale_after)
        run = evolve(run, adopted=True, history_id=history_id)
        self.submissions.accept(
            submission, submission.accepted(invocation_id, now), run
        )
        self.record(viewer, Action.ADOPT, Kind.JOB, invocation_id)
        return Submitted(invocation_id=invocation_id)

    def _followed(
        self,
        invocation_id: InvocationId,
        identity: Identity,
        dataset: Dataset,
        viewer: Viewer,
    ) -> Invocation | None:
        """Return the job of the run, if there is one already."""
        job = self.invocations.get_many([invocation_id], SERVICE).get(invocation_id)
        if job is None or job.identity != identity:
            return None
        if not viewer.sees(job.owner):
            raise _no_run(invocation_id)
        if job.dataset_id != dataset.stored_id:
            raise JobExists(
                invocation_id, f"on dataset {quoted(viewer.id_of(job.dataset_id))}"
            )
        return job

    @staticmethod
    def _same(job: Invocation, workflow_name: str | None) -> Submitted:
        if workflow_name not in {None, job.workflow_name}:
            raise JobExists(
                job.invocation_id, f"with workflow {quoted(job.workflow_name)}"
            )
        return Submitted(
            invocation_id=job.invocation_id, state=job.state, replayed=True
        )

    def _check_history(
        self, invocation_id: InvocationId, history_id: HistoryId | None
    ) -> None:
        """Refuse a run in a history of ours, which may be the run of its submission."""
        name = history_id and self.histories.name_of(history_id)
        if not (mark := _MARK.search(name or "")):
            return
        with suppress(SubmissionNotFound, ValueError):
            submission = self.submissions.get(SubmissionId(UUID(mark[1])), SERVICE)
            if submission.history_id == history_id:
                raise JobExists(
                    invocation_id,
                    f"in the history of submission {submission.submission_id}",
                )

    def _check_workflow(
        self, invocation_id: InvocationId, name: str, invoked: Invoked, viewer: Viewer
    ) -> None:
        """Check that the run is of a workflow that is allowed by that name."""
        allowed = self.check.allowlist.admit(name, viewer)
        if invoked.workflow_name == name and allowed.workflow_id is None:
            return
        expected = allowed.workflow_id
        if expected is None:
            # By its name here, as a client of before named it.
            with suppress(WorkflowNotFound):
                expected = self.check.catalog.find(allowed).workflow_id
        if expected is None or invoked.workflow_id != expected:
            raise RunMismatch(invocation_id, name, invoked.workflow_name)


def _no_run(invocation_id: InvocationId) -> DomainError:
    return RunNotFound(f"Galaxy has no invocation {quoted(invocation_id)}.")


def _key(identity: Identity, invocation_id: InvocationId) -> IdempotencyKey:
    digest = hashlib.sha256(f"{identity} {invocation_id}".encode()).hexdigest()
    return IdempotencyKey(CALLER, digest)


def _as_json(value: GalaxyData | Json) -> Json:
    if isinstance(value, GalaxyData):
        written: Mapping[str, Json] = source_to_json(value)
        return written
    return value
