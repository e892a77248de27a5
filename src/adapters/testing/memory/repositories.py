"""The repositories and the poll queue in memory.

Rule of the file: one lock, and each method checks everything before it changes
anything, so that a refusal leaves nothing half done. They pass the same contract
tests as PostgreSQL, including the values that cannot be stored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Condition, RLock
from typing import Any
from uuid import uuid4

from attrs import Factory, asdict, define, evolve, field, frozen

from galaxy_jobs.domain.errors import (
    BatchNotFound,
    DatasetExists,
    DatasetInUse,
    DatasetNotFound,
    InvalidValue,
    JobNotFound,
    QuotaExceeded,
    StaleVersion,
    SubmissionNotFound,
    TokenExists,
    TokenNotFound,
    UploadNotFound,
    WebhookNotFound,
)
from galaxy_jobs.domain.model.audit import Action, AuditEntry
from galaxy_jobs.domain.model.batch import CANCELLED, Batch, BatchItem
from galaxy_jobs.domain.model.dataset import (
    Dataset,
    DatasetRef,
    GalaxyData,
    Src,
    UnusableDataset,
    leaves_of,
)
from galaxy_jobs.domain.model.invocation import (
    Failure,
    Invocation,
    InvocationState,
    Revision,
    Transition,
)
from galaxy_jobs.domain.model.labels import (
    NO_CHANGE,
    Label,
    LabelPatch,
    has_all,
    merged,
)
from galaxy_jobs.domain.model.signing import SigningKey
from galaxy_jobs.domain.model.source_json import source_to_json
from galaxy_jobs.domain.model.submission import (
    IdempotencyKey,
    Problem,
    Request,
    Submission,
    SubmissionState,
)
from galaxy_jobs.domain.model.token import Token, TokenId
from galaxy_jobs.domain.model.upload import (
    KEPT_STATES,
    USE_INTERVAL,
    Upload,
    UploadId,
    UploadState,
)
from galaxy_jobs.domain.model.user import Session
from galaxy_jobs.domain.model.values import (
    BatchId,
    DatasetId,
    Identity,
    InvocationId,
    SubmissionId,
)
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.model.webhook import (
    RETRY_TIME,
    Delivery,
    DeliveryId,
    DeliveryState,
    Webhook,
    WebhookId,
    WebhookState,
    batch_deliveries,
    deliveries,
)
from galaxy_jobs.domain.ports import (
    MAX_FORMER,
    MAY_BE_LATE,
    MIN_AUDIT_AGE,
    Attempt,
    AuditLog,
    Backlog,
    BatchRepository,
    Claim,
    Clock,
    Cursor,
    DatasetRepository,
    DataUser,
    DeliveryBacklog,
    InvocationRepository,
    JobFilter,
    JobTransition,
    Look,
    Page,
    PollQueue,
    SessionRepository,
    SigningKeys,
    Stored,
    SubmissionRepository,
    SupersededRuns,
    TokenRepository,
    TransitionFeed,
    UploadRepository,
    WebhookRepository,
)


@define
class ManualClock(Clock):
    """A clock that stands still until it is advanced.

    Attributes:
        now: The time that it shows.
    """

    now: datetime = field(default=datetime(2026, 1, 2, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> datetime:
        """Let time pass, and return the new time."""
        self.now += by
        return self.now


@define
class _Opened:
    """A submission, and the bookkeeping of the store."""

    submission: Submission
    key_lifetime: timedelta
    look_at: datetime | None
    accepted_at: datetime | None = None
    position: int = 0


@define
class _Recorded:
    """A batch, and the bookkeeping of the store.

    Attributes:
        turn: The number of its last turn among those of all batches; 0: it had none.
    """

    batch: Batch
    key_lifetime: timedelta
    turn: int = 0


@define
class _Active:
    """The poll bookkeeping of an invocation that has not ended."""

    accepted_at: datetime
    next_poll_at: datetime
    last_change_at: datetime
    last_full_look_at: datetime
    woken: bool = False
    fence: int = 0
    lease_until: datetime | None = None
    summary: str | None = None
    missing_since: datetime | None = None
    misses: int = 0
    failures: int = 0


@define
class _Kept:
    """A webhook, and the bookkeeping of the store."""

    webhook: Webhook
    rests_until: datetime
    delivered: int = 0
    dead: int = 0


@define
class StoredDeletion:
    """The lease or pause of a deletion in Galaxy."""

    look_at: datetime
    begun: bool = False
    failures: int = 0


@define
class _StoredTagChange:
    """A change of labels whose tags are due."""

    look_at: datetime
    former: list[str]
    number: int = 1


@define
class MemoryStore:
    """The state that the repositories of one process share.

    Attributes:
        now: The store's own clock: leases, deadlines and expiries go by it.
    """

    now: Callable[[], datetime] = field(factory=ManualClock)
    lock: RLock = field(factory=RLock, init=False, repr=False)
    datasets: dict[DatasetId, Dataset] = field(factory=dict, init=False)
    submissions: dict[SubmissionId, _Opened] = field(factory=dict, init=False)
    batches: dict[BatchId, _Recorded] = field(factory=dict, init=False)
    invocations: dict[InvocationId, Invocation] = field(factory=dict, init=False)
    active: dict[InvocationId, _Active] = field(factory=dict, init=False)
    transitions: list[Transition] = field(factory=list, init=False)
    changed: Condition = field(
        default=Factory(lambda self: Condition(self.lock), takes_self=True),
        init=False,
        repr=False,
    )
    dealt_with: set[InvocationId] = field(factory=set, init=False)
    deletions: dict[InvocationId, StoredDeletion] = field(factory=dict, init=False)
    tag_changes: dict[SubmissionId, _StoredTagChange] = field(factory=dict, init=False)
    totals: dict[Identity, dict[str, float]] = field(factory=dict, init=False)
    tokens: dict[TokenId, Token] = field(factory=dict, init=False)
    sessions: dict[TokenId, Session] = field(factory=dict, init=False)
    uploads: dict[UploadId, Upload] = field(factory=dict, init=False)
    upload_looks: dict[UploadId, datetime] = field(factory=dict, init=False)
    signing_keys: list[SigningKey] = field(factory=list, init=False, repr=False)
    audit: list[AuditEntry] = field(factory=list, init=False)
    webhooks: dict[WebhookId, _Kept] = field(factory=dict, init=False)
    deliveries: dict[DeliveryId, Delivery] = field(factory=dict, init=False)
    retried_since: dict[DeliveryId, datetime] = field(factory=dict, init=False)

    def announce(self, before: Invocation | None, after: Invocation) -> None:
        """Store the deliveries of a change."""
        webhooks = [kept.webhook for kept in self.webhooks.values()]
        for delivery in deliveries(before, after, webhooks, uuid4):
            self.send(delivery)

    def send(self, delivery: Delivery) -> None:
        """Store a new delivery."""
        id_, now = delivery.delivery_id, self.now()
        number = len(self.retried_since) + 1
        self.deliveries[id_] = evolve(delivery, number=number, next_attempt_at=now)
        self.retried_since[id_] = now

    def put(self, before: Invocation | None, after: Invocation) -> None:
        """Store an invocation, and its change of state as a transition."""
        after = _cleaned(after)
        self.invocations[after.invocation_id] = after
        self.announce(before, after)
        self._note_labels(before, after)
        if opened := self.submissions.get(after.submission_id):
            self.end_batch(opened.submission.batch_id)
        if before is not None and before.state is after.state:
            return
        self.transitions.append(
            Transition(
                id=len(self.transitions) + 1,
                invocation_id=after.invocation_id,
                from_state=None if before is None else before.state,
                to_state=after.state,
                at=after.updated_at,
                galaxy_state=after.galaxy_state,
                progress=after.progress,
                blocked=after.blocked,
                failure=after.failure,
            )
        )
        with self.changed:
            self.changed.notify_all()

    def _note_labels(self, before: Invocation | None, after: Invocation) -> None:
        if before is None or before.labels == after.labels:
            return
        if after.history_id is None or after.adopted:
            return
        former = [f"{key}:{value}" for key, value in before.labels.items()]
        id_, number = after.submission_id, 1
        if stored := self.tag_changes.get(id_):
            former, number = stored.former + former, stored.number + 1
        self.tag_changes[id_] = _StoredTagChange(
            self.now(), list(dict.fromkeys(former))[:MAX_FORMER], number
        )

    def items(self, batch_id: BatchId) -> list[BatchItem]:
        """Return the items of a batch, in their order."""
        jobs = {job.submission_id: job for job in self.invocations.values()}
        items = [
            BatchItem(
                position=opened.position,
                submission=opened.submission,
                job=jobs.get(id_),
            )
            for id_, opened in self.submissions.items()
            if opened.submission.batch_id == batch_id
        ]
        return sorted(items, key=lambda item: item.position)

    def end_batch(self, batch_id: BatchId | None) -> None:
        """End a batch if its last item has ended."""
        if batch_id is None or self.batches[batch_id].batch.ended_at is not None:
            return
        items = self.items(batch_id)
        if not any(
            not item.job.state.is_terminal if item.job else item.submission.open
            for item in items
        ):
            recorded = self.batches[batch_id]
            recorded.batch = evolve(recorded.batch, ended_at=self.now())
            counts = Counter(item.state for item in items)
            webhooks = [kept.webhook for kept in self.webhooks.values()]
            for delivery in batch_deliveries(recorded.batch, counts, webhooks, uuid4):
                self.send(delivery)

    def is_cancelled(self, batch_id: BatchId | None) -> bool:
        """Whether a batch is cancelled."""
        return batch_id is not None and (
            self.batches[batch_id].batch.cancelled_at is not None
        )

    def follow(self, before: Invocation, after: Invocation) -> None:
        """Update the poll queue after a change that did not come from a poll."""
        held = self.active.get(after.invocation_id)
        if held is None:
            if after.is_followed:
                now = self.now()
                self.active[after.invocation_id] = _Active(now, now, now, now)
            return
        held.last_change_at = self.now()
        if not after.is_followed:
            del self.active[after.invocation_id]
        elif (
            after.state is not before.state
            or after.attention != before.attention
            or after.stopping
        ):
            held.next_poll_at = self.now()
            held.woken = True  # a poll that is under way began too early

    def mine(self, identity: Identity) -> Iterator[tuple[InvocationId, _Active]]:
        """Yield the queue of a Galaxy, longest due first."""
        held = [
            (id_, row)
            for id_, row in self.active.items()
            if self.invocations[id_].identity == identity
        ]
        yield from sorted(held, key=lambda entry: entry[1].next_poll_at)


@frozen
class MemoryDatasets(DatasetRepository):
    """Datasets in a dict."""

    store: MemoryStore

    def add(self, dataset: Dataset, viewer: Viewer) -> Dataset:
        dataset = dataset.owned_by(viewer)
        _refuse_unstorable(source_to_json(dataset.source))
        _refuse_unstorable([dataset.dataset_id, dataset.name])
        with self.store.lock:
            stored = self.get_many([dataset.dataset_id], viewer).get(dataset.dataset_id)
            if stored is None:
                if dataset.stored_id in self.store.datasets:
                    raise DatasetExists(dataset.dataset_id)
                stored = self.store.datasets[dataset.stored_id] = dataset
            elif not stored.same_as(dataset):
                raise DatasetExists(dataset.dataset_id)
            elif dataset.description is not None:
                stored = self.store.datasets[stored.stored_id] = evolve(
                    stored,
                    description=dataset.description,
                    described_at=dataset.described_at,
                )
            return stored

    def get(self, dataset_id: DatasetId, viewer: Viewer) -> Dataset:
        try:
            return self.get_many([dataset_id], viewer)[dataset_id]
        except KeyError:
            raise DatasetNotFound(dataset_id) from None

    def get_many(
        self, dataset_ids: Collection[DatasetId], viewer: Viewer
    ) -> Mapping[DatasetId, Dataset]:
        with self.store.lock:
            known = self._of(viewer)
            found = {
                id_: [known[key] for key in viewer.stored_ids(id_) if key in known]
                for id_ in dataset_ids
            }
        return {id_: datasets[0] for id_, datasets in found.items() if datasets}

    def _of(self, viewer: Viewer) -> dict[DatasetId, Dataset]:
        """Return the datasets that a viewer sees, by their ids in the store."""
        return {
            key: evolve(dataset, dataset_id=viewer.id_of(key))
            for key, dataset in self.store.datasets.items()
            if viewer.sees(dataset.owner)
        }

    def page(
        self,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
        *,
        search: str = "",
        labels: Collection[Label] = (),
    ) -> Page[Dataset | UnusableDataset]:
        text = search.lower()
        with self.store.lock:
            datasets: dict[Cursor, Dataset | UnusableDataset] = {
                Cursor(dataset.created_at, dataset.stored_id): dataset.as_listed()
                for dataset in self._of(viewer).values()
                if text in dataset.name.lower() or text in dataset.dataset_id.lower()
                if has_all(dataset.labels, labels)
            }
        return _page(datasets, limit, after)

    def change(
        self,
        dataset_id: DatasetId,
        viewer: Viewer,
        *,
        name: str | None = None,
        labels: LabelPatch = NO_CHANGE,
    ) -> Dataset:
        _refuse_unstorable(name)
        with self.store.lock:
            before = self.get(dataset_id, viewer)
            after = evolve(
                before, name=name or before.name, labels=merged(before.labels, labels)
            )
            self.store.datasets[after.stored_id] = after
            return after

    def remove(self, dataset_id: DatasetId, viewer: Viewer) -> None:
        with self.store.lock:
            dataset = self.get(dataset_id, viewer)
            key = dataset.stored_id
            for opened in self.store.submissions.values():
                submission = opened.submission
                if submission.open and _needs(submission.request, key):
                    seen = viewer.sees(submission.owner)
                    name = str(submission.submission_id) if seen else None
                    raise DatasetInUse(dataset_id, "submission", name)
            for job in self.store.invocations.values():
                if not job.state.is_terminal and _needs(job, key):
                    name = job.invocation_id if viewer.sees(job.owner) else None
                    raise DatasetInUse(dataset_id, "job", name)
            for other in self.store.datasets.values():
                if _has_element(other, dataset):
                    name = other.stored_id if viewer.sees(other.owner) else None
                    raise DatasetInUse(dataset_id, "dataset", name)
            del self.store.datasets[key]


@frozen
class MemorySubmissions(SubmissionRepository):
    """Submissions in a dict, in the order in which they were opened."""

    store: MemoryStore

    def holder(self, key: IdempotencyKey) -> Submission | None:
        with self.store.lock:
            now = self.store.now()
            for opened in reversed(self.store.submissions.values()):
                submission = opened.submission
                if submission.key != key:
                    continue
                if submission.open:
                    return submission
                if (
                    opened.accepted_at is not None
                    and now < opened.accepted_at + opened.key_lifetime
                ):
                    return submission
            return None

    def open(
        self, submission: Submission, *, deadline: timedelta, key_lifetime: timedelta
    ) -> Submission | None:
        request, key = submission.request, submission.key
        _refuse_unstorable(
            [
                request.dataset_id,
                request.workflow_name,
                request.parameters,
                request.rerun_of,
                request.dataset_input,
                [key.caller, key.key] if key else None,
            ]
        )
        with self.store.lock:
            if key is not None and (holder := self.holder(key)):
                return holder
            if request.dataset_id not in self.store.datasets:
                raise DatasetNotFound(submission.viewer.id_of(request.dataset_id))
            self.store.submissions[submission.submission_id] = _Opened(
                submission=submission,
                key_lifetime=key_lifetime,
                look_at=self.store.now() + deadline,
            )
            return None

    def get(self, submission_id: SubmissionId, viewer: Viewer) -> Submission:
        with self.store.lock:
            submission = self._opened(submission_id).submission
        if not viewer.sees(submission.owner):
            raise SubmissionNotFound(submission_id)
        return submission

    def save(
        self, before: Submission, after: Submission, *, look_in: timedelta | None
    ) -> None:
        with self.store.lock:
            opened = self._at(before)
            opened.submission = evolve(after, problem=_cleaned_problem(after.problem))
            opened.look_at = None if look_in is None else self.store.now() + look_in
            waits = after.state is SubmissionState.WAITING
            if waits and self.store.is_cancelled(after.batch_id):
                opened.submission = after.rejected(CANCELLED, after.updated_at)
                opened.look_at = self.store.now()
            if not opened.submission.open:
                self.store.end_batch(after.batch_id)

    def accept(
        self, before: Submission, after: Submission, invocation: Invocation
    ) -> Invocation:
        store = self.store
        with store.lock:
            opened = self._at(before)
            opened.submission = after
            opened.look_at = None
            now = opened.accepted_at = store.now()
            fence = 0
            for key in (invocation.invocation_id, invocation.key_aside):
                if earlier := store.invocations.get(key):
                    fence += store.active[key].fence + 1 if key in store.active else 0
                    invocation = self._set_apart(earlier, invocation)
            store.put(None, invocation)
            if invocation.is_followed:
                active = _Active(now, now, now, now, fence=fence)
                store.active[invocation.invocation_id] = active
            if invocation.overwrite:
                self._supersede(invocation)
            if store.is_cancelled(after.batch_id):
                cancelled = invocation.request_cancel(invocation.created_at)
                store.put(invocation, cancelled)
                store.follow(invocation, cancelled)
            return store.invocations[invocation.invocation_id]

    def claim_due(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[Submission]:
        with self.store.lock:
            now = self.store.now()
            due = [
                (opened.look_at, opened)
                for opened in self.store.submissions.values()
                if opened.submission.identity == identity
                and opened.look_at is not None
                and opened.look_at <= now
            ]
            due.sort(key=lambda entry: entry[0])
            for _, opened in due[:limit]:
                opened.look_at = now + lease
            return [opened.submission for _, opened in due[:limit]]

    def _opened(self, submission_id: SubmissionId) -> _Opened:
        try:
            return self.store.submissions[submission_id]
        except KeyError:
            raise SubmissionNotFound(submission_id) from None

    def _at(self, before: Submission) -> _Opened:
        opened = self._opened(before.submission_id)
        if opened.submission.version != before.version:
            raise StaleVersion(f"Submission {before.submission_id}", before.version)
        return opened

    def _set_apart(self, earlier: Invocation, later: Invocation) -> Invocation:
        """Store a run under another key; return the later one that gets its key."""
        store = self.store
        run, later = earlier.set_apart(later)
        if earlier.galaxy_id is not None and run.galaxy_id is None:
            totals = store.totals.setdefault(later.identity, {})
            totals["given_again"] = totals.get("given_again", 0) + 1
        old, new = earlier.invocation_id, run.invocation_id
        del store.invocations[old]
        if (active := store.active.pop(old, None)) and run.is_followed:
            store.active[new] = active
        if deletion := store.deletions.pop(old, None):
            store.deletions[new] = deletion
        if old in store.dealt_with:
            store.dealt_with.remove(old)
            store.dealt_with.add(new)
        store.transitions[:] = [
            evolve(each, invocation_id=new) if each.invocation_id == old else each
            for each in store.transitions
        ]
        store.put(earlier, run)
        opened = store.submissions[run.submission_id]
        submission = opened.submission
        opened.submission = evolve(
            submission, invocation_id=new, version=submission.version + 1
        )
        for key, other in store.invocations.items():
            if old in {other.superseded_by, other.rerun_of}:
                store.invocations[key] = evolve(
                    other,
                    superseded_by=new
                    if other.superseded_by == old
                    else other.superseded_by,
                    rerun_of=new if other.rerun_of == old else other.rerun_of,
                    version=other.version + 1,
                    updated_at=run.updated_at,
                )
        return later

    def _supersede(self, later: Invocation) -> None:
        """Mark the runs that a later one supersedes, and cancel them."""
        for before in list(self.store.invocations.values()):
            if (
                before.invocation_id == later.invocation_id
                or not later.supersedes(before)
                or before.superseded_by is not None
            ):
                continue
            at = later.created_at
            after = before.request_cancel(at) if before.is_followed else before
            after = evolve(
                after,
                superseded_by=later.invocation_id,
                version=before.version + 1,
                updated_at=at,
            )
            self.store.put(before, after)
            self.store.follow(before, after)


@frozen
class MemoryBatches(BatchRepository):
    """Batches in a dict; their items are among the submissions."""

    store: MemoryStore

    def holder(self, key: IdempotencyKey) -> Batch | None:
        with self.store.lock:
            for recorded in reversed(self.store.batches.values()):
                batch = recorded.batch
                if batch.key == key and (
                    batch.ended_at is None
                    or self.store.now() < batch.ended_at + recorded.key_lifetime
                ):
                    return batch
            return None

    def open(
        self, batch: Batch, items: Sequence[Submission], *, key_lifetime: timedelta
    ) -> Batch | None:
        for item in items:
            request = item.request
            _refuse_unstorable([request.dataset_id, request.workflow_name])
            _refuse_unstorable([request.parameters, request.rerun_of])
        with self.store.lock:
            if batch.key is not None and (holder := self.holder(batch.key)):
                return holder
            for item in items:
                if item.request.dataset_id not in self.store.datasets:
                    raise DatasetNotFound(item.viewer.id_of(item.request.dataset_id))
            self.store.batches[batch.batch_id] = _Recorded(batch, key_lifetime)
            for position, item in enumerate(items):
                self.store.submissions[item.submission_id] = _Opened(
                    item, key_lifetime, look_at=None, position=position
                )
            return None

    def get(self, batch_id: BatchId, viewer: Viewer) -> Batch:
        with self.store.lock:
            recorded = self.store.batches.get(batch_id)
        if recorded is None or not viewer.sees(recorded.batch.owner):
            raise BatchNotFound(batch_id)
        return recorded.batch

    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Batch]:
        with self.store.lock:
            batches = {
                Cursor(recorded.batch.created_at, str(id_)): recorded.batch
                for id_, recorded in self.store.batches.items()
                if viewer.sees(recorded.batch.owner)
            }
        return _page(batches, limit, after)

    def counts(
        self, batch_ids: Collection[BatchId]
    ) -> Mapping[BatchId, Mapping[str, int]]:
        with self.store.lock:
            return {
                id_: Counter(item.state for item in self.store.items(id_))
                for id_ in batch_ids
            }

    def items(
        self,
        batch_id: BatchId,
        viewer: Viewer,
        *,
        limit: int,
        after: int = -1,
        failed: bool = False,
    ) -> Sequence[BatchItem]:
        with self.store.lock:
            self.get(batch_id, viewer)
            return [
                item
                for item in self.store.items(batch_id)
                if item.position > after and (item.has_failed or not failed)
            ][:limit]

    def begin(
        self,
        identity: Identity,
        *,
        at: datetime,
        at_once: int,
        max_active: int,
        deadline: timedelta,
    ) -> Submission | None:
        store = self.store
        with store.lock:
            items = [
                opened.submission
                for opened in store.submissions.values()
                if opened.submission.batch_id and opened.submission.identity == identity
            ]
            states = Counter(item.state for item in items)
            submitting = states[SubmissionState.SUBMITTING]
            active = sum(1 for _ in store.mine(identity))
            pending = submitting + states[SubmissionState.UNKNOWN]
            if submitting >= at_once or (max_active and active + pending >= max_active):
                return None
            begun_again = any(
                item.state is SubmissionState.SUBMITTING and item.attempts > 1
                for item in items
            )
            waiting = [
                store.submissions[item.submission_id]
                for item in items
                if item.state is SubmissionState.WAITING
                and not (item.attempts and begun_again)
            ]
            if not waiting:
                return None

            def turn(opened: _Opened) -> tuple[int, datetime, BatchId, int]:
                batch_id = opened.submission.batch_id
                assert batch_id is not None
                recorded = store.batches[batch_id]
                created_at = recorded.batch.created_at
                return recorded.turn, created_at, batch_id, opened.position

            opened = min(waiting, key=turn)
            batch_id = opened.submission.batch_id
            assert batch_id is not None
            turns = [recorded.turn for recorded in store.batches.values()]
            store.batches[batch_id].turn = max(turns) + 1
            opened.submission = opened.submission.begun(at)
            opened.look_at = store.now() + deadline
            return opened.submission

    def cancel(self, batch_id: BatchId, viewer: Viewer, at: datetime) -> Batch:
        store = self.store
        with store.lock:
            batch = self.get(batch_id, viewer)
            batch = evolve(batch, cancelled_at=batch.cancelled_at or at)
            store.batches[batch_id].batch = batch
            for item in store.items(batch_id):
                if item.submission.state is SubmissionState.WAITING:
                    opened = store.submissions[item.submission.submission_id]
                    opened.submission = item.submission.rejected(CANCELLED, at)
                elif item.job and item.job.is_followed:
                    after = item.job.request_cancel(at)
                    if after is not item.job:
                        store.put(item.job, after)
                        store.follow(item.job, after)
            store.end_batch(batch_id)
            return store.batches[batch_id].batch


@frozen
class MemoryInvocations(InvocationRepository):
    """Invocations in a dict; lost updates are refused."""

    store: MemoryStore

    def get(self, invocation_id: InvocationId, viewer: Viewer) -> Invocation:
        try:
            return self.get_many([invocation_id], viewer)[invocation_id]
        except KeyError:
            raise JobNotFound(invocation_id) from None

    def get_many(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Invocation]:
        with self.store.lock:
            known = self.store.invocations
            return {
                id_: known[id_].shown_to(viewer)
                for id_ in invocation_ids
                if id_ in known and viewer.sees(known[id_].owner)
            }

    def revisions(
        self, invocation_ids: Collection[InvocationId], viewer: Viewer
    ) -> Mapping[InvocationId, Revision]:
        existing = self.get_many(invocation_ids, viewer)
        return {id_: invocation.revision for id_, invocation in existing.items()}

    def page(
        self,
        wanted: JobFilter,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
    ) -> Page[Invocation]:
        with self.store.lock:
            jobs = {
                Cursor(job.created_at, job.invocation_id): job.listed()
                for job in self._of(viewer)
                if self._is_wanted(wanted, job, viewer)
                and (not wanted.states or job.state in wanted.states)
            }
        return _page(jobs, limit, after)

    def _of(self, viewer: Viewer) -> list[Invocation]:
        return [
            job.shown_to(viewer)
            for job in self.store.invocations.values()
            if viewer.sees(job.owner)
        ]

    def _is_wanted(self, wanted: JobFilter, job: Invocation, viewer: Viewer) -> bool:
        """Return whether a job matches all of a filter but its states."""
        on = not wanted.dataset_ids or job.dataset_id in wanted.dataset_ids
        of = not wanted.workflow_names or job.workflow_name in wanted.workflow_names
        after, before = wanted.created_after, wanted.created_before
        return (
            on
            and of
            and wanted.owner in {None, job.owner}
            and has_all(job.labels, wanted.labels)
            and (after is None or job.created_at >= after)
            and (before is None or job.created_at < before)
            and (not wanted.search or self._has(wanted.search.lower(), job, viewer))
            and wanted.batch_id in {None, self._batch_of(job)}
        )

    def _batch_of(self, job: Invocation) -> BatchId | None:
        opened = self.store.submissions.get(job.submission_id)
        return None if opened is None else opened.submission.batch_id

    def _has(self, text: str, job: Invocation, viewer: Viewer) -> bool:
        stored = self.store.invocations[job.invocation_id]
        dataset = self.store.datasets.get(stored.dataset_id)
        name = dataset.name if dataset and viewer.sees(dataset.owner) else ""
        texts = (job.dataset_id, name, job.workflow_name, *job.labels.values())
        return job.invocation_id.lower().startswith(text) or any(
            text in each.lower() for each in texts
        )

    def counts(
        self, wanted: JobFilter, viewer: Viewer, most: int
    ) -> Mapping[InvocationState, int]:
        with self.store.lock:
            jobs = self._of(viewer)
            counts = Counter(
                job.state for job in jobs if self._is_wanted(wanted, job, viewer)
            )
        return {state: min(count, most) for state, count in counts.items()}

    def workflow_names(self, viewer: Viewer, most: int) -> Sequence[str]:
        with self.store.lock:
            names = {job.workflow_name for job in self._of(viewer)}
        return sorted(names)[:most]

    def labels(self, viewer: Viewer, most: int) -> Sequence[str]:
        with self.store.lock:
            return sorted({tag for job in self._of(viewer) for tag in job.label_tags})[
                :most
            ]

    def transitions(
        self, invocation_id: InvocationId, viewer: Viewer
    ) -> Sequence[Transition]:
        with self.store.lock:
            self.get(invocation_id, viewer)
            return [
                transition
                for transition in self.store.transitions
                if transition.invocation_id == invocation_id
            ]

    def save(self, before: Invocation, after: Invocation) -> None:
        with self.store.lock:
            stored = self.store.invocations.get(before.invocation_id)
            if stored is None:
                raise JobNotFound(before.invocation_id)
            if stored.version != before.version:
                raise StaleVersion(f"Job {before.invocation_id!r}", before.version)
            # As it is stored, and not as somebody sees it.
            after = evolve(
                after, dataset_id=stored.dataset_id, parameters=stored.parameters
            )
            self.store.put(before, after)
            self.store.follow(before, after)


@frozen
class MemoryTransitionFeed(TransitionFeed):
    """The list of transitions as a feed."""

    store: MemoryStore

    def latest(self, viewer: Viewer) -> int:
        with self.store.lock:
            if viewer.sees_all:
                return len(self.store.transitions)
            jobs = self.store.invocations
            own = [
                transition.id
                for transition in self.store.transitions
                if (job := jobs.get(transition.invocation_id))
                and viewer.sees(job.owner)
            ]
            return max(own, default=0)

    def after(
        self,
        place: int,
        viewer: Viewer,
        *,
        limit: int,
        dataset_id: DatasetId | None = None,
        invocation_id: InvocationId | None = None,
        labels: Collection[Label] = (),
    ) -> Sequence[JobTransition]:
        with self.store.lock:
            entries = (
                (transition, self.store.invocations[transition.invocation_id])
                for transition in self.store.transitions[place:]
                if transition.invocation_id in self.store.invocations
            )
            return [
                JobTransition(
                    transition=transition,
                    dataset_id=job.dataset_id,
                    workflow_name=job.workflow_name,
                    labels=job.labels,
                    owner=job.owner,
                ).shown_to(viewer)
                for transition, job in entries
                if viewer.sees(job.owner)
                and dataset_id in {None, viewer.id_of(job.dataset_id)}
                and invocation_id in {None, job.invocation_id}
                and has_all(job.labels, labels)
            ][:limit]

    def watch(self, at_least_every: timedelta) -> Iterator[None]:
        while True:
            known = len(self.store.transitions)
            yield
            with self.store.changed:
                self.store.changed.wait_for(
                    partial(self._more_than, known), at_least_every.total_seconds()
                )

    def _more_than(self, known: int) -> bool:
        return len(self.store.transitions) > known


@frozen
class MemoryPollQueue(PollQueue):
    """The queue of invocations, leased by the store's clock."""

    store: MemoryStore

    def claim(
        self,
        identity: Identity,
        *,
        limit: int,
        lease: timedelta,
        due_for: timedelta = timedelta(0),
    ) -> Sequence[Claim]:
        with self.store.lock:
            now = self.store.now()
            due = [
                (id_, row)
                for id_, row in self.store.mine(identity)
                if row.next_poll_at <= now - due_for
                and (row.lease_until is None or row.lease_until <= now)
            ]
            claims = []
            for id_, row in sorted(due, key=_urgency)[:limit]:
                row.fence += 1
                row.lease_until = now + lease
                row.woken = False
                claims.append(self._claim(id_, row, now))
            return claims

    def renew(self, claims: Sequence[Claim], *, lease: timedelta) -> None:
        with self.store.lock:
            for claim in claims:
                row = self.store.active.get(claim.invocation_id)
                if row and row.fence == claim.fence and row.lease_until is not None:
                    row.lease_until = self.store.now() + lease

    def write_back(self, looks: Sequence[Look]) -> Stored:
        changes, unstorable = 0, {}
        with self.store.lock:
            for look in looks:
                try:
                    changes += self._take(look)
                except Exception as error:  # noqa: BLE001 - as in PostgreSQL
                    unstorable[look.claim.invocation_id] = str(error)
        return Stored(changes=changes, unstorable=unstorable)

    def tally(self, identity: Identity, counts: Mapping[str, float]) -> None:
        with self.store.lock:
            mine = self.store.totals.setdefault(identity, {})
            for name, n in counts.items():
                if n:
                    mine[name] = mine.get(name, 0) + n

    def backlog(self) -> Mapping[Identity, Backlog]:
        with self.store.lock:
            now = self.store.now()
            active = {self.store.invocations[id_].identity for id_ in self.store.active}
            swept = {who for who, totals in self.store.totals.items() if totals}
            backlog = {}
            for identity in active | swept:
                overdue = [
                    now - row.next_poll_at for _, row in self.store.mine(identity)
                ]
                backlog[identity] = Backlog(
                    active=len(overdue),
                    due=sum(duration >= timedelta(0) for duration in overdue),
                    overdue=max([timedelta(0), *overdue]),
                    totals=dict(self.store.totals.get(identity, {})),
                )
            return backlog

    def _claim(self, id_: InvocationId, row: _Active, now: datetime) -> Claim:
        return Claim(
            invocation_id=id_,
            galaxy_id=self.store.invocations[id_].galaxy_id or id_,
            fence=row.fence,
            cancelling=self.store.invocations[id_].needs_cancel,
            summary=row.summary,
            age=now - row.accepted_at,
            quiet_for=now - row.last_change_at,
            unlooked_for=now - row.last_full_look_at,
            missing_for=None if row.missing_since is None else now - row.missing_since,
            misses=row.misses,
            failures=row.failures,
        )

    def _take(self, look: Look) -> bool:
        """Store the result of a claim; return whether it was a change.

        If anything is raised, it cannot be stored, and nothing has changed.
        """
        id_ = look.claim.invocation_id
        row = self.store.active.get(id_)
        if row is None or row.fence != look.claim.fence:
            return False
        now = self.store.now()
        stored = self.store.invocations[id_]
        overtaken = row.woken or (look.before and look.before.version != stored.version)
        if look.asked and not overtaken:
            _ = now + look.next_in, now + look.stale_in
            if look.after is not None:
                _refuse_unstorable(_from_galaxy(look.after))
        row.lease_until = None
        if not look.asked:
            return False
        if overtaken:
            row.next_poll_at = now
            return False
        self._note(row, look, now)
        if look.after is None:
            if look.answered:
                self.store.invocations[id_] = evolve(
                    stored, observed_at=now, stale_at=now + look.stale_in
                )
            return False
        row.last_change_at = now
        stale_at = now + look.stale_in if look.answered else stored.stale_at
        self.store.put(stored, evolve(look.after, stale_at=stale_at))
        if not look.after.is_followed:
            del self.store.active[id_]
        return True

    def _note(self, row: _Active, look: Look, now: datetime) -> None:
        row.next_poll_at = now + look.next_in
        if look.summary is not None:
            row.summary = _clean(look.summary)
        if look.full:
            row.last_full_look_at = now
        if look.missing:
            row.missing_since = row.missing_since or now
            row.misses += 1
            row.failures = 0
        elif look.answered:
            row.missing_since = None
            row.misses = row.failures = 0
        else:
            row.failures += 1


def _urgency(
    due: tuple[InvocationId, _Active],
) -> tuple[bool, datetime, InvocationId]:
    id_, row = due
    quiet = row.next_poll_at - row.last_change_at
    return not row.woken, row.next_poll_at + min(quiet, MAY_BE_LATE), id_


@frozen
class MemorySupersededRuns(SupersededRuns):
    """The superseded runs, found by looking at all runs."""

    store: MemoryStore

    def due(self, identity: Identity, *, limit: int) -> Sequence[Invocation]:
        with self.store.lock:
            due = [
                run
                for run in self.store.invocations.values()
                if run.identity == identity
                and not run.is_followed
                and run.invocation_id not in self.store.dealt_with
                and any(
                    successor.state is InvocationState.COMPLETED
                    for successor in self._successors(run)
                )
            ]
        return sorted(due, key=lambda run: run.created_at)[:limit]

    def _successors(self, run: Invocation) -> Iterator[Invocation]:
        while run.superseded_by is not None:
            run = self.store.invocations[run.superseded_by]
            yield run

    def users_of(
        self, identity: Identity, data: Collection[GalaxyData]
    ) -> Sequence[DataUser]:
        wanted = set(data)
        with self.store.lock:
            datasets = sorted(
                (dataset.stored_id, dataset.owner)
                for dataset in self.store.datasets.values()
                if any(data in wanted for _, data in leaves_of(dataset.source))
            )
            runs = sorted(
                (run.invocation_id, run.owner)
                for run in self.store.invocations.values()
                if run.identity == identity
                and run.is_followed
                and wanted.intersection(_given(run))
            )
            submissions = sorted(
                (str(submission.submission_id), submission.owner)
                for submission in self._opened(identity)
                if wanted.intersection(_given(submission))
            )
        return [
            *(DataUser("dataset", *dataset) for dataset in datasets),
            *(DataUser("job", *run) for run in runs),
            *(DataUser("submission", *submission) for submission in submissions),
        ]

    def collections(self, identity: Identity, *, limit: int) -> Sequence[str]:
        with self.store.lock:
            named = [
                data
                for dataset in self.store.datasets.values()
                for _, data in leaves_of(dataset.source)
            ]
            for run in self.store.invocations.values():
                if run.identity == identity and run.is_followed:
                    named += _given(run)
            for submission in self._opened(identity):
                named += _given(submission)
        found = {
            data.id
            for data in named
            if isinstance(data, GalaxyData) and data.src is Src.HDCA
        }
        return sorted(found)[:limit]

    def _opened(self, identity: Identity) -> Iterator[Submission]:
        for opened in self.store.submissions.values():
            submission = opened.submission
            if submission.identity == identity and (
                submission.open or (submission.invocation_id is None and opened.look_at)
            ):
                yield submission

    def done(self, invocation_id: InvocationId, attention: str | None = None) -> None:
        with self.store.lock:
            run = self.store.invocations.get(invocation_id)
            if run is None or invocation_id in self.store.dealt_with:
                return
            if run.superseded_by is None:  # the id was given to a later run meanwhile
                return
            self.store.dealt_with.add(invocation_id)
            if attention is not None:
                noted = evolve(
                    run,
                    attention=_clean(attention),
                    version=run.version + 1,
                    updated_at=self.store.now(),
                )
                self.store.put(run, noted)


@frozen
class MemoryTokens(TokenRepository):
    """Tokens in a dict."""

    store: MemoryStore

    def add(self, token: Token, lifetime: timedelta | None) -> Token:
        store = self.store
        with store.lock:
            for other in store.tokens.values():
                if other.name == token.name and other.revoked_at is None:
                    raise TokenExists(token.name)
            expires = None if lifetime is None else store.now() + lifetime
            store.tokens[token.token_id] = evolve(token, expires_at=expires)
            return store.tokens[token.token_id]

    def in_force(self, token_ids: Collection[TokenId]) -> Mapping[TokenId, Token]:
        with self.store.lock:
            now, known = self.store.now(), self.store.tokens
            return {
                id_: token
                for id_ in token_ids
                if (token := known.get(id_)) is not None
                and token.revoked_at is None
                and (token.expires_at is None or now < token.expires_at)
            }

    def all(self) -> Sequence[Token]:
        with self.store.lock:
            tokens = list(self.store.tokens.values())
        return sorted(tokens, key=lambda token: (token.created_at, token.token_id))[
            ::-1
        ]

    def revoke(self, token_id: TokenId, at: datetime) -> Token:
        with self.store.lock:
            token = self.store.tokens.get(token_id)
            if token is None:
                raise TokenNotFound(token_id)
            if token.revoked_at is None:
                token = evolve(token, revoked_at=at)
                self.store.tokens[token_id] = token
            return token

    def ever_made(self) -> bool:
        with self.store.lock:
            return bool(self.store.tokens)


@frozen
class MemorySigningKeys(SigningKeys):
    """The key in a list."""

    store: MemoryStore

    def ensure(self, key: SigningKey) -> SigningKey:
        with self.store.lock:
            if not self.store.signing_keys:
                self.store.signing_keys.append(key)
            return self.store.signing_keys[0]


@frozen
class MemorySessions(SessionRepository):
    """Sessions in a dict."""

    store: MemoryStore

    def add(self, session: Session, lifetime: timedelta) -> Session:
        store = self.store
        with store.lock:
            now, id_ = store.now(), session.session_id
            for other in [*store.sessions.values()]:
                if other.user.expires_at <= now:
                    del store.sessions[other.session_id]
            user = evolve(session.user, expires_at=now + lifetime, session_id=id_)
            store.sessions[id_] = evolve(session, user=user)
            return store.sessions[id_]

    def in_force(self, session_ids: Collection[TokenId]) -> Mapping[TokenId, Session]:
        with self.store.lock:
            now, known = self.store.now(), self.store.sessions
            return {
                id_: session
                for id_ in session_ids
                if (session := known.get(id_)) and now < session.user.expires_at
            }

    def remove(self, session_id: TokenId) -> None:
        with self.store.lock:
            self.store.sessions.pop(session_id, None)


@frozen
class MemoryUploads(UploadRepository):
    """Uploads in a dict."""

    store: MemoryStore

    def add(
        self, upload: Upload, *, lifetime: timedelta, max_open: int, max_bytes: int
    ) -> Upload:
        store = self.store
        with store.lock:
            current = [self._now(stored) for stored in store.uploads.values()]
            for stored in current:
                held = stored.state in KEPT_STATES
                if held and upload.key is not None and stored.key == upload.key:
                    return stored
            sizes = [
                stored.size
                for stored in current
                if stored.owner == upload.owner and stored.state is UploadState.OPEN
            ]
            upload.check_quota(
                len(sizes), sum(sizes), max_open=max_open, max_bytes=max_bytes
            )
            for text in (upload.name, upload.ext, upload.dataset_id):
                _refuse_unstorable(text)
            upload = evolve(upload, expires_at=store.now() + lifetime)
            store.uploads[upload.upload_id] = upload
            store.upload_looks[upload.upload_id] = upload.expires_at
            return upload

    def get(self, upload_id: UploadId, viewer: Viewer) -> Upload:
        with self.store.lock:
            upload = self.store.uploads.get(upload_id)
            if upload is None or not viewer.sees(upload.owner):
                raise UploadNotFound(upload_id)
            return self._now(upload)

    def get_many(
        self, upload_ids: Collection[UploadId], viewer: Viewer
    ) -> Mapping[UploadId, Upload]:
        with self.store.lock:
            known = self.store.uploads
            return {
                id_: self._now(known[id_])
                for id_ in upload_ids
                if id_ in known and viewer.sees(known[id_].owner)
            }

    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Upload]:
        with self.store.lock:
            found = {
                Cursor(upload.created_at, upload.upload_id): upload
                for upload in map(self._now, self.store.uploads.values())
                if viewer.sees(upload.owner)
                and viewer.owner in {None, upload.owner}
                and upload.state in {UploadState.OPEN, UploadState.VERIFYING}
            }
        return _page(found, limit, after)

    def save(self, before: Upload, after: Upload) -> None:
        store, id_ = self.store, before.upload_id
        with store.lock:
            self._check(before, after)
            stored = store.uploads[id_]
            store.uploads[id_] = evolve(after, expires_at=stored.expires_at)
            if after.state is UploadState.OPEN:
                store.upload_looks[id_] = stored.expires_at
            elif after.state is UploadState.COMPLETE:
                store.upload_looks[id_] = store.now() + USE_INTERVAL
            elif not after.stored:
                store.upload_looks.pop(id_, None)
            else:
                store.upload_looks[id_] = store.now()

    def complete(self, before: Upload, after: Upload, dataset: Dataset) -> None:
        with self.store.lock:
            self._check(before, after)
            if dataset.dataset_id in self.store.datasets:
                raise DatasetExists(dataset.dataset_id)
            self.store.datasets[dataset.dataset_id] = dataset
            self.save(before, after)

    def claim(self, limit: int, lease: timedelta) -> Sequence[Upload]:
        store = self.store
        with store.lock:
            now = store.now()
            due = [id_ for id_, at in store.upload_looks.items() if at <= now]
            due = sorted(due, key=lambda id_: store.upload_looks[id_])[:limit]
            store.upload_looks.update(dict.fromkeys(due, now + lease))
            return [self._now(store.uploads[id_]) for id_ in due]

    def renew(self, upload_id: UploadId, lease: timedelta) -> None:
        with self.store.lock:
            if upload_id in self.store.upload_looks:
                self.store.upload_looks[upload_id] = self.store.now() + lease

    def is_used(self, upload: Upload) -> bool:
        with self.store.lock:
            return any(
                content == upload.data
                for dataset in self.store.datasets.values()
                for _, content in leaves_of(dataset.source)
            )

    def ended(self, kept: timedelta, limit: int) -> Sequence[Upload]:
        with self.store.lock:
            before = self.store.now() - kept
            found = [
                upload
                for upload in self.store.uploads.values()
                if _came_to_nothing(upload) and upload.expires_at < before
            ]
        return sorted(found, key=lambda upload: upload.expires_at)[:limit]

    def remove(self, upload: Upload) -> None:
        with self.store.lock:
            stored = self.store.uploads.get(upload.upload_id)
            if stored is not None and _came_to_nothing(stored):
                del self.store.uploads[upload.upload_id]

    def _now(self, upload: Upload) -> Upload:
        """Return an upload as it is shown now."""
        overdue = upload.expires_at <= self.store.now()
        if upload.state is UploadState.OPEN and overdue:
            return evolve(upload, state=UploadState.EXPIRED)
        return upload

    def _check(self, before: Upload, after: Upload) -> None:
        stored = self.store.uploads.get(before.upload_id)
        ended = after.state not in KEPT_STATES
        if (
            stored is None
            or stored.version != before.version
            or not (ended or self._now(stored).state is stored.state)
        ):
            raise StaleVersion(f"Upload {before.upload_id}", before.version)


def _came_to_nothing(upload: Upload) -> bool:
    return upload.state not in KEPT_STATES and not upload.stored


@frozen
class MemoryAuditLog(AuditLog):
    """Entries in a list."""

    store: MemoryStore

    def record(self, entry: AuditEntry) -> None:
        for text in (entry.owner, entry.object_id, entry.request_id):
            if text is not None and not _is_storable(text):
                raise InvalidValue("There is a text that cannot be stored.")
        with self.store.lock:
            self.store.audit.append(evolve(entry, at=self.store.now()))

    def entries(
        self,
        *,
        owner: str | None = None,
        action: Action | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> Sequence[AuditEntry]:
        with self.store.lock:
            return [
                entry
                for entry in reversed(self.store.audit)
                if owner in {None, entry.owner}
                and action in {None, entry.action}
                and (since is None or (entry.at is not None and entry.at >= since))
            ][:limit]

    def prune(self, age: timedelta, *, limit: int = 10_000) -> int:
        with self.store.lock:
            until = self.store.now() - max(age, MIN_AUDIT_AGE)
            old = [entry for entry in self.store.audit if entry.at and entry.at < until]
            del self.store.audit[: min(len(old), limit)]
            return min(len(old), limit)


@frozen
class MemoryWebhooks(WebhookRepository):
    """Webhooks and deliveries in dicts."""

    store: MemoryStore

    def add(self, webhook: Webhook, *, most: int) -> None:
        texts = [webhook.url, *webhook.workflow_names, *webhook.labels.values()]
        if not all(map(_is_storable, [*texts, webhook.owner or ""])):
            raise InvalidValue("A text cannot be stored.")
        with self.store.lock:
            kept = self.store.webhooks.values()
            count = sum(each.webhook.owner == webhook.owner for each in kept)
            if count >= most:
                raise QuotaExceeded(
                    f"There are {count} webhooks, and no more than {most} may be."
                )
            now = self.store.now()
            self.store.webhooks[webhook.webhook_id] = _Kept(webhook, now)

    def get(self, webhook_id: WebhookId, viewer: Viewer) -> Webhook:
        return self._kept(webhook_id, viewer).webhook

    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Webhook]:
        with self.store.lock:
            webhooks = [kept.webhook for kept in self.store.webhooks.values()]
        found = {
            Cursor(each.created_at, each.webhook_id): each
            for each in webhooks
            if viewer.sees(each.owner)
        }
        return _page(found, limit, after)

    def replace_secrets(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        change: Callable[[Webhook], Webhook],
    ) -> Webhook:
        with self.store.lock:
            kept = self._kept(webhook_id, viewer)
            secrets = change(kept.webhook).secrets
            kept.webhook = evolve(kept.webhook, secrets=secrets)
            return kept.webhook

    def remove(self, webhook_id: WebhookId, viewer: Viewer) -> None:
        with self.store.lock:
            self._kept(webhook_id, viewer)
            del self.store.webhooks[webhook_id]

    def send(self, delivery: Delivery, viewer: Viewer) -> None:
        with self.store.lock:
            self._kept(delivery.webhook_id, viewer)
            self.store.send(delivery)

    def deliveries(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        limit: int,
        after: Cursor | None = None,
        *,
        states: Collection[DeliveryState] = (),
    ) -> Page[Delivery]:
        if after is not None and not (after.id.isascii() and after.id.isdecimal()):
            raise InvalidValue("The cursor is malformed.")
        with self.store.lock:
            self._kept(webhook_id, viewer)
            found = [
                delivery
                for delivery in self._of(webhook_id)
                if (not states or delivery.state in states)
                and (after is None or delivery.number < int(after.id))
            ][::-1]
        shown = found[:limit]
        last = Cursor(shown[-1].at, str(shown[-1].number)) if shown else None
        return Page(tuple(shown), last if len(found) > limit else None)

    def replay(
        self,
        webhook_id: WebhookId,
        viewer: Viewer,
        delivery_ids: Collection[DeliveryId] | None,
    ) -> int:
        with self.store.lock:
            kept, now = self._kept(webhook_id, viewer), self.store.now()
            kept.rests_until = now
            kept.webhook = evolve(kept.webhook, state=WebhookState.ACTIVE, failures=0)
            for delivery in self._of(webhook_id):
                if delivery.state is DeliveryState.PENDING:
                    self.store.retried_since[delivery.delivery_id] = now
            again = [
                delivery
                for delivery in self._of(webhook_id)
                if (
                    delivery.state is DeliveryState.DEAD
                    if delivery_ids is None
                    else delivery.delivery_id in delivery_ids
                    and delivery.state is not DeliveryState.PENDING
                )
            ]
            for delivery in again:
                self.store.retried_since[delivery.delivery_id] = now
                self.store.deliveries[delivery.delivery_id] = evolve(
                    delivery,
                    state=DeliveryState.PENDING,
                    attempts=0,
                    next_attempt_at=now,
                    ended_at=None,
                )
            return len(again)

    def due(self) -> Sequence[Webhook]:
        with self.store.lock:
            now = self.store.now()
            return [
                kept.webhook
                for id_, kept in self.store.webhooks.items()
                if kept.webhook.state is WebhookState.ACTIVE
                and kept.rests_until <= now
                and any(map(self._is_due, self._of(id_)))
            ]

    def claim(
        self, webhook_id: WebhookId, *, limit: int, lease: timedelta
    ) -> Sequence[Delivery]:
        with self.store.lock:
            kept = self.store.webhooks.get(webhook_id)
            if kept is None or kept.webhook.state is not WebhookState.ACTIVE:
                return []
            first: dict[object, Delivery] = {}
            for delivery in self._of(webhook_id):
                if delivery.state is DeliveryState.PENDING:
                    first.setdefault(delivery.subject or delivery.number, delivery)
            due = [delivery for delivery in first.values() if self._is_due(delivery)]
            due.sort(key=lambda each: (each.next_attempt_at, each.number))
            claimed = [
                evolve(
                    delivery,
                    attempts=delivery.attempts + 1,
                    next_attempt_at=self.store.now() + lease,
                )
                for delivery in due[:limit]
            ]
            self.store.deliveries.update({each.delivery_id: each for each in claimed})
            return sorted(claimed, key=lambda each: each.number)

    def settle(
        self,
        webhook_id: WebhookId,
        attempts: Sequence[Attempt],
        *,
        rest: timedelta,
        gone: bool = False,
    ) -> None:
        begun = [attempt for attempt in attempts if attempt.begun]
        failed = bool(begun) and begun[-1].failed
        with self.store.lock:
            ended = Counter(map(self._settled, attempts))
            if failed:
                for delivery in self._of(webhook_id):
                    if self._is_due(delivery) and self._is_over(delivery):
                        self._end(delivery, DeliveryState.DEAD)
                        ended[DeliveryState.DEAD] += 1
            kept = self.store.webhooks.get(webhook_id)
            if kept is None:
                return
            kept.delivered += ended[DeliveryState.DELIVERED]
            kept.dead += ended[DeliveryState.DEAD]
            if failed:
                kept.rests_until = self.store.now() + rest
                failures = kept.webhook.failures + 1
                kept.webhook = evolve(kept.webhook, failures=failures)
            elif begun:
                kept.webhook = evolve(kept.webhook, failures=0)
            if gone:
                kept.webhook = evolve(kept.webhook, state=WebhookState.DISABLED)

    def prune(self, age: timedelta, *, limit: int = 10_000) -> int:
        with self.store.lock:
            until = self.store.now() - age
            old = [
                id_
                for id_, delivery in self.store.deliveries.items()
                if (delivery.ended_at and delivery.ended_at <= until)
                or delivery.webhook_id not in self.store.webhooks
            ][:limit]
            for id_ in old:
                del self.store.deliveries[id_]
            return len(old)

    def backlog(self) -> DeliveryBacklog:
        with self.store.lock:
            times = [
                delivery.next_attempt_at
                for delivery in self.store.deliveries.values()
                if delivery.webhook_id in self.store.webhooks
                and delivery.next_attempt_at is not None
            ]
            overdue = self.store.now() - min(times, default=self.store.now())
            kept = self.store.webhooks.values()
            return DeliveryBacklog(
                pending=len(times),
                overdue=max(overdue, timedelta(0)),
                delivered=sum(each.delivered for each in kept),
                dead=sum(each.dead for each in kept),
            )

    def _kept(self, webhook_id: WebhookId, viewer: Viewer) -> _Kept:
        kept = self.store.webhooks.get(webhook_id)
        if kept is None or not viewer.sees(kept.webhook.owner):
            raise WebhookNotFound(webhook_id)
        return kept

    def _of(self, webhook_id: WebhookId) -> list[Delivery]:
        """Return the deliveries of a webhook by their numbers."""
        stored = self.store.deliveries.values()
        found = [each for each in stored if each.webhook_id == webhook_id]
        return sorted(found, key=lambda each: each.number)

    def _is_due(self, delivery: Delivery) -> bool:
        at = delivery.next_attempt_at
        return at is not None and at <= self.store.now()

    def _is_over(self, delivery: Delivery) -> bool:
        since = self.store.retried_since[delivery.delivery_id]
        return since <= self.store.now() - RETRY_TIME

    def _end(self, delivery: Delivery, state: DeliveryState) -> None:
        self.store.deliveries[delivery.delivery_id] = evolve(
            delivery, state=state, next_attempt_at=None, ended_at=self.store.now()
        )

    def _settled(self, attempt: Attempt) -> DeliveryState | None:
        """Store the outcome of an attempt; return the state if it has ended."""
        id_ = attempt.delivery.delivery_id
        stored = self.store.deliveries.get(id_)
        if (
            stored is None
            or stored.attempts != attempt.delivery.attempts
            or stored.state is not DeliveryState.PENDING
        ):
            return None
        if not attempt.begun:
            self.store.deliveries[id_] = evolve(
                stored,
                attempts=stored.attempts - 1,
                next_attempt_at=self.store.now(),
            )
            return None
        stored = evolve(stored, status=attempt.status, problem=_clean(attempt.problem))
        if not attempt.failed:
            self._end(stored, DeliveryState.DELIVERED)
        elif self._is_over(stored):
            self._end(stored, DeliveryState.DEAD)
        else:
            at = self.store.now() + attempt.retry_in
            self.store.deliveries[id_] = evolve(stored, next_attempt_at=at)
            return None
        return self.store.deliveries[id_].state


def _page(items: Mapping[Cursor, Any], limit: int, after: Cursor | None) -> Page[Any]:
    def place(cursor: Cursor) -> tuple[datetime, str]:
        return cursor.created_at, cursor.id

    if after is not None and not _is_storable(after.id):
        raise InvalidValue("The cursor is malformed.")
    cursors = sorted(items, key=place, reverse=True)
    if after is not None:
        cursors = [cursor for cursor in cursors if place(cursor) < place(after)]
    shown = cursors[:limit]
    more = len(cursors) > limit
    return Page(tuple(items[cursor] for cursor in shown), shown[-1] if more else None)


def _needs(job: Request | Invocation, dataset_id: DatasetId) -> bool:
    named = any(
        isinstance(value, Mapping) and value.get("dataset_id") == dataset_id
        for value in job.parameters.values()
    )
    return named or job.dataset_id == dataset_id


def _has_element(other: Dataset, dataset: Dataset) -> bool:
    """Return whether a dataset is a collection that another one is an element of."""
    return other.viewer.sees(dataset.owner) and any(
        isinstance(content, DatasetRef)
        and dataset.stored_id in other.viewer.stored_ids(content.dataset_id)
        for _, content in leaves_of(other.source)
    )


def _given(run: Invocation | Submission) -> Iterator[GalaxyData]:
    """Yield the Galaxy data that a run is given."""
    request = run.request if isinstance(run, Submission) else run
    yield from _named([request.parameters, run.inputs])


def _named(value: Any) -> Iterator[GalaxyData]:
    """Yield the Galaxy data that parameters refer to."""
    match value:
        case {"src": "hda" | "ldda" | "hdca" as src, "id": str(id_)}:
            yield GalaxyData(Src(src), id_)
        case Mapping():
            for member in value.values():
                yield from _named(member)
        case list() | tuple():
            for item in value:
                yield from _named(item)
        case _:
            return


# --- what a database can hold -----------------------------------------------------


def _is_storable(text: str) -> bool:
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _refuse_unstorable(value: Any) -> None:
    """Refuse a value that a database cannot hold.

    Raises:
        InvalidValue: It is not JSON, or a text in it is not Unicode or has a NUL.
    """
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidValue(f"A value cannot be stored: {error}.") from error
    if not all(map(_is_storable, _texts(value))):
        raise InvalidValue("A value cannot be stored: a text is not Unicode.")


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            yield from value
            yield from _all_texts(value.values())
        case list() | tuple():
            yield from _all_texts(value)
        case _:
            return


def _all_texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        yield from _texts(value)


def _clean(text: str | None) -> Any:
    """Return a text of Galaxy with the characters replaced that cannot be stored."""
    if text is None:
        return None
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _from_galaxy(invocation: Invocation) -> Any:
    """Return what Galaxy says of a run, as it is stored."""
    run = _cleaned(invocation)
    failure = None if run.failure is None else asdict(run.failure)
    steps = [asdict(step) for step in run.steps]
    return [run.galaxy_state, asdict(run.progress), steps, failure, run.attention]


def _cleaned(invocation: Invocation) -> Invocation:
    failure = invocation.failure
    return evolve(
        invocation,
        galaxy_state=_clean(invocation.galaxy_state),
        attention=_clean(invocation.attention),
        failure=None if failure is None else _cleaned_failure(failure),
        steps=tuple(
            evolve(step, label=_clean(step.label), tool=_clean(step.tool))
            for step in invocation.steps
        ),
    )


def _cleaned_failure(failure: Failure) -> Failure:
    return Failure(
        reason=_clean(failure.reason),
        step=_clean(failure.step),
        step_index=failure.step_index,
        path=tuple(_clean(label) for label in failure.path),
        element=_clean(failure.element),
        tool=_clean(failure.tool),
        exit_code=failure.exit_code,
        stderr=_clean(failure.stderr),
        message=_clean(failure.message),
    )


def _cleaned_problem(problem: Problem | None) -> Problem | None:
    return problem and evolve(problem, detail=_clean(problem.detail))
