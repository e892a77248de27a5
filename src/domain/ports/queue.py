"""The port to the queue of invocations that are to be polled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from attrs import field, frozen

from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import Identity, InvocationId


@frozen(kw_only=True)
class Claim:
    """An invocation that a poller has to itself until its lease runs out.

    Attributes:
        invocation_id: Which.
        fence: The fencing number of the lease. The store increases it with each
            claim, and accepts a :class:`Look` only with the latest one.
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
    fence: int
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
