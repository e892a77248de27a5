"""What is kept of jobs that have ended, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from attrs import frozen

from galaxy_jobs.adapters.testing.memory.repositories import (
    MemoryStore,
    StoredDeletion,
)
from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.retention import Kept, RetentionRule
from galaxy_jobs.domain.model.submission import SubmissionState
from galaxy_jobs.domain.model.values import Identity, InvocationId
from galaxy_jobs.domain.ports import Deletion, Retention


@frozen
class MemoryRetention(Retention):
    """The jobs that have ended, found by looking at all jobs."""

    store: MemoryStore

    def claim(
        self,
        identity: Identity,
        rule: RetentionRule,
        *,
        limit: int,
        lease: timedelta,
    ) -> Sequence[Deletion]:
        def is_due(job: Invocation) -> bool:
            held = self.store.deletions.get(job.invocation_id)
            return (
                job.state is rule.state
                and self._has_ended(job, rule.age)
                and job.results_deleted_at is None
                and (rule.kept is Kept.RESULTS or job.intermediates_deleted_at is None)
                and job.history_id is not None
                and not job.adopted
                and (
                    rule.workflow_names is None
                    or job.workflow_name in rule.workflow_names
                )
                and job.workflow_name not in rule.except_workflows
                and (
                    held is None
                    or (held.look_at <= self.store.now() and not held.begun)
                )
            )

        return self._claim(identity, is_due, limit, lease)

    def claim_begun(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[Deletion]:
        def is_due(job: Invocation) -> bool:
            held = self.store.deletions.get(job.invocation_id)
            return bool(held and held.begun and held.look_at <= self.store.now())

        return self._claim(identity, is_due, limit, lease)

    def _claim(
        self,
        identity: Identity,
        is_due: Callable[[Invocation], bool],
        limit: int,
        lease: timedelta,
    ) -> Sequence[Deletion]:
        with self.store.lock:
            claimed = list[Deletion]()
            for job in self._of(identity):
                if len(claimed) < limit and is_due(job):
                    held = self._held(job.invocation_id)
                    held.look_at = self.store.now() + lease
                    claimed.append(Deletion(job=job, failures=held.failures))
            return claimed

    def _of(self, identity: Identity) -> list[Invocation]:
        """Return the jobs of a Galaxy, the oldest first."""
        jobs = self.store.invocations.values()
        return sorted(
            (job for job in jobs if job.identity == identity),
            key=lambda job: job.created_at,
        )

    def _has_ended(self, job: Invocation, age: timedelta) -> bool:
        ended_at = job.ended_at
        return (
            ended_at is not None
            and not job.is_followed
            and max(ended_at, job.created_at) <= self.store.now() - age
        )

    def _held(self, id_: InvocationId) -> StoredDeletion:
        return self.store.deletions.setdefault(id_, StoredDeletion(self.store.now()))

    def begin(self, invocation_id: InvocationId, *, lease: timedelta) -> None:
        with self.store.lock:
            if invocation_id in self.store.invocations:
                held = self._held(invocation_id)
                held.begun, held.look_at = True, self.store.now() + lease

    def put_off(
        self, invocation_id: InvocationId, pause: timedelta, *, failed: bool
    ) -> None:
        with self.store.lock:
            if held := self.store.deletions.get(invocation_id):
                held.look_at = self.store.now() + pause
                held.begun = held.begun and failed
                held.failures = held.failures + 1 if failed else 0

    def release(self, invocation_id: InvocationId) -> None:
        with self.store.lock:
            if held := self.store.deletions.get(invocation_id):
                held.look_at = self.store.now()

    def end(self, invocation_id: InvocationId) -> None:
        with self.store.lock:
            held = self.store.deletions.get(invocation_id)
            job = self.store.invocations.get(invocation_id)
            if held and (not held.begun or (job and job.results_deleted_at)):
                del self.store.deletions[invocation_id]

    def _prune_batches(self, identity: Identity, age: timedelta) -> None:
        store = self.store
        left = {opened.submission.batch_id for opened in store.submissions.values()}
        for id_, recorded in list(store.batches.items()):
            ended_at = recorded.batch.ended_at
            if (
                recorded.batch.identity == identity
                and ended_at is not None
                and max(ended_at + age, ended_at + recorded.key_lifetime) <= store.now()
                and id_ not in left
            ):
                del store.batches[id_]

    def prune(self, identity: Identity, age: timedelta, *, limit: int) -> int:
        store = self.store
        with store.lock:
            for id_, opened in list(store.submissions.items()):
                submission = opened.submission
                if (
                    submission.identity == identity
                    and submission.state is SubmissionState.REJECTED
                    and opened.look_at is None
                    and submission.updated_at <= store.now() - age
                ):
                    del store.submissions[id_]
            pruned = [
                job
                for job in self._of(identity)
                if self._has_ended(job, age)
                and not (
                    (held := store.deletions.get(job.invocation_id))
                    and (held.begun or held.look_at > store.now())
                )
            ][:limit]
            for job in pruned:
                del store.invocations[job.invocation_id]
                del store.submissions[job.submission_id]
                store.deletions.pop(job.invocation_id, None)
            self._prune_batches(identity, age)
            return len(pruned)
