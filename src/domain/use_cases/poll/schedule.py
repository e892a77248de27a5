"""When an invocation is asked about next, and when what is known of it is stale."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from attrs import frozen

from galaxy_jobs.domain.model.invocation import InvocationState


class Observed(Protocol):
    """An invocation, as far as it matters for when it is looked at."""

    @property
    def state(self) -> InvocationState:
        """Where it stands."""

    @property
    def updated_at(self) -> datetime:
        """When it last changed."""

    @property
    def observed_at(self) -> datetime:
        """When Galaxy was last asked about it."""


STALE_INTERVALS = 3
"""After how many of its intervals without a look a job may be stale."""


@frozen(kw_only=True)
class PollPolicy:
    """How often to ask, and when to worry.

    Attributes:
        batch: How many invocations are claimed at once.
        bulk: How many are asked about in one bulk question. Servers before 26.0
            answer it with several queries for each, so it is bounded.
        lease: How long a claim is one poller's own: longer than a batch takes.
        turn: For how long full looks are begun; then it is seen whether others
            are more urgent.
        full_look_every: How long bulk answers alone are trusted.
        give_up_after: After so many failures in a row, with none between that
            succeeded, it is asked whether Galaxy is there at all; if not, or
            after twice as many, it is left alone for a while.
        rest: For how long it is left alone first; each time that it has not
            recovered, for twice as long.
        rest_most: The longest, unless Galaxy itself asked for more.
        least: The shortest time between two looks at one invocation.
        most: The longest.
        patience: An invocation is asked about again after this part of the time
            for which it has been quiet: 0.02 notices a change with a delay of a
            fiftieth of the time that it took.
        jitter: Every interval is varied by up to this part, up or down, so that
            what was submitted together is not asked about together for ever.
        gone_after: For how long Galaxy must have answered that it does not know
            an invocation before it is given up.
        gone_misses: How often it must have answered that.
        stuck_after: How long an invocation may be waiting for Galaxy's
            scheduler before somebody is told.
        stale_after: A job is shown as stale if it was not observed for three of
            its intervals and this time on top.
    """

    batch: int = 1000
    bulk: int = 200
    lease: timedelta = timedelta(minutes=5)
    turn: timedelta = timedelta(seconds=5)
    full_look_every: timedelta = timedelta(minutes=30)
    give_up_after: int = 8
    rest: timedelta = timedelta(seconds=1)
    rest_most: timedelta = timedelta(seconds=10)
    least: timedelta = timedelta(seconds=0.5)
    most: timedelta = timedelta(minutes=5)
    patience: float = 0.02
    jitter: float = 0.1
    gone_after: timedelta = timedelta(hours=1)
    gone_misses: int = 3
    stuck_after: timedelta = timedelta(hours=1)
    stale_after: timedelta = timedelta(minutes=2)

    def interval(self, quiet_for: timedelta, chance: float = 0.5) -> timedelta:
        """Return the time until the next look.

        Args:
            quiet_for: How long nothing has changed.
            chance: A random number from 0 to 1, for the jitter.
        """
        wanted = min(max(quiet_for * self.patience, self.least), self.most)
        return wanted * (1 + self.jitter * (2 * chance - 1))

    def stale(self, invocation: Observed, now: datetime) -> bool:
        """Say whether what is known of an invocation may be out of date.

        One that has ended never is.

        Args:
            invocation: As it is recorded.
            now: Time-zone aware.
        """
        if invocation.state.is_terminal:
            return False
        usual = self.interval(invocation.observed_at - invocation.updated_at)
        return now - invocation.observed_at > STALE_INTERVALS * usual + self.stale_after
