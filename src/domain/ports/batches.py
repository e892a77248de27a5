"""The port to the batches of submissions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from galaxy_jobs.domain.model.batch import Batch, BatchItem
from galaxy_jobs.domain.model.submission import IdempotencyKey, Submission
from galaxy_jobs.domain.model.values import BatchId, Identity
from galaxy_jobs.domain.model.viewer import Viewer
from galaxy_jobs.domain.ports.paging import Cursor, Page


class BatchRepository(Protocol):
    """The batches; their items are submissions.

    Wherever an item ends, its batch ends in the same transaction, if that was the last
    one: none is open any more, and each job has ended. Of a batch that is cancelled, an
    item that is put off is rejected, and a run that is accepted has a pending cancel.
    """

    @abstractmethod
    def holder(self, key: IdempotencyKey) -> Batch | None:
        """Return the batch that holds the key now; no two callers share a key.

        A batch holds its key until it has ended, and for the key's lifetime after that.
        """

    @abstractmethod
    def open(
        self, batch: Batch, items: Sequence[Submission], *, key_lifetime: timedelta
    ) -> Batch | None:
        """Store a batch and its items, and reserve its key, atomically.

        Args:
            batch: Not stored yet.
            items: Its items, which wait, in their order.
            key_lifetime: For how long the key is held after the end of the batch.

        Returns:
            None if it was stored; else the batch that holds the key, and nothing was
            stored.

        Raises:
            DatasetNotFound: A dataset of an item is not registered.
        """

    @abstractmethod
    def get(self, batch_id: BatchId, viewer: Viewer) -> Batch:
        """Return the batch of that id.

        Raises:
            BatchNotFound: There is none.
        """

    @abstractmethod
    def page(
        self, viewer: Viewer, limit: int, after: Cursor | None = None
    ) -> Page[Batch]:
        """Return at most *limit* batches after a place, newest first."""

    @abstractmethod
    def counts(
        self, batch_ids: Collection[BatchId]
    ) -> Mapping[BatchId, Mapping[str, int]]:
        """Return the number of items in each state, as :attr:`BatchItem.state` has it.

        States in which there are none are missing.
        """

    @abstractmethod
    def items(
        self,
        batch_id: BatchId,
        viewer: Viewer,
        *,
        limit: int,
        after: int = -1,
        failed: bool = False,
    ) -> Sequence[BatchItem]:
        """Return at most *limit* items of a batch, in their order.

        Args:
            batch_id: The batch.
            viewer: Who asks.
            limit: The number of items at most.
            after: Only those after this position.
            failed: Only those that have failed: see :attr:`BatchItem.has_failed`.

        Raises:
            BatchNotFound: There is no such batch.
        """

    @abstractmethod
    def begin(
        self,
        identity: Identity,
        *,
        at: datetime,
        at_once: int,
        max_active: int,
        deadline: timedelta,
    ) -> Submission | None:
        """Begin the next item that waits, if it may be begun now.

        Batches take turns: the next one is that which never had a turn or had its last
        one longest ago, the oldest first among equals; and of a batch the first item
        that waits. Of the items with attempts before, one is submitted at a time: the
        others wait meanwhile, as if they were not there.

        Args:
            identity: The Galaxy whose items.
            at: The time that the item gets as its last change.
            at_once: Nothing is begun while so many items are being submitted.
            max_active: Nor while so many jobs are active on that Galaxy, counting the
                items that are being submitted or of which it is not known whether they
                run. 0: no limit.
            deadline: After this time the reconciler may look at the item.

        Returns:
            The item as :meth:`Submission.begun` returns it, stored; None: there is none
            to begin now.
        """

    @abstractmethod
    def cancel(self, batch_id: BatchId, viewer: Viewer, at: datetime) -> Batch:
        """Cancel a batch, and return it as it is then.

        Its items that wait are rejected with :data:`CANCELLED`, and its jobs that are
        followed get a pending cancel (:meth:`Invocation.request_cancel`). Repeated, it
        does the same for what is left.

        Raises:
            BatchNotFound: There is none.
        """
