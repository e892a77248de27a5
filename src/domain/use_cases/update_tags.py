"""Give the Galaxy histories of jobs the tags of labels that have changed."""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen

from galaxy_jobs.domain.errors import RunnerError, RunNotFound, RunRejected
from galaxy_jobs.domain.model.submission import history_mark
from galaxy_jobs.domain.model.values import Identity
from galaxy_jobs.domain.ports import Clock, RunHistories, TagChange, TagChanges


TAGS_LEASE = timedelta(minutes=5)
"""For how long a change is left to the process that claimed it; also the time until the
next attempt after one that failed."""

FAILURES_LIMIT = 3
"""After so many failures, Galaxy is left alone until the next call."""


@frozen
class UpdateTags:
    """Replaces the tags of former labels by those of the labels that a job has now.

    Other tags stay. A history that somebody has renamed in Galaxy is theirs, and stays
    as it is; so does one that Galaxy does not allow to change.

    Attributes:
        batch: The largest number of histories per call.
        at_most: The time after which none is begun.
    """

    changes: TagChanges
    histories: RunHistories
    clock: Clock
    batch: int = 20
    at_most: timedelta = timedelta(seconds=5)

    def __call__(self, identity: Identity) -> int:
        """Deal with one batch, and return how many changes were dealt with.

        A crash at any point is repaired by a later call.

        Raises:
            StoreUnavailable: The database could not be reached.
        """
        deadline = self.clock() + self.at_most
        count = failures = 0
        for change in self.changes.claim(identity, limit=self.batch, lease=TAGS_LEASE):
            if failures == FAILURES_LIMIT or self.clock() > deadline:
                break
            try:
                self._carry_out(identity, change)
            except (RunRejected, RunNotFound):
                pass  # now and later
            except RunnerError:
                failures += 1
                continue
            self.changes.done(change)
            count += 1
        return count

    def _carry_out(self, identity: Identity, change: TagChange) -> None:
        job = change.job
        job.id_on(identity)  # raises
        if job.history_id is None or job.results_deleted_at is not None:
            return
        name = self.histories.name_of(job.history_id)
        if name is not None and history_mark(job.submission_id) in name:
            labels = job.label_tags
            self.histories.retag(job.history_id, labels, change.former - labels)
