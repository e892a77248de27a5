"""The port to the queue of invocations to poll."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from attrs import Factory, field, frozen

from galaxy_jobs.domain.model.invocation import Invocation
from galaxy_jobs.domain.model.values import Identity, InvocationId


@frozen(kw_only=True)
class Claim:
    """An invocation that belongs to one poller until its lease runs out.

    Attributes:
        invocation_id: Its key.
        galaxy_id: The id by which Galaxy is asked about it.
        fence: The fencing number of the lease. The store increases it with each
            claim, and accepts a :class:`Look` only with the latest one.
        cancelling: Whether a cancel of ours is pending, for the invocation or for the
            jobs that were left at its end.
        summary: The fingerprint of the last bulk answer, or None; empty where that
            answer was not to be trusted.
        age: The time since it was accepted.
        quiet_for: The time since anything of it last changed.
        unlooked_for: The time since the last full look.
        missing_for: The time since Galaxy first answered that it has no such
            invocation; None while it has.
        misses: The number of such answers in a row.
        failures: The number of failures to ask about it in a row.
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
    galaxy_id: InvocationId = field(
        default=Factory(lambda self: self.invocation_id, takes_self=True)
    )


@frozen(kw_only=True)
class Look:
    """The result of a claim.

    Attributes:
        claim: The claim.
        asked: Whether Galaxy was asked at all; if not, the claim is given back
            as it was, due at once, and the fields below are ignored.
        before: The invocation as it was read; None where it was not needed.
        after: The invocation now; None if there is no news. With news, *before*
            is given, and a stored invocation of another version is not touched.
        answered: Whether Galaxy gave its state: it counts as observed.
        full: Whether that was a full look, and not the bulk answer alone.
        missing: Whether Galaxy answered that it has no such invocation.
        summary: The fingerprint of the bulk answer, to compare the next one
            with; None keeps the stored one.
        next_in: The time until it is due again.
        stale_in: The time until it becomes stale, if no other look comes before;
            ignored unless *answered*.
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
    stale_in: timedelta = timedelta(0)


@frozen(kw_only=True)
class Stored:
    """The outcome of storing looks.

    Attributes:
        changes: The number of changes that were stored.
        unstorable: The invocations whose look has a value that cannot be stored,
            and the reasons.
    """

    changes: int = 0
    unstorable: Mapping[InvocationId, str] = field(
        factory=dict[InvocationId, str], hash=False
    )

    def __add__(self, other: Stored) -> Stored:
        """Return the outcome of both."""
        return Stored(
            changes=self.changes + other.changes,
            unstorable={**self.unstorable, **other.unstorable},
        )


@frozen(kw_only=True)
class Backlog:
    """The state of polling one Galaxy.

    Attributes:
        active: The number of invocations that have not ended, or have jobs left.
        due: The number of them that are due.
        overdue: For how long the most overdue one has been due; zero: none is.
        totals: The counts of all sweeps so far, by name.
    """

    active: int = 0
    due: int = 0
    overdue: timedelta = timedelta(0)
    totals: Mapping[str, float] = field(factory=dict[str, float], hash=False)


MAY_BE_LATE = timedelta(days=1)
"""The longest time for which a due invocation waits for more urgent ones."""


class PollQueue(Protocol):
    """The queue of invocations to ask Galaxy about.

    It holds the invocations that have not ended, or have jobs left, and shares them
    out among any number of pollers: a claim is leased, and comes back if its holder
    dies.
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
        """Claim invocations of that Galaxy that are due, the most urgent first.

        First come those that others than pollers have changed since the last claim,
        such as by a cancel. The order of the rest is that in which they became due;
        but one that had been quiet for some time by then may be late by as much
        again, up to :data:`MAY_BE_LATE`. So a backlog that has been stuck for hours
        comes after what is young and moving, and is not forgotten either.

        None of them is claimed by others for *lease*. No transaction stays open
        while the claim is held.

        Args:
            identity: The Galaxy, and the user there.
            limit: The largest number of claims.
            lease: For how long they belong to the caller.
            due_for: Only those that have been due for at least so long. A sweep
                passes the time since it began, and so it ends, although what it
                stored first may be due again by then.
        """

    @abstractmethod
    def renew(self, claims: Sequence[Claim], *, lease: timedelta) -> None:
        """Extend the lease of claims: they end *lease* from now.

        A claim that has passed to another poller, or that was given back, stays as
        it is. One whose lease has run out is extended as well while nobody else has
        claimed it. Safe at the same time as :meth:`write_back` of the same claims:
        where that is faster, it has given them back.
        """

    @abstractmethod
    def write_back(self, looks: Sequence[Look]) -> Stored:
        """Store the results of claims, and give them back.

        In one transaction, as a rule: each change with its transition, as
        :meth:`InvocationRepository.save` does; when each is due next; when it
        was observed, and when it becomes stale. A look whose claim has passed to
        another poller since, or whose invocation is at another version, is left
        out; in the latter case it becomes due at once.

        A look with a value that the store cannot hold, such as NaN, does not keep
        the others from being stored. Nothing of it is stored, and its claim is not
        given back: the caller may write back another look.

        Raises:
            StoreUnavailable: The store could not be reached; whether anything was
                stored is not known.
        """

    @abstractmethod
    def tally(self, identity: Identity, counts: Mapping[str, float]) -> None:
        """Add to the totals of the sweeps of all pollers of that Galaxy."""

    @abstractmethod
    def backlog(self) -> Mapping[Identity, Backlog]:
        """Return the state of polling, for each Galaxy that is or was polled."""
