"""The schedule of looks at an invocation, and when its state is stale."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from attrs import Attribute, field, frozen

from galaxy_jobs.domain.errors import InvalidValue
from galaxy_jobs.domain.model.invocation import STALE_AFTER
from galaxy_jobs.domain.model.values import positive


STALE_INTERVALS = 3
"""After how many of its intervals without a look a job may be stale."""


def _not_negative(_: object, attribute: Attribute[Any], value: timedelta) -> None:
    if value < timedelta(0):
        raise InvalidValue(
            f"{attribute.name} must be 0 or more, got {value.total_seconds():g} s."
        )


def _fraction(_: object, attribute: Attribute[Any], value: float) -> None:
    if not 0 <= value < 1:
        raise InvalidValue(f"{attribute.name} must be from 0 to below 1, got {value}.")


@frozen(kw_only=True)
class PollPolicy:
    """How often Galaxy is asked, and when something counts as wrong.

    Attributes:
        batch: How many invocations are claimed at once.
        bulk: How many invocations one bulk request covers. Servers before 26.0
            answer it with several queries for each, so it is bounded.
        lease: How long a claim belongs to a poller that has stopped: one that asks
            and stores renews it, three times as often. So the claims of one that is
            killed are soon taken over.
        renew_for: How long a lease is renewed at most: the claims of a poller that
            hangs are taken over, too.
        look_budget: For how long new full looks are begun; then the most urgent
            invocations are claimed again.
        slow_look: How long a look may take until others no longer wait for it, and
            outlines replace full looks at that run for *full_look_every*. Where
            Galaxy is slow to answer plain questions, it may take longer.
        full_look_every: How long bulk answers alone are trusted.
        failure_threshold: The number of failures in a row, each about another run,
            after which the poller checks whether Galaxy answers at all. If it does
            not, or after twice as many failures, the breaker trips.
        min_pause: How long the breaker stops requests the first time; the pause
            doubles each time that Galaxy has not recovered.
        max_pause: The longest such pause, unless Galaxy itself asks for more.
        min_interval: The shortest time between two looks at one invocation.
        max_interval: The longest.
        backoff_ratio: An invocation is asked about again after this part of the
            time for which it has been quiet: with 0.02, a change is noticed with
            a delay of a fiftieth of the time that it took.
        jitter: Every interval varies by up to this part, up or down, so that
            what was submitted together is not asked about together for ever.
        confirm_after: An end that rests on jobs which changed within this time is
            confirmed by a second look when it has passed: Galaxy runs some failed
            jobs again. Zero: the first look is enough.
        blocked_after: An invocation whose last steps are never scheduled, since jobs
            before them failed, is failed if nothing has changed for this time.
        gone_after: For how long Galaxy must have answered that it does not have
            an invocation before it counts as lost.
        gone_misses: How many such answers in a row that takes.
        stuck_after: How long an invocation may wait for Galaxy's scheduler
            before it gets a note for attention.
        stale_after: How late a look may be: an invocation is stale if it was not
            observed for three of its intervals and this time on top.

    Raises:
        InvalidValue: A number or duration is not above zero (`confirm_after` may be
            zero), `jitter` is not from 0 to below 1, or `min_interval` is above
            `max_interval`.
    """

    batch: int = field(default=1000, validator=positive)
    bulk: int = field(default=200, validator=positive)
    lease: timedelta = field(default=timedelta(seconds=10), validator=positive)
    renew_for: timedelta = field(default=timedelta(minutes=5), validator=positive)
    look_budget: timedelta = field(default=timedelta(seconds=5), validator=positive)
    slow_look: timedelta = field(default=timedelta(seconds=2), validator=positive)
    full_look_every: timedelta = field(
        default=timedelta(minutes=30), validator=positive
    )
    failure_threshold: int = field(default=8, validator=positive)
    min_pause: timedelta = field(default=timedelta(seconds=1), validator=positive)
    max_pause: timedelta = field(default=timedelta(seconds=10), validator=positive)
    min_interval: timedelta = field(default=timedelta(seconds=0.5), validator=positive)
    max_interval: timedelta = field(default=timedelta(minutes=5), validator=positive)
    backoff_ratio: float = field(default=0.02, validator=positive)
    jitter: float = field(default=0.1, validator=_fraction)
    confirm_after: timedelta = field(
        default=timedelta(seconds=5), validator=_not_negative
    )
    blocked_after: timedelta = field(default=timedelta(minutes=1), validator=positive)
    gone_after: timedelta = field(default=timedelta(hours=1), validator=positive)
    gone_misses: int = field(default=3, validator=positive)
    stuck_after: timedelta = field(default=timedelta(hours=1), validator=positive)
    stale_after: timedelta = field(default=STALE_AFTER, validator=positive)

    def __attrs_post_init__(self) -> None:
        if self.min_interval > self.max_interval:
            raise InvalidValue(
                f"min_interval ({self.min_interval.total_seconds():g} s) is above "
                f"max_interval ({self.max_interval.total_seconds():g} s)."
            )

    def interval(self, quiet_for: timedelta, random: float = 0.5) -> timedelta:
        """Return the time until the next look.

        Args:
            quiet_for: For how long nothing has changed.
            random: A random number from 0 to 1, for the jitter.
        """
        usual = min(
            max(quiet_for * self.backoff_ratio, self.min_interval), self.max_interval
        )
        return usual * (1 + self.jitter * (2 * random - 1))

    def stale_in(self, quiet_for: timedelta) -> timedelta:
        """Return the time after a look at which its result counts as out of date.

        Args:
            quiet_for: For how long nothing has changed.
        """
        return STALE_INTERVALS * self.interval(quiet_for) + self.stale_after
