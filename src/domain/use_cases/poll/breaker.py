"""The circuit breaker: leaves Galaxy alone while it is in trouble."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from attrs import define, field

from galaxy_jobs.domain.errors import RunnerError, RunnerUnavailable
from galaxy_jobs.domain.use_cases.poll.schedule import PollPolicy


@define
class Breaker:
    """Leaves Galaxy alone once it is in trouble, or has asked for it.

    It outlives the sweep: a Galaxy that said "in a minute" is not asked by the
    next one, a second later. When the time is over, a sweep begins with one
    question; if that fails, Galaxy is left alone for longer.
    """

    _problem: RunnerError | None = field(default=None, init=False)
    _until: datetime | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _rests: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    @property
    def problem(self) -> RunnerError | None:
        """Why Galaxy is left alone, or None while it is not."""
        return self._problem

    def rest(self, now: datetime) -> timedelta:
        """Return for how long it still is; zero: it may be tried again."""
        with self._lock:
            left = self._until - now if self._until else timedelta(0)
            if left <= timedelta(0):
                self._problem = self._until = None
                left = timedelta(0)
            return left

    def succeeded(self) -> None:
        """Note an answer that tells of invocations."""
        with self._lock:
            self._failures = self._rests = 0

    def failed(self, error: RunnerError, policy: PollPolicy, now: datetime) -> bool:
        """Note a failure; say whether now is the time to see how Galaxy is."""
        with self._lock:
            if self._problem is not None:  # begun before Galaxy was given up
                return False
            self._failures += 1
            if _wanted(error) or self._failures >= 2 * policy.give_up_after:
                self._leave(error, policy, now)
                return False
            return self._failures == policy.give_up_after

    def give_up(self, error: RunnerError, policy: PollPolicy, now: datetime) -> None:
        """Leave Galaxy alone from now on."""
        with self._lock:
            self._leave(error, policy, now)

    def _leave(self, error: RunnerError, policy: PollPolicy, now: datetime) -> None:
        rest = min(policy.rest * 2 ** min(self._rests, 20), policy.rest_most)
        self._problem = error
        self._until = now + min(max(rest, _wanted(error)), LONGEST_REST)
        self._failures = 0
        self._rests += 1


def _wanted(error: RunnerError) -> timedelta:
    """Return for how long Galaxy itself asks to be left alone."""
    seconds = error.retry_after if isinstance(error, RunnerUnavailable) else None
    return timedelta(seconds=min(seconds or 0, LONGEST_REST.total_seconds()))


LONGEST_REST = timedelta(hours=1)
"""However long a Galaxy asks to be left alone: it may be wrong by years."""
