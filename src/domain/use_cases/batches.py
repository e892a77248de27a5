"""Batches: record many submissions at once, and begin them a few at a time.

Once it is begun, an item is a submission like any other: :class:`Submit` invokes it,
and the reconciler settles it if that breaks off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from attrs import evolve, field, frozen

from galaxy_jobs.domain.errors import (
    BatchEnded,
    DomainError,
    InvalidItems,
    KeyReused,
    NothingFailed,
    RunnerRefusedUs,
    RunnerUnavailable,
    StoreUnavailable,
)
from galaxy_jobs.domain.model.audit import Action, Kind
from galaxy_jobs.domain.model.batch import MAX_ITEMS, Batch, BatchItem, BatchRequest
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.values import BatchId, SubmissionId
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.workflow import AllowedWorkflow, ListedWorkflow, Workflow
from galaxy_jobs.domain.ports import BatchRepository, Clock, WorkflowCatalog
from galaxy_jobs.domain.use_cases.audit import Recorder, no_record
from galaxy_jobs.domain.use_cases.submit import Plan, Submit


@frozen(kw_only=True)
class CreatedBatch:
    """The answer to the request for a batch.

    Attributes:
        batch: The batch.
        items: Its items, in their order.
        replayed: Whether this repeats an earlier answer, and nothing was recorded.
    """

    batch: Batch
    items: tuple[BatchItem, ...] = field(hash=False)
    replayed: bool = False


@frozen(kw_only=True)
class CreateBatch:
    """Checks all items of a batch, and records them, to be begun one after the other.

    Attributes:
        created: Called once a batch is recorded, so that its items are begun soon.
    """

    batches: BatchRepository
    submit: Submit
    record: Recorder = no_record
    new_id: Callable[[], UUID] = uuid4
    created: Callable[[], object] = lambda: None

    def __call__(
        self, request: BatchRequest, viewer: Viewer, key: IdempotencyKey | None = None
    ) -> CreatedBatch:
        """Record the batch; all of its items, or none.

        Args:
            request: The request.
            viewer: Who makes it.
            key: A request repeated with its key is recorded once.

        Raises:
            InvalidItems: Some items cannot run.
            KeyReused: The key belongs to another request.
            DomainError: As for :class:`Submit`, about the workflow.
        """
        submit = self.submit
        if key is not None and (holder := self.batches.holder(key)):
            return self._replay(holder, request, viewer)
        plans = submit.check.plan_all(request.items, viewer)
        wrong = {
            place: plan
            for place, plan in enumerate(plans)
            if isinstance(plan, DomainError)
        }
        if wrong:
            raise InvalidItems(wrong, len(plans))
        now, identity = submit.clock(), submit.identity()
        batch = Batch(
            batch_id=BatchId(self.new_id()),
            identity=identity,
            workflow_name=request.workflow_name,
            parameters=request.parameters,
            overwrite=request.overwrite,
            size=len(plans),
            fingerprint=request.fingerprint,
            key=key,
            rerun_of=request.rerun_of,
            labels=request.labels,
            owner=viewer.owner,
            private=not viewer.sees_all,
            created_at=now,
        )
        items = [
            Submission(
                submission_id=SubmissionId(self.new_id()),
                identity=identity,
                request=plan.request,
                owner=viewer.owner,
                private=not viewer.sees_all,
                workflow_id=plan.workflow.workflow_id,
                workflow_version=plan.workflow.version,
                inputs=plan.given,
                state=SubmissionState.WAITING,
                batch_id=batch.batch_id,
                created_at=now,
                updated_at=now,
            )
            for plan in plans
            if isinstance(plan, Plan)
        ]
        holder = self.batches.open(
            batch, items, key_lifetime=submit.policy.key_lifetime
        )
        if holder is not None:
            return self._replay(holder, request, viewer)
        action = Action.SUBMIT if request.rerun_of is None else Action.RERUN
        self.record(viewer, action, Kind.BATCH, str(batch.batch_id))
        self.created()
        return CreatedBatch(
            batch=batch,
            items=tuple(
                BatchItem(position=place, submission=item)
                for place, item in enumerate(items)
            ),
        )

    def _replay(
        self, holder: Batch, request: BatchRequest, viewer: Viewer
    ) -> CreatedBatch:
        if holder.fingerprint != request.fingerprint:
            raise KeyReused
        return self.replay(holder, viewer)

    def replay(self, holder: Batch, viewer: Viewer) -> CreatedBatch:
        """Return a batch that the same request has recorded before."""
        items = self.batches.items(holder.batch_id, viewer, limit=MAX_ITEMS)
        return CreatedBatch(batch=holder, items=tuple(items), replayed=True)


WORKFLOW_TTL = timedelta(seconds=10)
"""For how long items go by one look at a workflow."""


MAX_RECENT = 100
"""The most workflows that are remembered."""


@frozen
class RecentWorkflows(WorkflowCatalog):
    """Remembers for a moment what was found: many items run the same workflow."""

    catalog: WorkflowCatalog
    clock: Clock
    _found: dict[AllowedWorkflow, tuple[datetime, Workflow]] = field(
        factory=dict, init=False, eq=False, repr=False
    )

    def find(self, wanted: AllowedWorkflow) -> Workflow:
        now = self.clock()
        if known := self._found.get(wanted):
            at, workflow = known
            if now - at < WORKFLOW_TTL:
                return workflow
        workflow = self.catalog.find(wanted)
        if len(self._found) >= MAX_RECENT:
            self._found.clear()
        self._found[wanted] = now, workflow
        return workflow

    def listed(self, *, hidden: bool = False) -> Sequence[ListedWorkflow]:
        return self.catalog.listed(hidden=hidden)


def _by_recent_workflows(submit: Submit) -> Submit:
    check = submit.check
    recent = RecentWorkflows(check.catalog, submit.clock)
    return evolve(submit, check=evolve(check, catalog=recent))


@frozen
class InvokeNext:
    """Begins items of batches, and invokes them on Galaxy."""

    batches: BatchRepository
    submit: Submit = field(converter=_by_recent_workflows)

    def __call__(self) -> bool:
        """Invoke the next item that may be begun now, and record its run.

        Safe with any number of others doing the same. What becomes of the item is
        recorded with it.

        Returns:
            Whether there was one.

        Raises:
            RunnerUnavailable, RunnerRefusedUs: Galaxy could not be asked; the item
                waits again.
            StoreUnavailable: The database could not be reached.
        """
        submit = self.submit
        item = self.batches.begin(
            submit.identity(),
            at=submit.clock(),
            at_once=submit.policy.at_once,
            max_active=submit.policy.max_active,
            deadline=submit.policy.deadline,
        )
        if item is None:
            return False
        try:
            submit.begun(item)
        except (RunnerUnavailable, RunnerRefusedUs, StoreUnavailable):
            raise
        except DomainError:
            pass  # which is recorded
        return True


@frozen
class CancelBatch:
    """Cancels a batch: what waits is never begun, and what runs is stopped."""

    batches: BatchRepository
    clock: Clock
    record: Recorder = no_record

    def __call__(self, batch_id: BatchId, viewer: Viewer) -> Batch:
        """Return the batch with its cancel requested, or as it is if that was before.

        Raises:
            BatchNotFound: There is none.
            BatchEnded: It has ended, and was not cancelled.
        """
        batch = self.batches.get(batch_id, viewer)
        if batch.ended_at is not None:
            if batch.cancelled_at is None:
                raise BatchEnded(batch_id)
            return batch
        batch = self.batches.cancel(batch_id, viewer, self.clock())
        self.record(viewer, Action.CANCEL, Kind.BATCH, str(batch_id))
        return batch


@frozen
class RerunBatch:
    """Runs what has failed of a batch once more, as a new batch."""

    batches: BatchRepository
    create: CreateBatch

    def __call__(
        self, batch_id: BatchId, viewer: Viewer, key: IdempotencyKey | None = None
    ) -> CreatedBatch:
        """Record a batch of the items that have failed so far.

        Args:
            batch_id: The batch, which may not have ended.
            viewer: Who repeats it.
            key: As for :class:`CreateBatch`.

        Raises:
            BatchNotFound: There is none.
            NothingFailed: No item has failed.
            KeyReused: The key belongs to another request.
            DomainError: As for :class:`CreateBatch`.
        """
        batch = self.batches.get(batch_id, viewer)
        holder = None if key is None else self.batches.holder(key)
        if holder is not None and holder.rerun_of == batch_id:
            # Whatever has failed, or was repaired, since the first request.
            return self.create.replay(holder, viewer)
        failed = self.batches.items(batch_id, viewer, limit=MAX_ITEMS, failed=True)
        if not failed:
            raise NothingFailed(batch_id)
        request = BatchRequest(
            workflow_name=batch.workflow_name,
            items=[item.again(viewer) for item in failed],
            parameters=batch.parameters,
            labels=batch.labels,
            overwrite=batch.overwrite,
            rerun_of=batch_id,
        )
        return self.create(request, viewer, key)
