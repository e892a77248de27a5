"""The port to the submissions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.submission import IdempotencyKey, Submission
from galaxy_jobs.domain.model.values import Identity, SubmissionId
from galaxy_jobs.domain.model.viewer import Viewer


class SubmissionRepository(Protocol):
    """The submissions; it also records the invocations that they lead to."""

    @abstractmethod
    def holder(self, key: IdempotencyKey) -> Submission | None:
        """Return the submission that holds the key now; no two callers share a key.

        That is the last one opened with it, unless that was rejected, or was
        accepted longer ago than the lifetime of the key. A submission that is not
        settled holds its key without limit.
        """

    @abstractmethod
    def open(
        self, submission: Submission, *, deadline: timedelta, key_lifetime: timedelta
    ) -> Submission | None:
        """Store a submission and reserve its key, atomically.

        Of several with one key at the same time, exactly one is stored.

        Args:
            submission: Not stored yet.
            deadline: After this time the reconciler may look at it.
            key_lifetime: For how long the key is held from now on, if the
                submission is accepted.

        Returns:
            None if it was stored; else the submission that holds the key, and
            nothing was stored.

        Raises:
            DatasetNotFound: Its dataset is not registered.
        """

    @abstractmethod
    def get(self, submission_id: SubmissionId, viewer: Viewer) -> Submission:
        """Return the submission of that id.

        Raises:
            SubmissionNotFound: There is none.
        """

    @abstractmethod
    def save(
        self, before: Submission, after: Submission, *, look_in: timedelta | None
    ) -> None:
        """Replace *before* by *after*, if *before* is still what is stored.

        Args:
            before: The submission as it was read.
            after: The submission to store, of a higher version.
            look_in: The time until the reconciler looks at it; None: never.

        Raises:
            StaleVersion: What is stored is not at ``before.version``.
            SubmissionNotFound: There is none.
        """

    @abstractmethod
    def accept(
        self, before: Submission, after: Submission, invocation: Invocation
    ) -> Invocation:
        """Record a run: the submission as accepted, and its invocation.

        In one transaction: *before* becomes *after*, the invocation is stored
        with its `stale_at` and queued for polling at once, and its first
        transition is recorded.

        If an invocation is stored under that id already, Galaxy has given the id out
        again, or another Galaxy has. Then the new one has the id from now on, and the
        earlier one is stored under another key: both as :meth:`Invocation.set_apart`
        returns them. So is the invocation that is stored under the new one's
        :attr:`Invocation.key_aside`, if there is any. Whatever refers to an earlier one
        refers to its new key from then on: its transitions, its submission, and the
        `superseded_by` and `rerun_of` of others, which is a change of these. A claim
        of it is a claim of nothing. The store logs it.

        If the request has `overwrite`, then in the same transaction, under a lock
        on the dataset and workflow: every other invocation that it supersedes (see
        :meth:`Invocation.supersedes`) and that is not superseded yet gets this one as
        its `superseded_by`, for good, and enters :class:`SupersededRuns`; those that
        have not ended get a pending cancel (:meth:`Invocation.request_cancel`). Of
        two at once, the second supersedes the first. The cost grows with the number
        of runs that are not superseded yet, not with that of the others.

        Returns:
            The invocation as it is stored.

        Raises:
            StaleVersion: The submission is not at ``before.version``; nothing
                was stored.
        """

    @abstractmethod
    def claim_due(
        self, identity: Identity, *, limit: int, lease: timedelta
    ) -> Sequence[Submission]:
        """Claim at most *limit* submissions that are due, the longest due first.

        They are not due again for *lease*, so that no two reconcilers look at
        the same one at the same time unless one of them takes longer than that.
        """
