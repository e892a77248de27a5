"""The port to what is kept of jobs that have ended."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.retention import RetentionRule
from galaxy_jobs.domain.model.values import Identity, InvocationId


@frozen(kw_only=True)
class Deletion:
    """A deletion that is leased.

    Attributes:
        job: The job.
        failures: How often it has failed, one after the other.
    """

    job: Invocation
    failures: int = 0


class Retention(Protocol):
    """The jobs that have ended, what is kept of them, and deletions under way.

    That something is deleted is in :attr:`Invocation.results_deleted_at` and
    :attr:`Invocation.intermediates_deleted_at`.
    """

    @abstractmethod
    def claim(
        self,
        identity: Identity,
        rule: RetentionRule,
        *,
        limit: int,
        lease: timedelta,
    ) -> Sequence[Deletion]:
        """Lease jobs of which a rule allows to delete something, the oldest first.

        Those whose results, or intermediates, are not deleted yet, that are not
        followed any more, have a history, are not adopted, have no other lease or
        pause, and of which no deletion was begun.
        """

    @abstractmethod
    def claim_begun(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[Deletion]:
        """Lease jobs of which a deletion was begun and has not ended.

        That is after a crash, or when Galaxy refused. No rule is asked: a history may
        be deleted already, and not purged.
        """

    @abstractmethod
    def begin(self, invocation_id: InvocationId, *, lease: timedelta) -> None:
        """Record, before anything is deleted, that the results of a job are to be."""

    @abstractmethod
    def put_off(
        self, invocation_id: InvocationId, pause: timedelta, *, failed: bool
    ) -> None:
        """Let no deletion be claimed for some time.

        Args:
            invocation_id: One that was claimed or begun.
            pause: The time, from now on.
            failed: Whether it counts as a failure, and a deletion that was begun stays
                so. Else it is over: nothing is deleted.
        """

    @abstractmethod
    def release(self, invocation_id: InvocationId) -> None:
        """Give a lease back: it can be claimed at once."""

    @abstractmethod
    def end(self, invocation_id: InvocationId) -> None:
        """Forget a deletion that has been carried out; twice is no error.

        One that was begun stays until the job is stored without its results.
        """

    @abstractmethod
    def prune(self, identity: Identity, age: timedelta, *, limit: int) -> int:
        """Remove jobs that ended longer ago, the oldest first, and return how many.

        With their transitions, submissions and idempotency keys. Rejected submissions
        that are as old go, too, and so do batches that ended as long ago of which
        nothing is left; they are not counted. A job that is followed stays, and
        one of which a deletion has been begun, is leased or has a pause.
        """
