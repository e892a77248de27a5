"""The ports to what is kept: datasets, submissions, invocations, tokens, the queue.

Every method is one transaction, may be called from several threads and
processes at once, and may raise :class:`StoreUnavailable`, which is not repeated
below: the store could not be reached, or broke off, and a write may or may not
have happened.

Durations handed in are measured by the store's own clock.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from attrs import field, frozen

from galaxy_jobs.domain.model.dataset import Dataset, GalaxyData
from galaxy_jobs.domain.model.invocation import (
    Invocation,
    InvocationState,
    Transition,
)
from galaxy_jobs.domain.model.submission import IdempotencyKey, Submission
from galaxy_jobs.domain.model.token import Token, TokenId
from galaxy_jobs.domain.model.values import (
    DatasetId,
    Identity,
    InvocationId,
    SubmissionId,
)


T = TypeVar("T")


@frozen
class Cursor:
    """A place in a list that runs from the newest to the oldest.

    Attributes:
        created_at: Of the last item seen.
        id: Of the last item seen; parts items of the same moment.
    """

    created_at: datetime
    id: str


@frozen
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: Newest first.
        next: Where the next page begins, or None if this is the last.
    """

    items: tuple[T, ...]
    next: Cursor | None


@frozen(kw_only=True)
class JobFilter:
    """Which jobs to list; what is given must all hold.

    Attributes:
        dataset_id: Only those on this dataset.
        workflow_name: Only those of this workflow.
        states: Only those in one of these; empty: in any.
    """

    dataset_id: DatasetId | None = None
    workflow_name: str | None = None
    states: frozenset[InvocationState] = frozenset()


class DatasetRepository(Protocol):
    """Keeps datasets. Other programs may add some behind our back."""

    @abstractmethod
    def add(self, dataset: Dataset) -> Dataset:
        """Store a dataset and return it as it is stored.

        The same one (by :meth:`Dataset.same_as`) again is no error: the first
        stays, with its time.

        Raises:
            DatasetExists: Another one has that id.
        """

    @abstractmethod
    def get(self, dataset_id: DatasetId) -> Dataset:
        """Fetch one.

        Raises:
            DatasetNotFound: There is none.
        """

    @abstractmethod
    def get_many(
        self, dataset_ids: Collection[DatasetId]
    ) -> Mapping[DatasetId, Dataset]:
        """Fetch those that exist."""

    @abstractmethod
    def page(self, limit: int, after: Cursor | None = None) -> Page[Dataset]:
        """List at most *limit*, newest first, beyond *after*."""


class SubmissionRepository(Protocol):
    """Keeps submissions, and records the invocations they lead to."""

    @abstractmethod
    def holder(self, key: IdempotencyKey) -> Submission | None:
        """Return the submission that holds the key now.

        That is the last one opened with it, unless that was rejected, or was
        accepted longer ago than its lifetime. One not settled holds it for
        ever.
        """

    @abstractmethod
    def open(
        self, submission: Submission, *, deadline: timedelta, key_lifetime: timedelta
    ) -> Submission | None:
        """Store a submission, and reserve its key with it, atomically.

        Of several with one key at the same time exactly one is stored.

        Args:
            submission: Not stored yet.
            deadline: After this the reconciler may look at it.
            key_lifetime: How long the key is held from now on, once accepted.

        Returns:
            None if it was stored; else who holds the key: nothing was stored.

        Raises:
            DatasetNotFound: Its dataset is not registered.
        """

    @abstractmethod
    def get(self, submission_id: SubmissionId) -> Submission:
        """Fetch one.

        Raises:
            SubmissionNotFound: There is none.
        """

    @abstractmethod
    def save(
        self, before: Submission, after: Submission, *, look_in: timedelta | None
    ) -> None:
        """Replace *before* by *after*, if *before* is still what is stored.

        Args:
            before: As it was read.
            after: What is to be stored, of a higher version.
            look_in: When the reconciler is to look at it next; None: never.

        Raises:
            StaleVersion: What is stored is not at ``before.version``.
            SubmissionNotFound: There is none.
        """

    @abstractmethod
    def accept(
        self, before: Submission, after: Submission, invocation: Invocation
    ) -> Invocation:
        """Record a run: the submission as accepted, and its invocation.

        In the one transaction: *before* becomes *after*, the invocation is
        stored, queued for polling at once, and its first transition recorded.
        An invocation that is stored already stays as it is.

        If the request says `overwrite`, then under a lock on the dataset and
        workflow, still in the one transaction: every other invocation of that
        Galaxy, dataset and workflow whose successor has not completed gets this
        one as its `superseded_by` and enters :class:`SupersededRuns`; those
        that have not ended are asked to stop
        (:meth:`Invocation.request_cancel`). Of two at once, the one that comes
        second supersedes the first.

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
        """Take submissions that are due for a look, longest due first.

        They are not due again for *lease*, so that no two reconcilers look at
        one at the same time unless one of them takes longer than that.
        """


class InvocationRepository(Protocol):
    """Keeps invocations and their transitions."""

    @abstractmethod
    def get(self, invocation_id: InvocationId) -> Invocation:
        """Fetch one.

        Raises:
            JobNotFound: There is none.
        """

    @abstractmethod
    def get_many(
        self, invocation_ids: Collection[InvocationId]
    ) -> Mapping[InvocationId, Invocation]:
        """Fetch those that exist."""

    @abstractmethod
    def page(
        self, wanted: JobFilter, limit: int, after: Cursor | None = None
    ) -> Page[Invocation]:
        """List at most *limit* of those wanted, newest first, beyond *after*.

        Rows added meanwhile do not shift what the next page shows.
        """

    @abstractmethod
    def transitions(self, invocation_id: InvocationId) -> Sequence[Transition]:
        """Return the changes of its state, oldest first; the first is its birth.

        Raises:
            JobNotFound: There is no such invocation.
        """

    @abstractmethod
    def save(self, before: Invocation, after: Invocation) -> None:
        """Replace *before* by *after*, if *before* is still what is stored.

        A change of state is recorded as a transition in the same transaction,
        and makes the invocation due for a poll at once; ended ones leave the
        poll queue.

        Raises:
            StaleVersion: What is stored is not at ``before.version``.
            JobNotFound: There is none.
        """


@frozen(kw_only=True)
class Claim:
    """An invocation that a poller has to itself until its lease runs out.

    Attributes:
        invocation_id: Which.
        lease: The fencing number: the store counts it up with each claim, and
            takes a :class:`Look` only with the number it gave out last.
        cancelling: Whether a cancel of ours is pending.
        summary: The fingerprint of the last bulk answer, or None.
        age: How long ago it was accepted.
        quiet_for: How long ago anything of it last changed.
        unlooked_for: How long ago it was last looked at in full.
        missing_for: Since when Galaxy answers that it has no such invocation;
            None while it has.
        misses: How often in a row Galaxy answered that.
        failures: How often in a row it could not be asked about.
    """

    invocation_id: InvocationId
    lease: int
    cancelling: bool
    summary: str | None
    age: timedelta
    quiet_for: timedelta
    unlooked_for: timedelta
    missing_for: timedelta | None
    misses: int
    failures: int


@frozen(kw_only=True)
class Look:
    """What came of a claim.

    Attributes:
        claim: Which.
        asked: Whether Galaxy was asked at all; if not, the claim is given back
            as it was, due at once, and nothing else here counts.
        before: The invocation as it was read; None where it was not needed.
        after: What it is now; None if there is no news. With news, *before* is
            there, and a stored invocation at another version is not touched.
        answered: Whether Galaxy told how it stands: it counts as observed.
        full: Whether that was a full look, and not the bulk answer alone.
        missing: Whether Galaxy said that it has no such invocation.
        summary: The fingerprint of the bulk answer, to compare the next with;
            None keeps the one that is stored.
        next_in: When it is due again.
    """

    claim: Claim
    asked: bool = True
    before: Invocation | None = None
    after: Invocation | None = None
    answered: bool = False
    full: bool = False
    missing: bool = False
    summary: str | None = None
    next_in: timedelta = timedelta(0)


@frozen(kw_only=True)
class Backlog:
    """How polling one Galaxy stands.

    Attributes:
        active: How many invocations have not ended.
        due: How many of them are due.
        overdue: For how long the most overdue one has been due; zero: none is.
        totals: What all sweeps ever came to, by name.
    """

    active: int = 0
    due: int = 0
    overdue: timedelta = timedelta(0)
    totals: Mapping[str, float] = field(factory=dict[str, float], hash=False)


MAY_BE_LATE = timedelta(days=1)
"""How long an invocation may have to wait for more urgent ones, once it is due."""


class PollQueue(Protocol):
    """Says which invocations are to be asked about, and takes what was found.

    Only invocations that have not ended are in it. It shares them out among any
    number of pollers: a claim is leased, and comes back if its holder dies.
    """

    @abstractmethod
    def claim(
        self,
        identity: Identity,
        *,
        limit: int,
        lease: timedelta,
        due_for: timedelta = timedelta(0),
    ) -> Sequence[Claim]:
        """Take invocations of that Galaxy that are due, the most urgent first.

        That goes by when they were due; but one that had been quiet for some
        time by then may be late by as much again, up to :data:`MAY_BE_LATE`. So
        a backlog that has been stuck for hours stands behind what is young and
        moving, and gets its turn all the same.

        None of them is given to anybody else for *lease*. No transaction stays
        open while the claim is held.

        Args:
            identity: Whose.
            limit: How many at most.
            lease: How long they are the caller's own.
            due_for: Only those that have been due for at least so long. A sweep
                gives the time since it began, and so ends, though what it wrote
                back first may be due again by then.
        """

    @abstractmethod
    def write_back(self, looks: Sequence[Look]) -> int:
        """Store what came of claims, and give them back.

        In one transaction: each change with its transition, as
        :meth:`InvocationRepository.save` does; when each is due next; when it
        was observed. A look whose claim has been given to somebody else since,
        or whose invocation is at another version, is left out; in the latter
        case it becomes due at once.

        Returns:
            How many changes were stored.
        """

    @abstractmethod
    def tally(self, identity: Identity, counts: Mapping[str, float]) -> None:
        """Add to the totals of that Galaxy's sweeps, whoever made them."""

    @abstractmethod
    def backlog(self) -> Mapping[Identity, Backlog]:
        """Say how polling stands, for each Galaxy that is or ever was polled."""


class SupersededRuns(Protocol):
    """Keeps account of the Galaxy histories that a rerun has made superfluous.

    :meth:`SubmissionRepository.accept` puts a run in when it is superseded.
    """

    @abstractmethod
    def due(self, identity: Identity, *, limit: int) -> Sequence[Invocation]:
        """Return runs whose history may go now, oldest first.

        Those that have ended, whose successor (`superseded_by`) has *completed*,
        and that are not :meth:`done`.
        """

    @abstractmethod
    def drawn_by(
        self, identity: Identity, data: Collection[GalaxyData]
    ) -> Sequence[str]:
        """Say who needs some of that data, in words; empty: nobody.

        Registered datasets whose source it is, and invocations that have not
        ended and name it in their parameters; ``dataset 'd1'``, ``job 'f2db'``.
        """

    @abstractmethod
    def done(self, invocation_id: InvocationId, attention: str | None = None) -> None:
        """Record that its history is dealt with, for ever.

        Args:
            invocation_id: One that :meth:`due` returned; again is no error.
            attention: What to say of it from now on, or None for no change.
        """


class TokenRepository(Protocol):
    """Keeps tokens. None is ever removed: a revoked one still counts as made."""

    @abstractmethod
    def add(self, token: Token, lifetime: timedelta | None) -> Token:
        """Store a token, and return it with the time at which it expires.

        Args:
            token: Not stored yet, of an id that no other has.
            lifetime: How long from now on it is in force; None: for ever.

        Raises:
            TokenExists: One that is not revoked has its name.
        """

    @abstractmethod
    def in_force(self, token_id: TokenId) -> Token | None:
        """Fetch one that is neither revoked nor expired; None: there is none."""

    @abstractmethod
    def all(self) -> Sequence[Token]:
        """Fetch all, newest first."""

    @abstractmethod
    def revoke(self, token_id: TokenId, at: datetime) -> Token:
        """Revoke one, and return it; one that is revoked keeps its first time.

        Raises:
            TokenNotFound: There is none.
        """

    @abstractmethod
    def ever_made(self) -> bool:
        """Say whether there is any, revoked and expired ones included."""
