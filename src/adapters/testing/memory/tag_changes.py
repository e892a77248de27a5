"""Changes of labels that Galaxy's tags do not show yet, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from galaxy_jobs.adapters.testing.memory.repositories import MemoryStore
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import TagChange, TagChanges


@frozen
class MemoryTagChanges(TagChanges):
    """The changes that the store has noted."""

    store: MemoryStore

    def claim(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[TagChange]:
        with self.store.lock:
            now = self.store.now()
            due = sorted(
                (stored.look_at, job.created_at, job.invocation_id)
                for job in self.store.invocations.values()
                if (stored := self.store.tag_changes.get(job.submission_id))
                and job.identity == identity
                and stored.look_at <= now
            )
            claimed = []
            for _, _, id_ in due[:limit]:
                job = self.store.invocations[id_]
                stored = self.store.tag_changes[job.submission_id]
                stored.look_at = now + lease
                claimed.append(
                    TagChange(
                        job=job, former=frozenset(stored.former), number=stored.number
                    )
                )
            return claimed

    def done(self, change: TagChange) -> None:
        with self.store.lock:
            stored = self.store.tag_changes.get(change.job.submission_id)
            if stored is not None and stored.number == change.number:
                del self.store.tag_changes[change.job.submission_id]
